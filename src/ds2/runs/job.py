"""What a stage or a command works on, what a stage leaves behind, and who hears of it."""

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

from ds2.errors import Ds2Warning
from ds2.runs.recipe import Recipe
from ds2.runs.recipe_file import file_in, load_recipe, make_recipe, resolve_name, resolve_path

if TYPE_CHECKING:
    from ds2.pool import Pool
    from ds2.rating import Ratings

__all__ = ["Ask", "Job", "Listener", "Made", "hearing", "telling", "unheard"]

#: Seconds between two signs of progress.
EVERY_S = 0.1

P = ParamSpec("P")
R = TypeVar("R")

Ask = Literal["new", "failed", "nothing"]


@dataclass(frozen=True, slots=True)
class Made:
    """What a stage leaves besides its artefacts: a few numbers as JSON values, and warnings."""

    summary: Mapping[str, object]
    warnings: tuple[str, ...] = ()


class Listener:
    """Is told what happens while a run goes on; this one says nothing. Override what you need."""

    def started(self, stage: str, title: str) -> None:
        """A stage starts."""

    def finished(
        self, stage: str, state: str, seconds: float, summary: Mapping[str, object]
    ) -> None:
        """A stage is ``done``, or was ``fresh``; its numbers are as in `Made`.

        One that the run does not have is ``skipped``, and "why" says why.
        """

    def progress(self, done: int, total: int, note: str = "") -> None:
        """The stage that runs now has done so many of its items; ``note`` says more.

        A ``total`` of 0 is one that nobody knows.
        """

    def reached(self, share: float) -> None:
        """The stage that runs now has done this share of its work, where it counts no items."""

    def said(self, sentence: str) -> None:
        """Something is worth knowing and no reason to worry: a forecast, a finding."""

    def warning(self, sentence: str) -> None:
        """The user should know something. Within a stage each sentence comes once."""


@dataclass(frozen=True, slots=True)
class Job:
    """A run, the settings that hold for it now, and who is told what happens."""

    folder: Path  #: the run folder
    recipe: Recipe  #: the settings
    listener: Listener  #: is told how far the stage is, and what is no warning
    #: what models that rate are asked: "new" (what has no reply), "failed" (that, and what failed
    #: before) or "nothing" (the replies that are there are read anew)
    ask: Ask = "new"
    wait: bool = False  #: wait until batches are back

    @classmethod
    def of(
        cls,
        folder: Path,
        overrides: Mapping[str, object] | None = None,
        listener: Listener | None = None,
        **how: Any,
    ) -> "Job":
        """Read the recipe of a run folder; ``overrides`` (by dotted key) win over it.

        Raises:
            InputError: there is no recipe, or a value in it is wrong.
        """
        return cls(folder, load_recipe(folder, overrides), listener or Listener(), **how)

    def but(self, settings: Mapping[str, object]) -> "Job":
        """The same with other settings, by dotted key."""
        return replace(self, recipe=make_recipe(settings, self.recipe))

    def path(self, name: str) -> Path:
        """The file that the recipe means by ``name``."""
        return resolve_path(self.folder, name)

    def named(self, key: str) -> str:
        """What a setting names: that file where it is there, and else the name, as it is."""
        name, held = str(self.recipe.flat()[key]), file_in(key)
        known = held is not None and name in held.words
        return name if known else resolve_name(self.folder, name)

    @property
    def pool(self) -> "Pool":
        """The examples, as they were read."""
        from ds2.pool import Pool

        return Pool.load(self.folder / "pool.arrow")

    @property
    def ratings(self) -> "Ratings":
        """What the raters gave."""
        from ds2.rating import Ratings

        return Ratings.load(self.folder / "ratings.parquet")


def telling(listener: Listener) -> Callable[[float], None]:
    """Return what tells a listener of each share that is new, ten times a second at most."""
    last, most = -math.inf, -1.0

    def tell(share: float) -> None:
        nonlocal last, most
        now = time.monotonic()
        if share > most and now - last >= EVERY_S:
            last, most = now, share
            listener.reached(share)

    return tell


@contextmanager
def hearing(listener: Listener) -> Iterator[list[str]]:
    """Yield the sentences of every `Ds2Warning` in the block, each once, and pass them on.

    Warnings of other kinds go where they always go.
    """
    heard: list[str] = []

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if not issubclass(category, Ds2Warning):
            usual(message, category, *where, **more)
        elif (sentence := str(message)) not in heard:
            heard.append(sentence)
            listener.warning(sentence)

    with warnings.catch_warnings():
        usual: Callable[..., None] = warnings.showwarning
        warnings.simplefilter("always", Ds2Warning)
        warnings.showwarning = show
        yield heard


def unheard(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function whose warnings are in its result: they are said from there, with names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ds2Warning)
        return function(*args, **kwargs)
