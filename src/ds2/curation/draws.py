"""Balanced random draws of a share of the pool."""

from collections.abc import Iterator

import numpy as np

from ds2.keys import random_order_keys

__all__ = ["balanced_draws"]


def balanced_draws(keys: np.ndarray, n_draws: int, share: float, seed: int) -> Iterator[np.ndarray]:
    """Yield ``n_draws`` masks (n,), each with round(share · n) rows.

    How often two rows are drawn differs by at most one. What a draw leaves out is dealt from
    shuffled decks of all rows, one after the other; a row that would be dealt twice to one draw
    goes to the end of its deck. Order within a deck depends on the keys alone.

    Args:
        keys: (n,) uint64, one per row.
        n_draws: how many.
        share: of the rows, in (0, 1].
        seed: same seed, same draws.
    """
    n = len(keys)
    left_out = n - round(share * n)
    deck = np.empty(0, dtype=np.int64)
    n_decks = 0
    for _ in range(n_draws):
        dealt = deck[:left_out]
        deck = deck[left_out:]
        if len(dealt) < left_out:
            fresh = np.lexsort((keys, random_order_keys(keys, seed, n_decks)))
            n_decks += 1
            again = np.isin(fresh, dealt)
            deck = np.concatenate([fresh[~again], fresh[again]])
            missing = left_out - len(dealt)
            dealt = np.concatenate([dealt, deck[:missing]])
            deck = deck[missing:]
        drawn = np.ones(n, dtype=bool)
        drawn[dealt] = False
        yield drawn
