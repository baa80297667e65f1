"""Facility location on the neighbour graph: rows that stand for as much of the pool as they can."""

import heapq
from typing import TYPE_CHECKING

import numpy as np

from ds2.selection.inputs import Inputs, Order, given

if TYPE_CHECKING:
    from scipy.sparse import csc_array

__all__ = ["graph_similarities", "greedy_coverage", "order_facility_location"]

#: Gains are rounded to this many decimals: finer than float64 sums in another order can tell.
DECIMALS = 9


def order_facility_location(inputs: Inputs) -> Order:
    """Facility location, f(S) = Σ_i max_{j in S} similarity(i, j), maximised greedily.

    The sum runs over all rows that can be selected. Similarities are those of the graph
    (`graph_similarities`): a row that is not linked to a chosen one counts 0, so rows far from
    everything are not represented by what is a little less far, and each still adds 1 when it is
    chosen itself.
    """
    similarity = graph_similarities(inputs)
    order, gains = greedy_coverage(similarity, inputs.count)
    gain = dict(zip(order.tolist(), gains.tolist(), strict=True))
    return order, lambda i: f"adds {gain[i]:.4f} to the similarity covered"


def graph_similarities(inputs: Inputs) -> "csc_array":
    """(e, e) similarities 1 − distance between eligible rows that the graph links, 1 to itself.

    A link counts in both directions, whichever row lists the other. A row that stands for exact
    duplicates is linked as they are. Similarities below 0 count as none.
    """
    from scipy.sparse import csc_array

    graph, standing = given(inputs.neighbors), given(inputs.standing)
    n_rows = len(inputs.rows)
    other = standing[graph.indices[inputs.rows]].ravel()
    one = np.repeat(np.arange(n_rows), graph.k)
    value = np.maximum(1.0 - graph.distances[inputs.rows].ravel().astype(np.float64), 0.0)
    linked = (other >= 0) & (other != one) & (value > 0)
    one, other, value = one[linked], other[linked], value[linked]
    own = np.arange(n_rows)
    rows = np.concatenate([one, other, own])
    columns = np.concatenate([other, one, own])
    values = np.concatenate([value, value, np.ones(n_rows)])
    by_pair = np.lexsort((-values, rows, columns))
    rows, columns, values = rows[by_pair], columns[by_pair], values[by_pair]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = (rows[1:] != rows[:-1]) | (columns[1:] != columns[:-1])
    starts = np.concatenate([[0], np.cumsum(np.bincount(columns[first], minlength=n_rows))])
    return csc_array((values[first], rows[first], starts), shape=(n_rows, n_rows))


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
        return round(float(more.sum()), DECIMALS)

    first = np.round(np.add.reduceat(values, starts[:-1]), DECIMALS)
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
