"""What the report says of the raters: how they rate, what it took, how they agree."""

from collections.abc import Iterator
from math import isfinite

from ds2.noise import Reliability, measure_reliability
from ds2.rating import Histogram, RaterAudit, RatingAudit, audit_ratings
from ds2.report.model import Column, Table, columns, table
from ds2.report.results import Results

__all__ = ["rater_tables"]


def rater_tables(found: Results) -> tuple[tuple[Table, ...], tuple[str, ...]]:
    """Return the tables about the raters, and the sentences that the user should know."""
    panel, n = found.panel, len(found.pool)
    size = max(1, min(len(found.selection.rows), n))
    audit = audit_ratings(panel, lengths=found.pool.lengths, top=size)
    tables = [*_ratings(audit), *_usage(audit), *_retest(audit), *_pairs(audit)]
    notes = audit.warnings
    if len(panel) > 1:
        reliability = measure_reliability(
            panel.scores(), gold=found.gold, gold_weights=found.gold_weights
        )
        tables += [_reliability(panel.raters, reliability), *_noise(found)]
        notes = (*notes, *reliability.notes)
    tables += [_criteria(one) for one in audit.raters if one.criteria]
    return tuple(tables), notes


def _ratings(audit: RatingAudit) -> Iterator[Table]:
    heads = columns(
        "rater: text, rated: count, unrated: count, why: text, mean rating, sd, "
        "at the lowest: share, at the highest: share, with length, own spread"
    )
    rows = [
        (
            one.rater,
            one.n_rated,
            one.n - one.n_rated,
            ", ".join(f"{n:,} {why}" for why, n in one.unrated.items()) or "none",
            one.ratings.mean,
            one.ratings.sd,
            one.at_low,
            one.at_high,
            one.ratings.length_correlation,
            one.mean_spread,
        )
        for one in audit.raters
    ]
    yield table(
        "raters",
        "How they rate",
        heads,
        rows,
        says="Ratings on the rater's own scale. “With length” is Spearman's correlation with the "
        "length of the answer; “own spread” is the standard deviation that a rater itself states, "
        "where it gives probabilities.",
    )
    shares = [
        (one.rater, *(n / one.n_rated if one.n_rated else None for n in one.scores))
        for one in audit.raters
    ]
    levels = [Column(f"score {level}", "share") for level in range(len(shares[0]) - 1)]
    heads = (Column("rater", "text"), *levels)
    says = "Shares of the rated examples."
    yield table("histograms", "How often each score", heads, shares, says=says)


def _usage(audit: RatingAudit) -> Iterator[Table]:
    used = [one for one in audit.raters if one.usage]
    heads = columns(
        "rater: text, model: text, reply form: text, requests: count, tokens in: count, "
        "of them cached: count, tokens out: count, cost: usd"
    )
    keys = ("requests", "n_input", "n_cached", "n_output", "cost_usd")
    rows = [
        (one.rater, str(use.get("model")), str(use.get("form")), *map(use.get, keys))
        for one in used
        for use in (one.usage,)
    ]
    if used:
        says = "Over all runs, probes included. A dash: not known."
        yield table("usage", "What rating took", heads, rows, says=says)


def _retest(audit: RatingAudit) -> Iterator[Table]:
    heads = columns(
        "rater: text, rated twice: count, same score: share, quadratic kappa, Spearman, noise"
    )
    rows = [
        (one.rater, again.n, again.exact, again.kappa, again.spearman, again.noise)
        for one in audit.raters
        if (again := one.retest) is not None
    ]
    if rows:
        yield table(
            "retest",
            "Each rater against itself",
            heads,
            rows,
            says="Examples that a rater rated a second time, afresh. “Noise” is the standard "
            "deviation of one rating around the rater's own mean. A bias that the rater repeats is "
            "not in it.",
        )


def _pairs(audit: RatingAudit) -> Iterator[Table]:
    heads = columns(
        "raters: text, both rated: count, same score: share, same by chance: share, "
        "quadratic kappa, Spearman, top in common: share, top by chance: share"
    )
    rows = [
        (
            " / ".join(pair.raters),
            pair.n,
            pair.exact,
            pair.exact_by_chance,
            pair.kappa,
            pair.spearman,
            pair.top_overlap,
            pair.top_by_chance,
        )
        for pair in audit.pairs
    ]
    sizes = sorted({pair.top_size for pair in audit.pairs})
    says = f"The top are the {' or '.join(f'{size:,}' for size in sizes)} highest rated of each."
    if rows:
        yield table("pairs", "Raters against each other", heads, rows, says=says)


def _reliability(raters: tuple[str, ...], found: Reliability) -> Table:
    source = {
        "gold": f"from {found.n_gold:,} trusted scores",
        "raters": "from how the raters agree, errors taken as independent",
        "equal": "equal by assumption: two raters cannot tell which is better",
    }.get(found.source, "not known")
    worth = found.counts_as or "How many independent raters they count as is not identified."
    best = [f"Best weighted: {found.together:.2f}"] if isfinite(found.together) else []
    best += [f"with one more like them {found.with_next:.2f}"] if isfinite(found.with_next) else []
    values = zip(found.values, found.low, found.high, strict=True)
    heads = columns("rater: text, reliability, weight, the others without it")
    return table(
        "reliability",
        "How far each can be trusted",
        heads,
        zip(raters, values, found.weights, found.without, strict=True),
        says=f"Correlation with the truth, {source}, with 95 % intervals. {worth} "
        f"{', '.join(best)}",
    )


def _noise(found: Results) -> Iterator[Table]:
    """Every rater's errors, and the matrices of all but the first, which has a section."""
    noise, levels = found.noise, range(found.n_scores)
    each = [(name, noise.rater(i)) for i, name in enumerate(found.panel.raters)]
    source = {"assumed": "as assumed", "raters": "as the raters say"}.get(
        noise.rho_source, f"as {noise.rho_source} says"
    )
    heads = columns("rater: text, wrong scores: share, lift")
    yield table(
        "noise of raters",
        "How noisy each rater is",
        (*heads, *(Column(f"{level} as {level}", "decimal") for level in levels)),
        [(name, one.error_rate, one.lift, *one.matrix.diagonal()) for name, one in each],
        says=f"From neighbours and the other raters together, at ρ = {noise.rho:.2f} ({source}): "
        "the share of scores that are not the true one, how far neighbours agree above chance, and "
        "how often a true score is seen as itself.",
    )
    seen = (Column("true score", "text"), *(Column(f"observed {i}", "decimal") for i in levels))
    for name, one in each[1:]:
        rows = [(str(level), *row) for level, row in enumerate(one.matrix)]
        title = f"The transition matrix of {name}"
        yield table(f"matrix of {name}", title, seen, rows, heat=True)


def _criteria(one: RaterAudit) -> Table:
    heads = columns("criterion: text, rated: count, mean, sd, with length")
    rows = [
        (
            part.name,
            part.n,
            part.mean,
            part.sd,
            part.length_correlation,
            *one.correlation[i],
            _bars(part),
        )
        for i, part in enumerate(one.criteria)
    ]
    others = [Column(f"with {part.name}", "decimal") for part in one.criteria]
    says = "Spearman's correlations. The last column: how often each rating occurs, lowest first."
    return table(
        f"criteria of {one.rater}",
        f"Criteria of {one.rater}",
        (*heads, *others, Column("ratings", "text")),
        rows,
        says=says,
    )


def _bars(part: Histogram) -> str:
    """A histogram in block characters, one a rating."""
    most = max(part.counts, default=0)
    return "".join("▁▂▃▄▅▆▇█"[round(7 * n / most)] for n in part.counts) if most else ""
