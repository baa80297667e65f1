"""Methods that pick one row after the other by what is picked already.

k-center greedy and maximal marginal relevance pick, again and again, the row with the largest

    value[i] = base[i] − weight · max over the picked j of similarity(i, j)

The maximum only grows, so a value that was computed some picks ago is an upper bound of the value
now. The rows with the largest bounds form a working set. Their values are brought up to date in
one matrix product, and picks are made inside the set as long as its best value is not below the
largest bound outside. Each pair of row and pick is compared at most about once: O(n · m · d) at
worst and far less where many rows are never near the top. Memory: O(n + m · d + set · d).

Similarities are cosines rounded to six decimals, which hides the order of float32 sums.
"""

import heapq
from typing import TYPE_CHECKING

import numpy as np

from ds2.neighbors.blocks import DECIMALS, unit_block
from ds2.selection.inputs import Inputs, Order, given

if TYPE_CHECKING:
    from scipy.sparse import csc_array

__all__ = [
    "order_deita",
    "order_facility_location",
    "order_k_center",
    "order_mmr",
    "order_rds",
]

#: Rows of the working set, and picks that they are compared with in one product.
WORKING, PICKS = 1024, 4096
#: Values that agree to this many decimals are equal: finer than float64 sums can tell.
EQUAL = 9
#: DEITA's threshold: its code skips a row whose cosine similarity to a chosen one exceeds 0.9.
DEITA_DISTANCE = 0.1
#: Rows that DEITA compares at once with the chosen ones.
BLOCK = 1024
#: Rows that are compared with targets at once, and candidates that a target keeps beyond its share.
CANDIDATES, SPARE = 8192, 32


def order_k_center(inputs: Inputs) -> Order:
    """k-center greedy (farthest first): the row farthest from what is chosen, again and again.

    The paper starts from rows that are labelled already. Nothing is chosen here, so the first row
    is drawn at random, by the seed and its content.
    """
    nowhere = np.zeros(len(inputs.rows))
    order, distance = _pick_farthest(inputs, base=nowhere, weight=1.0, first=0)
    start = "drawn at random, to start from"
    return order, lambda i: _apart(distance[i]) if i in distance else start


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
    order, distance = _pick_farthest(
        inputs, base=(1 - dial) * quality, weight=dial, first=int(quality.argmax())
    )
    start = ", the best, to start from"
    return (
        order,
        lambda i: f"score {scores[i]:g}" + (f", {_apart(distance[i])}" if i in distance else start),
    )


def _apart(distance: float) -> str:
    return f"distance to the nearest chosen before it {distance:.4f}"


def _pick_farthest(
    inputs: Inputs, *, base: np.ndarray, weight: float, first: int
) -> tuple[np.ndarray, dict[int, float]]:
    """Pick ``inputs.count`` of the rows greedily; equal values by place.

    Args:
        inputs: rows and vectors.
        base: (e,) what a row is worth by itself.
        weight: 0 or more: how much nearness to a picked row costs.
        first: the place of the first pick.

    Returns:
        The places of the picks, and for each but the first its distance to the nearest earlier one.
    """
    vectors, rows, count = given(inputs.vectors), inputs.rows, inputs.count
    picked = np.empty(count, dtype=np.int64)
    nearest: dict[int, float] = {}
    units = np.empty((count, vectors.shape[1]), dtype=np.float32)
    similarity = np.full(len(rows), -1.0)
    seen = np.zeros(len(rows), dtype=np.int64)
    value = base + weight
    picked[0], units[0], value[first] = first, unit_block(vectors, rows[[first]])[0], -np.inf
    done = 1
    while done < count:
        work, bound, bound_place = _best(value)
        block = unit_block(vectors, rows[work])
        near = _refresh(block, units[:done], similarity[work], seen[work])
        taken = np.isneginf(value[work])
        while done < count:
            # rounded, so that sums that are equal on paper are equal here
            now = np.where(taken, -np.inf, np.round(base[work] - weight * near, EQUAL))
            best = int(now.argmax())
            if now[best] < bound or (now[best] == bound and work[best] > bound_place):
                break
            picked[done], units[done], taken[best] = work[best], block[best], True
            nearest[int(work[best])] = 1.0 - float(near[best])
            near = np.maximum(near, _rounded(block @ units[done]))
            done += 1
        similarity[work], seen[work], value[work] = near, done, now
    return picked, nearest


def _best(value: np.ndarray) -> tuple[np.ndarray, float, int]:
    """The places of the largest values, ascending, then the largest value left and its place.

    Of equal values the lower places are taken first.
    """
    if len(value) <= WORKING:
        return np.arange(len(value)), -np.inf, len(value)
    limit = np.partition(value, len(value) - WORKING)[len(value) - WORKING]
    above, equal = np.flatnonzero(value > limit), np.flatnonzero(value == limit)
    room = WORKING - len(above)
    work = np.sort(np.concatenate([above, equal[:room]]))
    if room < len(equal):
        return work, float(limit), int(equal[room])
    rest = np.where(value < limit, value, -np.inf)
    place = int(rest.argmax())
    return work, float(rest[place]), place


def _refresh(
    block: np.ndarray, units: np.ndarray, similarity: np.ndarray, seen: np.ndarray
) -> np.ndarray:
    """Largest similarity of each row of the block to all picks; some picks were seen before."""
    result = similarity.copy()
    for start in range(0, len(units), PICKS):
        part = np.flatnonzero(seen < start + PICKS)
        if len(part):
            near = (block[part] @ units[start : start + PICKS].T).max(axis=1)
            result[part] = np.maximum(result[part], _rounded(near))
    return result


def _rounded(similarity: np.ndarray) -> np.ndarray:
    return np.round(similarity.astype(np.float64), DECIMALS)


def order_deita(inputs: Inputs) -> Order:
    """DEITA: in the order of the scores, skipping what is too near to a chosen row.

    A row is skipped when its cosine distance to the nearest row chosen before it is below the
    threshold. Equal scores come at random. The order ends where no row is left. A block of rows is
    compared with all chosen ones in matrix products, then row by row with those chosen in it.
    """
    scores, vectors = given(inputs.scores), given(inputs.vectors)
    limit = DEITA_DISTANCE if inputs.threshold is None else inputs.threshold
    by_score = np.lexsort((inputs.tie, inputs.shuffle, -scores))
    kept = np.empty((min(inputs.count, len(by_score)), vectors.shape[1]), dtype=np.float32)
    distance: dict[int, float] = {}
    for start in range(0, len(by_score), BLOCK):
        places = by_score[start : start + BLOCK]
        block = unit_block(vectors, inputs.rows[places])
        near = np.full(len(block), -np.inf, dtype=np.float32)
        for chosen in range(0, len(distance), PICKS):
            done = kept[chosen : min(chosen + PICKS, len(distance))]
            np.maximum(near, (block @ done.T).max(axis=1), out=near)
        far = np.round(1.0 - near, DECIMALS)
        free = np.flatnonzero(far >= limit)
        among, far = np.round(1.0 - block[free] @ block[free].T, DECIMALS), far[free]
        for i, place in enumerate(places[free].tolist()):
            if far[i] >= limit and len(distance) < len(kept):
                kept[len(distance)] = block[free[i]]
                distance[place] = float(far[i])
                np.minimum(far, among[i], out=far)
        if len(distance) == len(kept):
            break
    return (
        np.fromiter(distance, dtype=np.int64, count=len(distance)),
        lambda i: (
            f"score {scores[i]:g}, {_apart(distance[i]) if distance[i] < np.inf else 'the first'}"
        ),
    )


def order_facility_location(inputs: Inputs) -> Order:
    """Facility location, f(S) = Σ_i max_{j in S} similarity(i, j), maximised greedily.

    The sum runs over all rows that can be selected. Similarities are those of the graph
    (`graph_similarities`): a row that is not linked to a chosen one counts 0, so rows far from
    everything are not represented by what is a little less far, and each still adds 1 when it is
    chosen itself.
    """
    order, gains = greedy_coverage(graph_similarities(inputs), inputs.count)
    gain = dict(zip(order.tolist(), gains.tolist(), strict=True))
    return order, lambda i: f"adds {gain[i]:.4f} to the similarity covered"


def graph_similarities(inputs: Inputs) -> "csc_array":
    """(e, e) similarities 1 − distance between eligible rows that the graph links, 1 to itself.

    A link counts in both directions, whichever row lists the other. A row that stands for exact
    duplicates is linked as they are. Similarities below 0 count as none.
    """
    from scipy.sparse import csc_array, eye_array

    graph, standing = given(inputs.neighbors), given(inputs.standing)
    n_rows = len(inputs.rows)
    other = standing[graph.indices[inputs.rows]].ravel()
    one = np.repeat(np.arange(n_rows), graph.k)
    value = np.maximum(1.0 - graph.distances[inputs.rows].ravel().astype(np.float64), 0.0)
    linked = (other >= 0) & (other != one) & (value > 0)
    table = csc_array((value[linked], (one[linked], other[linked])), shape=(n_rows, n_rows))
    return csc_array(table.maximum(table.T).maximum(eye_array(n_rows, format="csc")))


def greedy_coverage(similarity: "csc_array", count: int) -> tuple[np.ndarray, np.ndarray]:
    """The greedy maximum of facility location; equal gains by place.

    Lazy: gains only shrink, so a gain computed earlier is an upper bound, and only the rows at the
    top of a heap are computed anew (Minoux 1978). The result is that of plain greedy, which is
    within 1 − 1/e of the best value (Nemhauser, Wolsey and Fisher 1978).

    Args:
        similarity: (e, e); column j holds what row j covers of each row.
        count: how many to pick, from 1 to e.

    Returns:
        The places in pick order, and what each added.
    """
    starts, rows, values = similarity.indptr, similarity.indices, similarity.data
    covered = np.zeros(similarity.shape[0])

    def gain(j: int) -> float:
        part = slice(starts[j], starts[j + 1])
        more = np.maximum(values[part] - covered[rows[part]], 0.0)
        return round(float(more.sum()), EQUAL)

    first = np.round(np.add.reduceat(values, starts[:-1]), EQUAL)
    heap = [(-float(bound), j) for j, bound in enumerate(first)]
    heapq.heapify(heap)
    order = np.empty(count, dtype=np.int64)
    gains = np.empty(count)
    for i in range(count):
        while True:
            _, j = heap[0]
            now = (-gain(j), j)
            if now <= min(heap[1:3], default=now):
                break
            heapq.heapreplace(heap, now)
        heapq.heappop(heap)
        order[i], gains[i] = j, -now[0]
        part = slice(starts[j], starts[j + 1])
        covered[rows[part]] = np.maximum(covered[rows[part]], values[part])
    return order, gains


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
    lists = _most_similar(vectors, inputs.rows, wanted, depth)
    found: dict[int, tuple[int, float]] = {}
    position = [0] * len(wanted)
    target = 0
    while len(found) < inputs.count:
        places, similarities = lists[0][target], lists[1][target]
        while position[target] < len(places) and int(places[position[target]]) in found:
            position[target] += 1
        if position[target] == len(places):  # everything on its list is taken: make lists longer
            depth = min(len(inputs.rows), 2 * depth)
            lists = _most_similar(vectors, inputs.rows, wanted, depth)
            continue
        at = position[target]
        found[int(places[at])] = (target, float(similarities[at]))
        target = (target + 1) % len(wanted)
    return np.fromiter(
        found, dtype=np.int64, count=len(found)
    ), lambda i: f"cosine similarity {found[i][1]:.4f} to target {found[i][0]}"


def _most_similar(
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
    for start in range(0, len(rows), CANDIDATES):
        block = unit_block(vectors, rows[start : start + CANDIDATES])
        new = np.round(units @ block.T, DECIMALS)
        own = np.broadcast_to(np.arange(start, start + len(block)), new.shape)
        places = np.concatenate([places, own], axis=1)
        similarities = np.concatenate([similarities, new], axis=1)
        if places.shape[1] > depth + CANDIDATES or start + len(block) == len(rows):
            order = np.lexsort((places, -similarities))[:, :depth]
            places = np.take_along_axis(places, order, axis=1)
            similarities = np.take_along_axis(similarities, order, axis=1)
    return places, similarities
