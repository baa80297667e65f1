"""The verdict on a run without scores: what its rows cover, against random rows of the pool."""

import numpy as np

from ds2.noise.findings import NEAR_DISTANCE
from ds2.report.model import Finding, State, Table, table
from ds2.report.results import Chosen
from ds2.report.words import count, decimal, of, plural, share
from ds2.selection import rule_of

__all__ = ["LESS", "against_random_rows", "breadth_state", "breadth_verdict"]

#: A smaller difference of coverage or redundancy does not count.
LESS = 0.01
_NEAR = (
    "Near is what lies within the median distance of a row to its last neighbour. Coverage is the "
    "share of the pool with a selected row near it, redundancy the share of selected rows with "
    "another one near."
)


def breadth_verdict(found: Chosen) -> tuple[Finding, ...]:
    """Return the findings of a report on a run without scores, in reading order."""
    return (_selected(found), _broad(found), _left_out(found), _good(found))


def breadth_state(found: Chosen) -> State:
    """Return what to do with a run without scores."""
    covered = _figures(found)
    if rule_of(found.selection.method).at_random:
        reason = "It is a random draw: it does no harm, and nothing says that it does any good."
        return State("use it with care", reason, "ds2 compare RUN", "care")
    if covered is None:
        return State("use it with care", _UNSEEN, "ds2 compare RUN", "care")
    own, usual, *_ = covered
    more = "more" if own > usual + LESS else "less" if own < usual - LESS else "as much"
    reason = (
        f"It covers {more} of the pool {'as' if more == 'as much' else 'than'} random rows do "
        f"({share(own, 0)} against {share(usual, 0)}). {_UNSEEN}"
    )
    following = "ds2 export RUN --tool trl --control" if more == "more" else "ds2 compare RUN"
    return State("use it with care", reason, following, "care")


_UNSEEN = "No score was looked at: nothing says that its rows are better ones."


def _figures(found: Chosen) -> tuple[float, float, float, float] | None:
    """Coverage of the selection and of random rows, then redundancy; None where not measured."""
    if found.curves is None:
        return None
    by_size = found.curves.by_size
    at = int(np.flatnonzero(by_size.sizes == len(found.selection.rows))[0])
    figures = (by_size.coverage, by_size.random_coverage)
    figures += (by_size.redundancy, by_size.random_redundancy)
    first, second, third, fourth = (float(values[at]) for values in figures)
    return first, second, third, fourth


def _selected(found: Chosen) -> Finding:
    rows, total = found.selection.rows, len(found.pool)
    lengths = np.asarray(found.pool.lengths)
    answer = f"{count(len(rows))} of {plural(total, 'example')} ({of(len(rows), total)})"
    detail = (
        f"Their answers have {count(int(np.median(lengths[rows])))} characters in the median; the "
        f"pool's have {count(int(np.median(lengths)))}.",
        "Nobody rated: the stages rate, noise and curate are skipped, and the method looks at no "
        "score.",
    )
    answer = f"{answer}, by method {found.selection.method}."
    return Finding("What was selected?", answer, detail, "plain")


def _broad(found: Chosen) -> Finding:
    question, figures = "Is it broader than random rows?", _figures(found)
    if figures is None:
        return Finding(question, "Not measured.", (), "open")
    own, usual, redundant, usually = figures
    more, less = own > usual + LESS, own < usual - LESS
    answer = (
        f"{'Yes' if more else 'No' if less else 'It is as broad'}: it covers {share(own, 0)} of "
        f"the pool, random rows {share(usual, 0)}. {share(redundant, 0)} of its rows are "
        f"redundant, of random rows {share(usually, 0)}."
    )
    return Finding(question, answer, (_NEAR,), "clear" if more else "care" if less else "plain")


def _left_out(found: Chosen) -> Finding:
    question = "What could not be selected?"
    dropped = {why: n for why, n in found.selection.dropped.items() if n}
    if not dropped:
        return Finding(question, "Nothing: every example could be.", (), "plain")
    answer = f"{plural(sum(dropped.values()), 'example')}: "
    answer += ", ".join(f"{count(n)} {why}" for why, n in dropped.items())
    return Finding(question, f"{answer}.", (), "plain")


def _good(found: Chosen) -> Finding:
    return Finding(
        "What would say whether they are good?",
        "Scores: a model that rates, or a column that holds some.",
        (
            "Add [raters.NAME] or scores.column to recipe.toml and give ds2 run again: what is "
            "there is kept. select.method then says whether they choose.",
            "In the end, models trained on these rows and on random ones (ds2 export RUN "
            "--control, ds2 proof RUN --plan).",
        ),
        "plain",
    )


def against_random_rows(found: Chosen) -> Table | None:
    """The selection beside the pool and random rows; None where nothing was measured."""
    figures = _figures(found)
    if figures is None:
        return None
    own, usual, redundant, usually = figures
    rows, lengths = found.selection.rows, np.asarray(found.pool.lengths)
    close = found.neighbors.distances[:, 0] <= NEAR_DISTANCE
    return table(
        "breadth",
        "Against random rows",
        "rows, coverage: share, redundancy: share, with a near-duplicate in the pool: share, "
        "long-tail score (median): fine, characters of an answer (median)",
        [
            (
                *("selected", own, redundant, float(close[rows].mean())),
                *(np.median(found.tail[rows]), int(np.median(lengths[rows]))),
            ),
            (
                *("random", usual, usually, float(close.mean())),
                *(np.median(found.tail), int(np.median(lengths))),
            ),
        ],
        says=f"{_NEAR} A near-duplicate has a cosine similarity of {decimal(1 - NEAR_DISTANCE)} or more; "
        "exact ones are not counted (select.near_duplicate leaves them out).",
    )
