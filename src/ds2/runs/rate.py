"""The stage "rate": scores that are there already, and models that rate, side by side."""

import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np

from ds2.errors import InputError, RunError, warn
from ds2.keys import random_order_keys
from ds2.pool import Pool
from ds2.pool.ids import Places
from ds2.pool.wording import shown
from ds2.rating import (
    PROBLEMS,
    Batches,
    BatchRater,
    ChatRater,
    Forecast,
    LocalRater,
    PromptBuilder,
    RateProgress,
    Ratings,
    Rubric,
    Store,
    import_panel,
    import_ratings,
    rate,
    reparse,
)
from ds2.runs.folder import MANIFEST, read_manifest
from ds2.runs.job import Job, Made, unheard
from ds2.runs.loop import opened
from ds2.runs.select import rows_of_ids

__all__ = [
    "collect_batches",
    "prompt_of",
    "rate_pool",
    "rubric_of",
    "sample_order",
    "write_batches",
]


#: The replies of a run. No stage vouches for it: it is kept whatever the recipe says.
STORE = "ratings.sqlite"
#: Stream of random order for the part of a pool that is rated; see `ds2.keys`.
SAMPLE = 2**35
_KINDS: Mapping[str, Callable[..., Any]] = {
    "chat": ChatRater,
    "local": LocalRater,
    "batch": BatchRater,
}


def rate_pool(job: Job) -> Made:
    """Write ratings.parquet: one rater per column of scores and per model that rates."""
    pool = job.pool
    panel = Ratings.join([*_imported(job, pool), *rate_by_models(job, pool)])
    if not panel.several:  # one of several is named in the report
        _check_tells_apart(panel)
    panel.save(job.folder / "ratings.parquet", ids=pool.table["id"])
    return Made(_summary(panel), panel.warnings)


def _imported(job: Job, pool: Pool) -> tuple[Ratings, ...]:
    """The scores that are there, one rater per column."""
    wanted = job.recipe.scores
    given = wanted.model_dump(include={"id_column", "scale", "bins"})
    given["file"] = None if wanted.file is None else job.path(wanted.file)
    found: tuple[Ratings, ...] = ()
    if wanted.column is not None:
        columns = (wanted.column,) if isinstance(wanted.column, str) else wanted.column
        found = unheard(import_panel, pool, columns=columns, **given).parts
    elif wanted.file is not None:
        found = unheard(import_ratings, pool, **given).parts
    for ratings in found:
        _check_on_scale(ratings, wanted.max_outside)
    return found


def _check_on_scale(ratings: Ratings, most: float) -> None:
    outside = ratings.problems.get("out of range", 0)
    given = int((ratings.codes == 0).sum()) + outside
    if outside <= most * given:
        return
    hint = next((note.numbers for note in ratings.notes if "setting" in note.numbers), None)
    where = "Set scores.scale to the scale that was used."
    if hint is not None:
        where = (
            f"All of them lie in {hint['found']}. If that is their scale, set {hint['setting']}."
        )
    raise InputError(
        f"{outside / given:.0%} of the ratings of '{ratings.rater}' ({outside:,} of {given:,}) lie "
        f"outside the declared scale, {ratings.scale.low:g} to {ratings.scale.high:g}. {where} If "
        f"they stand for no rating, raise scores.max_outside, which is {most:g}."
    )


def _check_tells_apart(ratings: Ratings) -> None:
    scores = ratings.scores()[~np.isnan(ratings.values)]
    if len(scores) and (scores == scores[0]).all():
        if stopped := ratings.usage.get("stopped"):
            raise RunError(
                f"{stopped} Until then {len(scores):,} of {len(ratings):,} examples were rated, "
                "all with one score: that is nothing to go on with."
            )
        for note in ratings.notes:
            if note.code != "one score":  # which is what the error says
                warn(str(note))
        remedy = (
            'Take another model, or form = "expected", which rates more finely.'
            if ratings.usage
            else "Check scores.column and scores.scale."
        )
        raise InputError(
            f"Every rating of '{ratings.rater}' ({len(scores):,} in all) falls into one score, "
            f"{scores[0]:g}: they tell no example from another. {remedy}"
        )


def _summary(panel: Ratings) -> dict[str, object]:
    rated = (panel.codes == 0).reshape(len(panel), -1)

    def used(name: str) -> list[Any]:
        return [one.usage.get(name) or 0 for one in panel.parts]

    summary: dict[str, object] = {
        "n_examples": len(panel),
        "n_rated": int(rated.any(axis=1).sum()),
        "n_scores": panel.n_scores,
        "problems": {} if panel.several else dict(panel.problems),
        "rater": panel.rater,
        "unanswered": sum(used("unanswered")),
        "stopped": [one.rater for one in panel.parts if one.usage.get("stopped")],
        "replies": sum(used("requests")),
    }
    if panel.several:
        summary["raters"] = {
            one.rater: {"n_rated": int(rated[:, i].sum()), "problems": dict(one.problems)}
            for i, one in enumerate(panel.parts)
        }
    return summary


def rate_by_models(job: Job, pool: Pool) -> list[Ratings]:
    """Ask every model of [raters.NAME] what the store does not have; return their ratings."""
    wanted = job.recipe.raters
    if not wanted:
        return []
    _check_store(job.folder)
    whole = [name for name, section in wanted.items() if section.only is None]
    found: dict[str, Ratings] = {}
    if whole:
        rows = _sample(job, pool)
        part = pool if len(rows) == len(pool) else pool.take(rows)
        found |= zip(whole, unheard(_rated, job, part, whole), strict=True)
        found = {name: _scattered(one, rows, len(pool)) for name, one in found.items()}
    for name in [name for name in wanted if name not in whole]:
        path = job.path(str(wanted[name].only))
        if not path.exists():
            job.listener.said(f"'{name}' rates what {path.name} lists, which is not there yet")
            continue
        rows = rows_of_ids(pool, path)
        (ratings,) = unheard(_rated, job, pool.take(rows), [name])
        found[name] = _scattered(ratings, rows, len(pool))
    return [found[name] for name in wanted if name in found]


def _sample(job: Job, pool: Pool) -> np.ndarray:
    """The rows that every rater is asked about: a random part by content, or all of them."""
    wanted, also = job.recipe.rate.sample, job.recipe.rate.also
    if wanted is None or wanted >= len(pool):
        return np.arange(len(pool))
    rows = sample_order(pool, job.recipe.seed)[:wanted]
    if also is not None and (path := job.path(also)).exists():
        rows = np.union1d(rows, rows_of_ids(pool, path))
    return np.sort(rows)


def sample_order(pool: Pool, seed: int) -> np.ndarray:
    """(n,) The rows of a pool in the random order in which they are rated."""
    return np.lexsort((pool.keys, random_order_keys(pool.keys, seed, SAMPLE)))


def _check_store(folder: Path) -> None:
    """Refuse to ask and pay for everything again because the store was lost.

    Raises:
        InputError: the run knew replies and its store holds none.
    """
    record = read_manifest(folder).stages.get("rate")
    known = record.summary.get("replies", 0) if record else 0
    path = folder / STORE
    if path.exists() and path.stat().st_size:
        with Store(path) as store:  # a lock that is waited for is said here
            if store.n_replies():
                return
    if not known:
        return
    raise InputError(
        f"The store '{path}' holds no replies, and this run had {known:,}. Put it back from a "
        f"copy. If they are to be asked for and paid again, delete '{folder / MANIFEST}'."
    )


def _rated(job: Job, pool: Pool, names: Sequence[str]) -> Sequence[Ratings]:
    """The ratings of some raters of the recipe, in their order."""
    if job.ask == "nothing":
        return reparse(pool, job.folder / STORE, rubric_of(job), raters=names).parts
    asked = [name for name in names if job.recipe.raters[name].kind != "batch"]
    found: dict[str, Ratings] = {}
    if asked:
        ratings = rate(
            pool,
            [_make(job, name) for name in asked],
            max_cost_usd=job.recipe.rate.max_cost_usd,
            confirm=lambda forecasts: _tell(forecasts, job.listener.said),
            progress=_Progress(job.listener.progress),
            **_how(job),
        )
        found |= zip(asked, ratings.parts, strict=True)
    for name in [name for name in names if name not in asked]:
        found[name] = _batched(job, Batches(pool, _make(job, name), **_how(job)), name)
    return [found[name] for name in names]


def rubric_of(job: Job) -> Rubric:
    """The recipe's rubric: a file, or that of the paper."""
    path = job.recipe.rate.rubric
    return Rubric.ds2() if path is None else Rubric.load(job.path(path))


def _how(job: Job) -> dict[str, Any]:
    """What all that are asked have in common."""
    prices = job.recipe.rate.prices
    return {
        "store": job.folder / STORE,
        "rubric": rubric_of(job),
        "prices": None if prices is None else job.path(prices),
        "seed": job.recipe.seed,
        "retry_failed": job.ask == "failed",
        **job.recipe.rate.model_dump(include={"repeats", "max_prompt_tokens"}),
    }


def _make(job: Job, name: str) -> Any:
    """Make a rater of what the recipe says of it, as far as its kind knows the setting."""
    section = job.recipe.raters[name]
    make = _KINDS[section.kind]
    takes = signature(make).parameters
    given = {key: value for key, value in section.model_dump().items() if key in takes}
    if section.kind == "local":
        if section.model is not None:
            given["model"] = job.path(section.model)
        given["temperature"] = section.temperature or 0.0
        given["context_tokens"] = job.recipe.rate.max_prompt_tokens + section.max_output_tokens
    elif section.model is None:
        raise InputError(
            f"'raters.{name}.model' is missing: the name of the model at the endpoint. Add it."
        )
    if section.kind == "batch" and section.form == "auto":
        given["form"] = "structured"
    return make(name=name, **given)


def _batched(job: Job, batches: Batches, name: str) -> Ratings:
    """Send and collect; a run does not go on before every batch is back."""
    ratings = batches.run(
        wait_s=None if job.wait else 0.0,
        max_cost_usd=job.recipe.rate.max_cost_usd,
        progress=lambda now: job.listener.progress(
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
    if len(rows) == n:
        return part

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


def write_batches(job: Job, path: Path, *, rater: str | None = None) -> list[Path]:
    """Write the requests that are missing; nothing is sent.

    Raises:
        InputError: the recipe has no such rater of the kind "batch", or nothing is missing.
    """
    with opened(job, "pool"):
        return _batches(job, rater).write(path)


def collect_batches(job: Job, files: Sequence[Path], *, rater: str | None = None) -> Ratings:
    """Read files of results into the store of the run, and return what there is now.

    Raises:
        InputError: a file cannot be read, or holds no result of this rater.
    """
    with opened(job, "pool"):
        return _batches(job, rater).collect(files)


def _batches(job: Job, rater: str | None) -> Batches:
    names = [name for name, section in job.recipe.raters.items() if section.kind == "batch"]
    if not names:
        raise InputError(
            "The recipe has no rater of the kind batch. Add [raters.NAME] with kind = "
            '"batch" and model to it.'
        )
    if rater is None and len(names) > 1:
        raise InputError(f"Several raters are batches: {', '.join(names)}. Name one with --rater.")
    name = names[0] if rater is None else rater
    if name not in names:
        raise InputError(f"No batch rater is called '{name}'. There are: {', '.join(names)}.")
    return Batches(job.pool, _make(job, name), **_how(job))


def prompt_of(
    job: Job, *, example: str | None = None, form: str | None = None
) -> tuple[Mapping[str, str], ...]:
    """Return the messages of the prompt for the example with this id, by default the first one.

    The fence around the example is that of this run: its nonce is drawn when it is first needed.
    Without a ``form`` it is that of the recipe's first rater; the prompt is one and the same for
    all that ask for an object.

    Raises:
        InputError: there is no such example or form, or the rubric is wrong.
    """
    with opened(job, "pool"), Store(job.folder / STORE) as store:
        pool = job.pool
        nonce = store.fact("nonce", secrets.token_hex(16))
    recipe, rubric = job.recipe, rubric_of(job)
    asked = form or next((one.form for one in recipe.raters.values()), "auto")
    asked = rubric.form if asked == "auto" else asked
    row = 0
    if example is not None:
        row = int(Places(pool.table["id"]).find([example])[0])
        if row < 0:
            raise InputError(
                f"No example has the id {shown(example)}. The first is {shown(pool[0].id)}."
            )
    builder = PromptBuilder(
        rubric,
        nonce,
        "structured" if asked == "auto" else asked,
        max_tokens=recipe.rate.max_prompt_tokens,
    )
    return builder.build(pool[row].messages).messages
