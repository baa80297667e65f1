"""Tables that several parts of a page have."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from ds2.curation import BiasRow
from ds2.report.model import Table, table

__all__ = ["against_pool", "goes_with"]

MOST_SOURCES = 20


def against_pool(
    key: str, title: str, labels: Sequence[str], rows: np.ndarray, order: Sequence[str] = ()
) -> Table:
    """How many examples of the pool and of the selection have each label; small ones together."""
    pool, chosen = Counter(labels), Counter(labels[row] for row in rows.tolist())
    names = order or sorted(pool, key=lambda name: (-pool[name], name))
    counts = [(name, pool[name], chosen[name]) for name in names[:MOST_SOURCES]]
    rest = names[MOST_SOURCES:]
    if rest:
        here, there = (sum(part[name] for name in rest) for part in (pool, chosen))
        counts.append((f"({len(rest):,} smaller sources)", here, there))
    n, m = max(len(labels), 1), max(len(rows), 1)
    lines = [(name, here, here / n, there, there / m) for name, here, there in counts]
    heads = "group, pool, of the pool: share, selected, of the selection: share"
    return table(key, title, heads, lines, bars=(2, 4))


def goes_with(
    key: str, title: str, bias: Iterable[BiasRow], names: tuple[str, str], says: str = ""
) -> Table:
    """What two columns of scores, of these names, go with beside quality."""
    one, two = names
    return table(
        key,
        title,
        f"with, measure, {one}, {two}, {one} with the others fixed, {two} with the others fixed, "
        "examples",
        [
            (
                row.covariate,
                "Spearman" if row.measure == "spearman" else "eta",
                row.raw,
                row.curated,
                row.raw_partial.value,
                row.curated_partial.value,
                row.n,
            )
            for row in bias
        ],
        says=says,
    )
