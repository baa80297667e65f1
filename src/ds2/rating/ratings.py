"""The ratings of a pool: one number per example, NaN with a named problem where there is none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ds2.errors import InputError
from ds2.pool.wording import shown, shown_path
from ds2.rating.scale import Scale

__all__ = ["PROBLEMS", "Ratings"]

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
        from ds2.rating.panel import Panel

        Panel((self,)).save(path, ids=ids)

    @staticmethod
    def load(path: str | Path) -> "Ratings":
        """Read what `save` wrote.

        Raises:
            InputError: there is no such file, it is no table of ratings, or it holds several
                raters.
        """
        from ds2.rating.panel import Panel

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
