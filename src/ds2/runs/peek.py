"""What `ds2 init` sees of a pool: its first rows, looked at before anything is written."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ds2.embedding import WordLlamaEmbedder, identify_languages, unread_languages
from ds2.errors import InputError
from ds2.pool import Pool, read_pool
from ds2.pool.wording import shown_names
from ds2.rating import Scale, guess_scale, no_number
from ds2.runs.job import unheard
from ds2.runs.recipe import Recipe
from ds2.runs.recipe_file import HUB, places_of

__all__ = ["Peek", "peek"]

ROWS = 1000
#: What columns of scores are called.
_SCORES = re.compile("score|rating|reward|grade|quality", re.IGNORECASE)
#: Languages that are named.
NAMED = 3


@dataclass(frozen=True, slots=True)
class Peek:
    """The first rows of a pool.

    Attributes:
        sentences: what they are, and what reading them said.
        scale: the scale that the recipe's scores seem to be on, where it is another one than the
            recipe says; None where they fit, and where nothing was read.
        outside: whether some of them cannot be on the recipe's scale.
        unread: the share of texts in languages other than English, which the default embedder
            reads, and the most frequent of them.
    """

    sentences: tuple[str, ...] = ()
    scale: str | None = None
    outside: bool = False
    unread: tuple[float, tuple[tuple[str, float], ...]] = (0.0, ())


def peek(recipe: Recipe, folder: Path) -> Peek:
    """Look at the first rows of the recipe's pool; of one on the hub nothing is read.

    Raises:
        InputError: no pool, or a column that the recipe names is in none of its rows or holds no
            number in any.
    """
    wanted = recipe.pool
    if any(path.startswith(HUB) for path in wanted.paths):
        return Peek()
    pool = unheard(
        read_pool,
        places_of(folder, wanted),
        **wanted.model_dump(exclude={"path", "max_bad_share"}),
        max_bad_share=1.0,
        limit=ROWS,
    )
    languages = identify_languages(pool.texts())
    unread = unread_languages(languages, WordLlamaEmbedder.languages)
    said = [_seen(pool, languages), *pool.warnings]
    given = recipe.scores.column or ()
    columns = (given,) if isinstance(given, str) else given
    if recipe.scores.file is not None:
        return Peek(tuple(said), unread=unread)
    if not columns and not recipe.raters:
        said.append(_likely(pool))
    values: list[object] = []
    for column in columns:
        head = column.split(".")[0]
        if head not in pool.columns and pool.n_read == ROWS:  # it may come later
            there = shown_names(list(pool.columns))
            said.append(f"None of these rows has the column '{column}'. There are: {there}.")
        else:
            found = pool.column(head)
            if head == column and (words := no_number(found)):
                raise InputError(f"The column '{column}' holds no scores. {words}")
            values += found if head == column else []
    scale = guess_scale(values, named=True)
    if scale is None:
        return Peek(tuple(said), unread=unread)
    low, high = Scale.ends(scale)
    bottom, top = Scale.ends(recipe.scores.scale)
    same = (low, high) == (bottom, top)
    return Peek(tuple(said), None if same else scale, low < bottom or high > top, unread)


def _seen(pool: Pool, languages: Sequence[str | None]) -> str:
    codes = Counter(code for code in languages if code is not None)
    known = ", ".join(
        f"{code} {count / codes.total():.0%}" for code, count in codes.most_common(NAMED)
    )
    first = "the first " if pool.n_read == ROWS else ""
    spoken = f"; languages: {known}" if known else ""
    return f"{first}{pool.n_read:,} rows: format {pool.format}{spoken}"


def _likely(pool: Pool) -> str:
    """Name the columns that could be scores, and what to type."""
    scales: Mapping[str, str | None] = {
        name: guess_scale(pool.column(name), named=_SCORES.search(name) is not None)
        for name in pool.columns
    }
    likely = {name: scale for name, scale in scales.items() if scale is not None}
    if not likely:
        return (
            "no column looks like scores: name a model that rates (--rater), or a file (--scores)"
        )
    shown = ", ".join(f"{name} ({scale})" for name, scale in likely.items())
    name, scale = next(iter(likely.items()))
    return f"could be scores: {shown}. For the first: --scores {name} --scale {scale}"
