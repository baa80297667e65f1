"""The ratings of a pool: one number per example, NaN with a named problem where there is none."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from ds2.atomic import writing
from ds2.errors import InputError
from ds2.pool.files import check_readable
from ds2.pool.wording import shown_path
from ds2.rating.scale import Scale

__all__ = ["PROBLEMS", "Ratings"]

#: Why an example has no rating.
PROBLEMS = ("missing", "not a number", "out of range")

_ENTRY = b"ds2.ratings"


@dataclass(frozen=True, slots=True, eq=False)
class Ratings:
    """One rating per example of a pool, in pool order.

    Attributes:
        values: ratings on the scale, float64 of shape (n,), NaN where unrated.
        codes: int8 of shape (n,): 0 where rated, else 1 + the number of the problem in `PROBLEMS`.
        scale: what the ratings mean.
        rater: who rated.
        warnings: what the user should know.
    """

    values: np.ndarray
    codes: np.ndarray
    scale: Scale
    rater: str
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or self.values.shape != self.codes.shape:
            raise InputError(
                "'values' and 'codes' must have one entry per example. Got shapes "
                f"{self.values.shape} and {self.codes.shape}."
            )
        if not np.array_equal(np.isnan(self.values), self.codes != 0):
            raise InputError("'codes' must be 0 exactly where 'values' is a number.")

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

    def save(self, path: str | Path, *, ids: Sequence[str] | None = None) -> None:
        """Write a Parquet table of rating, score and problem (and ids), complete or not at all."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = pa.array([None, *PROBLEMS], pa.string())
        columns = {
            "rating": pa.array(self.values, from_pandas=True),
            "score": pa.array(self.scores(), from_pandas=True).cast(pa.int16()),
            "problem": names.take(pa.array(self.codes)),
        }
        if ids is not None:
            columns = {"id": pa.array(ids, pa.string()), **columns}
        about = {"scale": astuple(self.scale), "rater": self.rater, "warnings": self.warnings}
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
        if not {"rating", "problem"} <= set(table.column_names) or "scale" not in about:
            raise InputError(f"{shown_path(path)} is no table of ratings saved by ds2.")
        low, high, cuts = about["scale"]
        values = table["rating"].to_numpy(zero_copy_only=False).astype(np.float64)
        codes = np.zeros(len(values), dtype=np.int8)
        problems = table["problem"].to_numpy(zero_copy_only=False)
        for number, name in enumerate(PROBLEMS, start=1):
            codes[problems == name] = number
        scale = Scale(low, high, tuple(cuts))
        return Ratings(values, codes, scale, about["rater"], tuple(about["warnings"]))
