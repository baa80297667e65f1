import numpy as np
import pytest

from ds2.errors import InputError
from ds2.noise import agreement, agreement_difference


@pytest.fixture
def rated():
    rng = np.random.default_rng(0)
    truth = rng.standard_normal(3000)
    good, poor = (a * truth + np.sqrt(1 - a * a) * rng.standard_normal(3000) for a in (0.7, 0.4))
    return tuple(np.clip(np.round(1.2 * v + 2.5), 0, 5) for v in (truth, good, poor))


@pytest.mark.parametrize("stratified", [False, True])
def test_intervals_from_fifty_gold_rows_hold_the_pools_agreement(rated, stratified):
    gold, good, poor = rated
    rng = np.random.default_rng(2)
    chance = np.where(np.abs(good - 2.5) > 1.4, 4.0, 1.0) if stratified else np.ones(3000)
    chance /= chance.sum()
    measures = ("spearman", "accuracy", "kappa")
    exact = {m: agreement(good, gold, measure=m).value for m in measures}
    gap = exact["spearman"] - agreement(poor, gold).value
    held = {m: [] for m in (*measures, "difference")}
    for _ in range(150):
        at = rng.choice(3000, 50, replace=False, p=chance)
        for m in measures:
            found = agreement(good[at], gold[at], 1 / chance[at], measure=m)
            held[m].append(found.low <= exact[m] <= found.high)
        found = agreement_difference(good[at], poor[at], gold[at], 1 / chance[at])
        held["difference"].append(found.low <= gap <= found.high)
    for m, hits in held.items():
        assert 0.89 <= np.mean(hits) <= 1.0, m


def test_missing_values_and_unknown_gold_stay_out(rated):
    gold, good, _ = (column[:60].copy() for column in rated)
    whole = agreement(good[:40], gold[:40])
    gold[40:] = np.nan
    holed = np.append(good, np.nan)
    found = agreement(holed, np.append(gold, 3.0))
    assert (found.value, found.low, found.high) == (whole.value, whole.low, whole.high)
    assert (found.n, found.n_missing) == (40, 1)
    weights = np.append(np.ones(40), [np.nan] * 10 + [0.0] * 10)
    assert agreement(good, np.nan_to_num(gold), weights).value == pytest.approx(whole.value)


def test_what_is_not_defined_is_nan():
    few = agreement(np.arange(5.0), np.arange(5.0))
    assert few.value == pytest.approx(1.0)
    assert np.isnan(few.low)
    assert np.isnan(few.high)
    assert np.isnan(agreement(np.ones(20), np.arange(20.0)).value)
    assert np.isnan(agreement(np.ones(3), np.full(3, np.nan)).value)


def test_bad_input_is_named(untyped):
    with pytest.raises(InputError, match="'measure' must be one of"):
        agreement(np.ones(3), np.ones(3), measure="speerman")
    with pytest.raises(InputError, match="'values' must have 3 rows"):
        agreement(np.ones(2), np.ones(3))
    for wrong in (np.ones((3, 2)), ["a", "b", "c"]):
        with pytest.raises(InputError, match="'values' must h"):
            agreement(wrong, np.ones(3))
        with pytest.raises(InputError, match="'gold' must h"):
            agreement(np.ones(3), wrong)
    with pytest.raises(
        InputError, match=r"'weights' must be finite and 0 or more. Got -1 in row 1"
    ):
        agreement(np.ones(3), np.ones(3), np.array([1.0, -1.0, 1.0]))
