"""axe-core over every page that ds2 writes: nothing serious, light and dark, all of it unfolded."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from chromium import NEEDS_CHROMIUM, open_page
from report_sample import Stages
from test_compare_page_browser import page_of
from test_gold_page_browser import items

from ds2.rating import Scale
from ds2.report import ReportNumbers, render_html
from ds2.report.gold_page import gold_choices, render_gold_page

pytestmark = NEEDS_CHROMIUM
VERSION = "4.14.1"
RUN = """const done = arguments[arguments.length - 1];
document.querySelectorAll("details").forEach((one) => { one.open = true; });
axe.run(document, {resultTypes: ["violations"]}).then((found) => done({
  passes: found.passes.length,
  bad: found.violations.map((each) => [each.impact, each.id, each.nodes.map((n) => n.html)])}));"""


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script of axe-core: the file AXE_CORE, or from npm."""
    if given := os.environ.get("AXE_CORE"):
        return Path(given).read_text(encoding="utf-8")
    npm = shutil.which("npm")
    if npm is None and not os.environ.get("CI"):
        pytest.skip("needs npm to fetch axe-core, or its axe.min.js in AXE_CORE")
    folder = tmp_path_factory.mktemp("axe")
    fetch = [str(npm), "pack", "--silent", f"axe-core@{VERSION}"]
    subprocess.run(fetch, cwd=folder, timeout=120, check=True)
    shutil.unpack_archive(next(folder.glob("*.tgz")), folder, filter="data")
    return (folder / "package" / "axe.min.js").read_text(encoding="utf-8")


def serious(folder: Path, html: str, axe: str, *, dark: bool = False) -> list[list]:
    """What axe-core finds serious or critical in a page."""
    path = folder / "page.html"
    path.write_text(html, encoding="utf-8")
    with open_page(path, dark=dark) as page:
        page.run(axe)
        found = page.driver.execute_async_script(RUN)
    assert found["passes"] > 10
    return [each for each in found["bad"] if each[0] in ("serious", "critical")]


@pytest.fixture(params=["comparison", "report", "gold page"])
def html(request: pytest.FixtureRequest, stages: Stages, numbers: ReportNumbers) -> str:
    if request.param == "comparison":
        return page_of(stages)
    if request.param == "report":
        return render_html(numbers)
    return render_gold_page(items(), choices=gold_choices(Scale.levels(6)))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_serious(html: str, dark: bool, tmp_path: Path, axe: str) -> None:
    assert serious(tmp_path, html, axe, dark=dark) == []


def test_axe_sees_a_page_with_faults(tmp_path: Path, stages: Stages, axe: str) -> None:
    faulty = page_of(stages).replace('<label for="one">', "<label>")
    assert "select-name" in [each[1] for each in serious(tmp_path, faulty, axe)]
