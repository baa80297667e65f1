"""What is to be asked, in random order, read from the pool block by block."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ds2.keys import random_order_keys
from ds2.pool import Message, Pool
from ds2.rating.prompt import Prompt, PromptBuilder
from ds2.rating.rows import REPLIED, UNANSWERED, example_hash
from ds2.rating.store import Store

__all__ = ["Job", "conversations", "iter_hashes", "iter_jobs", "plan_jobs", "still_missing"]

_ORDER, _REPEATED, _REPEATS_ORDER = 11, 12, 13
#: Examples read from the pool at once.
BLOCK = 256
_PASS = 2048


@dataclass(slots=True)
class Job:
    """One request to make.

    Attributes:
        example: `example_hash` of the example.
        repeat: 0, or 1 for its fresh second rating.
        prompt: what to send.
        tries: how often it was sent.
        refusals: how many of those were answered with 429.
        blanks: how many of those were answered with nothing.
        away_s: when it failed last because the endpoint was away, by the loop's clock.
    """

    example: bytes
    repeat: int
    prompt: Prompt
    tries: int = 0
    refusals: int = 0
    blanks: int = 0
    away_s: float = math.inf


def plan_jobs(keys: np.ndarray, *, seed: int, repeats: int) -> np.ndarray:
    """Return what to ask, in random order: int64, each 2·row + repeat.

    Of equal examples one is asked about. The order depends on content and seed alone, so that a
    run that stops early has asked about a random sample of the pool; ``repeats`` examples, random
    in the same way, appear twice.

    Args:
        keys: (n,) uint64 content keys.
        seed: of the order and the repeats.
        repeats: how many examples are rated twice; all when there are fewer.
    """
    unique, rows = np.unique(keys, return_index=True)
    rows = rows.astype(np.int64)
    again = np.argsort(random_order_keys(unique, seed, _REPEATED), kind="stable")[:repeats]
    codes = np.concatenate([2 * rows, 2 * rows[again] + 1])
    places = np.concatenate(
        [
            random_order_keys(unique, seed, _ORDER),
            random_order_keys(unique[again], seed, _REPEATS_ORDER),
        ]
    )
    return np.asarray(codes[np.argsort(places, kind="stable")])


def still_missing(
    codes: np.ndarray, pool: Pool, store: Store, setup: int, *, retry_failed: bool
) -> np.ndarray:
    """Return those of ``codes`` that the store has no final outcome for, in their order.

    What was asked for before comes last: if it is what stops a rater, the rest is rated by then.
    """
    if len(codes) == 0 or store.count(setup) == 0:
        return codes
    settled = UNANSWERED if not retry_failed else REPLIED - 1
    done = np.zeros((len(pool), 2), dtype=bool)
    wanted, tried = np.zeros((len(pool), 2), dtype=bool), np.zeros((len(pool), 2), dtype=bool)
    wanted[codes // 2, codes % 2] = True
    for start, hashes in iter_hashes(pool):
        for repeat in (0, 1):
            rows = np.flatnonzero(wanted[start : start + len(hashes), repeat])
            states = store.states(setup, repeat, [hashes[row] for row in rows])
            for row in rows:
                done[start + row, repeat] = states.get(hashes[row], UNANSWERED) > settled
                tried[start + row, repeat] = hashes[row] in states
    left = codes[~done[codes // 2, codes % 2]]
    return np.asarray(left[np.argsort(tried[left // 2, left % 2], kind="stable")])


def iter_hashes(pool: Pool) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the first row of every block of the pool and the hashes of its examples."""
    start = 0
    for batch in pool.table.select(["messages"]).to_batches(max_chunksize=_PASS):
        hashes = [example_hash(messages) for messages in _as_messages(batch.column(0).to_pylist())]
        yield start, hashes
        start += len(hashes)


def conversations(pool: Pool, rows: np.ndarray) -> list[tuple[Message, ...]]:
    """Return the messages of the given rows, reading nothing else."""
    part = replace(pool, table=pool.table.select(["messages"])).take(rows)
    return _as_messages(part.table["messages"].to_pylist())


def iter_jobs(codes: np.ndarray, pool: Pool, builder: PromptBuilder) -> Iterator[list[Job]]:
    """Yield the jobs of ``codes`` in blocks."""
    for start in range(0, len(codes), BLOCK):
        block = codes[start : start + BLOCK]
        rows, where = np.unique(block // 2, return_inverse=True)
        texts = conversations(pool, rows)
        yield [
            Job(example_hash(texts[place]), int(code % 2), builder.build(texts[place]))
            for place, code in zip(where, block, strict=True)
        ]


def _as_messages(rows: Sequence[Sequence[dict[str, str]]]) -> list[tuple[Message, ...]]:
    return [tuple(Message(turn["role"], turn["content"]) for turn in turns) for turns in rows]
