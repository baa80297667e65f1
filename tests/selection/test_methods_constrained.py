"""Every method under constraints: none is violated, and without any the rows are the same."""

import numpy as np
import pytest

import ds2
from ds2.errors import InputError
from ds2.selection import METHODS, Constraints, Quota

N = 240


@pytest.fixture(scope="module")
def pool():
    rng = np.random.default_rng(7)
    vectors = ds2.simulate(N, dim=8, seed=3).vectors
    return {
        "scores": rng.integers(0, 6, N).astype(float),
        "raw": rng.integers(0, 6, N).astype(float),
        "tail": rng.random(N),
        "lengths": rng.integers(1, 9, N),
        "values": rng.random(N),
        "sources": rng.choice(["web", "books", "code"], N, p=[0.6, 0.3, 0.1]),
        "keys": rng.integers(0, 2**63, N),
        "vectors": vectors,
        "targets": vectors[:5] + 0.2,
        "threshold": 0.001,
        "neighbors": ds2.find_neighbors(vectors),
    }


@pytest.mark.parametrize("method", list(METHODS))
def test_no_constraint_at_all_changes_no_row(pool, method):
    free = ds2.select(**pool, size=60, method=method)
    bound = ds2.select(**pool, size=60, method=method, constraints=Constraints())
    np.testing.assert_array_equal(free.rows, bound.rows)
    assert free.reasons == bound.reasons
    assert free.dropped == bound.dropped


@pytest.mark.parametrize("method", list(METHODS))
def test_constraints_are_met_together_whatever_the_method(pool, method):
    sources = pool["sources"]
    must, never = np.array([3, 100]), np.array([7, 8, 9])
    constraints = Constraints(
        quotas=(
            Quota(sources, "web", maximum=12),
            Quota(sources, "code", minimum=6),
        ),
        must_have=must,
        must_not=never,
        blocked={"contaminated": np.arange(20, 40)},
    )
    chosen = ds2.select(**pool, size=40, method=method, constraints=constraints)
    rows = chosen.rows
    assert len(set(rows.tolist())) == len(rows) == len(chosen.reasons) == 40
    assert rows[:2].tolist() == must.tolist()
    assert chosen.reasons[0].endswith("must be chosen")
    assert (sources[rows] == "web").sum() <= 12
    assert (sources[rows] == "code").sum() >= 6
    assert not np.isin(rows, [*never, *range(20, 40)]).any()
    assert chosen.dropped["contaminated"] == 20
    assert chosen.dropped == {why: len(rows) for why, rows in chosen.dropped_rows.items()}
    assert all(chosen.reasons)


@pytest.mark.parametrize("method", ["deita", "k-center", "mmr", "facility-location", "rds"])
def test_a_greedy_method_keeps_its_order_under_constraints(pool, method):
    sources = pool["sources"]
    constraints = Constraints(quotas=(Quota(sources, "web", maximum=0),))
    chosen = ds2.select(**pool, size=50, method=method, constraints=constraints).rows
    longest = ds2.select(**pool, size=200, method=method).rows
    assert chosen.tolist() == [row for row in longest.tolist() if sources[row] != "web"][:50]


@pytest.mark.parametrize("method", list(METHODS))
def test_a_budget_in_tokens_is_kept_and_nearly_used(pool, method):
    tokens = np.random.default_rng(0).integers(5, 30, N)
    constraints = Constraints(max_tokens=500, tokens=tokens)
    chosen = ds2.select(**pool, size=None, method=method, constraints=constraints)
    spent = tokens[chosen.rows].sum()
    assert 470 <= spent <= 500
    at_most = ds2.select(**pool, size=9, method=method, constraints=constraints)
    assert len(at_most.rows) <= 9


def test_a_lower_limit_of_the_method_is_one_constraint_more(pool):
    ifd = {**pool, "values": np.where(np.arange(N) < 200, 2.0, 0.5)}
    chosen = ds2.select(**ifd, size=40, method="ifd", constraints=Constraints())
    assert chosen.dropped["above 1"] == 200
    must = Constraints(must_have=np.array([0]))
    chosen = ds2.select(**ifd, size=41, method="ifd", constraints=must)
    assert chosen.rows[0] == 0
    with pytest.raises(InputError):
        ds2.select(**ifd, size=42, method="ifd", constraints=must)
    with pytest.raises(InputError, match="below the threshold"):
        ds2.select(
            **{**pool, "threshold": 5.0}, size=100, method="alpagasus", constraints=Constraints()
        )


def test_the_lowest_score_counts_for_a_method_that_looks_at_none(pool):
    constraints = Constraints(min_score=4)
    rows = ds2.select(**pool, size=30, method="random", constraints=constraints).rows
    assert (pool["scores"][rows] >= 4).all()


def test_deita_under_constraints_never_takes_what_its_own_rule_leaves_out(pool):
    near = {**pool, "threshold": 0.3}
    ends = None
    for size in range(1, N):
        try:
            ds2.select(**near, size=size, method="deita")
        except InputError:
            ends = size - 1
            break
    assert ends is not None
    free = ds2.select(**near, size=ends, method="deita")
    bound = ds2.select(**near, size=ends, method="deita", constraints=Constraints())
    np.testing.assert_array_equal(free.rows, bound.rows)
    with pytest.raises(InputError):
        ds2.select(**near, size=ends + 1, method="deita", constraints=Constraints())


def test_without_a_budget_a_size_must_be_given(pool):
    with pytest.raises(InputError, match="'size' must be a number of rows"):
        ds2.select(**pool, size=None)
    with pytest.raises(InputError, match="'size' must be a number of rows"):
        ds2.select(**pool, size=None, constraints=Constraints())


def test_rows_that_complete_the_selection_say_so(pool):
    sources = np.where(np.arange(N) == 235, "rare", "usual")
    order = ds2.select(**pool, size=N, method="k-center").rows.tolist()
    assert order.index(235) > 2, "otherwise the test shows nothing"
    constraints = Constraints(quotas=(Quota(sources, "rare", minimum=1),))
    chosen = ds2.select(**pool, size=2, method="k-center", constraints=constraints)
    assert 235 in chosen.rows
    reason = chosen.reasons[chosen.rows.tolist().index(235)]
    assert "rare" in reason or "completes" in reason


def test_the_lowest_score_is_of_the_curated_scores_whatever_the_method(pool):
    constraints = Constraints(min_score=3)
    for method in ("ds2", "top-score", "random", "k-center"):
        rows = ds2.select(**pool, size=40, method=method, constraints=constraints).rows
        assert pool["scores"][rows].min() >= 3
    without = {**pool, "scores": None}
    rows = ds2.select(**without, size=40, method="top-score", constraints=constraints).rows
    assert pool["raw"][rows].min() >= 3
