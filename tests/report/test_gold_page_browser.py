"""The page for scoring in a real browser: keys, undo, resume, download, and no request."""

import json
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ds2.pool import Message, read_pool
from ds2.rating import Scale, read_gold
from ds2.report import GoldItem, gold_choices, render_gold_page

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-sync", "--disable-background-networking", "--disable-component-update",
    "--allow-file-access-from-files", "--enable-logging=stderr", "--virtual-time-budget=5000",
    "--dump-dom",
]  # fmt: skip
IDS = ["a", "toString", "__proto__", "</script>", "é"]
#: Drives the page in a frame and leaves what it found in an element, as JSON.
DRIVER = """<!DOCTYPE html><iframe src="gold.html" width="WIDTH" height="700"></iframe>
<pre id="found"></pre><script>
const frame = document.querySelector("iframe"), found = {blobs: []};
const wait = () => new Promise((done) => setTimeout(done, 20));
frame.onload = async () => {
  const page = frame.contentDocument, view = frame.contentWindow;
  const text = (id) => page.getElementById(id).textContent.trim();
  const key = (name, target, more) => (target || page.activeElement || page.body).dispatchEvent(
    new view.KeyboardEvent("keydown", {key: name, bubbles: true, cancelable: true, ...more}));
  const make = view.URL.createObjectURL.bind(view.URL);
  view.URL.createObjectURL = (blob) => { found.blobs.push(blob); return make(blob); };
  view.HTMLAnchorElement.prototype.click = function () { found.name = this.download; };
  const all = (query) => [...page.querySelectorAll(query)];
  const pressed = () => all('[aria-pressed="true"]').map((button) => button.dataset.value);
  try { await (async () => { SCRIPT })(); } catch (error) { found.error = String(error.stack); }
  found.files = await Promise.all(found.blobs.map((blob) => blob.text()));
  document.getElementById("found").textContent = JSON.stringify(found);
};
</script>"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="needs Debian's chromium"),
]


def items():
    turns = (Message("user", "<b>Hi</b>"), Message("assistant", "<img src=http://127.0.0.1:9/>"))
    return [GoldItem(ident, turns, place % 2, 40 + place % 2) for place, ident in enumerate(IDS)]


@pytest.fixture
def folder(tmp_path):
    guide = [("", "Judge it."), ("overall", "<b>low</b> for what is wrong")]
    html = render_gold_page(items(), choices=gold_choices(Scale.levels(6)), guide=guide)
    (tmp_path / "gold.html").write_text(html, encoding="utf-8")
    return tmp_path


def drive(folder: Path, script: str, *, width: int = 900):
    """Run a script against the page; return what it found, and check that nothing was asked for."""
    driver = DRIVER.replace("SCRIPT", script).replace("WIDTH", str(width))
    (folder / "driver.html").write_text(driver, encoding="utf-8")
    log = folder / "net.json"
    done = subprocess.run(
        [
            str(BROWSER), *FLAGS, f"--user-data-dir={folder / 'profile'}",
            f"--log-net-log={log}", (folder / "driver.html").as_uri(),
        ],
        capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    events = json.loads(log.read_text())["events"]
    asked = {event.get("params", {}).get("url", "") for event in events}
    hosts = {urlsplit(url).hostname or "" for url in asked if url.startswith(("http", "ws"))}
    own = (".google.com", ".googleapis.com", ".gstatic.com", "google.com")
    assert {host for host in hosts if not host.endswith(own)} == set()
    assert b"CONSOLE" not in done.stderr, done.stderr.decode()
    document = done.stdout.decode()
    start = document.index('<pre id="found">') + len('<pre id="found">')
    raw = document[start : document.index("</pre>", start)]
    for name, mark in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        raw = raw.replace(name, mark)
    found = json.loads(raw)
    assert "error" not in found, found["error"]
    return found


def test_scores_by_key_undo_and_download(folder):
    found = drive(
        folder,
        """
        found.count = text("count");
        key("4"); found.after = [text("place"), text("status"), text("count")];
        key("s"); found.skipped = [text("place"), text("status")];
        key("2"); key("0"); key("5");
        found.end = [text("place"), text("count"), pressed()];
        key("u"); found.undone = [text("place"), text("status"), text("count")];
        key("u"); key("1");
        key("f"); found.first = text("place");
        key("7"); key("3", null, {ctrlKey: true}); key("3", null, {repeat: true});
        found.still = text("count");
        key("d"); page.getElementById("save").click();
        found.said = text("status");
        found.shown = page.getElementById("turns").textContent;
        found.tags = [...page.querySelectorAll("#turns *")].map((node) => node.localName);
        found.focus = page.activeElement.id;
        """,
    )
    assert found["count"] == "0 of 5 scored"
    assert found["after"] == ["Example 2 of 5", "Example 1 scored 4.", "1 of 5 scored"]
    assert found["skipped"] == ["Example 3 of 5", "Example 2 skipped."]
    assert found["end"] == ["Example 5 of 5", "4 of 5 scored", ["5"]]
    assert found["undone"][1] == "Undone: example 5 has no score."
    assert found["first"] == "Example 2 of 5"
    assert found["still"] == "3 of 5 scored"
    assert found["name"] == "gold-scores.jsonl"
    assert found["said"] == "Downloaded 3 scores as gold-scores.jsonl."
    assert "<b>Hi</b>" in found["shown"]
    assert set(found["tags"]) == {"article", "span", "p"}
    lines = [json.loads(line) for line in found["files"][0].splitlines()]
    assert [(line["id"], line["score"]) for line in lines] == [
        ("a", 4),
        ("__proto__", 2),
        ("</script>", 1),
    ]
    rows = [{"id": ident, "prompt": "p", "response": ident} for ident in IDS]
    (folder / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "gold.jsonl").write_text(found["files"][0], encoding="utf-8")
    gold = read_gold(read_pool(folder / "pool.jsonl"), folder / "gold.jsonl", scale="levels:6")
    assert gold.values[[0, 2, 3]].tolist() == [4, 2, 1]
    assert gold.weights()[[0, 2, 3]].tolist() == [20, 20, 41]
    assert gold.faults == gold.warnings == ()


def test_a_closed_page_goes_on_where_it_was(folder):
    first = drive(
        folder,
        """
        key("3"); key("n"); found.focus = page.activeElement.id;
        const note = page.getElementById("note");
        note.value = "2 is <i>fine</i>";
        note.dispatchEvent(new view.Event("input", {bubbles: true}));
        key("5", note); found.count = text("count");
        key("Enter", note); found.left = page.activeElement.id;
        key("1");
        await wait();
        """,
    )
    assert first["focus"] == "note"
    assert first["count"] == "1 of 5 scored", "digits in the note are text"
    assert first["left"] == "place"
    again = drive(
        folder,
        """
        found.start = [text("place"), text("count"), text("status")];
        key("ArrowLeft"); found.note = page.getElementById("note").value; found.pressed = pressed();
        key("x"); found.cleared = [text("count"), text("place")];
        key("u"); found.back = text("count");
        page.getElementById("save").click();
        """,
    )
    assert again["start"] == ["Example 3 of 5", "2 of 5 scored", "Welcome back: 2 scored so far."]
    assert again["note"] == "2 is <i>fine</i>"
    assert again["pressed"] == ["1"]
    assert again["cleared"] == ["1 of 5 scored", "Example 2 of 5"]
    assert again["back"] == "2 of 5 scored"
    assert json.loads(again["files"][0].splitlines()[1])["note"] == "2 is <i>fine</i>"


def test_earlier_scores_can_be_loaded_and_bad_storage_does_no_harm(folder):
    store = json.loads(
        (folder / "gold.html").read_text("utf-8").split('id="data">')[1].split("</script>")[0]
    )["store"]
    found = drive(
        folder,
        """
        const lines = ['{"id":"a","score":2,"note":"x"}', '{"id":"zz","score":2}', '{oops', '',
          '{"id":"toString","score":9}', '{"id":"é","score":0}'].join("\\n");
        const data = new view.DataTransfer();
        data.items.add(new view.File([lines], "gold.jsonl"));
        const file = page.getElementById("file");
        file.files = data.files; file.dispatchEvent(new view.Event("change", {bubbles: true}));
        await wait(); await wait();
        found.loaded = [text("status"), text("count")];
        view.localStorage.setItem("STORE", '{"scores": [["a", 77], ["b"]], "at": 99}');
        """.replace("STORE", store),
    )
    assert found["loaded"] == [
        "Loaded 2 scores from the file; 3 lines did not fit this page.",
        "2 of 5 scored",
    ]
    found = drive(folder, 'found.start = [text("place"), text("count")];')
    assert found["start"] == ["Example 1 of 5", "0 of 5 scored"]


@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_fits_and_every_button_has_a_name(folder, width):
    found = drive(
        folder,
        """
        const root = page.documentElement;
        found.fits = root.scrollWidth <= root.clientWidth;
        found.wide = all("body *").filter((node) => !node.closest(".skip")
          && node.getBoundingClientRect().right > root.clientWidth + 1).map((n) => n.outerHTML);
        const more = page.getElementById("more");
        found.folded = getComputedStyle(page.getElementById("extra")).display;
        if (more.offsetHeight) more.click();
        found.unfolded = [getComputedStyle(page.getElementById("extra")).display,
          more.getAttribute("aria-expanded"), more.textContent];
        found.nameless = all("button").filter((b) => !b.textContent.trim()).length;
        found.small = all("button, summary, input:not([hidden])")
          .filter((b) => b.offsetHeight && (b.offsetHeight < 44 || b.offsetWidth < 44))
          .map((b) => b.outerHTML);
        page.documentElement.scrollTop = 9999;
        const dock = page.querySelector(".dock").getBoundingClientRect();
        found.seen = [dock.bottom <= view.innerHeight + 1, dock.top > 0];
        """,
        width=width,
    )
    assert found["wide"] == []
    assert found["fits"]
    assert (found["nameless"], found["small"]) == (0, [])
    assert found["seen"] == [True, True], "the choices are always in reach"
    if width == 390:
        assert (found["folded"], found["unfolded"]) == ("none", ["block", "true", "Less"])
    else:
        assert found["folded"] == "flex"


def test_the_next_example_begins_at_its_top_and_the_guide_folds(folder):
    found = drive(
        folder,
        """
        const guide = page.getElementById("guide");
        found.open = guide.open;
        guide.open = true;
        page.documentElement.scrollTop = 9999;
        key("4");
        await wait();
        const top = page.getElementById("place").getBoundingClientRect().top;
        found.top = top >= 0 && top < page.querySelector(".dock").getBoundingClientRect().top;
        found.labels = all("#choices small").map((one) => one.textContent);
        found.guide = guide.textContent;
        """,
        width=390,
    )
    assert found["open"] is False, "a phone shows the example first"
    assert found["top"]
    assert found["labels"] == ["no use", "poor", "weak", "good", "very good", "the best"]
    assert "overall" in found["guide"]
    assert "<b>low</b> for what is wrong" in found["guide"]
