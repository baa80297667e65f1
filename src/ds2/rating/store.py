"""The store: every reply that was ever received, one SQLite row per key, so none is paid twice.

The key is (setup, example, repeat). A setup is exactly what can change a reply beside the example:
the rater's settings, the rubric and everything fixed in the prompt, by hash. Nothing is ever
deleted, and a reply is never overwritten; only a failure gives way to a later answer.

The file is in WAL mode and every commit is synced: a process that is killed loses at most what it
had not committed yet.
"""

import json
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any

from ds2.errors import InputError, RunError
from ds2.pool.wording import shown_path
from ds2.rating.money import Price
from ds2.rating.rows import REPLIED, Reserved, Row, Setup, Totals, canonical

__all__ = ["Store"]

_VERSION = 2
_APPLICATION = 0x64733272  # "ds2r"
#: Parameters of one statement stay below the limit of old SQLite versions.
_MOST = 900

_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE setups (
    id INTEGER PRIMARY KEY, rater TEXT NOT NULL, model TEXT NOT NULL, form TEXT NOT NULL,
    settings TEXT NOT NULL, settings_hash TEXT NOT NULL, rubric_hash TEXT NOT NULL,
    prompt_hash TEXT NOT NULL, used_at REAL NOT NULL,
    UNIQUE (settings_hash, rubric_hash, prompt_hash));
CREATE TABLE probes (
    settings_hash TEXT NOT NULL, form TEXT NOT NULL, settled TEXT NOT NULL, n_input INTEGER,
    n_output INTEGER, cost_usd REAL, at REAL NOT NULL);
CREATE TABLE replies (
    id INTEGER PRIMARY KEY, setup INTEGER NOT NULL REFERENCES setups, example BLOB NOT NULL,
    repeat INTEGER NOT NULL, state INTEGER NOT NULL, problem TEXT, reply TEXT, finish_reason TEXT,
    n_input INTEGER, n_output INTEGER, n_cached INTEGER, latency_s REAL, cost_usd REAL,
    logprobs TEXT, model TEXT, tries INTEGER NOT NULL, at REAL NOT NULL,
    UNIQUE (setup, repeat, example));
"""
#: What version 2 adds: what may have been billed, and a checksum of every row.
_SECOND = """
CREATE TABLE reserved (
    id INTEGER PRIMARY KEY, model TEXT NOT NULL, n_input INTEGER NOT NULL,
    n_output INTEGER NOT NULL, usd REAL, at REAL NOT NULL);
ALTER TABLE replies ADD COLUMN checksum INTEGER;
INSERT INTO reserved (model, n_input, n_output, usd, at)
    SELECT '', 0, 0, cost_usd, at FROM probes WHERE cost_usd > 0;
"""


_FACTOR = "bills times: "
_COLUMNS = tuple(field.name for field in fields(Row))
_VALUES = attrgetter(*_COLUMNS)
_SELECT = f"SELECT checksum, {', '.join(_COLUMNS)} FROM replies WHERE setup = ? AND repeat = ?"  # noqa: S608
#: Rows written by one statement. Between statements SQLite hands the interpreter's lock to and fro,
#: which holds up the thread that asks.
_AT_ONCE = _MOST // (2 + len(_COLUMNS))
_UPSERT = (
    f"INSERT INTO replies (setup, checksum, {', '.join(_COLUMNS)}) VALUES {{}} "  # noqa: S608
    "ON CONFLICT (setup, repeat, example) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in ("checksum", *_COLUMNS))
    + f" WHERE replies.state < {REPLIED}"
)


class Store:
    """An open store. Use one object in one thread at a time; several may be open on one file.

    Raises:
        InputError: the file is no store, or of a later version of ds2.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with self._explained():
            # Statements outside `with self._db` commit at once.
            self._db = sqlite3.connect(self.path, timeout=60, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            application = self._db.execute("PRAGMA application_id").fetchone()[0]
            new = version == 0 and not self._db.execute("SELECT 1 FROM sqlite_master").fetchone()
            if new or (version == 1 and application == _APPLICATION):
                script = f"{_SCHEMA if new else ''};{_SECOND}"
                for statement in filter(str.strip, script.split(";")):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA application_id = {_APPLICATION}")
                self._db.execute(f"PRAGMA user_version = {_VERSION}")
                return
        if application != _APPLICATION:
            raise InputError(f"{shown_path(self.path)} is no store of ds2. Name another file.")
        if version > _VERSION:
            raise InputError(
                f"{shown_path(self.path)} was written by a later version of ds2 (store version "
                f"{version}, this one knows {_VERSION}). Install that version to read it."
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise _explain(error, self.path) from None

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._db.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fact(self, name: str, default: str) -> str:
        """Return the fact of that name; the first ``default`` that is given stays for ever."""
        with self._explained(), self._db:
            self._db.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, default))
            row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0])

    def open_setup(self, setup: Setup) -> int:
        """Return the number of a setup, which is new or was there, and note that it is in use."""
        settings = canonical(setup.settings)
        values = (setup.rater, setup.model, setup.form, settings, *setup.key, time.time())
        with self._explained(), self._db:
            row = self._db.execute(
                "INSERT INTO setups (rater, model, form, settings, settings_hash, rubric_hash, "
                "prompt_hash, used_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "rater = excluded.rater, used_at = excluded.used_at RETURNING id",
                values,
            ).fetchone()
        return int(row[0])

    def number(self, setup: Setup) -> int | None:
        """Return the number of a setup, None where it was never opened."""
        query = (
            "SELECT id FROM setups WHERE settings_hash = ? AND rubric_hash = ? AND prompt_hash = ?"
        )
        with self._explained():
            row = self._db.execute(query, setup.key).fetchone()
        return None if row is None else int(row[0])

    def setups(self) -> list[tuple[int, Setup]]:
        """Return every setup and its number, the one used last first."""
        with self._explained():
            rows = self._db.execute(
                "SELECT id, rater, model, form, settings, rubric_hash, prompt_hash FROM setups "
                "ORDER BY used_at DESC, id DESC"
            ).fetchall()
        return [
            (number, Setup(rater, model, form, json.loads(settings), rubric, prompt))
            for number, rater, model, form, settings, rubric, prompt in rows
        ]

    def add_probe(
        self,
        settings_hash: str,
        form: str,
        settled: Mapping[str, object],
        *,
        n_input: int | None,
        n_output: int | None,
        cost_usd: float | None,
    ) -> None:
        """Keep what a rater found out about its endpoint when asked for ``form``, and its cost."""
        values = (settings_hash, form, canonical(settled), n_input, n_output, cost_usd)
        with self._explained(), self._db:
            self._db.execute(
                "INSERT INTO probes VALUES (?, ?, ?, ?, ?, ?, ?)", (*values, time.time())
            )

    def probe(self, settings_hash: str, form: str) -> Mapping[str, object] | None:
        """Return what was found out last for these settings and the form asked for."""
        with self._explained():
            row = self._db.execute(
                "SELECT settled FROM probes WHERE settings_hash = ? AND form = ? "
                "ORDER BY at DESC LIMIT 1",
                (settings_hash, form),
            ).fetchone()
        return None if row is None else json.loads(row[0])

    def add(
        self,
        rows: Sequence[tuple[int, Row]] = (),
        *,
        reserved: Sequence[Reserved] = (),
        settled: Mapping[int, float] | None = None,
        learned: Mapping[str, float] | None = None,
    ) -> None:
        """Write in one commit; once it returns, all of it stays.

        Args:
            rows: (number of the setup, row) pairs.
            reserved: what requests that are about to leave may cost.
            settled: number of a reservation → what it cost; 0 takes it away.
            learned: model → by how much its server bills above what it was asked for.
        """
        now = time.time()
        with self._explained(), self._db:
            self._db.executemany(
                "INSERT OR IGNORE INTO reserved VALUES (?, ?, ?, ?, ?, ?)",
                [(r.number, r.model, r.n_input, r.n_output, r.usd, now) for r in reserved],
            )
            for start in range(0, len(rows), _AT_ONCE):
                chunk = rows[start : start + _AT_ONCE]
                marks = ", ".join([f"(?, ?{', ?' * len(_COLUMNS)})"] * len(chunk))
                values = [
                    value
                    for setup, row in chunk
                    for value in (setup, _checksum(row), *_VALUES(row))
                ]
                self._db.execute(_UPSERT.format(marks), values)
            gone = [(number,) for number, usd in (settled or {}).items() if usd == 0]
            self._db.executemany("DELETE FROM reserved WHERE id = ?", gone)
            kept = [(usd, number) for number, usd in (settled or {}).items() if usd]
            self._db.executemany("UPDATE reserved SET usd = ? WHERE id = ?", kept)
            self._db.executemany(
                "INSERT OR REPLACE INTO facts VALUES (?, ?)",
                [(f"{_FACTOR}{model}", repr(factor)) for model, factor in (learned or {}).items()],
            )

    def next_reservation(self) -> int:
        """Return a number that no reservation has."""
        with self._explained():
            return 1 + int(self._db.execute("SELECT max(id) FROM reserved").fetchone()[0] or 0)

    def factor(self, model: str) -> float:
        """Return by how much a model's server has billed above what it was asked for; 1 is not."""
        with self._explained():
            query = "SELECT value FROM facts WHERE name = ?"
            row = self._db.execute(query, (f"{_FACTOR}{model}",)).fetchone()
        return max(1.0, float(row[0])) if row else 1.0

    def spent(self, price: Callable[[str], Price | None]) -> float:
        """Return what all requests of the store have cost, or may have, in US dollars.

        What a model without a price took is left out: it may be one's own server.
        """
        total = 0.0
        with self._explained():
            for known, model, n_input, n_output in self._db.execute(
                "SELECT total(cost_usd), setups.model, total(n_input * (cost_usd IS NULL)), "
                "total(n_output * (cost_usd IS NULL)) FROM replies JOIN setups "
                "ON setups.id = replies.setup GROUP BY setups.model UNION ALL "
                "SELECT total(usd), model, total(n_input * (usd IS NULL)), "
                "total(n_output * (usd IS NULL)) FROM reserved GROUP BY model"
            ):
                own = price(model)
                total += known
                total += (own.cost_usd(int(n_input), int(n_output)) or 0.0) if own else 0.0
        return total

    def check(self) -> None:
        """Look through the whole file.

        Raises:
            InputError: it is damaged.
        """
        try:
            found = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
            for (number,) in self._db.execute("SELECT id FROM setups"):
                query = f"{_SELECT.partition(' WHERE')[0]} WHERE setup = ?"
                for checksum, *values in self._db.execute(query, (number,)):
                    self._sound(checksum, values)
        except (sqlite3.DatabaseError, OverflowError, ValueError) as error:
            if "locked" in str(error):
                raise _explain(sqlite3.OperationalError(str(error)), self.path) from None
            found = str(error)
        if found != "ok":
            raise _damaged(self.path)

    def _sound(self, checksum: int | None, values: Sequence[Any]) -> Row:
        row = Row(*values)
        if checksum is not None and checksum != _checksum(row):
            raise _damaged(self.path)
        return row

    def states(self, setup: int, repeat: int, examples: Sequence[bytes]) -> dict[bytes, int]:
        """Return the states of those examples that have a row."""
        found: dict[bytes, int] = {}
        for chunk, marks in _chunks(examples):
            query = (
                "SELECT example, state FROM replies WHERE setup = ? AND repeat = ? "  # noqa: S608
                f"AND example IN ({marks})"
            )
            with self._explained():
                found.update(self._db.execute(query, (setup, repeat, *chunk)).fetchall())
        return found

    def rows(self, setup: int, repeat: int, examples: Sequence[bytes]) -> dict[bytes, Row]:
        """Return the rows of those examples that have one."""
        found: dict[bytes, Row] = {}
        for chunk, marks in _chunks(examples):
            query = f"{_SELECT} AND example IN ({marks})"
            with self._explained():
                for checksum, *values in self._db.execute(query, (setup, repeat, *chunk)):
                    found[values[0]] = self._sound(checksum, values)
        return found

    def count(self, setup: int) -> int:
        """Return how many rows a setup has."""
        query = "SELECT count(*) FROM replies WHERE setup = ?"
        with self._explained():
            return int(self._db.execute(query, (setup,)).fetchone()[0])

    def n_replies(self) -> int:
        """Return how many rows there are, of all setups."""
        with self._explained():
            return int(self._db.execute("SELECT count(*) FROM replies").fetchone()[0])

    def totals(self, setup: int) -> Totals:
        """Return what a setup has taken so far."""
        with self._explained():
            row = self._db.execute(
                "SELECT count(*), sum(n_input), sum(n_output), sum(n_cached), sum(cost_usd), "
                "sum(cost_usd IS NULL) FROM replies WHERE setup = ? AND state = ?",
                (setup, REPLIED),
            ).fetchone()
        return Totals(*(value or 0 for value in row))

    def probe_cost(self, settings_hash: str) -> float:
        """Return what the probes of these settings cost, as far as known."""
        with self._explained():
            query = "SELECT total(cost_usd) FROM probes WHERE settings_hash = ?"
            return float(self._db.execute(query, (settings_hash,)).fetchone()[0])


def _checksum(row: Row) -> int:
    """Return a checksum of what decides a rating and a cost."""
    told = (row.repeat, row.state, row.problem, row.reply, row.finish_reason, row.logprobs)
    money = (row.n_input, row.n_output, row.cost_usd)
    return zlib.crc32(repr((*told, *money)).encode("utf-8", "replace"), zlib.crc32(row.example))


def _damaged(path: Path) -> InputError:
    where = shown_path(path)
    return InputError(
        f"The store {where} is damaged: not everything in it is what was written. Put a copy of it "
        "back, or save what can be read with: sqlite3 OLD .recover | sqlite3 NEW, and put that in "
        "its place. Without it every reply is asked for and paid again."
    )


def _chunks(examples: Sequence[bytes]) -> Iterator[tuple[Sequence[bytes], str]]:
    for start in range(0, len(examples), _MOST):
        chunk = examples[start : start + _MOST]
        yield chunk, ", ".join("?" * len(chunk))


def _explain(error: sqlite3.Error, path: Path) -> Exception:
    where, said = shown_path(path), str(error)
    if "not a database" in said:
        return InputError(f"{where} is no store of ds2. Name another file.")
    if "malformed" in said or "corrupt" in said:
        return _damaged(path)
    if "unable to open" in said:
        return InputError(f"{where} cannot be opened: its folder is missing or may not be written.")
    if "readonly" in said:
        return InputError(f"{where} cannot be written: the file or its folder is read-only.")
    if "full" in said or "disk I/O" in said:
        return RunError(
            f"The disk refused to write {where} ({said}). Free some space and do the same again: "
            "every reply that was committed is kept."
        )
    return RunError(f"The store {where} failed: {said}. Every reply that was committed is kept.")
