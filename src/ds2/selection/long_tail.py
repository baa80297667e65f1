"""The long-tail score: how far an example lies from its neighbours."""

import numpy as np

from ds2.arrays import Values
from ds2.neighbors import Neighbors

__all__ = ["long_tail_scores"]


def long_tail_scores(neighbors: Neighbors) -> Values:
    """Diversity of each example: tanh(mean cosine distance to its k neighbours / 2).

    The example itself and its exact duplicates are not among the neighbours (DS², arXiv
    2410.10877, with k = 10).

    Returns:
        (n,) values in [0, tanh(1)], higher where the pool is sparser.
    """
    return np.asarray(np.tanh(neighbors.distances.mean(axis=1, dtype=np.float64) / 2))
