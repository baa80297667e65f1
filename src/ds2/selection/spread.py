"""Methods that keep what they pick apart: DEITA, k-center greedy, maximal marginal relevance."""

from collections.abc import Iterator

import numpy as np

from ds2.neighbors.blocks import DECIMALS, unit_block
from ds2.selection.farthest import pick_farthest
from ds2.selection.inputs import Inputs, Order, given

__all__ = ["order_deita", "order_k_center", "order_mmr"]

#: DEITA's threshold: its code skips a row whose cosine similarity to a chosen one exceeds 0.9.
DEITA_DISTANCE = 0.1
BLOCK = 1024
#: Chosen rows that a block is compared with in one product.
CHOSEN = 4096


def order_k_center(inputs: Inputs) -> Order:
    """k-center greedy (farthest first): the row farthest from what is chosen, again and again.

    The paper starts from rows that are labelled already. Nothing is chosen here, so the first row
    is drawn at random, by the seed and its content.
    """
    order, nearest = pick_farthest(
        given(inputs.vectors),
        inputs.rows,
        base=np.zeros(len(inputs.rows)),
        weight=1.0,
        first=0,
        count=inputs.count,
    )
    distance = dict(zip(order.tolist(), (1.0 - nearest).tolist(), strict=True))
    start = int(order[0])
    return (
        order,
        lambda i: (
            "drawn at random, to start from"
            if i == start
            else f"distance to the nearest chosen before it {distance[i]:.4f}"
        ),
    )


def order_mmr(inputs: Inputs) -> Order:
    """Maximal marginal relevance with the score as relevance.

    The next row is the one with the largest

        (1 − diversity) · quality − diversity · max cosine similarity to a chosen row

    with quality the score brought to [0, 1] by the lowest and highest score that can be selected.
    The first is the best-scored one. ``diversity`` 0 is the order of the scores, 1 is k-center
    greedy from the best-scored row.
    """
    scores, dial = given(inputs.scores), inputs.diversity
    span = float(np.ptp(scores))
    quality = (scores - scores.min()) / span if span else np.zeros(len(scores))
    order, nearest = pick_farthest(
        given(inputs.vectors),
        inputs.rows,
        base=(1 - dial) * quality,
        weight=dial,
        first=int(quality.argmax()),
        count=inputs.count,
    )
    distance = dict(zip(order.tolist(), (1.0 - nearest).tolist(), strict=True))
    start = int(order[0])
    return (
        order,
        lambda i: (
            f"score {scores[i]:g}, the best, to start from"
            if i == start
            else f"score {scores[i]:g}, distance to the nearest chosen before it {distance[i]:.4f}"
        ),
    )


def order_deita(inputs: Inputs) -> Order:
    """DEITA: in the order of the scores, skipping what is too near to a chosen row.

    A row is skipped when its cosine distance to the nearest row chosen before it is below the
    threshold. Equal scores come at random. The order ends where no row is left.
    """
    scores = given(inputs.scores)
    limit = DEITA_DISTANCE if inputs.threshold is None else inputs.threshold
    by_score = np.lexsort((inputs.tie, inputs.shuffle, -scores))
    distance = dict(
        _apart(given(inputs.vectors), inputs.rows, by_score, limit=limit, count=inputs.count)
    )
    return (
        np.fromiter(distance, dtype=np.int64, count=len(distance)),
        lambda i: (
            f"score {scores[i]:g}, distance to the nearest chosen before it {distance[i]:.4f}"
            if distance[i] < np.inf
            else f"score {scores[i]:g}, the first"
        ),
    )


def _apart(
    vectors: np.ndarray, rows: np.ndarray, order: np.ndarray, *, limit: float, count: int
) -> Iterator[tuple[int, float]]:
    """Places in the given order that are at least ``limit`` from all before them; their distance.

    A block of rows is compared with all chosen ones in matrix products, then row by row with those
    chosen in the block itself.
    """
    kept = np.empty((min(count, len(order)), vectors.shape[1]), dtype=np.float32)
    m = 0
    for start in range(0, len(order), BLOCK):
        places = order[start : start + BLOCK]
        block = unit_block(vectors, rows[places])
        near = np.full(len(block), -np.inf, dtype=np.float32)
        for chosen in range(0, m, CHOSEN):
            np.maximum(near, (block @ kept[chosen : min(chosen + CHOSEN, m)].T).max(1), out=near)
        far = np.round(1.0 - near, DECIMALS)
        free = np.flatnonzero(far >= limit)
        among = np.round(1.0 - block[free] @ block[free].T, DECIMALS)
        far = far[free]
        for i, place in enumerate(places[free]):
            if far[i] < limit:
                continue
            yield int(place), float(far[i])
            kept[m] = block[free[i]]
            m += 1
            if m == count:
                return
            np.minimum(far, among[i], out=far)
