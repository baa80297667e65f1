"""`ds2 proof RUN` with pretended trainings and evaluations: what is done, and what is said."""

import json
import shutil

import pytest
from proof_run import make_run, pretend, without_transformers
from small_pool import Heard
from typer.testing import CliRunner

from ds2.cli.app import app
from ds2.errors import InputError
from ds2.runs import Job
from ds2.runs.proof_loop import prove, prove_planted, swapped
from ds2.runs.proof_plan import Cost

GOOD = {"selection": 1.5, "random": 1.8}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("loop") / "run")


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    without_transformers(monkeypatch)
    return shutil.copytree(made, tmp_path / "run")


def invoke(*words):
    return CliRunner().invoke(app, ["proof", *map(str, words)])


def test_from_the_plan_to_the_page_and_nothing_twice(folder, monkeypatch):
    done = pretend(monkeypatch, GOOD)
    first = invoke(folder)
    assert first.exit_code == 0, first.output
    assert "selection is better than random: −0.3" in first.stdout
    assert "2 runs of each arm" in first.stderr
    notes = [line for line in first.stdout.splitlines() if line.startswith("note")]
    assert len(notes) == len(set(notes))
    assert "was not tried: ds2 proof RUN --planted does" in notes[-1]
    assert done["trained"] == ["selection-s0", "random-s0", "selection-s1", "random-s1"]
    assert done["evaluated"][0] == "base"  # its items are what no arm may hold
    page = (folder / "proof" / "proof.html").read_text()
    assert "selection is better than random" in page
    result = json.loads((folder / "proof" / "result.json").read_text())
    assert result["plan"] == json.loads((folder / "proof" / "plan.json").read_text())
    assert [cost["updates"] for cost in result["costs"]] == [2] * 4
    arm = json.loads((folder / "proof" / "arms" / "random-s1.json").read_text())
    assert arm["ids"]
    assert "r5" not in arm["ids"]
    assert arm["answer_tokens"] == pytest.approx(result["plan"]["tokens_per_arm"], rel=0.05)
    again = invoke(folder, "--json")
    assert json.loads(again.stdout)["comparisons"] == result["comparisons"]
    assert len(done["trained"]) == 4
    other = invoke(folder, "--set", "train.epochs=3")
    assert other.exit_code == 2
    assert "was fixed before models were trained for it" in other.stderr
    assert len(done["trained"]) == 4


def test_faults_are_said_before_a_model_is_loaded(folder, monkeypatch):
    done = pretend(monkeypatch, GOOD)
    for words, says in (
        (["--set", 'proof.arms=["selection","randon"]'], "'randon' is no arm"),
        (["--smallest", "0.5"], "--set proof.smallest"),
        (["--task", "held", "--plan"], "go with --read"),
        (["--planted", "--set", "proof.seeds=1"], "set proof.seeds to 2 or more"),
        (["--plan", "--planted"], "four things to do"),
    ):
        failed = invoke(folder, *words)
        assert failed.exit_code == 2
        assert says in failed.stderr
    assert done == {"trained": [], "evaluated": []}


def test_tasks_that_have_no_common_mean_are_refused_before_training(folder, monkeypatch):
    from ds2.proof.arms import Score
    from ds2.runs.evaluate_step import Evaluation

    done = pretend(monkeypatch, GOOD)
    scores = tuple(
        Score(name, "x", higher, "base", 9, 0.5, None, None)
        for name, higher in (("held", False), ("quiz", True))
    )
    monkeypatch.setattr(
        "ds2.runs.proof_loop.evaluate_run", lambda *_, **__: Evaluation(folder, (), scores, ())
    )
    with pytest.raises(InputError, match="For held lower is better, for the other tasks higher"):
        prove(Job.of(folder))
    assert done["trained"] == []


def test_a_budget_cuts_seeds_and_never_to_one(folder, monkeypatch):
    done = pretend(monkeypatch, GOOD)
    cost = Cost(8, 100, {"selection": 1.0, "random": 1.0}, 8.0, None, 1, 1, "")
    monkeypatch.setattr("ds2.runs.proof_loop.cost_of", lambda *_: cost)
    listener = Heard()
    settings = {"proof.seeds": 4, "proof.budget_hours": 3.0}
    with pytest.raises(InputError, match="One run of each arm takes about 2 hours"):
        prove(Job.of(folder, settings, listener))
    assert done["trained"] == []
    settings["proof.budget_hours"] = 5.0
    found = prove(Job.of(folder, settings, listener))
    assert "2 of 4 runs an arm fit into the budget." in listener.sentences
    assert found.document["plan"]["seeds"] == 2
    assert len(done["trained"]) == 4
    monkeypatch.setattr("ds2.runs.proof_loop.cost_of", None)  # fixed by now
    prove(Job.of(folder, settings, listener))
    assert len(done["trained"]) == 4


def test_what_does_not_see_planted_bad_answers_is_struck_out(folder, monkeypatch):
    losses = {
        "planted-clean": {"held": 1.5, "blind": 1.5},
        "planted-corrupt": {"held": 1.9, "blind": 1.4},
        **{arm: {"held": loss, "blind": 1.0} for arm, loss in GOOD.items()},
        "": {"held": 2.0, "blind": 2.0},
    }
    done = pretend(monkeypatch, losses)
    told = invoke(folder, "--planted")
    assert told.exit_code == 0, told.output
    assert "clean rows less the same with 50% of the answers swapped" in told.stdout
    assert "does not see it: struck out" in told.stdout
    assert sorted(done["trained"])[:2] == ["planted-clean-s0", "planted-clean-s1"]
    found = json.loads((folder / "proof" / "planted.json").read_text())
    assert {name: task["passed"] for name, task in found["tasks"].items()} == {
        "held": True,
        "blind": False,
    }
    proof = prove(Job.of(folder, {"proof.arms": ["random", "selection"]}))
    assert proof.document["struck"] == ["blind"]
    assert list(proof.found[0].tasks) == ["held"]
    assert list(proof.document["base"]) == ["held"]
    assert any("Struck out" in note and "blind" in note for note in proof.document["notes"])
    assert "Struck out" in (folder / "proof" / "proof.md").read_text()


def test_the_control_speaks_for_its_own_settings_alone(folder, monkeypatch):
    bad = {"planted-clean": 1.9, "planted-corrupt": 1.5, **GOOD}
    pretend(monkeypatch, bad)
    page = prove(Job.of(folder)).files[1]
    assert page.exists()
    assert not prove_planted(Job.of(folder))["tasks"]["held"]["passed"]
    with pytest.raises(InputError, match="No measure is left"):
        prove(Job.of(folder))
    assert not page.exists()  # what it said rests on a measure that is struck out
    shutil.rmtree(folder / "proof" / "runs")
    found = prove(Job.of(folder, {"train.learning_rate": 1e-3}))
    assert found.document["struck"] == []
    assert found.document["planted"] is None


def test_swapped_answers_are_the_same_answers_elsewhere():
    rows = [
        (("user", f"q{i}"), ("assistant", f"a{i}"), ("user", "and?"), ("assistant", f"b{i}"))
        for i in range(20)
    ]
    rows.append((("user", "nothing"),))
    for share, n in ((0.0, 0), (0.25, 5), (0.5, 10), (1.0, 20), (0.01, 2)):
        changed = swapped(rows, share, 3)
        differ = [i for i in range(21) if tuple(changed[i]) != rows[i]]
        assert len(differ) == n
        assert sorted(turns[-1][1] for turns in changed) == sorted(t[-1][1] for t in rows)
        assert [tuple(turns[:-1]) for turns in changed] == [turns[:-1] for turns in rows]
        assert swapped(rows, share, 3) == changed
    assert swapped(rows, 0.5, 3) != swapped(rows, 0.5, 4)


def test_the_plan_is_printed_and_starts_nothing(folder, monkeypatch):
    done = pretend(monkeypatch, GOOD)
    each = {"selection": 0.5, "random": 0.5, "full": 0.5}
    cost = Cost(6, 1234, each, 3.0, None, 2**31, 2**25, "one real step here: 9 tokens a second")
    monkeypatch.setattr("ds2.runs.proof_plan.cost_of", lambda *_: cost)
    arms = 'proof.arms=["selection", "random", "full"]'
    words = ("--plan", "--set", "proof.seeds=3", "--set", "proof.budget_hours=2.5", "--set", arms)
    told = invoke(folder, *words)
    assert told.exit_code == 0, told.output
    for says in (
        "random, full; 3 runs of each",
        " rows, about ",
        "1 rows that share words with the tasks",
        "trainings  6; selection: 1,234 tokens in ",
        "3.0 h in all (one real step here",
        "a row; 30 min",
        "memory     2.0 GiB",
        "1: no verdict, 2: 0.",
        "judged     selection against random; a difference of 0.01 matters",
        "2.5 hours pay for 2 of 3 runs of each arm",
        "answer     2 runs of each arm find a difference of 0.",
    ):
        assert says in told.stdout, says
    document = json.loads(invoke(folder, *words, "--json").stdout)
    assert document["seeds_within_budget"] == 2
    assert document["effects"]["1"] is None
    assert done == {"trained": [], "evaluated": []}
    assert not (folder / "proof" / "plan.json").exists()
