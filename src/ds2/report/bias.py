"""What scores go with beside quality, before and after curation."""

from collections.abc import Sequence

import numpy as np

from ds2.curation import BiasRow
from ds2.embedding import identify_languages
from ds2.measures import Interval
from ds2.pool import Pool
from ds2.report.sheets import Column, Sheet, Value
from ds2.report.tables import number

__all__ = ["bias_sheet", "leanings", "sampled_languages"]

#: Examples whose language is told: enough for a correlation, and bounded.
SAMPLE = 2000
#: A correlation that curation raises by so much is said in the verdict.
RISES_BY = 0.1


def leanings(measured: Sequence[BiasRow], *, trusted: bool) -> tuple[str, ...]:
    """Say what curated scores go with clearly more than raw ones did.

    ``trusted`` is whether the run has trusted scores: then a warning of the curation names a bias.
    """
    judge = (
        "a warning says so where the trusted scores do not bear it out."
        if trusted
        else "only trusted scores can tell."
    )
    return tuple(
        f"Curated scores go with the {row.covariate} more than raw ones did (Spearman "
        f"{row.curated.value:.2f}, before {row.raw.value:.2f}). That can be quality, or a bias "
        f"that raters and neighbours share: {judge}"
        for row in measured
        if row.measure == "spearman"
        and abs(row.curated.value) - abs(row.raw.value) >= RISES_BY
        and (row.change.low > 0 or row.change.high < 0)
    )


def bias_sheet(measured: Sequence[BiasRow]) -> Sheet:
    """Return how far raw and curated scores go with each covariate, alone and others fixed."""

    def ends(figure: Interval) -> Value:
        return (number(figure.low), number(figure.high))

    rows: list[tuple[Value, ...]] = [
        (
            row.covariate,
            "Spearman" if row.measure == "spearman" else "eta",
            number(row.raw.value),
            ends(row.raw),
            number(row.curated.value),
            ends(row.curated),
            number(row.raw_partial.value),
            number(row.curated_partial.value),
            row.n,
        )
        for row in measured
    ]
    columns = (
        Column("with", "text"),
        Column("measure", "text"),
        Column("raw"),
        Column("95 % interval", "interval"),
        Column("curated"),
        Column("95 % interval", "interval"),
        Column("raw, others fixed"),
        Column("curated, others fixed"),
        Column("examples", "count"),
    )
    says = (
        "Spearman's correlation for numbers, the correlation ratio eta for labels (0 is none, 1 is "
        "all). A bias that raters or neighbours share is in both; only trusted scores can tell it "
        "from quality."
    )
    return Sheet("What else the scores go with", says, columns, tuple(rows))


def sampled_languages(pool: Pool) -> list[str | None]:
    """Return the language of evenly spaced examples, None for the others."""
    found: list[str | None] = [None] * len(pool)
    rows = np.unique(np.linspace(0, max(len(pool) - 1, 0), min(SAMPLE, len(pool))).astype(int))
    for row, language in zip(rows, identify_languages(pool.take(rows).texts()), strict=True):
        found[int(row)] = language
    return found
