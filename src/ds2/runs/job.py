"""What a stage is given and what it leaves behind."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ds2.runs.recipe import Recipe

__all__ = ["Job", "Made", "Progress"]


class Progress(Protocol):
    """Is told how many of a stage's items are done, and what else is worth a few words."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Take note of it."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a stage is given.

    Attributes:
        folder: the run folder.
        recipe: the settings.
        progress: is told how far the stage is.
    """

    folder: Path
    recipe: Recipe
    progress: Progress


@dataclass(frozen=True, slots=True)
class Made:
    """What a stage leaves besides its artefacts: a few numbers as JSON values, and warnings."""

    summary: Mapping[str, object]
    warnings: tuple[str, ...] = ()
