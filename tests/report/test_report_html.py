import itertools
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt
from report_sample import HOSTILE, Stages, write_rows

from ds2.pool import read_pool
from ds2.report import ReportNumbers, render_html, render_json, render_markdown
from ds2.report.numbers import Note

VOID = {"meta", "link", "br", "rect", "line", "circle", "path", "polyline"}


class Page(HTMLParser):
    """Checks that tags close in order, and keeps what the tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def names(self) -> list[str]:
        return [tag for tag, _ in self.tags]


def check(html: str) -> Page:
    page = Page(html)
    assert not {"script", "img", "iframe", "object", "form", "base"} & set(page.names())
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href", "xlink:href", "action", "data"):
            value = attributes.get(name) or ""
            assert value == "" or value.startswith("#") or value == "data:,", (tag, value)
        assert re.fullmatch(r"(--v:[01]\.\d{3})?", attributes.get("style") or ""), attributes
    style = html[html.index("<style>") : html.index("</style>")]
    assert not re.search(r"url\(|@import|https?:", style)
    words = " ".join(page.text)
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", words)
    return page


def test_page_is_well_formed_and_self_contained(numbers: ReportNumbers) -> None:
    html = render_html(numbers)
    page = check(html)
    assert html.startswith("<!DOCTYPE html>")
    assert "default-src 'none'" in html
    assert len(html.encode()) < 1_000_000
    assert page.tags[0] == ("html", {"lang": "en"})


def test_headings_never_skip_a_level_and_ids_are_unique(numbers: ReportNumbers) -> None:
    page = check(render_html(numbers))
    levels = [int(tag[1]) for tag in page.names() if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {a["href"][1:] for tag, a in page.tags if tag == "a"}
    named = {
        name
        for _, a in page.tags
        for key in ("aria-labelledby",)
        for name in (a.get(key) or "").split()
    }
    assert (targets | named) <= set(ids)


def test_matrix_is_a_table_that_a_screen_reader_can_read(numbers: ReportNumbers) -> None:
    html = render_html(numbers)
    table = html[html.index('<table class="heat">') :]
    table = table[: table.index("</table>")]
    assert table.count('<th scope="col">') == 6
    assert table.count('<th scope="row">') == 6
    cell = numbers.noise.matrix[1][1]
    assert f"<b>{cell.value:.2f}</b><small>{cell.low:.2f}–{cell.high:.2f}</small>" in table


def test_not_enough_data_is_said_in_the_matrix(numbers: ReportNumbers) -> None:
    empty = replace(numbers.noise.matrix[0][0], value=None, low=None, high=None)
    one = ((empty, *numbers.noise.matrix[0][1:]), *numbers.noise.matrix[1:])
    html = render_html(replace(numbers, noise=replace(numbers.noise, matrix=one)))
    assert html.count('<td class="thin"><small>not enough data</small></td>') == 1
    row = (((empty,) * 6), *numbers.noise.matrix[1:])
    html = render_html(replace(numbers, noise=replace(numbers.noise, matrix=row)))
    assert '<td class="thin" colspan="6">not enough data</td>' in html


def test_the_three_formats_hold_the_same_verdict(numbers: ReportNumbers) -> None:
    from ds2.report.verdict import verdict

    text = " ".join("".join(Page(render_html(numbers)).text).split())
    markdown = MarkdownIt("commonmark").enable("table").render(render_markdown(numbers))
    plain = " ".join("".join(Page(f"<p>{markdown}</p>").text).split())
    document = render_json(numbers)
    for finding in verdict(numbers):
        for sentence in (finding.answer, *finding.detail):
            same = " ".join(sentence.split())
            assert same in text
            assert same in plain
            assert sentence.encode("ascii", "backslashreplace").decode()[:10] in document


def test_hostile_texts_are_only_text_in_html(hostile: ReportNumbers) -> None:
    html = render_html(hostile)
    page = check(html)
    clean = check(render_html(replace(hostile, warnings=hostile.warnings[:0])))
    assert page.names().count("h1") == clean.names().count("h1") == 1
    shown = "".join(page.text)
    for text in HOSTILE[:7]:
        assert text in shown, "shown, letter by letter"
        if re.search("[<>&\"']", text):
            assert text not in html.replace("'self'", ""), "but never as markup"
    assert "{{7*7}}" in shown
    assert " 49 " not in shown
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", html)
    assert "\u2400" in shown
    assert "[U+202E]evil" in shown
    assert len(html.encode()) < 1_000_000


def test_hostile_texts_are_only_text_in_markdown(
    hostile: ReportNumbers, numbers: ReportNumbers
) -> None:
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])

    def headings(markdown: str) -> list[str]:
        tokens = parser.parse(markdown)
        pairs = itertools.pairwise(tokens)
        return [
            text.content for tag, text in pairs if tag.type == "heading_open" and tag.tag < "h4"
        ]

    markdown = render_markdown(hostile)
    tokens = parser.parse(markdown)
    kinds = {token.type for token in tokens}
    kinds |= {child.type for token in tokens for child in token.children or ()}
    banned = {"html_block", "html_inline", "link_open", "image", "code_block", "hr", "s_open"}
    assert not kinds & banned
    expected = [*headings(render_markdown(numbers)), f"{len(hostile.warnings)} warnings"]
    assert set(headings(markdown)[1:]) <= set(expected)


def test_json_of_hostile_texts_is_ascii(hostile: ReportNumbers) -> None:
    assert render_json(hostile).isascii()


@pytest.mark.parametrize(
    "case",
    ["nothing changed", "gate fired", "no intervals", "no range", "empty class", "one", "bare"],
)
def test_every_shape_of_result_renders(stages: Stages, case: str) -> None:
    curation, noise, selection, ratings = (
        stages.curation, stages.noise, stages.selection, stages.ratings,
    )  # fmt: skip
    if case == "nothing changed":
        curation = replace(curation, scores=curation.observed, misrated=np.zeros(400, dtype=bool))
    elif case == "gate fired":
        curation = replace(
            curation, scores=curation.observed, method="raw", gate="fired",
            misrated=None, confidence=None, suggestion=None,
        )  # fmt: skip
    elif case == "no intervals":
        noise = replace(noise, intervals=None, prior_intervals=None, fit_expected=float("nan"))
    elif case == "no range":
        noise = replace(noise, range=None, rho_range=(1.0, 1.0))
    elif case == "empty class":
        matrix, prior = noise.matrix.copy(), noise.prior.copy()
        matrix[0], prior[0] = np.nan, 0.0
        noise = replace(noise, matrix=matrix, prior=prior, effective_counts=prior * 400)
    elif case == "one":
        selection = replace(selection, rows=selection.rows[:1], reasons=selection.reasons[:1])
    elif case == "bare":
        nan = float("nan")
        lift = replace(noise.lift, value=nan, low=nan, high=nan)
        noise = replace(noise, lift=lift, lifts=(lift, lift))
        selection = replace(selection, rows=selection.rows[:0], reasons=())
    changed = replace(stages, curation=curation, noise=noise, selection=selection, ratings=ratings)
    numbers = changed.numbers(n_examples=3, truth=stages.simulated.true_scores)
    numbers = replace(numbers, warnings=(*numbers.warnings, Note("noise", "Mind this.")))
    html = render_html(numbers)
    check(html)
    assert "Mind this." in html
    assert not re.search(r"\bnan\b|\bNone\b", render_markdown(numbers))
    render_json(numbers)
    expected = {
        "nothing changed": "No score was changed.",
        "gate fired": "as the rater gave it",
        "no intervals": "no intervals were computed",
        "no range": "No range over ρ was computed",
        "empty class": "Not enough data for score 0.",
        "one": "1 of 400 examples",
        "bare": "Neighbours tell nothing here",
    }
    assert expected[case] in html


def test_a_pool_without_sources_and_with_equal_lengths(stages: Stages, tmp_path: Path) -> None:
    path = tmp_path / "plain.jsonl"
    texts = [f"q{row}" for row in range(400)]
    write_rows(path, texts, stages.simulated.scores, response=["same"] * 400)
    numbers = replace(stages, pool=read_pool(path)).numbers()
    html = render_html(numbers)
    check(html)
    assert "No example names a source." in html
    assert [row.label for row in numbers.selection.by_length] == ["4"]


def luminance(colour: tuple[float, ...]) -> float:
    parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_in_both_themes(numbers: ReportNumbers) -> None:
    html = render_html(numbers)
    light = html[html.index(":root {") :]
    dark = light[light.index("prefers-color-scheme: dark") :]
    for theme in (light[: light.index("}")], dark[: dark.index("}")]):
        named = {
            name: tuple(int(value[i : i + 2], 16) / 255 for i in (0, 2, 4))
            for name, value in re.findall(r"--([a-z]+): #([0-9a-f]{6});", theme)
        }
        for name in ("ink", "soft", "accent", "care", "open", "clear"):
            assert contrast(named[name], named["page"]) >= 4.5, name
        assert contrast(named["pool"], named["page"]) >= 2.0
        assert contrast(named["accent"], named["pool"]) >= 2.0
        strength = float(re.search(r"--heat-strength: ([\d.]+)", theme)[1])
        full = tuple(
            strength * a + (1 - strength) * b
            for a, b in zip(named["accent"], named["page"], strict=True)
        )
        assert contrast(named["ink"], full) >= 4.5, "the darkest cell of the heat map"
        triple = re.search(r"--accent-rgb: (\d+) (\d+) (\d+)", theme)
        assert tuple(int(part) / 255 for part in triple.groups()) == named["accent"]
