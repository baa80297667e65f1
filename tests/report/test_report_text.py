import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ds2.report.text import excerpt, fenced, join, markdown_text, visible

ANY_TEXT = st.text(alphabet=st.characters(), max_size=200) | st.text("`*_[]()<>|\\#&!:\n -~1.@w")
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def kinds(markdown: str) -> set[str]:
    found = set()
    for token in MARKDOWN.parse(markdown):
        found.add(token.type)
        found |= {child.type for child in token.children or ()}
    return found


@given(ANY_TEXT)
def test_nothing_invisible_is_obeyed(text: str) -> None:
    for character in visible(text):
        assert character in "\t\n" or unicodedata.category(character) not in ("Cc", "Cs")
        assert unicodedata.bidirectional(character) not in ("LRO", "RLO", "LRE", "RLE", "PDF")


def test_controls_and_overrides_are_spelled_out() -> None:
    assert visible("a\x00b\x1b[31m\u202edcba") == "a\u2400b\u241b[31m[U+202E]dcba"
    assert visible("one\r\ntwo") == "one\ntwo"


def test_emoji_and_scripts_stay() -> None:
    text = "👩‍👩‍👧 שלום می‌خواهم é"
    assert visible(text) == text


@given(ANY_TEXT, st.integers(1, 100))
def test_an_excerpt_accounts_for_every_character(text: str, limit: int) -> None:
    part = excerpt(text, limit)
    assert text.startswith(part.head)
    assert text.endswith(part.tail)
    assert len(part.head) + part.left_out + len(part.tail) == len(text)
    assert len(part.head) + len(part.tail) <= max(limit, len(text) if not part.left_out else 0)


def test_an_excerpt_keeps_both_ends_and_says_what_is_gone() -> None:
    part = excerpt("start " + "word " * 1000 + "end", 60)
    assert part.head.startswith("start")
    assert part.tail.endswith("end")
    assert f"{part.left_out:,} characters left out" in join(part)


@given(ANY_TEXT, st.sampled_from(["", "before "]))
def test_one_line_of_markdown_is_only_text(text: str, before: str) -> None:
    assert kinds(before + markdown_text(text)) <= {
        "paragraph_open", "inline", "text", "text_special", "paragraph_close",
    }  # fmt: skip


@given(ANY_TEXT)
def test_markdown_shows_the_text_itself(text: str) -> None:
    tokens = MARKDOWN.parse(f"x{markdown_text(text)}")
    shown = "".join(child.content for child in tokens[1].children)
    assert shown == "x" + " ".join(visible(text).split())


@pytest.mark.parametrize("link", ["https://evil.example", "www.evil.example", "a@evil.example"])
def test_bare_addresses_are_not_left_for_others_to_link(link: str) -> None:
    assert link not in markdown_text(f"see {link}")


@given(ANY_TEXT)
def test_a_cell_stays_one_cell(text: str) -> None:
    table = f"| a | b |\n| --- | --- |\n| {markdown_text(text)} | last |"
    tokens = MARKDOWN.parse(table)
    assert sum(token.type == "td_open" for token in tokens) == 2
    assert not kinds(table) & {"html_inline", "link_open", "image", "code_inline", "em_open"}


@given(ANY_TEXT)
def test_a_fence_cannot_be_closed_from_inside(text: str) -> None:
    tokens = MARKDOWN.parse(f"before\n\n{fenced(text)}\n\nafter")
    assert [token.type for token in tokens if token.level == 0][2:-2] == ["fence"]
