"""Score against coverage: a selection as broad as a random one, at the least cost in score.

Two rows are *near* when their cosine distance is at most r, the median distance of a row to its
last neighbour in the graph. Of a selection S of m rows three figures count:

    kept(S)        (mean score of S − mean score) / (the same for the attainable best): 0 is random
    coverage(S)    share of the rows that can be selected that are near a row of S, or in it
    redundancy(S)  share of S that is near another row of S

`order_frontier` greedily maximises Σ_{i in S} s_i + w · coverage(S) among selections that are no
more redundant than random ones of their size. It takes the smallest weight w with which coverage
reaches that of a random selection, and where that would cost too much, the largest with which
``keep`` of the attainable is kept. Attainable is what w = 0 gives: the highest scores within that
redundancy. More coverage than random is not bought: a random selection is as broad as the pool, and
beyond it coverage only moves the choice to where rows lie close together.

Coverage has diminishing returns, so a gain that was computed some picks ago is an upper bound, and
only rows at the top of a heap are computed anew (Minoux 1978). Equal scores are spread at random
over the step to the next level, so that coverage does not decide among all of them at once.
"""

import functools
import heapq
from dataclasses import dataclass

import numpy as np

from ds2.neighbors.blocks import DECIMALS, unit_block
from ds2.progress import part, steps
from ds2.selection.inputs import Inputs, Order, given

__all__ = ["frontier_orders", "order_frontier"]

#: Rows by score that may be picked, the best of them (or `PER_PICK` for each row wanted), and other
#: rows, drawn at random, on which coverage is measured as well.
CANDIDATES, PER_PICK, OTHERS = 25_000, 4, 25_000
#: Pairs of near rows that are held at once: about 4 bytes each.
PAIRS = 50_000_000
#: Rows drawn to find out what random selections are like, and candidates to find out how many pairs
#: there will be.
SAMPLE, PROBE = 4_000, 1_000
BLOCK, TILE = 2_048, 8_192
ROUNDS = 10


def order_frontier(inputs: Inputs) -> Order:
    """As broad as random and no more redundant, with the highest scores; see the module."""
    return frontier_orders(inputs, (inputs.keep,))[inputs.keep]


def frontier_orders(inputs: Inputs, keeps: tuple[float, ...]) -> dict[float, Order]:
    """The order for each position of the dial; all of them share what is near what."""
    scores, size = given(inputs.scores), min(inputs.size, len(inputs.rows))
    with part(0.0, 0.5):
        reach = _find_reach(inputs, size)
    best = np.argsort(-scores, kind="stable")
    worth = _spread(scores[best])[: len(reach.candidates)]
    mean = float(scores.mean())

    @functools.cache
    def pick(weight: float, count: int = size) -> "_Picks":
        return _greedy(reach, worth, weight, size, count)

    def kept(picks: "_Picks") -> float:
        return float(scores[reach.candidates[picks.order]].mean()) - mean

    top = pick(0.0)

    def weigh(keep: float) -> float:
        weight, enough = 0.0, keep * kept(top)
        if top.coverage >= reach.usual_coverage:
            return weight
        span = float(np.ptp(worth)) or 1.0
        low, high, broad = np.log(1e-6 * span), np.log(span), False
        for _ in range(ROUNDS):
            middle = (low + high) / 2
            picks = pick(float(np.exp(middle)))
            fine, covers = kept(picks) >= enough, picks.coverage >= reach.usual_coverage
            if fine and (covers or not broad):
                weight, broad = float(np.exp(middle)), covers
            if covers or not fine:
                high = middle
            else:
                low = middle
        return weight

    def order(keep: float) -> Order:
        found = pick(weigh(keep), inputs.count)
        chosen = reach.candidates[found.order]
        rows = np.concatenate([chosen, best[~np.isin(best, chosen)]])[: inputs.count]
        gain = dict(zip(chosen.tolist(), found.gains.tolist(), strict=True))

        def reason(i: int) -> str:
            if i not in gain:
                return f"score {scores[i]:.4g}"
            return f"score {scores[i]:.4g}, near {gain[i]:.0f} rows that none before it is near"

        return rows, reason

    with part(0.5, 1.0):
        return {keep: order(keep) for keep in steps(keeps)}


def _spread(scores: np.ndarray) -> np.ndarray:
    """Scores in falling order, with equal ones spread over the step up to the next level."""
    values, inverse, counts = np.unique(-scores, return_inverse=True, return_counts=True)
    steps = np.diff(values, prepend=values[0] - (values[1] - values[0] if len(values) > 1 else 1))
    above = np.arange(len(scores)) - (np.cumsum(counts) - counts)[inverse]
    return np.asarray(scores + steps[inverse] * (1 - (above + 1) / counts[inverse]))


@dataclass(frozen=True, slots=True)
class _Reach:
    """Which rows are near which.

    Attributes:
        candidates: (c,) places of the rows that may be picked, best score first.
        starts: (c + 1,) where the list of each begins in `near`.
        near: (l,) numbers of the points near a candidate, itself among them. The first c points
            are the candidates.
        weight: (p,) how many rows a point stands for.
        usual_coverage: what random selections cover, in rows.
        usual_redundancy: their redundancy, at the lower end of its 95 % interval where it is known
            from a sample.
    """

    candidates: np.ndarray
    starts: np.ndarray
    near: np.ndarray
    weight: np.ndarray
    usual_coverage: float
    usual_redundancy: float


def _find_reach(inputs: Inputs, size: int) -> _Reach:
    vectors, rows, scores = given(inputs.vectors), inputs.rows, given(inputs.scores)
    limit = 1.0 - float(np.median(given(inputs.neighbors).distances[:, -1])) - 0.5 * 10**-DECIMALS
    e = len(rows)
    counts = np.zeros(min(e, SAMPLE))
    some = unit_block(vectors, rows[:SAMPLE])
    for start in range(0, e, TILE):
        near = unit_block(vectors, rows[start : start + TILE]) @ some.T >= limit
        counts += near.sum(axis=0)
    share, others = size / e, max(e - 1, 1)
    covered = 1 - (1 - share) ** counts
    repeated = 1 - (1 - (size - 1) / others) ** np.maximum(counts - 1, 0)
    error = float(repeated.std()) / len(repeated) ** 0.5 if len(repeated) < e else 0.0
    coverage, redundancy = float(covered.mean()), max(float(repeated.mean()) - 2 * error, 0.0)
    c, more = min(e, max(CANDIDATES, PER_PICK * size)), OTHERS
    best = np.argsort(-scores, kind="stable")[:c]
    probe = unit_block(vectors, rows[best[:: -(-c // PROBE)]])  # the best may lie close together
    alike = float((probe @ probe.T >= limit).mean()) - 1 / len(probe)  # not with itself
    dense = max(float(counts.mean()) / e, alike)
    shrink = min(1.0, (PAIRS / (c * min(e, c + more) * dense)) ** 0.5)
    c, more = max(size, int(c * shrink)), int(more * shrink)
    best = best[:c]
    rest = np.setdiff1d(np.arange(e), best)[:more]  # in the random order of places
    points = unit_block(vectors, rows[np.concatenate([best, rest])])
    weight = np.ones(len(points))
    weight[c:] = (e - c) / max(len(rest), 1)
    near, lengths = [], [np.zeros(1, dtype=np.int64)]
    for start in steps(range(0, c, BLOCK)):
        one = points[start : min(start + BLOCK, c)]
        found = []
        for tile in range(0, len(points), TILE):
            row, other = np.nonzero(one @ points[tile : tile + TILE].T >= limit)
            found.append(np.stack([row, other + tile]))
        row, other = np.concatenate(found, axis=1)
        near.append(other[np.argsort(row, kind="stable")].astype(np.int32))
        lengths.append(np.bincount(row, minlength=len(one)))
    starts = np.cumsum(np.concatenate(lengths))
    return _Reach(best, starts, np.concatenate(near), weight, coverage * e, redundancy)


@dataclass(frozen=True, slots=True)
class _Picks:
    """What a weight gives: numbers of candidates in pick order, new rows of each, their sum."""

    order: np.ndarray
    gains: np.ndarray
    coverage: float


def _greedy(reach: _Reach, worth: np.ndarray, weight: float, size: int, count: int) -> _Picks:
    """Pick up to ``count`` candidates, those of the largest worth + weight · new rows first.

    A row near a chosen one is passed over where it would make more rows redundant than
    ``reach.usual_redundancy`` allows of ``size``, or of as many as are picked; where no other is
    left, those that were passed over follow by worth.
    """
    starts, near, limit = reach.starts, reach.near, reach.usual_redundancy
    open_, close = reach.weight.copy(), np.zeros(len(reach.weight), dtype=bool)
    alone = np.zeros(len(reach.weight), dtype=bool)
    first = np.add.reduceat(open_[near], starts[:-1])
    heap = [(-value, i) for i, value in enumerate((worth + weight * first).tolist())]
    heapq.heapify(heap)
    order: list[int] = []
    gains: list[float] = []
    passed: list[int] = []
    redundant = 0

    def take(i: int, ball: np.ndarray) -> None:
        order.append(i)
        gains.append(float(open_[ball].sum()))
        open_[ball], close[ball] = 0.0, True

    while heap and len(order) < count:
        bound, i = heap[0]
        ball = near[starts[i] : starts[i + 1]]
        now = -(worth[i] + weight * float(open_[ball].sum()))
        if now > bound + 1e-12:
            heapq.heapreplace(heap, (now, i))
            continue
        heapq.heappop(heap)
        if close[i]:
            single = ball[alone[ball]]
            if redundant + 1 + len(single) > limit * max(size, len(order) + 1):
                passed.append(i)
                continue
            redundant += 1 + len(single)
            alone[single] = False
        else:
            alone[i] = True
        take(i, ball)
    for i in sorted(passed)[: count - len(order)]:
        take(i, near[starts[i] : starts[i + 1]])
    return _Picks(np.array(order, dtype=np.int64), np.array(gains), float(np.sum(gains)))
