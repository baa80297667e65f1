"""Who shares a true score with whom, in an example and two of its neighbours.

A neighbourhood has a score. The example itself has it with excess probability s0, each neighbour
with s1, independently; who has not draws from the prior. Then

    own and neighbour share with excess probability    rho = s0 · s1
    two neighbours of one example with                 s1² = kappa · rho,     kappa = s1 / s0

The paper's picture, extended by rho, is s0 = 1: neighbours share the example's score one by one
(kappa = rho). Clusters are s0 = s1 (kappa = 1). Which of them holds is seen in the scores: kappa is
how much more two neighbours of an example go together than the example and a neighbour do. The
likelihood of the triples knows kappa and the neighbourhood's matrix F = s1 T + (1 − s1) q, but T
only up to s1: that is why rho needs evidence.
"""

from dataclasses import dataclass

import numpy as np

from ds2.arrays import Consensus

__all__ = ["Sharing"]

#: kappa is taken no smaller than this.
LEAST_KAPPA = 0.2


@dataclass(frozen=True, slots=True)
class Sharing:
    """How the members of a neighbourhood go together.

    Attributes:
        kappa: excess of two neighbours over example and neighbour, in [0.2, 1].
    """

    kappa: float

    @classmethod
    def measure(cls, counts: Consensus) -> "Sharing":
        """From counted triples: the ratio of the covariances of the scores' one-hot columns."""
        own, near = _excess(counts.sum(axis=2)), _excess(counts.sum(axis=0))
        below = float((own * own).sum())
        ratio = float((own * near).sum()) / below if below > 0 else 1.0
        return cls(float(np.clip(ratio, LEAST_KAPPA, 1.0)))

    def shares(self, rho: float) -> tuple[float, float]:
        """(s0, s1) at ``rho``; beyond kappa no s0 would do, so rho counts as kappa there."""
        held = min(rho, self.kappa)
        return float(np.sqrt(held / self.kappa)), float(np.sqrt(held * self.kappa))


def _excess(pairs: np.ndarray) -> np.ndarray:
    """Joint frequencies minus those of independent scores, symmetric."""
    apart = pairs - np.outer(pairs.sum(axis=1), pairs.sum(axis=0))
    return np.asarray((apart + apart.T) / 2)
