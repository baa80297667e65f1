"""Where a run's next ratings help most: a plan, as a file that a rater of the recipe can take."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ds2.atomic import writing
from ds2.curation import Curation, normal_posterior, plan_rerating
from ds2.errors import InputError
from ds2.noise import TransitionEstimate
from ds2.pool import Pool
from ds2.runs.artefacts import load_noise
from ds2.runs.loop import run
from ds2.runs.recipe_file import load_recipe
from ds2.runs.store import locked
from ds2.runs.tables import load_curation
from ds2.selection import check_size

__all__ = ["RERATE", "Rerated", "plan_run_rerating"]

#: What a rater of the recipe names as ``only``.
RERATE = "rerate.jsonl"


@dataclass(frozen=True, slots=True)
class Rerated:
    """What was planned.

    Attributes:
        path: the file.
        n: examples to rate once more.
        size: M, the size of the selection that it is for.
        precision: expected share of the true top M among what is selected now.
        precision_after: the same once the ratings are in.
        noise_se: standard deviation that one more rating is taken to have.
    """

    path: Path
    n: int
    size: int
    precision: float
    precision_after: float
    noise_se: float


def plan_run_rerating(
    folder: Path,
    *,
    budget: int,
    noise_se: float | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Rerated:
    """Choose the examples near the cut whose next rating helps the selection most.

    Args:
        folder: the run folder; its stages are brought up to date.
        budget: how many ratings.
        noise_se: standard deviation of one more rating, in levels; by default that of the raters
            of the run, as the transition matrix has it.
        overrides: settings that win over the recipe.
    """
    run(folder, until="curate", overrides=overrides)
    recipe = load_recipe(folder, overrides)
    if recipe.select.size == "all":
        raise InputError('select.size is "all": there is no cut to rate at. Set a number of rows.')
    with locked(folder):
        pool = Pool.load(folder / "pool.arrow")
        curation = load_curation(folder / "curation.parquet")
        noise = load_noise(folder / "noise.json")
        own = rater_noise(noise)
        again = own if noise_se is None else noise_se
        size = check_size(recipe.select.size, len(pool))
        scores, se = _known(curation, own)
        plan = plan_rerating(
            scores, se, size=size, budget=budget, noise_se=again, keys=pool.keys, seed=recipe.seed
        )
        ids = pool.table["id"].take(plan.rows).to_pylist()
        with writing(folder / RERATE) as temporary, temporary.open("w", encoding="utf-8") as file:
            for ident, row, gain in zip(ids, plan.rows, plan.gain, strict=True):
                line = {
                    "id": ident,
                    "top_probability": round(float(plan.probability[row]), 6),
                    "gain": round(float(gain), 9),
                }
                file.write(json.dumps(line) + "\n")
    return Rerated(
        path=folder / RERATE,
        n=len(plan.rows),
        size=size,
        precision=plan.precision,
        precision_after=plan.precision_after,
        noise_se=again,
    )


def rater_noise(noise: TransitionEstimate) -> float:
    """Root mean square distance of an observed from the true score, in levels; raters' mean."""
    s = len(noise.prior)
    away = np.subtract.outer(np.arange(s), np.arange(s)) ** 2
    matrices = noise.matrix.reshape(-1, s, s)
    return float(np.sqrt(np.einsum("i,rij,ij->", noise.prior, matrices, away) / len(matrices)))


def _known(curation: Curation, noise_se: float) -> tuple[np.ndarray, np.ndarray]:
    """What is known of the true scores: the method's own standard error, or one from the noise."""
    if curation.se is not None:
        return curation.scores, curation.se
    return normal_posterior(curation.scores, noise_se=noise_se)
