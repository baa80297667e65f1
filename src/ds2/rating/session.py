"""One run over several raters: what each still has to be asked, and the asking."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ds2.errors import InputError
from ds2.pool import Pool
from ds2.pool.wording import shown
from ds2.rating.account import Account, OverBudgetError, request_tokens
from ds2.rating.forecast import Forecast, forecast
from ds2.rating.jobs import iter_jobs, plan_jobs, still_missing
from ds2.rating.loop import InThread, Loop
from ds2.rating.money import Budget, Price, PriceTable, unknown_price
from ds2.rating.progress import RateProgress, Tally
from ds2.rating.prompt import FORMS, Prompt, PromptBuilder
from ds2.rating.rater import Answer, Failure, Metered, Rater
from ds2.rating.rows import Setup
from ds2.rating.rubric import Rubric
from ds2.rating.store import Store
from ds2.rating.writer import Writer

__all__ = ["Column", "Plan", "Session"]

_TELL_S = 0.25


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked, of everybody alike.

    Attributes:
        pool: the examples.
        rubric: what is asked.
        nonce: the fence of the prompts is derived from it.
        seed: of the order, the repeats and the requests.
        repeats: how many examples are rated twice.
        prices: by model.
        max_prompt_tokens: longer examples are shortened in the middle; None has no limit.
        count_tokens: counts the tokens of a text; None estimates.
        retry_failed: ask again what the endpoint refused in an earlier run.
    """

    pool: Pool
    rubric: Rubric
    nonce: str
    seed: int
    repeats: int
    prices: PriceTable
    max_prompt_tokens: int | None = None
    count_tokens: Callable[[str], int] | None = None
    retry_failed: bool = False

    def builder(self, rater: Rater, form: str) -> PromptBuilder:
        """Return what makes the prompts of one rater, no longer than it can read."""
        most = self.max_prompt_tokens
        own: int | None = getattr(rater, "max_prompt_tokens", None)
        return PromptBuilder(
            self.rubric,
            self.nonce,
            form,
            max_tokens=own if most is None else most if own is None else min(most, own),
            count_tokens=self.count_tokens,
        )


@dataclass(slots=True)
class Column:
    """One rater's part of a run.

    Attributes:
        rater: who.
        builder: makes the prompts.
        setup: who is asked, and how.
        number: of the setup in the store, None until something is asked.
        missing: what is to be asked, as `plan_jobs` returns it.
        total: what the whole pool takes.
        price: None where unknown.
        warnings: what the user should know.
        stopped: why the rater was stopped, None where it was not.
    """

    rater: Rater
    builder: PromptBuilder
    setup: Setup
    number: int | None
    missing: np.ndarray
    total: int
    price: Price | None
    warnings: list[str] = field(default_factory=list)
    stopped: str | None = None


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
        raters: Sequence[Rater],
        plan: Plan,
        *,
        books: type[Writer] = Writer,
        in_thread: InThread = asyncio.to_thread,
    ) -> None:
        self._store, self._plan, self._books, self._in_thread = store, plan, books, in_thread
        self._codes = plan_jobs(plan.pool.keys, seed=plan.seed, repeats=plan.repeats)
        own = plan.rubric.form
        self._asked = {one.name: own if one.form == "auto" else one.form for one in raters}
        for rater in raters:
            known = (
                None
                if rater.settled
                else store.probe(self._settings_hash(rater), self._asked[rater.name])
            )
            if known is not None:
                rater.settle(known)
        self.columns = [self._column(rater) for rater in raters]
        self._tallies: list[Tally] = []

    def _settings_hash(self, rater: Rater) -> str:
        return Setup(rater.name, rater.model, "", rater.settings, "", "").settings_hash

    def _column(self, rater: Rater) -> Column:
        """Look up what is missing. An open form is taken to be JSON schema until it is known."""
        plan = self._plan
        form = next(one for one in (rater.form, plan.rubric.form, FORMS[0]) if one in FORMS)
        builder = plan.builder(rater, form)
        setup = Setup(rater.name, rater.model, form, rater.settings, plan.rubric.hash, builder.hash)
        number = self._store.number(setup)
        missing = self._codes
        if number is not None:
            missing = still_missing(
                missing, plan.pool, self._store, number, retry_failed=plan.retry_failed
            )
        price = plan.prices.price(rater.model)
        return Column(rater, builder, setup, number, missing, len(self._codes), price)

    def forecasts(self) -> tuple[Forecast, ...]:
        """Say what the asking takes; sends nothing."""
        return tuple(
            forecast(
                self._plan.pool,
                column.rater,
                column.builder,
                codes=column.missing,
                prices=self._plan.prices,
                count_tokens=self._plan.count_tokens,
            )
            for column in self.columns
        )

    def budget(self, max_usd: float | None) -> Budget:
        """Return the budget, less what was spent or may have been on this store before.

        Raises:
            InputError: a price that it takes is unknown.
        """
        if max_usd is None:
            return Budget(None)
        for column in self.columns:
            name = shown(column.rater.name)
            if column.price is None:
                raise unknown_price(column.rater.model, column.rater.name)
            if "max_output_tokens" not in column.rater.settings:
                raise InputError(
                    f"'max_cost_usd' cannot be kept: the settings of {name} have no "
                    "'max_output_tokens'."
                )
        return Budget(max_usd, self._store.spent(self._plan.prices.price))

    async def ask(
        self, budget: Budget, path: Path, tell: Callable[[RateProgress], None] | None
    ) -> None:
        """Ask all raters at once for what is missing, each at its own speed."""
        loop = asyncio.get_running_loop()
        loops: list[Loop] = []

        def stop_all() -> None:
            for one in loops:
                one.stop()

        with self._books(path, stopped=lambda: loop.call_soon_threadsafe(stop_all)) as writer:
            async with asyncio.TaskGroup() as group:
                teller = group.create_task(self._tell(tell))
                asking = [
                    group.create_task(self._ask(column, budget, writer, loops))
                    for column in self.columns
                    if len(column.missing)
                ]
                await asyncio.gather(*asking)
                teller.cancel()

    async def _ask(self, column: Column, budget: Budget, writer: Writer, loops: list[Loop]) -> None:
        model = column.rater.model
        account = Account(budget, writer, model, column.price, self._store.factor(model))
        try:
            if await self._open(column, account):
                await self._run(column, budget, account, writer, loops)
        except OverBudgetError:
            budget.exhausted = True
        finally:
            await column.rater.close()

    async def _open(self, column: Column, account: Account) -> bool:
        """Open a rater and keep what its probe found and cost; False when it cannot rate."""
        rater, plan = column.rater, self._plan
        before = bool(rater.settled)
        schema = plan.rubric.json_schema()

        async def meter(prompt: Prompt, ask: Callable[[], Awaitable[Answer]]) -> Answer:
            tokens = request_tokens(prompt.messages, rater.settings, schema)
            return await account.meter(tokens, ask)

        metered = isinstance(rater, Metered)
        if isinstance(rater, Metered):
            rater.meter = meter
        try:
            answers = await rater.open(plan.rubric)
        except Failure as failure:
            column.stopped = f"{failure.sentence} '{rater.name}' could not be started."
            return False
        costs = [account.cost_usd(answer) for answer in answers]
        if rater.settled and not before:
            known = [cost for cost in costs if cost is not None]
            self._store.add_probe(
                self._settings_hash(rater),
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
        column.warnings += rater.findings
        column.number = self._store.open_setup(column.setup)
        return True

    async def _run(
        self, column: Column, budget: Budget, account: Account, writer: Writer, loops: list[Loop]
    ) -> None:
        plan, number = self._plan, column.number
        assert number is not None
        tally = Tally(
            column.rater.name,
            total=column.total,
            earlier=column.total - len(column.missing),
            price=column.price,
            now=time.monotonic,
        )
        self._tallies.append(tally)
        loop = Loop(
            column.rater,
            plan.rubric,
            iter_jobs(column.missing, plan.pool, column.builder),
            keep=lambda row, settles: writer.put(number, row, settles),
            tally=tally,
            budget=budget,
            account=account,
            seed=plan.seed,
            in_thread=self._in_thread,
        )
        loops.append(loop)
        if writer.failed:
            loop.stop()
        await loop.run()
        column.stopped = loop.breaker.sentence

    async def _tell(self, tell: Callable[[RateProgress], None] | None) -> None:
        while tell is not None:
            await asyncio.sleep(_TELL_S)
            self.tell(tell)

    def tell(self, tell: Callable[[RateProgress], None]) -> None:
        """Tell how far every rater is."""
        for tally in self._tallies:
            tell(tally.read())
