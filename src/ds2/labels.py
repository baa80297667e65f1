"""Labels (sources, languages, …) as small numbers, without a Python object for every row."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import numpy as np

__all__ = ["each", "encode"]

#: Labels that are Python objects at once.
BLOCK = 16_384


def each(labels: np.ndarray | Sequence[object]) -> Iterator[object]:
    """The labels one after the other, as Python's own objects."""
    if not isinstance(labels, np.ndarray):
        return iter(labels)
    blocks = (labels[start : start + BLOCK] for start in range(0, len(labels), BLOCK))
    return chain.from_iterable(block.tolist() for block in blocks)


def encode(labels: Iterable[object]) -> tuple[np.ndarray, list[object]]:
    """(n,) int32, the place of each label among the different ones, which stand as they first come.

    Labels that are equal for Python are one.
    """
    seen: dict[object, int] = {}
    codes = np.fromiter((seen.setdefault(one, len(seen)) for one in labels), dtype=np.int32)
    return codes, list(seen)
