"""Compare a run with the planted truth: `python compare_with_planted.py RUN_DIR PLANTED_JSON`.

Prints the planted transition matrix beside the one that the run recovered, how many wrong scores
its curation found, and whether curated scores and selected rows are better than raw scores would
have it. `pool.jsonl`, with the true scores, is expected beside PLANTED_JSON.
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

import ds2
from ds2.levels import nearest_level


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
    selected: np.ndarray  # the rows that were selected


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


def read_scores(curation: Path, selection: Path, pool: Path) -> Scores:
    """Join the curation and selection of a run with the true scores of the pool, by id."""
    with pool.open(encoding="utf-8") as lines:
        true = {row["id"]: row["true_score"] for row in map(json.loads, lines)}
    table = pq.read_table(curation, columns=["id", "observed", "score", "misrated"]).to_pydict()
    return Scores(
        true=_numbers([true.get(id_) for id_ in table["id"]]),
        observed=_numbers(table["observed"]),
        curated=_numbers(table["score"]),
        misrated=_numbers(table["misrated"]),
        selected=pq.read_table(selection, columns=["row"])["row"].to_numpy(),
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
    curated = nearest_level(scores.curated)  # some methods give fractions
    changed = known & (curated != scores.observed)
    both = (wrong & flagged).sum()
    yield f"Examples with a score: {known.sum()}, of which {wrong.sum()} have a wrong one."
    if not np.isnan(scores.misrated).all():
        yield (
            f"Flagged as misrated: {flagged.sum()}; precision {_share(both, flagged.sum())}, "
            f"recall {_share(both, wrong.sum())}."
        )
    elif changed.any():
        yield "The run flagged nothing: its method does not call single scores wrong."
    else:
        yield "The run flagged nothing: it kept the raw scores."
    right = [(known & (s == scores.true)).sum() for s in (scores.observed, curated)]
    yield (
        f"Scores changed: {changed.sum()}; right before {_share(right[0], known.sum())}, "
        f"after {_share(right[1], known.sum())}."
    )


def describe_worth(scores: Scores) -> Iterator[str]:
    """Whether the order of the scores, and the rows that were selected, are better than raw."""
    raw, curated = (
        ds2.agreement(each, scores.true).value for each in (scores.observed, scores.curated)
    )
    yield f"Spearman with the planted scores: raw {raw:.3f}, curated {curated:.3f}."
    size = len(scores.selected)
    chosen = float(scores.true[scores.selected].mean())
    top = _top_mean(scores.observed, scores.true, size)
    yield (
        f"Mean planted score of {size} rows: selected {chosen:.2f}, highest raw scores {top:.2f}, "
        f"random {np.nanmean(scores.true):.2f}."
    )
    if round(curated, 3) == round(raw, 3):
        yield "Curation left the order of the scores as it was."
    else:
        yield f"Curation made the order of the scores {'better' if curated > raw else 'worse'}."


def _top_mean(values: np.ndarray, true: np.ndarray, size: int) -> float:
    """Mean truth of the rows with the highest values; those tied at the end share the places."""
    rated = np.isfinite(values) & np.isfinite(true)
    mean = total = 0.0
    for level in np.unique(values[rated])[::-1]:
        of_level = true[rated & (values == level)]
        places = min(len(of_level), size - total)
        mean, total = mean + places * float(of_level.mean()), total + places
    return mean / max(total, 1)


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
    noise, *tables = (
        options.run / name for name in ("noise.json", "curation.parquet", "selection.parquet")
    )
    pool = options.planted.with_name("pool.jsonl")
    missing = [path for path in (options.planted, pool, noise, *tables) if not path.is_file()]
    if missing:
        print(f"No such file: {missing[0]}", file=sys.stderr)
        return 2
    planted, found = read_estimate(options.planted), read_estimate(noise)
    if planted.matrix.shape != found.matrix.shape:
        shapes = f"{planted.matrix.shape} planted, {found.matrix.shape} recovered"
        print(f"The matrices differ in size: {shapes}.", file=sys.stderr)
        return 2
    print(*describe_matrices(planted, found), sep="\n")
    scores = read_scores(*tables, pool)
    print()
    print(*describe_scores(scores), sep="\n")
    print()
    print(*describe_worth(scores), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
