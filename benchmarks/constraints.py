"""Constraints met together: 1,000 random sets against every set of rows, and time at 300,000 rows.

First part: pools of 3 to 11 rows with random quotas (one label set, two overlapping ones, shares),
a budget in tokens, rows that must or must not be chosen, blocked rows, a lowest score and
near-duplicates. Every one is either solved (the chosen set must be the lexicographic best of all
sets, found one by one) or refused (no set must be possible, and the largest size named must be the
true one). Larger pools of 40 rows are compared with a row-by-row integer program.

Second part: time and peak memory of choosing from a large pool under 26 quotas, and of finding
near-duplicates with and without a graph, in fresh processes.

    python benchmarks/constraints.py [--quick]
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from _common import PEAK, fresh_process, json_line, table
from scipy.optimize import Bounds, LinearConstraint, milp

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "selection"))

from constraint_oracle import (
    best_set,
    choose,
    naive_eligible,
    naive_possible,
    random_constraints,
    random_problem,
    solve,
)

from ds2.errors import InputError

LARGE = (
    PEAK
    + """
import json, sys, time
import numpy as np
from ds2.selection import Constraints, Quota, select

n, m, kind = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
rng = np.random.default_rng(0)
sources = np.array([f"source {i}" for i in range(20)], dtype=object)[
    np.minimum(rng.geometric(0.2, n) - 1, 19)]
languages = np.array(list("abcdef"), dtype=object)[np.minimum(rng.geometric(0.4, n) - 1, 5)]
quotas = tuple(Quota(sources, s, m // 60, m // 8, name="source") for s in set(sources.tolist()))
if kind != "one label set":
    quotas += tuple(Quota(languages, c, m // 30, name="language") for c in "abcdef")
tokens = rng.integers(20, 900, n)
budget = kind == "overlapping, tokens"
constraints = Constraints(quotas=quotas, must_have=np.arange(5),
                          max_tokens=400 * m if budget else None, tokens=tokens if budget else None)
lengths = rng.permutation(n)
start = time.perf_counter()
chosen = select(size=None if budget else m, method="length", lengths=lengths,
                constraints=constraints)
print(json.dumps({"select_s": time.perf_counter() - start, "rows": len(chosen.rows),
                  "peak_mb": peak_mb()}))
"""
)
NEAR = (
    PEAK
    + """
import json, sys, time
import numpy as np
from ds2.neighbors import Neighbors, find_neighbors
from ds2.selection import find_near_duplicates

n, graph = int(sys.argv[1]), sys.argv[2] == "graph"
rng = np.random.default_rng(0)
centres = rng.standard_normal((n // 30, 384), dtype=np.float32)
vectors = np.empty((n, 384), dtype=np.float16)
for begin in range(0, n, 20_000):
    stop = min(n, begin + 20_000)
    noise = rng.standard_normal((stop - begin, 384), dtype=np.float32)
    spread = rng.choice([0.1, 0.4, 0.8], (stop - begin, 1)).astype(np.float32)
    vectors[begin:stop] = centres[rng.integers(0, len(centres), stop - begin)] + spread * noise
neighbors = find_neighbors(vectors, 10) if graph else None
start = time.perf_counter()
found = find_near_duplicates(rng.permutation(n), similarity=0.95, vectors=vectors,
                             neighbors=neighbors)
print(json.dumps({"thin_s": time.perf_counter() - start, "dropped": len(found.rows),
                  "peak_mb": peak_mb()}))
"""
)


def check_small(seed):
    """What became of one random set of constraints, and whether it is right."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 12))
    budget = True if seed % 3 == 2 else None
    problem = random_problem(rng, n, overlap=seed % 2 == 0, budget=budget)
    constraints, size = problem["constraints"], problem["size"]
    possible = naive_possible(problem, size)
    try:
        rows = set(solve(problem).rows.tolist())
    except InputError as error:
        sizes = [m for m in range(1, size or 1) if naive_possible(problem, m)]
        named = f"largest feasible size is {max(sizes)}:" if sizes else ""
        return "refused", not possible and (budget is not None or named in str(error))
    left, must = naive_eligible(problem)
    line = [row for row in problem["order"].tolist() if row in left and row not in must]
    return "solved", possible and rows == best_set([*must, *line], size, constraints)


def row_by_row(order, size, constraints):
    """The lexicographic best by an integer program with one variable a row, row by row."""
    n, must = len(order), [] if constraints.must_have is None else constraints.must_have.tolist()
    rows, low, high = [np.ones(n)], [size if size is not None else 0], [size or n]
    if constraints.max_tokens is not None:
        low[0] = 0
        rows.append(constraints.tokens.astype(float))
        low.append(0)
        high.append(constraints.max_tokens)
    for quota in constraints.quotas:
        counted = (quota.labels == quota.label).astype(float)
        rows.append(counted)
        low.append(quota.minimum or 0)
        high.append(np.inf if quota.maximum is None else quota.maximum)
    lower, upper = np.zeros(n), np.ones(n)
    lower[must] = 1
    problem = LinearConstraint(np.array(rows), low, high)

    def possible():
        found = milp(np.zeros(n), integrality=np.ones(n), bounds=Bounds(lower, upper),
                     constraints=problem)  # fmt: skip
        return found.x is not None

    if not possible():
        return None
    for row in order:
        if lower[row] == 0:
            lower[row] = 1
            if not possible():
                lower[row], upper[row] = 0, 0
    return set(np.flatnonzero(lower).tolist())


def check_larger(seed):
    """One random set of constraints over 40 rows, against the integer program."""
    rng = np.random.default_rng(seed)
    budget = True if seed % 2 else None
    order, size, constraints = random_constraints(rng, 40, budget=budget, shares=False)
    expected = row_by_row(order, size, constraints)
    try:
        found = set(choose(order, size, constraints).rows.tolist())
    except InputError:
        return "refused", not expected
    return "solved", found == expected


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    counts, wrong = Counter(), []
    for seed in range(100 if quick else 1000):
        kind, right = check_small(seed)
        counts[f"{kind}, 3 to 11 rows"] += 1
        wrong += [] if right else [seed]
    for seed in range(20 if quick else 100):
        kind, right = check_larger(seed)
        counts[f"{kind}, 40 rows"] += 1
        wrong += [] if right else [f"larger {seed}"]
    table([{"constraints": name, "sets": count} for name, count in sorted(counts.items())])
    print(f"wrong: {wrong or 'none'}")
    rows = []
    for n, m in [(30_000, 1_000)] if quick else [(300_000, 1_000), (300_000, 10_000)]:
        for kind in ("one label set", "overlapping", "overlapping, tokens"):
            figures = fresh_process(LARGE, str(n), str(m), kind)
            rows.append({"n": n, "M": m, "quotas": kind, **figures})
    table(rows)
    near = [
        {"n": n, "by": by, **fresh_process(NEAR, str(n), by)}
        for n, by in ([(10_000, "graph")] if quick else [(100_000, "products"), (100_000, "graph")])
    ]
    table(near)
    json_line("constraints", counts=counts, wrong=len(wrong), large=rows, near=near)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
