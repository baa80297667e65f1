"""Greedy picking by the distance to what is picked already, without all n · m distances at once.

k-center greedy and maximal marginal relevance pick, again and again, the row with the largest

    value[i] = base[i] − weight · max over the picked j of similarity(i, j)

The maximum only grows, so a value that was computed some picks ago is an upper bound of the value
now. The rows with the largest bounds form a working set. Their values are brought up to date in
one matrix product, and picks are made inside the set as long as its best value is not below the
largest bound outside. Each pair of row and pick is compared at most about once: O(n · m · d) at
worst and far less where many rows are never near the top. Memory: O(n + m · d + set · d).
"""

import numpy as np

from ds2.neighbors.blocks import DECIMALS, unit_block

__all__ = ["pick_farthest"]

#: Rows of the working set.
WORKING = 1024
#: Rows of it that are brought up to date in one product, and picks that they are compared with.
REFRESHED, PICKS = 1024, 4096
#: Values that agree to this many decimals are equal.
EQUAL = 9


def pick_farthest(
    vectors: np.ndarray,
    rows: np.ndarray,
    *,
    base: np.ndarray,
    weight: float,
    first: int,
    count: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Pick ``count`` of the rows greedily; equal values by place.

    Similarities are cosines rounded to six decimals, which hides the order of float32 sums.

    Args:
        vectors: (n, d) floats.
        rows: (e,) the row numbers to pick from.
        base: (e,) floats: what a row is worth by itself.
        weight: 0 or more: how much nearness to a picked row costs.
        first: the place of the first pick.
        count: how many, from 1 to e.

    Returns:
        The places of the picks, and for each its largest similarity to an earlier one (−1 for the
        first).
    """
    picked = np.empty(count, dtype=np.int64)
    nearest = np.full(count, -1.0)
    units = np.empty((count, vectors.shape[1]), dtype=np.float32)
    similarity = np.full(len(rows), -1.0)
    seen = np.zeros(len(rows), dtype=np.int64)
    value = base + weight
    picked[0], units[0], value[first] = first, unit_block(vectors, rows[[first]])[0], -np.inf
    done = 1
    while done < count:
        work, bound, bound_place = _largest(value, WORKING)
        block = unit_block(vectors, rows[work])
        near = _refresh(block, units[:done], similarity[work], seen[work])
        taken = np.isneginf(value[work])
        now = _value(base[work], weight, near, taken)
        while done < count:
            best = int(now.argmax())
            if now[best] < bound or (now[best] == bound and work[best] > bound_place):
                break
            picked[done], nearest[done], units[done] = work[best], near[best], block[best]
            taken[best] = True
            np.maximum(near, _rounded(block @ units[done]), out=near)
            now = _value(base[work], weight, near, taken)
            done += 1
        similarity[work], seen[work], value[work] = near, done, now
    return picked, nearest


def _largest(value: np.ndarray, wanted: int) -> tuple[np.ndarray, float, int]:
    """The places of the largest values, ascending, then the largest value left and its place.

    Of equal values the lower places are taken first.
    """
    if len(value) <= wanted:
        return np.arange(len(value)), -np.inf, len(value)
    limit = np.partition(value, len(value) - wanted)[len(value) - wanted]
    above, equal = np.flatnonzero(value > limit), np.flatnonzero(value == limit)
    room = wanted - len(above)
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
    order = np.argsort(seen, kind="stable")
    for start in range(0, len(order), REFRESHED):
        part = order[start : start + REFRESHED]
        for pick in range(int(seen[part[0]]), len(units), PICKS):
            products = block[part] @ units[pick : pick + PICKS].T
            result[part] = np.maximum(result[part], _rounded(products.max(axis=1)))
    return result


def _rounded(similarity: np.ndarray) -> np.ndarray:
    return np.round(similarity.astype(np.float64), DECIMALS)


def _value(base: np.ndarray, weight: float, near: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """What each row is worth now; rounded, so that sums that are equal on paper are equal here."""
    return np.where(taken, -np.inf, np.round(base - weight * near, EQUAL))
