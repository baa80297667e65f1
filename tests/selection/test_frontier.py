"""The frontier: as broad as random, no more redundant, at the least cost in score."""

from unittest import mock

import numpy as np
import pytest

import ds2
from ds2.selection import frontier, frontier_curve, size_curve


def figures(rows, scores, vectors, neighbors):
    """Score kept, coverage and redundancy, by all distances."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    near = 1 - unit @ unit.T <= np.median(neighbors.distances[:, -1]) + 1e-6
    top = np.sort(scores)[::-1][: len(rows)].mean() - scores.mean()
    return (
        (scores[rows].mean() - scores.mean()) / top,
        near[:, rows].any(axis=1).mean(),
        (near[np.ix_(rows, rows)].sum(axis=1) > 1).mean(),
    )


def usual(scores, vectors, neighbors, size, draws=20):
    rng = np.random.default_rng(0)
    one = lambda: rng.choice(len(scores), size, replace=False)  # noqa: E731
    return np.mean([figures(one(), scores, vectors, neighbors) for _ in range(draws)], axis=0)


def planted(n=1200, seed=0):
    """Forty topics, of which one has nearly all of the high scores."""
    rng = np.random.default_rng(seed)
    topic = rng.integers(0, 40, n)
    vectors = rng.standard_normal((40, 16))[topic] + 0.35 * rng.standard_normal((n, 16))
    scores = rng.random(n) + 2.0 * (topic < 2) + 0.8 * (rng.random(n) < 0.2)
    return scores, vectors, ds2.find_neighbors(vectors)


@pytest.fixture(scope="module")
def pool():
    return planted()


def select(pool, size, **settings):
    scores, vectors, neighbors = pool
    return ds2.select(
        scores, vectors=vectors, neighbors=neighbors, size=size, method="frontier", **settings
    )


def test_it_is_as_broad_as_random_where_the_best_scores_are_all_alike(pool):
    _, usual_coverage, usual_redundancy = usual(*pool, 60)
    top = figures(np.argsort(-pool[0])[:60], *pool)
    assert top[1] < 0.5 * usual_coverage
    assert top[2] > 1.5 * usual_redundancy
    kept, coverage, redundancy = figures(select(pool, 60, keep=0.0).rows, *pool)
    assert coverage > 0.97 * usual_coverage
    assert redundancy < 1.05 * usual_redundancy
    assert kept > 0.2, "it costs no more than it has to"


def test_the_dial_says_how_much_score_is_kept(pool):
    attainable = figures(select(pool, 60, keep=1.0).rows, *pool)[0]
    before = 2.0
    for keep in (1.0, 0.9, 0.7, 0.5):
        kept, _, redundancy = figures(select(pool, 60, keep=keep).rows, *pool)
        assert kept >= keep * attainable - 1e-9
        assert kept <= before
        assert redundancy <= 1.05 * usual(*pool, 60)[2]
        before = kept


def test_more_breadth_than_random_is_not_bought():
    """Where the best scores lie everywhere, they are what is chosen."""
    scores, vectors, neighbors = planted()
    scores = np.random.default_rng(1).permutation(scores)
    rows = select((scores, vectors, neighbors), 60, keep=0.1).rows
    assert figures(rows, scores, vectors, neighbors)[0] > 0.9


def test_equal_scores_do_not_all_go_to_where_rows_lie_close_together():
    """One rater's levels: breadth must not choose among thousands of equals by itself."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((30, 12))
    spread = np.where(np.arange(1500) % 3 > 0, 0.9, 0.3)[:, None]
    vectors = centres[rng.integers(0, 30, 1500)] + spread * rng.standard_normal((1500, 12))
    scores = rng.choice([1.0, 2.0, 3.0], 1500, p=[0.3, 0.3, 0.4])
    neighbors = ds2.find_neighbors(vectors)
    rows = select((scores, vectors, neighbors), 100).rows
    assert scores[rows].mean() > 2.7
    dense = (np.arange(1500) % 3 == 0)[rows].mean()
    assert 0.2 < dense < 0.55, "a third of the pool lies close together"


def naive(reach, worth, weight, size, count):
    """The same rule, with every gain computed at every pick."""
    c = len(worth)
    balls = [set(reach.near[reach.starts[i] : reach.starts[i + 1]].tolist()) for i in range(c)]
    order, covered, out = [], set(), set()
    redundant = set()
    while len(order) < count:
        left = [i for i in range(c) if i not in order and i not in out]
        if not left:
            break
        value = {i: worth[i] + weight * len(balls[i] - covered) for i in left}
        best = max(left, key=lambda i: (round(value[i], 9), -i))
        near = {j for j in order if j in balls[best]}
        new = redundant | near | ({best} if near else set())
        if len(new) > reach.usual_redundancy * max(size, len(order) + 1):
            out.add(best)
            continue
        redundant = new
        order.append(best)
        covered |= balls[best]
    return order + sorted(out)[: count - len(order)]


@pytest.mark.parametrize("weight", [0.0, 0.01, 0.1, 1.0])
def test_the_lazy_greedy_is_the_naive_one(weight):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        near = rng.random((30, 30)) < 0.12
        near = near | near.T | np.eye(30, dtype=bool)
        starts = np.concatenate([[0], np.cumsum(near.sum(axis=1))])
        reach = frontier._Reach(
            np.arange(30), starts, np.nonzero(near)[1], np.ones(30), 0.0, rng.random()
        )
        worth = np.sort(rng.random(30))[::-1]
        for size, count in ((8, 8), (8, 30)):
            found = frontier._greedy(reach, worth, weight, size, count).order
            assert found.tolist() == naive(reach, worth, weight, size, count)


def test_a_large_pool_is_measured_on_a_part_of_it(pool):
    exact = figures(select(pool, 60).rows, *pool)
    sizes = {"CANDIDATES": 300, "OTHERS": 300, "SAMPLE": 200, "BLOCK": 64, "TILE": 50}
    with mock.patch.multiple(frontier, **sizes):
        part = figures(select(pool, 60).rows, *pool)
    np.testing.assert_allclose(part, exact, atol=0.12)
    with mock.patch.multiple(frontier, PAIRS=2000):
        tight = select(pool, 60)
    assert len(set(tight.rows.tolist())) == 60


def test_the_best_may_lie_close_together_and_memory_does_not_grow(monkeypatch):
    rng, found = np.random.default_rng(0), []
    vectors = rng.standard_normal((2000, 8)).astype(np.float32)
    vectors[:600] = vectors[0] + 1e-2 * rng.standard_normal((600, 8))  # all of them near all
    scores = np.where(np.arange(2000) < 600, 5.0, 1.0)
    reach = frontier._find_reach
    monkeypatch.setattr(frontier, "_find_reach", lambda *a: found.append(reach(*a)) or found[-1])
    sizes = {"PAIRS": 40_000, "CANDIDATES": 500, "OTHERS": 500}
    with mock.patch.multiple(frontier, **sizes):
        ds2.select(
            scores,
            vectors=vectors,
            neighbors=ds2.find_neighbors(vectors),
            size=50,
            method="frontier",
        )
    assert len(found[0].near) < 1.5 * sizes["PAIRS"]


def test_every_size_can_be_asked_for(pool):
    for size in (1, 2, 700, 1200):
        assert len(set(select(pool, size).rows.tolist())) == size
    same = (np.ones(1200), *pool[1:])
    assert len(select(same, 30).rows) == 30


def test_constraints_are_met_and_its_order_goes_on(pool):
    sources = np.array(["a", "b"])[np.arange(1200) % 2]
    wanted = ds2.Constraints(
        quotas=(ds2.Quota(sources, "a", minimum=40, name="source"),), must_have=np.array([5])
    )
    chosen = select(pool, 60, constraints=wanted)
    assert chosen.rows[0] == 5
    assert (sources[chosen.rows] == "a").sum() >= 40
    assert figures(chosen.rows, *pool)[1] > 0.8 * usual(*pool, 60)[1]


def test_the_reasons_say_what_each_row_is_for(pool):
    reasons = select(pool, 60).reasons
    assert all(reason.startswith("score ") for reason in reasons)
    assert "rows that none before it is near" in reasons[0]


def test_a_dial_outside_its_range_is_named(pool, untyped):
    with pytest.raises(ds2.InputError, match=r"'keep' must be a fraction in \[0, 1\]"):
        select(pool, 10, keep=1.5)


def test_the_curve_trades_score_for_breadth_and_shows_other_selections(pool):
    scores, vectors, neighbors = pool
    best = np.argsort(-scores)[:60]
    curve = frontier_curve(
        scores,
        size=60,
        vectors=vectors,
        neighbors=neighbors,
        selections={"highest": best},
        keeps=(1.0, 0.7, 0.4),
    )
    kept = [point.kept for point in curve.curve.values()]
    coverage = [point.coverage for point in curve.curve.values()]
    assert kept == sorted(kept, reverse=True)
    assert coverage == sorted(coverage)
    expected = figures(best, *pool)
    found = curve.methods["highest"]
    np.testing.assert_allclose([found.kept, found.coverage, found.redundancy], expected, atol=1e-6)
    np.testing.assert_allclose(curve.random.coverage, usual(*pool, 60)[1], atol=0.05)
    assert curve.size == 60


LABELS = np.where(np.arange(1200) % 3 == 0, "a", "b").astype(object)
COSTS = np.random.default_rng(5).integers(1, 40, 1200)


@pytest.mark.parametrize(
    ("size", "constraints"),
    [
        (60, None),
        (60, ds2.Constraints(quotas=(ds2.Quota(LABELS, "a", maximum=0),), min_score=0.5)),
        (60, ds2.Constraints(must_have=np.array([3, 4]), must_not=np.arange(90, 99))),
        (None, ds2.Constraints(max_tokens=700, tokens=COSTS)),
    ],
    ids=["free", "quota", "named", "budget"],
)
def test_a_point_of_the_curve_is_what_the_method_selects(pool, size, constraints):
    scores, vectors, neighbors = pool
    chosen = {
        f"{keep}": select(pool, size, keep=keep, constraints=constraints).rows
        for keep in (1.0, 0.4)
    }
    curve = frontier_curve(
        scores,
        size=size,
        vectors=vectors,
        neighbors=neighbors,
        selections=chosen,
        keeps=(1.0, 0.4),
        constraints=constraints,
    )
    assert curve.curve[1.0] == curve.methods["1.0"] != curve.curve[0.4] == curve.methods["0.4"]
    assert curve.size == len(chosen["1.0"])


def test_the_size_curve_says_what_more_rows_bring(pool):
    scores, vectors, neighbors = pool
    rows = np.argsort(-scores)
    sizes = (30, 100, 600, 1200)
    given = {"vectors": vectors, "neighbors": neighbors}
    curve = size_curve({m: rows[:m] for m in sizes}, scores, se=np.full(1200, 0.3), **given)
    assert curve.sizes.tolist() == list(sizes)
    np.testing.assert_allclose(curve.score, [scores[rows[:m]].mean() for m in sizes])
    np.testing.assert_allclose(curve.kept, 1)
    assert (np.diff(curve.coverage) > 0).all()
    assert curve.coverage[-1] == curve.random_coverage[-1] == 1
    assert (curve.coverage[:2] < 0.8 * curve.random_coverage[:2]).all()
    assert (curve.precision[:3] < 1).all()
    assert curve.precision[3] == pytest.approx(1), "all rows are the best so many"
    assert np.isnan(size_curve({30: rows[:30]}, scores).precision).all()


def test_precision_is_how_often_a_selected_row_is_among_the_best():
    rng = np.random.default_rng(0)
    scores, se = rng.normal(size=2000), rng.uniform(0.2, 0.8, 2000)
    rows = np.argsort(-scores)[:200]
    expected = []
    for _ in range(400):
        truth = scores + se * rng.normal(size=2000)
        expected.append(np.isin(rows, np.argsort(-truth)[:200]).mean())
    found = size_curve({200: rows}, scores, se=se).precision[0]
    assert found == pytest.approx(np.mean(expected), abs=0.01)


def test_no_selection_at_all_is_named():
    with pytest.raises(ds2.InputError, match="'selections' holds none"):
        size_curve({}, np.ones(5))
