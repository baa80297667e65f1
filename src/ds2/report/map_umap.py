"""UMAP (arXiv 1802.03426) on the graph that the run has already; the extra ``map``."""

import warnings
from typing import Any

import numpy as np

from ds2.errors import MissingDependencyError
from ds2.neighbors import Neighbors

__all__ = ["umap_places"]

#: UMAP's own count for large data; it sets the time.
EPOCHS = 200


def umap_places(start: np.ndarray, neighbors: Neighbors, *, seed: int) -> np.ndarray:
    """Return (n, 2) float32 places; the same seed gives the same ones.

    Args:
        start: (n, 2) where the points start: PCA, so that the map keeps its large shape.
        neighbors: the graph. An example that repeats an earlier one takes that one's place.
        seed: seeds the optimisation, which then runs on one core.

    Raises:
        MissingDependencyError: umap-learn is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it imports
            import umap
    except ImportError:
        raise MissingDependencyError(
            "umap-learn", "The UMAP map", "pip install 'ds2-select[map]'"
        ) from None
    n = neighbors.n
    groups = np.arange(n) if neighbors.groups is None else neighbors.groups
    first = np.flatnonzero(groups == np.arange(n))
    number = np.full(n, -1)
    number[first] = np.arange(len(first))
    indices = np.column_stack([np.arange(len(first)), number[neighbors.indices[first]]])
    distances = np.column_stack([np.zeros(len(first)), neighbors.distances[first]])
    scale = float(np.abs(start).max()) or 1.0
    begin = (start[first] * (10.0 / scale)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a seed means one core, that nothing can be added
        model: Any = umap.UMAP(
            n_neighbors=indices.shape[1],
            init=begin,
            n_epochs=EPOCHS,
            random_state=seed,
            n_jobs=1,
            force_approximation_algorithm=True,
            precomputed_knn=(indices.astype(np.int64), distances.astype(np.float32), None),
        )
        found = np.asarray(model.fit_transform(begin), dtype=np.float32)
    return np.asarray(found[number[groups]])
