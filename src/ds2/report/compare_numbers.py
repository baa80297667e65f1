"""Every number that a comparison shows, as frozen values that JSON can hold.

HTML, Markdown and JSON are three ways to write one `CompareNumbers`. None means "not known" or
"does not apply"; shares are fractions; texts are kept as they are (shortened).
"""

from dataclasses import dataclass
from typing import Literal

from ds2.report.numbers import Estimate, Pick, Share

__all__ = ["CompareNumbers", "JudgeNumbers", "Judged", "LeftOut", "MethodNumbers"]


@dataclass(frozen=True, slots=True)
class MethodNumbers:
    """What one method selected.

    Attributes:
        name: the method.
        source: where it comes from.
        reads: what it goes by: "curated", "raw" or nothing of raters ("").
        is_random: whether it draws at random.
        n: rows.
        raw: mean of what the ratings say.
        curated: mean curated score.
        gold: mean trusted score of its rows that have one.
        n_gold: how many of its rows have one.
        tail: mean long-tail score.
        coverage: share of the pool near a selected row.
        redundancy: share of its rows near another selected one.
        nearest: mean distance to the nearest other selected row.
        length: mean characters of a completion.
        tokens: sum of what the tokenizer counts.
        seconds_s: how long selecting took.
        kept_seed: share of its rows that it also selects under another seed; None where selecting
            again would cost too much.
        kept_rater: mean share of its rows that it also selects when one of the raters is left out.
        sources: share of its rows by source, largest first.
        n_only: rows that no other method selected.
        only: a few of them, in pick order.
    """

    name: str
    source: str
    reads: str
    is_random: bool
    n: int
    raw: float | None
    curated: float | None
    gold: float | None
    n_gold: int
    tail: float | None
    coverage: float | None
    redundancy: float | None
    nearest: float | None
    length: float | None
    tokens: int
    seconds_s: float
    kept_seed: float | None
    kept_rater: float | None
    sources: tuple[Share, ...]
    n_only: int
    only: tuple[Pick, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """One method against random, by one judge.

    Attributes:
        method: its name.
        chosen: mean of the judge's scores over the selected rows that have one.
        random: what a random selection of that size has.
        difference: chosen − random and its paired 95 % interval.
        beaten: share of the drawn random selections below the method's.
        n: selected rows that the judge scored.
        mixed: the difference from random selections with the same mix of sources; None where the
            pool names no two sources.
        same_length: the difference from random selections with the same lengths of completions,
            which a liking for long answers cannot explain.
    """

    method: str
    chosen: float | None
    random: float | None
    difference: Estimate
    beaten: float | None
    n: int
    mixed: Estimate | None
    same_length: Estimate


@dataclass(frozen=True, slots=True)
class JudgeNumbers:
    """What one judge says of every method.

    Attributes:
        name: "gold", or the rater's name.
        kind: what it is.
        n_values: rows of the pool that it scored.
        methods: one each, random itself left out.
        note: what had to be done otherwise than the recipe says, without this judge.
        left_out: methods that could not select without it.
    """

    name: str
    kind: Literal["gold", "rater"]
    n_values: int
    methods: tuple[Judged, ...]
    note: str = ""
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A method that took no part, and why."""

    method: str
    why: str


@dataclass(frozen=True, slots=True)
class CompareNumbers:
    """Several methods at one budget.

    Attributes:
        title: of the page.
        n: rows of the pool.
        size: rows that each method selects.
        own: the method of the recipe.
        curation: how scores were curated.
        n_raters: how many raters there are.
        n_scores: levels of the scale.
        methods: in the order of the comparison.
        overlap: rows in common over the size, for every two methods.
        chance: what two random selections of this size share.
        radius: what counts as near.
        n_sampled: rows on which coverage was measured.
        n_draws: random selections that each method is held against.
        tokenizer: what counted tokens.
        judges: gold, or the raters, each held out; none where there is one rater and no gold.
        left_out: methods that took no part.
        notes: what else the reader should know.
    """

    title: str
    n: int
    size: int
    own: str
    curation: str
    n_raters: int
    n_scores: int
    methods: tuple[MethodNumbers, ...]
    overlap: tuple[tuple[float, ...], ...]
    chance: float
    radius: float | None
    n_sampled: int
    n_draws: int
    tokenizer: str
    judges: tuple[JudgeNumbers, ...]
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
