"""Random rows that keep the pool's mix of sources, at every size."""

import heapq
from collections.abc import Iterator

import numpy as np

from ds2.selection.inputs import Inputs, Order, given

__all__ = ["order_random_by_source", "source_turns"]


def order_random_by_source(inputs: Inputs) -> Order:
    """Sources take turns so that each has its share of any prefix; inside a source at random.

    The turns are those of `source_turns`; sources of equal size take theirs at random.
    """
    sources = given(inputs.sources)
    shuffled = np.lexsort((inputs.tie, inputs.shuffle))
    labels, first, inverse, sizes = np.unique(
        sources[shuffled], return_index=True, return_inverse=True, return_counts=True
    )
    rank = np.argsort(np.argsort(first))
    codes = rank[inverse.reshape(-1)]
    rows_of = np.split(
        shuffled[np.argsort(codes, kind="stable")], np.cumsum(sizes[first.argsort()])
    )
    taken = [iter(rows) for rows in rows_of]
    order = np.fromiter(
        (next(taken[s]) for s in source_turns(sizes[first.argsort()], inputs.count)), dtype=np.int64
    )
    size_of = dict(zip(labels.tolist(), sizes.tolist(), strict=True))

    def reason(i: int) -> str:
        share = size_of[sources[i]] / len(sources)
        return f"drawn at random from its source, which is {share:.1%} of what can be selected"

    return order, reason


def source_turns(sizes: np.ndarray, count: int) -> Iterator[int]:
    """Which source gives the next row, ``count`` times: the quota method of apportionment.

    After any number h of turns a source of n_s of n rows has had ⌊h n_s / n⌋ or ⌈h n_s / n⌉ of
    them, as with largest remainders; unlike there, a turn once given is never taken back, so a
    smaller selection is the start of a larger one (Balinski and Young, The American Mathematical
    Monthly 82, 1975). Among the sources that may have one more, a + 1, without exceeding their
    quota, the largest n_s / (a + 1) goes first; equal ones in the order given. O(count · log s).

    Args:
        sizes: (s,) how many rows each source has, 1 or more.
        count: how many turns; at most the sum of ``sizes``.
    """
    total = int(sizes.sum())
    had = [0] * len(sizes)
    waiting = [(0, s) for s in range(len(sizes))]  # (first turn at which it may have one more, s)
    ready: list[tuple[float, int]] = []
    for turn in range(count):
        while waiting and waiting[0][0] <= turn:
            _, s = heapq.heappop(waiting)
            heapq.heappush(ready, (-int(sizes[s]) / (had[s] + 1), s))
        _, s = heapq.heappop(ready)
        had[s] += 1
        if had[s] < sizes[s]:
            heapq.heappush(waiting, (had[s] * total // int(sizes[s]), s))
        yield s
