"""The arms that take the whole pool: how many updates each makes, what they cost, their means."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ds2.errors import InputError
from ds2.proof.arms import Score
from ds2.proof.train_plan import Training
from ds2.runs import Job, Listener, make_recipe
from ds2.runs.evaluate_step import Evaluation
from ds2.runs.proof_arms import Arm
from ds2.runs.proof_loop import _means
from ds2.runs.proof_plan import Plan, _tokens, _updates, check_proof


def plan_of(updates=0, **settings):
    """10 of 100 rows, and all of them; 20 answer tokens a row, of 30."""
    arms = tuple(
        Arm(name, seed, None, np.arange(n), 20 * n, 30 * n)
        for seed in (0, 1)
        for name, n in (("full-epochs", 100), ("full", 100), ("selection", 10))
    )
    return Plan({}, arms, Training(model="m", epochs=3, batch=4, **settings), updates, {}, "")


@pytest.mark.parametrize(("batch_tokens", "updates"), [(0, 9), (75, 8)])
def test_by_rows_full_makes_the_updates_of_the_selection_and_full_epochs_all(batch_tokens, updates):
    plan = plan_of(batch_tokens=batch_tokens)
    made, training = _updates(plan.training, plan.arms, 200, 20.0, "rows")
    assert made == updates  # 3 epochs of 3 batches of 4 rows; of 200 answer tokens by 75
    plan = replace(plan, updates=made, training=training)
    steps = {arm.arm: plan.training_for(arm).max_steps for arm in plan.arms}
    assert steps == {"full-epochs": 0, "full": updates, "selection": updates}
    assert plan.measured.arm == "selection"
    of_update = 4 * 30 if batch_tokens == 0 else 75 * 30 / 20
    tokens = {arm.arm: _tokens(plan, arm) for arm in plan.arms}
    assert tokens == {"full-epochs": 9_000, "full": updates * of_update,
                      "selection": updates * of_update}  # fmt: skip


def test_by_tokens_all_but_full_epochs_make_equal_updates():
    plan = plan_of(updates=8, batch_tokens=75)
    steps = {arm.arm: plan.training_for(arm).max_steps for arm in plan.arms}
    assert steps == {"full-epochs": 0, "full": 8, "selection": 8}
    tokens = {arm.arm: _tokens(plan, arm) for arm in plan.arms}
    assert tokens == {"full-epochs": 9_000, "full": 900, "selection": 900}


def test_the_whole_pool_alone_is_no_proof():
    recipe = make_recipe({
        "pool.path": "pool.jsonl", "proof.arms": ["full", "full-epochs"],
        "proof.compare": [["full", "full-epochs"]],
    })  # fmt: skip
    with pytest.raises(InputError, match="names the whole pool alone"):
        check_proof(Job(Path(), recipe, Listener()))


def test_every_arm_has_its_means_also_where_nothing_compares_it():
    scores = [
        Score("quiz", "acc", True, model, 9, mean, None, None)
        for model, mean in (("base", 0.1), ("full-s0", 0.2), ("full-s1", 0.4), ("mine", 0.9))
    ]
    assert _means(plan_of(), Evaluation(None, (), tuple(scores), ())) == {
        "full": {"quiz": pytest.approx(0.3)}
    }
