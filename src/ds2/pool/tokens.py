"""How long every example is: characters, or tokens of a tokenizer that the user names."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ds2.checks import check_int
from ds2.errors import InputError, MissingDependencyError
from ds2.pool.pool import Pool
from ds2.pool.wording import shown, shown_path

__all__ = ["count_tokens"]

TIKTOKEN = "tiktoken:"
_BATCH = 512
#: Texts to the number of tokens of each.
_Counter = Callable[[Sequence[str]], Sequence[int]]


def count_tokens(
    pool: Pool, tokenizer: str | os.PathLike[str] = "characters", *, per_turn: int = 0
) -> np.ndarray:
    """Count what every example costs: the tokens of the contents of all its turns.

    What a chat template adds around the turns is not known here; ``per_turn`` stands for it.

    Args:
        pool: the examples.
        tokenizer: "characters"; a ``tokenizer.json`` or the folder that holds it; the name of a
            model on the hub, as in ``org/name``; or ``tiktoken:NAME`` with an encoding's name
            (``cl100k_base``), which needs the package tiktoken.
        per_turn: tokens to add for every turn.

    Returns:
        (n,) int64.

    Raises:
        InputError: there is no such tokenizer, or it cannot be read.
    """
    extra = check_int("per_turn", per_turn, low=0)
    count = _counter(os.fspath(tokenizer))
    totals = [np.empty(0, np.int64)]
    for batch in pool.table.select(["messages"]).to_batches(max_chunksize=_BATCH):
        turns = batch.column(0)
        lengths = np.diff(turns.offsets.to_numpy().astype(np.int64))
        texts = turns.flatten().field("content").to_pylist()
        counted = np.fromiter(count(texts), np.int64, len(texts)) + extra
        ends = np.concatenate([[0], np.cumsum(lengths)])
        running = np.concatenate([[0], np.cumsum(counted)])
        totals.append(running[ends[1:]] - running[ends[:-1]])
    return np.concatenate(totals)


def _counter(name: str) -> _Counter:
    if name == "characters":
        return lambda texts: [len(text) for text in texts]
    if name.startswith(TIKTOKEN):
        return _tiktoken(name.removeprefix(TIKTOKEN))
    return _hugging_face(name)


def _hugging_face(name: str) -> _Counter:
    from tokenizers import Tokenizer

    path = Path(name)
    file = path / "tokenizer.json" if path.is_dir() else path
    local = file.is_file()
    if path.is_dir() and not local:
        raise InputError(f"The folder {shown_path(path)} holds no tokenizer.json. Name the file.")
    if not local and (file.suffix == ".json" or name.count("/") > 1 or name.startswith((".", "/"))):
        raise InputError(f"{shown_path(path)} does not exist. Name a tokenizer.json, or org/name.")
    try:
        loaded: Any = Tokenizer.from_file(str(file)) if local else Tokenizer.from_pretrained(name)
    except Exception as error:  # the tokenizers library raises plain exceptions
        reason = shown(str(error).strip().partition("\n")[0], 160)
        called = shown_path(file) if local else shown(name, 80)
        raise InputError(
            f"The tokenizer {called} could not be loaded: {reason}. Give 'characters', a "
            "tokenizer.json, a name that this machine can download, or tiktoken:NAME."
        ) from error
    loaded.no_truncation()
    loaded.no_padding()
    return lambda texts: [
        len(found.ids) for found in loaded.encode_batch(list(texts), add_special_tokens=False)
    ]


def _tiktoken(name: str) -> _Counter:
    try:
        import tiktoken
    except ImportError:
        raise MissingDependencyError("tiktoken", f"The tokenizer '{TIKTOKEN}{name}'") from None
    try:
        encoding = tiktoken.get_encoding(name)
    except Exception as error:  # an unknown name, or no network: the library raises several kinds
        known = ", ".join(tiktoken.list_encoding_names())
        raise InputError(
            f"The encoding {shown(name, 80)} of tiktoken could not be loaded. It knows {known}, "
            "and downloads one the first time it is used."
        ) from error
    return lambda texts: [
        len(found) for found in encoding.encode_batch(list(texts), disallowed_special=())
    ]
