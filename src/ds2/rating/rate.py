"""From a pool to ratings: ask what the store does not have, then read the store."""

import secrets
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from ds2.checks import check_int, check_positive
from ds2.errors import Ds2Warning, InputError, RunError
from ds2.pool import Pool
from ds2.pool.wording import shown, shown_names, shown_path
from ds2.rating.assemble import assemble
from ds2.rating.forecast import Forecast
from ds2.rating.money import Budget, read_prices
from ds2.rating.progress import RateProgress
from ds2.rating.rater import Rater
from ds2.rating.ratings import Ratings
from ds2.rating.rows import Setup, canonical
from ds2.rating.rubric import Rubric
from ds2.rating.running import run_async, writable_store
from ds2.rating.session import Column, Plan, Session
from ds2.rating.store import Store

__all__ = ["rate", "reparse"]


@overload
def rate(
    pool: Pool,
    raters: Rater,
    *,
    rubric: Rubric | None = ...,
    store: str | Path | None = ...,
    repeats: int = ...,
    max_cost_usd: float | None = ...,
    prices: Mapping[str, Any] | str | Path | None = ...,
    nonce: str | None = ...,
    seed: int = ...,
    max_prompt_tokens: int | None = ...,
    count_tokens: Callable[[str], int] | None = ...,
    retry_failed: bool = ...,
    confirm: Callable[[Sequence[Forecast]], bool] | None = ...,
    progress: Callable[[RateProgress], None] | None = ...,
) -> Ratings: ...


@overload
def rate(
    pool: Pool,
    raters: Sequence[Rater],
    *,
    rubric: Rubric | None = ...,
    store: str | Path | None = ...,
    repeats: int = ...,
    max_cost_usd: float | None = ...,
    prices: Mapping[str, Any] | str | Path | None = ...,
    nonce: str | None = ...,
    seed: int = ...,
    max_prompt_tokens: int | None = ...,
    count_tokens: Callable[[str], int] | None = ...,
    retry_failed: bool = ...,
    confirm: Callable[[Sequence[Forecast]], bool] | None = ...,
    progress: Callable[[RateProgress], None] | None = ...,
) -> tuple[Ratings, ...]: ...


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
    confirm: Callable[[Sequence[Forecast]], bool] | None = None,
    progress: Callable[[RateProgress], None] | None = None,
) -> Ratings | tuple[Ratings, ...]:
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
        The ratings, or a tuple of them when ``raters`` is a sequence, in its order. What was not
        asked, and why a rater was stopped, is in their problems and warnings.

    Raises:
        InputError: an argument is wrong, or a budget is set and a price unknown.
        RunBusyError: another process rates into this store.
        RunError: no rater could rate anything, or the disk failed.
    """
    asked = (raters,) if isinstance(raters, Rater) else tuple(raters)
    _check(asked, repeats, max_cost_usd, max_prompt_tokens)
    with writable_store(store) as path, Store(path) as opened:
        opened.check()
        plan = Plan(
            pool=pool,
            rubric=Rubric.ds2() if rubric is None else rubric,
            nonce=opened.fact("nonce", secrets.token_hex(16)) if nonce is None else nonce,
            seed=seed,
            repeats=repeats,
            prices=read_prices(prices),
            max_prompt_tokens=max_prompt_tokens,
            count_tokens=count_tokens,
            retry_failed=retry_failed,
        )
        session = Session(opened, asked, plan)
        budget = session.budget(max_cost_usd)
        if sent := confirm is None or confirm(session.forecasts()):
            run_async(session.ask(budget, path, progress))
        if progress is not None:
            session.tell(progress)
        found = _results(session, plan, opened, budget, sent=sent)
        return found[0] if isinstance(raters, Rater) else found


def reparse(
    pool: Pool,
    store: str | Path,
    rubric: Rubric | None = None,
    *,
    raters: Sequence[str] | None = None,
) -> tuple[Ratings, ...]:
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
            raise InputError(
                f"The store {shown_path(store)} holds no replies {whom}to the rubric "
                f"{shown(asked.name)}. It has those of: {shown_names(sorted(latest))}."
            )
        names = sorted(latest) if raters is None else raters
        return tuple(assemble(pool, opened, *latest[name], rubric=asked) for name in names)


def _check(
    raters: tuple[Rater, ...],
    repeats: int,
    max_cost_usd: float | None,
    max_prompt_tokens: int | None,
) -> None:
    check_int("repeats", repeats, low=0)
    if max_cost_usd is not None:
        check_positive("max_cost_usd", max_cost_usd, zero=True)
    if max_prompt_tokens is not None:
        check_int("max_prompt_tokens", max_prompt_tokens, low=1)
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


def _results(
    session: Session, plan: Plan, store: Store, budget: Budget, *, sent: bool
) -> tuple[Ratings, ...]:
    """Read every rater's ratings from the store and warn of what is not there."""
    ratings = []
    for column in session.columns:
        said = _said(column, plan, budget)
        ratings.append(
            assemble(
                plan.pool,
                store,
                column.number,
                column.setup,
                rubric=plan.rubric,
                warnings=said,
                stopped=column.stopped,
                ended=budget.exhausted or not sent,
            )
        )
    stopped = [column.stopped for column in session.columns if column.stopped]
    if stopped and not any((one.codes == 0).any() for one in ratings):
        raise RunError(" ".join(stopped))
    for sentence in dict.fromkeys(said for one in ratings for said in one.warnings):
        warnings.warn(sentence, Ds2Warning, stacklevel=3)
    return tuple(ratings)


def _said(column: Column, plan: Plan, budget: Budget) -> list[str]:
    """Return what the user should know about one rater's part."""
    said, name = list(column.warnings), column.rater.name
    if column.stopped:
        said.append(column.stopped)
    if budget.exhausted:
        said.append(
            f"max_cost_usd = {budget.max_usd:g} stopped the rating: a further request could have "
            "exceeded it. What was rated is a random sample of the pool."
        )
    if plan.repeats and column.rater.settings.get("temperature") == 0:
        said.append(
            f"'{name}' has temperature 0: its repeats show only what the endpoint itself varies, "
            "not the noise of its judgement."
        )
    return said
