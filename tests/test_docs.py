"""The documentation is true: its code runs, its links resolve, its generated pages are fresh.

Conventions of a page (docs/*.md and README.md):

- Every ```python block is run, in the order of the page, in one namespace and one folder. The
  folder holds `pool.jsonl` and `demo/pool.jsonl` (a small demo pool: `messages`, `source`, `score`
  from 0 to 5, `true_score`), `demo/gold.jsonl` (its trusted scores) and `RUN`, a finished run.
- A ```text title="prints" block after it is what it prints; numbers with a decimal point may be
  off by 0.02, since processors round differently.
- A ```text title="NAME.py" block is what the script examples/NAME.py prints, likewise
  (tests/test_examples.py).
- `<!-- not run: reason -->` on the line before a block keeps it from being run.
- ```bash blocks of quickstart.md are run by a slow test; the `ds2` lines of all are checked.
"""

import contextlib
import importlib.util
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import unicodedata
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import ds2
from ds2.cli.app import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), ROOT / "README.md"]
HAND_WRITTEN = [page for page in PAGES if page.name not in {"cli.md", "recipe.md", "examples.md"}]
COMMANDS = get_command(app).commands

BLOCK = re.compile(
    r"^(?P<skip><!-- not run: (?P<reason>.+?) -->\n)?"
    r"^```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
LINK = re.compile(r"(?<!\\)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
NUMBER = re.compile(r"\d+\.\d+")


@dataclass(frozen=True)
class Block:
    language: str
    title: str | None
    text: str
    skipped: bool
    line: int


def blocks(page):
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            found["language"],
            found["title"],
            found["text"],
            found["skip"] is not None,
            text.count("\n", 0, found.start()) + 1,
        )
        for found in BLOCK.finditer(text)
    ]


def name_of(page):
    return str(page.relative_to(ROOT))


def pages_with(language):
    return [page for page in PAGES if any(b.language == language for b in blocks(page))]


def read(name):
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a small demo pool and a finished run of it."""
    folder = tmp_path_factory.mktemp("docs")
    make = [sys.executable, str(ROOT / "examples/demo/make_pool.py"), "demo", "--size", "300"]
    subprocess.run(make, cwd=folder, check=True, capture_output=True)
    shutil.copy(folder / "demo/pool.jsonl", folder / "pool.jsonl")
    pool, run = str(folder / "pool.jsonl"), str(folder / "RUN")
    for words in (
        ["init", run, "--pool", pool, "--scores", "score", "--scale", "levels:6"],
        ["run", run, "--set", "noise.n_bootstrap=20"],
    ):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
    return folder


def pages_to_run():
    """Pages with Python; those whose blocks take many seconds are marked slow."""
    slow = {"concepts.md", "choosing.md"}
    return [
        pytest.param(page, id=name_of(page), marks=[pytest.mark.slow] * (page.name in slow))
        for page in pages_with("python")
    ]


@pytest.mark.parametrize("page", pages_to_run())
def test_python_blocks_run_and_print_what_the_page_says(page, place, tmp_path, monkeypatch):
    shutil.copytree(place, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    namespace = {"__name__": "__main__"}
    printed = None
    for block in blocks(page):
        if block.language == "python" and not block.skipped:
            printed = run(block, page, namespace)
        elif block.title == "prints":
            assert printed is not None, f"{page.name}:{block.line} follows no block that was run"
            assert_same_output(printed, block.text)


def run(block, page, namespace):
    output = io.StringIO()
    # Padded, so that a traceback shows the line of the page.
    code = compile("\n" * block.line + block.text, str(page), "exec", dont_inherit=True)
    with contextlib.redirect_stdout(output), warnings.catch_warnings():
        warnings.simplefilter("ignore", ds2.Ds2Warning)
        exec(code, namespace)
    return output.getvalue()


def assert_same_output(printed, expected):
    assert NUMBER.sub("#", " ".join(printed.split())) == NUMBER.sub("#", " ".join(expected.split()))
    for got, wanted in zip(NUMBER.findall(printed), NUMBER.findall(expected), strict=True):
        assert float(got) == pytest.approx(float(wanted), abs=0.021), f"{printed}\n{expected}"


def test_a_block_that_is_not_run_says_why():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert text.count("<!-- not run") == sum(block.skipped for block in blocks(page)), page


def test_generated_pages_are_up_to_date():
    spec = importlib.util.spec_from_file_location("generate_docs", DOCS / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for path, text in generate.pages().items():
        assert path.read_text(encoding="utf-8") == text, f"run: python docs/generate.py ({path})"


def test_every_command_is_documented():
    headings = re.findall(r"^## ds2 (\S+)$", read("cli.md"), re.MULTILINE)
    assert headings == list(COMMANDS)


def test_every_public_name_is_in_the_api_page():
    listed = [line.rpartition(".")[2] for line in read("api.md").splitlines() if line[:3] == ":::"]
    assert sorted(listed) == sorted(set(ds2.__all__) - {"__version__"})


def test_the_run_folder_page_names_exactly_the_artefacts_of_a_run(place):
    table = read("run-folder.md").partition("| artefact |")[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    named = {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    assert named == {path.name for path in (place / "RUN").iterdir() if path.name[0] != "."}


def command_lines():
    """Every line of a page that calls ds2, as (page, words)."""
    for page in PAGES:
        for block in blocks(page):
            if block.language in {"bash", "sh", "console", "shell"}:
                for line in block.text.splitlines():
                    words = shlex.split(line.removeprefix("$ "), comments=True)
                    if words[:1] == ["ds2"]:
                        yield page, words[1:]


def named_command(words):
    """The command that a line calls, also one of a group; None where there is none."""
    command, below = None, COMMANDS
    for word in words:
        if not below:
            break
        command = below.get(word)
        below = getattr(command, "commands", None)
    return command


def test_every_command_line_of_a_page_exists():
    from ds2.runs import parse_overrides

    lines = list(command_lines())
    assert lines
    for page, words in lines:
        command = named_command(words)
        assert command is not None, f"{page.name}: ds2 {' '.join(words)}"
        known = {option for each in command.params for option in each.opts}
        options = {word for word in words if word.startswith("--")}
        assert options <= known, f"{page.name}: ds2 {' '.join(words)}"
        parse_overrides([words[i + 1] for i, word in enumerate(words) if word == "--set"])


def test_every_recipe_key_that_a_page_names_exists():
    from ds2.runs import make_recipe
    from ds2.runs.stages import STAGES

    recipe = make_recipe({"pool.path": "x"})
    keys = set(recipe.flat())
    sections = {key.partition(".")[0] for key in keys if "." in key}
    artefacts = {recipe.gold.path, *(name for stage in STAGES for name in stage.writes)}
    for page in HAND_WRITTEN:
        for name in re.findall(r"`([a-z]+\.[a-z_]+)(?: = [^`]+)?`", page.read_text("utf-8")):
            section, _, key = name.partition(".")
            if section in sections and name not in artefacts and key not in ("html", "json", "md"):
                assert name in keys, f"{page.name}: `{name}`"


def test_every_part_of_a_recipe_that_a_page_shows_is_one():
    from ds2.runs import Recipe, make_recipe

    shown = [tomllib.loads(b.text) for p in HAND_WRITTEN for b in blocks(p) if b.language == "toml"]
    parts = [part for part in shown if set(part) <= set(Recipe.model_fields)]
    assert len(parts) >= 3
    for part in parts:
        make_recipe({"pool.path": "x", **dotted(part)})


def dotted(part, above=""):
    """The settings of nested tables by dotted key."""
    flat = {}
    for key, value in part.items():
        flat |= dotted(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return flat


def test_internal_links_resolve():
    for page in PAGES:
        for found in LINK.finditer(without_code(page)):
            target, _, anchor = found["target"].partition("#")
            if re.match(r"[a-z]+:", target):
                continue
            path = (page.parent / target).resolve() if target else page
            assert path.exists(), f"{page.name}: {found['target']}"
            if anchor:
                assert anchor in anchors(path), f"{page.name}: {found['target']}"


def without_code(page):
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)


def anchors(page):
    return {slug(title) for title in re.findall(r"^#+ (.+)$", without_code(page), re.MULTILINE)}


def slug(title):
    """The anchor that both mkdocs and GitHub give to a plain heading."""
    text = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip())


def test_every_page_is_in_the_navigation():
    listed = re.findall(r"^ +- (?:[\w ]+: )?(\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in PAGES[:-1])


def test_the_rows_of_the_formats_page_are_what_their_headings_say(tmp_path):
    found = re.findall(r"^### (\S+)\n+```json\n(.+?)\n```$", read("formats.md"), re.MULTILINE)
    assert sorted(form for form, _ in found) == sorted(ds2.pool.FORMATS)
    for form, row in found:
        path = tmp_path / f"{form}.jsonl"
        path.write_text(row + "\n", encoding="utf-8")
        pool = ds2.read_pool(path)
        assert pool.format == form
        assert pool.column("score") == [7]
        assert [m.role for m in pool[0].messages][-2:] == ["user", "assistant"]


def test_quoted_warnings_are_warnings():
    source = "\n".join(p.read_text("utf-8") for p in (ROOT / "src").rglob("*.py"))
    source = re.sub(r"\"\s*\n\s*f?\"", "", source).lower()
    quoted = re.findall(r"^\| \"([^\"]+)\"", read("choosing.md"), re.MULTILINE)
    assert len(quoted) >= 5
    for phrase in quoted:
        for part in phrase.split("…"):
            assert part.strip() in source, phrase


def test_the_readme_fits_in_150_lines():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_version_is_the_same_everywhere():
    assert f'version: "{ds2.__version__}"' in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[([\d.]+)\]", changes, re.MULTILINE)[1] == ds2.__version__


def test_optional_packages_of_the_pages_are_those_of_the_extras():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [line for lines in project["optional-dependencies"].values() for line in lines]
    packages = {re.match(r"[\w-]+", line)[0] for line in needed}
    assert set(re.findall(r"`pip install ([\w-]+)`", read("choosing.md"))) == packages


@pytest.mark.slow
def test_the_quickstart_says_what_really_happens(tmp_path, monkeypatch):
    """Every block is run on the full demo pool; a ```text block after it is what it says."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    namespace = {"__name__": "__main__"}
    said, seconds = "", re.compile(r" in [\d.]+ s\b")
    page = DOCS / "quickstart.md"
    for block in blocks(page):
        if block.skipped:
            said = None
        elif block.language == "python":
            said = run(block, page, namespace)
        elif block.language == "bash":
            command = ["bash", "-e", "-c", f"({block.text}) 2>&1"]
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        elif said is not None:
            lines = {seconds.sub("", line) for line in said.splitlines()}
            missing = [x for x in block.text.splitlines() if seconds.sub("", x) not in lines]
            assert not missing, f"line {block.line}\n{said}"
    by_run, by_hand = ds2.read_pool("RUN/selected.jsonl"), ds2.read_pool("selected.jsonl")
    assert set(re.findall(r"`(ds2_\w+)`", read("quickstart.md"))) <= set(by_run.columns)
    assert by_hand.ids == by_run.ids[: len(by_hand)]


@pytest.mark.slow
def test_the_power_study_prints_what_the_page_says():
    script = ROOT / "examples/how_many_rows.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    shown = next(
        b.text
        for b in blocks(DOCS / "choosing.md")
        if "right before" in b.text and b.language == "text"
    )
    assert_same_output(done.stdout, shown)


@pytest.mark.slow
def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path):
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for page in tmp_path.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"<(?:script|img|link)[^>]+(?:src|href)=\"?https?:", text), page
