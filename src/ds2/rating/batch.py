"""A pool rated in batches: cheaper, and within a day, over any number of days and processes.

The id of a request is the key of the store: setup, repeat and example. So a file of results tells
by itself where each reply belongs, whoever ran it and however long ago.
"""

import base64
import binascii
import hashlib
import json
import re
import secrets
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ds2.atomic import explain_write_errors, sweep, writing
from ds2.checks import check_choice, check_fraction, check_int, check_positive
from ds2.endpoints import address_of, is_openai, masked, openai_client, read_key
from ds2.errors import Ds2Warning, InputError, MissingDependencyError, RunError
from ds2.pool import Pool
from ds2.pool.files import check_readable
from ds2.pool.wording import shown, shown_path
from ds2.rating.loop import Job, Outcomes, Tally, iter_hashes, iter_jobs, plan_jobs, still_missing
from ds2.rating.prices import Budget, Price, read_prices, request_tokens, unknown_price
from ds2.rating.prompt import FORMS, Prompt, PromptBuilder
from ds2.rating.rate import assemble, writable_store
from ds2.rating.rater import Answer, Failure
from ds2.rating.ratings import Ratings
from ds2.rating.rubric import Rubric
from ds2.rating.store import Reserved, Row, Setup, Store
from ds2.rating.wire import Dialect, explain, read_body, refusal

__all__ = [
    "ENDPOINT",
    "Batch",
    "BatchClient",
    "BatchFolder",
    "BatchPlan",
    "BatchProgress",
    "BatchRater",
    "BatchStatus",
    "Batches",
    "Intake",
    "Shape",
    "ingest",
    "read_ids",
    "read_request_id",
    "read_results",
    "request_id",
    "request_line",
    "run_batches",
    "setup_tag",
    "write_batches",
    "write_files",
]

ENDPOINT = "/v1/chat/completions"
_ID = re.compile(r"([0-9a-f]{12})-([01])-([A-Za-z0-9_-]{43})")
_EXPIRED = ("batch_expired", "batch_cancelled")


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
    try:
        return found[1], int(found[2]), base64.urlsafe_b64decode(found[3] + "=")
    except binascii.Error:
        return None


def request_line(name: str, body: Mapping[str, object]) -> bytes:
    """Return one line of a file of requests."""
    row = {"custom_id": name, "method": "POST", "url": ENDPOINT, "body": body}
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def read_ids(path: Path) -> Iterator[str]:
    """Yield the ids of a file of requests or results."""
    for _, row in _rows(path):
        if row is not None and isinstance(row.get("custom_id"), str):
            yield row["custom_id"]


def read_results(
    path: Path, *, model: str, endpoint: str
) -> Iterator[tuple[object, Answer | Failure | str]]:
    """Yield the id and the outcome of every line of a file of results.

    A line that is no result, cut off perhaps, costs that line alone: its outcome is what is wrong
    with it, and its request is missing and asked again.

    Args:
        path: what the endpoint wrote.
        model: for messages.
        endpoint: for messages.

    Raises:
        InputError: the file cannot be read.
    """
    for number, row in _rows(path):
        where = f"{shown_path(path)}, line {number:,}"
        if row is None:
            yield None, f"{where}: not a JSON object. If the file was cut off, get it again."
        elif "custom_id" not in row or not {"response", "error"} & set(row):
            yield (
                None,
                f"{where}: no result of a batch (it has no custom_id, or neither a response nor an "
                "error). Name the output file of the batch.",
            )
        else:
            yield row["custom_id"], _outcome(row, model, endpoint)


#: A line that is longer is no request and no result.
_LONGEST_LINE = 32_000_000


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


def _outcome(row: Mapping[str, Any], model: str, endpoint: str) -> Answer | Failure:
    error, response = row.get("error"), row.get("response")
    if not isinstance(response, dict):
        code = error.get("code") if isinstance(error, dict) else None
        if code in _EXPIRED:
            said = "The batch ended before the request's turn."
            return Failure("timed out", said, retryable=True)
        said = f"The batch says: {shown(_said(error), 200)}."
        return Failure("server error", said, retryable=True)
    status, body = response.get("status_code"), response.get("body")
    if status != 200:
        code = status if type(status) is int else 500
        return refusal(code, body, {}, model=model, endpoint=endpoint, key=None)
    try:
        return read_body(json.dumps(body).encode(), 0.0)
    except Exception:  # whatever the reply's body is, it is no completion
        said = "The reply is no chat completion."
        return Failure("server error", said, retryable=True, may_cost=True)


def _said(body: object) -> str:
    """Return the message inside an error, whatever its form."""
    inner = body.get("error", body) if isinstance(body, dict) else body
    said = inner.get("message", "") if isinstance(inner, dict) else inner
    return str(said)


_OPEN = ("validating", "in_progress", "finalizing", "cancelling")
_LABEL = "ds2"
_RECENT = 500
_TRIES = 5


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """What the endpoint says of a batch.

    Attributes:
        batch_id: its name.
        status: in the endpoint's words.
        n_done: requests that have an outcome.
        outputs: the files of results, those with errors last.
        errors: why the batch as a whole was refused.
    """

    batch_id: str
    status: str
    n_done: int
    outputs: tuple[str, ...]
    errors: str

    @property
    def open(self) -> bool:
        """Whether it is still going on."""
        return self.status in _OPEN


class BatchClient:
    """Sends files and asks about batches; every failure is one sentence without a secret.

    Args:
        model: for messages.
        base_url: the endpoint; None is OpenAI's own.
        key: of the endpoint.
        timeout_s: the longest wait for one reply; a file takes as long as it takes.
    """

    def __init__(self, *, model: str, base_url: str | None, key: str, timeout_s: float) -> None:
        if find_spec("openai") is None:
            raise MissingDependencyError("openai", "BatchRater")
        self._model, self._key = model, key
        self.endpoint = address_of(base_url)
        self._api: Any = openai_client(key, base_url, timeout_s=timeout_s, tries=_TRIES)

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def upload(self, path: Path) -> str:
        """Send a file of requests and return its id."""
        with path.open("rb") as file:
            sent = self._call(self._api.files.create, file=(path.name, file), purpose="batch")
        return str(sent.id)

    def create(self, file_id: str, token: str) -> str:
        """Start a batch that carries ``token`` and return its id."""
        batch = self._call(
            self._api.batches.create,
            input_file_id=file_id,
            endpoint=ENDPOINT,
            completion_window="24h",
            metadata={_LABEL: token},
        )
        return str(batch.id)

    def find(self, token: str) -> str | None:
        """Return the id of the batch that carries ``token``, among the newest ones."""
        pages = self._call(self._api.batches.list, limit=100)
        for batch in islice(pages, _RECENT):
            if (batch.metadata or {}).get(_LABEL) == token:
                return str(batch.id)
        return None

    def status(self, batch_id: str) -> BatchStatus:
        """Ask about a batch."""
        batch = self._call(self._api.batches.retrieve, batch_id)
        counts = batch.request_counts
        said = [str(error.message) for error in (batch.errors.data if batch.errors else None) or ()]
        return BatchStatus(
            batch_id=batch_id,
            status=str(batch.status),
            n_done=(counts.completed or 0) + (counts.failed or 0) if counts else 0,
            outputs=tuple(filter(None, (batch.output_file_id, batch.error_file_id))),
            errors="".join(c if c.isprintable() else " " for c in "; ".join(said))[:300],
        )

    def download(self, file_id: str, path: Path) -> None:
        """Write a file of results, complete or not at all."""
        reply = self._call(self._api.files.content, file_id)
        with writing(path) as temporary:
            temporary.write_bytes(masked(reply.content, self._key))

    def _call(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except Exception as error:
            failure = explain(error, model=self._model, endpoint=self.endpoint, key=self._key)
        # Outside the handler, so that the client's exception, which holds the key, is not kept.
        if failure.reason == "no such model":
            raise InputError(
                f"The endpoint {self.endpoint} has no batches, or not this one (it answered 404). "
                "Ask it with ChatRater, or write the requests and have them run elsewhere."
            )
        if failure.retryable:
            raise RunError(f"{failure.sentence} What was sent and received so far is kept.")
        raise InputError(failure.sentence)


_VERSION = 1


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch.

    Attributes:
        token: random text that the batch carries as metadata, so that it can be found again.
        tag: of the setup, see `setup_tag`.
        n: requests in it.
        most_usd: what it can cost at most, 0 where no price is known.
        batch_id: as the endpoint calls it; None until it said so.
        file_id: of the requests, as the endpoint calls them.
        collected: every result is in the store.
        at: when it was sent, seconds since 1970.
    """

    token: str
    tag: str
    n: int
    most_usd: float = 0.0
    batch_id: str | None = None
    file_id: str | None = None
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

    def requests(self, batch: Batch) -> Path:
        """Return the file of a batch's requests."""
        return self.path / f"requests-{batch.token}.jsonl"

    def load(self) -> tuple[Batch, ...]:
        """Return every batch, oldest first.

        Raises:
            InputError: the file was changed by hand, or written by a later version of ds2.
        """
        try:
            raw = json.loads(self._state.read_text("utf-8"))
            if raw["version"] != _VERSION:
                raise ValueError(raw["version"])
            return tuple(Batch(**one) for one in raw["batches"])
        except FileNotFoundError:
            return ()
        except (KeyError, TypeError, ValueError):
            raise InputError(
                f"{shown_path(self._state)} is no list of batches of this version of ds2. If it "
                "was changed by hand, restore it: it knows what was sent and is paid for."
            ) from None

    def save(self, batches: Sequence[Batch]) -> None:
        """Write the list of batches, complete or not at all."""
        raw = {"version": _VERSION, "batches": [asdict(batch) for batch in batches]}
        with writing(self._state) as temporary:
            temporary.write_text(json.dumps(raw, indent=1), "utf-8")

    def update(self, batch: Batch, **changes: object) -> Batch:
        """Write a batch with some attributes changed, or a new one, and return it."""
        changed = replace(batch, **changes)  # type: ignore[arg-type]
        others = [one for one in self.load() if one.token != batch.token]
        self.save(sorted([*others, changed], key=lambda one: (one.at, one.token)))
        return changed

    @staticmethod
    def new_token() -> str:
        """Return a token that no other batch has."""
        return secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What is asked, of whom, and where the replies go.

    Attributes:
        pool: the examples.
        builder: makes the prompts.
        setup: who is asked, and how.
        store: an open store.
        number: of the setup, in the store.
        price: of the model in batches; None where unknown.
        body: job → the body of its request.
        missing: what the store has no outcome for yet, as `plan_jobs` numbers it.
        spent_usd: what all requests of the store have cost, or may have.
    """

    pool: Pool
    builder: PromptBuilder
    setup: Setup
    store: Store
    number: int
    price: Price | None
    body: Callable[[Job], dict[str, object]]
    missing: Callable[[], np.ndarray]
    spent_usd: Callable[[], float] = lambda: 0.0


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a batch may be, and what a request can cost.

    Attributes:
        max_requests: requests in one batch.
        max_bytes: of one file.
        max_output_tokens: the most that a reply can have.
    """

    max_requests: int
    max_bytes: int
    max_output_tokens: int


def write_files(plan: BatchPlan, shape: Shape, path: Path) -> list[Path]:
    """Write the missing requests for somebody else to run, to NAME-1.jsonl, NAME-2.jsonl and on."""
    written: list[Path] = []
    lines = _lines(plan, Budget(None), plan.missing())
    line = next(lines, None)
    while line is not None:
        place = path.with_name(f"{path.name}-{len(written) + 1}.jsonl")
        line, _, _ = _write_one(place, line, lines, shape)
        written.append(place)
    return written


def _lines(plan: BatchPlan, budget: Budget, codes: np.ndarray) -> Iterator[tuple[bytes, float]]:
    """Yield requests and the most that each can cost, until the budget ends."""
    tag, settings = setup_tag(plan.setup), plan.setup.settings
    factor, schema = plan.store.factor(plan.setup.model), plan.builder.rubric.json_schema()
    for jobs in iter_jobs(codes, plan.pool, plan.builder):
        for job in jobs:
            most_usd = 0.0
            if plan.price is not None:
                tokens = request_tokens(job.prompt.messages, settings, schema)
                most_usd = factor * (plan.price.cost_usd(*tokens) or 0.0)
            if not budget.reserve(most_usd):
                budget.exhausted = True
                return
            name = request_id(tag, job.repeat, job.example)
            yield request_line(name, plan.body(job)), most_usd


def write_batches(
    plan: BatchPlan, folder: BatchFolder, shape: Shape, budget: Budget, codes: np.ndarray
) -> Iterator[Batch]:
    """Write the requests of one batch after the other, each known before it can be sent."""
    lines = _lines(plan, budget, codes)
    line = next(lines, None)
    while line is not None:
        batch = Batch(folder.new_token(), setup_tag(plan.setup), 0, at=time.time())
        line, n, most_usd = _write_one(folder.requests(batch), line, lines, shape)
        yield folder.update(batch, n=n, most_usd=most_usd)


def _write_one(
    path: Path, line: tuple[bytes, float] | None, lines: Iterator[tuple[bytes, float]], shape: Shape
) -> tuple[tuple[bytes, float] | None, int, float]:
    """Write as many lines as a file may hold; return the next line, the count and the cost."""
    n = size = 0
    most_usd = 0.0
    with writing(path) as temporary, temporary.open("wb") as file:
        while line is not None and n < shape.max_requests:
            if size + len(line[0]) > shape.max_bytes:
                if n:
                    break
                raise InputError(
                    f"A request for {shown_path(path)} has {len(line[0]):,} bytes, more than a "
                    f"batch may hold ({shape.max_bytes:,}). Shorten the prompts with max_tokens."
                )
            file.write(line[0])
            n, size, most_usd = n + 1, size + len(line[0]), most_usd + line[1]
            line = next(lines, None)
    return line, n, most_usd


#: Rows of one commit.
_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Intake:
    """What came of files of results.

    Attributes:
        n_replies: replies that came into the store.
        n_failed: requests of this setup that have no reply.
        n_foreign: results of other setups, which were left alone.
        n_broken: lines that are no results; their requests are missing.
        cost_usd: of the replies, as far as known.
        known: whether all of it is known.
        said: what the last failure said; None where there was none.
    """

    n_replies: int
    n_failed: int
    n_foreign: int
    n_broken: int
    cost_usd: float
    known: bool
    said: str | None


def ingest(plan: BatchPlan, paths: Iterable[Path], *, endpoint: str) -> Intake:
    """Read files of results into the store.

    Raises:
        InputError: a file cannot be read.
    """
    tag, rows = setup_tag(plan.setup), list[Row]()
    tally = Tally(plan.setup.rater, total=0, earlier=0, price=plan.price, now=time.monotonic)
    rubric, form = plan.builder.rubric, plan.setup.form
    outcomes = Outcomes(rubric, form, keep=lambda row, _: rows.append(row.sound()), tally=tally)
    n_replies = n_failed = n_foreign = n_broken = 0
    cost_usd, known, said = 0.0, True, None
    for path in paths:
        for name, outcome in read_results(path, model=plan.setup.model, endpoint=endpoint):
            if isinstance(outcome, str):
                n_broken, said, known = n_broken + 1, outcome, False
                continue
            key = read_request_id(name)
            if key is None or key[0] != tag:
                n_foreign += 1
                continue
            job = Job(key[2], key[1], Prompt(()), tries=1)
            if isinstance(outcome, Answer):
                cost = outcomes.answered(job, outcome)
                cost_usd, known = cost_usd + (cost or 0.0), known and cost is not None
                n_replies += 1
            else:
                outcomes.failed(job, outcome)
                n_failed, said = n_failed + 1, outcome.sentence
                known = known and not outcome.may_cost
            if len(rows) >= _ROWS:
                _commit(plan, rows)
    outcomes.finish(endpoint_works=True)
    _commit(plan, rows)
    return Intake(n_replies, n_failed, n_foreign, n_broken, cost_usd, known, said)


def _commit(plan: BatchPlan, rows: list[Row]) -> None:
    plan.store.add([(plan.number, row) for row in rows])
    rows.clear()


#: What an endpoint left undone is sent again this many times in one call.
_ROUNDS = 3


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


def run_batches(
    plan: BatchPlan,
    client: BatchClient,
    folder: BatchFolder,
    shape: Shape,
    budget: Budget,
    *,
    wait_s: float | None,
    poll_s: float,
    progress: Callable[[BatchProgress], None] | None = None,
) -> BatchProgress:
    """Collect what is finished, send what is missing, and wait for the rest.

    Args:
        plan: what is asked.
        client: of the endpoint.
        folder: of the store's batches, locked.
        shape: of the batches.
        budget: of the run.
        wait_s: how long to wait; None until everything is there.
        poll_s: seconds between questions.
        progress: is told how far it is after each.
    """
    until = np.inf if wait_s is None else time.monotonic() + wait_s
    tag, collected, rounds = setup_tag(plan.setup), 0, 0
    _recover(client, folder)
    while True:
        n_done = 0
        for batch in _open(folder, tag):
            status = client.status(str(batch.batch_id))
            if status.open:
                n_done += status.n_done
                continue
            intake = _collect(plan, client, folder, batch, status)
            collected += intake.n_replies + intake.n_failed
        codes = _not_in_flight(plan, folder, tag) if rounds < _ROUNDS else np.empty(0, np.int64)
        if len(codes) and not budget.exhausted:
            rounds += 1
            budget.reserved_usd, budget.n_reserved = 0.0, 0
            budget.spent_usd = plan.spent_usd()
            for batch in write_batches(plan, folder, shape, budget, codes):
                plan.store.add(reserved=[batch.reserved(plan.setup.model)])
                _send(client, folder, batch)
        left = _open(folder, tag)
        state = BatchProgress(len(left), sum(batch.n for batch in left), n_done, collected)
        if progress is not None:
            progress(state)
        if not left or time.monotonic() >= until:
            return state
        time.sleep(min(poll_s, max(0.0, until - time.monotonic())))


def _open(folder: BatchFolder, tag: str) -> list[Batch]:
    return [batch for batch in folder.load() if batch.tag == tag and not batch.collected]


def _recover(client: BatchClient, folder: BatchFolder) -> None:
    """Finish sending what a process that ended had begun to send, and send nothing twice."""
    for batch in folder.load():
        if batch.batch_id is None and not batch.collected:
            found = client.find(batch.token)
            if found is not None:
                folder.update(batch, batch_id=found)
            else:
                _send(client, folder, batch)
    known = {folder.requests(batch) for batch in folder.load() if not batch.collected}
    for path in folder.path.glob("*.jsonl"):
        if path not in known:
            path.unlink(missing_ok=True)


def _send(client: BatchClient, folder: BatchFolder, batch: Batch) -> None:
    if batch.file_id is None:
        batch = folder.update(batch, file_id=client.upload(folder.requests(batch)))
    folder.update(batch, batch_id=client.create(str(batch.file_id), batch.token))


def _collect(
    plan: BatchPlan, client: BatchClient, folder: BatchFolder, batch: Batch, status: BatchStatus
) -> Intake:
    """Bring the results of a batch that has ended into the store."""
    paths = [folder.path / f"results-{batch.token}-{n}.jsonl" for n in range(len(status.outputs))]
    for path, file_id in zip(paths, status.outputs, strict=True):
        client.download(file_id, path)
    intake = ingest(plan, paths, endpoint=client.endpoint)
    left_usd = 0.0 if intake.known else max(0.0, batch.most_usd - intake.cost_usd)
    over = intake.cost_usd / batch.most_usd if batch.most_usd else 0.0
    plan.store.add(
        settled={batch.reserved(plan.setup.model).number: left_usd},
        learned={plan.setup.model: over * plan.store.factor(plan.setup.model)} if over > 1 else {},
    )
    folder.update(batch, collected=True)
    for path in (*paths, folder.requests(batch)):
        path.unlink(missing_ok=True)
    never = plan.store.totals(plan.number).n_requests == 0
    if status.status == "failed" or (never and status.status != "expired"):
        why = status.errors or intake.said or f"its status is {status.status}."
        raise RunError(
            f"The batch {batch.batch_id} of {batch.n:,} requests brought no reply: {why} Correct "
            "what it says, then do the same again."
        )
    return intake


def _not_in_flight(plan: BatchPlan, folder: BatchFolder, tag: str) -> np.ndarray:
    """Return what is missing and in no open batch."""
    codes = plan.missing()
    flying = {
        key[1:]
        for batch in _open(folder, tag)
        for name in read_ids(folder.requests(batch))
        if (key := read_request_id(name)) is not None
    }
    if not flying:
        return codes
    there = np.zeros((len(plan.pool), 2), dtype=bool)
    for start, hashes in iter_hashes(plan.pool):
        for row, example in enumerate(hashes, start):
            there[row] = [(0, example) in flying, (1, example) in flying]
    return np.asarray(codes[~there[codes // 2, codes % 2]])


_MOST_REQUESTS = 50_000
_MOST_BYTES = 190_000_000
_LIMITS = ("max_tokens", "max_completion_tokens")


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
        max_requests: int = _MOST_REQUESTS,
        max_bytes: int = _MOST_BYTES,
        timeout_s: float = 600.0,
    ) -> None:
        if not model.strip():
            raise InputError("'model' must be the name of a model. Got an empty one.")
        check_choice("form", form, FORMS)
        if temperature is not None:
            check_positive("temperature", temperature, zero=True)
        check_fraction("price_share", price_share)
        check_positive("timeout_s", timeout_s)
        usual = _LIMITS[is_openai(base_url)]
        limit = check_choice("token_limit", token_limit or usual, _LIMITS)
        self.model, self.name, self.form = model, name or model, form
        self.price_share = price_share
        self.shape = Shape(
            check_int("max_requests", max_requests, low=1),
            check_int("max_bytes", max_bytes, low=1),
            check_int("max_output_tokens", max_output_tokens, low=1),
        )
        self.endpoint = address_of(base_url)
        self._base_url, self._api_key_env, self._timeout_s = base_url, api_key_env, timeout_s
        self._dialect = Dialect(form, limit=limit)
        self._temperature, self._extra, self._variant = temperature, dict(extra or {}), variant

    def __repr__(self) -> str:
        return f"BatchRater({self.model!r}, endpoint={self.endpoint!r}, form={self.form!r})"

    @property
    def settings(self) -> Mapping[str, object]:
        """What can change a reply, as `ChatRater` has it: a batch is only another way to ask."""
        settings: dict[str, object] = {
            "rater": "chat",
            "model": self.model,
            "temperature": self._temperature,
            "max_output_tokens": self.shape.max_output_tokens,
        }
        if self._extra:
            settings["extra"] = self._extra
        if self._variant is not None:
            settings["variant"] = self._variant
        return settings

    def body(self, prompt: Prompt, rubric: Rubric) -> dict[str, object]:
        """Return the body of a request."""
        body = self._dialect.body(
            prompt,
            rubric,
            model=self.model,
            temperature=self._temperature,
            max_output_tokens=self.shape.max_output_tokens,
        )
        return body | self._extra

    def client(self) -> BatchClient:
        """Return a client of the endpoint.

        Raises:
            InputError: there is no key.
        """
        key = read_key(self._api_key_env, self._base_url, "BatchRater")
        return BatchClient(
            model=self.model, base_url=self._base_url, key=key, timeout_s=self._timeout_s
        )


class Batches:
    """What one rater is asked about a pool in batches, over any number of days and processes.

    Args:
        pool: the examples. Equal ones are rated once.
        rater: who is asked.
        store: the SQLite file of the replies. The state of the batches is kept beside it.
        rubric: what is asked; None is `Rubric.ds2`.
        repeats: how many random examples are rated a second time.
        nonce: as for `rate`; None takes the store's own.
        seed: of the order and the repeats.
        max_prompt_tokens: examples are shortened in the middle to keep prompts below it.
        count_tokens: the tokens of a text, by the model's tokenizer; None estimates.
        prices: the caller's own, in front of the packaged ones: of requests outside batches.
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
        check_int("repeats", repeats, low=0)
        self._pool, self._rater, self._store = pool, rater, Path(store)
        self._rubric = Rubric.ds2() if rubric is None else rubric
        self._codes = plan_jobs(pool.keys, seed=seed, repeats=repeats)
        self._nonce, self._retry_failed = nonce, retry_failed
        self._max_tokens, self._count_tokens = max_prompt_tokens, count_tokens
        self._prices = read_prices(prices)
        price = self._prices.price(rater.model)
        self._price = None if price is None else _reduced(price, rater.price_share)

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
        with self._opened() as plan:
            budget = self._budget(plan, max_cost_usd)
            client = self._rater.client()
            try:
                state = run_batches(
                    plan,
                    client,
                    BatchFolder(self._store),
                    self._rater.shape,
                    budget,
                    wait_s=wait_s,
                    poll_s=poll_s,
                    progress=progress,
                )
            finally:
                client.close()
            ratings = self._ratings(
                plan, self._said(state, budget), ended=budget.exhausted or state.n_open > 0
            )
            return replace(ratings, usage={**ratings.usage, "in_flight": state.n_in_flight})

    def write(self, path: str | Path) -> list[Path]:
        """Write the missing requests for somebody else to run: PATH-1.jsonl, PATH-2.jsonl and on.

        Nothing is sent, and no key is needed. Bring the results in with `collect`.

        Raises:
            InputError: a file cannot be written, or nothing is missing.
        """
        with self._opened() as plan:
            written = write_files(plan, self._rater.shape, Path(path))
        if not written:
            raise InputError(f"Nothing is missing in {shown_path(self._store)}: all was asked.")
        return written

    def collect(self, files: Sequence[str | Path]) -> Ratings:
        """Bring files of results into the store, whoever ran the requests, and return the ratings.

        Raises:
            InputError: a file cannot be read, or holds no result of this rater and rubric.
        """
        paths = [Path(file) for file in files]
        with self._opened() as plan:
            intake = ingest(plan, paths, endpoint=self._rater.endpoint)
            if intake.n_broken and intake.n_replies + intake.n_failed == 0:
                raise InputError(str(intake.said))
            if intake.n_replies + intake.n_failed == 0:
                raise InputError(
                    f"{', '.join(map(shown_path, paths))}: none of {intake.n_foreign:,} results is "
                    f"of {shown(self._rater.name)} with this rubric and these settings. Use the "
                    "settings that the requests were written with."
                )
            return self._ratings(plan, _told(intake))

    @contextmanager
    def _opened(self) -> Iterator[BatchPlan]:
        rater, rubric = self._rater, self._rubric
        with writable_store(self._store) as path, Store(path) as store:
            store.check()
            nonce = self._nonce or store.fact("nonce", secrets.token_hex(16))
            builder = PromptBuilder(
                rubric,
                nonce,
                rater.form,
                max_tokens=self._max_tokens,
                count_tokens=self._count_tokens,
            )
            setup = Setup(
                rater.name, rater.model, rater.form, rater.settings, rubric.hash, builder.hash
            )
            number = store.open_setup(setup)
            for batch in BatchFolder(path).load():
                if not batch.collected:
                    store.add(reserved=[batch.reserved(rater.model)])
            yield BatchPlan(
                pool=self._pool,
                builder=builder,
                setup=setup,
                store=store,
                number=number,
                price=self._price,
                body=lambda job: rater.body(job.prompt, rubric),
                missing=lambda: still_missing(
                    self._codes, self._pool, store, number, retry_failed=self._retry_failed
                ),
                spent_usd=lambda: store.spent(self._prices.price),
            )

    def _budget(self, plan: BatchPlan, max_usd: float | None) -> Budget:
        if max_usd is None:
            return Budget(None)
        check_positive("max_cost_usd", max_usd, zero=True)
        if self._price is None:
            raise unknown_price(plan.setup.model, plan.setup.rater)
        return Budget(max_usd, plan.spent_usd())

    def _said(self, state: BatchProgress, budget: Budget) -> list[str]:
        said = []
        if state.n_open:
            said.append(
                f"{state.n_in_flight:,} requests of {shown(self._rater.name)} are in "
                f"{state.n_open:,} batches that are still going on. Do the same again later; "
                "nothing is sent twice."
            )
        if budget.exhausted:
            said.append(
                f"max_cost_usd = {budget.max_usd:g} stopped the sending: a further request could "
                "have exceeded it. What was rated is a random sample of the pool."
            )
        return said

    def _ratings(self, plan: BatchPlan, said: list[str], *, ended: bool = False) -> Ratings:
        for sentence in said:
            warnings.warn(sentence, Ds2Warning, stacklevel=3)
        return assemble(
            self._pool,
            plan.store,
            plan.number,
            plan.setup,
            rubric=self._rubric,
            warnings=said,
            ended=ended,
        )


def _reduced(price: Price, share: float) -> Price:
    cached = None if price.cached is None else price.cached * share
    return replace(price, input=price.input * share, output=price.output * share, cached=cached)


def _told(intake: Intake) -> list[str]:
    said = []
    if intake.n_foreign:
        said.append(f"{intake.n_foreign:,} results are of other settings and were left alone.")
    if intake.n_broken:
        said.append(
            f"{intake.n_broken:,} lines are no results; what they were about is still missing. The "
            f"last: {intake.said}"
        )
    if intake.n_failed:
        said.append(f"{intake.n_failed:,} requests have no reply; the last: {intake.said}")
    return said
