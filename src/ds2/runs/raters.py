"""The models that a recipe names as raters: made, asked, and put beside the imported scores."""

import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ds2.errors import Ds2Warning, InputError, RunError
from ds2.pool import Pool
from ds2.rating import (
    PROBLEMS,
    Batches,
    BatchRater,
    ChatRater,
    Forecast,
    LocalRater,
    RateProgress,
    Rater,
    Ratings,
    Rubric,
    Store,
    rate,
    reparse,
)
from ds2.runs.ids import rows_of_ids
from ds2.runs.job import Job
from ds2.runs.manifest import MANIFEST, read_manifest
from ds2.runs.recipe_file import resolve_path
from ds2.runs.recipe_rating import RaterSection

__all__ = ["STORE", "batches_of", "load_rubric", "rate_by_models"]

#: The replies of a run. No stage vouches for it: it is kept whatever the recipe says.
STORE = "ratings.sqlite"


def load_rubric(job_folder: Path, path: str | None) -> Rubric:
    """Return the recipe's rubric: a file, or that of the paper."""
    return Rubric.ds2() if path is None else Rubric.load(resolve_path(job_folder, path))


def rate_by_models(job: Job, pool: Pool) -> list[Ratings]:
    """Ask every model of [raters.NAME] what the store does not have; return their ratings."""
    wanted = job.recipe.raters
    if not wanted:
        return []
    rubric = load_rubric(job.folder, job.recipe.rate.rubric)
    _check_store(job.folder)
    whole = [name for name, section in wanted.items() if section.only is None]
    found: dict[str, Ratings] = {}
    if whole:
        found |= zip(whole, _rated(job, pool, whole, rubric), strict=True)
    for name in [name for name in wanted if name not in whole]:
        path = resolve_path(job.folder, str(wanted[name].only))
        if not path.exists():
            job.say(f"'{name}' rates what {path.name} lists, which is not there yet")
            continue
        rows = rows_of_ids(pool, path)
        (part,) = _rated(job, pool.take(rows), [name], rubric)
        found[name] = _scattered(part, rows, len(pool))
    return [found[name] for name in wanted if name in found]


def _check_store(folder: Path) -> None:
    """Refuse to ask and pay for everything again because the store was lost.

    Raises:
        InputError: the run knew replies and its store holds none.
    """
    record = read_manifest(folder).stages.get("rate")
    known = record.summary.get("replies", 0) if record else 0
    path = folder / STORE
    if not known or (path.exists() and path.stat().st_size and _n_replies(path)):
        return
    raise InputError(
        f"The store '{path}' holds no replies, and this run had {known:,}. Put it back from a "
        f"copy. If they are to be asked for and paid again, delete '{folder / MANIFEST}'."
    )


def _n_replies(path: Path) -> int:
    with Store(path) as store:
        return store.n_replies()


def _rated(job: Job, pool: Pool, names: Sequence[str], rubric: Rubric) -> Sequence[Ratings]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ds2Warning)  # they are in the result
        if job.ask == "nothing":
            return reparse(pool, job.folder / STORE, rubric, raters=names)
        asked = [name for name in names if job.recipe.raters[name].kind != "batch"]
        found: dict[str, Ratings] = {}
        if asked:
            raters = [_make(name, job.recipe.raters[name], job) for name in asked]
            found |= zip(asked, _asked(job, pool, raters, rubric), strict=True)
        for name in [name for name in names if name not in asked]:
            found[name] = _batched(job, batches_of(job, pool, name, rubric), name)
        return [found[name] for name in names]


def _asked(job: Job, pool: Pool, raters: Sequence[Rater], rubric: Rubric) -> tuple[Ratings, ...]:
    return rate(
        pool,
        raters,
        rubric=rubric,
        store=job.folder / STORE,
        repeats=job.recipe.rate.repeats,
        max_cost_usd=job.recipe.rate.max_cost_usd,
        prices=_prices(job),
        seed=job.recipe.seed,
        max_prompt_tokens=job.recipe.rate.max_prompt_tokens,
        retry_failed=job.ask == "failed",
        confirm=lambda forecasts: _tell(forecasts, job.say),
        progress=_Progress(job.progress),
    )


def batches_of(job: Job, pool: Pool, name: str, rubric: Rubric) -> Batches:
    """Return the batches of the rater ``name``, whose kind is "batch"."""
    section = job.recipe.raters[name]
    rater = BatchRater(
        _model_of(name, section),
        name=name,
        base_url=section.base_url,
        api_key_env=section.api_key_env,
        form="structured" if section.form == "auto" else section.form,
        temperature=section.temperature,
        max_output_tokens=section.max_output_tokens,
        extra=section.extra or None,
        variant=section.variant,
    )
    return Batches(
        pool,
        rater,
        store=job.folder / STORE,
        rubric=rubric,
        repeats=job.recipe.rate.repeats,
        seed=job.recipe.seed,
        max_prompt_tokens=job.recipe.rate.max_prompt_tokens,
        prices=_prices(job),
        retry_failed=job.ask == "failed",
    )


def _batched(job: Job, batches: Batches, name: str) -> Ratings:
    """Send and collect; a run does not go on before every batch is back."""
    ratings = batches.run(
        wait_s=None if job.wait else 0.0,
        max_cost_usd=job.recipe.rate.max_cost_usd,
        progress=lambda now: job.progress(
            now.n_collected + now.n_done,
            now.n_collected + now.n_in_flight,
            f"{now.n_open:,} batches open",
        ),
    )
    if in_flight := ratings.usage["in_flight"]:
        raise RunError(
            f"The batches of '{name}' are under way, {in_flight:,} requests in all: "
            f"{len(ratings) - ratings.problems.get('not asked', 0):,} of {len(ratings):,} examples "
            "have a reply. Give the same command again later, or "
            "ds2 rate with --wait; nothing is asked twice."
        )
    return ratings


def _prices(job: Job) -> Path | None:
    prices = job.recipe.rate.prices
    return None if prices is None else resolve_path(job.folder, prices)


def _model_of(name: str, section: RaterSection) -> str:
    if section.model is None:
        raise InputError(
            f"'raters.{name}.model' is missing: the name of the model at the endpoint. Add it."
        )
    return section.model


def _make(name: str, section: RaterSection, job: Job) -> Rater:
    if section.kind == "local":
        model = None if section.model is None else resolve_path(job.folder, section.model)
        return LocalRater(
            model,
            name=name,
            form=section.form,
            temperature=section.temperature or 0.0,
            max_output_tokens=section.max_output_tokens,
            processes=section.processes,
            context_tokens=job.recipe.rate.max_prompt_tokens + section.max_output_tokens,
            timeout_s=section.timeout_s,
            extra=section.extra or None,
        )
    return ChatRater(
        _model_of(name, section),
        name=name,
        base_url=section.base_url,
        api_key_env=section.api_key_env,
        api_version=section.api_version,
        form=section.form,
        temperature=section.temperature,
        max_output_tokens=section.max_output_tokens,
        concurrency=section.concurrency,
        requests_per_minute=section.requests_per_minute,
        tokens_per_minute=section.tokens_per_minute,
        timeout_s=section.timeout_s,
        extra=section.extra or None,
        variant=section.variant,
    )


def _tell(forecasts: Sequence[Forecast], say: Callable[[str], None]) -> bool:
    for forecast in forecasts:
        if forecast.n_requests:
            say(f"still to ask {forecast}")
    return True


class _Progress:
    """Adds up what several raters say of how far they are."""

    def __init__(self, tell: Callable[..., None]) -> None:
        self._tell = tell
        self._last: dict[str, RateProgress] = {}

    def __call__(self, now: RateProgress) -> None:
        self._last[now.rater] = now
        seen = self._last.values()
        failed = sum((Counter(one.failed) for one in seen), Counter[str]())
        costs = [one.cost_usd for one in seen]
        cost = "unknown" if None in costs else f"{sum(c or 0.0 for c in costs):,.2f} USD"
        tokens = (
            f"{sum(p.n_input for p in seen):,} tokens in, {sum(p.n_output for p in seen):,} out"
        )
        parts = [*(f"{count:,} {why}" for why, count in failed.items()), tokens, f"cost {cost}"]
        done = sum(one.done - one.earlier for one in seen)  # rates are those of this run
        total = sum(one.total - one.earlier for one in seen)
        self._tell(done, total, ", ".join(parts))


def _scattered(part: Ratings, rows: np.ndarray, n: int) -> Ratings:
    """Ratings of some rows as ratings of the pool; the others were not asked about."""

    def spread(values: np.ndarray) -> np.ndarray:
        whole = np.full(n, np.nan)
        whole[rows] = values
        return whole

    codes = np.full(n, 1 + PROBLEMS.index("not asked"), dtype=np.int8)
    codes[rows] = part.codes
    return replace(
        part,
        values=spread(part.values),
        codes=codes,
        spread=None if part.spread is None else spread(part.spread),
        criteria={name: spread(values) for name, values in part.criteria.items()},
        repeats=None if part.repeats is None else spread(part.repeats),
    )
