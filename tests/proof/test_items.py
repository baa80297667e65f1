"""Paired statistics: against naive formulas, simulation and what must not matter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.errors import InputError
from ds2.proof import Noise, compare_arms, detectable_effect
from ds2.proof.items import ItemValues, measure
from ds2.proof.power import critical_value, detectable, p_value, power_at


def draw(seed, *, n=300, seeds=(3, 3), run_sd=0.05, effect=0.0, flips=0.5, cluster=1):
    rng = np.random.default_rng(seed)
    base = np.repeat(rng.standard_normal(n // cluster), cluster)
    return [
        base
        + np.repeat(0.5 * rng.standard_normal(n // cluster), cluster)
        + shift
        + run_sd * rng.standard_normal((s, 1))
        + flips * rng.standard_normal((s, n))
        for s, shift in zip(seeds, (effect, 0), strict=True)
    ]


def equal_arms(rng, n, seeds, run_sd):
    """Runs of two arms, (seeds, n) each, of one mean."""
    return [
        0.5 * rng.standard_normal(n)
        + run_sd * rng.standard_normal((seeds, 1))
        + 0.5 * rng.standard_normal((seeds, n))
        for _ in range(2)
    ]


def each(n):
    return np.arange(n)


def test_one_run_is_the_paired_test_over_items():
    a, b = draw(0, seeds=(1, 1))
    found = measure([ItemValues(a, b, each(300))])
    d = (a - b)[0]
    assert found.value == pytest.approx(d.mean())
    assert found.noise.items == pytest.approx(d.var(ddof=1) / 300)
    assert np.isnan(found.noise.runs)
    assert found.high - found.value == pytest.approx(1.96793 * d.std(ddof=1) / 300**0.5, rel=1e-4)


def test_paired_runs_are_differences_of_runs():
    a, b = draw(1, seeds=(4, 4))
    found = measure([ItemValues(a, b, each(300))], paired=True)
    assert found.noise.runs == pytest.approx((a - b).mean(axis=1).var(ddof=1) / 4)
    assert found.noise.df_runs == 3


def test_parts_are_the_naive_ones():
    a, b = draw(2, seeds=(3, 5), cluster=3)
    clusters = np.repeat(each(100), 3)
    noise = measure([ItemValues(a, b, clusters)]).noise
    d = a.mean(axis=0) - b.mean(axis=0)
    sums = [(d - d.mean())[clusters == c].sum() for c in range(100)]
    v_items = 100 / 99 * np.square(sums).sum() / 300**2
    shared = 0.0
    for x in (a, b):
        for row in x:
            left = row - x.mean(axis=0) - row.mean() + x.mean()
            by = [left[clusters == c].sum() for c in range(100)]
            shared += 100 / 99 * np.square(by).sum() / ((len(x) - 1) * len(x) * 300**2)
    assert noise.interaction == pytest.approx(shared)
    assert noise.items == pytest.approx(max(v_items - shared, 0))
    runs = a.mean(axis=1).var(ddof=1) / 3 + b.mean(axis=1).var(ddof=1) / 5
    assert noise.runs == pytest.approx(runs)
    assert 2 <= noise.df_runs <= 6


def test_the_mean_over_tasks_weighs_tasks_and_keeps_runs_together():
    one, two = draw(3, n=60), draw(4, n=600)
    tasks = [ItemValues(*one, each(60)), ItemValues(*two, each(600))]
    found, parts = measure(tasks), [measure([task]) for task in tasks]
    assert found.value == pytest.approx(np.mean([part.value for part in parts]))
    means = [np.mean([x.mean(axis=1) for x in xs], axis=0) for xs in zip(one, two, strict=True)]
    assert found.noise.runs == pytest.approx(sum(m.var(ddof=1) / 3 for m in means))
    assert found.n_items == 660


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.1, 10), shift=st.floats(-5, 5))
def test_order_unit_and_origin_do_not_matter(seed, scale, shift):
    a, b = draw(seed, n=40)
    clusters = np.random.default_rng(seed).integers(0, 9, 40)
    clusters = np.unique(clusters, return_inverse=True)[1]
    found = measure([ItemValues(a, b, clusters)])
    order = np.random.default_rng(seed).permutation(40)
    moved = measure(
        [
            ItemValues(
                a[::-1][:, order] * scale + shift, b[:, order] * scale + shift, clusters[order]
            )
        ]
    )
    ends = np.array([found.value, found.low, found.high]) * scale
    assert [moved.value, moved.low, moved.high] == pytest.approx(ends, abs=1e-9)
    swapped = measure([ItemValues(b, a, clusters)])
    assert (swapped.low, swapped.high) == pytest.approx((-found.high, -found.low))


@settings(max_examples=50, deadline=None)
@given(items=st.floats(0, 1), runs=st.floats(0.01, 1), df=st.floats(1, 18), value=st.floats(-9, 9))
def test_p_says_where_the_interval_ends(items, runs, df, value):
    noise = Noise(items, runs, 0.0, 999, df, 3)
    p = p_value(value, noise)
    assert 0 < p <= 1
    reach = critical_value(noise, p / 2) * noise.se
    assert reach == pytest.approx(abs(value), rel=1e-4, abs=1e-6)
    assert (p < 0.05) == (abs(value) > critical_value(noise) * noise.se)


@pytest.mark.parametrize(("seeds", "paired"), [(3, False), (3, True), (6, False)])
@pytest.mark.parametrize("ratio", [0.5, 1, 2, 4])
def test_false_positives_are_five_per_cent(seeds, paired, ratio):
    """2,000 repeats: 5 % within ±1.5, three standard errors of the simulation; seeded."""
    rng = np.random.default_rng(7)
    n, repeats = 60, 2_000
    run_sd = ratio * np.sqrt((2 * 0.5**2 + 2 * 0.5**2) / n / 2)
    wrong = 0
    for _ in range(repeats):
        a, b = equal_arms(rng, n, seeds, run_sd)
        found = measure([ItemValues(a, b, each(n))], paired=paired)
        wrong += not found.low <= 0 <= found.high
    assert 3.5 <= 100 * wrong / repeats <= 6.5


def test_what_is_detectable_is_found_in_four_of_five():
    rng = np.random.default_rng(8)
    n, seeds, run_sd = 100, 4, 0.1
    effect = detectable_effect(n_items=n, n_seeds=seeds, item_sd=(2 * 0.5**2 / 4 + 0.5) ** 0.5,
                               run_sd=run_sd)  # fmt: skip
    found = 0
    for _ in range(1_000):
        a, b = equal_arms(rng, n, seeds, run_sd)
        found += measure([ItemValues(a + effect, b, each(n))]).low > 0
    assert 76 <= found / 10 <= 92


def test_power_grows_with_effect_seeds_and_items():
    few = {"n_items": 1_000, "n_seeds": 3, "item_sd": 0.4, "run_sd": 0.01}
    assert detectable_effect(**few) > detectable_effect(**few | {"n_seeds": 6})
    assert detectable_effect(**few) > detectable_effect(**few | {"n_items": [1_000, 1_000]})
    assert detectable_effect(**few, paired=True) > detectable_effect(**few)
    noise = Noise(1e-4, 1e-4, 0.0, 999, 4, 3)
    assert power_at(0.0, noise) == pytest.approx(0.025, abs=0.005)
    assert power_at(detectable(noise), noise) == pytest.approx(0.8)


def arms(*gains, seeds=4, n=400, tasks=("t",), run_sd=0.002):
    made = {}
    for k, gain in enumerate(gains):
        made[f"arm{k}"] = {
            task: np.random.default_rng(t).standard_normal(n)
            + gain
            + run_sd * np.random.default_rng([k, 5]).standard_normal((seeds, 1))
            + 0.02 * np.random.default_rng([k, t]).standard_normal((seeds, n))
            for t, task in enumerate(tasks)
        }
    return made


def verdict(gain, **how):
    (found,) = compare_arms(arms(gain, 0.0, **how.pop("arms", {})), **how)
    return found.verdict


def test_the_four_verdicts_and_the_fifth():
    assert verdict(0.1) == "better"
    assert verdict(-0.1) == "worse"
    assert verdict(0.1, higher_is_better=False) == "worse"
    assert verdict(0.001, smallest=0.02) == "no difference that matters"
    assert verdict(0.0, smallest=1e-5) == "cannot tell"
    assert verdict(0.1, arms={"seeds": 1}) == "no verdict"


def test_a_difference_that_is_sure_and_small_does_not_matter():
    (found,) = compare_arms(arms(0.012, 0.0), smallest=0.05)
    assert found.overall.low > 0
    assert found.verdict == "no difference that matters"


def test_holm_over_comparisons():
    found = compare_arms(arms(0.1, 0.0, 0.02, 0.0))
    p, adjusted = (np.array([getattr(one, name) for one in found]) for name in ("p", "p_holm"))
    order = np.argsort(p)
    assert adjusted[order] == pytest.approx(
        np.minimum(1, np.maximum.accumulate(p[order] * [3, 2, 1]))
    )
    assert [(one.a, one.b) for one in found] == [(f"arm{k}", "arm3") for k in range(3)]


def test_more_seeds_or_items_that_would_tell():
    made = arms(0.0, 0.0, seeds=3, run_sd=0.005)
    (found,) = compare_arms(made, smallest=0.008)
    assert found.verdict == "cannot tell"
    assert found.seeds_needed > 3
    assert found.items_needed is None or found.items_needed > 400
    (found,) = compare_arms(made, smallest=1e-6)
    assert (found.seeds_needed, found.items_needed) == (None, None)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda v: v.pop("arm1"), "two arms or more"),
        (lambda v: v["arm1"].update(t=np.zeros((4, 3))), r"shape \(runs, items\)"),
        (lambda v: v["arm1"].update(t=np.zeros(400)), r"shape \(runs, items\)"),
        (lambda v: v["arm0"]["t"].__setitem__((0, 0), np.nan), "NaN or infinity"),
        (lambda v: v["arm1"].update(u=np.zeros((4, 400))), "same tasks"),
        (lambda v: v["arm0"].update(u=np.zeros((4, 400))), "same tasks"),
        (lambda v: v.update(arm0={}), "same tasks"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, says):
    values = arms(0.1, 0.0)
    change(values)
    with pytest.raises(InputError, match=says):
        compare_arms(values)


def test_options_that_do_not_fit_are_refused():
    values = arms(0.1, 0.0)
    with pytest.raises(InputError, match="one of arm0, arm1"):
        compare_arms(values, pairs=[("arm0", "arm2")])
    with pytest.raises(InputError, match="'smallest'"):
        compare_arms(values, smallest=0)
    with pytest.raises(InputError, match="must have 400 labels"):
        compare_arms(values, clusters={"t": np.zeros(3)})
    with pytest.raises(InputError, match="all items are in one cluster"):
        compare_arms(values, clusters={"t": np.zeros(400)})
    values["arm1"]["t"] = values["arm1"]["t"][:3]
    assert compare_arms(values)[0].overall.n_seeds == (4, 3)
    with pytest.raises(InputError, match="as many of one as of the other"):
        compare_arms(values, paired=True)
    with pytest.raises(InputError, match="'n_seeds' must be a whole number at least 2"):
        detectable_effect(n_items=100, n_seeds=1, item_sd=0.4, run_sd=0.01)


def test_equal_arms_differ_by_nothing_and_a_floor_shows_nothing():
    values = arms(0.0)
    (found,) = compare_arms({"a": values["arm0"], "b": {"t": values["arm0"]["t"].copy()}})
    assert (found.overall.value, found.verdict) == (0, "no difference that matters")
    (found,) = compare_arms({"a": {"t": np.zeros((3, 9))}, "b": {"t": np.zeros((3, 9))}})
    assert (found.overall.low, found.overall.high, found.p) == (0, 0, 1)
    assert found.verdict == "cannot tell"
