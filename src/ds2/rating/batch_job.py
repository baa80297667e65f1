"""A pool rated in batches, over any number of days and processes."""

import secrets
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ds2.checks import check_int, check_positive
from ds2.errors import Ds2Warning, InputError
from ds2.pool import Pool
from ds2.pool.wording import shown, shown_path
from ds2.rating.assemble import assemble
from ds2.rating.batch import BatchRater
from ds2.rating.batch_plan import BatchFolder, BatchPlan, write_files
from ds2.rating.batch_run import BatchProgress, Intake, ingest, run_batches
from ds2.rating.jobs import plan_jobs, still_missing
from ds2.rating.money import Budget, Price, read_prices, unknown_price
from ds2.rating.prompt import PromptBuilder
from ds2.rating.ratings import Ratings
from ds2.rating.rows import Setup
from ds2.rating.rubric import Rubric
from ds2.rating.running import writable_store
from ds2.rating.store import Store

__all__ = ["Batches"]


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
