"""Rows most like a few examples of what is wanted."""

import numpy as np

from ds2.neighbors.blocks import DECIMALS, unit_block
from ds2.selection.inputs import Inputs, Order, given

__all__ = ["most_similar", "order_rds"]

BLOCK = 8192
#: Candidates that a target keeps beyond its share of the selection.
SPARE = 32


def order_rds(inputs: Inputs) -> Order:
    """Targets take turns, each taking the row most similar to it that nobody has taken.

    This is how RDS+ turns similarities into a selection (its algorithm 1; a mean over the targets
    did worse there). RDS+ takes its vectors from the hidden states of the model to be trained,
    with later tokens weighted more; with other embeddings it is what the paper calls "embedding".
    Equal similarities are settled by the random order.
    """
    vectors, targets = given(inputs.vectors), given(inputs.targets)
    wanted = unit_block(targets, slice(None))
    depth = min(len(inputs.rows), 2 * -(-inputs.count // len(wanted)) + SPARE)
    lists = most_similar(vectors, inputs.rows, wanted, depth)
    found: dict[int, tuple[int, float]] = {}
    position = [0] * len(wanted)
    target = 0
    while len(found) < inputs.count:
        places, similarities = lists[0][target], lists[1][target]
        while position[target] < len(places) and int(places[position[target]]) in found:
            position[target] += 1
        if position[target] == len(places):  # everything on its list is taken: make lists longer
            depth = min(len(inputs.rows), 2 * depth)
            lists = most_similar(vectors, inputs.rows, wanted, depth)
            continue
        at = position[target]
        found[int(places[at])] = (target, float(similarities[at]))
        target = (target + 1) % len(wanted)
    return np.fromiter(
        found, dtype=np.int64, count=len(found)
    ), lambda i: f"cosine similarity {found[i][1]:.4f} to target {found[i][0]}"


def most_similar(
    vectors: np.ndarray, rows: np.ndarray, units: np.ndarray, depth: int
) -> tuple[np.ndarray, np.ndarray]:
    """The ``depth`` rows most similar to each target, best first, equal ones by place.

    Args:
        vectors: (n, d) floats.
        rows: (e,) the row numbers to search.
        units: (t, d) float32 unit vectors.
        depth: how many for each target, from 1 to e.

    Returns:
        Places (t, depth) and similarities (t, depth). Time O(e · t · d), memory
        O(t · (depth + block)).
    """
    places = np.empty((len(units), 0), dtype=np.int64)
    similarities = np.empty((len(units), 0), dtype=np.float32)
    for start in range(0, len(rows), BLOCK):
        block = unit_block(vectors, rows[start : start + BLOCK])
        new = np.round(units @ block.T, DECIMALS)
        own = np.broadcast_to(np.arange(start, start + len(block)), new.shape)
        places = np.concatenate([places, own], axis=1)
        similarities = np.concatenate([similarities, new], axis=1)
        if places.shape[1] > depth + BLOCK or start + len(block) == len(rows):
            order = np.lexsort((places, -similarities))[:, :depth]
            places = np.take_along_axis(places, order, axis=1)
            similarities = np.take_along_axis(similarities, order, axis=1)
    return places, similarities
