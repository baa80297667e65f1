"""The ratings of a pool: one number per example, NaN with a named problem where there is none."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ds2.atomic import writing
from ds2.errors import InputError
from ds2.pool.files import check_readable
from ds2.pool.wording import shown, shown_path
from ds2.rating.scale import Scale

if TYPE_CHECKING:
    import pyarrow

__all__ = ["PROBLEMS", "Panel", "Ratings"]

#: Why an example has no rating: what a table says, what a reply was, what the endpoint did.
PROBLEMS = (
    "missing",
    "not a number",
    "out of range",
    "refused",
    "unparsable",
    "truncated",
    "empty",
    "uncovered",
    "too long",
    "rate limited",
    "timed out",
    "server error",
    "connection lost",
    "bad request",
    "no access",
    "no such model",
    "quota",
    "not asked",
    "ambiguous",
    "quoting",
)

_NEAREST = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Ratings:
    """One rating per example of a pool, in pool order.

    Attributes:
        values: ratings on the scale, float64 of shape (n,), NaN where unrated.
        codes: int8 of shape (n,): 0 where rated, else 1 + the number of the problem in `PROBLEMS`.
        scale: what the ratings mean.
        rater: who rated.
        warnings: what the user should know.
        spread: the standard deviation of the rating that the rater itself states, on the scale,
            float64 of shape (n,), NaN where unknown; None where the rater states none.
        criteria: ratings by single criteria, each float64 of shape (n,), NaN where there is none.
        repeats: a second, fresh rating of some examples, float64 of shape (n,), NaN elsewhere;
            None where nothing was rated twice.
        usage: what the rating took, by name: requests, tokens, cost_usd (None where unknown);
            unanswered, how many requests have no reply for reasons that can pass and are sent again
            when the same is rated again; stopped, why the rater was stopped, None where it was not.
    """

    values: np.ndarray
    codes: np.ndarray
    scale: Scale
    rater: str
    warnings: tuple[str, ...] = ()
    spread: np.ndarray | None = None
    criteria: Mapping[str, np.ndarray] = field(default_factory=dict)
    repeats: np.ndarray | None = None
    usage: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or self.values.shape != self.codes.shape:
            raise InputError(
                "'values' and 'codes' must have one entry per example. Got shapes "
                f"{self.values.shape} and {self.codes.shape}."
            )
        if not np.array_equal(np.isnan(self.values), self.codes != 0):
            raise InputError("'codes' must be 0 exactly where 'values' is a number.")
        further = {"spread": self.spread, "repeats": self.repeats, **self.criteria}
        for name, array in further.items():
            if array is not None and array.shape != self.values.shape:
                raise InputError(
                    f"{shown(name)} must have one entry per example, shape {self.values.shape}. "
                    f"Got {array.shape}."
                )

    def __len__(self) -> int:
        return len(self.values)

    @property
    def problems(self) -> Mapping[str, int]:
        """How many examples have no rating, by problem; only problems that occur."""
        counts = np.bincount(self.codes, minlength=len(PROBLEMS) + 1)[1:]
        return {name: int(count) for name, count in zip(PROBLEMS, counts, strict=True) if count}

    def problem_of_row(self, row: int) -> str | None:
        """Return why an example has no rating, or None where it has one."""
        code = int(self.codes[row])
        return PROBLEMS[code - 1] if code else None

    def scores(self) -> np.ndarray:
        """Return the scores, float64 whole numbers of shape (n,), NaN where unrated."""
        return self.scale.to_scores(self.values)

    def finer(self) -> np.ndarray:
        """Return real-valued scores in [0, K − 1], float64 of shape (n,), NaN where unrated.

        Piecewise linear in the rating: the scale's ends become 0 and K − 1, its j-th cut (from 1)
        j − ½, so that rounding gives `scores`. A rating between two levels keeps its place there.
        """
        return _finer(self.values, self.scale)

    def save(self, path: str | Path, *, ids: Sequence[str] | None = None) -> None:
        """Write a Parquet table of rating, score and problem (and ids), complete or not at all."""
        from ds2.rating.ratings import Panel

        Panel((self,)).save(path, ids=ids)

    @staticmethod
    def load(path: str | Path) -> "Ratings":
        """Read what `save` wrote.

        Raises:
            InputError: there is no such file, it is no table of ratings, or it holds several
                raters.
        """
        from ds2.rating.ratings import Panel

        panel = Panel.load(path)
        if len(panel) > 1:
            raise InputError(
                f"{shown_path(path)} holds the ratings of {len(panel)} raters. Open it with "
                "Panel.load."
            )
        return panel.ratings[0]


def _finer(values: np.ndarray, scale: Scale) -> np.ndarray:
    k = scale.n_scores
    known = (scale.low, *scale.cuts, scale.high)
    places = (0.0, *(cut + 0.5 for cut in range(k - 1)), k - 1.0)
    scores = scale.to_scores(values)
    # A rating on a cut belongs below it, and no rounding error may carry one over it.
    half = 0.5 - _NEAREST
    return np.asarray(np.clip(np.interp(values, known, places), scores - half, scores + half))


_ENTRY = b"ds2.ratings"


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """The ratings that several raters gave the same examples; their scores have one K.

    Attributes:
        ratings: at least one, with different names of raters.

    Raises:
        InputError: there is none, two have one name, or their rows or numbers of scores differ.
    """

    ratings: tuple[Ratings, ...]

    def __post_init__(self) -> None:
        if not self.ratings:
            raise InputError("A panel needs the ratings of at least one rater. Got none.")
        first = self.ratings[0]
        for place, other in enumerate(self.ratings[1:], start=1):
            both = f"The raters {shown(first.rater)} and {shown(other.rater)}"
            if len(other) != len(first):
                raise InputError(
                    f"{both} rated {len(first):,} and {len(other):,} examples. The raters of a "
                    "panel rate one pool, in its order."
                )
            if other.scale.n_scores != first.scale.n_scores:
                raise InputError(
                    f"{both} have {first.scale.n_scores} and {other.scale.n_scores} scores "
                    f"({first.scale}; {other.scale}). Give them bins that make equally many."
                )
            if other.rater in self.raters[:place]:
                raise InputError(
                    f"Two raters are called {shown(other.rater)}. Give one another name."
                )

    def __len__(self) -> int:
        return len(self.ratings)

    def __iter__(self) -> Iterator[Ratings]:
        return iter(self.ratings)

    @property
    def raters(self) -> tuple[str, ...]:
        """The names of the raters, in the order of the columns."""
        return tuple(ratings.rater for ratings in self.ratings)

    @property
    def n_scores(self) -> int:
        """K, the number of scores, equal for all."""
        return self.ratings[0].scale.n_scores

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know, with the rater's name where there are several."""
        if len(self) == 1:
            return self.ratings[0].warnings
        return tuple(f"{one.rater}: {said}" for one in self.ratings for said in one.warnings)

    def rater(self, name: str) -> Ratings:
        """Return the ratings of one rater."""
        if name not in self.raters:
            raise InputError(
                f"No rater is called {shown(name)}. There are: "
                f"{', '.join(shown(rater) for rater in self.raters)}."
            )
        return self.ratings[self.raters.index(name)]

    def scores(self) -> np.ndarray:
        """Return the scores, float64 whole numbers of shape (n, r), NaN where unrated."""
        return np.column_stack([ratings.scores() for ratings in self.ratings])

    def finer(self) -> np.ndarray:
        """Return real-valued scores in [0, K − 1] of shape (n, r); rounded, they are `scores`."""
        return np.column_stack([ratings.finer() for ratings in self.ratings])

    def spread(self) -> np.ndarray:
        """Return how uncertain raters call their own ratings, (n, r), NaN where they do not."""
        none = np.full(len(self.ratings[0]), np.nan)
        return np.column_stack([none if one.spread is None else one.spread for one in self.ratings])

    def repeats(self) -> np.ndarray:
        """Return the scores of second, fresh ratings, (n, r), NaN where nothing was repeated."""
        none = np.full(len(self.ratings[0]), np.nan)
        return np.column_stack(
            [
                none if one.repeats is None else one.scale.to_scores(one.repeats)
                for one in self.ratings
            ]
        )

    def save(self, path: str | Path, *, ids: Sequence[str] | None = None) -> None:
        """Write one Parquet table, complete or not at all.

        One rater has the columns ``rating``, ``score``, ``problem`` and, where known, ``spread``,
        ``repeat`` and ``criterion:NAME``. With several raters each column's name ends in ``@`` and
        the rater's name.

        Args:
            path: where to write.
            ids: the examples' ids, which become the first column.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns: dict[str, pyarrow.Array] = {}
        if ids is not None:
            columns["id"] = pa.array(ids, pa.string())
        for one, end in zip(self.ratings, self._ends(), strict=True):
            added = {name + end: column for name, column in _columns(one).items()}
            if both := set(columns) & set(added):
                raise InputError(f"Two columns would be called {shown(min(both))}. Rename a rater.")
            columns |= added
        entries = [_about(one) for one in self.ratings]
        about = entries[0] if len(entries) == 1 else {"raters": entries}
        table = pa.table(columns).replace_schema_metadata({_ENTRY: json.dumps(about)})
        with writing(Path(path)) as temporary:
            pq.write_table(table, temporary)

    @staticmethod
    def load(path: str | Path) -> "Panel":
        """Read what `save` or `Ratings.save` wrote.

        Raises:
            InputError: there is no such file, or it is no table of ratings.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        check_readable(Path(path))
        try:
            table = pq.read_table(path)
        except (pa.ArrowException, OSError):
            raise InputError(f"{shown_path(path)} is no whole Parquet file.") from None
        about = json.loads((table.schema.metadata or {}).get(_ENTRY, b"{}"))
        entries = about.get("raters", [about])
        ends = _ends([entry.get("rater", "") for entry in entries])
        needed = {f"{name}{end}" for name in ("rating", "problem") for end in ends}
        if not needed <= set(table.column_names) or any("scale" not in one for one in entries):
            raise InputError(f"{shown_path(path)} is no table of ratings saved by ds2.")
        return Panel(
            tuple(
                _read(table, entry, end, shown_path(path))
                for entry, end in zip(entries, ends, strict=True)
            )
        )

    def _ends(self) -> list[str]:
        return _ends(list(self.raters))


def _ends(raters: Sequence[str]) -> list[str]:
    """Return what a rater's columns end in: nothing where there is one rater."""
    return [f"@{rater}" for rater in raters] if len(raters) > 1 else [""]


def _columns(ratings: Ratings) -> dict[str, "pyarrow.Array"]:
    import pyarrow as pa

    names = pa.array([None, *PROBLEMS], pa.string())
    columns = {
        "rating": pa.array(ratings.values, from_pandas=True),
        "score": pa.array(ratings.scores(), from_pandas=True).cast(pa.int16()),
        "problem": names.take(pa.array(ratings.codes)),
    }
    further = {"spread": ratings.spread, "repeat": ratings.repeats}
    further |= {f"criterion:{name}": values for name, values in ratings.criteria.items()}
    for name, values in further.items():
        if values is not None:
            columns[name] = pa.array(values, pa.float64(), from_pandas=True)
    return columns


def _about(ratings: Ratings) -> dict[str, object]:
    return {
        "scale": astuple(ratings.scale),
        "rater": ratings.rater,
        "warnings": ratings.warnings,
        "criteria": list(ratings.criteria),
        "usage": dict(ratings.usage),
    }


def _read(table: "pyarrow.Table", about: dict[str, Any], end: str, path: str) -> Ratings:
    values = _floats(table, f"rating{end}")
    codes = _codes(table, f"problem{end}", path)
    low, high, cuts = about["scale"]
    names = ["spread", "repeat", *(f"criterion:{name}" for name in about.get("criteria", ()))]
    further = {
        name: _floats(table, name + end) for name in names if name + end in table.column_names
    }
    return Ratings(
        values,
        codes,
        Scale(low, high, tuple(cuts)),
        about["rater"],
        tuple(about["warnings"]),
        further.pop("spread", None),
        repeats=further.pop("repeat", None),
        criteria={name.removeprefix("criterion:"): values for name, values in further.items()},
        usage=about.get("usage", {}),
    )


def _floats(table: "pyarrow.Table", name: str) -> np.ndarray:
    return np.asarray(table[name].to_numpy(zero_copy_only=False), dtype=np.float64)


def _codes(table: "pyarrow.Table", name: str, path: str) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table[name].cast(pa.string())
    places = pc.index_in(column, value_set=pa.array(PROBLEMS, pa.string()))
    unknown = pc.and_(column.is_valid(), places.is_null())
    if pc.any(unknown).as_py():
        first = column.filter(unknown)[0].as_py()
        raise InputError(
            f"{path} names the problem {shown(first)}, which this version of ds2 does not know. "
            "Update ds2, or rate again."
        )
    return np.asarray(places.fill_null(-1).to_numpy(zero_copy_only=False) + 1, dtype=np.int8)
