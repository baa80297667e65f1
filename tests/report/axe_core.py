"""axe-core: where its script comes from, and what it finds serious in an open page."""

import os
import shutil
import subprocess
from pathlib import Path

from chromium import Page

VERSION = "4.14.1"
RUN = """const done = arguments[arguments.length - 1];
document.querySelectorAll("details").forEach((one) => { one.open = true; });
axe.run(document, {resultTypes: ["violations"]}).then((found) => done({
  passes: found.passes.length,
  bad: found.violations.map((each) => [each.impact, each.id, each.nodes.map((n) => n.html)])}));"""


def fetch_axe(folder: Path) -> str:
    """The script: the file AXE_CORE, or the npm package, unpacked in a folder."""
    if given := os.environ.get("AXE_CORE"):
        return Path(given).read_text(encoding="utf-8")
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("npm, to fetch axe-core; or its axe.min.js in AXE_CORE")
    fetch = [npm, "pack", "--silent", f"axe-core@{VERSION}"]
    subprocess.run(fetch, cwd=folder, timeout=120, check=True, stdout=subprocess.DEVNULL)
    shutil.unpack_archive(next(folder.glob("*.tgz")), folder, filter="data")
    return (folder / "package" / "axe.min.js").read_text(encoding="utf-8")


def serious_findings(page: Page, axe: str) -> list[list]:
    """What axe-core finds serious or critical in a page, all of it unfolded."""
    page.run(axe)
    found = page.driver.execute_async_script(RUN)
    assert found["passes"] > 10
    return [each for each in found["bad"] if each[0] in ("serious", "critical")]
