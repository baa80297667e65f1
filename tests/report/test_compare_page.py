"""The comparison's words and its three formats; texts of users stay texts."""

import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from compare_sample import comparison, judge, judged
from report_sample import HOSTILE, Stages
from test_report_html import check

from ds2.report import (
    beats_random,
    choose_points,
    compare_findings,
    comparison_json,
    comparison_markdown,
    lay_out,
    render_comparison,
)
from ds2.report.map_layout import Layout


def answers(*judges):
    return {each.method: each.answer for each in beats_random(comparison(*judges))}


def test_every_judge_has_to_show_it():
    good, bad = judged("ds2", 0.5), judged("ds2", -0.5)
    unsure = judged("ds2", 0.05)
    assert answers(judge("rater", "a", good), judge("rater", "b", good))["ds2"] == "yes"
    assert answers(judge("rater", "a", bad), judge("rater", "b", bad))["ds2"] == "no"
    assert answers(judge("rater", "a", good), judge("rater", "b", bad))["ds2"] == "not shown"
    assert answers(judge("rater", "a", good), judge("rater", "b", unsure))["ds2"] == "not shown"
    found = answers(judge("rater", "a", good))
    assert found["random"] == "is random"
    assert found["length"] == "not known"


def test_gold_goes_before_raters_where_it_can_say():
    raters = judge("rater", "a", judged("ds2", 0.5))
    assert answers(judge("gold", "gold", judged("ds2", -0.5)), raters)["ds2"] == "no"
    few = judge("gold", "gold", judged("ds2", -0.5, half=None, n=3))
    assert answers(few, raters)["ds2"] == "yes"
    assert answers(few)["ds2"] == "not shown"
    (own, *_) = beats_random(comparison(few))
    assert "only 3 selected rows" in own.says


def test_a_single_rater_has_no_judge_and_the_page_says_what_would_settle_it():
    findings = compare_findings(comparison())
    assert findings[0].answer == "Nothing here can say."
    assert "ds2 gold RUN" in findings[0].detail[0]
    assert "fine-tuned" in findings[0].detail[-1]
    assert "one rater, and no gold" in findings[2].answer
    assert "ds2 gold RUN" in findings[2].detail[0]


def test_length_that_beats_random_is_named_as_a_doubt():
    judges = judge("rater", "a", judged("ds2", 0.5), judged("length", 0.5))
    assert any(
        "likes long answers" in said for said in compare_findings(comparison(judges))[2].detail
    )
    judges = judge("rater", "a", judged("ds2", 0.5), judged("length", -0.5))
    assert not any("likes long" in said for said in compare_findings(comparison(judges))[2].detail)


def test_a_difference_that_the_mix_of_sources_explains_is_said():
    one = judged("ds2", 0.15)
    (own, *_) = beats_random(comparison(judge("rater", "a", one)))
    assert "same mix of sources" in own.says
    assert (own.answer, own.same_mix) == ("yes", "not shown")


def test_a_difference_that_lengths_explain_is_said():
    numbers = comparison(judge("rater", "a", judged("ds2", 0.15), judged("length", 0.5)))
    own, random, length = beats_random(numbers)
    assert "0.07 (−0.03 to 0.17) from random with the same lengths" in own.says
    assert (own.answer, own.same_length) == ("yes", "not shown")
    assert (length.answer, length.same_length) == ("yes", "yes")
    markdown = comparison_markdown(numbers)
    assert "| ds2 | yes | not shown | not shown | +0.15 (0.05 to 0.25) |" in markdown
    assert "| random | is random | – | – | – |" in markdown
    assert random.says == "Nothing to hold it against."


@pytest.fixture(scope="module")
def points(stages: Stages):
    order = np.arange(400)[::-1]
    layout = lay_out(stages.simulated.vectors, stages.neighbors, order, method="pca")
    return choose_points(stages.pool, layout, {"ds2": order[:40], "random": order[30:60]}, order)


def test_hostile_texts_stay_texts_in_every_format(points):
    numbers = comparison(judge("rater", HOSTILE[0], judged("ds2", 0.5)), texts=HOSTILE)
    texts = tuple(HOSTILE[i % len(HOSTILE)] for i in range(len(points.texts)))
    fields = {name: getattr(points, name) for name in points.__dataclass_fields__}
    page = render_comparison(numbers, type(points)(**{**fields, "texts": texts}))
    outside = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    check(outside)
    assert page.count("<script") == page.count("</script>") == 2
    held = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert not set("<>&") & set(held[1])
    assert json.loads(held[1])["texts"] == list(texts)
    document = json.loads(comparison_json(numbers))
    assert document["title"] == HOSTILE[0]
    markdown = comparison_markdown(numbers)
    outside_fences = re.sub(r"^(`{3,})text\n.*?^\1$", "", markdown, flags=re.DOTALL | re.MULTILINE)
    assert "<script>" not in outside_fences


def test_the_policy_names_the_only_script(points):
    class Policy(HTMLParser):
        content = ""

        def handle_starttag(self, tag, attrs):
            attributes = dict(attrs)
            if attributes.get("http-equiv") == "Content-Security-Policy":
                Policy.content = attributes["content"]

    Policy().feed(render_comparison(comparison(), points))
    assert "default-src 'none'" in Policy.content
    assert re.search(r"script-src 'sha256-[\w+/=]{44}';", Policy.content)
    assert "http" not in Policy.content


def test_all_formats_hold_every_method_and_judge(points):
    numbers = comparison(judge("gold", "gold", judged("ds2", 0.5), judged("length", 0.2)))
    page, markdown = render_comparison(numbers, points), comparison_markdown(numbers)
    for name in ("ds2", "random", "length", "rds"):
        assert name in page
        assert name in markdown
    assert "Judged on gold" in page
    assert "Judged on gold" in markdown


def bits(points, name):
    raw = np.frombuffer(base64.b64decode(points.selections[name]), np.uint8)
    return np.unpackbits(raw, bitorder="little")[: points.n_points].astype(bool)


def test_points_carry_places_selections_and_texts(stages: Stages, points):
    rows = np.arange(400)  # all fit, so points are rows
    assert points.n_points == 400
    assert np.flatnonzero(bits(points, "ds2")).tolist() == sorted(rows[::-1][:40].tolist())
    numbers = np.frombuffer(base64.b64decode(points.places), "<u2").reshape(2, 400)
    layout = lay_out(stages.simulated.vectors, stages.neighbors, rows[::-1], method="pca")
    for axis in (0, 1):
        order = np.argsort(layout.places[:, axis], kind="stable")
        assert (np.diff(numbers[axis][order].astype(int)) >= 0).all()
    assert points.text_at == tuple(range(400))
    assert points.texts[20].startswith("user: question 20 question 20")
    assert max(map(len, points.texts)) <= 160
    assert max(points.width, points.height) == 1.0


def test_a_large_pool_shows_what_is_selected_and_a_part_of_the_rest(stages, monkeypatch):
    import ds2.report.map_points as module

    monkeypatch.setattr(module, "MOST_POINTS", 50)
    monkeypatch.setattr(module, "TEXT_BYTES", 2_000)
    layout = Layout(np.random.default_rng(0).random((400, 2)).astype(np.float32), "PCA", 0.5)
    order = np.arange(400)
    chosen = {"a": np.arange(300, 320), "b": np.arange(310, 330)}
    points = module.choose_points(stages.pool, layout, chosen, order)
    assert points.n_points == 50
    assert bits(points, "a").sum() == 20
    assert bits(points, "b").sum() == 20
    assert 0 < points.n_texts < 50
    assert (bits(points, "a") | bits(points, "b"))[list(points.text_at)].all()
    assert len(json.dumps(points.texts)) < 2_000


def test_pca_agrees_with_a_singular_value_decomposition():
    rng = np.random.default_rng(1)
    vectors = (rng.standard_normal((300, 7)) * [5, 3, 1, 1, 0.5, 0.5, 0.1]).astype(np.float32)
    layout = lay_out(vectors, None, rng.permutation(300), method="pca")
    centred = vectors - vectors.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    expected = u[:, :2] * s[:2]
    for axis in (0, 1):
        sign = np.sign((layout.places[:, axis] * expected[:, axis]).sum())
        np.testing.assert_allclose(layout.places[:, axis], sign * expected[:, axis], atol=1e-3)
    assert layout.explained == pytest.approx((s[:2] ** 2).sum() / (s**2).sum(), abs=1e-5)


def test_pca_of_one_dimension_and_of_equal_rows():
    flat = lay_out(np.ones((5, 1), np.float32), None, np.arange(5), method="pca")
    assert (flat.places == 0).all()
    assert flat.explained == 0.0


@pytest.mark.slow
def test_umap_puts_neighbours_together_and_duplicates_on_one_place(stages: Stages):
    pytest.importorskip("umap")
    order = np.arange(400)
    layout = lay_out(stages.simulated.vectors, stages.neighbors, order, method="umap", seed=3)
    again = lay_out(stages.simulated.vectors, stages.neighbors, order, method="umap", seed=3)
    assert layout.method == "UMAP"
    np.testing.assert_array_equal(layout.places, again.places)
    assert (layout.places[20] == layout.places[21]).all()
    near = np.linalg.norm(
        layout.places[:, None] - layout.places[stages.neighbors.indices[:, :3]], axis=2
    ).mean()
    far = np.linalg.norm(layout.places - layout.places[np.roll(order, 57)], axis=1).mean()
    assert near < far / 3


def test_umap_that_is_not_installed_is_one_sentence_and_auto_takes_pca(stages, monkeypatch):
    import sys

    from ds2.errors import InputError, MissingDependencyError

    monkeypatch.setitem(sys.modules, "umap", None)
    order = np.arange(400)
    with pytest.raises(MissingDependencyError, match=r"pip install 'ds2-select\[map\]'"):
        lay_out(stages.simulated.vectors, stages.neighbors, order, method="umap")
    assert lay_out(stages.simulated.vectors, stages.neighbors, order).method == "PCA"
    with pytest.raises(InputError, match="auto, umap or pca"):
        lay_out(stages.simulated.vectors, stages.neighbors, order, method="tsne")
