"""The best rows of every cluster of the pool."""

import numpy as np

from ds2.neighbors.blocks import unit_block
from ds2.selection.inputs import Inputs, Order, given

__all__ = ["kmeans_labels", "order_cluster_balanced"]

BLOCK = 8192
#: Rows that the centres are computed from, for each cluster (faiss takes no more).
PER_CLUSTER = 256
ITERATIONS = 20


def order_cluster_balanced(inputs: Inputs) -> Order:
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
