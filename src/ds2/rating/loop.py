"""The loop of one rater: as many requests in flight as it bears, and no barrier anywhere.

Jobs are read from the pool in random order, block by block; each becomes a row of the store.
"""

import asyncio
import heapq
import itertools
import json
import math
import random
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ds2.keys import random_order_keys
from ds2.pool import Message, Pool
from ds2.rating.limits import LONGEST_WAIT_S, Breaker, Gate, Pace
from ds2.rating.prices import Account, Price, most_input_tokens, request_tokens
from ds2.rating.prompt import Prompt, PromptBuilder
from ds2.rating.rater import Answer, Asked, Failure, Rater
from ds2.rating.ratings import Note
from ds2.rating.reply import read_answer
from ds2.rating.store import FAILED, REPLIED, UNANSWERED, Reserved, Row, Setup, Store, example_hash

__all__ = [
    "Column",
    "Job",
    "Loop",
    "Outcomes",
    "RateProgress",
    "conversations",
    "iter_hashes",
    "iter_jobs",
    "plan_jobs",
    "still_missing",
]

_ORDER, _REPEATED, _REPEATS_ORDER = 11, 12, 13
#: Examples read from the pool at once.
BLOCK = 256
_PASS = 2048


@dataclass(slots=True)
class Column:
    """One rater's part of a run.

    ``number`` is that of the setup in the store, None until something is asked; ``missing`` is what
    is to be asked, as `plan_jobs` returns it; ``notes`` are what the user should know; ``stopped``
    says why the rater was stopped.
    """

    rater: Asked
    builder: PromptBuilder
    setup: Setup
    number: int | None
    missing: np.ndarray
    price: Price | None
    notes: list[Note] = field(default_factory=list)
    stopped: str | None = None


@dataclass(slots=True)
class Job:
    """One request to make: an example, by its hash, and 0, or 1 for its fresh second rating.

    It was sent ``tries`` times; ``refusals`` of those were answered with 429, ``blanks`` with
    nothing. ``away_s`` is when it failed last because the endpoint was away, by the loop's clock.
    """

    example: bytes
    repeat: int
    prompt: Prompt
    tries: int = 0
    refusals: int = 0
    blanks: int = 0
    away_s: float = math.inf


def plan_jobs(keys: np.ndarray, *, seed: int, repeats: int) -> np.ndarray:
    """Return what to ask, in random order: int64, each 2·row + repeat, of (n,) uint64 content keys.

    Of equal examples one is asked about. The order depends on content and seed alone, so that a
    run that stops early has asked about a random sample of the pool; ``repeats`` examples, random
    in the same way, appear twice, all when there are fewer.
    """
    unique, rows = np.unique(keys, return_index=True)
    rows = rows.astype(np.int64)
    again = np.argsort(random_order_keys(unique, seed, _REPEATED), kind="stable")[:repeats]
    codes = np.concatenate([2 * rows, 2 * rows[again] + 1])
    places = np.concatenate(
        [
            random_order_keys(unique, seed, _ORDER),
            random_order_keys(unique[again], seed, _REPEATS_ORDER),
        ]
    )
    return np.asarray(codes[np.argsort(places, kind="stable")])


def still_missing(
    codes: np.ndarray,
    pool: Pool,
    store: Store,
    setup: int | None,
    *,
    retry_failed: bool,
    in_flight: Collection[tuple[int, bytes]] = (),
) -> np.ndarray:
    """Return those of ``codes`` that have no final outcome and are not in flight, in their order.

    What was asked for before comes last: if it is what stops a rater, the rest is rated by then.
    """
    if len(codes) == 0 or setup is None or not (in_flight or store.count(setup)):
        return codes
    settled = UNANSWERED if not retry_failed else REPLIED - 1
    wanted, done, tried = (np.zeros((len(pool), 2), dtype=bool) for _ in range(3))
    wanted[codes // 2, codes % 2] = True
    for start, hashes in iter_hashes(pool):
        for repeat in (0, 1):
            rows = np.flatnonzero(wanted[start : start + len(hashes), repeat])
            states = store.states(setup, repeat, [hashes[row] for row in rows])
            for row in rows:
                key = hashes[row]
                final = states.get(key, UNANSWERED) > settled
                done[start + row, repeat] = final or (repeat, key) in in_flight
                tried[start + row, repeat] = key in states
    left = codes[~done[codes // 2, codes % 2]]
    return np.asarray(left[np.argsort(tried[left // 2, left % 2], kind="stable")])


def iter_hashes(pool: Pool) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the first row of every block of the pool and the hashes of its examples."""
    start = 0
    for batch in pool.table.select(["messages"]).to_batches(max_chunksize=_PASS):
        hashes = [example_hash(messages) for messages in _as_messages(batch.column(0).to_pylist())]
        yield start, hashes
        start += len(hashes)


def conversations(pool: Pool, rows: np.ndarray) -> list[tuple[Message, ...]]:
    """Return the messages of the given rows, reading nothing else."""
    part = replace(pool, table=pool.table.select(["messages"])).take(rows)
    return _as_messages(part.table["messages"].to_pylist())


def iter_jobs(codes: np.ndarray, pool: Pool, builder: PromptBuilder) -> Iterator[list[Job]]:
    """Yield the jobs of ``codes`` in blocks."""
    for start in range(0, len(codes), BLOCK):
        block = codes[start : start + BLOCK]
        rows, where = np.unique(block // 2, return_inverse=True)
        texts = conversations(pool, rows)
        yield [
            Job(example_hash(texts[place]), int(code % 2), builder.build(texts[place]))
            for place, code in zip(where, block, strict=True)
        ]


def _as_messages(rows: Sequence[Sequence[dict[str, str]]]) -> list[tuple[Message, ...]]:
    return [tuple(Message(turn["role"], turn["content"]) for turn in turns) for turns in rows]


@dataclass(frozen=True, slots=True)
class RateProgress:
    """How far one rater is.

    Attributes:
        rater: who.
        total: requests that the whole pool takes, those of earlier runs included.
        earlier: how many of those the store had an outcome for at the start.
        rated: replies of this run that hold a rating.
        failed: why there is none, and how often, in this run.
        n_input: tokens of the prompts of this run, as far as the endpoint said.
        n_output: tokens of the replies.
        cost_usd: cost of this run so far; None while a price or a count is unknown.
        in_flight: requests that wait for a reply now.
    """

    rater: str
    total: int
    earlier: int
    rated: int
    failed: Mapping[str, int]
    n_input: int
    n_output: int
    cost_usd: float | None
    in_flight: int

    @property
    def done(self) -> int:
        """Requests that have an outcome, those of earlier runs included."""
        return self.earlier + self.rated + sum(self.failed.values())


class Outcomes:
    """Makes the rows of one rater's requests, and counts them for `RateProgress`.

    A request that the endpoint calls wrong stays unanswered for good only when the endpoint takes
    others: until the next reply its row is held back. So a wrong setting, which fails every
    request, leaves nothing that a later run would not ask again.

    Args:
        column: the rater's.
        keep: is given every row, and the number of the reservation that it settles.
        total: requests that the whole pool takes.
    """

    def __init__(
        self, column: Column, keep: Callable[[Row, int | None], None], total: int = 0
    ) -> None:
        self._column, self._keep, self._total = column, keep, total
        self.earlier = total - len(column.missing)
        self._doubtful: list[tuple[Job, str]] = []
        self._rated = self._n_input = self._n_output = self.in_flight = 0
        self._failed: Counter[str] = Counter()
        self._cost_usd: float | None = 0.0 if column.price is not None else None
        self._any_reply = False

    def answered(self, job: Job, answer: Answer, number: int | None = None) -> float | None:
        """Keep a reply; return its cost, None where unknown.

        ``number`` is of the reservation that its row settles; None where it stays.
        """
        builder = self._column.builder
        reading = read_answer(answer, rubric=builder.rubric, form=builder.form)
        cost_usd = self.bill(answer)
        self._rated += reading.problem is None
        self._failed.update([] if reading.problem is None else [reading.problem])
        logprobs = None if answer.top_logprobs is None else json.dumps(dict(answer.top_logprobs))
        row = Row(
            example=job.example,
            repeat=job.repeat,
            state=REPLIED,
            problem=reading.problem,
            reply=answer.text,
            finish_reason=answer.finish_reason,
            n_input=answer.n_input,
            n_output=answer.n_output,
            n_cached=answer.n_cached,
            latency_s=answer.latency_s,
            cost_usd=cost_usd,
            logprobs=logprobs,
            model=answer.model,
            tries=job.tries,
            at=time.time(),
        )
        self._keep(row, number)
        self._any_reply = True
        self._settle(FAILED)
        return cost_usd

    def bill(self, answer: Answer) -> float | None:
        """Count what a reply took, and return its cost."""
        self._n_input += answer.n_input or 0
        self._n_output += answer.n_output or 0
        price = self._column.price
        cost = None if price is None else price.of(answer)
        known = cost is not None and self._cost_usd is not None
        self._cost_usd = self._cost_usd + cost if known else None  # type: ignore[operator]
        return cost

    def failed(self, job: Job, failure: Failure) -> None:
        """Keep a failure that is not tried again in this run."""
        self._failed[failure.reason] += 1
        if failure.retryable or failure.fatal:
            self._keep_failure(job, failure.reason, UNANSWERED)
        else:
            self._doubtful.append((job, failure.reason))

    def finish(self, *, endpoint_works: bool) -> None:
        """Keep what is still held back."""
        self._settle(FAILED if endpoint_works and self._any_reply else UNANSWERED)

    def read(self) -> RateProgress:
        """Return how far it is now."""
        return RateProgress(
            rater=self._column.rater.name,
            total=self._total,
            earlier=self.earlier,
            rated=self._rated,
            failed=dict(self._failed),
            n_input=self._n_input,
            n_output=self._n_output,
            cost_usd=self._cost_usd,
            in_flight=self.in_flight,
        )

    def _settle(self, state: int) -> None:
        for job, reason in self._doubtful:
            self._keep_failure(job, reason, state)
        self._doubtful.clear()

    def _keep_failure(self, job: Job, reason: str, state: int) -> None:
        row = Row(job.example, job.repeat, state, reason, tries=job.tries, at=time.time())
        self._keep(row, None)


#: The first pause before a request is sent again, and the longest; each is doubled and jittered.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0
#: A request that is only ever told to come later is sent this many times as often as another.
PATIENCE = 4
#: Jobs that wait to be sent again, for each request that may be in flight; then no new one starts.
_WAITING = 4
#: Failures that say that less should be asked at once.
_OVERLOADED = ("rate limited", "server error", "timed out")
_BUDGET_POLL_S = 0.1
#: An endpoint that is away is waited for so long, and knocked at in between at least so often.
AWAY_S, KNOCK_S = 300.0, 10.0
#: A reply without any text is asked for so often.
BLANK_TRIES = 3
#: Replies without a text that asking again would not change.
_SILENT = ("length", "content_filter")

#: Runs a function elsewhere, as `asyncio.to_thread` does.
InThread = Callable[..., Awaitable[list[Job] | None]]


class Loop:
    """Sends jobs to one rater and hands every outcome over, until there are none or it must stop.

    A job that failed in a way that can pass is sent again after a pause, in which it holds no
    place; new jobs go on meanwhile.

    Args:
        column: the rater, open, and what is missing.
        pool: the examples, read block by block in a thread.
        outcomes: keeps and counts what comes of each.
        account: of the rater, against the budget of the run.
        in_thread: where jobs are read.
        seed: of the requests (``seed`` plus the repeat) and of the jitter.

    Attributes:
        breaker: says why the loop stopped early, if the rater failed.
    """

    def __init__(
        self,
        column: Column,
        pool: Pool,
        *,
        outcomes: Outcomes,
        account: Account,
        seed: int,
        in_thread: InThread = asyncio.to_thread,
    ) -> None:
        assert isinstance(column.rater, Rater)
        self._rater = rater = column.rater
        self._rubric = rubric = column.builder.rubric
        self._blocks = iter_jobs(column.missing, pool, column.builder)
        self.outcomes, self._budget, self._account = outcomes, account.budget, account
        self._seed, self._in_thread = seed, in_thread
        schema = rubric.json_schema() if rater.form == "structured" else None
        self._around = request_tokens((), rater.settings, schema)
        self._away_since_s: float | None = None
        self._answered_s = -math.inf
        self._random = random.Random(seed)  # noqa: S311 - jitter
        self._limits = limits = rater.limits
        self._gate = Gate(limits.concurrency)
        self._pace = Pace(limits.requests_per_minute, limits.tokens_per_minute, guess=1000.0)
        self.breaker = Breaker(rater.name)
        self._fresh: deque[Job] = deque()
        self._later: list[tuple[float, int, Job]] = []
        self._number = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._fed = self._stop = False
        self._broken: Exception | None = None
        self._wake, self._room = asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        """Ask until nothing is left, the breaker opens, the budget ends, or `stop` is called.

        Requests in flight are awaited then: they are paid for. When this is cancelled, so are they.
        """
        feeder = asyncio.create_task(self._feed())
        try:
            while (chosen := await self._next()) is not None:
                self._gate.in_flight += 1
                self.outcomes.in_flight = self._gate.in_flight
                task = asyncio.create_task(self._attempt(*chosen))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            await asyncio.gather(*self._tasks)
        finally:
            for task in (feeder, *self._tasks):
                task.cancel()
            await asyncio.gather(feeder, *self._tasks, return_exceptions=True)
            if not (self._stopping or self._budget.exhausted or self.outcomes.earlier):
                self.breaker.ended()
            self.outcomes.finish(endpoint_works=not self._stopping or self._stop)
        if self._broken is not None:
            raise self._broken

    def stop(self) -> None:
        """Send nothing more; what is in flight is awaited."""
        self._stop = True
        self._wake.set()

    @property
    def _stopping(self) -> bool:
        return self._stop or self.breaker.sentence is not None or self._broken is not None

    async def _feed(self) -> None:
        """Read jobs ahead of the requests, in a thread: building prompts takes time."""
        try:
            while (block := await self._in_thread(next, self._blocks, None)) is not None:
                self._fresh.extend(block)
                self._wake.set()
                while len(self._fresh) > BLOCK:
                    self._room.clear()
                    await self._room.wait()
        except Exception as error:
            self._broken = error
        finally:
            self._fed = True
            self._wake.set()

    async def _next(self) -> tuple[Job, Reserved, float] | None:
        """Wait for a job that may start now; return it, what is set aside, its guessed tokens."""
        while not self._stopping:
            now_s = _now_s()
            wait_s = max(self._gate.opens_in_s(now_s), self._pace.opens_in_s(now_s))
            if self._account.waits:
                wait_s = math.inf
            elif wait_s <= 0 and (job := self._take(now_s)) is not None:
                n_input, n_output = self._around
                n_input += most_input_tokens(job.prompt.messages)
                if (reserved := self._account.reserve(n_input, n_output)) is not None:
                    return job, reserved, self._pace.start(now_s)
                heapq.heappush(self._later, (now_s, next(self._number), job))
                if self._budget.n_reserved == 0:
                    self._budget.exhausted = True
                    return None
                wait_s = _BUDGET_POLL_S
            elif wait_s <= 0:
                if self._fed and not (self._fresh or self._later or self._gate.in_flight):
                    return None
                wait_s = max(0.0, self._later[0][0] - now_s) if self._later else math.inf
            await self._sleep(wait_s)
        return None

    def _take(self, now_s: float) -> Job | None:
        """Return a job whose pause is over, else a new one; None while there is neither."""
        if self._later and self._later[0][0] <= now_s:
            return heapq.heappop(self._later)[2]
        if self._fresh and len(self._later) < _WAITING * self._limits.concurrency:
            job = self._fresh.popleft()
            if len(self._fresh) <= BLOCK:
                self._room.set()
            return job
        return None

    async def _sleep(self, wait_s: float) -> None:
        """Sleep so long, or until something happens."""
        self._wake.clear()
        alarm = None
        if not math.isinf(wait_s):
            alarm = asyncio.get_running_loop().call_later(wait_s, self._wake.set)
        await self._wake.wait()
        if alarm is not None:
            alarm.cancel()

    async def _attempt(self, job: Job, reserved: Reserved, guess: float) -> None:
        """Send a job once, and see to what comes of it."""
        started_s = _now_s()
        answer, cost_usd, in_row = None, None, False
        try:
            if not await self._account.written():  # it cannot be written down, so it is not sent
                cost_usd = 0.0
                return
            job.tries += 1
            started_s = _now_s()
            async with asyncio.timeout(self._limits.timeout_s):
                answer = await self._rater.ask(
                    job.prompt, rubric=self._rubric, seed=self._seed + job.repeat
                )
            self._gate.replied(_now_s() - started_s)
            cost_usd, in_row = self._answered(job, answer, reserved)
        except Failure as failure:
            cost_usd = self._failed(job, failure, started_s)
        except TimeoutError:
            said = f"'{self._rater.name}' did not answer within {self._limits.timeout_s:g} s."
            cost_usd = self._failed(job, Failure("timed out", said, retryable=True), started_s)
        except Exception as error:  # a fault of the rater's code: no other request would do better
            self._broken = error
        finally:
            self._gate.in_flight -= 1
            self.outcomes.in_flight = self._gate.in_flight
            self._pace.settle(guess, _tokens(answer))
            self._account.settle(reserved, cost_usd, in_row=in_row)
            self._wake.set()

    def _answered(self, job: Job, answer: Answer, reserved: Reserved) -> tuple[float | None, bool]:
        """Keep a reply, or ask again where it has no text; return its cost, and if a row has it."""
        self._away_since_s, self._answered_s = None, _now_s()
        self._account.billed = True
        if answer.text.strip() or self._rater.form == "expected":
            self.breaker.replied()
            return self._kept(job, answer, reserved)
        job.blanks += 1
        if job.blanks == 1:
            self.breaker.blank(answer)
        if answer.finish_reason in _SILENT:
            return self._kept(job, answer, reserved)
        cost_usd = self.outcomes.bill(answer)
        if job.blanks < BLANK_TRIES and not self._stopping:
            self._send_later(job, self._pause_s(job, None))
        else:
            said = f"'{self._rater.name}' sent a reply without a text."
            self.outcomes.failed(job, Failure("empty", said, retryable=True))
        return cost_usd, False

    def _kept(self, job: Job, answer: Answer, reserved: Reserved) -> tuple[float | None, bool]:
        """Keep a reply; where it says what it took, its row settles what was set aside."""
        known = answer.n_input is not None and answer.n_output is not None
        cost_usd = self.outcomes.answered(job, answer, reserved.number if known else None)
        return (cost_usd or 0.0) if known else None, known

    def _failed(self, job: Job, failure: Failure, started_s: float) -> float | None:
        """Send a job again later, or give it up; return the cost, None where it may have one."""
        now_s = _now_s()
        wait_s = failure.retry_after_s
        too_long = (wait_s or 0.0) > LONGEST_WAIT_S
        if failure.reason in _OVERLOADED:
            self._gate.refused(now_s, started_s, None if too_long else wait_s)
        job.refusals += failure.reason == "rate limited"
        away_s = self._away_s(job, now_s, failure)
        if away_s is not None:
            job.tries -= 1
            if self._answered_s < started_s:
                self._gate.closed_until_s = max(self._gate.closed_until_s, now_s + away_s)
        left = self._limits.tries - (job.tries - job.refusals) - job.refusals // PATIENCE
        again = failure.retryable and not too_long and left > 0
        self.breaker.failed(failure, for_good=not again)
        if again and not self._stopping:
            self._send_later(job, away_s if away_s is not None else self._pause_s(job, wait_s))
        else:
            self.outcomes.failed(job, failure)
        return None if failure.may_cost else 0.0

    def _away_s(self, job: Job, now_s: float, failure: Failure) -> float | None:
        """Return the pause before an endpoint that is away is tried again; None: the try counts.

        It counts where others were answered since this job failed last: it is the job, then.
        """
        since_s, job.away_s = job.away_s, now_s
        if not failure.away or since_s < self._answered_s < now_s:
            return None
        if self._away_since_s is None:
            self._away_since_s = now_s
        gone_s = now_s - self._away_since_s
        if gone_s > AWAY_S:
            return None
        return max(failure.retry_after_s or 0.0, min(KNOCK_S, max(FIRST_PAUSE_S, gone_s / 2)))

    def _send_later(self, job: Job, pause_s: float) -> None:
        heapq.heappush(self._later, (_now_s() + pause_s, next(self._number), job))

    def _pause_s(self, job: Job, retry_after_s: float | None) -> float:
        """Return a growing pause with jitter, at least as long as the endpoint asked for."""
        grown_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** max(0, job.tries - 1))
        jitter = self._random.uniform(0.5, 1.0)
        if retry_after_s is None:
            return grown_s * jitter
        return retry_after_s + FIRST_PAUSE_S * jitter


def _now_s() -> float:
    """The event loop's clock: a simulated loop has one of its own."""
    return asyncio.get_running_loop().time()


def _tokens(answer: Answer | None) -> float | None:
    if answer is None or answer.n_input is None:
        return None
    return float(answer.n_input + (answer.n_output or 0))
