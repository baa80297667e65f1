"""Batches of one rater: sent, asked about, and collected into the store."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ds2.errors import RunError
from ds2.rating.batch_client import BatchClient, BatchStatus
from ds2.rating.batch_files import read_ids, read_request_id, read_results, setup_tag
from ds2.rating.batch_plan import Batch, BatchFolder, BatchPlan, Shape, write_batches
from ds2.rating.jobs import Job, iter_hashes
from ds2.rating.money import Budget
from ds2.rating.outcomes import Outcomes
from ds2.rating.progress import Tally
from ds2.rating.prompt import Prompt
from ds2.rating.rater import Answer
from ds2.rating.rows import Row

__all__ = ["BatchProgress", "Intake", "ingest", "run_batches"]

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
