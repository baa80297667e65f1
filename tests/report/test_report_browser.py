"""The report in a real browser: it asks for nothing, says nothing on the console, fits a phone."""

import json
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ds2.report import ReportNumbers, render_html

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--allow-file-access-from-files",
    "--enable-logging=stderr",
    "--virtual-time-budget=3000",
    "--dump-dom",
]
PROBE = """<!DOCTYPE html><title></title>
<iframe src="report.html" width="390" height="800"></iframe>
<script>document.querySelector("iframe").onload = (event) => {
  const page = event.target.contentDocument, root = page.documentElement;
  const wide = [...page.querySelectorAll("body *")].filter((node) =>
    !node.closest(".scroll, .skip, svg, details:not([open])")
    && node.getBoundingClientRect().right > root.clientWidth + 1);
  document.title = `${root.scrollWidth <= root.clientWidth} ${wide.map((node) => node.outerHTML)}`;
};</script>"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="needs Debian's chromium"),
]


def browse(folder: Path, page: str) -> tuple[str, str, set[str]]:
    """Open a page; return its document, the browser's messages, and the hosts that it asked for."""
    log = folder / "net.json"
    done = subprocess.run(
        [
            str(BROWSER), *FLAGS, f"--user-data-dir={folder / 'profile'}",
            f"--log-net-log={log}", (folder / page).as_uri(),
        ],
        capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    events = json.loads(log.read_text())["events"]
    asked = {event.get("params", {}).get("url", "") for event in events}
    hosts = {urlsplit(url).hostname or "" for url in asked if url.startswith(("http", "ws"))}
    own = (".google.com", ".googleapis.com", ".gstatic.com", "google.com")  # the browser's own
    return (
        done.stdout.decode(),
        done.stderr.decode(),
        {host for host in hosts if not host.endswith(own)},
    )


@pytest.mark.parametrize("fixture", ["numbers", "hostile"])
def test_page_is_quiet_and_fits_a_phone(
    fixture: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    numbers: ReportNumbers = request.getfixturevalue(fixture)
    (tmp_path / "report.html").write_text(render_html(numbers), encoding="utf-8")
    (tmp_path / "probe.html").write_text(PROBE, encoding="utf-8")
    document, messages, hosts = browse(tmp_path, "report.html")
    assert "CONSOLE" not in messages
    assert hosts == set()
    assert document.count("<h1") == 1
    assert "<script" not in document
    probe, messages, hosts = browse(tmp_path, "probe.html")
    assert "CONSOLE" not in messages
    assert hosts == set()
    assert "<title>true </title>" in probe


def test_the_checks_see_a_page_that_is_not_quiet(tmp_path: Path) -> None:
    loud = "<!DOCTYPE html><img src='http://127.0.0.1:9/x.png'><p style='width: 900px'>wide</p>"
    (tmp_path / "report.html").write_text(loud)
    (tmp_path / "probe.html").write_text(PROBE)
    _, _, hosts = browse(tmp_path, "report.html")
    assert hosts == {"127.0.0.1"}
    assert "<title>true </title>" not in browse(tmp_path, "probe.html")[0]
