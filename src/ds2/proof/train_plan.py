"""What is trained on when: the settings, the rows of every update, and what a device takes at once.

Everything follows from the settings and the seed, so a training that goes on after a kill needs
no memory of where it was but the number of its last update.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from math import cos, pi
from typing import Literal

import numpy as np

__all__ = ["Training", "learning_rate", "micro_batches", "plan_updates"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How a model is fine-tuned; the defaults are the paper's.

    Attributes:
        model: the base model: a name on the hub, or a folder.
        template: auto, tulu, or a .jinja file.
        lora_rank: rank of the LoRA matrices.
        lora_alpha: their scale is alpha / rank.
        lora_dropout: dropout before them.
        lora_layers: ``all``, or ``last:N`` for the top N layers.
        learning_rate: at its highest.
        schedule: how it falls after the warmup.
        warmup: share of the updates in which it rises.
        epochs: passes over the rows.
        max_steps: updates in all, in place of epochs; 0: off.
        batch: rows an update.
        batch_tokens: answer tokens an update, in place of rows; 0: off.
        device_tokens: tokens, with padding, that a device takes at once.
        max_length: tokens of a conversation at most.
        too_long: what happens to a longer one.
        loss_on: whose tokens are learned.
        dtype: auto is bf16 where a GPU has it, else fp32.
        processes: auto is one for each GPU that is visible.
        checkpoint_minutes: between two checkpoints.
        seed: of the LoRA matrices, the order and the dropout.
    """

    model: str
    template: str = "auto"
    lora_rank: int = 64
    lora_alpha: int = 16
    lora_dropout: float = 0.1
    lora_layers: str = "all"
    learning_rate: float = 1e-4
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: float = 0.03
    epochs: int = 5
    max_steps: int = 0
    batch: int = 128
    batch_tokens: int = 0
    device_tokens: int = 8192
    max_length: int = 2048
    too_long: Literal["drop", "cut"] = "drop"
    loss_on: Literal["assistant", "last-answer"] = "assistant"
    dtype: Literal["auto", "bf16", "fp32"] = "auto"
    processes: int | Literal["auto"] = "auto"
    checkpoint_minutes: float = 15.0
    seed: int = 0


def plan_updates(learned: Sequence[int] | np.ndarray, training: Training) -> list[np.ndarray]:
    """Return the rows of each update.

    Each epoch is a new order of all rows, drawn by the seed. By rows, an epoch is cut into batches
    and its rest is one too. By tokens, all epochs are one series of T answer tokens, and a row is
    in update ⌊m · U / T⌋, where m is the middle of its tokens and U = T / batch_tokens, rounded:
    equal tokens are equal updates, however long the answers are. With max_steps the series ends
    where it has batch_tokens for each, to within half a row, so that trainings of as many updates
    learn as many tokens. None is without a row, so there are at most as many as rows.

    Args:
        learned: (n,) how many tokens of each row are learned; n ≥ 1.
        training: epochs or max_steps, batch or batch_tokens, seed.
    """
    sizes = np.asarray(learned, np.int64)
    epochs = range(training.epochs) if training.max_steps == 0 else count()
    wanted = training.max_steps * (training.batch_tokens or 1)
    series: list[np.ndarray] = []
    have = 0
    for epoch in epochs:
        order = np.random.default_rng([training.seed, epoch]).permutation(len(sizes))
        series.append(order)
        have += int(sizes.sum()) if training.batch_tokens else -(-len(sizes) // training.batch)
        enough = len(series) * len(sizes) >= training.max_steps or not training.batch_tokens
        if training.max_steps and have >= wanted and enough:
            break
    if training.batch_tokens:
        rows = np.concatenate(series)
        if training.max_steps:
            middle = np.cumsum(sizes[rows]) - sizes[rows] / 2
            rows = rows[: max(int((middle < wanted).sum()), training.max_steps)]
        n = training.max_steps or round(int(sizes[rows].sum()) / training.batch_tokens)
        return _by_tokens(rows, sizes[rows], min(max(1, n), len(rows)))
    size = training.batch
    updates = [order[at : at + size] for order in series for at in range(0, len(order), size)]
    return updates[: training.max_steps] if training.max_steps else updates


def _by_tokens(rows: np.ndarray, sizes: np.ndarray, n: int) -> list[np.ndarray]:
    total = int(sizes.sum())
    middle = np.cumsum(sizes) - sizes / 2
    update = np.minimum((middle * n / total).astype(np.int64), n - 1)
    numbers = np.arange(n)
    # each begins at its first row, and behind that of the one before: a row that is longer than
    # an update leaves none without rows
    starts = np.maximum.accumulate(np.searchsorted(update, numbers) - numbers) + numbers
    starts = np.minimum(starts, len(rows) - n + numbers)
    return np.split(rows, starts[1:])


def micro_batches(
    rows: np.ndarray, lengths: np.ndarray, device_tokens: int, *, start: int = 0, of: int = 1
) -> list[np.ndarray]:
    """Cut an update into what a device takes at once: rows of like length, the longest first.

    Rows × the longest of them is at most ``device_tokens``, except for a row that alone is longer.

    Args:
        rows: of one update.
        lengths: (n,) tokens of every row of the data.
        device_tokens: tokens with padding.
        start: which process asks.
        of: processes in all; each gets every so many-th batch.
    """
    ordered = rows[np.lexsort((rows, -lengths[rows]))]
    batches: list[np.ndarray] = []
    at = 0
    while at < len(ordered):
        size = max(1, device_tokens // int(lengths[ordered[at]]))
        batches.append(ordered[at : at + size])
        at += size
    return batches[start::of]


def learning_rate(update: int, n_updates: int, training: Training) -> float:
    """Return the learning rate of an update, counted from 0.

    It rises over the warmup, then falls to 0 behind the last update, in a line or a half cosine.
    """
    rising = int(np.ceil(training.warmup * n_updates))
    if update < rising:
        return training.learning_rate * (update + 1) / rising
    share = (update - rising) / max(1, n_updates - rising)
    falling = {"linear": 1.0 - share, "cosine": (1.0 + cos(pi * share)) / 2.0, "constant": 1.0}
    return training.learning_rate * falling[training.schedule]
