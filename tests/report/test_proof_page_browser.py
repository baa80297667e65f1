"""The proof page in a real browser: size, contrast, no request."""

from pathlib import Path

import pytest
from chromium import NEEDS_CHROMIUM, open_page
from proof_sample import compared, proof
from report_sample import HOSTILE

from ds2.report import render_proof

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


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_fits_and_is_quiet(tmp_path: Path, width: int, dark: bool) -> None:
    path = tmp_path / "proof.html"
    path.write_text(render_proof(proof(seeds=1 if dark else 3)), encoding="utf-8")
    with open_page(path, width=width, dark=dark) as page:
        wide, fits, small = page.run(FITS)
        assert wide == []
        assert fits
        assert small == []
        page.assert_quiet()


def test_hostile_names_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "proof.html"
    document = compared(tasks=HOSTILE[:4], arms=HOSTILE[4:8])
    path.write_text(render_proof({**document, "notes": HOSTILE}), encoding="utf-8")
    with open_page(path, width=390) as page:
        wide, fits, _ = page.run(FITS)
        assert (wide, fits) == ([], True)
        page.assert_quiet()
        assert page.run("return document.querySelectorAll('main img, main script').length") == 0
