"""Where examples lie on a map of two dimensions: PCA, or UMAP where the extra ``map`` is there."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from ds2.errors import InputError, MissingDependencyError
from ds2.neighbors import Neighbors

__all__ = ["Layout", "lay_out"]

#: PCA's axes come from so many rows at most; every row is then put on them.
SAMPLE, BLOCK = 20_000, 8192
#: Fewer rows than this have no neighbourhoods for UMAP to follow.
LEAST_ROWS = 50
#: UMAP's own count of epochs for large data; it sets the time.
EPOCHS = 200


@dataclass(frozen=True, slots=True)
class Layout:
    """Places on the map."""

    places: np.ndarray  #: (n, 2) float32
    method: str  #: "UMAP" or "PCA"
    explained: float | None  #: share of the variance that the two axes of PCA carry; None for UMAP


def lay_out(
    vectors: np.ndarray,
    neighbors: Neighbors,
    order: np.ndarray,
    *,
    method: str = "auto",
    seed: int = 0,
) -> Layout:
    """Put every row on a map of two dimensions.

    Args:
        vectors: (n, d) embeddings; read block by block.
        neighbors: the pool's graph, which UMAP takes over: nothing is searched again.
        order: (n,) row numbers in a random order; PCA takes its axes from the first of them.
        method: "umap", "pca", or "auto": UMAP where it is installed and there are 50 rows or more.
        seed: seeds UMAP.

    Raises:
        MissingDependencyError: ``method`` is "umap" and it is not installed.
    """
    if method not in ("auto", "umap", "pca"):
        raise InputError(f"'map' must be auto, umap or pca. Got {method!r}.")
    places, explained = _principal(vectors, np.sort(order[:SAMPLE]))
    if method == "umap" or (method == "auto" and len(vectors) >= LEAST_ROWS):
        try:
            return Layout(_umap(places, neighbors, seed), "UMAP", None)
        except MissingDependencyError:
            if method == "umap":
                raise
    return Layout(places, "PCA", explained)


def _principal(vectors: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, float]:
    """(n, 2) All rows on the two axes of largest variance among ``rows``, and its share."""
    from sklearn.decomposition import PCA

    sample = np.asarray(vectors[rows], dtype=np.float64)
    if not np.ptp(sample, axis=0).any():  # all rows are equal
        return np.zeros((len(vectors), 2), dtype=np.float32), 0.0
    model = PCA(min(2, sample.shape[1]), svd_solver="covariance_eigh").fit(sample)
    places = np.zeros((len(vectors), 2), dtype=np.float32)
    for start in range(0, len(vectors), BLOCK):
        block = np.asarray(vectors[start : start + BLOCK], dtype=np.float64)
        places[start : start + BLOCK, : model.n_components_] = model.transform(block)
    return places - places.mean(axis=0), float(model.explained_variance_ratio_.sum())


def _umap(start: np.ndarray, neighbors: Neighbors, seed: int) -> np.ndarray:
    """(n, 2) float32 places by UMAP (arXiv 1802.03426) on the run's graph; one seed, one map.

    Points start at ``start``, so that the map keeps the large shape of PCA. An example that repeats
    an earlier one takes that one's place.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what it imports
            import umap
    except ImportError:
        raise MissingDependencyError("umap-learn", "The UMAP map", "map") from None
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
            random_state=seed % 2**32,
            n_jobs=1,
            force_approximation_algorithm=True,
            precomputed_knn=(indices.astype(np.int64), distances.astype(np.float32), None),
        )
        found = np.asarray(model.fit_transform(begin), dtype=np.float32)
    return np.asarray(found[number[groups]])
