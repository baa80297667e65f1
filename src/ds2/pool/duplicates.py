"""Exact duplicates: examples whose text is the same once it is normalised."""

import hashlib
import unicodedata

import numpy as np

from ds2.pool.pool import Pool

__all__ = ["find_duplicates", "normalise"]

_BATCH = 1024


def find_duplicates(pool: Pool) -> np.ndarray:
    """Return a group label per example, int64 of shape (n,): the smallest row of its group.

    Two examples are in one group when their messages have the same roles and, after `normalise`,
    the same text. Ids, sources and other fields do not matter. Texts are compared by a 64-bit
    hash: among ten million different ones the chance of any wrong pair is about 3 in a million.
    """
    digests = np.empty(len(pool), dtype=np.uint64)
    row = 0
    for batch in pool.table.select(["messages"]).to_batches(max_chunksize=_BATCH):
        for turns in batch.column(0).to_pylist():
            text = "\x1e".join(f"{t['role']}\x1f{normalise(t['content'])}" for t in turns)
            digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
            digests[row] = int.from_bytes(digest, "little")
            row += 1
    _, first, group = np.unique(digests, return_index=True, return_inverse=True)
    return first[group].astype(np.int64)


def normalise(text: str) -> str:
    """Return text without differences in Unicode form (NFKC), case and white space."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    else:
        text = text.lower()
    return " ".join(text.split())
