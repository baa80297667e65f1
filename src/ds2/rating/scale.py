"""From a rating to a score: a declared range, and the cuts inside it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ds2.errors import InputError

__all__ = ["Scale", "even_bins"]

_DS2_CUTS = (4.5, 5.5, 6.5, 7.5, 8.5)
_MOST_LEVELS = 10
#: The most scores that a matrix is estimated for; a scale with fewer levels of its own than the
#: second is cut anew where ratings lie between them; as many scores are cut by quantiles.
_MOST_SCORES, _FEW_LEVELS, _FITTED = 100, 5, 6
_PLACES = 9
_NEAREST = 1e-9
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)"
_RANGE = re.compile(rf"\s*({_NUMBER})\s*(?:-|–|\.\.|to)\s*({_NUMBER})\s*", re.ASCII)
_LEVELS = re.compile(r"\s*levels\s*:\s*(\d{1,4})\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Scale:
    """The range of a rating, and how it is binned: score = number of cuts below the rating.

    Attributes:
        low: the lowest rating there can be.
        high: the highest.
        cuts: ascending, inside the range; K = number of cuts + 1.

    Raises:
        InputError: the range is empty, or the cuts are not ascending inside it.
    """

    low: float
    high: float
    cuts: tuple[float, ...]

    def __post_init__(self) -> None:
        ends = (self.low, *self.cuts, self.high)
        if not np.isfinite(ends).all() or not self.low < self.high:
            raise InputError(
                f"A scale needs a lower end below its upper end, and finite cuts. Got {self}."
            )
        if len(self.cuts) == 0 or (np.diff(ends) <= 0).any():
            raise InputError(
                "The bins of a scale are the cuts between its scores: at least one, ascending, "
                f"above {self.low:g} and below {self.high:g}. Got {_listed(self.cuts)}."
            )

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}, cut at {_listed(self.cuts)}"

    @staticmethod
    def ds2() -> "Scale":
        """Return the scale of the paper: 1–10 in 6 scores (≤4, 5, 6, 7, 8, ≥9)."""
        return Scale(1.0, 10.0, _DS2_CUTS)

    @staticmethod
    def levels(k: int) -> "Scale":
        """Return the scale of ratings that are scores already: 0 … k − 1."""
        if k < 2:
            raise InputError(f"A scale needs at least 2 scores. Got {k}.")
        return Scale(0.0, k - 1.0, tuple(level + 0.5 for level in range(k - 1)))

    @staticmethod
    def parse(
        text: str,
        bins: Sequence[int | float] | None = None,
        *,
        values: np.ndarray | None = None,
    ) -> "Scale":
        """Read a scale as a recipe writes it.

        Args:
            text: ``"1-10"`` (the bins of the paper), ``"levels:6"`` (scores already, 0–5), or any
                other range ``"LOW-HIGH"``. A range of at most 10 whole numbers needs no bins: each
                is a score of its own.
            bins: the cuts between the scores, ascending.
            values: the ratings, NaN where missing. Without bins they decide the cuts of a range
                whose own levels they do not fit: at most ten different values are a score each,
                more are cut into six by quantiles.

        Raises:
            InputError: the text is no scale, or the range needs bins and there are no values.
        """
        low, high, own = _range_of(text)
        if bins is not None:
            return Scale(low, high, tuple(float(cut) for cut in bins))
        if values is not None:
            inside = np.round(values[(values >= low) & (values <= high)], _PLACES)
            if own is None or _merges(inside, own):
                fitted = _fitted_cuts(inside)
                own = fitted or own
        if own is None:
            raise InputError(
                f"The scale {low:g}-{high:g} needs bins, the cuts between its scores: for example "
                f"bins = {even_bins(low, high)} for 6 scores."
            )
        return Scale(low, high, own)

    @staticmethod
    def check(text: str, bins: Sequence[int | float] | None = None) -> None:
        """Raise `InputError` where a recipe's scale cannot be one, whatever the ratings are."""
        low, high, _ = _range_of(text)
        Scale(low, high, ((low + high) / 2,) if bins is None else tuple(map(float, bins)))

    @staticmethod
    def ends(text: str) -> tuple[float, float]:
        """Return the lowest and the highest rating of a recipe's scale."""
        low, high, _ = _range_of(text)
        return low, high

    @property
    def n_scores(self) -> int:
        """K, the number of scores."""
        return len(self.cuts) + 1

    def contains(self, values: np.ndarray) -> np.ndarray:
        """Say of every value whether it is in the range; NaN is not."""
        return np.asarray((values >= self.low) & (values <= self.high))

    def to_scores(self, values: np.ndarray) -> np.ndarray:
        """Return float64 whole numbers 0 … K − 1 for ratings of shape (n,), NaN for NaN.

        Raises:
            InputError: a rating is outside the range.
        """
        ratings = np.asarray(values, dtype=np.float64)
        missing = np.isnan(ratings)
        outside = ~missing & ~self.contains(ratings)
        if outside.any():
            row = int(np.argmax(outside))
            raise InputError(
                f"The rating {ratings[row]:g} in row {row} is outside the scale {self}."
            )
        scores = np.searchsorted(self.cuts, ratings, side="left").astype(np.float64)
        scores[missing] = np.nan
        return scores

    def to_finer(self, values: np.ndarray) -> np.ndarray:
        """Return real-valued scores in [0, K − 1] for ratings of shape (n,), NaN for NaN.

        Piecewise linear in the rating: the scale's ends become 0 and K − 1, its j-th cut (from 1)
        j − ½, so that `ds2.levels.nearest_level` gives
        `to_scores`. A rating between two levels keeps its place
        there.
        """
        k = self.n_scores
        known = (self.low, *self.cuts, self.high)
        places = (0.0, *(cut + 0.5 for cut in range(k - 1)), k - 1.0)
        scores = self.to_scores(values)
        # No rounding error may carry a rating over a cut; one on a cut belongs below it.
        finer = np.interp(values, known, places)
        return np.asarray(np.clip(finer, scores - (0.5 - _NEAREST), scores + 0.5))


def _range_of(text: str) -> tuple[float, float, tuple[float, ...] | None]:
    """Return the ends of a scale as text, and the cuts of its own levels, None without any."""
    levels = _LEVELS.fullmatch(text)
    if levels:
        scale = Scale.levels(int(levels[1]))
        return scale.low, scale.high, scale.cuts if scale.n_scores <= _MOST_SCORES else None
    match = _RANGE.fullmatch(text)
    if match is None:
        raise InputError(
            f"'scale' must be a range such as '1-10' or '0-5', or 'levels:6' for ratings that "
            f"are scores 0 … 5 already. Got {text[:40]!r}."
        )
    low, high = float(match[1]), float(match[2])
    if not low < high:
        raise InputError(f"A scale's lower end must be below its upper end. Got {low:g}-{high:g}.")
    if (low, high) == (1.0, 10.0):
        return low, high, _DS2_CUTS
    count = high - low + 1
    if not (low.is_integer() and high.is_integer() and 2 <= count <= _MOST_LEVELS):
        return low, high, None
    return low, high, tuple(low + step + 0.5 for step in range(int(count) - 1))


def _merges(values: np.ndarray, cuts: tuple[float, ...]) -> bool:
    """Say whether ratings lie between the levels of a scale that would take them together."""
    if cuts == _DS2_CUTS or not (values != np.floor(values)).any():
        return False
    different = len(np.unique(values))
    return len(cuts) + 1 < different and (different <= _MOST_LEVELS or len(cuts) + 1 < _FEW_LEVELS)


def _fitted_cuts(values: np.ndarray) -> tuple[float, ...]:
    """Return cuts half-way between neighbouring values; none where all are equal."""
    held, counts = np.unique(values, return_counts=True)
    between = (held[:-1] + held[1:]) / 2
    if len(held) > _MOST_LEVELS:
        below = np.cumsum(counts)[:-1] / counts.sum()
        wanted = np.arange(1, _FITTED) / _FITTED
        between = between[np.unique(np.abs(below - wanted[:, None]).argmin(axis=1))]
    return tuple(between.tolist())


def even_bins(low: float, high: float, k: int = 6) -> str:
    """Return evenly spaced cuts for ``k`` scores, as a recipe writes them."""
    return _listed([float(f"{cut:.4g}") for cut in np.linspace(low, high, k + 1)[1:-1]])


def _listed(cuts: Sequence[float]) -> str:
    return f"[{', '.join(f'{cut:g}' for cut in cuts)}]"
