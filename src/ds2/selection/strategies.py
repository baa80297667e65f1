"""The methods: how rows that may be selected are ordered, best first.

Each takes `Inputs`, all cut to the eligible rows, and returns their order and the reason for each.
`tie` breaks what remains equal: it comes from the content keys, so the order of the rows in the
pool never matters.
"""

from functools import partial

import numpy as np

from ds2.selection.by_source import order_random_by_source
from ds2.selection.clusters import order_cluster_balanced
from ds2.selection.facility import order_facility_location
from ds2.selection.inputs import Method
from ds2.selection.sorting import (
    order_by_score,
    order_by_value,
    order_ds2,
    order_knn,
    order_length,
    order_random,
)
from ds2.selection.spread import order_deita, order_k_center, order_mmr
from ds2.selection.targets import order_rds

__all__ = ["METHODS"]


def _valueless(values: np.ndarray, _: float | None) -> dict[str, np.ndarray]:
    return {"without a value": np.isnan(values)}


def _too_difficult(values: np.ndarray, _: float | None) -> dict[str, np.ndarray]:
    """Above 1 the prompt makes the answer less likely: the two do not fit (arXiv 2308.12032)."""
    return {"without a value": np.isnan(values), "above 1": values > 1}


def _below_threshold(scores: np.ndarray, threshold: float | None) -> dict[str, np.ndarray]:
    limit = -np.inf if threshold is None else threshold
    return {"unrated": np.isnan(scores), "below the threshold": scores < limit}


#: By name. The place of a method here seeds its random order, so new ones go to the end.
METHODS: dict[str, Method] = {
    "ds2": Method(("scores", "tail"), order_ds2, "arXiv 2410.10877"),
    "top-score": Method(("rating",), order_by_score, "the rating alone"),
    "random": Method((), order_random, "the baseline of every comparison"),
    "length": Method(("lengths",), order_length, "longest completions; arXiv 2402.04833"),
    "knn-10": Method(("neighbors",), order_knn, "largest mean distance; arXiv 2410.10877, app."),
    "ds2-no-curation": Method(("raw", "tail"), order_ds2, "arXiv 2410.10877, without curation"),
    "ds2-no-diversity": Method(
        ("scores",), order_by_score, "arXiv 2410.10877, without the long-tail score"
    ),
    "random-by-source": Method(
        ("sources",), order_random_by_source, "stratified draw; quota method of Balinski and Young"
    ),
    "perplexity": Method(
        ("values",),
        partial(order_by_value, "perplexity"),
        "highest perplexity of the answer (top-ppl); arXiv 2410.16208",
        excludes=_valueless,
    ),
    "ifd": Method(
        ("values",),
        partial(order_by_value, "instruction-following difficulty"),
        "highest difficulty up to 1; arXiv 2308.12032, as a ratio of perplexities 2402.00530",
        excludes=_too_difficult,
    ),
    # The paper keeps every row from a threshold up. A budget below that takes the best score
    # classes whole and the one in which it ends at random.
    "alpagasus": Method(("rating",), order_by_score, "arXiv 2307.08701", excludes=_below_threshold),
    "deita": Method(
        ("rating", "vectors"), order_deita, "arXiv 2312.15685", "n · m · d", greedy=True, ends=True
    ),
    "k-center": Method(("vectors",), order_k_center, "arXiv 1708.00489", "n · m · d", greedy=True),
    "facility-location": Method(
        ("neighbors",),
        order_facility_location,
        "Nemhauser et al. 1978; Minoux 1978",
        "n · k",
        greedy=True,
    ),
    "mmr": Method(
        ("scores", "vectors"),
        order_mmr,
        "Carbonell and Goldstein, SIGIR 1998",
        "n · m · d",
        greedy=True,
    ),
    "rds": Method(
        ("vectors", "targets"), order_rds, "RDS+, arXiv 2503.01807", "n · t · d", greedy=True
    ),
    "cluster-balanced": Method(
        ("scores", "vectors"), order_cluster_balanced, "arXiv 2402.18191, step 2", "n^1.5 · d"
    ),
}


def looks_at_scores(method: str) -> bool:
    """Whether a method goes by what raters say, raw or curated."""
    return bool({"scores", "raw", "rating"} & set(METHODS[method].needs))
