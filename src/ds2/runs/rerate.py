"""`ds2 rerate`: where the next rating helps most."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ds2.atomic import writing
from ds2.curation import Curation, normal_posterior, plan_rerating
from ds2.errors import InputError
from ds2.noise import TransitionEstimate
from ds2.runs.frozen import load
from ds2.runs.job import Job
from ds2.runs.loop import opened
from ds2.runs.rate import sample_order
from ds2.selection import check_size

__all__ = ["Rerated", "plan_run_rerating", "rater_noise"]

#: What a rater of the recipe names as ``only``.
RERATE = "rerate.jsonl"
#: Of first ratings so many are drawn at random.
RANDOM_SHARE = 0.2
#: The standard error of a scored row's true score is at least this share of its rating's.
LEAST_DOUBT = 0.3


@dataclass(frozen=True, slots=True)
class Rerated:
    """What was planned."""

    path: Path  #: the file
    n: int  #: examples to rate, once more or for the first time
    n_first: int  #: those of them that nobody has rated: their scores are a scorer's
    #: those of these that were drawn at random, so that the rated part stays one that speaks for
    #: the pool
    n_random: int
    size: int  #: M, the size of the selection that it is for
    precision: float  #: expected share of the true top M among the M rows likeliest to be in it
    precision_after: float  #: the same once the ratings are in
    noise_se: float  #: standard deviation that one more rating is taken to have
    #: how many more of the true top are then selected, and the ends of its 95 % interval
    gained: tuple[float, float, float]
    gained_by_all: float  #: how many where every example is rated once more
    worth: bool  #: whether the ratings gain more than chance may take away


def plan_run_rerating(job: Job, *, budget: int, noise_se: float | None = None) -> Rerated:
    """Choose the examples near the cut whose next rating helps the selection most.

    ``budget`` is how many ratings, ``noise_se`` the standard deviation of one more, in levels; by
    default that of the raters of the run, as the transition matrix has it.
    """
    with opened(job, "curate"):
        folder, recipe = job.folder, job.recipe
        pool = job.pool
        if recipe.select.size == "all":
            raise InputError(
                "'select.size' is \"all\": there is no cut to rate at. Set a number of rows."
            )
        curation = load(Curation, folder)
        noise = load(TransitionEstimate, folder)
        own = rater_noise(noise)
        again = own if noise_se is None else noise_se
        size = check_size(recipe.select.size, len(pool))
        scores, se = _known(curation, own)
        drawn = np.empty(0, dtype=np.int64)
        if curation.scored is not None:  # the next rows of the random order that nobody has rated
            order = sample_order(pool, recipe.seed)
            drawn = order[curation.scored[order]][: int(RANDOM_SHARE * budget)]
        plan = plan_rerating(
            scores, np.where(np.isin(np.arange(len(pool)), drawn), 0.0, se), size=size,
            budget=budget - len(drawn), noise_se=again, keys=pool.keys, seed=recipe.seed,
        )  # fmt: skip
        rows = np.concatenate([plan.rows, drawn])
        gain = np.concatenate([plan.gain, np.full(len(drawn), np.nan)])
        ids = pool.take(rows).ids
        with writing(folder / RERATE) as temporary, temporary.open("w", encoding="utf-8") as file:
            for ident, row, more in zip(ids, rows, gain, strict=True):
                line = {
                    "id": ident,
                    "top_probability": round(float(plan.probability[row]), 6),
                    "gain": None if np.isnan(more) else round(float(more), 9),
                }
                file.write(json.dumps(line) + "\n")
        first = np.zeros(len(pool), bool) if curation.scored is None else curation.scored
    return Rerated(
        path=folder / RERATE,
        n=len(rows),
        n_first=int(first[rows].sum()),
        n_random=len(drawn),
        size=size,
        precision=plan.precision,
        precision_after=plan.precision_after,
        noise_se=again,
        gained=(plan.gained.value, plan.gained.low, plan.gained.high),
        gained_by_all=plan.gained_by_all,
        worth=plan.worth,
    )


def rater_noise(noise: TransitionEstimate) -> float:
    """Root mean square distance of an observed from the true score, in levels; raters' mean."""
    s = len(noise.prior)
    away = np.subtract.outer(np.arange(s), np.arange(s)) ** 2
    matrices = noise.matrix.reshape(-1, s, s)
    return float(np.sqrt(np.einsum("i,rij,ij->", noise.prior, matrices, away) / len(matrices)))


def _known(curation: Curation, noise_se: float) -> tuple[np.ndarray, np.ndarray]:
    """What is known of the true scores: the method's own standard error, or one from the noise."""
    if curation.se is not None and curation.scored is not None:
        # of a scored row it is that of a rating, whose noise is no doubt about the truth
        truth = np.sqrt(np.maximum(curation.se**2 - noise_se**2, (LEAST_DOUBT * curation.se) ** 2))
        return curation.scores, np.where(curation.scored, truth, curation.se)
    if curation.se is not None:
        return curation.scores, curation.se
    return normal_posterior(curation.scores, noise_se=noise_se)
