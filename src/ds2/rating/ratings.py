"""The ratings of a pool: a number per example and rater, NaN with a named problem where it lacks.

And the one Parquet file that holds them.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ds2.atomic import writing
from ds2.errors import InputError
from ds2.pool.files import check_readable
from ds2.pool.wording import shown, shown_path
from ds2.rating.scale import Scale
from ds2.shown import Shown

if TYPE_CHECKING:
    import pyarrow

__all__ = ["PROBLEMS", "Note", "Panel", "Ratings", "codes_of", "counted"]

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

#: What the user should know, by code; a `Note` holds what goes into the braces.
_SENTENCES = {
    "said": "{text}",
    "unrated": "{unrated:,} of {n:,} examples have no rating: {why}.",
    "outside the scale": "{outside:,} of {n:,} ratings are outside the declared scale, {declared}; "
    "all of them lie in {found}. If that is their scale, set {setting}.",
    "upper half unused": "No rating is in the upper half of the declared scale, {declared}; all of "
    "them lie in {found}. If that is their scale, set {setting}.",
    "a score each": "The ratings have {different} different values: each is a score of its own.",
    "cut": "The ratings have {different:,} different values. They keep them; where scores are "
    "counted they are cut into {n_scores}, at {cuts}. Other cuts: bins = [...].",
    "one score": "All ratings fall into one score, so the scores cannot tell any example from "
    "another.",
    "ids alike": "{n:,} ids in {name} are the pool's but for white space or a '.0'.",
    "ids unknown": "{unknown:,} of {n:,} ids in {name} are not in the pool.",
    "layout": "{name} was read as {layout}: {n:,} ratings, {how}{left}.",
    "unanswered": "{n:,} requests to {rater} have no reply, for reasons that can pass. Rate again: "
    "they alone are sent.",
    "in flight": "{n:,} requests of {rater} are in {batches:,} batches that are still going on. Do "
    "the same again later; nothing is sent twice.",
    "budget": "max_cost_usd = {max_usd:g} stopped the {what}: a further request could have "
    "exceeded it. What was rated is a random sample of the pool.",
    "temperature 0": "{rater} has temperature 0: its repeats show only what the endpoint itself "
    "varies, not the noise of its judgement.",
    "foreign results": "{n:,} results are of other settings and were left alone.",
    "broken results": "{n:,} lines are no results; what they were about is still missing. The "
    "last: {last}",
    "two results": "{n:,} requests came back with two results that differ: neither counts, and "
    "they are asked again. The last is of the example {example}.",
    "failed results": "{n:,} requests have no reply; the last: {last}",
}


@dataclass(frozen=True, slots=True)
class Note:
    """What the user should know, as a value; ``str`` makes a sentence of it where it is shown.

    Attributes:
        code: which sentence it is: "outside the scale", "unanswered", …
        numbers: what goes into it, JSON values.
    """

    code: str
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return _SENTENCES[self.code].format(**self.numbers)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Ratings(Shown):
    """The ratings of a pool, in pool order: of one rater, or of several side by side.

    Attributes:
        values: ratings on the scale, NaN where unrated: float64 of shape (n,) for one rater, (n, r)
            for several, as all arrays here.
        codes: int8: 0 where rated, else 1 + the number of the problem in `PROBLEMS`.
        scale: what the ratings mean; that of the first rater, where there are several.
        rater: who rated; the names in a row, where there are several.
        notes: what the user should know.
        spread: the standard deviation of the rating that the rater itself states, on the scale, NaN
            where unknown; None where no rater states any.
        criteria: ratings by single criteria, NaN where there is none. This and ``usage`` are empty
            where there are several raters: see ``parts``.
        repeats: a second, fresh rating of some examples, NaN elsewhere; None where nothing was
            rated twice.
        usage: what the rating took, by name: requests, tokens, cost_usd (None where unknown);
            unanswered, how many requests have no reply for reasons that can pass and are sent again
            when the same is rated again; stopped, why the rater was stopped, None where it was not.
        several: the ratings of each rater alone, where there are several: see `join`.
    """

    values: np.ndarray
    codes: np.ndarray
    scale: Scale
    rater: str
    notes: tuple[Note, ...] = ()
    spread: np.ndarray | None = None
    criteria: Mapping[str, np.ndarray] = field(default_factory=dict)
    repeats: np.ndarray | None = None
    usage: Mapping[str, object] = field(default_factory=dict)
    several: tuple["Ratings", ...] = ()

    def __post_init__(self) -> None:
        if self.values.ndim != 1 + bool(self.several) or self.values.shape != self.codes.shape:
            raise InputError(
                "'values' and 'codes' must have one entry per example. Got shapes "
                f"{self.values.shape} and {self.codes.shape}. Several raters: Ratings.join."
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

    @staticmethod
    def join(ratings: Sequence["Ratings"]) -> "Ratings":
        """Return the ratings of several raters side by side; those of a single one as they are.

        Raises:
            InputError: there are none, two raters have one name, or their rows or numbers of scores
                differ.
        """
        parts = tuple(part for one in ratings for part in one.parts)
        if not parts:
            raise InputError("Name the ratings of at least one rater. Got none.")
        first, seen = parts[0], {parts[0].rater}
        for other in parts[1:]:
            both = f"The raters {shown(first.rater)} and {shown(other.rater)}"
            if len(other) != len(first):
                raise InputError(
                    f"{both} rated {len(first):,} and {len(other):,} examples. Raters that are "
                    "joined rate one pool, in its order."
                )
            if other.n_scores != first.n_scores:
                raise InputError(
                    f"{both} have {first.n_scores} and {other.n_scores} scores ({first.scale}; "
                    f"{other.scale}). Give them bins that make equally many."
                )
            if other.rater in seen:
                raise InputError(
                    f"Two raters are called {shown(other.rater)}. Give one another name."
                )
            seen.add(other.rater)
        if len(parts) == 1:
            return first
        return Ratings(
            values=np.column_stack([one.values for one in parts]),
            codes=np.column_stack([one.codes for one in parts]),
            scale=first.scale,
            rater=", ".join(one.rater for one in parts),
            notes=tuple(note for one in parts for note in one.notes),
            spread=_stacked([one.spread for one in parts]),
            repeats=_stacked([one.repeats for one in parts]),
            several=parts,
        )

    def __len__(self) -> int:
        return len(self.values)

    @property
    def parts(self) -> tuple["Ratings", ...]:
        """The ratings of each rater alone, in the order of the columns."""
        return self.several or (self,)

    @property
    def raters(self) -> tuple[str, ...]:
        """The names of the raters, in the order of the columns."""
        return tuple(one.rater for one in self.parts)

    @property
    def n_scores(self) -> int:
        """K, the number of scores, equal for all raters."""
        return self.scale.n_scores

    @property
    def warnings(self) -> tuple[str, ...]:
        """The notes as sentences, with the rater's name where there are several."""
        if not self.several:
            return tuple(map(str, self.notes))
        return tuple(f"{one.rater}: {note}" for one in self.parts for note in one.notes)

    @property
    def problems(self) -> Mapping[str, int]:
        """How many examples have no rating, by problem; only problems that occur."""
        return counted(self.codes)

    def problem_of_row(self, row: int) -> str | None:
        """Return why an example has no rating of a single rater, or None where it has one."""
        code = int(self.codes[row])
        return PROBLEMS[code - 1] if code else None

    def of(self, rater: str) -> "Ratings":
        """Return the ratings of the rater with this name."""
        if rater not in self.raters:
            raise InputError(
                f"No rater is called {shown(rater)}. There are: "
                f"{', '.join(map(shown, self.raters))}."
            )
        return self.parts[self.raters.index(rater)]

    def scores(self) -> np.ndarray:
        """Return the scores, float64 whole numbers, (n,) or (n, r), NaN where unrated."""
        return self._each(lambda one: one.scale.to_scores(one.values))

    def finer(self) -> np.ndarray:
        """Return real-valued scores in [0, K − 1], (n,) or (n, r); rounded, they are `scores`."""
        return self._each(lambda one: one.scale.to_finer(one.values))

    def repeat_scores(self) -> np.ndarray | None:
        """Return the scores of second, fresh ratings, NaN where nothing was repeated, or None."""
        if self.repeats is None:
            return None
        none = np.full(len(self), np.nan)
        return self._each(
            lambda one: one.scale.to_scores(none if one.repeats is None else one.repeats)
        )

    def _each(self, made: Callable[["Ratings"], np.ndarray]) -> np.ndarray:
        return np.column_stack([made(one) for one in self.several]) if self.several else made(self)

    def save(self, path: str | Path, *, ids: Any = None) -> None:
        """Write one Parquet table, complete or not at all.

        One rater has the columns ``rating``, ``score``, ``problem`` and, where known, ``spread``,
        ``repeat`` and ``criterion:NAME``. With several raters each column's name ends in ``@`` and
        the rater's name.

        Args:
            path: where to write.
            ids: the examples' ids, a list or an Arrow column; they become the first column.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns: dict[str, pyarrow.Array] = {}
        if ids is not None:
            columns["id"] = ids if isinstance(ids, pa.ChunkedArray) else pa.array(ids, pa.string())
        for one, end in zip(self.parts, _ends(self.raters), strict=True):
            added = {name + end: column for name, column in _columns(one).items()}
            if both := set(columns) & set(added):
                raise InputError(f"Two columns would be called {shown(min(both))}. Rename a rater.")
            columns |= added
        about = {"raters": [_about(one) for one in self.parts]}
        table = pa.table(columns).replace_schema_metadata({_ENTRY: json.dumps(about)})
        with writing(Path(path)) as temporary:
            pq.write_table(table, temporary)

    @staticmethod
    def load(path: str | Path) -> "Ratings":
        """Read what `save` wrote.

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
        return Ratings.join(
            [
                _read(table, entry, end, shown_path(path))
                for entry, end in zip(entries, ends, strict=True)
            ]
        )


#: The same class: what several raters said is `Ratings` with a column each.
Panel = Ratings

_ENTRY = b"ds2.ratings"


def counted(codes: np.ndarray) -> dict[str, int]:
    """Return how often each problem occurs; only those that do."""
    counts = np.bincount(codes.ravel(), minlength=len(PROBLEMS) + 1)[1:]
    return {name: int(count) for name, count in zip(PROBLEMS, counts, strict=True) if count}


def codes_of(problems: Sequence[str | None]) -> np.ndarray:
    """Return the codes of problems, 0 where there is none."""
    numbers = {None: 0} | {problem: 1 + at for at, problem in enumerate(PROBLEMS)}
    return np.array([numbers[problem] for problem in problems], dtype=np.int8)


def _codes(problems: "pyarrow.ChunkedArray") -> np.ndarray:
    """The same of a column, null where there is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    places = pc.index_in(problems, value_set=pa.array(PROBLEMS, pa.string())).fill_null(-1)
    return np.asarray(places.to_numpy() + 1, dtype=np.int8)


def _stacked(columns: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Return columns side by side, NaN in the place of one that is not there; None without any."""
    known = next((column for column in columns if column is not None), None)
    if known is None:
        return None
    none = np.full(len(known), np.nan)
    return np.column_stack([none if column is None else column for column in columns])


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
        "notes": [[note.code, dict(note.numbers)] for note in ratings.notes],
        "criteria": list(ratings.criteria),
        "usage": dict(ratings.usage),
    }


def _read(table: "pyarrow.Table", about: dict[str, Any], end: str, path: str) -> Ratings:
    import pyarrow as pa

    def floats(name: str) -> np.ndarray | None:
        if name + end not in table.column_names:
            return None
        return np.asarray(table[name + end].to_numpy(zero_copy_only=False), dtype=np.float64)

    problems = table[f"problem{end}"].cast(pa.string())
    unknown = set(problems.unique().to_pylist()) - {None, *PROBLEMS}
    if unknown:
        raise InputError(
            f"{path} names the problem {shown(min(unknown))}, which this version of ds2 does not "
            "know. Update ds2, or rate again."
        )
    low, high, cuts = about["scale"]
    old = [("said", {"text": sentence}) for sentence in about.get("warnings", ())]
    notes = about.get("notes", old)
    criteria = {name: floats(f"criterion:{name}") for name in about.get("criteria", ())}
    values = floats("rating")
    assert values is not None
    return Ratings(
        values,
        _codes(problems),
        Scale(low, high, tuple(cuts)),
        about["rater"],
        tuple(Note(code, numbers) for code, numbers in notes),
        floats("spread"),
        repeats=floats("repeat"),
        criteria={name: values for name, values in criteria.items() if values is not None},
        usage=about.get("usage", {}),
    )
