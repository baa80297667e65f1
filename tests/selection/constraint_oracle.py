"""A naive oracle for constraints: every set of rows of a small pool, one by one."""

from dataclasses import replace
from itertools import combinations

import numpy as np

from ds2.selection import Constraints, Quota, select

SOURCES = np.array(["a", "b", "c"], dtype=object)
LANGUAGES = np.array(["x", "y"], dtype=object)


def meets(rows, size, constraints, budgeted):
    """Whether a set of rows meets the size, the budget and every quota."""
    rows = list(rows)
    if budgeted:
        if size is not None and len(rows) > size:
            return False
        if constraints.tokens[rows].sum() > constraints.max_tokens:
            return False
    elif size is not None and len(rows) != size:
        return False
    return all(_quota_met(quota, rows, constraints, budgeted) for quota in constraints.quotas)


def _quota_met(quota, rows, constraints, budgeted):
    carried = [row for row in rows if quota.labels[row] == quota.label]
    low, high = quota.minimum, quota.maximum
    if quota.of == "rows":
        return (low is None or len(carried) >= low) and (high is None or len(carried) <= high)
    if budgeted:
        spent = constraints.tokens[carried].sum()
        return high is None or spent <= high * constraints.max_tokens + 1e-9
    least = low is None or len(carried) >= low * len(rows) - 1e-9
    return least and (high is None or len(carried) <= high * len(rows) + 1e-9)


def every_set(eligible, must, budgeted=True, size=None):
    """Every set of rows that holds all of ``must``."""
    rest = [row for row in eligible if row not in set(must)]
    sizes = range(len(rest) + 1) if budgeted or size is None else [size - len(must)]
    for count in sizes:
        if 0 <= count <= len(rest):
            for more in combinations(rest, count):
                yield (*must, *more)


def best_set(order, size, constraints):
    """The set that meets everything and is first in lexicographic order; None if none does."""
    must = [] if constraints.must_have is None else list(map(int, constraints.must_have))
    budgeted = constraints.max_tokens is not None
    place = {int(row): i for i, row in enumerate(order)}
    best, best_bits = None, -1
    for rows in every_set([int(row) for row in order], must, budgeted, size):
        if meets(rows, size, constraints, budgeted):
            bits = sum(1 << (len(order) - place[row]) for row in rows if row not in must)
            if bits > best_bits:
                best, best_bits = set(rows), bits
    return best


def choose(order, size, constraints):
    """The rows that a method with this order selects."""
    n = len(order)
    place = np.empty(n)
    place[order] = np.arange(n)
    return select(lengths=-place, size=size, method="length", constraints=constraints)


def random_constraints(rng, n, *, overlap=True, budget=None, shares=True):
    """A random order, size and set of constraints over ``n`` rows."""
    labels = {
        "source": SOURCES[rng.integers(0, 3, n)],
        "language": LANGUAGES[rng.integers(0, 2, n)],
    }
    quotas = []
    for name in ("source", "language")[: 2 if overlap else 1]:
        quotas.extend(
            _random_quota(rng, (labels[name], label, name), n, shares, budget)
            for label in sorted(set(labels[name]))
            if rng.random() < 0.6
        )
    must = rng.choice(n, rng.integers(0, 3), replace=False) if rng.random() < 0.4 else None
    tokens = rng.integers(0, 6, n) if budget else None
    constraints = Constraints(
        max_tokens=int(rng.integers(1, max(2, tokens.sum()))) if budget else None,
        tokens=tokens,
        quotas=tuple(quotas),
        must_have=must,
    )
    size = int(rng.integers(1, n + 1))
    return rng.permutation(n), None if budget and rng.random() < 0.6 else size, constraints


def _random_quota(rng, what, n, shares, budget):
    labels, label, name = what
    if shares and rng.random() < 0.3:
        low, high = np.sort(np.round(rng.random(2), 2))
        low = None if budget or rng.random() < 0.5 else float(low)
        return Quota(labels, label, low, float(high), of="share", name=name)
    low, high = np.sort(rng.integers(0, n // 2 + 1, 2))
    ends = [(int(low), None), (None, int(high)), (int(low), int(high))][rng.integers(0, 3)]
    return Quota(labels, label, *ends, name=name)


def naive_eligible(problem):
    """Rows that can be chosen at all, by loops."""
    constraints, scores, groups, unit = (
        problem[name] for name in ("constraints", "scores", "groups", "unit")
    )
    must, banned = _listed(constraints.must_have), _listed(constraints.must_not)
    for rows in constraints.blocked.values():
        banned += _listed(rows)
    least = -np.inf if constraints.min_score is None else constraints.min_score
    alive = [
        row
        for row in range(len(scores))
        if groups[row] not in {groups[other] for other in banned}
        and (row in must or scores[row] >= least)
    ]
    better = [row for row in must if row in alive]
    better += sorted((row for row in alive if row not in must), key=lambda row: (-scores[row], row))
    kept = []
    for row in better:
        copy = any(groups[row] == groups[other] for other in kept)
        near = constraints.near_duplicate is not None and any(
            unit[row] @ unit[other] >= constraints.near_duplicate - 1e-6 for other in kept
        )
        if row in must or not (copy or near):
            kept.append(row)
    return sorted(kept), must


def _listed(rows):
    return [] if rows is None else [int(row) for row in rows]


def naive_possible(problem, size):
    """Whether some set of this many rows meets the constraints (under a budget: of at most)."""
    rows, must = naive_eligible(problem)
    budgeted = problem["constraints"].max_tokens is not None
    return set(must) <= set(rows) and any(
        meets(found, size, problem["constraints"], budgeted)
        for found in every_set(rows, must, budgeted, size)
        if found
    )


def solve(problem):
    """What `select` makes of a problem, in the order given."""
    place = np.argsort(problem["order"])
    return select(
        problem["scores"],
        lengths=-place.astype(float),
        size=problem["size"],
        method="length",
        constraints=problem["constraints"],
        groups=problem["groups"],
        vectors=problem["unit"],
    )


def random_problem(rng, n, **settings):
    """A pool and constraints with everything that can rule a row out."""
    order, size, constraints = random_constraints(rng, n, **settings)
    angles = rng.random(n) * 2 * np.pi
    unit = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    groups = np.arange(n)
    if rng.random() < 0.5:
        groups[rng.integers(0, n)] = groups[rng.integers(0, n)]
    pick = lambda: rng.choice(n, rng.integers(1, 3), replace=False)  # noqa: E731
    constraints = replace(
        constraints,
        near_duplicate=0.97 if rng.random() < 0.4 else None,
        must_not=pick() if rng.random() < 0.4 else None,
        min_score=float(rng.integers(0, 4)) if rng.random() < 0.4 else None,
        blocked={"in an evaluation set": pick()} if rng.random() < 0.4 else {},
    )
    return {
        "order": order,
        "size": size,
        "constraints": constraints,
        "scores": rng.integers(0, 6, n).astype(float),
        "groups": groups,
        "unit": unit[groups],
    }
