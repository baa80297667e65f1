"""Batch files by hand: requests written for somebody else to run, results read back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ds2.errors import InputError
from ds2.pool import Pool
from ds2.rating import Batches
from ds2.runs.job import Job
from ds2.runs.listener import Listener
from ds2.runs.loop import run
from ds2.runs.raters import batches_of, load_rubric
from ds2.runs.recipe_file import load_recipe
from ds2.runs.store import locked

__all__ = ["Collected", "collect_batches", "write_batches"]


@dataclass(frozen=True, slots=True)
class Collected:
    """How many examples have a rating after results were read."""

    n_rated: int
    n_examples: int


def write_batches(
    folder: Path,
    path: Path,
    *,
    rater: str | None = None,
    overrides: Mapping[str, object] | None = None,
) -> list[Path]:
    """Write the requests that are missing; nothing is sent.

    Raises:
        InputError: the recipe has no such rater of the kind "batch", or nothing is missing.
    """
    run(folder, until="pool", overrides=overrides)
    with locked(folder):
        return _batches(folder, rater, overrides).write(path)


def collect_batches(
    folder: Path,
    files: Sequence[Path],
    *,
    rater: str | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Collected:
    """Read files of results into the store of the run.

    Raises:
        InputError: a file cannot be read, or holds no result of this rater.
    """
    run(folder, until="pool", overrides=overrides)
    with locked(folder):
        ratings = _batches(folder, rater, overrides).collect(files)
    return Collected(int((ratings.codes == 0).sum()), len(ratings))


def _batches(folder: Path, rater: str | None, overrides: Mapping[str, object] | None) -> Batches:
    recipe = load_recipe(folder, overrides)
    names = [name for name, section in recipe.raters.items() if section.kind == "batch"]
    if not names:
        raise InputError(
            "The recipe has no rater of the kind batch. Add [raters.NAME] with kind = "
            '"batch" and model to it.'
        )
    if rater is None and len(names) > 1:
        raise InputError(f"Several raters are batches: {', '.join(names)}. Name one with --rater.")
    name = names[0] if rater is None else rater
    if name not in names:
        raise InputError(f"No batch rater is called '{name}'. There are: {', '.join(names)}.")
    quiet = Listener()
    job = Job(folder, recipe, quiet.progress, quiet.said)
    pool = Pool.load(folder / "pool.arrow")
    return batches_of(job, pool, name, load_rubric(folder, recipe.rate.rubric))
