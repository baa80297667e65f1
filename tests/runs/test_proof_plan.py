"""The plan of a proof: arms, what they have in common, what is fixed, what it could show."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from proof_run import SHARED, make_run, without_transformers

from ds2.errors import InputError
from ds2.pool import Pool
from ds2.proof.power import smallest_effects, worth_it
from ds2.proof.train_plan import plan_updates
from ds2.runs import Job, Listener
from ds2.runs.proof_arms import Counter
from ds2.runs.proof_plan import PLAN, Cost, freeze, make_plan, within_budget

ALL = ["selection", "random", "random-same-length", "length", "top-score", "mean", "no-curation",
       "no-diversity", "full", "mine=mine.jsonl"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("plan") / "run")


@pytest.fixture(autouse=True)
def _tokenizer(monkeypatch):
    without_transformers(monkeypatch)


def plan_of(folder, listener=None, **settings):
    overrides = {key.replace("__", "."): value for key, value in settings.items()}
    return make_plan(Job.of(folder, overrides, listener))


@pytest.fixture(scope="module")
def plan(folder):
    with pytest.MonkeyPatch.context() as patch:
        without_transformers(patch)
        patch.chdir(folder)
        return plan_of(folder, proof__arms=ALL)


def of(plan, name, seed=0):
    return next(arm for arm in plan.arms if arm.arm == name and arm.seed == seed)


def table(arm, column):
    return np.array([float(row.extra[column]) for row in arm.pool])


def test_arms_have_equal_answer_tokens_and_updates(plan):
    counter = Counter(plan.training)
    limit = plan.document["tokens_per_arm"]
    assert limit == of(plan, "selection").answer_tokens
    assert plan.document["arms"] == [name.partition("=")[0] for name in ALL]
    assert len(plan.arms) == 2 * len(ALL)
    for arm in plan.arms:
        learned = [counter.of(arm.pool, row)[0] for row in arm.rows]
        if arm.arm != "full":
            assert sum(learned) == arm.answer_tokens
            assert abs(arm.answer_tokens - limit) <= max(learned) / 2
            assert min(learned) > 0
        usable = [n for n in learned if n]
        assert len(plan_updates(usable, plan.training_for(arm))) == plan.updates, arm.name
    assert plan.updates == round(2 * limit / plan.training.batch_tokens)
    assert len(of(plan, "full").rows) == len(of(plan, "full").pool) - 1  # all but what is blocked


def test_only_what_is_drawn_differs_by_seed(plan):
    for name in plan.document["arms"]:
        same = np.array_equal(of(plan, name, 0).rows, of(plan, name, 1).rows)
        assert same == (not name.startswith("random")), name
    assert of(plan, "random", 0).seed != of(plan, "random", 1).seed
    for seed in (0, 1):  # two controls are two draws, not one and a part of it
        both = (set(of(plan, f"random{more}", seed).rows) for more in ("", "-same-length"))
        one, other = both
        assert len(one & other) < min(len(one), len(other)) / 2


def test_scores_go_by_the_first_rater_or_by_the_mean(plan):
    for name, score in (
        ("top-score", table(of(plan, "mean"), "a")),
        ("mean", (table(of(plan, "mean"), "a") + table(of(plan, "mean"), "b")) / 2),
    ):
        rows = of(plan, name).rows
        others = np.setdiff1d(np.arange(len(score)), [*rows, 5, 6, 9, 4])
        assert score[rows].min() >= score[others].max()
    assert not np.array_equal(of(plan, "top-score").rows, of(plan, "mean").rows)


def test_lengths_are_those_of_the_selection_or_the_longest(plan):
    lengths = of(plan, "random").pool.lengths
    chosen, like, longest = (
        np.sort(lengths[of(plan, name).rows])
        for name in ("selection", "random-same-length", "length")
    )
    quartiles = np.quantile(chosen, [0.25, 0.5, 0.75])
    shares = [
        np.bincount(np.searchsorted(quartiles, some), minlength=4) / len(some)
        for some in (chosen, like)
    ]
    assert np.abs(shares[0] - shares[1]).max() < 0.12
    assert like.mean() == pytest.approx(chosen.mean(), rel=0.15)
    assert longest.mean() > 1.5 * chosen.mean()
    seeds = [set(of(plan, "random-same-length", seed).rows.tolist()) for seed in (0, 1)]
    assert seeds[0] != seeds[1]


def test_what_is_evaluated_on_is_in_no_arm_not_even_in_a_file(plan, folder):
    assert plan.document["contaminated"] == 1
    for arm in plan.arms:
        texts = [text for turns in arm.turns for _, text in turns]
        assert not any(SHARED in text for text in texts), arm.name
    assert SHARED in (folder / "mine.jsonl").read_text()


def test_lm_evals_tasks_are_checked_once_the_untrained_model_was_evaluated(tmp_path, folder):
    run = shutil.copytree(folder, tmp_path / "run")
    said = []
    listener = Listener()
    listener.said = said.append
    arms = {"proof__arms": ["selection", "random"], "evaluate__tasks": ["quiz"]}
    plan = plan_of(run, listener, **arms)
    assert plan.document["contaminated"] == 0
    assert "Not checked for contamination: quiz, whose items are not here" in " ".join(said)
    assert "evaluate the untrained model first" in plan.answer()
    base = run / "proof" / "evaluations" / "base"
    base.mkdir(parents=True)
    docs = [{"doc_id": i, "doc": {"q": SHARED if i else "short"}} for i in (0, 0, 1, 1, 2)]
    text = "".join(json.dumps(doc) + "\n" for doc in docs)
    for task in ("quiz", "other"):
        (base / f"samples_{task}.jsonl").write_text(text)
    (base / "done.json").write_text(
        json.dumps({"tasks": {t: {"files": [f"samples_{t}.jsonl"]} for t in ("quiz", "other")}})
    )
    said.clear()
    plan = plan_of(run, listener, **arms)
    assert plan.document["contaminated"] == 1
    assert said == ["1 of 240 rows share words with what is evaluated on: no arm takes them."]
    assert plan.effects == smallest_effects([3], "accuracy", [1, 2, 3, 5, 10])
    tried = {"quiz": {"files": ["samples_quiz.jsonl"], "limit": 3}}  # a few, to try it out
    (base / "done.json").write_text(json.dumps({"tasks": tried}))
    assert not plan_of(run, listener, **arms).effects
    assert plan_of(run, listener, **arms, evaluate__limit=3).effects == plan.effects


def test_rows_in_place_of_tokens(folder, monkeypatch):
    monkeypatch.chdir(folder)
    plan = plan_of(folder, proof__arms=ALL, proof__equal="rows")
    counts = {len(arm.rows) for arm in plan.arms if arm.arm != "full"}
    assert len(counts) == 1
    (n,) = counts
    assert n <= 30
    assert plan.training.batch_tokens == 0
    assert plan.updates == 2 * -(-n // 4)


def test_fewer_tokens_take_the_best_of_the_selection(folder, plan):
    few = plan_of(folder, proof__arms=["selection", "random-same-length"], proof__tokens=300,
                  proof__compare=[["selection", "random-same-length"]])  # fmt: skip
    assert few.document["tokens_per_arm"] == 300
    rows = of(few, "selection").rows
    assert rows.tolist() == of(plan, "selection").rows[: len(rows)].tolist()
    more = plan_of(folder, proof__tokens=10**9)
    assert more.document["tokens_per_arm"] == plan.document["tokens_per_arm"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"arms": ["selection", "randon"]}, "'randon' is no arm"),
        ({"arms": ["selection", "random=x.jsonl"]}, "needs a name of its own"),
        (
            {"arms": ["random", "selection", "mine=absent.jsonl"]},
            "arm 'mine' names '.*absent.jsonl', which does not exist",
        ),
        ({"arms": ["selection"]}, "two arms or more"),
        ({"arms": ["selection", "random", "random"]}, "each once"),
        ({"compare": [["selection", "length"]]}, "'length', which is none of 'proof.arms'"),
        ({"compare": [["random", "random"]]}, "a pair of two different arms"),
        ({"compare": []}, "a pair of two different arms"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(folder, settings, says, monkeypatch):
    monkeypatch.setattr("ds2.runs.proof_plan.bring_up", None)
    with pytest.raises(InputError, match=says):
        plan_of(folder, **{f"proof__{key}": value for key, value in settings.items()})


def test_a_plan_is_fixed_once_a_model_was_trained_for_it(folder, tmp_path):
    plan, other = plan_of(folder), plan_of(folder, proof__smallest=0.5, proof__seeds=3)
    (tmp_path / "proof").mkdir()
    freeze(tmp_path, plan)
    freeze(tmp_path, other)  # nothing was trained yet
    freeze(tmp_path, plan)
    done = tmp_path / "proof" / "runs" / "random-s1" / "done.json"
    done.parent.mkdir(parents=True)
    done.write_text("{}")
    freeze(tmp_path, plan_of(folder))
    with pytest.raises(InputError, match="another proof: data, seeds, smallest differ"):
        freeze(tmp_path, other)
    assert json.loads((tmp_path / PLAN).read_text()) == plan.document


def test_the_items_belong_to_the_plan(folder, tmp_path):
    run = shutil.copytree(folder, tmp_path / "run")
    before = plan_of(run).document
    with (run / "held.jsonl").open("a") as file:
        file.write('{"instruction": "one more?", "output": "one more"}\n')
    after = plan_of(run).document
    assert {key for key in before if before[key] != after[key]} == {"files", "sha256"}


def test_whether_it_can_answer():
    effects = smallest_effects([1000], "accuracy")
    assert effects[1] is None
    assert list(effects) == sorted(effects)
    assert effects[2] > effects[3] > effects[5] > effects[10] > 0.01
    assert "gives no verdict" in worth_it(effects, 1, 0.01)
    assert "3 runs of each arm would find a difference of 0.2." in worth_it(effects, 3, 0.2)
    between = (effects[3] + effects[5]) / 2
    assert worth_it(effects, 2, between).endswith(f"One of {between:g} takes 5 runs.")
    assert "no money that people spend on this buys the answer" in worth_it(effects, 3, 0.001)


def test_a_budget_pays_for_so_many_seeds(folder):
    plan = plan_of(folder, proof__seeds=3)
    cost = Cost(6, 100, {"selection": 1.0}, 6.0, 3.0, 1, 1, "")
    for hours, seeds in ((0, 3), (100, 3), (9, 3), (8.9, 2), (3, 1), (2.9, 0)):
        assert within_budget(plan.document, cost, hours) == seeds
    alone = replace(cost, evaluation_hours=None)
    assert within_budget(plan.document, alone, 4) == 2
    assert plan.answer(1) != plan.answer(3)
    assert plan.answer(2).endswith("(In nats a token.)")


def test_data_are_hashed_by_what_they_say(folder):
    plan = plan_of(folder)
    assert isinstance(plan.arms[0].pool, Pool)
    assert set(plan.document["data"]) == {"selection-s0", "random-s0", "selection-s1", "random-s1"}
    assert plan.document["data"]["selection-s0"] == plan.document["data"]["selection-s1"]
    assert plan.document["data"]["random-s0"] != plan.document["data"]["random-s1"]
    assert "train.processes" not in plan.document["settings"]
    assert plan.document["settings"]["train.lora_rank"] == 64
