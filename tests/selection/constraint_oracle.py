"""A naive oracle for constraints: every set of rows of a small pool, one by one."""

from dataclasses import replace
from itertools import combinations

import numpy as np

from ds2.selection.constraints import Constraints, Quota

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


def feasible_sizes(eligible, constraints):
    """Every number of rows, from 1, at which some set meets all but the size."""
    must = [] if constraints.must_have is None else list(map(int, constraints.must_have))
    return sorted(
        {
            len(rows)
            for rows in every_set([int(row) for row in eligible], must)
            if rows and meets(rows, None, constraints, constraints.max_tokens is not None)
        }
    )


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


def naive_eligible(problem, parts):
    """Rows that are left when only some parts of the constraints count, by loops."""
    constraints, scores, groups, unit = (
        problem[name] for name in ("constraints", "scores", "groups", "unit")
    )
    n = len(scores)
    must = _listed(constraints.must_have) if ("must_have", 0) in parts else []
    banned = _listed(constraints.must_not) if ("must_not", 0) in parts else []
    for reason, rows in constraints.blocked.items():
        banned += _listed(rows) if ("blocked", reason) in parts else []
    least = constraints.min_score if ("min_score", 0) in parts else -np.inf
    alive = [
        row
        for row in range(n)
        if groups[row] not in {groups[other] for other in banned}
        and (row in must or scores[row] >= least)
    ]
    better = [row for row in must if row in alive]
    better += sorted((row for row in alive if row not in must), key=lambda row: (-scores[row], row))
    kept = []
    for row in better:
        copy = any(groups[row] == groups[other] for other in kept)
        near = ("near_duplicate", 0) in parts and any(
            unit[row] @ unit[other] >= constraints.near_duplicate - 1e-6 for other in kept
        )
        if row in must or not (copy or near):
            kept.append(row)
    return sorted(kept), must


def _listed(rows):
    return [] if rows is None else [int(row) for row in rows]


def naive_possible(problem, parts):
    """Whether some set of rows meets some parts of the constraints."""
    constraints, size = problem["constraints"], problem["size"]
    rows, must = naive_eligible(problem, parts)
    if not set(must) <= set(rows):
        return False
    budgeted = constraints.max_tokens is not None
    quotas = tuple(
        replace(
            quota,
            minimum=quota.minimum if ("minimum", q) in parts else None,
            maximum=quota.maximum if ("maximum", q) in parts else None,
        )
        for q, quota in enumerate(constraints.quotas)
    )
    limit = constraints.max_tokens
    if budgeted and ("max_tokens", 0) not in parts:
        limit = 10**9
        quotas = tuple(
            quota
            if quota.of == "rows" or quota.maximum is None
            else replace(quota, maximum=quota.maximum * constraints.max_tokens / limit)
            for quota in quotas
        )
    relaxed = replace(constraints, quotas=quotas, max_tokens=limit)
    wanted = size if ("size", 0) in parts else None
    return any(
        meets(found, wanted, relaxed, budgeted)
        for found in every_set(rows, must, budgeted, wanted)
        if found
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


def parts_of(constraints, size):
    """Every part of some constraints, as `Conflict.parts` names them."""
    one = ("near_duplicate", "min_score", "max_tokens")
    parts = {(name, 0) for name in one if getattr(constraints, name) is not None}
    parts |= {(name, 0) for name in ("must_have", "must_not") if len(getattr(constraints, name))}
    parts |= {("blocked", reason) for reason in constraints.blocked}
    for q, quota in enumerate(constraints.quotas):
        parts |= {("maximum", q)} if quota.maximum is not None else set()
        parts |= {("minimum", q)} if quota.minimum else set()
    return frozenset(parts | ({("size", 0)} if size is not None else set()))
