"""From a pool to ratings: ask what the store does not have, then read the store."""

import asyncio
import json
import secrets
import shutil
import tempfile
import threading
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ds2.atomic import locked
from ds2.checks import check_int, check_positive
from ds2.errors import InputError, RunError, warn
from ds2.pool import Pool
from ds2.pool.wording import shown, shown_names, shown_path
from ds2.rating.loop import (
    Column,
    InThread,
    Loop,
    Outcomes,
    RateProgress,
    conversations,
    iter_hashes,
    plan_jobs,
    still_missing,
)
from ds2.rating.prices import (
    NO_LIMIT,
    Account,
    Budget,
    OverBudgetError,
    PriceTable,
    estimate_tokens,
    most_output_tokens,
    read_prices,
    request_tokens,
    unknown_price,
)
from ds2.rating.prompt import FORMS, Prompt, PromptBuilder
from ds2.rating.rater import Answer, Asked, Failure, Rater
from ds2.rating.ratings import Note, Ratings, codes_of
from ds2.rating.reply import read_row
from ds2.rating.rubric import Rubric
from ds2.rating.store import UNANSWERED, Setup, Store, Writer, canonical

__all__ = ["Forecast", "Plan", "Session", "assemble", "rate", "reparse", "writable_store"]

_TELL_S = 0.25
#: Prompts whose tokens are counted for a forecast; tokens that a chat template puts around each
#: message.
_SAMPLE, _PER_MESSAGE = 200, 4


def rate(
    pool: Pool,
    raters: Rater | Sequence[Rater],
    *,
    rubric: Rubric | None = None,
    store: str | Path | None = None,
    repeats: int = 0,
    max_cost_usd: float | None = None,
    prices: Mapping[str, Any] | str | Path | None = None,
    nonce: str | None = None,
    seed: int = 0,
    max_prompt_tokens: int | None = None,
    count_tokens: Callable[[str], int] | None = None,
    retry_failed: bool = False,
    confirm: Callable[[Sequence["Forecast"]], bool] | None = None,
    progress: Callable[[RateProgress], None] | None = None,
) -> Ratings:
    """Rate every example of a pool.

    Every reply is kept in the store and never asked for twice: a run that was killed, ran into a
    limit or has a larger pool now goes on where it was. Requests go out in a random order, so that
    a run which stops early has rated a random sample.

    Args:
        pool: the examples. Equal ones are rated once.
        raters: one, or several that are asked at the same time and stored apart.
        rubric: what is asked; None is `Rubric.ds2`.
        store: the SQLite file of the replies; it is made where it is not there. None uses a file
            that is removed at the end, and kept if something goes wrong.
        repeats: how many random examples are rated a second time, afresh.
        max_cost_usd: a hard stop, over all runs on this store: no request is sent that could carry
            the raters' cost above it. What was rated until then is returned.
        prices: the caller's own, in front of the packaged ones; see `read_prices`.
        nonce: text that whoever wrote the examples cannot know; None takes the store's own, which
            is random and stays. Another nonce is another prompt, and asks for everything again.
        seed: of the order, the repeats and the requests.
        max_prompt_tokens: examples are shortened in the middle to keep prompts below it.
        count_tokens: the tokens of a text, by the model's tokenizer; None estimates.
        retry_failed: ask again about examples that an endpoint refused to rate before.
        confirm: is given the forecasts before the first request; when it returns False, none is
            sent.
        progress: is told several times a second how far each rater is.

    Returns:
        The ratings, those of several raters side by side, in their order. What was not asked, and
        why a rater was stopped, is in their problems and warnings.

    Raises:
        InputError: an argument is wrong, or a budget is set and a price unknown.
        RunBusyError: another process rates into this store.
        RunError: no rater could rate anything, or the disk failed.
    """
    asked = (raters,) if isinstance(raters, Rater) else tuple(raters)
    _check_raters(asked)
    if max_cost_usd is not None:
        check_positive("max_cost_usd", max_cost_usd, zero=True)
    plan = Plan(
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
    with writable_store(store) as path, Store(path) as opened:
        opened.check()
        session = Session(opened, asked, plan)
        budget = session.budget(max_cost_usd)
        if sent := confirm is None or confirm(session.forecasts()):
            _run_async(session.ask(budget, path, progress))
        if progress is not None:
            session.tell(progress)
        return _results(session, budget, sent=sent)


def reparse(
    pool: Pool,
    store: str | Path,
    rubric: Rubric | None = None,
    *,
    raters: Sequence[str] | None = None,
) -> Ratings:
    """Read the ratings from the store with the parser as it is now; sends nothing, costs nothing.

    Args:
        pool: the examples.
        store: the SQLite file of the replies.
        rubric: what was asked. Its scale's cuts and its scored criterion may have changed since.
        raters: names of raters; None are all that were asked with this rubric. Where one was asked
            in several ways, the way used last counts.

    Raises:
        InputError: there is no such store, or no such rater in it.
    """
    if not Path(store).is_file():
        raise InputError(f"There is no store {shown_path(store)}. Rate first.")
    asked = Rubric.ds2() if rubric is None else rubric
    with Store(store) as opened:
        opened.check()
        latest: dict[str, tuple[int, Setup]] = {}
        for number, setup in opened.setups():
            if setup.rubric_hash == asked.hash:
                latest.setdefault(setup.rater, (number, setup))
        missing = [name for name in raters or () if name not in latest]
        if missing or not latest:
            whom = f"of {shown_names(missing)} " if missing else ""
            others = {setup.rater for _, setup in opened.setups()} - latest.keys()
            to = {"to it": latest, "to other instructions, criteria or ends of a scale": others}
            has = [f"those of {shown_names(sorted(of))} {what}" for what, of in to.items() if of]
            raise InputError(
                f"The store {shown_path(store)} holds no replies {whom}to the rubric "
                f"{shown(asked.name)}, {asked.scale.low:g} to {asked.scale.high:g}. It holds "
                f"{' and '.join(has) or 'none at all'}. Name the rubric that was rated with (in a "
                "recipe rate.rubric), or rate with this one first."
            )
        names = sorted(latest) if raters is None else raters
        return Ratings.join([assemble(pool, opened, *latest[name], rubric=asked) for name in names])


def _check_raters(raters: tuple[Rater, ...]) -> None:
    if not raters:
        raise InputError("'raters' must hold at least one rater. Got none.")
    for place, rater in enumerate(raters):
        for other in raters[:place]:
            if other.name == rater.name:
                raise InputError(
                    f"Two raters are called {shown(rater.name)}. Give one another name."
                )
            if (canonical(other.settings), other.form) == (canonical(rater.settings), rater.form):
                raise InputError(
                    f"The raters {shown(other.name)} and {shown(rater.name)} have the same "
                    "settings, so the store cannot tell their replies apart. If they differ in "
                    "something else, say it with variant = …"
                )


def _results(session: "Session", budget: Budget, *, sent: bool) -> Ratings:
    """Read every rater's ratings from the store and warn of what is not there."""
    ratings = []
    for column in session.columns:
        if column.stopped:
            column.notes.append(Note("said", {"text": column.stopped}))
        if budget.exhausted:
            column.notes.append(Note("budget", {"max_usd": budget.max_usd, "what": "rating"}))
        if session.plan.repeats and column.rater.settings.get("temperature") == 0:
            column.notes.append(Note("temperature 0", {"rater": shown(column.rater.name)}))
        ratings.append(session.ratings(column, ended=budget.exhausted or not sent))
    stopped = [column.stopped for column in session.columns if column.stopped]
    if stopped and not any((one.codes == 0).any() for one in ratings):
        raise RunError(" ".join(stopped))
    for sentence in dict.fromkeys(str(note) for one in ratings for note in one.notes):
        warn(sentence)
    return Ratings.join(ratings)


def assemble(
    pool: Pool,
    store: Store,
    number: int | None,
    setup: Setup,
    *,
    rubric: Rubric,
    notes: Sequence[Note] = (),
    stopped: str | None = None,
    ended: bool = False,
) -> Ratings:
    """Return the ratings of a pool as the store has them; sends nothing.

    Equal examples share a rating. ``number`` is of the setup, None where it was never used; of the
    rubric only what is not part of its hash may have changed since. ``stopped`` says why the rater
    was stopped before it had answered for all; ``ended``, that a budget ended the rating, so asking
    again would bring nothing.
    """
    n = len(pool)
    repeats, spread = np.full(n, np.nan), np.full(n, np.nan)
    problems: list[str | None] = ["not asked"] * n
    criteria = {name: np.full(n, np.nan) for name in rubric.names}
    unanswered = 0
    for start, hashes in iter_hashes(pool):
        # No setup has the number 0.
        first, second = (store.rows(number or 0, repeat, hashes) for repeat in (0, 1))
        for row, key in enumerate(hashes, start):
            if key in second:
                again = read_row(second[key], rubric=rubric, form=setup.form)
                repeats[row] = again.values.get(rubric.scored, np.nan)
                unanswered += second[key].state == UNANSWERED
            unanswered += key not in first or first[key].state == UNANSWERED
            if key not in first:
                continue
            reading = read_row(first[key], rubric=rubric, form=setup.form)
            problems[row] = reading.problem
            for name, value in reading.values.items():
                criteria[name][row] = value
            if reading.spread is not None:
                spread[row] = reading.spread
    unanswered = 0 if ended else unanswered
    if unanswered and stopped is None:
        notes = (*notes, Note("unanswered", {"n": unanswered, "rater": shown(setup.rater)}))
    usage: dict[str, Any] = {}
    if number is not None:  # what it took over all runs, probes included
        usage = {"model": setup.model, "form": setup.form, **store.totals(number)}
        if usage["cost_usd"] is not None:
            usage["cost_usd"] += store.probe_cost(setup.settings_hash)
    codes = codes_of(problems)
    return Ratings(
        values=np.where(codes == 0, criteria[rubric.scored], np.nan),
        codes=codes,
        scale=rubric.scale,
        rater=setup.rater,
        notes=tuple(notes),
        spread=None if np.isnan(spread).all() else spread,
        criteria={name: array for name, array in criteria.items() if not np.isnan(array).all()},
        repeats=None if np.isnan(repeats).all() else repeats,
        usage=usage | {"unanswered": unanswered, "stopped": stopped},
    )


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is still to be asked of one rater, and what that takes.

    Attributes:
        rater: who.
        model: whose price counts.
        n_requests: requests still to be made.
        n_input: tokens of their prompts, from the mean of a random sample.
        n_output: tokens of the replies, for a model that writes the rating and nothing else: one
            that reasons first writes many times as much.
        cost_usd: None where the price of the model is unknown. Cached prompts cost less.
        counted: a tokenizer counted the tokens; otherwise they are estimated from characters.
        prices_of: the date of the prices, where their table has one.
    """

    rater: str
    model: str
    n_requests: int
    n_input: int
    n_output: int
    cost_usd: float | None
    counted: bool
    prices_of: str

    def __str__(self) -> str:
        cost = f"unknown (no price of {shown(self.model)} is known)"
        if self.cost_usd is not None:
            dated = f" (prices of {shown_path(self.prices_of)})" if self.prices_of else ""
            cost = f"{self.cost_usd:,.2f} USD{dated}"
        about = "" if self.counted else "about "
        return (
            f"{shown(self.rater)}: {self.n_requests:,} requests, {about}{self.n_input:,} tokens "
            f"in, {about}{self.n_output:,} out, cost {cost}"
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked, of everybody alike; see `rate`."""

    pool: Pool
    rubric: Rubric
    nonce: str | None
    seed: int
    repeats: int
    prices: PriceTable
    max_prompt_tokens: int | None = None
    count_tokens: Callable[[str], int] | None = None
    retry_failed: bool = False

    def __post_init__(self) -> None:
        check_int("repeats", self.repeats, low=0)
        if self.max_prompt_tokens is not None:
            check_int("max_prompt_tokens", self.max_prompt_tokens, low=1)


class Session:
    """Rates a pool: finds what is missing, forecasts, asks.

    Args:
        store: open, of this process alone.
        raters: with different names and settings.
        plan: what is asked.
        books: makes what writes into the store.
        in_thread: where prompts are made.
    """

    def __init__(
        self,
        store: Store,
        raters: Sequence[Asked],
        plan: Plan,
        *,
        books: type[Writer] = Writer,
        in_thread: InThread = asyncio.to_thread,
    ) -> None:
        self._store, self.plan, self._books, self._in_thread = store, plan, books, in_thread
        self._nonce = plan.nonce or store.fact("nonce", secrets.token_hex(16))
        self._codes = plan_jobs(plan.pool.keys, seed=plan.seed, repeats=plan.repeats)
        own = plan.rubric.form
        self._asked = {one.name: own if one.form == "auto" else one.form for one in raters}
        for rater in raters:
            if not rater.settled:
                known = store.probe(_settings_hash(rater), self._asked[rater.name])
                if known is not None:
                    rater.settle(known)
        self.columns = [self._column(rater) for rater in raters]
        self._loops: list[Loop] = []

    def _column(self, rater: Asked) -> Column:
        """Look up what is missing. An open form is taken to be JSON schema until it is known."""
        plan = self.plan
        form = next(one for one in (rater.form, plan.rubric.form, FORMS[0]) if one in FORMS)
        limits = (plan.max_prompt_tokens, getattr(rater, "max_prompt_tokens", None))
        builder = PromptBuilder(
            plan.rubric,
            self._nonce,
            form,
            max_tokens=min((most for most in limits if most is not None), default=None),
            count_tokens=plan.count_tokens,
        )
        setup = Setup(rater.name, rater.model, form, rater.settings, plan.rubric.hash, builder.hash)
        number, price = self._store.number(setup), plan.prices.price(rater.model)
        return Column(rater, builder, setup, number, self.missing(number), price)

    def missing(
        self, number: int | None, in_flight: Collection[tuple[int, bytes]] = ()
    ) -> np.ndarray:
        """Return what a setup has no outcome for yet, as `plan_jobs` numbers it."""
        return still_missing(
            self._codes,
            self.plan.pool,
            self._store,
            number,
            retry_failed=self.plan.retry_failed,
            in_flight=in_flight,
        )

    def ratings(self, column: Column, *, ended: bool) -> Ratings:
        """Return what the store has of a rater; ``ended``, as for `assemble`."""
        return assemble(
            self.plan.pool,
            self._store,
            column.number,
            column.setup,
            rubric=self.plan.rubric,
            notes=column.notes,
            stopped=column.stopped,
            ended=ended,
        )

    def forecasts(self) -> tuple[Forecast, ...]:
        """Say what the asking takes; sends nothing."""
        return tuple(self._forecast(column) for column in self.columns)

    def _forecast(self, column: Column) -> Forecast:
        plan, builder, n = self.plan, column.builder, len(column.missing)
        count = plan.count_tokens or estimate_tokens
        sample = conversations(plan.pool, column.missing[:_SAMPLE] // 2)
        tokens = [
            sum(_PER_MESSAGE + count(part["content"]) for part in builder.build(texts).messages)
            for texts in sample
        ]
        reply = 1  # one letter, or the object, most often set in lines
        if builder.form != "expected":
            highest = dict.fromkeys(plan.rubric.names, plan.rubric.levels[-1])
            reply = count(json.dumps(highest, indent=2)) + 8
        n_input = round(n * float(np.mean(tokens))) if tokens else 0
        price = column.price
        return Forecast(
            rater=column.rater.name,
            model=column.rater.model,
            n_requests=n,
            n_input=n_input,
            n_output=n * reply,
            cost_usd=None if price is None else price.cost_usd(n_input, n * reply),
            counted=plan.count_tokens is not None,
            prices_of="" if price is None else price.date,
        )

    def budget(self, max_usd: float | None) -> Budget:
        """Return the budget, less what was spent or may have been on this store before.

        Raises:
            InputError: a price that it takes is unknown.
        """
        if max_usd is None:
            return Budget(None)
        for column in self.columns:
            if column.price is None:
                raise unknown_price(column.rater.model, column.rater.name)
            if "max_output_tokens" not in column.rater.settings:
                raise InputError(
                    f"'max_cost_usd' cannot be kept: the settings of {shown(column.rater.name)} "
                    "have no 'max_output_tokens'."
                )
            if most_output_tokens(column.rater.settings) >= NO_LIMIT:
                raise InputError(
                    f"'max_cost_usd' cannot be kept: what 'extra' of {shown(column.rater.name)} "
                    "says of the length of replies is no limit. Give numbers above 0."
                )
        return Budget(max_usd, self._store.spent(self.plan.prices.price))

    async def ask(
        self, budget: Budget, path: Path, tell: Callable[[RateProgress], None] | None
    ) -> None:
        """Ask all raters at once for what is missing, each at its own speed."""
        async with self._books(path, stopped=self._stop) as writer, asyncio.TaskGroup() as group:
            teller = group.create_task(self._tell(tell))
            asking = [
                group.create_task(self._ask(column, budget, writer))
                for column in self.columns
                if len(column.missing)
            ]
            await asyncio.gather(*asking)
            teller.cancel()

    def _stop(self) -> None:
        for loop in self._loops:
            loop.stop()

    async def _ask(self, column: Column, budget: Budget, writer: Writer) -> None:
        rater, factor = column.rater, self._store.factor(column.rater.model)
        assert isinstance(rater, Rater)
        account = Account(budget, writer, rater.model, column.price, factor)
        try:
            if not await self._open(rater, column, account):
                return
            number = column.number = self._store.open_setup(column.setup)
            loop = Loop(
                column,
                self.plan.pool,
                outcomes=Outcomes(
                    column,
                    lambda row, settles: writer.put(number, row, settles),
                    total=len(self._codes),
                ),
                account=account,
                seed=self.plan.seed,
                in_thread=self._in_thread,
            )
            self._loops.append(loop)
            if writer.failed:
                loop.stop()
            await loop.run()
            column.stopped = loop.breaker.sentence
        except OverBudgetError:
            budget.exhausted = True
        finally:
            await rater.close()

    async def _open(self, rater: Rater, column: Column, account: Account) -> bool:
        """Open a rater and keep what its probe found and cost; False when it cannot rate."""
        rubric, before = self.plan.rubric, bool(rater.settled)

        async def meter(prompt: Prompt, ask: Callable[[], Awaitable[Answer]]) -> Answer:
            tokens = request_tokens(prompt.messages, rater.settings, rubric.json_schema())
            return await account.meter(tokens, ask)

        if metered := hasattr(rater, "meter"):
            rater.meter = meter
        try:
            answers = await rater.open(rubric)
        except Failure as failure:
            column.stopped = f"{failure.sentence} '{rater.name}' could not be started."
            return False
        costs = [account.cost_usd(answer) for answer in answers]
        if rater.settled and not before:
            known = [cost for cost in costs if cost is not None]
            self._store.add_probe(
                _settings_hash(rater),
                self._asked[rater.name],
                rater.settled,
                n_input=sum(answer.n_input or 0 for answer in answers),
                n_output=sum(answer.n_output or 0 for answer in answers),
                cost_usd=sum(known) if len(known) == len(costs) else None,
            )
        for answer in () if metered else answers:
            account.spend(answer)
        if rater.form != column.builder.form:
            found = self._column(rater)
            column.builder, column.setup, column.missing = found.builder, found.setup, found.missing
        column.notes += [Note("said", {"text": found}) for found in rater.findings]
        return True

    async def _tell(self, tell: Callable[[RateProgress], None] | None) -> None:
        while tell is not None:
            await asyncio.sleep(_TELL_S)
            self.tell(tell)

    def tell(self, tell: Callable[[RateProgress], None]) -> None:
        """Tell how far every rater is."""
        for loop in self._loops:
            tell(loop.outcomes.read())


def _settings_hash(rater: Asked) -> str:
    return Setup(rater.name, rater.model, "", rater.settings, "", "").settings_hash


@contextmanager
def writable_store(store: str | Path | None) -> Iterator[Path]:
    """Yield the path of a store that no other process writes."""
    if store is not None:
        path = Path(store)
        busy = (
            f"Another process rates into {shown_path(path)}. Wait until it has ended, or choose "
            "another store."
        )
        # A file of its own: closing another handle of the database would drop SQLite's locks.
        with locked(path.with_name(path.name + "-lock"), busy):
            yield path
        return
    folder = Path(tempfile.mkdtemp(prefix="ds2-rating-"))
    path = folder / "ratings.sqlite"
    try:
        yield path
    except BaseException as error:
        error.add_note(f"The replies are kept: rate(…, store={str(path)!r}) goes on from them.")
        raise
    shutil.rmtree(folder, ignore_errors=True)


def _run_async(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, in a thread of its own where this one runs an event loop (a notebook).

    Of several errors the first is raised by itself.
    """
    failed: list[BaseException] = []
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None]]] = []
    ended, interrupted = threading.Event(), threading.Event()

    async def noted() -> None:
        if (task := asyncio.current_task()) is not None:
            running.append((asyncio.get_running_loop(), task))
        if not interrupted.is_set():
            await work

    def target() -> None:
        try:
            asyncio.run(noted())
        except BaseException as error:
            failed.append(error)
        finally:
            ended.set()

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        target()
    else:
        threading.Thread(target=target, name="ds2-rating").start()
    try:
        ended.wait()  # a `join` that was interrupted would not wait again
    except BaseException:  # what is in flight is dropped, what came is kept
        interrupted.set()
        for loop, task in running:
            loop.call_soon_threadsafe(task.cancel)
        ended.wait()
        work.close()
        raise
    while failed and isinstance(failed[0], BaseExceptionGroup):
        failed[0] = failed[0].exceptions[0]
    if failed:
        raise failed[0] from None
