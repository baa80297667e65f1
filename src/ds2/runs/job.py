"""What a stage is given and what it leaves behind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ds2.runs.recipe import Recipe

__all__ = ["Job", "Made"]


@dataclass(frozen=True, slots=True)
class Job:
    """What a stage is given.

    Attributes:
        folder: the run folder.
        recipe: the settings.
        progress: is told (done, total).
    """

    folder: Path
    recipe: Recipe
    progress: Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Made:
    """What a stage leaves besides its artefacts: a few numbers as JSON values, and warnings."""

    summary: Mapping[str, object]
    warnings: tuple[str, ...] = ()
