"""Which example each entry of another tool's file rates: by its text, its id, or its place."""

from collections import defaultdict

import numpy as np

from ds2.errors import InputError
from ds2.pool import Pool
from ds2.pool.ids import match_ids
from ds2.pool.wording import shown
from ds2.rating.others import Sheet, text_key

__all__ = ["place"]


def place(pool: Pool, sheet: Sheet, notes: list[str], *, told: bool = False) -> list[object]:
    """Return the sheet's values in the pool's order, None where an example has none.

    The texts decide where the file holds those of the pool, then the ids, then the order, where
    there are as many entries as examples. Examples of one text share an entry.

    Args:
        pool: the examples.
        sheet: what the file holds.
        notes: sentences for the user are added here.
        told: the user named the layout, so that only what is uncertain needs to be said.

    Raises:
        InputError: nothing tells which example an entry rates, or an id has two entries.
    """
    rows, n_known = _by_text(pool, sheet)
    how = "joined on the texts"
    if 2 * n_known < len(sheet.values):
        by_id = _by_id(pool, sheet)
        if by_id is not None and by_id[1] > n_known:
            (rows, n_known), how = by_id, "joined on the ids"
    if n_known == 0:
        rows, n_known, how = _by_order(pool, sheet), len(sheet.values), "taken in the pool's order"
    if not told or n_known < len(sheet.values) or "order" in how:
        left = len(sheet.values) - n_known
        notes.append(
            f"{sheet.name} was read as {shown(sheet.layout)}: {len(sheet.values):,} ratings, {how}"
            + (f"; {left:,} rate no example of the pool." if left else ".")
        )
    return [sheet.values[row] if row >= 0 else None for row in rows.tolist()]


def _by_text(pool: Pool, sheet: Sheet) -> tuple[np.ndarray, int]:
    """Return each example's entry, −1 where there is none, and how many entries have examples."""
    entries: defaultdict[int, list[int]] = defaultdict(list)
    for entry, key in enumerate(sheet.keys):
        if key is not None:
            entries[key].append(entry)
    rows = np.full(len(pool), -1, dtype=np.int64)
    if not entries:
        return rows, 0
    seen: defaultdict[int, int] = defaultdict(int)
    for row, example in enumerate(pool):
        key = text_key(m.content for m in example.messages if m.role != "system")
        same = entries.get(key)
        if same:
            rows[row] = same[min(seen[key], len(same) - 1)]
            seen[key] += 1
    return rows, sum(len(entries[key]) for key in seen)


def _by_id(pool: Pool, sheet: Sheet) -> tuple[np.ndarray, int] | None:
    """Do the same by ids; None where no id is the pool's."""
    named = [entry for entry, name in enumerate(sheet.ids) if name is not None]
    where, _ = match_ids(pool.ids, [str(sheet.ids[entry]) for entry in named])
    rows = np.full(len(pool), -1, dtype=np.int64)
    known = 0
    for entry, row in zip(named, where.tolist(), strict=True):
        if row < 0:
            continue
        if rows[row] >= 0:
            first = sheet.lines[rows[row]]
            raise InputError(
                f"{sheet.name}: the id {shown(sheet.ids[entry])} has two ratings, in {sheet.unit} "
                f"{first:,} and {sheet.unit} {sheet.lines[entry]:,}. Keep one, or read a pool of "
                "the texts that the file rates."
            )
        rows[row] = entry
        known += 1
    return (rows, known) if known else None


def _by_order(pool: Pool, sheet: Sheet) -> np.ndarray:
    n = len(sheet.values)
    if n != len(pool):
        raise InputError(
            f"{sheet.name} holds {n:,} ratings and the pool {len(pool):,} examples, and neither "
            "texts nor ids tell which rates which. Give the file the pool's ids, or read the same "
            "rows as a pool."
        )
    numbers = [int(name) if name and name.isdecimal() else None for name in sheet.ids]
    for first in (0, 1):
        if sorted(-1 if number is None else number for number in numbers) == [
            *range(first, first + n)
        ]:
            return np.argsort(np.array(numbers, dtype=np.int64))
    return np.arange(n)
