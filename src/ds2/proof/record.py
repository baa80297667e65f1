"""What has been evaluated of one model: `done.json`, written last, and the files it vouches for."""

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ds2.atomic import explain_write_errors, writing

__all__ = ["Record", "open_record"]

DONE = "done.json"
_PARTIAL = ".partial"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Record:
    """The finished tasks of one model.

    Attributes:
        folder: where its files lie.
        about: model, adapter and fingerprint.
        tasks: name → key (what it was made from), files, seconds, and more.
    """

    folder: Path
    about: Mapping[str, object]
    tasks: dict[str, dict[str, Any]]

    def files(self, tasks: Sequence[str]) -> list[Path]:
        """The files of items of these tasks, in their order."""
        names = [name for task in tasks for name in self.tasks[task]["files"]]
        return [self.folder / name for name in names if name.endswith(".jsonl")]

    @contextmanager
    def adding(self, task: str, key: str, more: dict[str, object]) -> Iterator[Path]:
        """Yield an empty folder; what the block leaves there becomes the task's files.

        ``more`` goes into the entry as well, as it is when the block ends.
        """
        partial, start = self.folder / _PARTIAL, time.monotonic()
        shutil.rmtree(partial, ignore_errors=True)
        with explain_write_errors(partial):
            partial.mkdir()
        yield partial
        with explain_write_errors(self.folder):
            names = sorted(path.name for path in partial.iterdir())
            for name in names:
                (partial / name).replace(self.folder / name)
            partial.rmdir()
        seconds = round(time.monotonic() - start, 1)
        self.tasks[task] = {"key": key, "files": names, "seconds": seconds, **more}
        self._write()

    def _write(self) -> None:
        document = {"version": _VERSION, **self.about, "tasks": self.tasks}
        with writing(self.folder / DONE) as temporary:
            temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="ascii")


def open_record(
    folder: Path, about: Mapping[str, object], wanted: Mapping[str, str] | None = None
) -> Record:
    """Return what is done in a folder, and remove what nothing vouches for.

    Tasks of another model are removed, and those of ``wanted`` (task → key) whose key is another.
    """
    with explain_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    held: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        held = json.loads((folder / DONE).read_text(encoding="ascii"))
    entries = held.get("tasks", {}) if held.get("version") == _VERSION else {}
    if any(held.get(name) != value for name, value in about.items()):
        entries = {}
    kept = {
        task: entry
        for task, entry in entries.items()
        if (wanted or {}).get(task, entry["key"]) == entry["key"]
        and all((folder / name).is_file() for name in entry["files"])
    }
    record = Record(folder, about, kept)
    if kept != entries:
        record._write()
    files = {name for entry in kept.values() for name in entry["files"]}
    with explain_write_errors(folder):
        shutil.rmtree(folder / _PARTIAL, ignore_errors=True)
        for path in folder.iterdir():
            ours = path.name.startswith(("samples_", "results_", "items-"))
            if ours and path.name not in files and path.is_file():
                path.unlink()
    return record
