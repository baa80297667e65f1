"""The loop of one rater: as many requests in flight as it bears, and no barrier anywhere."""

import asyncio
import heapq
import itertools
import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterator

from ds2.rating.jobs import BLOCK, Job
from ds2.rating.limits import Breaker, Gate, Pace
from ds2.rating.money import Budget, Price, most_input_tokens
from ds2.rating.outcomes import Outcomes
from ds2.rating.progress import Tally
from ds2.rating.rater import Answer, Failure, Rater
from ds2.rating.rows import Row
from ds2.rating.rubric import Rubric

__all__ = ["Loop"]

#: The first pause before a request is sent again, and the longest; each is doubled and jittered.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0
#: A request that is only ever told to come later is sent this many times as often as another.
PATIENCE = 4
#: Jobs that wait to be sent again, for each request that may be in flight; then no new one starts.
_WAITING = 4
#: Failures that say that less should be asked at once.
_OVERLOADED = ("rate limited", "server error", "timed out")
_BUDGET_POLL_S = 0.1


class Loop:
    """Sends jobs to one rater and hands every outcome over, until there are none or it must stop.

    A job that failed in a way that can pass is sent again after a pause, in which it holds no
    place; new jobs go on meanwhile.

    Args:
        rater: an open rater.
        rubric: what is asked.
        blocks: the jobs, read block by block in a thread.
        keep: is given the row of every job that has an outcome.
        tally: counts.
        budget: of the run.
        price: of the rater's model, None where unknown.
        max_output_tokens: the most that a reply can have, for the budget.
        seed: of the requests (``seed`` plus the repeat) and of the jitter.

    Attributes:
        breaker: says why the loop stopped early, if the rater failed.
    """

    def __init__(
        self,
        rater: Rater,
        rubric: Rubric,
        blocks: Iterator[list[Job]],
        *,
        keep: Callable[[Row], None],
        tally: Tally,
        budget: Budget,
        price: Price | None,
        max_output_tokens: int,
        seed: int,
    ) -> None:
        self._rater, self._rubric, self._blocks = rater, rubric, blocks
        self._keep, self._tally, self._budget, self._price = keep, tally, budget, price
        self._max_output_tokens, self._seed = max_output_tokens, seed
        self._random = random.Random(seed)  # noqa: S311 - jitter
        self._limits = limits = rater.limits
        self._gate = Gate(limits.concurrency)
        self._pace = Pace(limits.requests_per_minute, limits.tokens_per_minute, guess=1000.0)
        self._outcomes = Outcomes(rubric, rater.form, keep=keep, tally=tally)
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
                self._tally.in_flight = self._gate.in_flight
                task = asyncio.create_task(self._attempt(*chosen))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            await asyncio.gather(*self._tasks)
        finally:
            for task in (feeder, *self._tasks):
                task.cancel()
            await asyncio.gather(feeder, *self._tasks, return_exceptions=True)
            self._outcomes.finish(endpoint_works=not self._stopping or self._stop)
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
            while (block := await asyncio.to_thread(next, self._blocks, None)) is not None:
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

    async def _next(self) -> tuple[Job, float] | None:
        """Wait for a job that may start now; return it and what it can cost at most."""
        while not self._stopping:
            now_s = time.monotonic()
            wait_s = max(self._gate.opens_in_s(now_s), self._pace.opens_in_s(now_s))
            if wait_s <= 0 and (job := self._take(now_s)) is not None:
                most_usd = self._most_usd(job)
                if self._budget.reserve(most_usd):
                    return job, most_usd
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
        if math.isinf(wait_s):
            await self._wake.wait()
            return
        alarm = asyncio.get_running_loop().call_later(wait_s, self._wake.set)
        await self._wake.wait()
        alarm.cancel()

    def _most_usd(self, job: Job) -> float:
        if self._budget.max_usd is None or self._price is None:
            return 0.0
        most = self._price.cost_usd(most_input_tokens(job.prompt.messages), self._max_output_tokens)
        return most or 0.0

    async def _attempt(self, job: Job, most_usd: float) -> None:
        """Send a job once, and see to what comes of it."""
        started_s = time.monotonic()
        guess = self._pace.start(started_s)
        job.tries += 1
        answer, cost_usd = None, None
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                answer = await self._rater.ask(
                    job.prompt, rubric=self._rubric, seed=self._seed + job.repeat
                )
            self._gate.replied(time.monotonic() - started_s)
            self.breaker.replied()
            cost_usd = self._outcomes.answered(job, answer)
        except Failure as failure:
            cost_usd = self._failed(job, failure, started_s)
        except TimeoutError:
            self._failed(job, self._too_late(), started_s)
        except Exception as error:  # a fault of the rater's code: no other request would do better
            self._broken = error
        finally:
            self._gate.in_flight -= 1
            self._tally.in_flight = self._gate.in_flight
            self._pace.settle(guess, _tokens(answer))
            self._budget.settle(most_usd, cost_usd)
            self._wake.set()

    def _failed(self, job: Job, failure: Failure, started_s: float) -> float | None:
        """Send a job again later, or give it up; return the cost, None where it may have one."""
        now_s = time.monotonic()
        if failure.reason in _OVERLOADED:
            self._gate.refused(now_s, started_s, failure.retry_after_s)
        job.refusals += failure.reason == "rate limited"
        left = self._limits.tries - (job.tries - job.refusals) - job.refusals // PATIENCE
        self.breaker.failed(failure, for_good=not failure.retryable or left <= 0)
        if failure.retryable and left > 0 and not self._stopping:
            due_s = now_s + self._pause_s(job, failure.retry_after_s)
            heapq.heappush(self._later, (due_s, next(self._number), job))
        else:
            self._outcomes.failed(job, failure)
        return None if failure.reason in ("timed out", "connection lost") else 0.0

    def _pause_s(self, job: Job, retry_after_s: float | None) -> float:
        """Return a growing pause with jitter, at least as long as the endpoint asked for."""
        grown_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (job.tries - 1))
        jitter = self._random.uniform(0.5, 1.0)
        if retry_after_s is None:
            return grown_s * jitter
        return retry_after_s + FIRST_PAUSE_S * jitter

    def _too_late(self) -> Failure:
        return Failure(
            "timed out",
            f"'{self._rater.name}' did not answer within {self._limits.timeout_s:g} s.",
            retryable=True,
        )


def _tokens(answer: Answer | None) -> float | None:
    if answer is None or answer.n_input is None:
        return None
    return float(answer.n_input + (answer.n_output or 0))
