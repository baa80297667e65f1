"""Constraints met together: against every set of rows, and properties on larger pools."""

from dataclasses import replace

import numpy as np
import pytest
from constraint_oracle import (
    LANGUAGES,
    SOURCES,
    best_set,
    meets,
    naive_possible,
    parts_of,
    random_constraints,
    random_problem,
)

from ds2.errors import InputError
from ds2.selection.constraint_choose import choose
from ds2.selection.constraint_conflict import find_conflict
from ds2.selection.constraints import Constraints, Quota, check_constraints, quotas_for
from ds2.selection.eligible import eligible_rows

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
            with pytest.raises(InputError, match="No choice of the rows"):
                choose(order, size, constraints, n=n)
        else:
            chosen = choose(order, size, constraints, n=n)
            assert set(chosen.rows.tolist()) == expected, seed
            assert len(chosen.rows) == len(expected)
    assert 10 < refused < 110


def problem_of(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 10))
    problem = random_problem(rng, n, overlap=seed % 2 == 0, budget=True if seed % 3 == 2 else None)
    problem["constraints"] = check_constraints(problem["constraints"], n)
    return n, problem


def cut(problem, n, constraints):
    """The rows left under some constraints, by `eligible_rows` without quotas, size and budget."""
    filters = replace(constraints, quotas=(), max_tokens=None)
    must = [] if constraints.must_have is None else constraints.must_have
    try:
        left = eligible_rows(
            n,
            None,
            filters,
            scores=problem["scores"],
            groups=problem["groups"],
            vectors=problem["unit"],
        )
    except InputError:
        return np.empty(0, np.int64)
    return np.union1d(left.rows, must).astype(np.int64)


def test_what_cannot_be_met_is_refused_with_a_smallest_clash_and_the_nearest_size():
    clashes = 0
    for seed in range(150):
        n, problem = problem_of(seed)
        constraints, size = problem["constraints"], problem["size"]
        every = parts_of(constraints, size)
        settings = {
            "scores": problem["scores"],
            "groups": problem["groups"],
            "vectors": problem["unit"],
        }
        if naive_possible(problem, every):
            eligible_rows(n, size, constraints, **settings)
            continue
        with pytest.raises(InputError, match=r"cannot be met|can be \w+\.") as error:
            eligible_rows(n, size, constraints, **settings)
        rows = cut(problem, n, constraints)
        conflict = find_conflict(
            n, size, constraints, rows, lambda other, n=n, p=problem: cut(p, n, other)
        )
        if not conflict.parts:
            continue
        assert conflict.sentence in str(error.value)
        clashes += 1
        parts = frozenset(conflict.parts)
        assert not naive_possible(problem, parts), seed
        assert all(naive_possible(problem, parts - {part}) for part in parts), seed
        if constraints.max_tokens is None:
            sizes = [m for m in range(1, n + 1) if naive_possible({**problem, "size": m}, every)]
            assert conflict.largest == max((m for m in sizes if m < size), default=None)
            if conflict.largest is None:
                assert conflict.smallest == min((m for m in sizes if m > size), default=None)
    assert clashes > 40


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
        rows = choose(order, size, constraints, n=400).rows.tolist()
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
        before = choose(order, size, constraints, n=400).rows
        first, second, *rest = constraints.quotas
        wider = [
            replace(constraints, quotas=(replace(first, minimum=10), second, *rest)),
            replace(constraints, quotas=(replace(first, maximum=None), second, *rest)),
            replace(constraints, quotas=(first, *rest)),
        ]
        if budget:
            wider.append(replace(constraints, max_tokens=4100))
        for other in wider:
            assert better_or_equal(choose(order, size, other, n=400).rows, before, order)


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
        whole = choose(order, 40, constraints, n=90).rows
        for size in range(12, 41):
            part = choose(order, size, constraints, n=90).rows
            np.testing.assert_array_equal(part, whole[:size])


def test_plans_and_counting_choose_the_same_rows():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        labels, other = SOURCES[rng.integers(0, 3, 120)], LANGUAGES[rng.integers(0, 2, 120)]
        quotas = quotas_for(labels, {"a": (10, 15), "b": (None, 9), "c": (5, None)})
        idle = Quota(other, "x", 0, 120)  # rules nothing out, and overlaps
        order = rng.permutation(120)
        one = choose(order, 30, Constraints(quotas=quotas), n=120).rows
        two = choose(order, 30, Constraints(quotas=(*quotas, idle)), n=120).rows
        assert set(one) == set(two)


def test_the_reasons_are_told():
    order = np.arange(15)
    quotas = quotas_for(LABELS, {"a": (None, 2), "c": (2, None)}, name="source")
    chosen = choose(order, 6, Constraints(quotas=quotas, must_have=np.array([14])), n=15)
    assert chosen.rows.tolist() == [14, 10, 0, 1, 5, 6]
    assert chosen.notes == {14: "must be chosen", 10: "for the minimum of source 'c'"}
    assert {why: rows.tolist() for why, rows in chosen.dropped.items()} == {
        "over the maximum of source 'a'": [2, 3, 4],
        "place kept for another constraint": [7, 8, 9],
    }
    tokens = np.full(15, 10)
    tokens[1] = 50
    budget = choose(order, None, Constraints(max_tokens=35, tokens=tokens), n=15)
    assert budget.rows.tolist() == [0, 2, 3]
    assert budget.dropped["too long for the tokens that are left"].tolist() == [1]


def test_a_start_of_an_order_is_completed():
    quotas = quotas_for(LABELS, {"c": (2, None)})
    chosen = choose(
        np.array([3, 1]), 4, Constraints(quotas=quotas), n=15, eligible=np.arange(14, -1, -1)
    )
    assert sorted(chosen.rows.tolist()) == [1, 3, 13, 14]


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
    settings = {"scores": scores, "groups": groups, "vectors": vectors}
    found = eligible_rows(8, 2, constraints, **settings)
    assert found.rows.tolist() == [0, 6]
    assert {why: rows.tolist() for why, rows in found.dropped.items()} == {
        "unrated": [2],
        "must not be chosen": [3],
        "in an evaluation set": [1],
        "below the minimum score": [5],
        "duplicate": [4],
        "near-duplicate": [7],
    }
    asked = replace(constraints, must_have=np.array([2, 4, 7]))
    assert eligible_rows(8, 3, asked, **settings).rows.tolist() == []
    banned = replace(constraints, must_not=np.array([4]))
    assert 0 not in eligible_rows(8, 1, banned, **settings).rows


def test_the_sentence_says_what_clashes_and_what_is_possible():
    quotas = (
        *quotas_for(LABELS, {"a": (4, None)}, name="source"),
        Quota(LABELS == "a", True, None, 0.5, of="share", name="short"),
    )
    with pytest.raises(
        InputError,
        match=r"The constraints at most a share of 0.5 of short 'True', at least 4 rows of source "
        r"'a' and size = 6 cannot be met together. The smallest feasible size is 8: ask for that",
    ):
        eligible_rows(15, 6, Constraints(quotas=quotas))
    with pytest.raises(
        InputError,
        match=r"The constraints min_score = 3 and size = 9 cannot be met together. The largest "
        r"feasible size is 4: ask.* Of 15 rows these are out: 11 below the minimum score",
    ):
        eligible_rows(
            15, 9, Constraints(min_score=3), scores=np.where(LABELS == "a", 1.0, np.arange(15) % 5)
        )


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
        (Constraints(min_score=2), "'min_score' needs 'scores'"),
        (Constraints(must_have=np.array([15])), r"'must_have' must be row numbers in \[0, 14\]"),
        (Constraints(must_not=np.array([0.5])), "'must_not' must be row numbers"),
        (Constraints(quotas=(Quota(LABELS, "a"),)), "no minimum and no maximum"),
        (Constraints(quotas=(Quota(LABELS, "a", 3, 2),)), "minimum of 3 above its maximum 2"),
        (Constraints(quotas=(Quota(LABELS, "a", 0.5),)), "minimum of label 'a'' must be a whole"),
        (Constraints(quotas=(Quota(LABELS, "a", 2, of="share"),)), "must be a fraction"),
        (Constraints(quotas=(Quota(LABELS, "a", 2, of="tokens"),)), "'of' must be one of"),
        (Constraints(quotas=(Quota(LABELS, "A", 2),)), "No row of the pool has the label 'A'"),
        (Constraints(quotas=(Quota(LABELS[:3], "a", 2),)), "'labels' must have 15 rows"),
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
        eligible_rows(15, 3, constraints)


def test_a_label_that_could_act_is_escaped():
    labels = np.array(["\x1b[31m" + "x" * 80] * 3, dtype=object)
    quotas = (Quota(labels, labels[0], 9),)
    with pytest.raises(InputError) as error:
        eligible_rows(3, 3, Constraints(quotas=quotas))
    assert "\x1b" not in str(error.value)
    assert "x" * 50 not in str(error.value)
