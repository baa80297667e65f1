"""A run without scores: what it cannot do, and the two ways on."""

from typing import TypeVar

from ds2.errors import InputError
from ds2.runs.recipe import Recipe
from ds2.runs.stages import STAGES

__all__ = ["METHOD", "SKIPPED", "methods_without_scores", "refusal", "required"]

T = TypeVar("T")

#: What `ds2 init` takes where there are no scores: of the methods that need none, the one whose
#: rows cover most of the pool (docs/selecting.md has the figures).
METHOD = "facility-location"
#: Why a stage is skipped.
SKIPPED = "the recipe names no scores and nobody who rates"


def methods_without_scores() -> tuple[str, ...]:
    """Names of the methods that look at no score."""
    from ds2.selection import METHODS

    return tuple(name for name, method in METHODS.items() if method.uses is None)


def needs_scores(what: str) -> InputError:
    """Say that something goes by scores, which the run does not have, and what to do."""
    return InputError(
        f"{what} goes by scores, and the recipe names none and nobody who rates. Either do without "
        f"(select.method is then one of {', '.join(methods_without_scores())}); or add to the "
        "recipe scores that are there (scores.column, a column of the pool, or scores.file), a "
        "model behind an endpoint ([raters.NAME] with model and, if it is not OpenAI's, base_url), "
        'or one on this machine ([raters.NAME] with kind = "local" and a .gguf file as model).'
    )


def required(value: T | None) -> T:
    """Return what only a run with scores has.

    Raises:
        InputError: the run has none.
    """
    if value is None:
        raise needs_scores("This")
    return value


def refusal(recipe: Recipe, stage: str) -> InputError | None:
    """Say why a stage cannot be made without scores; None where it can."""
    if recipe.rated:
        return None
    wanted = recipe.select
    asked = {
        f"The stage '{stage}'": any(each.scored and each.name == stage for each in STAGES),
        f"The method {wanted.method}": stage == "select"
        and wanted.method not in methods_without_scores(),
        "'select.min_score'": stage == "select" and wanted.min_score is not None,
        "curate.doubtful = drop": stage == "select" and recipe.curate.doubtful == "drop",
    }
    return next((needs_scores(what) for what, holds in asked.items() if holds), None)
