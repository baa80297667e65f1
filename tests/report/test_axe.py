"""axe-core over every page that ds2 writes: nothing serious, light and dark, all of it unfolded."""

import os
import shutil
from pathlib import Path

import pytest
from axe_core import fetch_axe, serious_findings
from chromium import NEEDS_CHROMIUM, open_page
from proof_sample import proof
from report_sample import Stages
from test_compare_page_browser import page_of
from test_gold_page_browser import items

from ds2.rating import Scale
from ds2.report import ReportNumbers, render_html, render_proof
from ds2.report.gold_page import gold_choices, render_gold_page

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    if not (shutil.which("npm") or os.environ.get("AXE_CORE") or os.environ.get("CI")):
        pytest.skip("needs npm to fetch axe-core, or its axe.min.js in AXE_CORE")
    return fetch_axe(tmp_path_factory.mktemp("axe"))


def serious(folder: Path, html: str, axe: str, *, dark: bool = False) -> list[list]:
    path = folder / "page.html"
    path.write_text(html, encoding="utf-8")
    with open_page(path, dark=dark) as page:
        return serious_findings(page, axe)


@pytest.fixture(params=["comparison", "report", "gold page", "proof"])
def html(request: pytest.FixtureRequest, stages: Stages, numbers: ReportNumbers) -> str:
    if request.param == "comparison":
        return page_of(stages)
    if request.param == "proof":
        return render_proof(proof())
    if request.param == "report":
        return render_html(numbers)
    return render_gold_page(items(), choices=gold_choices(Scale.levels(6)))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_serious(html: str, dark: bool, tmp_path: Path, axe: str) -> None:
    assert serious(tmp_path, html, axe, dark=dark) == []


def test_axe_sees_a_page_with_faults(tmp_path: Path, stages: Stages, axe: str) -> None:
    faulty = page_of(stages).replace('<label for="one">', "<label>")
    assert "select-name" in [each[1] for each in serious(tmp_path, faulty, axe)]
