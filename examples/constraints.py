"""Constraints met together, and what is said when they cannot be.

    python examples/constraints.py

A simulated pool of 2,000 rows with sources, token counts and scores. Rows are ruled out first; the
method orders the others; they are chosen in its order as far as every constraint can still be met.
"""

from collections import Counter
from dataclasses import replace

import numpy as np

import ds2


def show(chosen: ds2.Selection, sources: np.ndarray, tokens: np.ndarray) -> None:
    mix = ", ".join(f"{name} {n}" for name, n in sorted(Counter(sources[chosen.rows]).items()))
    print(f"{len(chosen.rows)} rows, {tokens[chosen.rows].sum():,} tokens: {mix}")


def main() -> None:
    pool = ds2.simulate(2000, seed=5)
    rng = np.random.default_rng(6)
    # Three of four rows are chat, and maths has the lowest scores: left alone it hardly gets in.
    sources = np.where(rng.random(2000) < 0.75, "chat", "code").astype(object)
    sources[(pool.scores < 3) & (rng.random(2000) < 0.3)] = "maths"
    tokens = rng.integers(50, 800, 2000)
    neighbors = ds2.find_neighbors(pool.vectors)
    given = {"scores": pool.scores, "neighbors": neighbors, "vectors": pool.vectors}
    print("no constraints")
    show(ds2.select(**given, size=200), sources, tokens)
    wanted = ds2.Constraints(
        quotas=(
            ds2.Quota(sources, "maths", minimum=0.2, of="share", name="source"),
            ds2.Quota(sources, "chat", maximum=0.5, of="share", name="source"),
        ),
        near_duplicate=0.95,
        must_have=np.array([7]),
    )
    print("at least 20 % maths, at most 50 % chat, no near-duplicates, row 7 in any case")
    chosen = ds2.select(**given, size=200, constraints=wanted)
    show(chosen, sources, tokens)
    for place in (0, 1, -1):
        print(f"  row {chosen.rows[place]}: {chosen.reasons[place]}")
    print(f"  dropped: {dict(chosen.dropped)}")
    print("a budget of 40,000 tokens in place of a number of rows")
    budget = ds2.Constraints(max_tokens=40_000, tokens=tokens)
    show(ds2.select(**given, size=None, constraints=budget), sources, tokens)

    print("what clashes is named, with the largest size that is possible")
    try:
        ds2.select(**given, size=1000, constraints=replace(wanted, min_score=2))
    except ds2.InputError as error:
        print(f"  {error}")


if __name__ == "__main__":
    main()
