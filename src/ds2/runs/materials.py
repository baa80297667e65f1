"""What selections are made of: the artefacts of a run as arguments of `ds2.select`."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ds2.curation import Curation
from ds2.errors import InputError
from ds2.neighbors import Neighbors
from ds2.pool import Pool
from ds2.runs.artefacts import load_neighbors, load_noise
from ds2.runs.job import Job
from ds2.runs.likelihoods import LIKELIHOODS, measured_values
from ds2.runs.selecting_files import embed_targets
from ds2.runs.tables import load_curation, observed_of
from ds2.selection import METHODS, long_tail_scores

__all__ = ["Materials", "load_materials"]


@dataclass(frozen=True, slots=True)
class Materials:
    """The artefacts that selections are made of.

    Attributes:
        pool: the examples.
        curation: the curated scores.
        neighbors: the graph.
        vectors: (n, d) embeddings, on disk.
        tail: (n,) long-tail scores.
        prior: (s,) shares of the levels.
        settings: of the methods: dial, threshold.
        values: (n,) the figure that a method goes by, by its name.
        extra: inputs that only some methods need, by name.
        seed: of the run.
        rounds: how often a selection is made anew for its stability.
    """

    pool: Pool
    curation: Curation
    neighbors: Neighbors
    vectors: np.ndarray
    tail: np.ndarray
    prior: np.ndarray
    settings: dict[str, Any]
    seed: int
    rounds: int
    values: dict[str, np.ndarray] = field(default_factory=dict)
    extra: dict[str, np.ndarray] = field(default_factory=dict)

    def arguments(self, method: str) -> dict[str, Any]:
        """Return the keyword arguments of `ds2.select` for a method, but for its name and size."""
        threshold = self.settings["threshold"] if method in ("deita", "alpagasus") else None
        needed = {name: self.extra[name] for name in METHODS[method].needs if name in self.extra}
        return {
            "scores": self.curation.scores,
            "raw": observed_of(self.curation),
            "tail": self.tail,
            "neighbors": self.neighbors,
            "vectors": self.vectors,
            "lengths": self.pool.lengths.astype(np.float64),
            "sources": np.array([source or "" for source in self.pool.sources]),
            "groups": self.neighbors.groups,
            "keys": self.pool.keys,
            "prior": self.prior,
            "diversity": self.settings["diversity"],
            "threshold": threshold,
            "seed": self.seed,
            "values": self.values.get(method),
            **needed,
        }


def load_materials(job: Job, methods: Collection[str]) -> Materials:
    """Load what the given methods need.

    Raises:
        InputError: a method needs a column or a file that the recipe does not name.
    """
    wanted = job.recipe.select
    pool = Pool.load(job.folder / "pool.arrow")
    neighbors = load_neighbors(job.folder / "neighbors.npz")
    needs = {need for method in methods for need in METHODS[method].needs}
    extra = {}
    values: dict[str, np.ndarray] = {}
    if wanted.values is not None:
        given = _numbers(pool, wanted.values)
        values = dict.fromkeys(LIKELIHOODS, given)
    elif "values" in needs:
        values = measured_values(job, pool)
    if "targets" in needs:
        if wanted.targets is None:
            raise InputError(
                "The method rds needs 'select.targets', a file of examples that the selection "
                "should be like. Name it, or choose another method."
            )
        extra["targets"] = embed_targets(job)
    return Materials(
        pool=pool,
        curation=load_curation(job.folder / "curation.parquet"),
        neighbors=neighbors,
        vectors=np.load(job.folder / "embeddings.npy", mmap_mode="r", allow_pickle=False),
        tail=long_tail_scores(neighbors),
        prior=load_noise(job.folder / "noise.json").prior,
        settings={"diversity": wanted.diversity, "threshold": wanted.threshold},
        seed=job.recipe.seed,
        rounds=wanted.stability_rounds,
        values=values,
        extra=extra,
    )


def _numbers(pool: Pool, column: str) -> np.ndarray:
    """(n,) A column as numbers, NaN where it holds none."""
    found = np.full(len(pool), np.nan)
    for row, value in enumerate(pool.column(column)):
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            found[row] = value
    if np.isnan(found).all():
        raise InputError(f"The column '{column}' of the pool holds no number.")
    return found
