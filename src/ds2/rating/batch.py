"""A pool rated in batches: cheaper, and within a day, over any number of days and processes.

The id of a request is the key of the store: setup, repeat and example. So a file of results tells
by itself where each reply belongs, whoever ran it and however long ago. A batch is only another way
to ask: prompts, jobs, store, budget and what is made of a reply are those of `rate`.
"""

import base64
import hashlib
import json
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import wraps
from importlib.util import find_spec
from itertools import count, islice
from pathlib import Path
from typing import IO, Any, Concatenate, ParamSpec, TypeAlias, TypeVar

import numpy as np

from ds2.atomic import explain_write_errors, sweep, writing
from ds2.checks import check_choice, check_fraction, check_int, check_positive
from ds2.endpoints import address_of, clean, is_openai, masked, openai_client, read_key
from ds2.errors import InputError, MissingDependencyError, RunError, warn
from ds2.pool import Pool
from ds2.pool.files import check_readable
from ds2.pool.wording import shown, shown_path
from ds2.rating.chat import chat_settings
from ds2.rating.loop import Job, Outcomes, iter_hashes, iter_jobs
from ds2.rating.prices import Budget, Price, read_prices, request_tokens
from ds2.rating.prompt import FORMS, Prompt
from ds2.rating.rate import Plan, Session, writable_store
from ds2.rating.rater import Answer, Failure
from ds2.rating.ratings import Note, Ratings
from ds2.rating.rubric import Rubric
from ds2.rating.store import Reserved, Row, Setup, Store
from ds2.rating.wire import Dialect, Target, explain, no_batches, read_body, refusal

__all__ = ["BatchProgress", "BatchRater", "Batches"]

_LIMITS = ("max_tokens", "max_completion_tokens")
#: What an endpoint left undone is sent again this many times in one call.
_ROUNDS = 3
#: Rows of one commit.
_ROWS = 1000


class BatchRater:
    """A model behind an endpoint that takes OpenAI-style batches.

    Nothing is found out about the endpoint before: the reply form and the name of the token limit
    are what is said here. Replies are kept under the same key as those of a `ChatRater` with the
    same model and settings, so either goes on where the other stopped.

    Args:
        model: the model's name, as the endpoint knows it.
        base_url: the endpoint; None is OpenAI's own.
        api_key_env: the environment variable that holds the key, as for `ChatRater`; it is read
            when something is sent or collected.
        name: what the ratings are called; None is the model's name.
        form: the reply form: "structured", "json", "text" or "expected".
        temperature: of the sampling; None leaves it to the endpoint.
        max_output_tokens: the longest reply.
        token_limit: the name of the field for that; None is "max_completion_tokens" for OpenAI,
            "max_tokens" elsewhere.
        extra: further fields of every request.
        variant: further text that tells replies apart, as for `ChatRater`.
        price_share: what a batch costs as a share of the usual price.
        max_requests: the most requests in one batch.
        max_bytes: the most bytes in one file.
        timeout_s: the longest wait for one answer about a file or a batch.

    Raises:
        InputError: a setting is none.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key_env: str | None = None,
        name: str | None = None,
        form: str = "structured",
        temperature: float | None = 0.0,
        max_output_tokens: int = 512,
        token_limit: str | None = None,
        extra: Mapping[str, object] | None = None,
        variant: str | None = None,
        price_share: float = 0.5,
        max_requests: int = 50_000,
        max_bytes: int = 190_000_000,
        timeout_s: float = 600.0,
    ) -> None:
        check_choice("form", form, FORMS)
        limit = token_limit or _LIMITS[is_openai(base_url)]
        self._dialect = Dialect(form, limit=check_choice("token_limit", limit, _LIMITS))
        self.settings = chat_settings(model, temperature, max_output_tokens, extra, variant)
        self.price_share = check_fraction("price_share", price_share)
        self.max_requests = check_int("max_requests", max_requests, low=1)
        self.max_bytes = check_int("max_bytes", max_bytes, low=1)
        self.model, self.name, self.form = model, name or model, form
        self.endpoint = address_of(base_url)
        self._base_url, self._api_key_env = base_url, api_key_env
        self._timeout_s = check_positive("timeout_s", timeout_s)
        self.settled: Mapping[str, object] = {"form": form}

    def __repr__(self) -> str:
        return f"BatchRater({self.model!r}, endpoint={self.endpoint!r}, form={self.form!r})"

    def settle(self, settled: Mapping[str, object]) -> None:
        """Nothing is found out about the endpoint."""

    def body(self, prompt: Prompt, rubric: Rubric) -> dict[str, object]:
        """Return the body of a request."""
        return self._dialect.body(prompt, rubric, self.settings)

    def client(self) -> "BatchClient":
        """Return a client of the endpoint.

        Raises:
            InputError: there is no key.
        """
        key = read_key(self._api_key_env, self._base_url, "BatchRater")
        return BatchClient(self.model, key, self._base_url, self._timeout_s)


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far the batches are.

    Attributes:
        n_open: batches that are going on.
        n_in_flight: requests in them.
        n_done: of those, requests that have an outcome at the endpoint.
        n_collected: requests whose outcome came into the store in this call.
    """

    n_open: int
    n_in_flight: int
    n_done: int
    n_collected: int


class Batches:
    """What one rater is asked about a pool in batches, over any number of days and processes.

    Args:
        pool: the examples. Equal ones are rated once.
        rater: who is asked.
        store: the SQLite file of the replies. The state of the batches is kept beside it.
        rubric: what is asked, as all that follows as for `rate`.
        repeats: how many random examples are rated a second time.
        nonce: text that whoever wrote the examples cannot know.
        seed: of the order and the repeats.
        max_prompt_tokens: the longest prompt.
        count_tokens: the tokens of a text.
        prices: the caller's own: of requests outside batches.
        retry_failed: ask again about examples that the endpoint refused to rate before.
    """

    def __init__(
        self,
        pool: Pool,
        rater: BatchRater,
        *,
        store: str | Path,
        rubric: Rubric | None = None,
        repeats: int = 0,
        nonce: str | None = None,
        seed: int = 0,
        max_prompt_tokens: int | None = None,
        count_tokens: Callable[[str], int] | None = None,
        prices: Mapping[str, Any] | str | Path | None = None,
        retry_failed: bool = False,
    ) -> None:
        self._rater, self._store = rater, Path(store)
        self._plan = Plan(
            pool=pool,
            rubric=Rubric.ds2() if rubric is None else rubric,
            nonce=nonce,
            seed=seed,
            repeats=repeats,
            prices=read_prices(prices),
            max_prompt_tokens=max_prompt_tokens,
            count_tokens=count_tokens,
            retry_failed=retry_failed,
        )

    def run(
        self,
        *,
        wait_s: float | None = None,
        poll_s: float = 60.0,
        max_cost_usd: float | None = None,
        progress: Callable[[BatchProgress], None] | None = None,
    ) -> Ratings:
        """Collect what is finished, send what is missing, wait, and return what there is.

        Args:
            wait_s: how long to wait; 0 only sends and collects, None waits for everything. What is
                not there yet is "not asked", a warning says how much, and the next call goes on.
            poll_s: seconds between questions to the endpoint.
            max_cost_usd: a hard stop: no batch is sent that could carry the cost above it.
            progress: is told how far it is after each question.

        Raises:
            InputError: there is no key, the endpoint has no batches, or a price is unknown.
            RunBusyError: another process works with the store.
            RunError: the endpoint fails, or a batch brought no reply at all.
        """
        check_positive("poll_s", poll_s, zero=True)
        if max_cost_usd is not None:
            check_positive("max_cost_usd", max_cost_usd, zero=True)
        until = np.inf if wait_s is None else time.monotonic() + wait_s
        with self._opened() as work:
            budget, client = work.session.budget(max_cost_usd), self._rater.client()
            with closing(client):
                while (state := work.turn(client, budget)).n_open and time.monotonic() < until:
                    if progress is not None:
                        progress(state)
                    time.sleep(min(poll_s, max(0.0, until - time.monotonic())))
            if progress is not None:
                progress(state)
            notes = work.column.notes
            if state.n_open:
                numbers = {"n": state.n_in_flight, "batches": state.n_open}
                notes.append(Note("in flight", numbers | {"rater": shown(self._rater.name)}))
            if budget.exhausted:
                notes.append(Note("budget", {"max_usd": budget.max_usd, "what": "sending"}))
            ratings = work.ratings(ended=budget.exhausted or state.n_open > 0)
            return replace(ratings, usage={**ratings.usage, "in_flight": state.n_in_flight})

    def write(self, path: str | Path) -> list[Path]:
        """Write the missing requests for somebody else to run: PATH-1.jsonl, PATH-2.jsonl and on.

        Nothing is sent, and no key is needed. Bring the results in with `collect`.

        Raises:
            InputError: a file cannot be written, or nothing is missing.
        """
        path = Path(path)
        with self._opened() as work:
            places = (path.with_name(f"{path.name}-{n}.jsonl") for n in count(1))
            written = [place for place, *_ in work.write(Budget(None), work.missing(), places)]
        if not written:
            raise InputError(f"Nothing is missing in {shown_path(self._store)}: all was asked.")
        return written

    def collect(self, files: Sequence[str | Path]) -> Ratings:
        """Bring files of results into the store, whoever ran the requests, and return the ratings.

        Raises:
            InputError: a file cannot be read, or holds no result of this rater and rubric.
        """
        paths = [Path(file) for file in files]
        with self._opened() as work:
            intake = work.ingest(paths)
            if not sum(intake.n[kind] for kind in ("replies", "failed", "twice")):
                if intake.n["broken"]:
                    raise InputError(str(intake.said))
                raise InputError(
                    f"{', '.join(map(shown_path, paths))}: none of {intake.n['foreign']:,} results "
                    f"is of {shown(self._rater.name)} with this rubric and these settings. Use the "
                    "settings that the requests were written with."
                )
            for kind in ("foreign", "broken", "failed"):
                if n := intake.n[kind]:
                    note = Note(f"{kind} results", {"n": n, "last": intake.said})
                    work.column.notes.append(note)
            return work.ratings()

    @contextmanager
    def _opened(self) -> Iterator["_Work"]:
        with writable_store(self._store) as path, Store(path) as store:
            store.check()
            yield _Work(self._rater, Session(store, [self._rater], self._plan), store, path)


@dataclass(slots=True)
class _Intake:
    """What came of files of results.

    ``n`` counts "replies", requests "failed" or answered "twice", results that are "foreign", of
    other setups, and "broken" lines. ``cost_usd`` is that of the replies; ``known`` whether it is
    all; ``said`` the last failure; ``seen`` the requests that have an outcome.
    """

    n: Counter[str] = field(default_factory=Counter)
    cost_usd: float = 0.0
    known: bool = True
    said: str | None = None
    seen: set[object] = field(default_factory=set)


class _Work:
    """The batches of one rater while their store is open and locked."""

    def __init__(self, rater: BatchRater, session: Session, store: Store, path: Path) -> None:
        (column,) = session.columns
        self.session, self.rater, self.store, self.column = session, rater, store, column
        self.builder, self.setup = column.builder, column.setup
        self.tag, self.number = setup_tag(column.setup), store.open_setup(column.setup)
        column.number = self.number
        if (price := column.price) is not None:
            share = rater.price_share
            cached = None if price.cached is None else price.cached * share
            column.price = Price(price.input * share, price.output * share, cached)
        self.folder = BatchFolder(path)
        self.collected, self.rounds, self.recovered = 0, 0, False
        for batch in self.folder.load():
            if not batch.collected:
                store.add(reserved=[batch.reserved(rater.model)])

    def ratings(self, *, ended: bool = False) -> Ratings:
        """Return what the store has, and warn."""
        for note in self.column.notes:
            warn(str(note))
        return self.session.ratings(self.column, ended=ended)

    def turn(self, client: "BatchClient", budget: Budget) -> BatchProgress:
        """Collect what is finished and send what is missing."""
        if not self.recovered:
            self._recover(client)
            self.recovered = True
        n_done = 0
        for batch in self._left(sent=True):
            status = client.status(str(batch.batch_id))
            if status.open:
                n_done += status.n_done
            else:
                self._collect(client, batch, status)
        codes = self.missing() if self.rounds < _ROUNDS else np.empty(0, np.int64)
        if len(codes) and not budget.exhausted:
            self.rounds += 1
            budget.reserved_usd, budget.n_reserved = 0.0, 0
            budget.spent_usd = self.store.spent(self.session.plan.prices.price)
            paths = (self.folder.requests(secrets.token_hex(8)) for _ in count())
            for path, n, most_usd in self.write(budget, codes, paths):  # known before it is sent
                token = path.stem.rpartition("-")[2]
                batch = Batch(token, self.tag, n, most_usd, self.rater.endpoint, at=time.time())
                self.folder.update(batch)
                self.store.add(reserved=[batch.reserved(self.setup.model)])
                self._send(client, batch)
        left = self._left(sent=True)
        return BatchProgress(len(left), sum(batch.n for batch in left), n_done, self.collected)

    def missing(self) -> np.ndarray:
        """Return what has no outcome and is in no open batch, as `plan_jobs` numbers it."""
        flying = {
            key[1:]
            for batch in self._left(sent=True)
            for _, row in _rows(self.folder.requests(batch.token))
            if (key := read_request_id((row or {}).get("custom_id"))) is not None
        }
        return self.session.missing(self.number, flying)

    def lines(self, budget: Budget, codes: np.ndarray) -> Iterator[tuple[bytes, float]]:
        """Yield requests and the most that each can cost, until the budget ends."""
        rubric = self.builder.rubric
        factor, schema = self.store.factor(self.setup.model), rubric.json_schema()
        for jobs in iter_jobs(codes, self.session.plan.pool, self.builder):
            for job in jobs:
                most_usd = 0.0
                if self.column.price is not None:
                    tokens = request_tokens(job.prompt.messages, self.setup.settings, schema)
                    most_usd = factor * (self.column.price.cost_usd(*tokens) or 0.0)
                if not budget.reserve(most_usd):
                    budget.exhausted = True
                    return
                row = {
                    "custom_id": request_id(self.tag, job.repeat, job.example),
                    "method": "POST",
                    "url": _ENDPOINT,
                    "body": self.rater.body(job.prompt, rubric),
                }
                text = json.dumps(row, ensure_ascii=False)
                yield text.encode("utf-8", "replace") + b"\n", most_usd

    def write(
        self, budget: Budget, codes: np.ndarray, paths: Iterator[Path]
    ) -> Iterator[tuple[Path, int, float]]:
        """Write requests into files, as many as each may hold; yield path, count and most cost."""
        lines, most_bytes = self.lines(budget, codes), self.rater.max_bytes
        line = next(lines, None)
        while line is not None:
            path, n, size, most_usd = next(paths), 0, 0, 0.0
            with writing(path) as temporary, temporary.open("wb") as file:
                while line is not None and n < self.rater.max_requests:
                    text, usd = line
                    if n and size + len(text) > most_bytes:
                        break
                    if len(text) > most_bytes:
                        raise InputError(
                            f"A request for {shown_path(path)} has {len(text):,} bytes, more than "
                            f"a batch may hold ({most_bytes:,}). Shorten the prompts with "
                            "max_tokens."
                        )
                    file.write(text)
                    n, size, most_usd = n + 1, size + len(text), most_usd + usd
                    line = next(lines, None)
            yield path, n, most_usd

    def ingest(self, paths: Iterable[Path]) -> _Intake:
        """Read files of results into the store.

        A request with two results that differ has none: it is asked again. Equal ones count once.

        Raises:
            InputError: a file cannot be read.
        """
        rows, intake = list[Row](), _Intake()
        about = Target(self.setup.model, self.rater.endpoint, None)
        outcomes = Outcomes(self.column, lambda row, _: rows.append(row))
        paths = list(paths)
        twice = _two_results(result for path in paths for result in read_results(path, about))
        for name, outcome in (result for path in paths for result in read_results(path, about)):
            key = read_request_id(name)
            if isinstance(outcome, str):
                intake.n["broken"] += 1
                intake.said, intake.known = outcome, False
            elif key is None or key[0] != self.tag:
                intake.n["foreign"] += 1
            elif name not in twice and key not in intake.seen:
                intake.seen.add(key)
                job = Job(key[2], key[1], Prompt(()), tries=1)
                if isinstance(outcome, Answer):
                    cost = outcomes.answered(job, outcome)
                    intake.cost_usd += cost or 0.0
                    intake.known &= cost is not None
                    intake.n["replies"] += 1
                else:
                    outcomes.failed(job, outcome)
                    intake.n["failed"] += 1
                    intake.said = outcome.sentence
                    intake.known &= not outcome.may_cost
                if len(rows) >= _ROWS:
                    self.store.add([(self.number, row) for row in rows])
                    rows.clear()
        outcomes.finish(endpoint_works=True)
        self.store.add([(self.number, row) for row in rows])
        if ours := [key for key in map(read_request_id, twice) if key and key[0] == self.tag]:
            intake.n["twice"] = len(ours)
            numbers = {"n": len(ours), "example": self._example(ours[-1][2])}
            self.column.notes.append(Note("two results", numbers))
        return intake

    def _example(self, wanted: bytes) -> str:
        """Return the id of an example by its hash."""
        pool = self.session.plan.pool
        for start, hashes in iter_hashes(pool):
            if wanted in hashes:
                return shown(pool[start + hashes.index(wanted)].id)
        return "that is not in the pool"

    def _left(self, *, sent: bool) -> list["Batch"]:
        """Return the batches of this setup that are not done with: those sent, or half sent."""
        return [
            one
            for one in self.folder.load()
            if one.tag == self.tag and not one.collected and (one.batch_id is not None) == sent
        ]

    def _recover(self, client: "BatchClient") -> None:
        """Find what a process that ended had begun to send here, so that nothing is sent twice.

        What never became a batch is missing, and sent as all else that is.
        """
        for batch in self._left(sent=False):
            if batch.endpoint in (None, self.rater.endpoint):
                if (found := client.find(batch.token)) is not None:
                    self.folder.update(batch, batch_id=found)
                else:
                    self._close(batch)
        known = [self.folder.requests(one.token) for one in self.folder.load() if not one.collected]
        for path in set(self.folder.path.glob("*.jsonl")) - set(known):
            path.unlink(missing_ok=True)

    def _send(self, client: "BatchClient", batch: "Batch") -> None:
        try:
            file_id = client.upload(self.folder.requests(batch.token))
            self.folder.update(batch, batch_id=client.create(file_id, batch.token))
        except InputError:  # refused: there is no such batch
            self._close(batch)
            raise

    def _close(self, batch: "Batch", left_usd: float = 0.0, over: float = 0.0) -> None:
        """Be done with a batch that cost ``left_usd`` beside its replies, ``over`` × the most."""
        model = self.setup.model
        self.store.add(
            settled={batch.reserved(model).number: left_usd},
            learned={model: over * self.store.factor(model)} if over > 1 else {},
        )
        self.folder.update(batch, collected=True)
        self.folder.requests(batch.token).unlink(missing_ok=True)

    def _collect(self, client: "BatchClient", batch: "Batch", status: "BatchStatus") -> None:
        """Bring the results of a batch that has ended into the store."""
        folder = self.folder.path
        paths = [folder / f"results-{batch.token}-{n}.jsonl" for n in range(len(status.files))]
        for path, file_id in zip(paths, status.files, strict=True):
            client.download(file_id, path)
        intake = self.ingest(paths)
        self.collected += intake.n["replies"] + intake.n["failed"]
        known = intake.known and len(intake.seen) >= batch.n  # a line that is missing was billed
        left_usd = 0.0 if known else max(0.0, batch.most_usd - intake.cost_usd)
        over = intake.cost_usd / batch.most_usd if batch.most_usd else 0.0
        self._close(batch, left_usd, over)
        for path in paths:
            path.unlink(missing_ok=True)
        never = self.store.totals(self.number)["requests"] == 0
        if status.status == "failed" or (never and status.status != "expired"):
            why = status.errors or intake.said or f"its status is {status.status}."
            raise RunError(
                f"The batch {batch.batch_id} of {batch.n:,} requests brought no reply: {why} "
                "Correct what it says, then do the same again."
            )


# -- what is known of each batch ------------------------------------------------------------------

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch.

    It carries ``token``, random text, as metadata, so that it can be found again; ``tag`` is of the
    setup, see `setup_tag`; ``most_usd`` is 0 where no price is known. ``endpoint`` is where it was
    sent, ``batch_id`` what it is called there: None until that is known. ``collected``: every
    result is in the store, or there is no such batch. ``at`` is when it was sent, seconds since
    1970.
    """

    token: str
    tag: str
    n: int
    most_usd: float = 0.0
    endpoint: str | None = None
    batch_id: str | None = None
    collected: bool = False
    at: float = 0.0

    def reserved(self, model: str) -> Reserved:
        """Return what is set aside for it in the store."""
        return Reserved(int(self.token, 16) >> 2, model, 0, 0, self.most_usd)


class BatchFolder:
    """The folder of one store's batches: ``batches.json`` and the requests of those not collected.

    Use it while the store is locked: two processes that send batches would send everything twice.
    """

    def __init__(self, store: Path) -> None:
        self.path = store.with_name(f"{store.name}.batches")
        with explain_write_errors(self.path):
            self.path.mkdir(exist_ok=True)
        sweep(self.path)
        self._state = self.path / "batches.json"

    def requests(self, token: str) -> Path:
        """Return the file of a batch's requests."""
        return self.path / f"requests-{token}.jsonl"

    def load(self) -> tuple[Batch, ...]:
        """Return every batch, oldest first.

        Raises:
            InputError: the file was changed by hand, or written by a later version of ds2.
        """
        try:
            raw = json.loads(self._state.read_text("utf-8"))
            if raw["version"] != _VERSION:
                raise ValueError(raw["version"])
            for one in raw["batches"]:
                one.pop("file_id", None)  # earlier versions wrote it
            return tuple(Batch(**one) for one in raw["batches"])
        except FileNotFoundError:
            return ()
        except (AttributeError, KeyError, TypeError, ValueError):
            raise InputError(
                f"{shown_path(self._state)} is no list of batches of this version of ds2. If it "
                "was changed by hand, restore it: it knows what was sent and is paid for."
            ) from None

    def update(self, batch: Batch, **changes: object) -> Batch:
        """Write a batch with some attributes changed, or a new one, and return it."""
        changed = replace(batch, **changes)  # type: ignore[arg-type]
        others = [one for one in self.load() if one.token != batch.token]
        batches = sorted([*others, changed], key=lambda one: (one.at, one.token))
        raw = {"version": _VERSION, "batches": [asdict(one) for one in batches]}
        with writing(self._state) as temporary:
            temporary.write_text(json.dumps(raw, indent=1), "utf-8")
        return changed


# -- the endpoint's side --------------------------------------------------------------------------

_ENDPOINT = "/v1/chat/completions"
#: Statuses of a batch that has ended, in the words of several providers. What has any other is
#: still at work: to take it for ended would send, and pay for, everything again.
_DONE = ("completed", "succeeded", "success", "done", "ended", "finished")
_ENDED = (*_DONE, "failed", "error", "expired", "timeout_exceeded", "cancelled", "canceled")
_LABEL = "ds2"
_RECENT, _TRIES = 500, 5
#: The most bytes of a file of results.
_LARGEST_FILE = 4_000_000_000
P = ParamSpec("P")
T = TypeVar("T")


def _name(given: object) -> str:
    """Return what an endpoint calls a file or a batch: part of addresses and of messages."""
    if not isinstance(given, str) or not re.fullmatch(r"[\w.:@-]{1,200}", given, re.ASCII):
        raise ValueError("a name that is none")
    return given


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """What the endpoint says of a batch, in its own words; ``status`` in lower case.

    ``n_done`` requests have an outcome; ``files`` are those of results, the one with errors last;
    ``errors`` says why the batch as a whole was refused.
    """

    status: str
    n_done: int
    files: tuple[str, ...]
    errors: str

    @property
    def open(self) -> bool:
        """Whether it is still going on."""
        return self.status not in _ENDED


def _explained(
    method: Callable[Concatenate["BatchClient", P], T],
) -> Callable[Concatenate["BatchClient", P], T]:
    """Make every failure of a method one sentence without a secret."""

    @wraps(method)
    def call(self: "BatchClient", /, *arguments: P.args, **keywords: P.kwargs) -> T:
        try:
            return method(self, *arguments, **keywords)
        except OSError:
            raise
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            failure = no_batches(self.about, error)
        except Exception as error:
            failure = explain(error, self.about)
        # Outside the handler, so that the client's exception, which holds the key, is not kept.
        if failure.reason == "no such model":
            raise InputError(
                f"The endpoint {self.about.endpoint} has no batches, or not this one (it answered "
                "404). Ask it with ChatRater, or write the requests and have them run elsewhere."
            )
        if failure.retryable:
            raise RunError(f"{failure.sentence} What was sent and received so far is kept.")
        raise InputError(failure.sentence)

    return call


class BatchClient:
    """Sends files and asks about batches."""

    def __init__(self, model: str, key: str, base_url: str | None, timeout_s: float) -> None:
        if find_spec("openai") is None:
            raise MissingDependencyError("openai", "BatchRater")
        self.about, self._key = Target(model, address_of(base_url), key), key
        self._api: Any = openai_client(key, base_url, timeout_s=timeout_s, tries=_TRIES)

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    @_explained
    def upload(self, path: Path) -> str:
        """Send a file of requests and return its id."""
        with path.open("rb") as file:
            return _name(self._api.files.create(file=(path.name, file), purpose="batch").id)

    @_explained
    def create(self, file_id: str, token: str) -> str:
        """Start a batch that carries ``token`` and return its id."""
        batch = self._api.batches.create(
            input_file_id=file_id,
            endpoint=_ENDPOINT,
            completion_window="24h",
            metadata={_LABEL: token},
        )
        return _name(batch.id)

    @_explained
    def find(self, token: str) -> str | None:
        """Return the id of the batch that carries ``token``, among the newest ones."""
        for batch in islice(self._api.batches.list(limit=100), _RECENT):
            if (batch.metadata or {}).get(_LABEL) == token:
                return _name(batch.id)
        return None

    @_explained
    def status(self, batch_id: str) -> BatchStatus:
        """Ask about a batch."""
        batch = self._api.batches.retrieve(batch_id)
        done = [getattr(batch.request_counts, name, 0) for name in ("completed", "failed")]
        said = [str(error.message) for error in (batch.errors and batch.errors.data) or ()]
        return BatchStatus(
            status=clean(str(batch.status), self._key).lower(),
            n_done=sum(one for one in done if isinstance(one, int)),
            files=tuple(_name(one) for one in (batch.output_file_id, batch.error_file_id) if one),
            errors=clean("; ".join(said), self._key),
        )

    def download(self, file_id: str, path: Path) -> None:
        """Write a file of results, complete or not at all, as it comes: it may be a packed bomb."""
        with writing(path) as temporary, temporary.open("wb") as file:
            self._receive(file_id, file)

    @_explained
    def _receive(self, file_id: str, file: IO[bytes]) -> None:
        line = b""
        with self._api.files.with_streaming_response.content(file_id) as reply:
            for part in reply.iter_bytes():
                whole, end, rest = part.rpartition(b"\n")
                if end or len(line) > _LONGEST_LINE:
                    file.write(masked(line + whole + end, self._key))
                line = rest if end or len(line) > _LONGEST_LINE else line + rest
                if file.tell() > _LARGEST_FILE:
                    raise ValueError("the file is too large")
        file.write(masked(line, self._key))


# -- files: one request a line out, one result a line back ----------------------------------------

_ID = re.compile(r"([0-9a-f]{12})-([01])-([A-Za-z0-9_-]{43})")
_EXPIRED = ("batch_expired", "batch_cancelled")
#: A line that is longer is no request and no result.
_LONGEST_LINE = 32_000_000


def setup_tag(setup: Setup) -> str:
    """Return 12 characters that stand for a setup's key."""
    return hashlib.sha256("\n".join(setup.key).encode()).hexdigest()[:12]


def request_id(tag: str, repeat: int, example: bytes) -> str:
    """Return the id of a request, 58 characters that every provider takes."""
    return f"{tag}-{repeat}-{base64.urlsafe_b64encode(example).decode().rstrip('=')}"


def read_request_id(text: object) -> tuple[str, int, bytes] | None:
    """Return the setup's tag, the repeat and the example's hash; None where it is no id of ours."""
    found = _ID.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    return found[1], int(found[2]), base64.urlsafe_b64decode(found[3] + "=")


Outcome: TypeAlias = Answer | Failure


def _two_results(results: Iterable[tuple[object, Outcome | str]]) -> set[object]:
    """Return the ids that have two results which differ."""
    said, twice = dict[object, int](), set[object]()
    for name, outcome in results:
        if isinstance(name, str) and not isinstance(outcome, str):
            told = outcome if isinstance(outcome, Answer) else (outcome.reason, outcome.sentence)
            if said.setdefault(name, seen := hash(repr(told))) != seen:
                twice.add(name)
    return twice


def read_results(path: Path, about: Target) -> Iterator[tuple[object, Outcome | str]]:
    """Yield the id and the outcome of every line of a file of results.

    A line that is no result, cut off perhaps, costs that line alone: its outcome is what is wrong
    with it, and its request is missing and asked again.

    Raises:
        InputError: the file cannot be read.
    """
    for number, row in _rows(path):
        where = f"{shown_path(path)}, line {number:,}"
        if row is None:
            yield None, f"{where}: not a JSON object. If the file was cut off, get it again."
        elif "custom_id" in row and {"response", "error"} & set(row):
            yield row["custom_id"], _outcome(row, about)
        else:
            said = f"{where}: no result of a batch (it has no custom_id, or neither a response nor "
            yield None, f"{said}an error). Name the output file of the batch."


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Yield the number of every line and its object, None where it holds none."""
    check_readable(path)
    number, whole = 1, True
    with path.open("rb") as file:
        while line := file.readline(_LONGEST_LINE):
            ended = line.endswith(b"\n")
            if whole and not line.isspace():
                yield number, _row(line) if ended or len(line) < _LONGEST_LINE else None
            whole, number = ended, number + ended


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _outcome(row: Mapping[str, Any], about: Target) -> Outcome:
    error, response = row.get("error"), row.get("response")
    if not isinstance(response, dict):
        code = error.get("code") if isinstance(error, dict) else None
        if code in _EXPIRED:
            said = "The batch ended before the request's turn."
            return Failure("timed out", said, retryable=True)
        inner = error.get("error", error) if isinstance(error, dict) else error
        told = inner.get("message", "") if isinstance(inner, dict) else inner
        return Failure("server error", f"The batch says: {shown(str(told), 200)}.", retryable=True)
    status, body = response.get("status_code"), response.get("body")
    if status != 200:
        code = status if type(status) is int else 500
        return refusal(code, body, {}, about)
    try:
        return read_body(json.dumps(body).encode(), 0.0, about)
    except Failure as failure:
        return failure
