"""Contamination: examples that share long runs of words with an evaluation set.

The rule. A text is cut into words: runs of letters and digits, after Unicode, case and white space
are made equal (`normalise`); each Chinese or Japanese character is a word. An example is
contaminated by an evaluation text of n words or more if any n of its words in a row (n = 13 as in
GPT-3, arXiv 2005.14165) stand in one of the example's turns. A shorter text must stand there whole.
A text of fewer than ``shortest`` words proves nothing (GPT-3: 8) and is not looked for; how many
rows of an evaluation set have no longer text is reported.

Runs of words are found by a 64-bit hash and then compared word by word, so no match is a chance
collision. Memory grows with the evaluation sets, not with the pool.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ds2.checks import check_int
from ds2.errors import InputError
from ds2.pool.duplicates import normalise
from ds2.pool.pool import Pool
from ds2.pool.rows import Fault, read_file
from ds2.pool.runs_of_words import RunIndex
from ds2.pool.wording import shown_names, shown_path

__all__ = ["Contamination", "Match", "find_contaminated", "words_of"]

_BATCH = 512
_EASTERN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(f"[{_EASTERN}]|[^\\W_{_EASTERN}]+")


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
    index = RunIndex(n, shortest)
    checked, unchecked = dict.fromkeys(named, 0), dict.fromkeys(named, 0)
    for number, (name, path) in enumerate(named.items()):
        for line, texts in _rows(path, fields):
            added = [index.add(_WORD.findall(normalise(text)), (number, line)) for text in texts]
            (checked if any(added) else unchecked)[name] += 1
        if not checked[name]:
            raise InputError(
                f"{shown_path(path)} has no text of {shortest} words or more, so nothing in it can "
                "be looked for. Name its fields, or lower 'shortest'."
            )
    matches = _search(pool, index.finish(), list(named), ignore_above)
    notes = tuple(
        f"{count:,} of {count + checked[name]:,} rows of the evaluation set {name} have no text of "
        f"{shortest} words or more, and were not looked for."
        for name, count in unchecked.items()
        if count
    )
    return Contamination(matches, checked, unchecked, notes)


def words_of(text: str) -> list[str]:
    """The words of a text, as the rule above cuts it."""
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
    pool: Pool, index: RunIndex, names: list[str], ignore_above: int | None
) -> tuple[Match, ...]:
    rows = [np.empty(0, np.int64)]
    runs = [np.empty(0, np.int64)]
    start = 0
    for batch in pool.table.select(["messages"]).to_batches(max_chunksize=_BATCH):
        turns = batch.column(0)
        owner = np.repeat(
            np.arange(start, start + len(turns)), np.diff(turns.offsets.to_numpy().astype(np.int64))
        )
        texts = turns.flatten().field("content").to_pylist()
        turn, run = index.search([_WORD.findall(normalise(text)) for text in texts])
        rows.append(owner[turn])
        runs.append(run)
        start += len(turns)
    row, run = np.unique(np.stack([np.concatenate(rows), np.concatenate(runs)]), axis=1)
    if ignore_above is not None and len(run):
        usual = np.bincount(run)[run] <= ignore_above
        row, run = row[usual], run[usual]
    found: dict[tuple[int, int], Match] = {}
    for one, which in zip(row.tolist(), run.tolist(), strict=True):
        for number, line in index.places(which):
            key = (one, number)
            if key not in found:
                found[key] = Match(one, names[number], line, " ".join(index.words(which)))
    return tuple(found.values())
