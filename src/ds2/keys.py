"""Random order from content keys, so that permuting rows permutes the outcome."""

import numpy as np

from ds2.arguments import remedy
from ds2.checks import check_rows
from ds2.errors import InputError

__all__ = ["check_keys", "random_order_keys"]


def check_keys(keys: object, n: int) -> np.ndarray:
    """(n,) uint64 keys: those given, or the row numbers."""
    if keys is None:
        return np.arange(n, dtype=np.uint64)
    array = np.asarray(keys)
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"'keys' must be whole numbers of shape ({n},). Got {array.dtype}.{remedy('keys')}"
        )
    check_rows("keys", array, n)
    return array.astype(np.uint64)


def random_order_keys(keys: np.ndarray, seed: int, stream: int = 0) -> np.ndarray:
    """(n,) uint64 that look random, fixed by key, seed and stream: sort by them to shuffle.

    The finaliser of SplitMix64 (Steele, Lea and Flood 2014), applied to key and seed in turn.
    """
    salt = np.random.SeedSequence([seed, stream]).generate_state(2, np.uint64)
    return _mix(_mix(keys ^ salt[0]) + salt[1])


def _mix(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))
