"""Progress on stderr: a live line where a person watches, plain lines where a file does."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import typer

from ds2.cli.base import printable
from ds2.cli.results import stage_phrase
from ds2.runs.job import Listener

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["Lines", "Live", "Pace", "listening"]

#: Seconds between two lines about one stage, where nobody watches.
EVERY_S = 10.0


@contextmanager
def listening() -> Iterator[Listener]:
    """Yield the listener that fits stderr."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    console = Console(stderr=True, markup=False, highlight=False, emoji=False, soft_wrap=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        SpinnerColumn(finished_text=" "),
        BarColumn(bar_width=max(4, min(30, console.width - 78))),
        TextColumn("{task.fields[count]}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield Live(progress)
    console.print()  # the result stands apart


class Pace:
    """How fast a stage goes, from its first sign of progress on."""

    def __init__(self) -> None:
        self._total, self._first = -1.0, (0.0, 0.0)  # of nothing yet

    def left_s(self, done: float, total: float) -> float | None:
        """Seconds that the rest takes at the rate so far; None until something is done."""
        rate = self._rate(done, total)
        return None if rate is None else (total - done) / rate

    def count(self, done: int, total: int) -> str:
        """How many items are done, how fast that goes and how long it still takes."""
        rate, said = self._rate(done, total), f"{done:,} of {total:,}" if total else f"{done:,}"
        if rate is None:
            return said
        left = f", {_seconds((total - done) / rate)} left" if total else ""
        return f"{said} ({rate:,.{0 if rate >= 10 else 1}f} per second{left})"

    def share(self, done: float) -> str:
        """The same of a share of the work."""
        left_s = self.left_s(done, 1.0)
        return f"{done:.0%}" + ("" if left_s is None else f" ({_seconds(left_s)} left)")

    def _rate(self, done: float, total: float) -> float | None:
        now = time.monotonic()
        if total != self._total or done < self._first[0]:
            self._total, self._first = total, (done, now)
        before, start = self._first
        return None if done == before else (done - before) / max(now - start, 1e-6)


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 2 * 60 else f"{seconds / 60:.0f} min"


class Lines(Listener):
    """Writes plain lines: when a stage starts and ends, and now and then in between."""

    def __init__(self, stage: str = "") -> None:
        self._stage, self._pace = stage, Pace()
        self._last = 0.0

    def started(self, stage: str, title: str) -> None:
        """Say what starts."""
        self._stage, self._pace = stage, Pace()
        self._last = time.monotonic()
        self._say(f"{stage:<10} {title} …")

    def finished(
        self, stage: str, state: str, seconds: float, summary: Mapping[str, object]
    ) -> None:
        """Say what is done, or was fresh."""
        took = "" if state != "done" else f" in {seconds:.1f} s"
        self._say(f"{stage:<10} {state}{took}: {stage_phrase(stage, summary)}")

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Say how far the stage is."""
        words = self._pace.count(done, total)
        self._reach(done, total, f"{words}; {note}" if note else words)

    def reached(self, share: float) -> None:
        """The same of a share of the work."""
        self._reach(share, 1.0, self._pace.share(share))

    def said(self, sentence: str) -> None:
        """Say it."""
        self._say(f"{self._stage:<10} {sentence}")

    def warning(self, sentence: str) -> None:
        """Say the warning."""
        self._say(f"warning: {sentence}")

    def _reach(self, done: float, total: float, words: str) -> None:  # noqa: ARG002
        """Say it, at most once in ten seconds."""
        now = time.monotonic()
        if done > 0 and now - self._last >= EVERY_S:
            self._last = now
            self._say(f"{self._stage:<10} {words}")

    def _say(self, line: str) -> None:
        with suppress(BrokenPipeError):  # whoever read the progress has seen enough
            typer.echo(printable(line), err=True)


class Live(Lines):
    """Draws one live line for the stage that runs, and keeps a plain line of each that is done."""

    def __init__(self, progress: "Progress") -> None:
        super().__init__()
        self._progress = progress
        self._task: TaskID | None = None

    def started(self, stage: str, title: str) -> None:
        """Show what starts."""
        self._pace = Pace()
        self._task = self._progress.add_task(f"{stage:<10} {title}", total=None, count="")

    def finished(
        self, stage: str, state: str, seconds: float, summary: Mapping[str, object]
    ) -> None:
        """Leave a line about what is done, or was fresh."""
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
        super().finished(stage, state, seconds, summary)

    def said(self, sentence: str) -> None:
        """Leave a line with it."""
        self._say(sentence)

    def _reach(self, done: float, total: float, words: str) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=total or None, count=words)

    def _say(self, line: str) -> None:
        self._progress.console.print(printable(line))
