"""Conversations made ready for training: encoded, checked, and kept as plain arrays."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ds2.atomic import writing
from ds2.errors import InputError
from ds2.proof.encode import Encoded, check_mask, choose_pad, encode
from ds2.proof.models import load_tokenizer
from ds2.proof.templates import Template, Tokenizer, Turns, load_template
from ds2.proof.train_plan import Training

__all__ = ["Prepared", "Rows", "prepare"]

#: Rows whose masks are checked once more, spread over the data.
CHECKED = 200


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Encoded conversations, one after the other.

    Attributes:
        ids: (tokens,) int32.
        learned: (tokens,) bool.
        starts: (n + 1,) where each row begins, and the end.
    """

    ids: np.ndarray
    learned: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, encoded: Sequence[Encoded]) -> "Rows":
        """Lay rows one after the other."""
        return cls(
            np.concatenate([row.ids for row in encoded]),
            np.concatenate([row.learned for row in encoded]),
            np.cumsum([0, *(len(row) for row in encoded)]),
        )

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        """(n,) tokens of each row."""
        return np.diff(self.starts)

    @property
    def n_learned(self) -> np.ndarray:
        """(n,) learned tokens of each row."""
        return np.add.reduceat(self.learned.astype(np.int64), self.starts[:-1])

    def padded(self, rows: np.ndarray, pad: int) -> tuple[np.ndarray, np.ndarray]:
        """Return ids and mask of some rows, (rows, longest) each, padded on the right."""
        width = int(self.lengths[rows].max())
        ids = np.full((len(rows), width), pad, np.int64)
        learned = np.zeros((len(rows), width), bool)
        for i, row in enumerate(rows):
            part = slice(self.starts[row], self.starts[row + 1])
            ids[i, : part.stop - part.start] = self.ids[part]
            learned[i, : part.stop - part.start] = self.learned[part]
        return ids, learned

    def digest(self) -> str:
        """Return a hash of the rows in their order."""
        held = hashlib.sha256()
        for array in (self.ids, self.learned, self.starts.astype(np.int64)):
            held.update(array.tobytes())
        return held.hexdigest()

    def save(self, path: Path) -> None:
        """Write the arrays as one .npz file."""
        with writing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, ids=self.ids, learned=self.learned,
                     starts=self.starts)  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> "Rows":
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(arrays["ids"], arrays["learned"], arrays["starts"])


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What is trained on, and what was left out.

    Attributes:
        tokenizer: the model's.
        template: bound to it.
        encoded: the rows that are trained on.
        kept: which of the rows given they are.
        left_out: how many were not, by the reason.
        n_cut: how many lost tokens at the end.
        pad: the id that rows are padded with.
        special: the special tokens that the rows hold, with their ids.
    """

    tokenizer: Tokenizer
    template: Template
    encoded: tuple[Encoded, ...]
    kept: tuple[int, ...]
    left_out: Mapping[str, int]
    n_cut: int
    pad: int
    special: Mapping[str, int]


def prepare(conversations: Sequence[Turns], training: Training) -> Prepared:
    """Encode conversations for a training and check what is learned of them.

    Raises:
        MissingDependencyError: transformers is not installed.
        InputError: the tokenizer or the template cannot be loaded or does not fit, or no
            conversation is left.
    """
    tokenizer = load_tokenizer(training.model)
    template = load_template(tokenizer, training.template)
    encoded: list[Encoded] = []
    kept: list[int] = []
    reasons: Counter[str] = Counter()
    for i, turns in enumerate(conversations):
        row = encode(
            turns,
            template,
            tokenizer,
            max_length=training.max_length,
            too_long=training.too_long,
            loss_on=training.loss_on,
        )
        if isinstance(row, str):
            reasons[row] += 1
        else:
            encoded.append(row)
            kept.append(i)
    if not encoded:
        why = "; ".join(f"{reason} ({n:,})" for reason, n in reasons.most_common(3))
        raise InputError(
            f"None of the {len(conversations):,} conversations can be trained on: {why or 'empty'}."
            " Look at 'train.template', 'train.max_length' and the selection."
        )
    pad = choose_pad(tokenizer, template)
    for i in np.unique(np.linspace(0, len(kept) - 1, CHECKED).astype(int)):
        check_mask(conversations[kept[i]], encoded[i], template, tokenizer, pad_id=pad)
    used = set(np.unique(np.concatenate([row.ids for row in encoded])).tolist())
    special = {mark: i for mark, i in template.special.items() if i in used}
    n_cut = sum(row.cut for row in encoded)
    return Prepared(
        tokenizer, template, tuple(encoded), tuple(kept), dict(reasons), n_cut, pad, special
    )
