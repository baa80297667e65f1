"""What has been evaluated under one name: `done.json`, written last, and what it vouches for.

Results of other settings or of another model are put aside, with a dot before their names, where
nothing reads them, and taken back when they are asked for again.
"""

import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ds2.atomic import explain_write_errors, writing

__all__ = ["DONE", "PARTIAL", "Record", "open_record"]

DONE = "done.json"
PARTIAL = ".partial"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Record:
    """The finished tasks of one model.

    Attributes:
        folder: where its files lie.
        about: model, adapter and fingerprint.
        tasks: name → key (what it was made from), files, seconds, and more.
        aside: the same of other keys and fingerprints, with "task" and "fingerprint".
    """

    folder: Path
    about: Mapping[str, object]
    tasks: dict[str, dict[str, Any]]
    aside: list[dict[str, Any]]

    def files(self, tasks: Sequence[str]) -> list[Path]:
        """The files of items of these tasks, in their order."""
        names = [name for task in tasks for name in self.tasks[task]["files"]]
        return [self.folder / name for name in names if name.endswith(".jsonl")]

    @contextmanager
    def adding(self, task: str, key: str, more: dict[str, object]) -> Iterator[Path]:
        """Yield an empty folder; what the block leaves there becomes the task's files.

        ``more`` goes into the entry as well, as it is when the block ends.
        """
        partial, start = self.folder / PARTIAL, time.monotonic()
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
        document = {"version": _VERSION, **self.about, "tasks": self.tasks, "aside": self.aside}
        with writing(self.folder / DONE) as temporary:
            temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="ascii")


def open_record(
    folder: Path, about: Mapping[str, object], wanted: Mapping[str, str] | None = None
) -> Record:
    """Return what is done in a folder, and remove what nothing vouches for.

    Results of another model are put aside, and those of ``wanted`` (task → key) with another key.
    """
    held: dict[str, Any] = {}
    with explain_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError, ValueError):
            held = dict(json.loads((folder / DONE).read_text(encoding="ascii")))
    record, mine = Record(folder, about, {}, []), about["fingerprint"]
    now = {"fingerprint": held.get("fingerprint")}
    entries = [{"task": task, **now, **entry} for task, entry in held.get("tasks", {}).items()]
    for entry in [*entries, *held.get("aside", ())] if held.get("version") == _VERSION else ():
        task, key = entry["task"], entry["key"]
        names = entry["files"]
        if not all((folder / n).is_file() or (folder / f".{n}").is_file() for n in names):
            continue
        fits = entry["fingerprint"] == mine and (wanted or {}).get(task, key) == key
        if fits and task not in record.tasks:
            record.tasks[task] = entry
        else:
            record.aside.append(entry)
    shown = [name for entry in record.tasks.values() for name in entry["files"]]
    hidden = [f".{name}" for entry in record.aside for name in entry["files"]]
    with explain_write_errors(folder):
        shutil.rmtree(folder / PARTIAL, ignore_errors=True)
        for name in [*hidden, *shown]:
            other = folder / (name[1:] if name.startswith(".") else f".{name}")
            if other.is_file():
                other.replace(folder / name)
        if held:
            record._write()
        for path in folder.iterdir():
            ours = path.name.lstrip(".").startswith(("samples_", "results_", "items-"))
            if ours and path.name not in {*shown, *hidden} and path.is_file():
                path.unlink()
    return record
