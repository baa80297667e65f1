"""Where examples lie on a map of two dimensions: PCA, or UMAP where the extra is installed."""

from dataclasses import dataclass

import numpy as np

from ds2.errors import InputError, MissingDependencyError
from ds2.neighbors import Neighbors
from ds2.report.map_umap import umap_places

__all__ = ["Layout", "lay_out"]

#: PCA's axes come from so many rows at most; every row is then put on them.
SAMPLE = 20_000
BLOCK = 8192


@dataclass(frozen=True, slots=True)
class Layout:
    """Places on the map.

    Attributes:
        places: (n, 2) float32.
        method: "UMAP" or "PCA".
        explained: share of the variance that the two axes of PCA carry; None for UMAP.
    """

    places: np.ndarray
    method: str
    explained: float | None


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
    axes, explained = _principal_axes(vectors, np.sort(order[:SAMPLE]))
    places = np.empty((len(vectors), 2), dtype=np.float32)
    for start in range(0, len(vectors), BLOCK):
        part = slice(start, start + BLOCK)
        places[part] = np.asarray(vectors[part], dtype=np.float32) @ axes
    places -= places.mean(axis=0)
    if method == "pca" or (method == "auto" and len(vectors) < 50):
        return Layout(places, "PCA", explained)
    try:
        return Layout(umap_places(places, neighbors, seed=seed), "UMAP", None)
    except MissingDependencyError:
        if method == "umap":
            raise
        return Layout(places, "PCA", explained)


def _principal_axes(vectors: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, float]:
    """(d, 2) The two axes of largest variance, each with its largest entry positive; their share.

    From the covariance, summed block by block.
    """
    d = vectors.shape[1]
    total, product = np.zeros(d), np.zeros((d, d))
    for start in range(0, len(rows), BLOCK):
        block = np.asarray(vectors[rows[start : start + BLOCK]], dtype=np.float64)
        total += block.sum(axis=0)
        product += block.T @ block
    mean = total / len(rows)
    values, found = np.linalg.eigh(product / len(rows) - np.outer(mean, mean))
    axes = np.zeros((d, 2))
    axes[:, : min(d, 2)] = found[:, ::-1][:, :2]
    largest = np.abs(axes).argmax(axis=0)
    signs = np.sign(axes[largest, [0, 1]])
    values = np.clip(values, 0.0, None)
    share = float(values[::-1][:2].sum() / values.sum()) if values.sum() > 0 else 0.0
    return (axes * np.where(signs == 0, 1.0, signs)).astype(np.float32), share
