"""What the report says of the raters: how they rate, what it took, how they agree."""

from collections.abc import Iterator

import numpy as np

from ds2.noise import Reliability, TransitionEstimate, measure_reliability
from ds2.rating import Histogram, Panel, RaterAudit, RatingAudit, audit_ratings
from ds2.report.sheets import Column, Sheet
from ds2.report.tables import number

__all__ = ["rater_sheets"]

_NAME = Column("rater", "text")


def rater_sheets(
    panel: Panel,
    noise: TransitionEstimate,
    *,
    lengths: np.ndarray,
    size: int,
    gold: np.ndarray | None = None,
    gold_weights: np.ndarray | None = None,
) -> tuple[tuple[Sheet, ...], tuple[str, ...]]:
    """Return the sheets about the raters, and the sentences that the user should know.

    Args:
        panel: who rated what.
        noise: the estimate for these raters.
        lengths: (n,) lengths of the examples.
        size: M, for the overlap of the raters' highest rated.
        gold: (n,) trusted scores, where there are any.
        gold_weights: (n,) their weights.
    """
    audit = audit_ratings(panel, lengths=lengths, top=max(1, min(size, len(lengths))))
    reliability = (
        measure_reliability(panel.scores(), gold=gold, gold_weights=gold_weights)
        if len(panel) > 1
        else None
    )
    sheets = [
        _ratings(audit),
        _histogram(audit, panel.n_scores),
        *_usage(audit),
        *_retest(audit),
        *_pairs(audit),
        *(() if reliability is None else _reliability(panel, reliability)),
        *_noise(panel, noise),
        *(sheet for one in audit.raters for sheet in _criteria(one)),
    ]
    notes = () if reliability is None else reliability.notes
    return tuple(sheets), (*audit.warnings, *notes)


def _ratings(audit: RatingAudit) -> Sheet:
    rows = [
        (
            one.rater,
            one.n_rated,
            one.n - one.n_rated,
            ", ".join(f"{count:,} {why}" for why, count in one.unrated.items()) or "none",
            number(one.ratings.mean),
            number(one.ratings.sd),
            number(one.at_low),
            number(one.at_high),
            number(one.ratings.length_correlation),
            number(one.mean_spread),
        )
        for one in audit.raters
    ]
    columns = (
        _NAME,
        Column("rated", "count"),
        Column("unrated", "count"),
        Column("why", "text"),
        Column("mean rating"),
        Column("sd"),
        Column("at the lowest", "share"),
        Column("at the highest", "share"),
        Column("with length"),
        Column("own spread"),
    )
    says = (
        "Ratings on the rater's own scale. “With length” is Spearman's correlation with the "
        "length of the answer; “own spread” is the standard deviation that a rater itself states, "
        "where it gives probabilities."
    )
    return Sheet("How they rate", says, columns, tuple(rows))


def _histogram(audit: RatingAudit, n_scores: int) -> Sheet:
    columns = (_NAME, *(Column(f"score {level}", "share") for level in range(n_scores)))
    rows = [
        (one.rater, *((count / one.n_rated if one.n_rated else None) for count in one.scores))
        for one in audit.raters
    ]
    return Sheet("How often each score", "Shares of the rated examples.", columns, tuple(rows))


def _usage(audit: RatingAudit) -> Iterator[Sheet]:
    used = [one for one in audit.raters if one.usage]
    if not used:
        return
    columns = (
        _NAME,
        Column("model", "text"),
        Column("reply form", "text"),
        Column("requests", "count"),
        Column("tokens in", "count"),
        Column("of them cached", "count"),
        Column("tokens out", "count"),
        Column("cost", "text"),
    )
    rows = [
        (
            one.rater,
            str(one.usage.get("model")),
            str(one.usage.get("form")),
            *(
                _whole(one.usage.get(key))
                for key in ("requests", "n_input", "n_cached", "n_output")
            ),
            _cost(one.usage.get("cost_usd")),
        )
        for one in used
    ]
    yield Sheet("What rating took", "Over all runs, probes included.", columns, tuple(rows))


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _cost(value: object) -> str:
    return f"{value:,.4f} USD" if isinstance(value, (int, float)) else "unknown"


def _retest(audit: RatingAudit) -> Iterator[Sheet]:
    twice = [(one.rater, one.retest) for one in audit.raters if one.retest is not None]
    if not twice:
        return
    columns = (
        _NAME,
        Column("rated twice", "count"),
        Column("same score", "share"),
        Column("quadratic kappa"),
        Column("Spearman"),
        Column("noise"),
    )
    rows = [
        (name, found.n, *map(number, (found.exact, found.kappa, found.spearman, found.noise)))
        for name, found in twice
    ]
    says = (
        "Examples that a rater rated a second time, afresh. “Noise” is the standard deviation of "
        "one rating around the rater's own mean. A bias that the rater repeats is not in it."
    )
    yield Sheet("Each rater against itself", says, columns, tuple(rows))


def _pairs(audit: RatingAudit) -> Iterator[Sheet]:
    if not audit.pairs:
        return
    columns = (
        Column("raters", "text"),
        Column("both rated", "count"),
        Column("same score", "share"),
        Column("by chance", "share"),
        Column("quadratic kappa"),
        Column("Spearman"),
        Column("top in common", "share"),
        Column("by chance", "share"),
    )
    rows = [
        (
            " / ".join(pair.raters),
            pair.n,
            *map(number, (pair.exact, pair.exact_by_chance, pair.kappa, pair.spearman)),
            number(pair.top_overlap),
            number(pair.top_by_chance),
        )
        for pair in audit.pairs
    ]
    sizes = sorted({pair.top_size for pair in audit.pairs})
    says = f"The top are the {' or '.join(f'{size:,}' for size in sizes)} highest rated of each."
    yield Sheet("Raters against each other", says, columns, tuple(rows))


def _reliability(panel: Panel, found: Reliability) -> Iterator[Sheet]:
    columns = (
        _NAME,
        Column("reliability"),
        Column("95 % interval", "interval"),
        Column("weight"),
        Column("the others without it"),
    )
    rows = [
        (
            name,
            number(found.values[i]),
            (number(found.low[i]), number(found.high[i])),
            number(found.weights[i]),
            number(found.without[i]),
        )
        for i, name in enumerate(panel.raters)
    ]
    source = {
        "gold": f"from {found.n_gold:,} trusted scores",
        "raters": "from how the raters agree, errors taken as independent",
        "equal": "equal by assumption: two raters cannot tell which is better",
    }.get(found.source, "not known")
    together, following = number(found.together), number(found.with_next)
    next_ = "" if following is None else f", with one more like them {following:.2f}"
    best = "" if together is None else f" Together, best weighted, {together:.2f}{next_}."
    worth = found.counts_as or "How many independent raters they count as is not identified."
    says = f"Correlation with the truth, {source}. {worth}{best}"
    yield Sheet("How far each can be trusted", says, columns, tuple(rows))


def _noise(panel: Panel, noise: TransitionEstimate) -> Iterator[Sheet]:
    if len(panel) < 2:
        return
    s = panel.n_scores
    columns = (
        _NAME,
        Column("wrong scores", "share"),
        Column("lift"),
        Column("95 % interval", "interval"),
        *(Column(f"{level} as {level}") for level in range(s)),
    )
    rows = []
    for i, name in enumerate(panel.raters):
        one = noise.rater(i)
        lift = one.lift
        diagonal = (number(one.matrix[level, level]) for level in range(s))
        ends = (number(lift.low), number(lift.high))
        rows.append((name, number(one.error_rate), number(lift.value), ends, *diagonal))
    source = {"assumed": "as assumed", "raters": "as the raters say"}.get(
        noise.rho_source, f"as {noise.rho_source} says"
    )
    says = (
        f"From neighbours and the other raters together, at ρ = {noise.rho:.2f} ({source}): the "
        "share of scores that are not the true one, how far neighbours agree above chance, and how "
        "often a true score is seen as itself."
    )
    yield Sheet("How noisy each rater is", says, columns, tuple(rows))
    columns = (Column("true score", "count"), *(Column(f"observed {level}") for level in range(s)))
    for i, name in enumerate(panel.raters[1:], start=1):
        matrix = noise.rater(i).matrix
        cells = tuple((level, *map(number, row)) for level, row in enumerate(matrix))
        yield Sheet(f"The transition matrix of {name}", "", columns, cells)


def _criteria(one: RaterAudit) -> Iterator[Sheet]:
    if not one.criteria:
        return
    names = [part.name for part in one.criteria]
    columns = (
        Column("criterion", "text"),
        Column("rated", "count"),
        Column("mean"),
        Column("sd"),
        Column("with length"),
        *(Column(f"with {name}") for name in names),
        Column("ratings", "text"),
    )
    rows = [
        (
            part.name,
            part.n,
            *map(number, (part.mean, part.sd, part.length_correlation)),
            *(number(value) for value in one.correlation[i]),
            _bars(part),
        )
        for i, part in enumerate(one.criteria)
    ]
    says = "Spearman's correlations. The last column: how often each rating occurs, lowest first."
    yield Sheet(f"Criteria of {one.rater}", says, columns, tuple(rows))


def _bars(part: Histogram) -> str:
    """A histogram in block characters, one a rating."""
    most = max(part.counts, default=0)
    if most == 0:
        return ""
    return "".join("▁▂▃▄▅▆▇█"[round(7 * count / most)] for count in part.counts)
