"""The comparison in a real browser: map, keys, pointer, size, no request; axe-core on both pages."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from compare_sample import comparison, judge, judged
from report_sample import HOSTILE, Stages
from test_report_browser import BROWSER, FLAGS, browse

from ds2.report import ReportNumbers, choose_points, render_comparison, render_html
from ds2.report.map_layout import Layout

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="needs Debian's chromium"),
]
#: Drives the page in a frame and leaves what it found in an element, as JSON.
DRIVER = """<!DOCTYPE html><iframe src="compare.html" width="WIDTH" height="900"></iframe>
<pre id="found"></pre><script>
const frame = document.querySelector("iframe"), found = {};
frame.onload = async () => {
  const page = frame.contentDocument, view = frame.contentWindow;
  const get = (id) => page.getElementById(id), text = (id) => get(id).textContent.trim();
  const key = (name, more) => get("view").dispatchEvent(
    new view.KeyboardEvent("keydown", {key: name, bubbles: true, cancelable: true, ...more}));
  const choose = (id, value) => { get(id).value = value; get(id).dispatchEvent(new view.Event("change")); };
  const wait = () => new Promise((done) => setTimeout(done, 60));
  const picture = () => get("canvas").toDataURL().length;
  await wait();
  try { await (async () => { SCRIPT })(); } catch (error) { found.error = String(error.stack); }
  document.getElementById("found").textContent = JSON.stringify(found);
};
</script>"""
AXE = """<script>AXE</script><script>axe.run(document, {resultTypes: ["violations"]}).then((found) => {
  const bad = found.violations.map((each) => [each.impact, each.id, each.nodes.map((n) => n.html).slice(0, 3)]);
  const note = document.createElement("pre");
  note.id = "axe"; note.textContent = JSON.stringify({bad, passes: found.passes.length});
  document.body.append(note);
});</script>"""
#: The whole page counts, also what is folded away.
UNFOLD = (
    "<script>document.querySelectorAll('details').forEach((one) => { one.open = true; });</script>"
)


def page_of(n_points: int, stages: Stages, *, texts: tuple[str, ...] = ("text", "more")) -> str:
    rng = np.random.default_rng(0)
    layout = Layout(rng.standard_normal((400, 2)).astype(np.float32), "PCA", 0.3)
    chosen = {"ds2": np.arange(40), "random": np.arange(30, 70), "length": np.arange(200, 240)}
    points = choose_points(stages.pool, layout, chosen, rng.permutation(400))
    fields = {name: getattr(points, name) for name in points.__dataclass_fields__}
    fields["texts"] = tuple(f"{HOSTILE[i % 9]} {i}" for i in range(points.n_texts))
    judges = judge("rater", texts[0], judged("ds2", 0.5), judged("length", 0.01))
    return render_comparison(comparison(judges, texts=texts), type(points)(**fields))


def drive(folder: Path, script: str, *, width: int = 1200) -> dict:
    driver = DRIVER.replace("SCRIPT", script).replace("WIDTH", str(width))
    (folder / "driver.html").write_text(driver, encoding="utf-8")
    document, messages, hosts = browse(folder, "driver.html")
    assert "CONSOLE" not in messages, messages
    assert hosts == set()
    return json.loads(inside(document, "found"))


def inside(document: str, name: str) -> str:
    start = document.index(f'<pre id="{name}">') + len(f'<pre id="{name}">')
    raw = document[start : document.index("</pre>", start)]
    for shown, mark in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        raw = raw.replace(shown, mark)
    return raw


@pytest.fixture
def folder(tmp_path: Path, stages: Stages) -> Path:
    (tmp_path / "compare.html").write_text(page_of(400, stages), encoding="utf-8")
    return tmp_path


def test_page_opened_from_a_folder_is_quiet(folder: Path) -> None:
    document, messages, hosts = browse(folder, "compare.html")
    assert "CONSOLE" not in messages, messages
    assert hosts == set()
    assert "40</span>" in document  # the legend was drawn by the script


def test_pointer_shows_a_text_drags_and_taps(folder: Path) -> None:
    found = drive(
        folder,
        """
        const box = get("canvas").getBoundingClientRect(), target = get("view");
        const point = (type, x, y, more) => target.dispatchEvent(new view.PointerEvent(type,
          {clientX: box.left + x, clientY: box.top + y, bubbles: true, pointerId: 1, pointerType: "touch", ...more}));
        found.texts = [];
        for (let x = 100; x < box.width; x += 20) {
          point("pointermove", x, box.height / 2, {pointerType: "mouse"}); found.texts.push(text("shown"));
        }
        point("pointermove", 1, 1, {pointerType: "mouse"}); found.nothing = text("shown");
        point("pointerdown", box.width / 2, box.height / 2); found.tapped = text("shown");
        const before = picture(); get("in").click(); await wait();
        point("pointermove", box.width / 2 + 50, box.height / 2); point("pointerup", 0, 0); await wait();
        found.dragged = picture() !== before;
        """,
    )
    assert "error" not in found, found["error"]
    assert len(set(found["texts"])) > 5
    assert found["nothing"] == ""
    assert "Selected by" in found["tapped"]
    assert found["dragged"]


@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_fits(folder: Path, width: int) -> None:
    found = drive(
        folder,
        """
        page.querySelectorAll("details").forEach((one) => { one.open = true; });
        const root = page.documentElement;
        found.wide = [...page.querySelectorAll("body *")].filter((node) => !node.closest(".scroll, .skip")
          && node.getBoundingClientRect().right > root.clientWidth + 1).map((node) => node.outerHTML);
        found.fits = root.scrollWidth <= root.clientWidth;
        found.small = [...page.querySelectorAll("button, select")].filter((b) => b.offsetHeight < 24).length;
        """,
        width=width,
    )
    assert "error" not in found, found["error"]
    assert found["wide"] == []
    assert found["fits"]
    assert found["small"] == 0


def test_hostile_names_do_no_harm(tmp_path: Path, stages: Stages) -> None:
    (tmp_path / "compare.html").write_text(page_of(400, stages, texts=HOSTILE), encoding="utf-8")
    document, messages, hosts = browse(tmp_path, "compare.html")
    assert "CONSOLE" not in messages, messages
    assert hosts == set()
    assert document.count("<h1") == 1


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script of axe-core: from AXE_CORE, or from npm."""
    given = os.environ.get("AXE_CORE")
    if given:
        return Path(given).read_text(encoding="utf-8")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm to fetch axe-core, or its axe.min.js in AXE_CORE")
    place = tmp_path_factory.mktemp("axe")
    (place / "package.json").write_text("{}")
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "axe-core@4"]
    done = subprocess.run(command, cwd=place, capture_output=True, timeout=120, check=False)
    if done.returncode:
        pytest.skip("npm could not fetch axe-core (no network?)")
    return (place / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


def violations(folder: Path, page: str, axe: str, *flags: str) -> list[list]:
    """What axe-core finds serious in a page, everything unfolded, its policy taken off."""
    start = page.index('<meta http-equiv="Content-Security-Policy"')
    bare = page[:start] + page[page.index(">", start) + 1 :]
    (folder / "axe.html").write_text(
        bare.replace("</body>", UNFOLD + AXE.replace("AXE", axe, 1) + "</body>"), encoding="utf-8"
    )
    done = subprocess.run(
        [str(BROWSER), *FLAGS, *flags, f"--user-data-dir={folder / 'axe'}",
         (folder / "axe.html").as_uri()],
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    found = json.loads(inside(done.stdout.decode(), "axe"))
    assert found["passes"] > 10
    return [each for each in found["bad"] if each[0] in ("serious", "critical")]


@pytest.mark.parametrize("scheme", [0, 1], ids=["dark", "light"])
def test_axe_finds_nothing_serious(
    scheme: int, tmp_path: Path, stages: Stages, numbers: ReportNumbers, axe: str
) -> None:
    flag = f"--blink-settings=preferredColorScheme={scheme}"
    assert violations(tmp_path, page_of(400, stages), axe, flag) == []
    assert violations(tmp_path, render_html(numbers), axe, flag) == []


def test_axe_sees_a_page_with_faults(tmp_path: Path, stages: Stages, axe: str) -> None:
    faulty = page_of(400, stages).replace('<label for="one">', "<label>")
    assert "select-name" in [each[1] for each in violations(tmp_path, faulty, axe)]
