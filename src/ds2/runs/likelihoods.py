"""Perplexity and difficulty of the examples, measured once per pool and model and then kept."""

import hashlib
import json
from pathlib import Path

import numpy as np

from ds2.atomic import writing
from ds2.errors import InputError
from ds2.pool import Pool
from ds2.proof import measure_likelihoods
from ds2.runs.job import Job

__all__ = ["LIKELIHOODS", "measured_values"]

#: The methods that go by a likelihood.
LIKELIHOODS = ("perplexity", "ifd")
FILE = "likelihoods.npz"


def measured_values(job: Job, pool: Pool) -> dict[str, np.ndarray]:
    """Return what each method of `LIKELIHOODS` goes by, from the run folder or measured now.

    Raises:
        InputError: the recipe names neither a column nor a model.
    """
    model = job.recipe.select.likelihood_model
    if model is None:
        raise InputError(
            "The methods perplexity and ifd need 'select.values', the column of the pool that "
            "holds the figure, or 'select.likelihood_model', a model that measures it. Name one, "
            "or choose another method."
        )
    path, about = job.folder / FILE, _about(pool, model)
    held = _held(path, about)
    if held is None:
        found = measure_likelihoods(pool, model, progress=job.progress)
        held = dict(zip(LIKELIHOODS, (found.perplexity, found.difficulty), strict=True))
        with writing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, about=np.str_(about), **held)
    return held


def _about(pool: Pool, model: str) -> str:
    """What the figures are of: every conversation in its order, and the model."""
    return json.dumps([hashlib.sha256(pool.keys.tobytes()).hexdigest(), model])


def _held(path: Path, about: str) -> dict[str, np.ndarray] | None:
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        if str(arrays["about"]) != about:
            return None
        return {name: arrays[name] for name in LIKELIHOODS}
