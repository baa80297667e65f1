"""Compare a run with the planted truth: `python compare_with_planted.py RUN_DIR PLANTED_JSON`.

Prints the planted transition matrix beside the one that the run recovered, and how many wrong
scores its curation found. `pool.jsonl`, with the true scores, is expected beside PLANTED_JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq


@dataclass(frozen=True, slots=True)
class Estimate:
    """A transition matrix (rows true, columns observed), its 95 % intervals, and the prior."""

    matrix: np.ndarray  # (k, k)
    intervals: np.ndarray  # (2, k, k), NaN where there is none
    prior: np.ndarray  # (k,)


@dataclass(frozen=True, slots=True)
class Scores:
    """What is known of every example of the run; NaN is missing."""

    true: np.ndarray
    observed: np.ndarray
    curated: np.ndarray
    misrated: np.ndarray  # 1, 0 or NaN


def read_estimate(path: Path) -> Estimate:
    """Read `matrix`, `intervals` and `prior` from a JSON file."""
    values = json.loads(path.read_text(encoding="utf-8"))
    matrix = _numbers(values["matrix"])
    intervals = values.get("intervals")
    return Estimate(
        matrix=matrix,
        intervals=np.full((2, *matrix.shape), np.nan) if intervals is None else _numbers(intervals),
        prior=_numbers(values["prior"]),
    )


def read_scores(curation: Path, pool: Path) -> Scores:
    """Join the curation of a run with the true scores of the pool, by id."""
    with pool.open(encoding="utf-8") as lines:
        true = {row["id"]: row["true_score"] for row in map(json.loads, lines)}
    table = pq.read_table(curation, columns=["id", "observed", "score", "misrated"]).to_pydict()
    return Scores(
        true=_numbers([true.get(id_) for id_ in table["id"]]),
        observed=_numbers(table["observed"]),
        curated=_numbers(table["score"]),
        misrated=_numbers(table["misrated"]),
    )


def _numbers(values: Any) -> np.ndarray:
    return np.array(values, dtype=object).astype(np.float64)


def describe_matrices(planted: Estimate, found: Estimate) -> Iterator[str]:
    """Both matrices, row by row, and how far apart they are."""
    k = len(planted.matrix)
    heads = " ".join(f"{j:>5}" for j in range(k))
    yield "Transition matrix: rows are true scores, columns observed scores."
    yield f"{'true':>4}  {'planted':<{6 * k}} {'recovered':<{6 * k}} distance"
    yield f"{'':>4}  {heads}  {heads}"
    distances = np.abs(planted.matrix - found.matrix).sum(axis=1) / 2
    for i in range(k):
        rows = (_cells(planted.matrix[i]), _cells(found.matrix[i]), f"{distances[i]:8.3f}")
        yield f"{i:>4}  {'  '.join(rows)}"
    yield f"Mean total variation of the rows: {_mean(distances):.3f} (0 is perfect, 1 the worst)."
    low, high = found.intervals
    given = np.isfinite(low) & np.isfinite(high)
    held = given & (low <= planted.matrix) & (planted.matrix <= high)
    yield f"95 % intervals that hold the planted value: {held.sum()} of {given.sum()} cells."
    yield f"Prior, planted:   {_cells(planted.prior)}"
    yield f"Prior, recovered: {_cells(found.prior)}"
    errors = [1 - np.nansum(each.prior * each.matrix.diagonal()) for each in (planted, found)]
    yield f"Share of wrong scores: planted {errors[0]:.3f}, recovered {errors[1]:.3f}."


def describe_scores(scores: Scores) -> Iterator[str]:
    """How many wrong scores were found, and how often a score was right before and after."""
    known = np.isfinite(scores.true) & np.isfinite(scores.observed)
    wrong = known & (scores.observed != scores.true)
    flagged = known & (scores.misrated == 1)
    changed = known & (scores.curated != scores.observed)
    both = (wrong & flagged).sum()
    yield f"Examples with a score: {known.sum()}, of which {wrong.sum()} have a wrong one."
    if np.isnan(scores.misrated).all():
        yield "The run flagged nothing, because it was asked for no curation."
    else:
        yield (
            f"Flagged as misrated: {flagged.sum()}; precision {_share(both, flagged.sum())}, "
            f"recall {_share(both, wrong.sum())}."
        )
    right = [(known & (s == scores.true)).sum() for s in (scores.observed, scores.curated)]
    yield (
        f"Scores changed: {changed.sum()}; right before {_share(right[0], known.sum())}, "
        f"after {_share(right[1], known.sum())}."
    )


def _cells(values: Iterable[float]) -> str:
    return " ".join(f"{value:5.3f}" if np.isfinite(value) else "    –" for value in values)


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "undefined"


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare a run with the planted truth.")
    parser.add_argument("run", type=Path, metavar="RUN_DIR")
    parser.add_argument("planted", type=Path, metavar="PLANTED_JSON")
    options = parser.parse_args()
    noise, curation = options.run / "noise.json", options.run / "curation.parquet"
    pool = options.planted.with_name("pool.jsonl")
    missing = [path for path in (options.planted, pool, noise, curation) if not path.is_file()]
    if missing:
        print(f"No such file: {missing[0]}", file=sys.stderr)
        return 2
    planted, found = read_estimate(options.planted), read_estimate(noise)
    if planted.matrix.shape != found.matrix.shape:
        shapes = f"{planted.matrix.shape} planted, {found.matrix.shape} recovered"
        print(f"The matrices differ in size: {shapes}.", file=sys.stderr)
        return 2
    print(*describe_matrices(planted, found), sep="\n")
    print()
    print(*describe_scores(read_scores(curation, pool)), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
