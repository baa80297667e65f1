"""The store: every reply that was ever received, one SQLite row per key, so none is paid twice.

The key is (setup, example, repeat). A setup is exactly what can change a reply beside the example:
the rater's settings, the rubric and everything fixed in the prompt, by hash. Nothing is ever
deleted, and a reply is never overwritten; only a failure gives way to a later answer.

The file is in WAL mode and every commit is synced: a process that is killed loses at most what it
had not committed yet. While models are asked a thread of its own writes (`Writer`), so that no
request waits for another's disk.
"""

import asyncio
import hashlib
import itertools
import json
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from ds2.errors import InputError, RunBusyError, RunError, warn
from ds2.pool import Message
from ds2.pool.wording import shown_path

if TYPE_CHECKING:
    from ds2.rating.prices import Price

T = TypeVar("T")

__all__ = [
    "FAILED",
    "REPLIED",
    "UNANSWERED",
    "Reserved",
    "Row",
    "Setup",
    "Store",
    "Writer",
    "canonical",
    "example_hash",
]

#: What a row holds: a reply; a failure that asking again would only repeat; one that could pass.
REPLIED, FAILED, UNANSWERED = 2, 1, 0


def example_hash(messages: Iterable[Message]) -> bytes:
    """Return sha256 of the roles and texts of a conversation; lengths keep them apart."""
    digest = hashlib.sha256()
    for message in messages:
        for part in (message.role.encode(), message.content.encode("utf-8", "surrogatepass")):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
    return digest.digest()


@dataclass(frozen=True, slots=True)
class Setup:
    """Who is asked, and how: what can change a reply beside the example.

    ``rater`` is what the ratings are called; it is not part of the key. The settings, JSON values,
    hold the model too, and the hash of everything fixed in the prompt the reply form.
    """

    rater: str
    model: str
    form: str
    settings: Mapping[str, object]
    rubric_hash: str
    prompt_hash: str

    @property
    def settings_hash(self) -> str:
        """sha256 (hex) of the settings."""
        return hashlib.sha256(canonical(self.settings).encode()).hexdigest()

    @property
    def key(self) -> tuple[str, str, str]:
        """What two setups share exactly when they share their replies."""
        return self.settings_hash, self.rubric_hash, self.prompt_hash


@dataclass(frozen=True, slots=True)
class Row:
    """What came of asking about one example once.

    ``example`` is its `example_hash`; ``repeat`` is 0, or the number of a fresh rating of it;
    ``state`` is `REPLIED`, `FAILED` or `UNANSWERED`; ``problem`` says why there is no rating, as
    read at the time. ``logprobs`` is JSON, ``at`` seconds since 1970. What is unknown is None.
    """

    example: bytes
    repeat: int
    state: int
    problem: str | None = None
    reply: str | None = None
    finish_reason: str | None = None
    n_input: int | None = None
    n_output: int | None = None
    n_cached: int | None = None
    latency_s: float | None = None
    cost_usd: float | None = None
    logprobs: str | None = None
    model: str | None = None
    tries: int = 1
    at: float = 0.0


#: Numbers of a row that an endpoint says, and more than any of them is.
_FOREIGN, _LARGEST = ("n_input", "n_output", "n_cached", "latency_s", "cost_usd"), 1e12


@dataclass(frozen=True, slots=True)
class Reserved:
    """What is set aside for a request: its number in the store, tokens, and US dollars if known."""

    number: int
    model: str
    n_input: int
    n_output: int
    usd: float | None


def canonical(value: object) -> str:
    """Return JSON that is equal for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


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


#: No request and no batch has a larger number.
_LAST = 2**62 + 2**40
#: What there is in a store, of SQLite's own aside.
_OBJECTS = {("table", name) for name in ("facts", "setups", "probes", "replies", "reserved")}
_FACTOR, _CHECKSUM = "bills times: ", "checksum of "
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


#: How long another program's lock is waited for: until it is said, when the file is opened, and
#: once it is open, when replies that are paid for may wait to be written.
SAY_S, OPENING_S, WRITING_S = 2.0, 10.0, 60.0


class Store:
    """An open store. Use one object in one thread at a time; several may be open on one file.

    Raises:
        InputError: the file is no store, or of a later version of ds2.
        RunBusyError: another program has locked it for longer than one waits.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with self._explained():
            # Statements outside `with self._db` commit at once.
            self._db = sqlite3.connect(self.path, timeout=SAY_S, check_same_thread=False)
            try:
                self._patiently(self._prepare, OPENING_S)
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

    def _patiently(self, work: Callable[[], T], most_s: float | None = None) -> T:
        """Do something in the file; say so where another program's lock keeps it waiting."""
        most_s, began_s, told = most_s or WRITING_S, time.monotonic(), False
        while True:
            try:
                return work()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() - began_s > most_s:
                    raise
            if not told:
                warn(
                    f"Waiting up to {most_s:g} s for the store {shown_path(self.path)}: another "
                    "program has locked it. Close it there."
                )
                told = True

    def _commit(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Write something in one commit."""

        def write() -> T:
            with self._db:
                return work(self._db)

        with self._explained():
            return self._patiently(write)

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._db.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, query: str, *values: object) -> list[Any]:
        with self._explained():
            return self._patiently(lambda: self._db.execute(query, values).fetchall())

    def fact(self, name: str, default: str) -> str:
        """Return the fact of that name; the first ``default`` that is given stays for ever."""

        def keep(db: sqlite3.Connection) -> None:
            query = "INSERT OR IGNORE INTO facts VALUES (?, ?)"
            if db.execute(query, (name, default)).rowcount:
                db.execute(query, (f"{_CHECKSUM}{name}", _told(default)))

        self._commit(keep)
        return str(self._read("SELECT value FROM facts WHERE name = ?", name)[0][0])

    def open_setup(self, setup: Setup) -> int:
        """Return the number of a setup, which is new or was there, and note that it is in use."""
        settings = canonical(setup.settings)
        values = (setup.rater, setup.model, setup.form, settings, *setup.key, time.time())

        def keep(db: sqlite3.Connection) -> int:
            row = db.execute(
                "INSERT INTO setups (rater, model, form, settings, settings_hash, rubric_hash, "
                "prompt_hash, used_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "rater = excluded.rater, used_at = excluded.used_at RETURNING id",
                values,
            ).fetchone()
            told = f"{_CHECKSUM}{row[0]}", _told(setup.model, setup.form, settings, *setup.key)
            db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", told)
            return int(row[0])

        return self._commit(keep)

    def number(self, setup: Setup) -> int | None:
        """Return the number of a setup, None where it was never opened."""
        found = self._read(
            "SELECT id FROM setups WHERE settings_hash = ? AND rubric_hash = ? AND prompt_hash = ?",
            *setup.key,
        )
        return int(found[0][0]) if found else None

    def setups(self) -> list[tuple[int, Setup]]:
        """Return every setup and its number, the one used last first."""
        rows = self._read(
            "SELECT id, rater, model, form, settings, rubric_hash, prompt_hash FROM setups "
            "ORDER BY used_at DESC, id DESC"
        )
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
        values = (settings_hash, form, canonical(settled), n_input, n_output, cost_usd, time.time())
        query = "INSERT INTO probes VALUES (?, ?, ?, ?, ?, ?, ?)"
        self._commit(lambda db: db.execute(query, values))

    def probe(self, settings_hash: str, form: str) -> Mapping[str, object] | None:
        """Return what was found out last for these settings and the form asked for."""
        found = self._read(
            "SELECT settled FROM probes WHERE settings_hash = ? AND form = ? "
            "ORDER BY at DESC LIMIT 1",
            settings_hash,
            form,
        )
        return json.loads(found[0][0]) if found else None

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
        now, settled = time.time(), settled or {}
        many: list[tuple[str, list[tuple[object, ...]]]] = [
            (
                "INSERT OR IGNORE INTO reserved VALUES (?, ?, ?, ?, ?, ?)",
                [(r.number, r.model, r.n_input, r.n_output, r.usd, now) for r in reserved],
            ),
            (
                "DELETE FROM reserved WHERE id = ?",
                [(number,) for number, usd in settled.items() if usd == 0],
            ),
            (
                "UPDATE reserved SET usd = ? WHERE id = ?",
                [(usd, number) for number, usd in settled.items() if usd],
            ),
            (
                "INSERT OR REPLACE INTO facts VALUES (?, ?)",
                [(f"{_FACTOR}{model}", repr(factor)) for model, factor in (learned or {}).items()],
            ),
        ]

        def write(db: sqlite3.Connection) -> None:
            for start in range(0, len(rows), _AT_ONCE):
                chunk = rows[start : start + _AT_ONCE]
                marks = ", ".join([f"(?, ?{', ?' * len(_COLUMNS)})"] * len(chunk))
                told = ((setup, _checksum(row), *_VALUES(row)) for setup, row in chunk)
                db.execute(_UPSERT.format(marks), list(itertools.chain.from_iterable(told)))
            for query, values in many:
                db.executemany(query, values)

        self._commit(write)

    def next_reservation(self) -> int:
        """Return a number that no reservation has."""
        return 1 + int(self._read("SELECT max(id) FROM reserved")[0][0] or 0)

    def factor(self, model: str) -> float:
        """Return by how much a model's server has billed above what it was asked for; 1 is not."""
        found = self._read("SELECT value FROM facts WHERE name = ?", f"{_FACTOR}{model}")
        return max(1.0, float(found[0][0])) if found else 1.0

    def spent(self, price: Callable[[str], "Price | None"]) -> float:
        """Return what all requests of the store have cost, or may have, in US dollars.

        What a model without a price took is left out: it may be one's own server.
        """
        total = 0.0
        for known, model, n_input, n_output in self._read(
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
            found = self._patiently(self._look_through)
        except (sqlite3.DatabaseError, OverflowError, ValueError, TypeError) as error:
            found = str(error)
            if isinstance(error, sqlite3.OperationalError) and "locked" in found:
                raise _explain(error, self.path) from None
        if found != "ok":
            raise _damaged(self.path)

    def _look_through(self) -> str:
        query = "SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
        if set(self._db.execute(query)) != _OBJECTS:  # a trigger may change what is written
            return "its tables are others"
        facts = dict(self._db.execute("SELECT name, value FROM facts"))
        told = {name: _told(facts[name]) for name in facts if f"{_CHECKSUM}{name}" in facts} | {
            str(number): _told(*values)
            for number, *values in self._db.execute(
                "SELECT id, model, form, settings, settings_hash, rubric_hash, prompt_hash "
                "FROM setups"
            )
        }
        factors = [facts[name] for name in facts if name.startswith(_FACTOR)]
        query = "SELECT n_input, n_output, usd FROM reserved"
        amounts = [value for row in self._db.execute(query) for value in row if value is not None]
        sound = (
            all(facts.get(f"{_CHECKSUM}{name}", value) == value for name, value in told.items()),
            all(0 <= float(value) < _LARGEST for value in (*factors, *amounts)),  # also NaN
            self.next_reservation() <= _LAST,
        )
        if not all(sound):
            return "it holds what nobody wrote"
        for (settled,) in self._db.execute("SELECT settled FROM probes"):
            dict(json.loads(settled))
        for (number,) in self._db.execute("SELECT id FROM setups"):
            query = f"{_SELECT.partition(' WHERE')[0]} WHERE setup = ?"
            for checksum, *values in self._db.execute(query, (number,)):
                self._sound(checksum, values)
        return str(self._db.execute("PRAGMA quick_check(1)").fetchone()[0])

    def _sound(self, checksum: int | None, values: Sequence[Any]) -> Row:
        row = Row(*values)
        if checksum is None:  # of the first version
            json.loads(row.logprobs or "null")
            numbers = [getattr(row, name) for name in _FOREIGN]
            sound = all(value is None or 0 <= value < _LARGEST for value in numbers)
            changed = not sound or row.state not in (REPLIED, FAILED, UNANSWERED)
        else:
            changed = checksum != _checksum(row)
        if changed:
            raise _damaged(self.path)
        return row

    def states(self, setup: int, repeat: int, examples: Sequence[bytes]) -> dict[bytes, int]:
        """Return the states of those examples that have a row."""
        query = "SELECT example, state FROM replies WHERE setup = ? AND repeat = ?"
        return dict(self._about(query, setup, repeat, examples))

    def rows(self, setup: int, repeat: int, examples: Sequence[bytes]) -> dict[bytes, Row]:
        """Return the rows of those examples that have one."""
        found = self._about(_SELECT, setup, repeat, examples)
        return {values[0]: self._sound(checksum, values) for checksum, *values in found}

    def _about(
        self, query: str, setup: int, repeat: int, examples: Sequence[bytes]
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query that are about these examples."""
        for start in range(0, len(examples), _MOST):
            chunk = examples[start : start + _MOST]
            marks = ", ".join("?" * len(chunk))
            yield from self._read(f"{query} AND example IN ({marks})", setup, repeat, *chunk)

    def count(self, setup: int) -> int:
        """Return how many rows a setup has."""
        return int(self._read("SELECT count(*) FROM replies WHERE setup = ?", setup)[0][0])

    def n_replies(self) -> int:
        """Return how many rows there are, of all setups."""
        return int(self._read("SELECT count(*) FROM replies")[0][0])

    def totals(self, setup: int) -> dict[str, Any]:
        """Return what a setup has taken so far: replies, tokens, and the cost, None where unknown.

        ``n_cached`` of ``n_input`` the endpoint had in its cache.
        """
        (row,) = self._read(
            "SELECT count(*), sum(n_input), sum(n_output), sum(n_cached), total(cost_usd), "
            "sum(cost_usd IS NULL) FROM replies WHERE setup = ? AND state = ?",
            setup,
            REPLIED,
        )
        *counts, known_usd, n_unknown = (value or 0 for value in row)
        found = dict(zip(("requests", "n_input", "n_output", "n_cached"), counts, strict=True))
        return found | {"cost_usd": None if n_unknown else known_usd}

    def probe_cost(self, settings_hash: str) -> float:
        """Return what the probes of these settings cost, as far as known."""
        query = "SELECT total(cost_usd) FROM probes WHERE settings_hash = ?"
        return float(self._read(query, settings_hash)[0][0])


def _checksum(row: Row) -> int:
    """Return a checksum of what decides a rating and a cost."""
    told = (row.repeat, row.state, row.problem, row.reply, row.finish_reason, row.logprobs)
    money = (row.n_input, row.n_output, row.cost_usd)
    return zlib.crc32(repr((*told, *money)).encode("utf-8", "replace"), zlib.crc32(row.example))


def _told(*values: object) -> str:
    """Return a checksum of what decides which replies belong to whom."""
    return str(zlib.crc32(repr(values).encode("utf-8", "replace")))


def _damaged(path: Path) -> InputError:
    where = shown_path(path)
    return InputError(
        f"The store {where} is damaged: not everything in it is what was written. Put a copy of it "
        "back, or save what can be read with: sqlite3 OLD .recover | sqlite3 NEW, and put that in "
        "its place. Without it every reply is asked for and paid again."
    )


_FULL = (
    "The disk refused to write {where} ({said}). Free some space and do the same again: every "
    "reply that was committed is kept."
)
#: What SQLite says, and what that means: {where} is the file, {said} its words.
_MEANT: tuple[tuple[str, type[Exception], str], ...] = (
    ("not a database", InputError, "{where} is no store of ds2. Name another file."),
    (
        "unable to open",
        InputError,
        "{where} cannot be opened: its folder is missing or may not be written.",
    ),
    ("readonly", InputError, "{where} cannot be written: the file or its folder is read-only."),
    ("full", RunError, _FULL),
    ("disk I/O", RunError, _FULL),
    (
        "locked",
        RunBusyError,
        "Another program has locked the store {where}: a database browser, a backup, or another "
        "ds2. Close it there and do the same again: every reply that was committed is kept.",
    ),
    ("", RunError, "The store {where} failed: {said}. Every reply that was committed is kept."),
)


def _explain(error: sqlite3.Error, path: Path) -> Exception:
    said = str(error)
    if "malformed" in said or "corrupt" in said:
        return _damaged(path)
    kind, sentence = next((kind, text) for words, kind, text in _MEANT if words in said)
    return kind(sentence.format(where=shown_path(path), said=said))


#: A commit follows the first row that waits after this long, or this many entries.
COMMIT_S = 0.4
COMMIT_ROWS = 1000


def _nothing() -> dict[str, Any]:
    """Return entries for `Store.add`, none yet."""
    return {"rows": [], "reserved": [], "settled": {}, "learned": {}}


class Writer:
    """Commits in small batches, in a thread, so that no request waits for another's disk.

    A context manager inside a running event loop. Leaving the block commits everything that was
    put, and raises what stopped the writing, if anything did.

    Args:
        path: the store's file.
        stopped: called when the store can no longer be written.
    """

    def __init__(self, path: Path, *, stopped: Callable[[], object]) -> None:
        self._store, self._stopped = Store(path), stopped
        self._number = self._store.next_reservation()
        self._entries, self._waiting = _nothing(), list[asyncio.Future[bool]]()
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._error: Exception | None = None

    def put(self, setup: int, row: Row, settles: int | None = None) -> None:
        """Hand over a row: it is committed within a second, and settles a reservation with it."""
        self._entries["rows"].append((setup, row))
        if settles is not None:
            self._entries["settled"][settles] = 0.0
        if len(self._entries["rows"]) >= COMMIT_ROWS:
            self._hurry.set()
        self._begin()

    def reserve(self, n_input: int, n_output: int, model: str, usd: float | None) -> Reserved:
        """Keep what a request may cost."""
        reserved = Reserved(self._number, model, n_input, n_output, usd)
        self._number += 1
        self._entries["reserved"].append(reserved)
        self._begin()
        return reserved

    def settle(self, number: int, usd: float) -> None:
        """Put a cost in a reservation's place."""
        self._entries["settled"][number] = usd
        self._begin()

    def learn(self, model: str, factor: float) -> None:
        """Keep by how much a server bills above what it was asked for."""
        self._entries["learned"][model] = factor
        self._begin()

    async def written(self) -> bool:
        """Wait until everything that was handed over is on disk; False where it never will be."""
        if self._error is not None:
            return False
        waiting: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        self._hurry.set()
        self._begin()
        return await waiting

    @property
    def failed(self) -> bool:
        """Whether the store can no longer be written."""
        return self._error is not None

    def _begin(self) -> None:
        """See to it that what was handed over is committed soon."""
        if self._task is None and self._error is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        """Commit until nothing is left; entries that come within `COMMIT_S` share a commit."""
        while self._error is None and (self._waiting or any(self._entries.values())):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), COMMIT_S)
            self._hurry.clear()
            await self._flush()
        self._task = None

    async def _flush(self) -> None:
        entries, waiting = self._entries, self._waiting
        self._entries, self._waiting = _nothing(), []
        try:
            await self._write(entries)
        except Exception as error:  # raised again where the block is left
            self._error = error
            self._stopped()
            waiting += self._waiting
        for one in waiting:
            if not one.done():
                one.set_result(self._error is None)

    async def _write(self, entries: dict[str, Any]) -> None:
        await asyncio.to_thread(self._store.add, **entries)

    async def __aenter__(self) -> "Writer":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._hurry.set()
            if self._task is not None:
                await self._task
            if self._error is None:
                await self._flush()
        finally:
            self._store.close()
        if self._error is not None and not isinstance(error, KeyboardInterrupt):
            raise self._error
