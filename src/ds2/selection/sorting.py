"""Methods that sort: each row has its place whatever else is selected."""

import numpy as np

from ds2.selection.inputs import Inputs, Order, given
from ds2.selection.levels import cut_levels

__all__ = [
    "order_by_score",
    "order_by_value",
    "order_ds2",
    "order_knn",
    "order_length",
    "order_random",
]


def order_ds2(inputs: Inputs) -> Order:
    """Highest score first, then highest long-tail score (real-valued scores: level first)."""
    scores, tail = given(inputs.scores), given(inputs.tail)
    if (scores == np.floor(scores)).all():
        order = np.lexsort((inputs.tie, -tail, -scores))
        return order, lambda i: f"score {scores[i]:g}, long-tail score {tail[i]:.4f}"
    level = cut_levels(scores, inputs.prior)
    order = np.lexsort((inputs.tie, -scores, -tail, -level))
    return (
        order,
        lambda i: f"level {level[i]} (score {scores[i]:.4g}), long-tail score {tail[i]:.4f}",
    )


def order_by_score(inputs: Inputs) -> Order:
    """Highest score first, equal scores at random."""
    scores = given(inputs.scores)
    order = np.lexsort((inputs.tie, inputs.shuffle, -scores))
    return order, lambda i: f"score {scores[i]:g}"


def order_random(inputs: Inputs) -> Order:
    """By a random number of each row's own."""
    return np.lexsort((inputs.tie, inputs.shuffle)), lambda _: "drawn at random"


def order_length(inputs: Inputs) -> Order:
    """Longest completion first."""
    lengths = given(inputs.lengths)
    order = np.lexsort((inputs.tie, inputs.shuffle, -lengths))
    return order, lambda i: f"completion length {lengths[i]:g}"


def order_by_value(word: str, inputs: Inputs) -> Order:
    """Largest value of the given column first; ``word`` says what the value is."""
    values = given(inputs.values)
    order = np.lexsort((inputs.tie, inputs.shuffle, -values))
    return order, lambda i: f"{word} {values[i]:.4g}"


def order_knn(inputs: Inputs) -> Order:
    """Largest mean distance to the neighbours first."""
    distances = given(inputs.neighbors).distances
    distance = distances[inputs.rows].mean(axis=1)
    order = np.lexsort((inputs.tie, inputs.shuffle, -distance))
    return order, lambda i: f"mean distance to its neighbours {distance[i]:.4f}"
