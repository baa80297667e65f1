"""From the store to a table of ratings, with the parser as it is today."""

from collections.abc import Sequence

import numpy as np

from ds2.pool import Pool
from ds2.pool.wording import shown
from ds2.rating.jobs import iter_hashes
from ds2.rating.ratings import PROBLEMS, Ratings
from ds2.rating.reply import read_row
from ds2.rating.rows import UNANSWERED, Setup
from ds2.rating.rubric import Rubric
from ds2.rating.store import Store

__all__ = ["assemble"]

_CODES = {problem: 1 + number for number, problem in enumerate(PROBLEMS)}


def assemble(
    pool: Pool,
    store: Store,
    number: int | None,
    setup: Setup,
    *,
    rubric: Rubric,
    warnings: Sequence[str] = (),
    stopped: str | None = None,
    ended: bool = False,
) -> Ratings:
    """Return the ratings of a pool as the store has them; sends nothing.

    Args:
        pool: the examples. Equal ones share a rating.
        store: where the replies are.
        number: of the setup; None where it was never used.
        setup: who was asked, and how.
        rubric: what was asked; only what is not part of its hash may have changed since.
        warnings: for the result.
        stopped: why the rater was stopped before it had answered for all; None where it was not.
        ended: a budget ended the rating, so asking again would bring nothing.
    """
    n = len(pool)
    values, repeats = np.full(n, np.nan), np.full(n, np.nan)
    codes = np.full(n, _CODES["not asked"], dtype=np.int8)
    spread = np.full(n, np.nan)
    criteria = {name: np.full(n, np.nan) for name in rubric.names}
    unanswered = n if number is None else 0
    for start, hashes in iter_hashes(pool):
        if number is None:
            break
        first, second = (store.rows(number, repeat, hashes) for repeat in (0, 1))
        for row, key in enumerate(hashes, start):
            if key in second:
                again = read_row(second[key], rubric=rubric, form=setup.form)
                repeats[row] = again.values.get(rubric.scored, np.nan)
                unanswered += second[key].state == UNANSWERED
            unanswered += key not in first or first[key].state == UNANSWERED
            if key not in first:
                continue
            reading = read_row(first[key], rubric=rubric, form=setup.form)
            codes[row] = _CODES[reading.problem] if reading.problem is not None else 0
            for name, value in reading.values.items():
                criteria[name][row] = value
            if reading.spread is not None:
                spread[row] = reading.spread
    unanswered = 0 if ended else unanswered
    if unanswered and stopped is None:
        warnings = (
            *warnings,
            f"{unanswered:,} requests to {shown(setup.rater)} have no reply, for reasons that can "
            "pass. Rate again: they alone are sent.",
        )
    scored = criteria[rubric.scored]
    values[codes == 0] = scored[codes == 0]
    return Ratings(
        values=values,
        codes=codes,
        scale=rubric.scale,
        rater=setup.rater,
        warnings=tuple(warnings),
        spread=spread if setup.form == "expected" else None,
        criteria={name: array for name, array in criteria.items() if not np.isnan(array).all()},
        repeats=None if np.isnan(repeats).all() else repeats,
        usage=_usage(store, number, setup) | {"unanswered": unanswered, "stopped": stopped},
    )


def _usage(store: Store, number: int | None, setup: Setup) -> dict[str, object]:
    """Return what the ratings took over all runs, probes included."""
    if number is None:
        return {}
    totals = store.totals(number)
    probes_usd = store.probe_cost(setup.settings_hash)
    return {
        "model": setup.model,
        "form": setup.form,
        "requests": totals.n_requests,
        "n_input": totals.n_input,
        "n_output": totals.n_output,
        "n_cached": totals.n_cached,
        "cost_usd": None if totals.cost_usd is None else totals.cost_usd + probes_usd,
    }
