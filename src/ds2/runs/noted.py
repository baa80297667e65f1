"""How far a stage is, noted in the run folder while it runs: `status` says it of a stopped one."""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ds2.errors import Ds2Error
from ds2.runs.folder import write_json
from ds2.runs.job import Listener
from ds2.runs.stages import Stage

__all__ = ["Noted", "forget", "how_far"]

FILE = ".progress.json"
#: Seconds between two notes.
EVERY_S = 1.0


@dataclass(slots=True)
class Noted:
    """A `Listener` that passes everything on to another, and notes how far the stage is.

    Attributes:
        heard: who is told.
        folder: the run folder.
        stage: the stage that runs.
        settings: what it is made with.
    """

    heard: Listener
    folder: Path
    stage: Stage
    settings: Mapping[str, object]
    _last_s: float = field(init=False, default_factory=time.monotonic)

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Pass it on, and now and then note it."""
        self.heard.progress(done, total, note)
        if 0 < done < total:
            self._note(f"{done:,} of {total:,}")

    def reached(self, share: float) -> None:
        """Likewise."""
        self.heard.reached(share)
        if 0.0 < share < 1.0:
            self._note(f"{share:.0%}")

    def _note(self, at: str) -> None:
        now = time.monotonic()
        if now - self._last_s < EVERY_S:
            return
        self._last_s = now
        facts = {"stage": self.stage.name, "at": at}
        with suppress(Ds2Error):  # the stage itself says what it cannot write
            write_json(self.folder / FILE, {**facts, "settings": dict(self.settings)})

    def __getattr__(self, name: str) -> Any:
        return getattr(self.heard, name)


def forget(folder: Path) -> None:
    """Remove the note: the stage is done."""
    with suppress(OSError):
        (folder / FILE).unlink(missing_ok=True)


def how_far(
    folder: Path, stage: Stage, settings: Mapping[str, object], *, running: bool
) -> str | None:
    """Say how far a stage is that runs or was stopped; None where nobody knows.

    Args:
        folder: the run folder.
        stage: the stage.
        settings: what it would be made with now: with others it starts anew.
        running: whether somebody works on the folder.
    """
    try:
        facts = json.loads((folder / FILE).read_bytes())
        at = str(facts["at"])
        if facts["stage"] != stage.name or facts["settings"] != dict(settings):
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if running:
        return f"at {at}"
    then = "goes on from there" if stage.resumes else "starts anew"
    return f"stopped at {at}, {then}"
