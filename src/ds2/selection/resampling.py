"""What a selection rests on, drawn again: the inputs of `selection_stability`."""

from dataclasses import dataclass

import numpy as np

from ds2.keys import random_order_keys
from ds2.neighbors import Neighbors

__all__ = ["Resampling", "rater_shift"]

#: Random streams of one draw: one each for rows, scores and raters, then one for each neighbour.
_STREAMS = 4096
_ROWS, _SCORES, _RATERS, _NEAR = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class Resampling:
    """What the draws are made of; arguments as in `selection_stability`."""

    scores: np.ndarray
    raters: np.ndarray | None
    se: np.ndarray | None
    pull: float
    neighbor_scores: np.ndarray | None
    neighbors: Neighbors | None
    keys: np.ndarray
    seed: int

    def draw(self, number: int, tail: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """(n,) Scores and long-tail scores as they might have been."""
        drawn = self.scores
        if self.raters is not None:
            drawn = drawn + rater_shift(self.raters, self._rater_weights(number))
        if self.se is not None:
            from scipy.special import ndtri

            errors = np.nan_to_num(np.asarray(self.se, dtype=np.float64))
            drawn = drawn + errors * ndtri(self._uniform(number, _SCORES))
        if self.neighbors is not None:
            tail, shift = self._near(number, self.neighbors, tail)
            drawn = drawn + shift
        present = self.scores[~np.isnan(self.scores)]
        if drawn is not self.scores and (present == np.floor(present)).all():
            drawn = np.clip(np.rint(drawn), present.min(), present.max())
        return drawn, tail

    def weights(self, number: int) -> np.ndarray:
        """(n,) How often each row of the pool counts in a draw."""
        return self._exponential(number, _ROWS)

    def _exponential(self, number: int, stream: int) -> np.ndarray:
        """(n,) Draws of Exp(1), fixed by key."""
        return np.asarray(-np.log(self._uniform(number, stream)))

    def _uniform(self, number: int, stream: int) -> np.ndarray:
        bits = random_order_keys(self.keys, self.seed, stream=_STREAMS * (number + 1) + stream)
        return np.asarray(((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)

    def _rater_weights(self, number: int) -> np.ndarray:
        assert self.raters is not None
        rng = np.random.default_rng([self.seed, number, _RATERS])
        return np.asarray(rng.standard_exponential(self.raters.shape[1]))

    def _near(
        self, number: int, neighbors: Neighbors, tail: np.ndarray | None
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """The long-tail score and the neighbours' pull with each neighbour counted g times."""
        n = neighbors.n
        far, total, mean = np.zeros(n), np.zeros(n), _Mean.zeros(n)
        plain = _Mean.zeros(n)
        for rank in range(neighbors.k):
            g = self._exponential(number, _NEAR + rank)
            far += g * neighbors.distances[:, rank]
            total += g
            if self.pull and self.neighbor_scores is not None:
                near = self.neighbor_scores[neighbors.indices[:, rank]]
                mean.add(near, g)
                plain.add(near, np.ones(n))
        shift = self.pull * np.nan_to_num(mean.value() - plain.value())
        return (None if tail is None else np.tanh(far / total / 2)), shift


@dataclass(frozen=True, slots=True)
class _Mean:
    """A weighted mean that grows, leaving out what is missing."""

    total: np.ndarray
    weight: np.ndarray

    @staticmethod
    def zeros(n: int) -> "_Mean":
        return _Mean(np.zeros(n), np.zeros(n))

    def add(self, values: np.ndarray, weights: np.ndarray) -> None:
        present = ~np.isnan(values)
        self.total[present] += (values * weights)[present]
        self.weight[present] += weights[present]

    def value(self) -> np.ndarray:
        empty = np.full(len(self.total), np.nan)
        return np.asarray(np.divide(self.total, self.weight, out=empty, where=self.weight > 0))


def rater_shift(raters: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(n,) How far each row's mean moves when raters count ``weights`` times."""
    table = np.asarray(raters, dtype=np.float64)
    present = ~np.isnan(table)
    r = present.sum(axis=1)
    filled = np.where(present, table, 0.0)
    total = present @ weights
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = (filled @ weights) / total - filled.sum(axis=1) / r
        stretch = np.sqrt((r + 1) / (r - 1))
        return np.asarray(np.where(r > 1, shift * stretch, 0.0))
