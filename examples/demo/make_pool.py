"""Write a demo pool with known true scores: `python make_pool.py OUT_DIR [--size N] [--seed S]`.

`OUT_DIR/pool.jsonl` holds conversations with a true score from 0 (worthless) to 5 (excellent) and
an observed score, drawn from the row of MATRIX that belongs to the true score. Texts come from
`texts/*.toml`: each file is a family of tasks, each cell in it one task at one level of quality.
`OUT_DIR/planted.json` holds MATRIX and PRIOR, so that what is estimated can be compared.
`OUT_DIR/gold.jsonl` holds trusted scores of some examples, drawn by lot: the true score plays the
person who gives them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from cells import Cell, draw_apart, load_cells

PRIOR = np.array([0.07, 0.13, 0.24, 0.28, 0.20, 0.08])
# Rows: true score. Columns: observed score. This rater is too generous with poor examples, and
# rarely gives the highest score.
MATRIX = np.array(
    [
        [0.620, 0.240, 0.090, 0.030, 0.015, 0.005],
        [0.060, 0.600, 0.240, 0.070, 0.020, 0.010],
        [0.010, 0.090, 0.620, 0.220, 0.050, 0.010],
        [0.005, 0.025, 0.090, 0.700, 0.170, 0.010],
        [0.005, 0.010, 0.040, 0.170, 0.745, 0.030],
        [0.005, 0.010, 0.020, 0.070, 0.315, 0.580],
    ]
)
DUPLICATE_SHARE = 0.03
MISSING_SHARE = 0.01
GOLD_SHARE = 1 / 12
ROWS_PER_CELL = 20  # a level uses only as many cells as give each about this many rows
SIZES = (200, 5000)
NOTES = (
    "matrix[i][j] is the probability that the observed score is j when the true score is i.",
    "Scores are drawn once for each distinct conversation; exact duplicates share them.",
    "A score is missing (null) with the same probability in every row.",
)


def share_out(cells: list[Cell], n_rows: int) -> list[tuple[Cell, int]]:
    """Give `n_rows` of one level to its cells by weight; a small pool uses fewer cells."""
    n_cells = min(len(cells), max(2, n_rows // ROWS_PER_CELL))
    kept = sorted(cells, key=lambda cell: not cell.showcase)[:n_cells]
    ends = np.cumsum([cell.weight for cell in kept])
    ends = np.rint(n_rows * ends / ends[-1]).astype(int)
    return list(zip(kept, np.diff(ends, prepend=0).tolist(), strict=True))


def draw_distinct(n: int, rng: np.random.Generator) -> list[dict[str, object]]:
    """Draw `n` different examples: true score, conversation of that level, observed score."""
    cells = load_cells()
    counts = np.bincount(rng.choice(len(PRIOR), size=n, p=PRIOR), minlength=len(PRIOR))
    rows: list[dict[str, object]] = []
    for level, count in enumerate(counts.tolist()):
        of_level = [cell for cell in cells if cell.level == level]
        mixed = [of_level[i] for i in rng.permutation(len(of_level))]
        for cell, n_rows in share_out(mixed, count):
            observed = rng.choice(len(PRIOR), size=n_rows, p=MATRIX[level]).tolist()
            rows += [
                {
                    "messages": [{"role": role, "content": text} for role, text in messages],
                    "source": cell.source,
                    "true_score": level,
                    "score": score,
                }
                for messages, score in zip(draw_apart(cell, n_rows, rng), observed, strict=True)
            ]
    return rows


def make_rows(size: int, seed: int) -> list[dict[str, object]]:
    """Draw the whole pool, with exact duplicates and missing scores, in random order."""
    rng = np.random.default_rng(seed)
    n_duplicates = round(DUPLICATE_SHARE * size)
    rows = draw_distinct(size - n_duplicates, rng)
    rows += [dict(rows[i]) for i in rng.integers(len(rows), size=n_duplicates)]
    rows = [rows[i] for i in rng.permutation(size)]
    for i in np.flatnonzero(rng.random(size) < MISSING_SHARE):
        rows[i]["score"] = None
    return [{"id": f"demo-{i:05d}", **row} for i, row in enumerate(rows)]


def make_gold(rows: list[dict[str, object]], seed: int) -> list[dict[str, object]]:
    """Draw rated examples by lot and give each the score of a person who is right."""
    rated = [row for row in rows if row["score"] is not None]
    # A stream of its own: the pool does not depend on how many are drawn.
    drawn = np.random.default_rng([seed, 1]).permutation(len(rated))
    chosen = sorted(drawn[: round(GOLD_SHARE * len(rows))].tolist())
    return [{"id": rated[i]["id"], "score": rated[i]["true_score"]} for i in chosen]


def write_pool(out: Path, *, size: int, seed: int) -> None:
    """Write `pool.jsonl`, `planted.json` and `gold.jsonl` into the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    rows = make_rows(size, seed)
    planted = {
        "matrix": MATRIX.tolist(),
        "prior": PRIOR.tolist(),
        "error_rate": round(float(1 - PRIOR @ MATRIX.diagonal()), 6),
        "size": size,
        "seed": seed,
        "notes": NOTES,
    }
    _replace(out / "pool.jsonl", _lines(rows))
    _replace(out / "gold.jsonl", _lines(make_gold(rows, seed)))
    _replace(out / "planted.json", json.dumps(planted, indent=2) + "\n")


def _lines(rows: list[dict[str, object]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _replace(path: Path, text: str) -> None:
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_text(text, encoding="utf-8", newline="\n")
    unfinished.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a demo pool with known true scores.")
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    parser.add_argument("--size", type=int, default=2400, help="rows, 200 to 5000 (2400)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes (0)")
    options = parser.parse_args()
    if not SIZES[0] <= options.size <= SIZES[1]:
        parser.error(f"--size must lie in [{SIZES[0]}, {SIZES[1]}]. Got {options.size}.")
    if options.seed < 0:
        parser.error(f"--seed must be at least 0. Got {options.seed}.")
    write_pool(options.out, size=options.size, seed=options.seed)
    print(f"{options.out / 'pool.jsonl'}: {options.size} examples")


if __name__ == "__main__":
    main()
