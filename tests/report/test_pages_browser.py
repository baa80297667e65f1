"""Every page in a real browser: size, contrast, no request; and axe-core finds nothing serious."""

import os
import shutil
from pathlib import Path

import pytest
from axe_core import fetch_axe, serious_findings
from chromium import NEEDS_CHROMIUM, open_page
from test_gold_page_browser import items

from ds2.rating import Scale
from ds2.report import gold_choices, page_html, render_gold_page

pytestmark = NEEDS_CHROMIUM

FITS = """
document.querySelectorAll("details").forEach((one) => { one.open = true; });
const all = (what) => [...document.querySelectorAll(what)];
const root = document.documentElement, edge = root.clientWidth + 1;
return [
  all("body *").filter((node) => !node.closest(".scroll, .skip")
    && node.getBoundingClientRect().right > edge).map((node) => node.outerHTML),
  root.scrollWidth <= root.clientWidth,
  all("svg text").map((node) => node.getBoundingClientRect().height).filter((x) => x < 8)];
"""


@pytest.fixture(params=["report", "comparison", "proof"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("texts", ["pages", "hostile"])
def test_a_page_fits_and_is_quiet(kind, texts, width, request, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(page_html(request.getfixturevalue(texts)[kind]), encoding="utf-8")
    with open_page(path, width=width, dark=width < 500) as page:
        wide, fits, small = page.run(FITS)
        assert wide == []
        assert fits
        assert small == []
        page.assert_quiet()
        assert page.run("return document.querySelectorAll('h1').length") == 1
        assert page.run("return document.querySelectorAll('main img, main script').length") == 0


SHOWN = "return [...document.querySelectorAll('table.sift tbody tr:not([hidden])')]"
COLUMN = SHOWN + ".map((row) => row.cells[arguments[0]].textContent.trim())"


def test_rows_are_filtered_and_sorted_in_the_page(pages, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(page_html(pages["report"]), encoding="utf-8")
    part = pages["report"].tables["rows"]
    with open_page(path) as page:
        assert len(page.run(COLUMN, 0)) == len(part.rows)
        page.run(
            "const one = document.querySelector('.tools select'); one.value = arguments[0];"
            "one.dispatchEvent(new Event('change'))",
            "random, selected",
        )
        assert set(page.run(COLUMN, 1)) == {"random, selected"}
        for up in (True, False):
            page.run("document.querySelectorAll('table.sift button')[4].click()")
            scores = [float(text) for text in page.run(COLUMN, 4)]
            assert scores == sorted(scores, reverse=not up)
            assert len(scores) == 25
        page.run(
            "const one = document.querySelector('.tools input'); one.value = 'no such words';"
            "one.dispatchEvent(new Event('input'))"
        )
        assert page.run(COLUMN, 0) == []
        words = page.run("return document.querySelector('.tools output').textContent")
        assert words == f"0 of {len(part.rows)} rows"
        page.assert_quiet()


def test_the_checks_see_a_page_that_is_not_quiet(tmp_path: Path) -> None:
    path = tmp_path / "loud.html"
    loud = "<img src='http://127.0.0.1:9/x.png'><p style='width: 900px'>wide</p>"
    phone = "<meta name='viewport' content='width=device-width'>"
    path.write_text(f"<!DOCTYPE html>{phone}{loud}<script>boom()</script>")
    with open_page(path, width=390) as page:
        page.wait(lambda: any("boom" in each for each in page.messages()), "no message")
        assert page.requests() == ["http://127.0.0.1:9/x.png"]
        assert page.run(FITS)[0]


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    if not (shutil.which("npm") or os.environ.get("AXE_CORE") or os.environ.get("CI")):
        pytest.skip("needs npm to fetch axe-core, or its axe.min.js in AXE_CORE")
    return fetch_axe(tmp_path_factory.mktemp("axe"))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["report", "comparison", "proof", "gold"])
def test_nothing_serious(name, dark, pages, tmp_path: Path, axe: str) -> None:
    path = tmp_path / "page.html"
    guide = [("", "Judge it."), ("overall", "How good it is")]
    gold = render_gold_page(items(), choices=gold_choices(Scale.levels(6)), guide=guide)
    path.write_text(gold if name == "gold" else page_html(pages[name]), encoding="utf-8")
    with open_page(path, dark=dark) as page:
        assert serious_findings(page, axe) == []


def test_axe_sees_a_page_with_faults(tmp_path: Path, axe: str) -> None:
    path = tmp_path / "page.html"
    guide = [("", "Judge it."), ("overall", "How good it is")]
    gold = render_gold_page(items(), choices=gold_choices(Scale.levels(6)), guide=guide)
    path.write_text(gold.replace(' lang="en"', ""), encoding="utf-8")
    with open_page(path) as page:
        assert "html-has-lang" in [each[1] for each in serious_findings(page, axe)]
