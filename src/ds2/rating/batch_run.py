"""Batches of one rater: written, sent, asked about, and collected into the store."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ds2.atomic import writing
from ds2.errors import InputError, RunError
from ds2.pool import Pool
from ds2.pool.wording import shown_path
from ds2.rating.batch_client import BatchClient, BatchStatus
from ds2.rating.batch_files import (
    read_ids,
    read_request_id,
    read_results,
    request_id,
    request_line,
    setup_tag,
)
from ds2.rating.batch_state import Batch, BatchFolder
from ds2.rating.jobs import Job, iter_hashes, iter_jobs
from ds2.rating.money import Budget, Price, most_input_tokens
from ds2.rating.outcomes import Outcomes
from ds2.rating.progress import Tally
from ds2.rating.prompt import Prompt, PromptBuilder
from ds2.rating.rater import Answer
from ds2.rating.rows import Row, Setup
from ds2.rating.store import Store

__all__ = ["BatchPlan", "BatchProgress", "Intake", "Shape", "ingest", "run_batches", "write_files"]

#: What an endpoint left undone is sent again this many times in one call.
_ROUNDS = 3
_ROWS = 1000


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
    """

    pool: Pool
    builder: PromptBuilder
    setup: Setup
    store: Store
    number: int
    price: Price | None
    body: Callable[[Job], dict[str, object]]
    missing: Callable[[], np.ndarray]


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
        budget: of the run. What open batches can cost at most counts as set aside.
        wait_s: how long to wait; None until everything is there.
        poll_s: seconds between questions.
        progress: is told how far it is after each.
    """
    until = np.inf if wait_s is None else time.monotonic() + wait_s
    tag, collected, rounds = setup_tag(plan.setup), 0, 0
    _recover(client, folder)
    for batch in _open(folder, tag):
        budget.reserved_usd += batch.most_usd
    while True:
        n_done = 0
        for batch in _open(folder, tag):
            status = client.status(str(batch.batch_id))
            if status.open:
                n_done += status.n_done
                continue
            intake = _collect(plan, client, folder, batch, status)
            budget.settle(batch.most_usd, intake.cost_usd)
            collected += intake.n_replies + intake.n_failed
        codes = _not_in_flight(plan, folder, tag) if rounds < _ROUNDS else np.empty(0, np.int64)
        if len(codes) and not budget.exhausted:
            rounds += 1
            for batch in _write(plan, folder, shape, budget, codes):
                _send(client, folder, batch)
        left = _open(folder, tag)
        state = BatchProgress(len(left), sum(batch.n for batch in left), n_done, collected)
        if progress is not None:
            progress(state)
        if not left or time.monotonic() >= until:
            return state
        time.sleep(min(poll_s, max(0.0, until - time.monotonic())))


def write_files(plan: BatchPlan, shape: Shape, path: Path) -> list[Path]:
    """Write the missing requests for somebody else to run, to NAME-1.jsonl, NAME-2.jsonl and on."""
    written: list[Path] = []
    lines = _lines(plan, shape, Budget(None), plan.missing())
    line = next(lines, None)
    while line is not None:
        place = path.with_name(f"{path.name}-{len(written) + 1}.jsonl")
        line, _, _ = _write_one(place, line, lines, shape)
        written.append(place)
    return written


@dataclass(frozen=True, slots=True)
class Intake:
    """What came of files of results.

    Attributes:
        n_replies: replies that came into the store.
        n_failed: requests of this setup that have no reply.
        n_foreign: results of other setups, which were left alone.
        cost_usd: of the replies; None where unknown.
        said: what the last failure said; None where there was none.
    """

    n_replies: int
    n_failed: int
    n_foreign: int
    cost_usd: float | None
    said: str | None


def ingest(plan: BatchPlan, paths: Iterable[Path], *, endpoint: str) -> Intake:
    """Read files of results into the store.

    Raises:
        InputError: a file cannot be read, or a line is no result; what stands before is kept.
    """
    tag, rows = setup_tag(plan.setup), list[Row]()
    tally = Tally(plan.setup.rater, total=0, earlier=0, price=plan.price, now=time.monotonic)
    rubric, form = plan.builder.rubric, plan.setup.form
    outcomes = Outcomes(rubric, form, keep=rows.append, tally=tally)
    n_replies = n_failed = n_foreign = 0
    said = None
    for path in paths:
        for name, outcome in read_results(path, model=plan.setup.model, endpoint=endpoint):
            key = read_request_id(name)
            if key is None or key[0] != tag:
                n_foreign += 1
                continue
            job = Job(key[2], key[1], Prompt(()), tries=1)
            if isinstance(outcome, Answer):
                outcomes.answered(job, outcome)
                n_replies += 1
            else:
                outcomes.failed(job, outcome)
                n_failed, said = n_failed + 1, outcome.sentence
            if len(rows) >= _ROWS:
                _commit(plan, rows)
    outcomes.finish(endpoint_works=True)
    _commit(plan, rows)
    return Intake(n_replies, n_failed, n_foreign, tally.read().cost_usd, said)


def _commit(plan: BatchPlan, rows: list[Row]) -> None:
    plan.store.add([(plan.number, row) for row in rows])
    rows.clear()


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


def _lines(
    plan: BatchPlan, shape: Shape, budget: Budget, codes: np.ndarray
) -> Iterator[tuple[bytes, float]]:
    """Yield requests and the most that each can cost, until the budget ends."""
    tag = setup_tag(plan.setup)
    for jobs in iter_jobs(codes, plan.pool, plan.builder):
        for job in jobs:
            most_usd = 0.0
            if budget.max_usd is not None and plan.price is not None:
                n_input = most_input_tokens(job.prompt.messages)
                most_usd = plan.price.cost_usd(n_input, shape.max_output_tokens) or 0.0
            if not budget.reserve(most_usd):
                budget.exhausted = True
                return
            name = request_id(tag, job.repeat, job.example)
            yield request_line(name, plan.body(job)), most_usd


def _write(
    plan: BatchPlan, folder: BatchFolder, shape: Shape, budget: Budget, codes: np.ndarray
) -> Iterator[Batch]:
    """Write the requests of one batch after the other, each known before it can be sent."""
    lines = _lines(plan, shape, budget, codes)
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
