"""The orders that the methods put the eligible rows in, best first.

Each takes the rows' inputs, already cut down to the eligible rows, and returns their order and the
reason for each. `tie` breaks what remains equal: it comes from the content keys, so the order of
the rows in the pool never matters.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ds2.selection.levels import cut_levels

__all__ = ["METHODS", "Inputs", "Method"]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a method may look at; None where the caller did not give it.

    Attributes:
        rows: (e,) row numbers of the eligible examples.
        scores: (e,) scores.
        tail: (e,) long-tail scores.
        lengths: (e,) completion lengths.
        distance: (e,) mean cosine distance to the neighbours.
        shuffle: (e,) random order keys.
        tie: (e,) content keys.
        prior: (s,) shares of the levels, for real-valued scores.
    """

    rows: np.ndarray
    scores: np.ndarray | None
    tail: np.ndarray | None
    lengths: np.ndarray | None
    distance: np.ndarray | None
    shuffle: np.ndarray
    tie: np.ndarray
    prior: np.ndarray


Order = tuple[np.ndarray, Callable[[int], str]]


@dataclass(frozen=True, slots=True)
class Method:
    """A way to select.

    Attributes:
        needs: names of the inputs it cannot do without.
        order: from inputs to the order of the eligible rows and a function that gives the reason
            for one of them (by its place among the eligible).
        source: where it comes from.
    """

    needs: tuple[str, ...]
    order: Callable[[Inputs], Order]
    source: str


def _given(value: np.ndarray | None) -> np.ndarray:
    assert value is not None, "select checks what a method needs"
    return value


def _order_ds2(inputs: Inputs) -> Order:
    scores, tail = _given(inputs.scores), _given(inputs.tail)
    if (scores == np.floor(scores)).all():
        order = np.lexsort((inputs.tie, -tail, -scores))
        return order, lambda i: f"score {scores[i]:g}, long-tail score {tail[i]:.4f}"
    level = cut_levels(scores, inputs.prior)
    order = np.lexsort((inputs.tie, -scores, -tail, -level))
    return (
        order,
        lambda i: f"level {level[i]} (score {scores[i]:.4g}), long-tail score {tail[i]:.4f}",
    )


def _order_top_score(inputs: Inputs) -> Order:
    scores = _given(inputs.scores)
    order = np.lexsort((inputs.tie, inputs.shuffle, -scores))
    return order, lambda i: f"score {scores[i]:g}"


def _order_random(inputs: Inputs) -> Order:
    return np.lexsort((inputs.tie, inputs.shuffle)), lambda _: "drawn at random"


def _order_length(inputs: Inputs) -> Order:
    lengths = _given(inputs.lengths)
    order = np.lexsort((inputs.tie, inputs.shuffle, -lengths))
    return order, lambda i: f"completion length {lengths[i]:g}"


def _order_knn(inputs: Inputs) -> Order:
    distance = _given(inputs.distance)
    order = np.lexsort((inputs.tie, inputs.shuffle, -distance))
    return order, lambda i: f"mean distance to its neighbours {distance[i]:.4f}"


METHODS: dict[str, Method] = {
    "ds2": Method(("scores", "tail"), _order_ds2, "arXiv 2410.10877"),
    "top-score": Method(("scores",), _order_top_score, "the rating alone"),
    "random": Method((), _order_random, "the baseline of every comparison"),
    "length": Method(("lengths",), _order_length, "longest completions; arXiv 2402.04833"),
    "knn-10": Method(("neighbors",), _order_knn, "largest mean distance; arXiv 2410.10877, app."),
}
