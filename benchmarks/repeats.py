"""Repeated ratings: a rater's own noise, and a mean of m of them against one curated rating.

Topical-Chat: 360 replies, people's mean as the truth, up to 20 ratings of one model per prompt
style. Test–retest correlation; Spearman with people of one rating, of the mean of m, of one
curated by its neighbours with a weight set by one repeat (method "soft"), of ds2, and of auto on
one rating of each of two prompt styles.

    python benchmarks/repeats.py [--quick]
"""

import sys
import warnings

import numpy as np
from _common import json_line, table
from do_no_harm import SIDES, Texts, lines, spearman

import ds2

MEANS = (2, 4, 8, 16)


def ratings_of(data: list[dict], side: str, style: str) -> np.ndarray:
    """(n, 20) whole levels from 0, NaN where a reply could not be read."""
    low, high = SIDES[side]
    result = np.full((len(data), 20), np.nan)
    for place, row in enumerate(data):
        given = np.array(row["llm"][side].get(style, []), dtype=float)[:20]
        level = np.floor(given + 0.5) - low
        result[place, : len(given)] = np.where((given >= low) & (given <= high), level, np.nan)
    return result


def measured(tables: list[np.ndarray], truth: np.ndarray, graph: ds2.Neighbors, s: int,
             first: int) -> dict:  # fmt: skip
    """Figures from the rating number ``first`` on of each style."""
    one, other = (np.roll(part, -first, axis=1) for part in tables)
    scores, repeat = one[:, 0], one[:, 1]
    noise = ds2.estimate_transition(scores, graph, n_scores=s, rho=1.0, n_bootstrap=0)
    both = np.column_stack([scores, other[:, 0]])
    each = tuple(
        ds2.estimate_transition(column, graph, n_scores=s, rho=1.0, n_bootstrap=0)
        for column in both.T
    )
    figures = {"test-retest": spearman(scores, repeat), "one": spearman(scores, truth)}
    for m in MEANS:
        figures[f"mean of {m}"] = spearman(np.nanmean(one[:, :m], axis=1), truth)
    for name, method, more in (("ds2", "ds2", {}), ("soft, 1 repeat", "soft", {"repeats": repeat})):
        try:
            found = ds2.curate(scores, graph, noise, method=method, **more)
            figures[name] = spearman(found.scores, truth)
        except ds2.InputError:
            figures[name] = float("nan")
    figures["auto, 1 repeat"] = spearman(
        ds2.curate(scores, graph, noise, repeats=repeat).scores, truth
    )
    figures["two styles"] = spearman(ds2.curate(both, graph, each, method="raw").scores, truth)
    figures["auto, two styles"] = spearman(ds2.curate(both, graph, each).scores, truth)
    return figures


def main() -> None:
    warnings.simplefilter("ignore")
    rounds = 2 if "--quick" in sys.argv else 8
    data = lines("topicalchat_llm.jsonl.gz")
    graph = ds2.find_neighbors(
        ds2.embed(Texts([f"{row['history']}\n{row['response']}" for row in data]))
    )
    rows = []
    for side, (low, high) in SIDES.items():
        truth = np.array([row["human"][side] for row in data])
        tables = [ratings_of(data, side, style) for style in ("analyze_rate", "geval")]
        runs = [measured(tables, truth, graph, high - low + 1, first) for first in range(rounds)]
        means = {key: float(np.nanmean([run[key] for run in runs])) for key in runs[0]}
        rows.append({"side": side, **means})
    table(rows)
    json_line("repeats", sides=rows)


if __name__ == "__main__":
    main()
