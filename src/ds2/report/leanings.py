"""What curation or selection leans to beside quality: found as numbers, said in one place."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ds2.curation import BiasRow

__all__ = ["LENGTH", "Leaning", "in_words", "of_scores", "of_selection"]

LENGTH = "length of the answer"
#: Spearman correlation by which curated scores must go with something more than raw ones do.
RISES_BY = 0.1
#: Times as long as the pool's that the selected answers are in the median, of at least so many.
LONGER, LEAST = 1.5, 20


@dataclass(frozen=True, slots=True)
class Leaning:
    """One thing that something goes with more than it did."""

    #: "scores" (curated against raw ones) or "selection" (against the pool)
    code: Literal["scores", "selection"]
    of: str  #: what they go with
    before: float  #: Spearman's correlation of the raw scores, or the pool's median length
    after: float  #: the same of the curated scores, or of the selected rows


def of_scores(bias: Iterable[BiasRow]) -> tuple[Leaning, ...]:
    """What curated scores go with clearly more than raw ones did."""
    return tuple(
        Leaning("scores", row.covariate, row.raw.value, row.curated.value)
        for row in bias
        if row.measure == "spearman"
        and abs(row.curated.value) - abs(row.raw.value) >= RISES_BY
        and (row.change.low > 0 or row.change.high < 0)
    )


def of_selection(lengths: np.ndarray, rows: np.ndarray) -> tuple[Leaning, ...]:
    """Whether the answers of the selected rows (m,) are much longer than the pool's (n,)."""
    if len(rows) < LEAST:
        return ()
    before, after = float(np.median(lengths)), float(np.median(lengths[rows]))
    return (Leaning("selection", LENGTH, before, after),) if after >= LONGER * before > 0 else ()


def in_words(
    found: Iterable[Leaning], *, control: Collection[str], gold: bool = False, curated: bool = True
) -> tuple[str, ...]:
    """Return a sentence or two for each, with what to add to the command.

    ``control`` is taken out of the curated scores already (``curate.control``); ``curated`` says
    whether the method selects by them, ``gold`` whether there are trusted scores.
    """
    return tuple(_said(one, control, gold=gold, curated=curated) for one in found)


def _said(one: Leaning, control: Collection[str], *, gold: bool, curated: bool) -> str:
    out = one.of == LENGTH and curated and "length" not in control
    if one.code == "scores":
        judge = (
            "a warning says so where the trusted scores do not bear it out"
            if gold
            else "only trusted scores can tell"
        )
        more = " --set curate.control=length takes it out." if out else ""
        return (
            f"Curated scores go with the {one.of} more than raw ones did (Spearman "
            f"{one.after:.2f}, before {one.before:.2f}). That can be quality, or a bias that "
            f"raters and neighbours share: {judge}.{more}"
        )
    more = (
        "--set curate.control=length takes out of the scores what length explains; " if out else ""
    )
    return (
        f"The selected answers are {one.after / one.before:.1f} times as long as the pool's "
        f"(median {int(one.after):,} characters, the pool's {int(one.before):,}), so "
        f"what they teach may be their length: {more}ds2 export --control writes random rows of "
        "the same lengths beside them, to train on as well."
    )
