"""Texts that are the same: exact duplicates, and runs of words shared with an evaluation set.

The rule of contamination. A text is cut into words: runs of letters and digits, after Unicode, case
and white space are made equal (`normalise`); each Chinese or Japanese character is a word. An
example is contaminated by an evaluation text of n words or more if any n of its words in a row
(n = 13 as in GPT-3, arXiv 2005.14165) stand in one of the example's turns. A shorter text must
stand there whole. A text of fewer than ``shortest`` words proves nothing (GPT-3: 8) and is not
looked for; how many rows of an evaluation set have no longer text is reported.

Texts and runs are compared by 64-bit hashes: among a million runs of evaluation sets and a billion
of a pool the chance of any wrong match is about 5 in 100,000. Memory grows with the evaluation
sets, not with the pool.
"""

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ds2.checks import check_int
from ds2.errors import InputError
from ds2.pool.pool import Pool
from ds2.pool.rows import Fault, read_file
from ds2.pool.wording import shown_names, shown_path

__all__ = ["Contamination", "Match", "find_contaminated", "find_duplicates", "normalise"]

_BATCH = 1024
_EASTERN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(f"[{_EASTERN}]|[^\\W_{_EASTERN}]+")


def find_duplicates(pool: Pool) -> np.ndarray:
    """Return a group label per example, int64 of shape (n,): the smallest row of its group.

    Two examples are in one group when their messages have the same roles and, after `normalise`,
    the same text. Ids, sources and other fields do not matter.
    """
    digests = np.empty(len(pool), dtype=np.uint64)
    for row, turns in enumerate(_conversations(pool)):
        text = "\x1e".join(f"{t['role']}\x1f{normalise(t['content'])}" for t in turns)
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        digests[row] = int.from_bytes(digest, "little")
    _, first, group = np.unique(digests, return_index=True, return_inverse=True)
    return first[group].astype(np.int64)


def normalise(text: str) -> str:
    """Return text without differences in Unicode form (NFKC), case and white space."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    else:
        text = text.lower()
    return " ".join(text.split())


def _conversations(pool: Pool) -> Iterator[list[dict[str, str]]]:
    for batch in pool.table.select(["messages"]).to_batches(max_chunksize=_BATCH):
        yield from batch.column(0).to_pylist()


@dataclass(frozen=True, slots=True)
class Match:
    """One example and an evaluation text that it shares words with.

    Attributes:
        row: the example's row number.
        evaluation: the name of the evaluation set.
        line: line or row number of the text in its file, from 1.
        words: the first words that both hold. They are data: escape them before showing them.
    """

    row: int
    evaluation: str
    line: int
    words: str


@dataclass(frozen=True, slots=True)
class Contamination:
    """Which examples share words with evaluation sets.

    Attributes:
        matches: the first match of each contaminated example in each evaluation set, by row.
        checked: how many rows of each evaluation set have a text that is long enough.
        unchecked: how many have none.
        warnings: what the user should know.
    """

    matches: tuple[Match, ...]
    checked: Mapping[str, int]
    unchecked: Mapping[str, int]
    warnings: tuple[str, ...] = ()

    @property
    def rows(self) -> np.ndarray:
        """(m,) The contaminated rows, ascending."""
        return np.array(sorted({match.row for match in self.matches}), dtype=np.int64)

    def by_reason(self) -> dict[str, np.ndarray]:
        """The rows of each evaluation set under the reason "in the evaluation set NAME"."""
        found: dict[str, list[int]] = {}
        for match in self.matches:
            found.setdefault(f"in the evaluation set {match.evaluation}", []).append(match.row)
        return {reason: np.array(rows, dtype=np.int64) for reason, rows in found.items()}


def find_contaminated(
    pool: Pool,
    evaluations: Mapping[str, str | os.PathLike[str]] | Sequence[str | os.PathLike[str]],
    *,
    n: int = 13,
    shortest: int = 8,
    fields: Sequence[str] | None = None,
    ignore_above: int | None = None,
) -> Contamination:
    """Find the examples that share words with evaluation sets; see above for the rule.

    Args:
        pool: the examples.
        evaluations: files (JSONL, JSON, CSV, TSV, Parquet, also compressed), or names and files.
            Every text in a row counts, at any depth, each on its own; of a table whose first row
            is data, that row too (its columns are "column 1", "column 2", …).
        n: words in a row that prove a match.
        shortest: a shorter text of an evaluation set is not looked for.
        fields: the fields of the rows to look at. Default: all.
        ignore_above: leave out runs of words that stand in more examples than this: common
            phrases, such as a template that all questions of a set share. Default: none.

    Returns:
        `Contamination`.

    Raises:
        InputError: a file cannot be read, has no such field, or no text that is long enough.
    """
    n = check_int("n", n, low=1)
    shortest = check_int("shortest", shortest, low=1, high=n)
    if ignore_above is not None:
        ignore_above = check_int("ignore_above", ignore_above, low=1)
    named = _named(evaluations)
    index = _Runs(n, shortest)
    checked, unchecked = dict.fromkeys(named, 0), dict.fromkeys(named, 0)
    for number, (name, path) in enumerate(named.items()):
        for line, texts in _rows(path, fields):
            added = [index.add(_words(text), (number, line)) for text in texts]
            (checked if any(added) else unchecked)[name] += 1
        if not checked[name]:
            raise InputError(
                f"{shown_path(path)} has no text of {shortest} words or more, so nothing in it can "
                "be looked for. Name its fields, or lower 'shortest'."
            )
    matches = _search(pool, index, list(named), ignore_above)
    notes = tuple(
        f"{count:,} of {count + checked[name]:,} rows of the evaluation set {name} have no text of "
        f"{shortest} words or more, and were not looked for."
        for name, count in unchecked.items()
        if count
    )
    return Contamination(matches, checked, unchecked, notes)


class _Runs:
    """Runs of ``n`` words, and whole texts of ``shortest`` to n − 1 words, by their hashes."""

    def __init__(self, n: int, shortest: int) -> None:
        self._n, self._shortest = n, shortest
        self._lengths: set[int] = set()
        self._starts: set[int] = set()
        self._places: dict[int, tuple[tuple[int, int], ...]] = {}

    def add(self, words: list[str], place: tuple[int, int]) -> bool:
        """Add a text's words and its set and line; False if it is too short to look for."""
        if len(words) < self._shortest:
            return False
        length = min(self._n, len(words))
        self._lengths.add(length)
        self._starts.update(_hashes(words[: len(words) - length + self._shortest], self._shortest))
        alone = (place,)
        for run in _hashes(words, length):
            held = self._places.setdefault(run, alone)
            if all(number != place[0] for number, _ in held):
                self._places[run] = (*held, place)
        return True

    def search(self, words: list[str]) -> dict[int, str]:
        """Return the runs that stand in a text, by their hash, first to last."""
        found: dict[int, str] = {}
        if self._starts.isdisjoint(_hashes(words, self._shortest)):
            return found  # nearly every text
        for at, start in enumerate(_hashes(words, self._shortest)):
            for length in self._lengths if start in self._starts else ():
                run = tuple(words[at : at + length])
                if len(run) == length and hash(run) in self._places:
                    found.setdefault(hash(run), " ".join(run))
        return found

    def places(self, run: int) -> tuple[tuple[int, int], ...]:
        """Return the first place of a run in each evaluation set that holds it."""
        return self._places[run]


def _hashes(words: list[str], length: int) -> Iterator[int]:
    """Return the hash of each run of so many words."""
    return map(hash, zip(*(words[at:] for at in range(length)), strict=False))


def _words(text: str) -> list[str]:
    return _WORD.findall(normalise(text))


def _named(
    evaluations: Mapping[str, str | os.PathLike[str]] | Sequence[str | os.PathLike[str]],
) -> dict[str, Path]:
    if isinstance(evaluations, (str, os.PathLike)):
        raise InputError("'evaluations' must be a list of files, or names and files. Got one path.")
    if isinstance(evaluations, Mapping):
        named = {shown_path(name): Path(path) for name, path in evaluations.items()}
    else:
        named = {shown_path(Path(path).name): Path(path) for path in evaluations}
    if not named or len(named) < len(evaluations):
        raise InputError("'evaluations' must name files with different names. Give a name to each.")
    return named


def _rows(path: Path, fields: Sequence[str] | None) -> Iterator[tuple[int, list[str]]]:
    seen: set[str] = set()
    for line, row in read_file(path, headless=True).rows:
        if isinstance(row, Fault):
            raise InputError(f"{shown_path(path)}, row {line:,}: {row.reason}. Correct it.")
        seen.update(row)
        wanted = row.values() if fields is None else [row.get(field) for field in fields]
        yield line, [text for value in wanted for text in _texts(value)]
    missing = [] if fields is None else [field for field in fields if field not in seen]
    if missing:
        raise InputError(
            f"No row of {shown_path(path)} has the field {shown_names(missing)}. There are: "
            f"{shown_names(sorted(seen))}."
        )


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)


def _search(
    pool: Pool, index: _Runs, names: list[str], ignore_above: int | None
) -> tuple[Match, ...]:
    found: list[tuple[int, dict[int, str]]] = []
    for row, turns in enumerate(_conversations(pool)):
        shared: dict[int, str] = {}
        for turn in turns:
            shared |= index.search(_words(turn["content"]))
        if shared:
            found.append((row, shared))
    often = Counter(run for _, shared in found for run in shared)
    matches: dict[tuple[int, int], Match] = {}
    for row, shared in found:
        for run, words in shared.items():
            for number, line in index.places(run):
                if ignore_above is None or often[run] <= ignore_above:
                    match = Match(row, names[number], line, words)
                    matches.setdefault((row, number), match)
    return tuple(matches.values())
