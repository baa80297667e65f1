"""The commands: what goes to stdout, what to stderr, and with which exit code they end."""

import inspect
import io
import json
import re
import sys
import tomllib
import types
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ds2._version import __version__
from ds2.cli import progress
from ds2.cli.app import app
from ds2.cli.base import printable
from ds2.errors import InputError, RunError
from ds2.runs import Job, Listener, Made, locked
from ds2.runs.stages import STAGES

STAGE_NAMES = [stage.name for stage in STAGES]
SUMMARIES = {
    "pool": {"n_examples": 1200, "n_rejected": 3, "format": "alpaca"},
    "rate": {
        "n_examples": 1200,
        "n_rated": 1190,
        "n_scores": 6,
        "problems": {"missing": 10},
        "rater": "score",
    },
    "embed": {"name": "wordllama", "dimension": 256, "n_reused": 7},
    "neighbors": {"k": 10, "method": "exact", "recall": 1.0, "n_duplicates": 12},
    "noise": {
        "error_rate": 0.374,
        "rho": 1.0,
        "lift": 0.19,
        "lift_low": 0.17,
        "lift_high": None,
        "n_neighbors": 2,
        "converged": True,
    },
    "curate": {"method": "ds2", "gate": "fired", "n_misrated": 40, "n_changed": 31},
    "select": {"method": "ds2", "n_selected": 120, "dropped": {"duplicate": 4}},
    "report": {
        "state": "use it with care",
        "reason": "Raters agree by 0.5\u00a0or so.",
        "next": "ds2 export RUN --tool trl",
        "verdict": ["How noisy? 37\u00a0% are wrong.", "How sure? Very."],
        "notes": ["noise: Look \x1b[31mout."],
    },
}


def invoke(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


#: A pool of one row.
ROW = '{"prompt": "a", "response": "b", "score": 7}'


@pytest.fixture
def steps(monkeypatch) -> dict[str, Callable[[Job], Made]]:
    def step(name: str, writes: tuple[str, ...]) -> Callable[[Job], Made]:
        def write(job: Job) -> Made:
            for file in writes:
                (job.folder / file).write_text(name)
            return Made(SUMMARIES[name], ("Look \x1b[31mout.\n",) if name == "noise" else ())

        return write

    steps = {stage.name: step(stage.name, stage.writes) for stage in STAGES}
    monkeypatch.setitem(sys.modules, "ds2.runs.steps", types.SimpleNamespace(STEPS=steps))
    return steps


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "pool.jsonl").write_text(ROW)
    made = invoke("init", tmp_path / "run", "--pool", tmp_path / "pool.jsonl", "--scores", "score")
    assert made.exit_code == 0
    return tmp_path / "run"


def test_a_rate_is_counted_from_the_first_sign_of_progress(monkeypatch):
    now = 9_000.0
    monkeypatch.setattr("ds2.cli.progress.time.monotonic", lambda: now)
    pace = progress.Pace()
    assert pace.count(1000, 0) == "1,000"
    now += 2.0
    assert pace.count(1500, 0) == "1,500 (250 per second)"
    assert pace.count(0, 10) == "0 of 10"  # of something else


def test_version_and_help():
    assert invoke("--version").stdout == f"ds2 {__version__}\n"
    shown = invoke("--help")
    assert shown.exit_code == 0
    for name in ("init", "run", "status", "doctor", *STAGE_NAMES):
        assert f"\n  {name} " in shown.stdout


@pytest.mark.parametrize("name", ["init", "run", "status", "doctor", *STAGE_NAMES])
def test_every_command_has_help_and_json(name):
    shown = invoke(name, "--help")
    assert shown.exit_code == 0
    assert "--json" in shown.stdout


def test_a_wrong_command_is_named_with_the_nearest():
    result = invoke("statsu")
    assert result.exit_code == 2
    assert "statsu" in result.stderr


def test_init_writes_a_recipe_with_absolute_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("pool.jsonl").write_text(ROW)
    Path("scores.csv").write_text("rows")
    result = invoke(
        "init", "deep/run", "--pool", "pool.jsonl", "--scores", "scores.csv", "--scale", "0-5"
    )
    assert result.exit_code == 0, result.stderr
    assert "ds2 run deep/run" in result.stdout
    recipe = tomllib.loads(Path("deep/run/recipe.toml").read_text())
    assert recipe["pool"]["path"] == str(tmp_path / "pool.jsonl")
    assert recipe["scores"]["file"] == str(tmp_path / "scores.csv")
    assert recipe["scores"]["scale"] == "0-5"
    assert "column" not in recipe["scores"]
    assert invoke("init", "hub", "--pool", "hf:org/name").exit_code == 0
    assert tomllib.loads(Path("hub/recipe.toml").read_text())["pool"]["path"] == "hf:org/name"


def test_init_twice_is_once_and_another_run_is_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("pool.jsonl").write_text(ROW)
    Path("run").mkdir()
    Path("run/notes.txt").write_text("mine")
    assert invoke("init", "run", "--pool", "pool.jsonl").exit_code == 0
    recipe = Path("run/recipe.toml")
    recipe.write_text(recipe.read_text() + "\n# a note of mine\n")
    before = recipe.read_text()
    again = invoke("init", "run", "--pool", "pool.jsonl")
    assert (again.exit_code, recipe.read_text()) == (0, before)
    for change in ("seed = 1", "seed = [", "seed = 0\nnew_key = 1"):
        recipe.write_text(before.replace("seed = 0", change))
        other = invoke("init", "run", "--pool", "pool.jsonl")
        assert other.exit_code == 2
        assert "'run' is a run folder already" in other.stderr
        assert change in recipe.read_text()
    recipe.unlink()
    Path("run/selected").mkdir()
    Path("run/selected/part-00000.parquet").write_text("mine")
    held = invoke("init", "run", "--pool", "pool.jsonl")
    assert held.exit_code == 2
    assert "'run' holds 'selected', which a run would replace" in held.stderr
    Path("run/selected.jsonl").write_text("mine")
    held = invoke("init", "run", "--pool", "pool.jsonl")
    assert held.exit_code == 2
    assert "'run' holds 'selected.jsonl', which a run would replace" in held.stderr


def test_init_with_the_settings_of_the_paper_says_what_differs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    Path("pool.jsonl").write_text(ROW)
    words = ("init", "run", "--pool", "pool.jsonl", "--paper", "--rater", "gpt-4o-mini")
    made = invoke(*words)
    assert made.exit_code == 0
    size, wrote = made.stdout.splitlines()
    assert "10,000 examples" in size
    assert "select.size" in size
    assert wrote.endswith("ds2 run run")
    assert "\nwarning: The recipe has the embedder 'wordllama'" in made.stderr
    assert made.stderr.count("\n") == 3
    recipe = tomllib.loads(Path("run/recipe.toml").read_text())
    assert recipe["raters"]["gpt-4o-mini"]["model"] == "gpt-4o-mini"
    assert (recipe["curate"]["method"], recipe["select"]["size"]) == ("ds2", 10_000)
    again = invoke(*words, "--json")
    assert json.loads(again.stdout) == {"run": "run", "recipe": "run/recipe.toml"}
    plain = invoke("init", "plain", "--pool", "pool.jsonl")
    assert plain.stdout.count("\n") == 1
    assert "warning" not in plain.stderr


def test_names_are_quoted_in_the_line_to_paste(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("pool.jsonl").write_text(ROW)
    assert "ds2 init 'my run' --pool FILE" in invoke("run", "my run").stderr
    assert "ds2 run 'my run'\n" in invoke("init", "my run", "--pool", "pool.jsonl").stdout
    assert "next       ds2 run 'my run'\n" in invoke("status", "my run").stdout


def test_a_path_that_is_not_utf8_is_refused(tmp_path):
    path = tmp_path / "p\udcff.jsonl"
    path.write_text(ROW)
    result = invoke("init", tmp_path / "run", "--pool", path)
    assert result.exit_code == 2
    assert "unable to parse raw data as a unicode string" in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("init", "new", "--pool", "x" * 300), "which cannot be read: File name too long"),
        (("init", "new", "--pool", "pool.jsonl", "--scale", "great"), "must be a range such as"),
        (("init", "new", "--pool", "pol.jsonl"), "Did you mean 'pool.jsonl'?"),
        (("init", "new", "--pool", "pool.jsonl", "--scores", "s.csv"), "--scores names 's.csv'"),
        (("init", "new"), "--pool"),
        (("init", "run", "--pool", "pool.jsonl"), "is a run folder already"),
        (("init", "pool.jsonl", "--pool", "pool.jsonl"), "is a file, not a folder"),
        (("init", "pool.jsonl/x", "--pool", "pool.jsonl"), "could not be written"),
        (("run", "nowhere"), "does not exist. Make it one with: ds2 init nowhere --pool FILE"),
        (("status", "."), "holds no recipe.toml. Make it one with: ds2 init . --pool FILE"),
        (("run", "pool.jsonl"), "is a file, not a run folder"),
        (("run", "run", "--set", "select.sise=5"), "Did you mean 'select.size'?"),
        (("run", "run", "--set", "select.size=0"), "'select.size': Input should be"),
        (
            ("run", "run", "--set", "neighbors.k=0"),
            "'neighbors.k': Input should be greater than or equal to 2. Got 0.",
        ),
        (("run", "run", "--set", "select.method=ds-2"), "Did you mean 'ds2'?"),
        (("status", "run", "--set", "what"), "--set takes KEY=VALUE"),
        (("run", "run", "--set", "pool.path=nowhere.jsonl"), "which does not exist"),
        (("rate",), "RUN"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_code_2(folder, monkeypatch, steps, words, says):
    monkeypatch.chdir(folder.parent)
    result = invoke(*words)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.output


def test_run_prints_numbers_on_stdout_and_progress_on_stderr(folder, steps):
    result = invoke("run", folder)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [
        "How noisy? 37 % are wrong.",
        "How sure? Very.",
        "warning    noise: Look \\x1b[31mout.",
        f"selected   {folder / 'selected.jsonl'}",
        f"report     {folder / 'report.html'}",
        "state      use it with care",
        "reason     Raters agree by 0.5 or so.",
        f"next       ds2 export {folder} --tool trl",
    ]
    for part in ("1,200 examples", "10 missing", "share of wrong scores 0.37", "120 examples"):
        assert part in result.stderr
    assert "embed      embed the conversations" in result.stderr
    assert re.search(r"embed      done in \d+\.\d s: wordllama, 256 dimensions", result.stderr)
    assert result.stderr.count("warning: Look \\x1b[31mout.\\n\n") == 1
    again = invoke("run", folder)
    assert again.stdout == result.stdout
    assert "embed      fresh: wordllama" in again.stderr


def test_requests_without_a_reply_are_sent_before_anything_else(folder, steps):
    step = steps["rate"]
    steps["rate"] = lambda job: Made({**step(job).summary, "unanswered": 30, "stopped": []})
    partial, state, _, following = invoke("run", folder).stdout.splitlines()[-4:]
    assert partial == "partial    30 requests have no reply; they are sent again"
    assert state == "state      use it with care"
    assert following == f"next       ds2 run {folder}"


def test_run_as_json_is_one_document(folder, steps):
    document = json.loads(invoke("run", folder, "--set", "select.size=5", "--json").stdout)
    assert [stage["state"] for stage in document["stages"]] == ["done"] * 8
    assert document["summary"] == SUMMARIES
    assert document["warnings"] == ["Look \x1b[31mout.\n"]
    assert document["files"]["selected"] == str(folder / "selected.jsonl")


def test_every_stage_has_its_phrase(folder, steps):
    invoke("run", folder)
    assert invoke("status", folder).stdout.splitlines() == [
        "pool       fresh    1,200 examples, format alpaca, 3 rows set aside in rejects.jsonl",
        "rate       fresh    1,190 of 1,200 rated, scores 0 to 5, 10 missing",
        "embed      fresh    wordllama, 256 dimensions, 7 vectors reused",
        "neighbors  fresh    10 each, exact, recall 1.000, 12 exact duplicates",
        "noise      fresh    share of wrong scores 0.37 at rho = 1; lift 0.19 [0.17, unknown]",
        "curate     fresh    31 scores changed by method ds2; the gate fired",
        "select     fresh    120 examples by method ds2; left out: 4 duplicate",
        "report     fresh    report.html, report.md, report.json",
    ]


def test_a_stage_command_prints_its_own_numbers(folder, steps):
    assert invoke("neighbors", folder).stdout == (
        "neighbors  10 each, exact, recall 1.000, 12 exact duplicates\n"
    )


def test_a_stage_command_stops_after_its_stage(folder, steps):
    result = invoke("noise", folder, "--json")
    document = json.loads(result.stdout)
    assert [stage["stage"] for stage in document["stages"]] == [
        "pool",
        "rate",
        "embed",
        "neighbors",
        "noise",
    ]
    assert document["files"] == {}


def test_status_says_what_is_fresh_and_why_not(folder, steps):
    assert invoke("status", folder).stdout.count("missing") == 8
    invoke("run", folder)
    fresh = invoke("status", folder)
    assert fresh.stdout.count(" fresh ") == 8
    assert "1,190 of 1,200 rated" in fresh.stdout
    (folder / "noise.json").write_text("half")
    stale = invoke("status", folder, "--set", "select.size=7")
    assert "noise      stale    noise.json is not what was written" in stale.stdout
    assert "select.size is now 7, was 0.1" in stale.stdout
    assert f"next       ds2 run {folder}" in stale.stdout
    document = json.loads(invoke("status", folder, "--json").stdout)
    assert {stage["stage"]: stage["state"] for stage in document["stages"]}["noise"] == "stale"
    assert document["pid"] is None


def test_status_shows_a_failure_and_who_works_here(folder, steps):
    def fail(job: Job) -> Made:
        raise InputError("The scores are \x07 all equal.")

    steps["noise"] = fail
    result = invoke("run", folder)
    assert result.exit_code == 2
    assert result.stderr.endswith("error: [noise] The scores are \\x07 all equal.\n")
    with locked(folder):
        shown = invoke("status", folder).stdout
    assert "noise      failed   [noise] The scores are \\x07 all equal." in shown
    assert "is working on this run" in shown


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (InputError("wrong"), 2, "error: [embed] wrong\n"),
        (RunError("stuck"), 1, "error: stuck\n"),
        (OSError(28, "No space left on device"), 2, "The disk is full"),
        (OSError(30, "Read-only file system"), 2, "read-only"),
        (KeyboardInterrupt(), 130, "The same command goes on behind them."),
    ],
)
def test_errors_become_sentences_and_exit_codes(folder, steps, error, code, says):
    def fail(job: Job) -> Made:
        raise error

    steps["embed"] = fail
    result = invoke("run", folder)
    assert result.exit_code == code
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


def test_a_second_process_is_told(folder, steps):
    with locked(folder):
        result = invoke("run", folder)
    assert result.exit_code == 1
    assert "is working on" in result.stderr


def test_a_folder_of_a_newer_ds2_is_refused(folder, steps):
    (folder / "manifest.json").write_text('{"schema_version": 9}')
    for command in ("run", "status"):
        result = invoke(command, folder)
        assert result.exit_code == 2
        assert "newer ds2" in result.stderr


def test_doctor(monkeypatch):
    shown = invoke("doctor")
    assert shown.exit_code == 0
    assert "everything that a run needs is here" in shown.stdout
    document = json.loads(invoke("doctor", "--json").stdout)
    assert document["cores"] >= 1
    assert document["embedders"]["wordllama"] == "ready"
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    needed = {re.split(r"[^\w-]", line)[0] for line in project["dependencies"]}
    assert set(document["packages"]) == needed
    monkeypatch.setattr("ds2.cli.app.requires", lambda _: ["nowhere"])
    monkeypatch.setattr("ds2.cli.app._embedders", lambda installed: {})
    missing = invoke("doctor")
    assert missing.exit_code == 1
    assert "pip install nowhere" in missing.stdout


def test_both_listeners_hear_everything():
    for name, method in inspect.getmembers(Listener, inspect.isfunction):
        if not name.startswith("_"):
            for kind in (progress.Lines, progress.Live):
                assert getattr(kind, name) is not method, "one that is not overridden says nothing"
                assert inspect.signature(getattr(kind, name)) == inspect.signature(method)


def test_lines_tell_the_rate_and_the_time_left_now_and_then(capsys, monkeypatch):
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    lines = progress.Lines()
    lines.started("embed", "embed the conversations")
    for now, done in ((4.0, 0), (5.0, 100), (24.0, 400), (25.0, 420)):  # noqa: B007
        lines.progress(done, 1000)
    assert capsys.readouterr().err.splitlines()[1:] == [
        "embed      400 of 1,000 (20 per second, 30 s left)"
    ]


def test_on_a_terminal_progress_is_live_and_text_is_never_markup(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress.listening() as listener:
        assert isinstance(listener, progress.Live)
        listener.started("embed", "embed the conversations")
        listener.progress(0, 2000)
        assert listener._progress.tasks[0].fields["count"] == "0 of 2,000"
        listener.progress(1000, 2000)
        assert re.fullmatch(
            r"1,000 of 2,000 \([\d,]+ per second, 0 s left\)",
            listener._progress.tasks[0].fields["count"],
        )
        listener.warning("[red]not markup[/red] :smile: \x1b]0;title\x07")
        listener.finished("embed", "done", 1.25, SUMMARIES["embed"])
        listener.started("noise", "estimate the transition matrix")
        (task,) = listener._progress.tasks
        assert (task.total, task.description) == (None, "noise      estimate the transition matrix")
        listener.finished("noise", "done", 0.5, SUMMARIES["noise"])
        listener.finished("report", "fresh", 0.0, SUMMARIES["report"])
    err = capsys.readouterr().err
    assert "warning: [red]not markup[/red] :smile: \\x1b]0;title\\x07" in err
    assert "embed      done in 1.2 s: wordllama" in err
    assert err.endswith("\x1b[?25h\r\n")  # the result stands apart


def test_text_is_shown_and_never_obeyed():
    assert printable("é 日本 x") == "é 日本 x"
    assert printable("a\x1b[2J\n\u202e\ud800") == "a\\x1b[2J\\n\\u202e\\ud800"


def test_progress_that_nobody_reads_any_more_stops_nothing(monkeypatch):
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", Closed())
    heard = progress.Lines()
    heard.started("pool", "read the pool")
    heard.warning("Look out.")
