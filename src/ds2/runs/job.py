"""What a stage is given and what it leaves behind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from ds2.runs.recipe import Recipe

__all__ = ["Ask", "Job", "Made", "Progress"]

Ask = Literal["new", "failed", "nothing"]


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
        say: is told a sentence that is no warning.
        ask: what models that rate are asked: "new" (what has no reply), "failed" (that, and what
            failed before) or "nothing" (the replies that are there are read anew).
    """

    folder: Path
    recipe: Recipe
    progress: Progress
    say: Callable[[str], None]
    ask: Ask = "new"
    wait: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """What a stage leaves besides its artefacts: a few numbers as JSON values, and warnings."""

    summary: Mapping[str, object]
    warnings: tuple[str, ...] = ()
