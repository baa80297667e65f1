"""The whole job in one call: from a pool, in memory or on disk, to the selection and its report."""

import os
import shutil
import sys
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from ds2.atomic import spooling
from ds2.curation import Curation
from ds2.errors import InputError, warn
from ds2.neighbors import Neighbors
from ds2.noise import TransitionEstimate
from ds2.pool import Pool, is_place, keep_rows
from ds2.rating import Ratings
from ds2.runs.ask import add_gold
from ds2.runs.frozen import load
from ds2.runs.init import init_run
from ds2.runs.job import Job, Listener
from ds2.runs.loop import bring_up
from ds2.runs.recipe_file import RECIPE, load_recipe
from ds2.selection import Selection
from ds2.shown import Shown, heat_map

__all__ = ["RunResult", "run"]


@dataclass(frozen=True, slots=True, repr=False)
class RunResult(Shown):
    """What a run made; what is large is read from its folder when it is asked for.

    Attributes:
        folder: the run folder.
        verdict: what to do and why, then the answers of the report, a sentence each.
        warnings: of all stages, each once.
        kept: what deletes the folder, where it lives no longer than this result; else None.
    """

    folder: Path
    verdict: tuple[str, ...]
    warnings: tuple[str, ...]
    kept: object = None

    seen = ("folder", "verdict", "warnings")

    @property
    def pool(self) -> Pool:
        """The examples, as they were read."""
        return Pool.load(self.folder / "pool.arrow")

    @property
    def ratings(self) -> Ratings | None:
        """What the raters gave; None in a run without scores, as `noise` and `curation`."""
        return Ratings.load(self.folder / "ratings.parquet") if self._rated else None

    @property
    def neighbors(self) -> Neighbors:
        """The graph."""
        return load(Neighbors, self.folder)

    @property
    def noise(self) -> TransitionEstimate | None:
        """The transition matrix."""
        return load(TransitionEstimate, self.folder) if self._rated else None

    @property
    def curation(self) -> Curation | None:
        """The curated scores."""
        return load(Curation, self.folder) if self._rated else None

    @property
    def selection(self) -> Selection:
        """The selected rows, in pick order, each with its reason."""
        return load(Selection, self.folder)

    @property
    def selected(self) -> Pool:
        """The selected examples, in pick order."""
        return self.pool.take(self.selection.rows)

    def report(self) -> Path:
        """Return the path of the report, a page for a browser."""
        return self.folder / "report.html"

    @property
    def _rated(self) -> bool:
        return load_recipe(self.folder).rated

    def _repr_html_(self) -> str:
        answers, notes = (
            "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
            for sentences in (self.verdict, self.warnings)
        )
        head = f"<summary>{len(self.warnings)} warnings</summary>"
        warned = f"<details>{head}<ul>{notes}</ul></details>"
        noise = self.noise
        return (
            f"<ul>{answers}</ul>{'' if noise is None else heat_map(noise.mean_matrix)}"
            f"{warned if notes else ''}<p>Report: {escape(str(self.report()))}</p>"
        )


def run(
    pool: Any,
    *,
    scores: str | Sequence[str] = (),
    raters: Sequence[str] = (),
    size: int | float | None = None,
    gold: str | os.PathLike[str] | None = None,
    folder: str | os.PathLike[str] | None = None,
    settings: Mapping[str, object] | None = None,
    listener: Listener | None = None,
) -> RunResult:
    """Rate or import, embed, estimate the noise, curate, select and report, as ``ds2 run`` does.

    Without scores and raters the run has no noise and no curation, and selects by a method that
    needs none: "facility-location", or what ``select.method`` of the settings says.

    Args:
        pool: what `ds2.read_pool` takes: a path, several, ``hf:org/name``, a Dataset, a DataFrame,
            an Arrow table or a list of objects.
        scores: the column that holds scores, or several, one a rater.
        raters: models that are to rate, as ``--rater`` of ``ds2 init``.
        size: how many rows to select (a whole number), or which share (a float in (0, 1)).
        gold: a file of trusted scores, as ``ds2 gold --add`` takes it.
        folder: the run folder, where a later call goes on. Default: one that is deleted with the
            result.
        settings: further settings of the recipe, by dotted key: ``{"select.method": "frontier"}``.
        listener: is told what happens; warnings of the stages go there. Default: one line shows
            how far the run is where a person watches, and at its end its warnings are warned.

    Returns:
        `RunResult`: ``selected`` is the pool of the selected rows, ``report()`` the page's path.

    Raises:
        InputError: as ``ds2 init`` and ``ds2 run``; the folder holds another run.
    """
    kept = _Kept() if folder is None else None
    place = Path(kept.path if kept is not None else folder or ".")
    wanted = dict(settings or {})
    if size is not None:
        wanted["select.size"] = size
    heard = listener or _Watched()
    with _placed(pool, place) as paths:
        init_run(place, pool=paths, scores=scores, raters=raters, settings=wanted, listener=heard)
    if gold is not None:
        add_gold(Job.of(place), [Path(gold)])
    found = bring_up(Job.of(place, None, heard), "report", resume=True)
    if isinstance(heard, _Watched):
        heard.end(found.warnings)
    verdict = found.summary["report"]["verdict"]
    assert isinstance(verdict, (list, tuple))
    first = f"{found.state.says}: {found.state.reason}"
    return RunResult(place, (first, *verdict), found.warnings, kept)


@contextmanager
def _placed(pool: Any, folder: Path) -> Iterator[list[str]]:
    """Yield where a pool is. Rows in memory go into the folder, to stay if the block succeeds.

    Raises:
        InputError: the folder is no run's, and holds a file of that name.
    """
    if is_place(pool):
        yield [os.fspath(each) for each in (pool if isinstance(pool, (list, tuple)) else [pool])]
        return
    path = folder / "rows.jsonl"
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    if (there := path.exists()) and not (folder / RECIPE).exists():
        raise InputError(
            f"'{folder}' holds '{path.name}', which a run would replace. Name another folder, or "
            "move that file away."
        )
    with spooling(path) as before:
        folder.mkdir(parents=True, exist_ok=True)
        if there:
            shutil.copy2(path, before)
        try:
            keep_rows(pool, path)
            yield [os.fspath(path)]
        except BaseException:
            path.unlink(missing_ok=True)
            if there:
                before.replace(path)
            with suppress(OSError):  # something else is in it
                for one in made:
                    one.rmdir()
            raise


class _Kept:
    """A folder that is deleted when nobody holds this any more."""

    def __init__(self) -> None:
        self.path = tempfile.mkdtemp(prefix="ds2-")
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class _Watched(Listener):
    """One line that says how far the run is, in a notebook or a terminal; warnings as Python's."""

    def __init__(self) -> None:
        self._title = self._shown = ""
        self._cell: Any = None

    def started(self, stage: str, title: str) -> None:
        """Show what starts."""
        self._title = f"{stage}: {title}"
        self._show(f"{self._title} …")

    def progress(self, done: int, total: int, note: str = "") -> None:  # noqa: ARG002
        """Show how far it is."""
        self._show(f"{self._title} {done:,} of {total:,}")

    def reached(self, share: float) -> None:
        """The same of a share of the work."""
        self._show(f"{self._title} {share:.0%}")

    def warning(self, sentence: str) -> None:
        """Warn; what a stage warns of comes at the end, too, and is warned there."""
        warn(sentence)

    def end(self, sentences: Sequence[str]) -> None:
        """Wipe the line, and warn of everything."""
        self._show("")
        for sentence in sentences:
            warn(sentence)

    def _show(self, line: str) -> None:
        if "ipykernel" in sys.modules:
            from IPython.display import display

            shown = {"text/plain": line}
            if self._cell is None:
                self._cell = display(shown, raw=True, display_id=True)
            else:
                self._cell.update(shown, raw=True)
        elif sys.stderr.isatty():
            sys.stderr.write(f"\r{line.ljust(len(self._shown))}{'' if line else chr(13)}")
            sys.stderr.flush()
            self._shown = line
