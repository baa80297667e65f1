"""Constraints met together: against every set of rows, and properties on larger pools."""

from dataclasses import replace

import numpy as np
import pytest
from constraint_oracle import (
    LANGUAGES,
    SOURCES,
    best_set,
    choose,
    meets,
    naive_eligible,
    naive_possible,
    random_constraints,
    random_problem,
    solve,
)

from ds2.errors import InputError
from ds2.selection import Constraints, Quota, select


def quotas_for(labels, limits, name="label"):
    return tuple(Quota(labels, label, *ends, name=name) for label, ends in limits.items())


LABELS = np.array(list("aaaaabbbbbccccc"), dtype=object)


@pytest.mark.parametrize("kind", ["one label set", "overlapping", "budget"])
def test_the_best_of_all_sets_is_chosen(kind):
    refused = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(3, 11))
        settings = {"overlap": kind != "one label set", "budget": kind == "budget" or None}
        order, size, constraints = random_constraints(rng, n, **settings)
        expected = best_set(order, size, constraints)
        if not expected:
            refused += 1
            with pytest.raises(InputError, match=r"cannot be met|can be selected"):
                choose(order, size, constraints)
        else:
            chosen = choose(order, size, constraints)
            assert set(chosen.rows.tolist()) == expected, seed
            assert len(chosen.rows) == len(expected)
    assert 10 < refused < 110


def test_what_cannot_be_met_is_refused_and_the_largest_size_is_named():
    refused = named = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(3, 10))
        budget = True if seed % 3 == 2 else None
        problem = random_problem(rng, n, overlap=seed % 2 == 0, budget=budget)
        if naive_possible(problem, problem["size"]):
            solve(problem)
            continue
        refused += 1
        with pytest.raises(InputError, match=r"cannot be|can be \w+\.") as error:
            solve(problem)
        sizes = [m for m in range(1, problem["size"] or 1) if naive_possible(problem, m)]
        if sizes and budget is None:
            named += 1
            assert f"The largest feasible size is {max(sizes)}:" in str(error.value), seed
        else:
            assert "largest feasible" not in str(error.value), seed
    assert refused > 60
    assert named > 15


def test_who_can_be_chosen_is_what_loops_find():
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(4, 12))
        problem = random_problem(rng, n)
        constraints = replace(problem["constraints"], quotas=())
        rows, must = naive_eligible({**problem, "constraints": constraints})
        if set(must) <= set(rows) and rows:
            one = {**problem, "constraints": constraints, "size": len(rows)}
            assert sorted(solve(one).rows.tolist()) == rows


def larger(seed, n=400, *, budget=False):
    """Constraints over a larger pool, mostly feasible."""
    rng = np.random.default_rng(seed)
    sources, languages = SOURCES[rng.integers(0, 3, n)], LANGUAGES[rng.integers(0, 2, n)]
    quotas = (
        *quotas_for(sources, {"a": (20, 60), "b": (None, 40)}, name="source"),
        Quota(languages, "x", 30, None, name="language"),
        Quota(languages, "y", None, 0.5, of="share", name="language"),
    )
    constraints = Constraints(
        quotas=quotas,
        must_have=rng.choice(n, 5, replace=False),
        max_tokens=4000 if budget else None,
        tokens=rng.integers(1, 120, n) if budget else None,
    )
    return rng.permutation(n), None if budget else 120, constraints


@pytest.mark.parametrize("budget", [False, True])
def test_nothing_is_violated_on_larger_pools(budget):
    for seed in range(12):
        order, size, constraints = larger(seed, budget=budget)
        rows = choose(order, size, constraints).rows.tolist()
        assert len(set(rows)) == len(rows)
        assert meets(rows, size, constraints, budget)
        assert rows[:5] == constraints.must_have.tolist()


def better_or_equal(rows, others, order):
    place = {int(row): i for i, row in enumerate(order)}
    bits = [sum(1 << (len(order) - place[int(row)]) for row in some) for some in (rows, others)]
    return bits[0] >= bits[1]


@pytest.mark.parametrize("budget", [False, True])
def test_allowing_more_never_gives_a_worse_selection(budget):
    for seed in range(10):
        order, size, constraints = larger(seed, budget=budget)
        constraints = replace(constraints, must_have=None)
        before = choose(order, size, constraints).rows
        first, second, *rest = constraints.quotas
        wider = [
            replace(constraints, quotas=(replace(first, minimum=10), second, *rest)),
            replace(constraints, quotas=(replace(first, maximum=None), second, *rest)),
            replace(constraints, quotas=(first, *rest)),
        ]
        if budget:
            wider.append(replace(constraints, max_tokens=4100))
        for other in wider:
            assert better_or_equal(choose(order, size, other).rows, before, order)


def test_one_label_set_gives_prefixes_from_the_minimums_on():
    rng = np.random.default_rng(0)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        labels = SOURCES[rng.integers(0, 3, 90)]
        limits = {"a": (4, 12), "b": (None, 8), "c": (6, None)}
        constraints = Constraints(
            quotas=quotas_for(labels, limits), must_have=rng.choice(90, 2, replace=False)
        )
        order = rng.permutation(90)
        whole = choose(order, 40, constraints).rows
        for size in range(12, 41):
            part = choose(order, size, constraints).rows
            np.testing.assert_array_equal(part, whole[:size])


def test_plans_and_counting_choose_the_same_rows():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        labels, other = SOURCES[rng.integers(0, 3, 120)], LANGUAGES[rng.integers(0, 2, 120)]
        quotas = quotas_for(labels, {"a": (10, 15), "b": (None, 9), "c": (5, None)})
        idle = Quota(other, "x", 0, 120)  # rules nothing out, and overlaps
        order = rng.permutation(120)
        one = choose(order, 30, Constraints(quotas=quotas)).rows
        two = choose(order, 30, Constraints(quotas=(*quotas, idle))).rows
        assert set(one) == set(two)


def test_the_reasons_are_told():
    order = np.arange(15)
    quotas = quotas_for(LABELS, {"a": (None, 2), "c": (2, None)}, name="source")
    chosen = choose(order, 6, Constraints(quotas=quotas, must_have=np.array([14])))
    assert chosen.rows.tolist() == [14, 10, 0, 1, 5, 6]
    assert chosen.reasons[0] == "must be chosen"
    assert chosen.reasons[1].endswith("; for the minimum of source 'c'")
    assert all(";" not in reason for reason in chosen.reasons[2:])
    assert {why: rows.tolist() for why, rows in chosen.dropped_rows.items()} == {
        "over the maximum of source 'a'": [2, 3, 4],
        "place kept for another constraint": [7, 8, 9],
    }
    tokens = np.full(15, 10)
    tokens[1] = 50
    budget = choose(order, None, Constraints(max_tokens=35, tokens=tokens))
    assert budget.rows.tolist() == [0, 2, 3]
    assert budget.dropped_rows["too long for the tokens that are left"].tolist() == [1]


def test_who_is_out_and_why():
    scores = np.array([5, 4, np.nan, 3, 5, 1, 4, 4.0])
    groups = np.array([0, 1, 2, 3, 0, 5, 6, 7])
    vectors = np.eye(8)
    vectors[7] = vectors[6] + 0.01
    constraints = Constraints(
        must_not=np.array([3]),
        min_score=2.0,
        near_duplicate=0.9,
        blocked={"in an evaluation set": np.array([1])},
    )
    given = {"lengths": -np.arange(8), "method": "ds2-no-diversity", "groups": groups}
    given |= {"vectors": vectors}
    found = select(scores, size=2, constraints=constraints, **given)
    assert found.rows.tolist() == [0, 6]
    assert {why: rows.tolist() for why, rows in found.dropped_rows.items()} == {
        "unrated": [2],
        "must not be chosen": [3],
        "in an evaluation set": [1],
        "below the minimum score": [5],
        "duplicate": [4],
        "near-duplicate": [7],
    }
    asked = replace(constraints, must_have=np.array([2, 4, 7]))
    assert select(scores, size=3, constraints=asked, **given).rows.tolist() == [2, 4, 7]
    banned = replace(constraints, must_not=np.array([4]))
    assert 0 not in select(scores, size=1, constraints=banned, **given).rows


@pytest.mark.parametrize(
    ("constraints", "sentence"),
    [
        (
            Constraints(
                quotas=(
                    *quotas_for(LABELS, {"a": (4, None)}, name="source"),
                    Quota(LABELS == "a", True, None, 0.5, of="share", name="short"),
                )
            ),
            r"The constraints at least 4 rows of source 'a', at most a share of 0.5 of short 'True'"
            r" and size = 6 cannot be met together. No smaller size helps: relax a constraint.",
        ),
        (
            Constraints(quotas=(Quota(LABELS, "a", 6, name="source"), Quota(LABELS, "b", 1))),
            r"The constraint at least 6 rows of source 'a' \(of which 5 can be chosen\) cannot be",
        ),
        (
            Constraints(quotas=(Quota(LABELS, "a", None, 2), Quota(LABELS == "a", False, None, 3))),
            r"at most 2 rows of label 'a', at most 3 rows of label 'False' and size = 6 cannot be "
            r"met together. The largest feasible size is 5: ask for that, or relax a constraint.",
        ),
        (
            Constraints(must_have=np.array([3]), must_not=np.array([3])),
            r"'must_have' names rows that cannot be chosen: 3. .* are out: 1 must not be chosen",
        ),
        (
            Constraints(min_score=3),
            r"'size' asks for 6 rows, and 4 can be selected. The largest feasible size is 4: ask.* "
            r"Of 15 rows these are out: 11 below the minimum score",
        ),
        (
            Constraints(max_tokens=30, tokens=np.full(15, 10), quotas=(Quota(LABELS, "b", 4),)),
            r"at least 4 rows of label 'b', max_tokens = 30 and size = 6 cannot be met together. "
            r"The minimums need 40 tokens at least: raise the budget",
        ),
        (
            Constraints(quotas=tuple(Quota(LABELS[:, None][:, 0], "a", 6) for _ in range(9))),
            r"of which 5 can be chosen\) and 3 more cannot be met together",
        ),
    ],
)
def test_the_sentence_says_what_clashes_and_what_is_possible(constraints, sentence):
    scores = np.where(LABELS == "a", 1.0, np.arange(15) % 5)
    with pytest.raises(InputError, match=sentence):
        select(scores, size=6, method="ds2-no-diversity", constraints=constraints)


@pytest.mark.parametrize(
    ("constraints", "sentence"),
    [
        (Constraints(max_tokens=5), "'max_tokens' needs 'tokens'"),
        (Constraints(max_tokens=5, tokens=np.ones(15)), "'tokens' must be whole numbers"),
        (Constraints(max_tokens=5, tokens=np.full(15, -1)), "'tokens' row 0 is -1, below 0"),
        (Constraints(max_tokens=0, tokens=np.ones(15, int)), "'max_tokens' must be a whole"),
        (Constraints(near_duplicate=1.2), "'near_duplicate' must be a fraction"),
        (Constraints(near_duplicate=0.9), "need 'vectors' or 'neighbors'"),
        (Constraints(min_score=np.nan), "'min_score' must be a finite number"),
        (Constraints(min_score="3"), "'min_score' must be a number. Got '3'"),
        (Constraints(min_score=2), "'min_score' needs 'scores'"),
        (Constraints(must_have=np.array([15])), r"'must_have' must be row numbers in \[0, 14\]"),
        (Constraints(must_not=np.array([0.5])), "'must_not' must be row numbers"),
        (Constraints(quotas=(Quota(LABELS, "a"),)), "no minimum and no maximum"),
        (Constraints(quotas=(Quota(LABELS, "a", 3, 2),)), "minimum of 3 above its maximum 2"),
        (Constraints(quotas=(Quota(LABELS, "a", 0.5),)), "minimum of label 'a'' must be a whole"),
        (Constraints(quotas=(Quota(LABELS, "a", 2, of="share"),)), "must be a fraction"),
        (Constraints(quotas=(Quota(LABELS, "a", 2, of="tokens"),)), "'of' must be one of"),
        (Constraints(quotas=(Quota(LABELS, "A", 2),)), "No row of the pool has the label 'A'"),
        (Constraints(quotas=(Quota(LABELS[:3], "a", 2),)), "label 'a'' must have 15 rows"),
        (Constraints(quotas=(Quota([["a", "b"]] * 15, "a", 2),)), "label 'a'' must have one value"),
        (Constraints(quotas=(Quota([["a"], ["a", "b"], "c"] * 5, "a", 2),)), "must hold one value"),
        (
            Constraints(
                max_tokens=9,
                tokens=np.ones(15, int),
                quotas=(Quota(LABELS, "a", 0.1, of="share"),),
            ),
            "minimum share under a budget in tokens",
        ),
    ],
)
def test_bad_constraints_are_named(constraints, sentence, untyped):
    with pytest.raises(InputError, match=sentence):
        select(size=3, method="random", keys=np.arange(15), constraints=constraints)


def test_a_label_that_could_act_is_escaped():
    labels = np.array(["\x1b[31m" + "x" * 80] * 3, dtype=object)
    quotas = (Quota(labels, labels[0], 9),)
    with pytest.raises(InputError) as error:
        select(size=3, method="random", keys=np.arange(3), constraints=Constraints(quotas=quotas))
    assert "\x1b" not in str(error.value)
    assert "x" * 50 not in str(error.value)
