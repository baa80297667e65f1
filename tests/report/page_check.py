"""Reads a page as a browser would, and finds what no page of ours may hold."""

import base64
import hashlib
import re
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "input"}


class Parsed(HTMLParser):
    """Checks that tags close in order, and keeps what the tests ask for."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.cells: list[list[str]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.cells.append([])
        elif tag in ("td", "th"):
            self.cells[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if {"td", "th"} & set(self.open):
            self.cells[-1][-1] += data

    def names(self) -> list[str]:
        return [tag for tag, _ in self.tags]

    def words(self) -> str:
        """All text, on one line."""
        return " ".join("".join(self.text).split())


def check(html: str, *, links: tuple[str, ...] = ()) -> Parsed:
    """A page as it is parsed, once it is known to load nothing, and to run what it names alone."""
    page = Parsed(html)
    assert not {"img", "iframe", "object", "form", "base"} & set(page.names())
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv")) or ""
    hashes = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        for script in re.findall("<script>(.*?)</script>", html, re.DOTALL)
    ]
    assert re.findall("sha256-([^']*)'", policy) == hashes
    assert page.names().count("script") == len(hashes) <= 1
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href", "xlink:href", "action", "data"):
            value = attributes.get(name) or ""
            assert value in ("", "data:,", *links) or value.startswith("#"), (tag, value)
        assert re.fullmatch(r"(--v:[01]\.\d{3})?", attributes.get("style") or ""), attributes
    style = html[html.index("<style>") : html.index("</style>")]
    assert not re.search(r"url\(|@import|https?:", style)
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", page.words())
    return page
