"""Every kind of page: well-formed, self-contained, the same numbers in every format, only text."""

import itertools
import json
import re
import unicodedata
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from page_check import Parsed, check
from report_sample import HOSTILE

from ds2.report import (
    Case,
    Cases,
    Fact,
    Facts,
    Finding,
    Page,
    Section,
    Table,
    excerpt,
    facts,
    join,
    page_html,
    page_json,
    page_markdown,
    table,
    written,
)

KINDS = ("report", "comparison", "proof")
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
ANY_TEXT = st.text(alphabet=st.characters(), max_size=200) | st.text("`*_[]()<>|\\#&!:\n -~1.@w")


@pytest.fixture(params=KINDS)
def page(request, pages) -> Page:
    return pages[request.param]


@pytest.fixture(params=KINDS)
def bad_page(request, hostile) -> Page:
    return hostile[request.param]


def test_a_page_is_well_formed_and_self_contained(page):
    html = page_html(page)
    found = check(html)
    assert html.startswith("<!DOCTYPE html>")
    assert re.search("default-src 'none'; (script-src 'sha256-[^ ]+'; )?style-src", html)
    assert len(html.encode()) < 1_000_000
    assert found.tags[0] == ("html", {"lang": "en"})


def test_headings_never_skip_a_level_and_ids_are_unique(page):
    found = check(page_html(page))
    levels = [int(tag[1]) for tag in found.names() if re.fullmatch("h[1-6]", tag)]
    assert (levels[0], levels.count(1)) == (1, 1)
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {a["href"][1:] for tag, a in found.tags if tag == "a"}
    labels = [(a.get("aria-labelledby") or "").split() for _, a in found.tags]
    assert targets | set(itertools.chain(*labels)) <= set(ids)


def parts(page: Page, kind: type) -> list:
    return [p for section in page.sections for p in section.parts if isinstance(p, kind)]


def plain(text: str) -> str:
    return " ".join(text.split())


def test_the_three_formats_hold_the_same_numbers_and_verdict(page):
    html = Parsed(page_html(page))
    markdown = Parsed(f"<p>{MARKDOWN.render(page_markdown(page))}</p>")
    document = json.loads(page_json(page))
    in_html = {tuple(plain(cell) for cell in row) for row in html.cells}
    in_markdown = {tuple(plain(cell) for cell in row) for row in markdown.cells}
    assert len(parts(page, Table)) == len(document["tables"])
    for part in parts(page, Table):
        kinds = [column.kind for column in part.columns]
        rows = document["tables"][part.key]["rows"]
        assert len(rows) == len(part.rows)
        for row in rows:
            values = [tuple(v) if isinstance(v, list) else v for v in row.values()]
            cells = [plain(written(v, k)) for v, k in zip(values, kinds, strict=True)]
            assert (*cells, *([""] if part.bars else [])) in in_html
            assert tuple(cells) in in_markdown
    for part in parts(page, Facts):
        for one in part.rows:
            value = plain(written(one.value, one.kind))
            assert value in html.words()
            assert (plain(one.name), value) in in_markdown
            if part.key:
                found = document["facts"][part.key][one.name]
                assert plain(written(found, one.kind)) == value
    if page.state is not None:
        assert document["state"]["says"] == page.state.says
        for text in (page.state.says, page.state.reason, document["state"]["command"]):
            assert plain(text) in html.words()
            assert plain(text) in markdown.words()
    for finding, told in zip(page.findings, document["verdict"], strict=True):
        assert told["answer"] == finding.answer
        for sentence in (finding.answer, *finding.detail):
            assert plain(sentence) in html.words()
            assert plain(sentence) in markdown.words()


def test_hostile_texts_are_only_text_in_html(bad_page):
    html = page_html(bad_page)
    found = check(html)
    shown = "".join(found.text)
    assert found.names().count("h1") == 1
    for text in HOSTILE[:7]:
        if text in shown:
            assert not re.search("[<>&\"']", text) or text not in html, "but never as markup"
    assert HOSTILE[2] in shown or HOSTILE[0] in shown, "shown, letter by letter"
    assert "{{7*7}}" in shown
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", html)
    assert len(html.encode()) < 1_000_000


def test_hostile_texts_are_only_text_in_markdown_and_json(bad_page):
    tokens = MARKDOWN.parse(page_markdown(bad_page))
    kinds = {token.type for token in tokens}
    kinds |= {child.type for token in tokens for child in token.children or ()}
    banned = {"html_block", "html_inline", "link_open", "image", "code_block", "hr", "s_open"}
    assert not kinds & banned
    assert page_json(bad_page).isascii()


def one_page(text: str) -> Page:
    """A page that says a text wherever a text can stand."""
    case = Case(text, (Fact("fact", text),), excerpt(text, 50))
    return Page(
        title="t",
        lead=text,
        findings=(Finding("q", f"x{text}", (text,), "plain"),),
        notes=((text, text),),
        sections=(
            Section(
                "s",
                "s",
                "s",
                (
                    f"x{text}",
                    table("t", "t", "name, number", [(text, 1.5)], says=text),
                    facts("f", "f", {"name": text}),
                    Cases("c", "c", (Case("i", (), excerpt(text, 50), (case,)),)),
                ),
            ),
        ),
    )


@given(ANY_TEXT)
def test_any_text_is_only_text_in_markdown(text):
    tokens = MARKDOWN.parse(page_markdown(one_page(text)))
    kinds = {token.type for token in tokens}
    kinds |= {child.type for token in tokens for child in token.children or ()}
    assert kinds <= {
        *(f"{tag}_{end}" for tag in ("heading", "paragraph", "bullet_list", "list_item", "table",
          "thead", "tbody", "tr", "th", "td", "strong") for end in ("open", "close")),
        "inline", "text", "text_special", "fence", "softbreak",
    }  # fmt: skip
    assert sum(token.type == "td_open" for token in tokens) == 4
    assert sum(token.type == "fence" for token in tokens) == 2
    shown = [
        "".join(child.content for child in token.children)
        for token in tokens
        if token.type == "inline"
    ]
    lead = re.search('<p class="lead"><bdi>(.*?)</bdi></p>', page_html(one_page(text)), re.DOTALL)
    assert plain(unescape(lead[1])) in shown, "as the page shows it"


@given(ANY_TEXT)
def test_nothing_invisible_is_obeyed(text):
    for character in page_html(one_page(text)):
        assert character in "\t\n" or unicodedata.category(character) not in ("Cc", "Cs")
        assert unicodedata.bidirectional(character) not in ("LRO", "RLO", "LRE", "RLE", "PDF")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x00b\x1b[31m\u202edcba", "a\u2400b\u241b[31m[U+202E]dcba"),
        ("👩‍👩‍👧 שלום می‌خواهم é", "👩‍👩‍👧 שלום می‌خواهم é"),
    ],
)
def test_controls_are_spelled_out_and_scripts_stay(text, shown):
    assert shown in page_html(one_page(text))


@pytest.mark.parametrize("link", ["https://evil.example", "www.evil.example", "a@evil.example"])
def test_bare_addresses_are_not_left_for_others_to_link(link):
    page = Page("t", f"see {link}", (), (), ())
    assert link not in page_markdown(page)


@given(ANY_TEXT, st.integers(1, 100))
def test_an_excerpt_accounts_for_every_character(text, limit):
    part = excerpt(text, limit)
    assert text.startswith(part.head)
    assert text.endswith(part.tail)
    assert len(part.head) + part.left_out + len(part.tail) == len(text)
    assert len(part.head) + len(part.tail) <= max(limit, len(text) if not part.left_out else 0)


def test_an_excerpt_keeps_both_ends_and_says_what_is_gone():
    part = excerpt("start " + "word " * 1000 + "end", 60)
    assert part.head.startswith("start")
    assert part.tail.endswith("end")
    assert f"{part.left_out:,} characters left out" in join(part)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (None, "decimal", "–"),
        (float("nan"), "share", "–"),
        ((None, 0.1, 0.2), "decimal", "not enough data"),
        ((0.1, None), "decimal", "–"),
        ((0.1, 0.2), "decimal", "0.10 to 0.20"),
        ((0.15, 0.1, 0.2), "share", "15.0\u00a0% (10.0\u00a0% to 20.0\u00a0%)"),
        ((0.15, None, None), "fine", "0.150"),
        (0.358, "share", "35.8\u00a0%"),
        (0.0, "share", "0.0\u00a0%"),
        (1.0, "share", "100.0\u00a0%"),
        (0.0004, "share", "<\u00a00.1\u00a0%"),
        (0.9999, "share", ">\u00a099.9\u00a0%"),
        (-0.001, "decimal", "0.00"),
        (-0.25, "decimal", "\u22120.25"),
        (52_002, "decimal", "52,002"),
        (0.123, "level", "+0.12"),
        (-0.0045, "signed", "\u22120.0045"),
        (3.0, "score", "3"),
        (3.25, "score", "3.25"),
        (0.0123, "usd", "0.0123 USD"),
    ],
)
def test_a_value_is_written_by_its_kind(value, kind, expected):
    assert written(value, kind) == expected


def luminance(colour):
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first, second):
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_in_both_themes(pages):
    html = page_html(pages["report"])
    light = html[html.index(":root {") :]
    dark = light[light.index("prefers-color-scheme: dark") :]
    for theme in (light[: light.index("}")], dark[: dark.index("}")]):
        named = {
            name: tuple(int(value[i : i + 2], 16) / 255 for i in (0, 2, 4))
            for name, value in re.findall(r"--([a-z]+): #([0-9a-f]{6});", theme)
        }
        for name in ("ink", "soft", "accent", "care", "open", "clear"):
            assert contrast(named[name], named["page"]) >= 4.5, name
        for one, other in (("pool", "page"), ("accent", "pool"), ("other", "card")):
            assert contrast(named[one], named[other]) >= 2.0
        strength = float(re.search(r"--heat-strength: ([\d.]+)", theme)[1])
        full = tuple(
            strength * a + (1 - strength) * b
            for a, b in zip(named["accent"], named["page"], strict=True)
        )
        assert contrast(named["ink"], full) >= 4.5, "the darkest cell of the heat map"
        triple = re.search(r"--accent-rgb: (\d+) (\d+) (\d+)", theme)
        assert tuple(int(part) / 255 for part in triple.groups()) == named["accent"]
