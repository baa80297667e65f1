"""The page for scoring: what stands in the file. What it does is tested in a browser."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from ds2.errors import InputError
from ds2.pool import Message
from ds2.rating import Scale
from ds2.report import GoldItem, gold_choices, render_gold_page
from ds2.report.gold_page import level_words

HOSTILE = (
    "</script><script>alert(1)</script><!-- <img src=x onerror=alert(2)> \u202eabc \u2028 {{7*7}}"
)


def item(ident="a", text="Hello", **more):
    turns = (Message("user", text), Message("assistant", "Answer."))
    return GoldItem(ident, turns, **{"stratum": 2, "stratum_rows": 50, **more})


def page(*items, **settings):
    given = {"choices": gold_choices(Scale.levels(6)), **settings}
    return render_gold_page(items or (item(),), **given)


class Reader(HTMLParser):
    """Tags with attributes, and the text of each script."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.scripts, self.inside = [], [], False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag == "script"
        if self.inside:
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data):
        if self.inside:
            attrs, text = self.scripts[-1]
            self.scripts[-1] = attrs, text + data

    def handle_endtag(self, tag):
        self.inside = False


def data_of(html):
    ((_, text),) = [one for one in Reader(html).scripts if one[0].get("type")]
    return json.loads(text)


def test_texts_are_data_and_never_markup():
    html = page(item(HOSTILE, HOSTILE), title=HOSTILE, question=HOSTILE)
    reader = Reader(html)
    assert len(reader.scripts) == 2
    assert "onerror" not in {name for _, attrs in reader.tags for name in attrs}
    assert not {"img", "iframe", "object", "form", "base"} & {tag for tag, _ in reader.tags}
    data = data_of(html)
    assert data["items"][0]["id"] == HOSTILE, "the id goes back as it came"
    assert data["items"][0]["turns"][0][1].startswith("</script><script>alert(1)")
    assert "[U+202E]abc" in data["items"][0]["turns"][0][1]
    assert "49" not in re.sub(r"[0-9a-f]{24}|sha256-\S+", "", html.split("<script")[0])


def test_the_policy_allows_the_one_script_and_no_request():
    html = page()
    reader = Reader(html)
    script = next(text for attrs, text in reader.scripts if not attrs)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [a["content"] for t, a in reader.tags if a.get("http-equiv")]
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src 'sha256-{digest}';" in policy
    assert "unsafe-inline" not in policy.split("style-src")[0]
    for tag, attrs in reader.tags:
        assert not [name for name in attrs if name.startswith("on")], tag
        assert "src" not in attrs, tag
        assert attrs.get("href", "data:,") in {"data:,", "#question"}, tag
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|fetch\(", script
    )


def test_no_score_of_a_rater_is_in_the_page():
    assert set(data_of(page())["items"][0]) == {"id", "turns", "stratum", "stratum_rows"}


def test_every_control_has_a_name():
    html = page()
    labels = set(re.findall(r'<label[^>]* for="(\w+)"', html))
    assert {"note", "progress"} <= labels
    for tag, attrs in Reader(html).tags:
        if tag == "input":
            assert attrs["id"] in labels or attrs.get("aria-label")
    assert 'aria-live="polite"' in html
    assert '<html lang="en">' in html


def test_choices_are_the_numbers_of_the_scale_or_the_middles_of_its_bins():
    assert [value for value, _ in gold_choices(Scale.levels(6))] == [0, 1, 2, 3, 4, 5]
    assert [value for value, _ in gold_choices(Scale.ds2())] == list(range(1, 11))
    wide = gold_choices(Scale.parse("0-100", [20, 60]))
    assert wide == ((10.0, "0 to 20"), (40.0, "20 to 60"), (80.0, "60 to 100"))
    with pytest.raises(InputError, match="ten keys, and the scale has 12 scores"):
        gold_choices(Scale.levels(12))


@pytest.mark.parametrize(
    ("scale", "keys"),
    [
        (Scale.levels(6), "012345"),
        (Scale.parse("1-5"), "12345"),
        (Scale.ds2(), "1234567890"),
        (Scale.parse("0-100", [20, 60]), "123"),
    ],
)
def test_each_choice_has_its_key(scale, keys):
    data = data_of(page(choices=gold_choices(scale)))
    assert "".join(choice["key"] for choice in data["choices"]) == keys


def test_another_plan_is_kept_apart():
    stores = {
        data_of(html)["store"]
        for html in (page(), page(item("b")), page(item(text="x")), page(title="other"))
    }
    assert len(stores) == 4
    assert data_of(page())["store"] in stores


def test_levels_have_words_from_the_worst_to_the_best():
    assert level_words(2) == ["no use", "the best"]
    assert level_words(5) == ["no use", "weak", "ordinary", "good", "the best"]
    for n in range(2, 11):
        words = level_words(n)
        assert (len(words), words[0], words[-1]) == (n, "no use", "the best")
        said = [word for word in words if word]
        assert len(set(said)) == len(said)


def test_the_guide_is_text():
    page = render_gold_page(
        [GoldItem("a", (), 0, 1)], choices=[(0, "0"), (1, "1")], guide=[("", "a <b>"), ("h&", "")]
    )
    assert "<p>a &lt;b&gt;</p>" in page
    assert "<h3>h&amp;</h3>" in page
    assert "<details" not in render_gold_page(
        [GoldItem("a", (), 0, 1)], choices=[(0, "0"), (1, "1")]
    )
