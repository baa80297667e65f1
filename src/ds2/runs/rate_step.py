"""The stage "rate": scores that are there already, and models that rate, side by side."""

import warnings
from typing import Any

import numpy as np

from ds2.errors import Ds2Warning, InputError, RunError
from ds2.pool import Pool
from ds2.rating import Panel, Ratings, import_panel, import_ratings
from ds2.runs.job import Job, Made
from ds2.runs.raters import rate_by_models
from ds2.runs.recipe import ScoresSection
from ds2.runs.recipe_file import resolve_path

__all__ = ["rate_pool"]


def rate_pool(job: Job) -> Made:
    """Write ratings.parquet: one rater per column of scores and per model that rates."""
    pool = Pool.load(job.folder / "pool.arrow")
    if job.recipe.n_raters() == 0:
        raise InputError(_nobody(job, pool))
    panel = Panel((*_imported(job, pool), *rate_by_models(job, pool)))
    if len(panel) == 1:  # one of several is named in the report
        _check_tells_apart(panel.ratings[0])
    panel.save(job.folder / "ratings.parquet", ids=pool.ids)
    return Made(_summary(panel), panel.warnings)


def _nobody(job: Job, pool: Pool) -> str:
    columns = ", ".join(pool.columns) or "it has none"
    return (
        "The recipe names no scores and nobody who rates. Three ways on, in "
        f"'{job.folder / 'recipe.toml'}': scores that are there (scores.column, a column of the "
        f"pool: {columns}; or scores.file); a model behind an endpoint ([raters.NAME] with model "
        "and, if it is not OpenAI's, base_url); a model on this machine ([raters.local] with "
        'kind = "local" and a .gguf file as model).'
    )


def _imported(job: Job, pool: Pool) -> list[Ratings]:
    """The scores that are there, one rater per column."""
    wanted = job.recipe.scores
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ds2Warning)  # they are in the result
        columns = _columns(wanted)
        given: dict[str, Any] = {
            "file": None if wanted.file is None else resolve_path(job.folder, wanted.file),
            "id_column": wanted.id_column,
            "scale": wanted.scale,
            "bins": wanted.bins,
        }
        names = [column for column in columns if column is not None]
        found = (
            list(import_panel(pool, columns=names, **given))
            if names
            else [import_ratings(pool, **given) for _ in columns]
        )
    for ratings in found:
        _check_on_scale(ratings, wanted.max_outside)
    return found


def _check_on_scale(ratings: Ratings, most: float) -> None:
    outside = ratings.problems.get("out of range", 0)
    given = int((ratings.codes == 0).sum()) + outside
    if outside <= most * given:
        return
    hint = next((said for said in ratings.warnings if "set scale =" in said), "")
    where = hint.partition("; ")[2] or "Set scores.scale to the scale that was used."
    raise InputError(
        f"{outside / given:.0%} of the ratings of '{ratings.rater}' ({outside:,} of {given:,}) lie "
        f"outside the declared scale, {ratings.scale.low:g} to {ratings.scale.high:g}. "
        f"{where[0].upper()}{where[1:]} If they stand for no rating, raise scores.max_outside, "
        f"which is {most:g}."
    )


def _columns(wanted: ScoresSection) -> tuple[str | None, ...]:
    """The columns to import; None stands for the only one of a file."""
    if wanted.column is None:
        return () if wanted.file is None else (None,)
    return (wanted.column,) if isinstance(wanted.column, str) else wanted.column


def _check_tells_apart(ratings: Ratings) -> None:
    scores = ratings.scores()[~np.isnan(ratings.values)]
    if len(scores) and (scores == scores[0]).all():
        if stopped := ratings.usage.get("stopped"):
            raise RunError(
                f"{stopped} Until then {len(scores):,} of {len(ratings):,} examples were rated, "
                "all with one score: that is nothing to go on with."
            )
        for sentence in ratings.warnings[:-1]:  # the last one says what the error says
            warnings.warn(sentence, Ds2Warning, stacklevel=1)
        remedy = (
            'Take another model, or form = "expected", which rates more finely.'
            if ratings.usage
            else "Check scores.column and scores.scale."
        )
        raise InputError(
            f"Every rating of '{ratings.rater}' ({len(scores):,} in all) falls into one score, "
            f"{scores[0]:g}: they tell no example from another. {remedy}"
        )


def _summary(panel: Panel) -> dict[str, object]:
    unanswered = [one.usage.get("unanswered", 0) for one in panel]
    return _counts(panel) | {
        "unanswered": sum(n for n in unanswered if isinstance(n, int)),
        "stopped": [one.rater for one in panel if one.usage.get("stopped")],
        "replies": sum(n for one in panel if isinstance(n := one.usage.get("requests", 0), int)),
    }


def _counts(panel: Panel) -> dict[str, object]:
    first = panel.ratings[0]
    if len(panel) == 1:
        return {
            "n_examples": len(first),
            "n_rated": int((first.codes == 0).sum()),
            "n_scores": panel.n_scores,
            "problems": dict(first.problems),
            "rater": first.rater,
        }
    rated = np.column_stack([ratings.codes == 0 for ratings in panel])
    return {
        "n_examples": len(first),
        "n_rated": int(rated.any(axis=1).sum()),
        "n_scores": panel.n_scores,
        "problems": {},
        "rater": ", ".join(panel.raters),
        "raters": {
            ratings.rater: {"n_rated": int(rated[:, i].sum()), "problems": dict(ratings.problems)}
            for i, ratings in enumerate(panel)
        },
    }
