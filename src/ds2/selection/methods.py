"""The methods: how rows that may be selected are ordered, best first.

Each takes `Inputs`, all cut to the eligible rows, and returns their order and the reason for each.
`tie` breaks what remains equal: it comes from the content keys, so the order of the rows in the
pool never matters.
"""

import heapq
from collections.abc import Callable, Iterator

import numpy as np

from ds2.arrays import Values
from ds2.neighbors import Neighbors
from ds2.neighbors.blocks import unit_block
from ds2.selection.frontier import order_frontier
from ds2.selection.greedy import (
    order_deita,
    order_facility_location,
    order_k_center,
    order_mmr,
    order_rds,
)
from ds2.selection.inputs import Inputs, Method, Order, given

__all__ = ["METHODS", "VARIANT", "cut_levels", "halves", "long_tail_scores", "rule_of"]

#: Rows of a block of vectors.
BLOCK = 8192
#: Rows that the centres of clusters are computed from, for each cluster (faiss takes no more).
PER_CLUSTER = 256
ITERATIONS = 20


def long_tail_scores(neighbors: Neighbors) -> Values:
    """Diversity of each example: tanh(mean cosine distance to its k neighbours / 2).

    The example itself and its exact duplicates are not among the neighbours (DS², arXiv
    2410.10877, with k = 10).

    Returns:
        (n,) values in [0, tanh(1)], higher where the pool is sparser.
    """
    return np.asarray(np.tanh(neighbors.distances.mean(axis=1, dtype=np.float64) / 2))


def halves(n: int) -> np.ndarray:
    """(s,) shares of levels that halve towards both ends: …, ⅛, ¼, ¼, ⅛, … down to one row of n.

    So m rows are among the best 2m by score, for any m, and long-tail scores choose among those.
    """
    half = 0.5 ** np.arange(2, max(n, 2).bit_length() + 2)
    half[-1] *= 2
    return np.concatenate([half[::-1], half])


def cut_levels(scores: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Cut real-valued scores into ordered levels, so that diversity keeps a say.

    Equal scores stay together: a run of equal scores goes where its middle lies.

    Args:
        scores: (n,) finite floats.
        prior: (s,) shares, lowest level first, summing to 1.

    Returns:
        (n,) levels 0 … s − 1 as ints, whose shares follow ``prior``.
    """
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    middle = (np.cumsum(counts) - counts / 2) / max(len(scores), 1)
    level = np.searchsorted(np.cumsum(prior)[:-1], middle, side="right")
    return np.asarray(level[inverse.reshape(-1)])


def _order_ds2(inputs: Inputs) -> Order:
    """Highest score first, then highest long-tail score (real-valued scores: level first)."""
    scores, tail = given(inputs.scores), given(inputs.tail)
    if (scores == np.floor(scores)).all():
        order = np.lexsort((inputs.tie, -tail, -scores))
        return order, lambda i: f"score {scores[i]:g}, long-tail score {tail[i]:.4f}"
    level, best = cut_levels(scores, inputs.prior), np.cumsum(inputs.prior[::-1])[::-1]
    order = np.lexsort((inputs.tie, -scores, -tail, -level))

    def reason(i: int) -> str:
        return (
            f"score {scores[i]:.4g}, among the best {100 * best[level[i]]:.3g}%, long-tail "
            f"score {tail[i]:.4f}"
        )

    return order, reason


def _largest(
    figure: Callable[[Inputs], np.ndarray | None], words: str
) -> Callable[[Inputs], Order]:
    """Largest figure first, equal ones at random; ``words`` say what it is."""

    def order(inputs: Inputs) -> Order:
        values = given(figure(inputs))
        places = np.lexsort((inputs.tie, inputs.shuffle, -values))
        return places, lambda i: words.format(values[i])

    return order


_by_score = _largest(lambda inputs: inputs.scores, "score {:g}")


def _order_random_by_source(inputs: Inputs) -> Order:
    """Sources take turns so that each has its share of any prefix; inside a source at random.

    The turns are those of `_source_turns`; sources of equal size take theirs at random.
    """
    sources = given(inputs.sources)
    shuffled = np.lexsort((inputs.tie, inputs.shuffle))
    _, first, inverse, sizes = np.unique(
        sources[shuffled], return_index=True, return_inverse=True, return_counts=True
    )
    by_first = np.argsort(first)
    codes, sizes = np.argsort(by_first)[inverse.reshape(-1)], sizes[by_first]
    rows_of = np.split(shuffled[np.argsort(codes, kind="stable")], np.cumsum(sizes))
    waiting = [iter(rows) for rows in rows_of]
    turns = _source_turns(sizes, inputs.count)
    order = np.fromiter((next(waiting[source]) for source in turns), dtype=np.int64)
    share = np.empty(len(sources))
    share[shuffled] = sizes[codes] / len(sources)
    return (
        order,
        lambda i: (
            f"drawn at random from its source, which is {share[i]:.1%} of what can be selected"
        ),
    )


def _source_turns(sizes: np.ndarray, count: int) -> Iterator[int]:
    """Which source gives the next row, ``count`` times: the quota method of apportionment.

    After any number h of turns a source of n_s of n rows has had ⌊h n_s / n⌋ or ⌈h n_s / n⌉ of
    them, as with largest remainders; unlike there, a turn once given is never taken back, so a
    smaller selection is the start of a larger one (Balinski and Young, The American Mathematical
    Monthly 82, 1975). Among the sources that may have one more, a + 1, without exceeding their
    quota, the largest n_s / (a + 1) goes first; equal ones in the order given. O(count · log s).
    """
    total = int(sizes.sum())
    had = [0] * len(sizes)
    waiting = [(0, s) for s in range(len(sizes))]  # (first turn at which it may have one more, s)
    ready: list[tuple[float, int]] = []
    for turn in range(count):
        while waiting and waiting[0][0] <= turn:
            _, s = heapq.heappop(waiting)
            heapq.heappush(ready, (-int(sizes[s]) / (had[s] + 1), s))
        _, s = heapq.heappop(ready)
        had[s] += 1
        if had[s] < sizes[s]:
            heapq.heappush(waiting, (had[s] * total // int(sizes[s]), s))
        yield s


def _order_cluster_balanced(inputs: Inputs) -> Order:
    """Clusters take turns, each giving its best-scored row that is left.

    In each round every cluster that has rows left gives one, in the order of their scores, so
    every cluster has the same number until it is exhausted. This is the second step of CaR, which
    adds the best of each cluster to the best of all. Clusters come from spherical k-means with
    √(e / 2) of them, a rule of thumb that does not depend on the number of rows wanted.
    """
    scores = given(inputs.scores)
    n_clusters = max(1, round((len(scores) / 2) ** 0.5))
    labels = kmeans_labels(given(inputs.vectors), inputs.rows, n_clusters, inputs.seed)
    by_cluster = np.lexsort((inputs.tie, inputs.shuffle, -scores, labels))
    starts = np.searchsorted(labels[by_cluster], np.arange(n_clusters))
    turn = np.empty(len(scores), dtype=np.int64)
    turn[by_cluster] = np.arange(len(scores)) - starts[labels[by_cluster]]
    order = np.lexsort((inputs.tie, inputs.shuffle, -scores, turn))
    return order, lambda i: f"score {scores[i]:g}, number {turn[i] + 1} of cluster {labels[i]}"


def kmeans_labels(vectors: np.ndarray, rows: np.ndarray, n_clusters: int, seed: int) -> np.ndarray:
    """(e,) cluster of each row, by spherical k-means (faiss) on at most 256 rows a cluster.

    The rows that the centres are computed from are the first ones: the caller's order is random.
    """
    import faiss

    sample = unit_block(vectors, rows[: PER_CLUSTER * n_clusters])
    kmeans = faiss.Kmeans(
        sample.shape[1],
        n_clusters,
        niter=ITERATIONS,
        spherical=True,
        seed=seed % 2**31,
        min_points_per_centroid=1,
        max_points_per_centroid=PER_CLUSTER,
    )
    kmeans.train(sample)
    centres = np.asarray(kmeans.centroids)
    labels = np.empty(len(rows), dtype=np.int64)
    for start in range(0, len(rows), BLOCK):
        products = unit_block(vectors, rows[start : start + BLOCK]) @ centres.T
        labels[start : start + BLOCK] = products.argmax(axis=1)
    return labels


#: By name: what a method needs, how it orders, where it comes from, the stream of its random order.
METHODS: dict[str, Method] = {
    "ds2": Method(("scores", "tail"), _order_ds2, "arXiv 2410.10877", 0),
    "top-score": Method(("rating",), _by_score, "the rating alone", 1),
    "random": Method(
        (),
        lambda inputs: (np.lexsort((inputs.tie, inputs.shuffle)), lambda _: "drawn at random"),
        "the baseline of every comparison",
        2,
    ),
    "length": Method(
        ("lengths",),
        _largest(lambda inputs: inputs.lengths, "completion length {:g}"),
        "longest completions; arXiv 2402.04833",
        3,
    ),
    "knn-10": Method(
        ("neighbors",),
        _largest(
            lambda inputs: given(inputs.neighbors).distances[inputs.rows].mean(axis=1),
            "mean distance to its neighbours {:.4f}",
        ),
        "largest mean distance; arXiv 2410.10877, app.",
        4,
    ),
    "ds2-no-curation": Method(("raw", "tail"), _order_ds2, "arXiv 2410.10877, without curation", 5),
    "ds2-no-diversity": Method(
        ("scores",), _by_score, "arXiv 2410.10877, without the long-tail score", 6
    ),
    "random-by-source": Method(
        ("sources",),
        _order_random_by_source,
        "stratified draw; quota method of Balinski and Young",
        7,
    ),
    "perplexity": Method(
        ("values",),
        _largest(lambda inputs: inputs.values, "perplexity {:.4g}"),
        "highest perplexity of the answer (top-ppl); arXiv 2410.16208",
        8,
        excludes=lambda values, _: {"without a value": np.isnan(values)},
    ),
    "ifd": Method(
        ("values",),
        _largest(lambda inputs: inputs.values, "instruction-following difficulty {:.4g}"),
        "highest difficulty up to 1; arXiv 2308.12032, as a ratio of perplexities 2402.00530",
        9,
        # above 1 the prompt makes the answer less likely: the two do not fit
        excludes=lambda values, _: {"without a value": np.isnan(values), "above 1": values > 1},
    ),
    # The paper keeps every row from a threshold up. A budget below that takes the best score
    # classes whole and the one in which it ends at random.
    "alpagasus": Method(
        ("rating",),
        _by_score,
        "arXiv 2307.08701",
        10,
        excludes=lambda scores, threshold: {
            "unrated": np.isnan(scores),
            "below the threshold": scores < (-np.inf if threshold is None else threshold),
        },
    ),
    "deita": Method(
        ("rating", "vectors"), order_deita, "arXiv 2312.15685", 11, cost="greedy", ends=True
    ),
    "k-center": Method(("vectors",), order_k_center, "arXiv 1708.00489", 12, cost="greedy"),
    "facility-location": Method(
        ("neighbors",),
        order_facility_location,
        "Nemhauser et al. 1978; Minoux 1978",
        13,
        cost="greedy",
    ),
    "mmr": Method(
        ("scores", "vectors"), order_mmr, "Carbonell and Goldstein, SIGIR 1998", 14, cost="greedy"
    ),
    "rds": Method(("vectors", "targets"), order_rds, "RDS+, arXiv 2503.01807", 15, cost="greedy"),
    "cluster-balanced": Method(
        ("scores", "vectors"),
        _order_cluster_balanced,
        "arXiv 2402.18191, step 2",
        16,
        cost="whole",
    ),
    "frontier": Method(
        ("scores", "vectors", "neighbors"),
        order_frontier,
        "as broad as random at the least cost in score; Minoux 1978",
        17,
        cost="whole",
    ),
}

#: What stands between a method's name and what was done differently from the recipe.
VARIANT = " ("


def rule_of(name: str) -> Method:
    """Return the method that a selection was made by, whatever else was done differently."""
    return METHODS[name.split(VARIANT, maxsplit=1)[0]]
