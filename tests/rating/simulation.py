"""Rating under a simulated clock, network and disk: a whole history of runs from one seed.

`simulate(seed)` rates a small pool in several runs that are killed at any moment, against a server
that drops, delays, duplicates, refuses, lies about its usage and bills what it likes, on a disk
that may be full; then it lets everything work and rates to the end. It raises `Broken` when a
reply is lost, an example is paid for twice without need, or the bill exceeds the cap by more than
the rules allow. The event loop's clock is simulated too: nothing sleeps, and a seed always gives
the same history.
"""

import asyncio
import json
import math
import random
import selectors
import sqlite3
import tempfile
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ds2.errors import Ds2Warning, RunError
from ds2.pool import Pool, read_pool
from ds2.rating import Answer, Failure, Limits, Rubric, Store
from ds2.rating.prices import Price, PriceTable, request_tokens
from ds2.rating.rate import Plan, Session
from ds2.rating.store import Writer

__all__ = ["Broken", "History", "simulate"]

PRICE = Price(1.0, 10.0)
PRICES = PriceTable({"sim": PRICE})
RUBRIC = Rubric.ds2()
N, MOST_OUTPUT = 24, 50


class Broken(AssertionError):
    """A promise of the engine was broken; the message names the seed."""


class Killed(BaseException):
    """The process ends here and now."""


class Nothing(selectors.SelectSelector):
    """Waits for no file: there is no network but the simulated one."""

    def select(self, timeout=None):
        if timeout is None:
            raise Broken("the loop waits for something that never comes")
        return []


class Clock(asyncio.SelectorEventLoop):
    """An event loop in which time passes only when nothing else is left to do."""

    def __init__(self) -> None:
        super().__init__(Nothing())
        self._time_s = 0.0

    def time(self) -> float:
        return self._time_s

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            self._time_s = max(self._time_s, self._scheduled[0]._when)
        super()._run_once()


@dataclass
class History:
    """What happened, for the invariants and for the benchmark's table."""

    seed: int
    cap_usd: float | None
    billed_usd: float = 0.0
    largest_usd: float = 0.0
    over_usd: float = 0.0
    runs: int = 0
    requests: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    replies: dict[str, list[str]] = field(default_factory=dict)
    committed: dict[tuple, str] = field(default_factory=dict)
    paid: set[tuple[str, int]] = field(default_factory=set)

    def fault(self, name: str) -> None:
        self.faults[name] = self.faults.get(name, 0) + 1


class Server:
    """Answers, and bills; only it knows what was really billed."""

    def __init__(self, rng: random.Random, history: History) -> None:
        self.rng, self.history = rng, history
        self.sound = False
        names = ("429", "500", "503", "drop", "cut", "hang", "no usage", "zero usage", "empty",
                 "poison", "403")  # fmt: skip
        self.shares = {n: rng.choice([0, 0, 0.03, 0.1, 0.25]) for n in names}
        self.slow_s = rng.choice([0.01, 0.2, 5.0])
        #: How many times more than its most a request is billed, by a server that lies.
        self.over = rng.choice([1.0] * 6 + [1.5, 4.0])
        self.modest = self.over == 1.0 and rng.random() < 0.4
        self.away = (rng.uniform(0, 60), rng.uniform(0, 120)) if rng.random() < 0.3 else (0.0, 0.0)

    def bill(self, tokens: tuple[int, int]) -> tuple[int, int]:
        most = (PRICE.cost_usd(*tokens) or 0.0) * self.over
        n_input, n_output = (int(n * self.over) for n in tokens)
        if self.modest:
            n_input, n_output = (self.rng.randint(1, n) for n in tokens)
        cost = PRICE.cost_usd(n_input, n_output) or 0.0
        self.history.billed_usd += cost
        self.history.largest_usd = max(self.history.largest_usd, most)
        self.history.over_usd = max(self.history.over_usd, cost - (PRICE.cost_usd(*tokens) or 0.0))
        return n_input, n_output

    def fault(self) -> str | None:
        if self.sound:
            return None
        for name, share in self.shares.items():
            if self.rng.random() < share:
                self.history.fault(name)
                return name
        return None


class SimulatedRater:
    """A rater on the simulated network."""

    name, model, form = "sim", "sim", "structured"
    findings, settled = (), {"form": "structured"}

    def __init__(self, server: Server, rng: random.Random, concurrency: int) -> None:
        self._server, self._rng = server, rng
        self.settings = {"rater": "sim", "max_output_tokens": MOST_OUTPUT}
        self.limits = Limits(concurrency=concurrency, tries=3, timeout_s=30.0)
        self.in_flight = 0
        self.answered = False

    def settle(self, settled):
        pass

    async def open(self, rubric):
        return ()

    async def close(self):
        pass

    async def ask(self, prompt, *, rubric, seed):
        server, history = self._server, self._server.history
        self.in_flight += 1
        try:
            if history.cap_usd is not None and not self.answered and self.in_flight > 1:
                raise Broken(f"seed {history.seed}: two in flight before the first was billed")
            return await self._ask(server, history, prompt, seed)
        finally:
            self.in_flight -= 1

    async def _ask(self, server, history, prompt, seed):
        history.requests += 1
        now = asyncio.get_running_loop().time()
        if not server.sound and server.away[0] <= now < server.away[0] + server.away[1]:
            history.fault("away")
            raise Failure(
                "connection lost", "Not there.", retryable=True, away=True, may_cost=False
            )
        fault = server.fault()
        await asyncio.sleep(server.slow_s * self._rng.uniform(0.1, 2.0))
        if fault == "429":
            raise Failure(
                "rate limited",
                "Slow.",
                retryable=True,
                retry_after_s=self._rng.choice([None, 1.0, 5000.0]),
            )
        if fault in ("500", "503"):
            raise Failure("server error", "Oh.", retryable=True, away=fault == "503")
        if fault == "403":
            raise Failure("no access", "A firewall.", fatal=True)
        tokens = request_tokens(prompt.messages, self.settings, RUBRIC.json_schema())
        n_input, n_output = server.bill(tokens)
        if fault == "drop":
            raise Failure("connection lost", "Gone.", retryable=True)
        if fault == "cut":
            raise Failure("server error", "No completion.", retryable=True, may_cost=True)
        if fault == "hang":
            await asyncio.sleep(1000.0)
        self.answered = True
        content = prompt.messages[-1]["content"]
        key = content[content.index("question") :].split("\n")[0]
        if fault == "empty":
            return Answer("", "stop", n_input, n_output)
        if (key, seed) in history.paid:
            raise Broken(f"seed {history.seed}: {key} is paid for a second time")
        history.paid.add((key, seed))
        text = json.dumps(
            {"overall": 1 + self._rng.randrange(10), "of": key, "n": history.requests}
        )
        history.replies.setdefault(f"{key} {seed}", []).append(text)
        if fault == "poison":
            return Answer(text + "\ud800\0", "\udfff", 2**63, 2**63, latency_s=math.inf)
        if fault == "no usage":
            return Answer(text, "stop")
        if fault == "zero usage":
            return Answer(text, "stop", None, 0)
        return Answer(text, "stop", n_input, n_output)


class SimulatedWriter(Writer):
    """Writes into a real store, after simulated delays, on a disk that may be full."""

    disk: "Disk"

    async def _write(self, entries):
        await asyncio.sleep(self.disk.rng.uniform(0.001, 0.02))
        if not self.disk.dead:
            self.disk.write(entries, self._store)

    async def __aexit__(self, kind, error, traceback):
        if not self.disk.dead:
            await super().__aexit__(kind, error, traceback)
            return
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._store.close()


class Disk:
    """The store's disk: full for a while, if the seed wants it, and gone when the process is."""

    def __init__(self, rng, history, *, full_at):
        self.rng, self.history, self.full_at, self.dead, self.n = rng, history, full_at, False, 0

    def write(self, entries, store):
        self.n += 1
        store._db.execute("PRAGMA synchronous = OFF")  # the machine does not die here, only we do
        if self.full_at is not None and self.n == self.full_at:
            self.history.fault("disk full")
            pages = store._db.execute("PRAGMA page_count").fetchone()[0]
            store._db.execute(f"PRAGMA max_page_count = {pages}")
        store.add(**entries)


@cache
def pool() -> Pool:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pool.jsonl"
        rows = [{"messages": [{"role": "user", "content": f"question {i}"},
                              {"role": "assistant", "content": "answer " * (1 + i % 9)}]}
                for i in range(N)]  # fmt: skip
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        found = read_pool(path)
        found.keys  # noqa: B018 - once
        return found


async def in_place(function, *arguments):
    """Run here what would run in a thread."""
    return function(*arguments)


def simulate(seed: int, folder: Path) -> History:
    """Play the history of a seed; raise `Broken` where a promise is broken."""
    rng = random.Random(seed)
    one_usd = PRICE.cost_usd(3500, MOST_OUTPUT) or 0.0
    cap = rng.choice([None, one_usd * rng.uniform(0.5, 25)])
    history = History(seed, cap)
    server, path = Server(rng, history), folder / f"{seed}.sqlite"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ds2Warning)
        for _ in range(rng.randint(1, 5)):
            _run(rng, history, server, path)
        server.sound = True
        if cap is None:
            for _ in range(3):  # an endpoint that was away, and what is asked last
                _run(rng, history, server, path, sound=True)
            left = _missing(path)
            if left:
                raise Broken(f"seed {seed}: {left} examples are not rated when all works")
    _check_bill(history, server)
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return history


def _run(rng, history, server, path, *, sound=False):
    """One process: it may be killed at any moment, or its disk may be full."""
    history.runs += 1
    killed_s = None if sound or rng.random() < 0.3 else rng.choice([0.1, 1.0, 5.0]) * rng.random()
    full_at = None if sound or rng.random() < 0.8 else rng.randint(1, 12)
    disk = Disk(rng, history, full_at=full_at)
    books = type("Books", (SimulatedWriter,), {"disk": disk})
    rater = SimulatedRater(server, rng, rng.choice([1, 4, 16]))
    server.away = (0.0, server.away[1]) if rng.random() < 0.5 else (1e9, 0.0)
    loop = Clock()
    with Store(path) as store:
        plan = Plan(pool(), RUBRIC, "nonce", seed=0, repeats=3, prices=PRICES)
        session = Session(store, [rater], plan, books=books, in_thread=in_place)
        budget = session.budget(history.cap_usd)

        async def process():
            asking = asyncio.ensure_future(session.ask(budget, path, None))
            if killed_s is not None:
                await asyncio.wait([asking], timeout=killed_s)
                if not asking.done():
                    history.fault("kill")
                    disk.dead = True  # what is not committed is lost
                    asking.cancel()
                    with suppress(asyncio.CancelledError, BaseExceptionGroup):
                        await asking
                    return
            await asking

        try:
            asyncio.set_event_loop(loop)
            loop.run_until_complete(process())
        except RunError:
            pass
        except BaseExceptionGroup as group:
            broken = group.subgroup(Broken)
            if broken is not None:
                raise broken.exceptions[0] from None
            if group.subgroup(RunError) is None:
                raise
        finally:
            asyncio.set_event_loop(None)
            loop.close()
    _check_store(history, path)


def _rows(path):
    db = sqlite3.connect(path)
    try:
        rows = db.execute("SELECT example, repeat, state, reply FROM replies").fetchall()
        if db.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise Broken(f"{path}: the file is damaged")
        return rows
    finally:
        db.close()


def _check_store(history, path):
    """What was committed stays as it is, and is what the server sent."""
    sent = {text for texts in history.replies.values() for text in texts}
    now = {}
    for example, repeat, state, reply in _rows(path):
        if state == 2:
            now[example, repeat] = reply
            if reply.rstrip("?\0") not in sent and reply:
                raise Broken(f"seed {history.seed}: a reply that nobody sent: {reply!r}")
    for key, reply in history.committed.items():
        if now.get(key) != reply:
            raise Broken(f"seed {history.seed}: a committed reply was lost or changed")
    history.committed = now
    history.paid = {(json.loads(reply.rstrip("?\0"))["of"], key[1]) for key, reply in now.items()}


def _missing(path) -> int:
    return N + 3 - sum(state == 2 for _, _, state, _ in _rows(path))


def _check_bill(history, server):
    """The bill keeps to the cap, but for what a server bills above what it was asked for."""
    if history.cap_usd is None:
        return
    allowed = history.cap_usd + 1e-9
    if server.over > 1.0:  # one request before it is known, and those in flight when it is
        allowed += history.over_usd * 17
    if history.billed_usd > allowed:
        raise Broken(
            f"seed {history.seed}: billed {history.billed_usd:.6f} USD, the cap is "
            f"{history.cap_usd:.6f}, the largest request {history.largest_usd:.6f}"
        )
