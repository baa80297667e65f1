"""What a method of selection is, and what it may look at."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from ds2.neighbors import Neighbors

__all__ = ["RATING", "Inputs", "Method", "Order", "given"]

#: A need that `raw` meets, or else `scores`: what the rater itself said, for methods of papers that
#: correct nothing.
RATING = "rating"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a method may look at; None where the caller did not give it.

    The eligible examples stand in an order of their own (by `shuffle`, then `tie`), which depends
    on their content and the seed and not on where they are in the pool. A method that breaks ties
    by place, or sums in floating point, so gives the same rows for a permuted pool.

    Attributes:
        rows: (e,) row numbers of the eligible examples.
        count: how many are to be ordered. A method may order no more than that.
        size: how many of them the caller is after.
        seed: seeds what is not drawn by `shuffle`.
        shuffle: (e,) random order keys, ascending.
        tie: (e,) content keys.
        prior: (s,) shares of the levels, for real-valued scores.
        scores: (e,) the scores that the method looks at.
        tail: (e,) long-tail scores.
        lengths: (e,) completion lengths.
        values: (e,) a column that was computed before.
        sources: (e,) labels 0 … of the sources.
        neighbors: the graph of the whole pool.
        standing: (n,) for each row of the pool the place (0 … e − 1) of the eligible example that
            it is or duplicates, −1 where there is none.
        vectors: (n, d) embeddings of the whole pool; rows need not be of unit length.
        targets: (t, d) embeddings of the examples to be like.
        diversity: dial in [0, 1].
        threshold: the method's own limit.
        keep: dial in [0, 1].
    """

    rows: np.ndarray
    count: int
    size: int
    seed: int
    shuffle: np.ndarray
    tie: np.ndarray
    prior: np.ndarray
    scores: np.ndarray | None = None
    tail: np.ndarray | None = None
    lengths: np.ndarray | None = None
    values: np.ndarray | None = None
    sources: np.ndarray | None = None
    neighbors: Neighbors | None = None
    standing: np.ndarray | None = None
    vectors: np.ndarray | None = None
    targets: np.ndarray | None = None
    diversity: float = 0.5
    threshold: float | None = None
    keep: float = 0.9


Order = tuple[np.ndarray, Callable[[int], str]]


def _unrated(scores: np.ndarray, _: float | None) -> dict[str, np.ndarray]:
    return {"unrated": np.isnan(scores)}


@dataclass(frozen=True, slots=True)
class Method:
    """A way to select.

    Attributes:
        needs: names of the inputs it cannot do without; see `RATING`.
        order: from inputs to the places of the eligible examples, best first, and a function that
            gives the reason for one of them (by its place). It may stop at `count` places, and it
            has fewer when the method allows no more.
        source: where it comes from.
        stream: which random order is its own; no two methods share one.
        cost: "sort": each row has its place whatever else is chosen; "whole": the pool is looked at
            as a whole first, and a longer order costs little more; "greedy": the order stops at
            `count`, because a longer one costs more.
        ends: whether its own rule can leave rows out of the order.
        excludes: from the scores or values that the method goes by, (n,), and its threshold to
            masks of the rows that it never selects, by the reason.
    """

    needs: tuple[str, ...]
    order: Callable[[Inputs], Order]
    source: str
    stream: int
    cost: Literal["sort", "whole", "greedy"] = "sort"
    ends: bool = False
    excludes: Callable[[np.ndarray, float | None], Mapping[str, np.ndarray]] = _unrated

    @property
    def uses(self) -> Literal["curated", "raw"] | None:
        """Which scores do the choosing; None where the method looks at none."""
        if "scores" in self.needs:
            return "curated"
        return "raw" if {"raw", RATING} & set(self.needs) else None

    @property
    def at_random(self) -> bool:
        """Whether it draws, and looks at nothing of an example but where it comes from."""
        return set(self.needs) <= {"sources"}


def given(value: _T | None) -> _T:
    """The value, which `select` has checked to be there."""
    assert value is not None, "select checks what a method needs"
    return value
