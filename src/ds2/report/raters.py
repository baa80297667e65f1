"""What the report says of the raters: how they rate, what it took, how they agree."""

from collections.abc import Iterator
from math import isfinite

from ds2.noise import measure_reliability
from ds2.rating import Histogram, RaterAudit, RatingAudit, audit_ratings
from ds2.report.model import Column, Table, by_level, columns, table
from ds2.report.results import Results

__all__ = ["rater_tables"]


def rater_tables(found: Results) -> tuple[tuple[Table, ...], tuple[str, ...]]:
    """Return the tables about the raters, and the sentences that the user should know."""
    size = max(1, min(len(found.selection.rows), len(found.pool)))
    audit = audit_ratings(found.ratings, lengths=found.pool.lengths, top=size)
    tables, notes = list(_audited(audit)), audit.warnings
    if len(found.ratings.raters) > 1:
        tables.append(_agreement(audit))
        reliability, more = _reliability(found)
        tables += [reliability, *_noise(found)]
        notes = (*notes, *more)
    return (*tables, *(_criteria(one) for one in audit.raters if one.criteria)), notes


def _audited(audit: RatingAudit) -> Iterator[Table]:
    yield table(
        "raters",
        "How they rate",
        "rater, rated, unrated, why, mean rating, sd, at the lowest: share, "
        "at the highest: share, with length, own spread",
        [
            (
                *(one.rater, one.n_rated, one.n - one.n_rated),
                ", ".join(f"{n:,} {why}" for why, n in one.unrated.items()) or "none",
                *(one.ratings.mean, one.ratings.sd, one.at_low, one.at_high),
                *(one.ratings.length_correlation, one.mean_spread),
            )
            for one in audit.raters
        ],
        says="Ratings on the rater's own scale. “With length” is Spearman's correlation with the "
        "length of the answer; “own spread” is the standard deviation that a rater itself states, "
        "where it gives probabilities.",
    )
    yield table(
        "histograms",
        "How often each score",
        f"rater, {by_level('score {}: share', len(audit.raters[0].scores))}",
        [
            (one.rater, *(n / one.n_rated if one.n_rated else None for n in one.scores))
            for one in audit.raters
        ],
        says="Shares of the rated examples.",
    )
    if any(one.usage for one in audit.raters):
        keys = ("model", "form", "requests", "n_input", "n_cached", "n_output", "cost_usd")
        yield table(
            "usage",
            "What rating took",
            "rater, model, reply form, requests, tokens in, of them cached, tokens out, cost: usd",
            [(one.rater, *map(one.usage.get, keys)) for one in audit.raters if one.usage],
            says="Over all runs, probes included. A dash: not known.",
        )
    again = [(one.rater, one.retest) for one in audit.raters if one.retest is not None]
    if again:
        yield table(
            "retest",
            "Each rater against itself",
            "rater, rated twice, same score: share, quadratic kappa, Spearman, noise",
            [(name, one.n, one.exact, one.kappa, one.spearman, one.noise) for name, one in again],
            says="Examples that a rater rated a second time, afresh. “Noise” is the standard "
            "deviation of one rating around the rater's own mean. A bias that the rater repeats is "
            "not in it.",
        )
    if audit.pairs:
        sizes = sorted({pair.top_size for pair in audit.pairs})
        yield table(
            "pairs",
            "Raters against each other",
            "raters, both rated, same score: share, same by chance: share, quadratic kappa, "
            "Spearman, top in common: share, top by chance: share",
            [
                (
                    *(" / ".join(pair.raters), pair.n, pair.exact, pair.exact_by_chance),
                    *(pair.kappa, pair.spearman, pair.top_overlap, pair.top_by_chance),
                )
                for pair in audit.pairs
            ],
            says=f"The top are the {' or '.join(f'{size:,}' for size in sizes)} highest rated of "
            "each.",
        )


def _agreement(audit: RatingAudit) -> Table:
    """How far each two raters go together."""
    names = [one.rater for one in audit.raters]
    found = {frozenset(pair.raters): pair.spearman for pair in audit.pairs}
    heads = [Column("rater"), *map(Column, names)]
    rows = [
        (one, *(1.0 if one == other else found.get(frozenset((one, other))) for other in names))
        for one in names
    ]
    says = "Spearman's correlation of the ratings of each two."
    return table("agreement of raters", "How raters agree", heads, rows, says=says, heat=True)


_SOURCES = {
    "gold": "from {n_gold:,} trusted scores",
    "raters": "from how the raters agree, errors taken as independent",
    "equal": "equal by assumption: two raters cannot tell which is better",
}


def _reliability(found: Results) -> tuple[Table, tuple[str, ...]]:
    panel = found.ratings
    one = measure_reliability(panel.scores(), gold=found.gold, gold_weights=found.gold_weights)
    source = _SOURCES.get(one.source, "not known").format(n_gold=one.n_gold)
    worth = one.counts_as or "How many independent raters they count as is not identified."
    best = [f"Best weighted: {one.together:.2f}"] if isfinite(one.together) else []
    best += [f"with one more like them {one.with_next:.2f}"] if isfinite(one.with_next) else []
    values = zip(one.values, one.low, one.high, strict=True)
    reliability = table(
        "reliability",
        "How far each can be trusted",
        "rater, reliability, weight, the others without it",
        zip(panel.raters, values, one.weights, one.without, strict=True),
        says=f"Correlation with the truth, {source}, with 95 % intervals. {worth} "
        f"{', '.join(best)}",
    )
    return reliability, one.notes


def _noise(found: Results) -> Iterator[Table]:
    """Every rater's errors, and the matrices of all but the first, which has a section."""
    noise, n = found.noise, found.n_scores
    each = [(name, noise.rater(i)) for i, name in enumerate(found.ratings.raters)]
    says = {"assumed": "as assumed", "raters": "as the raters say"}
    source = says.get(noise.rho_source, f"as {noise.rho_source} says")
    yield table(
        "noise of raters",
        "How noisy each rater is",
        f"rater, wrong scores: share, lift, {by_level('{0} as {0}', n)}",
        [(name, one.error_rate, one.lift, *one.matrix.diagonal()) for name, one in each],
        says=f"From neighbours and the other raters together, at ρ = {noise.rho:.2f} ({source}): "
        "the share of scores that are not the true one, how far neighbours agree above chance, and "
        "how often a true score is seen as itself.",
    )
    for name, one in each[1:]:
        yield table(
            f"matrix of {name}",
            f"The transition matrix of {name}",
            f"true score, {by_level('observed {}', n)}",
            [(str(level), *row) for level, row in enumerate(one.matrix)],
            heat=True,
        )


def _criteria(one: RaterAudit) -> Table:
    others = [Column(f"with {part.name}") for part in one.criteria]
    heads = (*columns("criterion, rated, mean, sd, with length"), *others, Column("ratings"))
    rows = [
        (
            *(part.name, part.n, part.mean, part.sd, part.length_correlation),
            *(*one.correlation[place], _bars(part)),
        )
        for place, part in enumerate(one.criteria)
    ]
    says = "Spearman's correlations. The last column: how often each rating occurs, lowest first."
    return table(f"criteria of {one.rater}", f"Criteria of {one.rater}", heads, rows, says=says)


def _bars(part: Histogram) -> str:
    """A histogram in block characters, one a rating."""
    most = max(part.counts, default=0)
    return "".join("▁▂▃▄▅▆▇█"[round(7 * n / most)] for n in part.counts) if most else ""
