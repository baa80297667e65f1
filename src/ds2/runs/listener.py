"""What a run tells while it goes on, and the one place that hears the warnings of its stages."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ds2.errors import Ds2Warning

__all__ = ["Listener", "hearing"]


class Listener:
    """Is told what happens while a run goes on; this one says nothing. Override what you need."""

    def started(self, stage: str, title: str) -> None:
        """A stage starts."""

    def finished(
        self, stage: str, state: str, seconds: float, summary: Mapping[str, object]
    ) -> None:
        """A stage is ``done``, or was ``fresh`` and is skipped; its numbers are as in `Made`."""

    def progress(self, done: int, total: int, note: str = "") -> None:
        """The stage that runs now has done so many of its items; ``note`` says more."""

    def said(self, sentence: str) -> None:
        """Something is worth knowing and no reason to worry: a forecast, a finding."""

    def warning(self, sentence: str) -> None:
        """The user should know something. Within a stage each sentence comes once."""


@contextmanager
def hearing(listener: Listener, words: Callable[[str], str] = str) -> Iterator[list[str]]:
    """Yield the sentences of every `Ds2Warning` in the block, each once, and pass them on.

    Args:
        listener: is told each sentence.
        words: how a sentence is put to the user.

    Warnings of other kinds go where they always go.
    """
    heard: list[str] = []

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if not issubclass(category, Ds2Warning):
            usual(message, category, *where, **more)
        elif (sentence := words(str(message))) not in heard:
            heard.append(sentence)
            listener.warning(sentence)

    with warnings.catch_warnings():
        usual: Callable[..., None] = warnings.showwarning
        warnings.simplefilter("always", Ds2Warning)
        warnings.showwarning = show
        yield heard
