"""The loop over stages, with scripted stages: what is redone, what is kept, what is remembered."""

import json
import os
import shutil
import types
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from ds2.errors import Ds2Warning, InputError, RunError
from ds2.runs import Job, Listener, Made, init_run, parse_overrides, read_manifest, run, status
from ds2.runs import folder as run_folder
from ds2.runs.folder import FileHash
from ds2.runs.recipe_file import file_in
from ds2.runs.stages import STAGES, settings_of, stages_until

ALL = [stage.name for stage in STAGES]


class Script:
    """Stages that write what they read, in order of their calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.hooks: dict[str, Callable[[Job], None]] = {}
        self.STEPS = {name: self._step(name) for name in ALL}

    def _step(self, name: str) -> Callable[[Job], Made]:
        stage = next(stage for stage in STAGES if stage.name == name)

        def step(job: Job) -> Made:
            self.calls.append(name)
            sources = [(job.folder / file).read_text() for file in stage.reads]
            settings = {} if name == "report" else settings_of(stage, job.recipe.flat())
            files = [settings.pop(key) for key in list(settings) if file_in(key)]
            paths = [job.folder / str(file) for file in files if isinstance(file, str)]
            sources += [path.read_text() for path in paths if path.is_file()]
            for file in stage.writes:
                (job.folder / file).write_text(json.dumps([file, settings, sources]))
            if name in self.hooks:
                self.hooks[name](job)
            return Made({"n": 1}, ("Look out.",) if name == "noise" else ())

        return step

    def take_calls(self) -> list[str]:
        calls, self.calls = self.calls, []
        return calls


@pytest.fixture
def script(monkeypatch) -> Script:
    script = Script()
    module = types.SimpleNamespace(STEPS=script.STEPS)
    monkeypatch.setitem(__import__("sys").modules, "ds2.runs.steps", module)
    return script


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "pool.jsonl").write_text('{"prompt": "a", "response": "b", "score": 7}')
    init_run(tmp_path / "run", pool=str(tmp_path / "pool.jsonl"), scores="score")
    return tmp_path / "run"


def states(folder: Path, *settings: str) -> dict[str, str]:
    found = status(folder, overrides=parse_overrides(settings))
    return {verdict.stage: verdict.state for verdict in found.stages}


def reasons(folder: Path, stage: str, *settings: str) -> str:
    found = status(folder, overrides=parse_overrides(settings))
    return "; ".join(next(v for v in found.stages if v.stage == stage).reasons)


def test_a_run_goes_through_all_stages_and_then_skips_them(script, folder):
    assert set(states(folder).values()) == {"missing"}
    first = run(folder)
    assert script.take_calls() == ALL
    assert [outcome.state for outcome in first.stages] == ["done"] * 8
    assert set(states(folder).values()) == {"fresh"}
    second = run(folder)
    assert script.take_calls() == []
    assert [outcome.state for outcome in second.stages] == ["fresh"] * 8
    assert second.summary == first.summary
    assert second.warnings == ("Look out.",)


def test_a_stage_command_runs_only_what_the_stage_needs(script, folder):
    assert [stage.name for stage in stages_until("noise")] == ALL[:5]
    run(folder, until="embed")
    assert script.take_calls() == ["pool", "embed"]
    run(folder, until="noise")
    assert script.take_calls() == ["rate", "neighbors", "noise"]
    with pytest.raises(InputError, match="'nose' is no stage"):
        run(folder, until="nose")


@pytest.mark.parametrize(
    ("setting", "redone"),
    [
        ("select.size=5", ["select", "report"]),
        ("report.title=x", ["report"]),
        ("noise.rho=0.5", ["noise", "curate", "select", "report"]),
        ("embed.batch_size=7", ["report"]),
        ("neighbors.k=5", ["neighbors", "noise", "curate", "select", "report"]),
        ("scores.true_column=t", ["report"]),
    ],
)
def test_a_changed_setting_redoes_its_stage_and_what_follows(script, folder, setting, redone):
    run(folder)
    script.take_calls()
    overrides = parse_overrides([setting])
    key = next(iter(overrides))
    assert states(folder, setting)[redone[0]] == "stale"
    assert key in reasons(folder, redone[0], setting)
    run(folder, overrides=overrides)
    assert script.take_calls() == redone
    run(folder, overrides=overrides)
    assert script.take_calls() == []
    run(folder)  # an override holds for one call: the recipe rules again
    assert script.take_calls() == redone


@pytest.mark.parametrize(
    ("key", "stage"),
    [
        ("select.tokenizer", "select"),
        ("select.likelihood_model", "select"),
        ("embed.model", "embed"),
        ("raters.local.model", "rate"),
    ],
)
def test_what_may_be_a_file_is_an_input_where_it_is_one(script, folder, tmp_path, key, stage):
    run(folder, overrides={key: "org/name"})
    place = tmp_path / "model.gguf"
    place.mkdir()
    (place / "weights").write_text("1")
    setting = f"{key}={place}"
    run(folder, overrides=parse_overrides([setting]))
    assert set(states(folder, setting).values()) == {"fresh"}
    (place / "weights").write_text("2 and more")
    assert f"the file that {key} names has changed" in reasons(folder, stage, setting)
    script.take_calls()
    run(folder, overrides=parse_overrides([setting]))
    assert script.take_calls()[0] == stage


def test_a_setting_that_is_not_given_is_called_so(script, folder):
    run(folder, overrides={"scores.true_column": "t"})
    said = "scores.true_column is now not given, was 't' by --set"
    assert reasons(folder, "report") == said
    recipe = folder / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("# true_column =", 'true_column = "t"'))
    assert states(folder)["report"] == "fresh"
    recipe.write_text(recipe.read_text().replace('true_column = "t"', "# true_column ="))
    run(folder)
    recipe.write_text(recipe.read_text().replace("# true_column =", 'true_column = "u"'))
    assert reasons(folder, "report") == "scores.true_column is now 'u', was not given"


def test_a_changed_pool_redoes_everything_and_a_touched_one_nothing(script, folder):
    run(folder)
    script.take_calls()
    pool = folder.parent / "pool.jsonl"
    os.utime(pool, ns=(1, 1))
    run(folder)
    assert script.take_calls() == []
    pool.write_text("other rows")
    assert "the file that pool.path names has changed" in reasons(folder, "pool")
    assert reasons(folder, "rate") == "pool comes first and is not fresh"
    run(folder)
    assert script.take_calls() == ALL


def test_work_stops_where_a_redone_stage_gives_the_same_bytes(script, folder):
    run(folder)
    script.take_calls()
    (folder / "neighbors.npz").unlink()
    assert reasons(folder, "neighbors") == "neighbors.npz is missing"
    run(folder)
    assert script.take_calls() == ["neighbors"]


def test_a_damaged_artefact_is_not_believed(script, folder):
    run(folder)
    script.take_calls()
    path = folder / "noise.json"
    text = path.read_text()
    stat = path.stat()
    path.write_text(text[:-1] + "!")  # the same size
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns - 1))
    assert reasons(folder, "noise") == "noise.json is not what was written"
    run(folder)
    assert script.take_calls() == ["noise"]
    assert path.read_text() == text


def test_an_artefact_is_read_again_only_where_its_time_is_another(
    script, folder, tmp_path, monkeypatch
):
    run(folder)
    script.take_calls()
    read, hash_file = [], run_folder.hash_file

    def noted(path: Path) -> FileHash:
        read.append(path.name)
        return hash_file(path)

    monkeypatch.setattr(run_folder, "hash_file", noted)
    assert {stage.state for stage in status(folder).stages} == {"fresh"}
    assert read == []
    (folder / "neighbors.npz").touch()
    assert {stage.state for stage in status(folder).stages} == {"fresh"}
    assert read == ["neighbors.npz"]
    copy = tmp_path / "copy" / folder.name
    shutil.copytree(folder, copy, copy_function=shutil.copyfile)  # with new times
    assert {stage.state for stage in status(copy).stages} == {"fresh"}
    assert {"pool.arrow", "embeddings.npy", "neighbors.npz"} <= set(read)
    run(copy)
    read.clear()
    assert {stage.state for stage in status(copy).stages} == {"fresh"}
    assert read == []


def test_an_artefact_that_cannot_be_read_is_made_again(script, folder, monkeypatch):
    run(folder)
    script.take_calls()
    (folder / "noise.json").touch()
    hash_file, forbidden = run_folder.hash_file, (folder / "noise.json").stat().st_mtime_ns

    def refuse(path: Path) -> FileHash:
        if path.stat().st_mtime_ns == forbidden:
            raise PermissionError(13, "Permission denied")
        return hash_file(path)

    monkeypatch.setattr(run_folder, "hash_file", refuse)
    assert reasons(folder, "noise") == "noise.json cannot be read (Permission denied)"
    run(folder)
    assert script.take_calls() == ["noise"]


def test_an_error_names_the_section_whose_keys_its_words_are(script, folder):
    def fail(job: Job) -> None:
        raise InputError("'rho' is wrong.")

    script.hooks["noise"] = fail
    with pytest.raises(InputError, match=r"^\[noise\] 'rho' is wrong\.$"):
        run(folder)
    assert reasons(folder, "noise") == "[noise] 'rho' is wrong."


def test_another_version_of_ds2_redoes_everything(script, folder, monkeypatch):
    run(folder)
    script.take_calls()
    monkeypatch.setattr("ds2.runs.folder.__version__", "9.9.9")
    assert "made by ds2" in reasons(folder, "pool")
    monkeypatch.setattr("ds2.runs.loop.__version__", "9.9.9")
    run(folder)
    assert script.take_calls() == ALL


@pytest.mark.parametrize(
    ("stage", "kept"),
    [
        ("embed", "embeddings.npy.partial"),
        ("embed", None),
        ("neighbors", "neighbors.partial/search.json"),
        ("neighbors", None),
    ],
)
def test_status_says_how_far_a_stopped_stage_is(script, folder, monkeypatch, stage, kept):
    monkeypatch.setattr("ds2.runs.loop.NOTE_EVERY_S", 0.0)
    seen = []

    class Heard(Listener):
        def progress(self, done: int, total: int, note: str = "") -> None:
            seen.append((done, total, note))

        def said(self, sentence: str) -> None:
            seen.append(sentence)

    def stop(job: Job) -> None:
        if kept:
            (job.folder / kept).parent.mkdir(exist_ok=True)
            (job.folder / kept).touch()
        job.listener.said("passed on")
        job.listener.progress(12_000, 52_002, "more")
        during.append(reasons(folder, stage))
        raise KeyboardInterrupt

    during: list[str] = []
    script.hooks[stage] = stop
    with pytest.raises(KeyboardInterrupt):
        run(folder, listener=Heard())
    assert seen == ["passed on", (12_000, 52_002, "more")]
    assert during == ["at 12,000 of 52,002"]
    then = "goes on from there" if kept else "starts anew"
    assert reasons(folder, stage) == f"stopped at 12,000 of 52,002, {then}"
    assert reasons(folder, "select") == "not made yet"
    other = {"embed": "embed.model=x", "neighbors": "neighbors.k=5"}[stage]
    assert reasons(folder, stage, other) == "not made yet"
    script.hooks.clear()
    run(folder)
    assert reasons(folder, stage) == ""
    assert not (folder / ".progress.json").exists()


def test_progress_that_cannot_be_written_or_read_stops_nothing(script, folder, monkeypatch):
    monkeypatch.setattr("ds2.runs.loop.NOTE_EVERY_S", 0.0)
    (folder / ".progress.json").mkdir()
    script.hooks["embed"] = lambda job: job.listener.progress(1, 2)
    run(folder)
    (folder / ".progress.json").rmdir()
    (folder / ".progress.json").write_text("[")
    (folder / "embeddings.npy").unlink()
    assert reasons(folder, "embed") == "embeddings.npy is missing"


def test_a_failure_is_remembered_and_forgotten(script, folder):
    def fail(job: Job) -> None:
        raise InputError("The scores are all equal.")

    script.hooks["noise"] = fail
    with pytest.raises(InputError, match="all equal"):
        run(folder)
    assert states(folder)["noise"] == "failed"
    assert reasons(folder, "noise") == "[noise] The scores are all equal."
    assert states(folder)["curate"] == "missing"
    script.hooks.clear()
    script.take_calls()
    run(folder)
    assert script.take_calls() == ["noise", "curate", "select", "report"]
    assert set(states(folder).values()) == {"fresh"}


def test_a_failure_is_one_no_more_where_its_cause_may_be_gone(script, folder):
    def fail(job: Job) -> None:
        raise InputError("'rho' is wrong.")

    run(folder, until="neighbors")
    script.hooks["noise"] = fail
    with pytest.raises(InputError):
        run(folder, overrides={"noise.rho": 0.5})
    assert states(folder, "noise.rho=0.5")["noise"] == "failed"
    assert states(folder)["noise"] == "missing"
    with pytest.raises(InputError):
        run(folder)
    assert states(folder)["noise"] == "failed"
    (folder / "gold.jsonl").write_text("scored")
    assert reasons(folder, "noise") == "not made yet"
    (folder / "gold.jsonl").unlink()
    seen = []
    script.hooks["noise"] = lambda job: seen.append(states(folder)["noise"])
    run(folder)
    assert seen == ["missing"]  # while it runs, the try before is not the last
    pool = folder.parent / "pool.jsonl"
    pool.rename(folder.parent / "away")
    with pytest.raises(InputError):
        run(folder)
    assert states(folder)["pool"] == "failed"
    (folder.parent / "away").rename(pool)
    assert set(states(folder).values()) == {"fresh"}


def test_a_stage_that_runs_with_other_settings_is_seen(script, folder, monkeypatch):
    monkeypatch.setattr("ds2.runs.loop.NOTE_EVERY_S", 0.0)
    run(folder)
    seen = []

    def look(job: Job) -> None:
        job.listener.progress(3, 4)
        seen.append(reasons(folder, "select"))

    script.hooks["select"] = look
    run(folder, overrides={"select.size": 5})
    assert seen == ["at 3 of 4, with other settings than these"]


def test_a_store_that_cannot_be_reached_says_nothing_of_what_was_made(script, folder, monkeypatch):
    monkeypatch.setattr("ds2.runs.folder.fingerprint", lambda place: ("a" * 64, 1, 1))
    recipe, pool = folder / "recipe.toml", str(folder.parent / "pool.jsonl")
    recipe.write_text(recipe.read_text().replace(pool, "s3://bucket/pool.jsonl"))
    script.STEPS["pool"] = lambda job: Made(
        {"n": [(job.folder / name).write_text("x") for name in ("pool.arrow", "rejects.jsonl")]}
    )
    run(folder)

    def fail(place: str) -> None:
        raise RunError("The store cannot be reached.")

    monkeypatch.setattr("ds2.runs.folder.fingerprint", fail)
    assert set(states(folder).values()) == {"unknown", "fresh"}
    assert reasons(folder, "pool") == "The store cannot be reached"


def test_an_unexpected_error_is_remembered_and_raised(script, folder):
    script.hooks["embed"] = lambda job: {}["a bug"]
    with pytest.raises(KeyError):
        run(folder)
    assert "KeyError" in reasons(folder, "embed")


def test_a_full_disk_is_one_sentence(script, folder):
    def fail(job: Job) -> None:
        raise OSError(28, "No space left on device", "embeddings.npy")

    script.hooks["embed"] = fail
    with pytest.raises(InputError, match="The disk is full"):
        run(folder)
    assert states(folder)["pool"] == "fresh"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ConnectionResetError(104, "Connection reset by peer"), "The stage 'embed' failed: "),
        (MemoryError("Unable to allocate 9 TiB"), "ran out of memory"),
        (PermissionError(13, "Permission denied", "x.npy"), "may not open 'x.npy'"),
    ],
)
def test_what_the_system_refuses_is_one_sentence(script, folder, error, says):
    def fail(job: Job) -> None:
        raise error

    script.hooks["embed"] = fail
    with pytest.raises((InputError, RunError), match=says) as caught:
        run(folder)
    assert "finished stages are kept" in str(caught.value)
    assert states(folder)["pool"] == "fresh"


def test_an_interrupt_leaves_no_trace_but_the_finished_stages(script, folder):
    def stop(job: Job) -> None:
        raise KeyboardInterrupt

    script.hooks["noise"] = stop
    with pytest.raises(KeyboardInterrupt):
        run(folder)
    assert states(folder)["noise"] == "missing"
    script.hooks.clear()
    script.take_calls()
    run(folder)
    assert script.take_calls() == ["noise", "curate", "select", "report"]


def test_an_input_that_changes_while_it_is_read_is_not_believed(script, folder):
    pool = folder.parent / "pool.jsonl"
    script.hooks["pool"] = lambda job: pool.write_text("half of the new rows")
    with pytest.raises(RunError, match="changed while it was read"):
        run(folder)
    assert "pool" not in read_manifest(folder).stages


def test_a_training_may_write_its_log_while_the_report_is_made(script, folder):
    log = folder / "proof" / "runs" / "selection-s0" / "log.jsonl"
    log.parent.mkdir(parents=True)
    log.write_text("1\n")
    script.hooks["report"] = lambda job: log.write_text("1\n2\n")
    run(folder)
    assert reasons(folder, "report") == f"{log.relative_to(folder).as_posix()} has changed"
    script.hooks["report"] = lambda job: log.unlink()
    run(folder)
    assert reasons(folder, "report").endswith("log.jsonl is gone")


def test_a_missing_pool_is_named_with_its_neighbour(script, folder):
    pool = folder.parent / "pool.jsonl"
    pool.rename(folder.parent / "pool2.jsonl")
    with pytest.raises(InputError, match=r"'pool.path' names .*Did you mean 'pool2.jsonl'"):
        run(folder)
    assert states(folder)["pool"] == "failed"


def test_warnings_are_heard_once_kept_and_passed_on(script, folder):
    heard = []

    class Ear(Listener):
        def warning(self, sentence: str) -> None:
            heard.append(sentence)

    def warn(job: Job) -> None:
        for _ in range(2):
            warnings.warn("Look out.", Ds2Warning, stacklevel=2)
            warnings.warn("Mind the step.", Ds2Warning, stacklevel=2)

    script.hooks["noise"] = warn
    result = run(folder, listener=Ear())
    assert heard == ["Look out.", "Mind the step."]
    assert result.warnings == ("Look out.", "Mind the step.")
    assert read_manifest(folder).stages["noise"].warnings == result.warnings


def test_other_warnings_go_where_they_always_go(script, folder):
    script.hooks["noise"] = lambda job: warnings.warn("numpy says", RuntimeWarning, stacklevel=2)
    with pytest.raises(RuntimeWarning, match="numpy says"):  # pytest turns warnings into errors
        run(folder)


def test_relative_paths_let_a_run_move_with_its_pool(script, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "pool.jsonl").write_text("rows")
    (tmp_path / "a" / "run").mkdir()
    (tmp_path / "a" / "run" / "recipe.toml").write_text(
        "[pool]\npath = '../pool.jsonl'\n[scores]\ncolumn = 's'\n"
    )
    run(tmp_path / "a" / "run")
    (tmp_path / "a").rename(tmp_path / "b")
    assert set(states(tmp_path / "b" / "run").values()) == {"fresh"}


def test_gold_need_not_be_there_and_what_rests_on_it_follows_when_it_comes_and_goes(script, folder):
    run(folder)
    script.take_calls()
    (folder / "gold.jsonl").write_text("scored")
    assert "gold.path names is new" in reasons(folder, "curate")
    run(folder)
    assert script.take_calls() == ["noise", "curate", "select", "report"]
    assert set(states(folder).values()) == {"fresh"}
    (folder / "gold.jsonl").unlink()
    assert "gold.path names is gone" in reasons(folder, "noise")
