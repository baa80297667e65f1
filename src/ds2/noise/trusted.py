"""T from gold, with everything else as a guess that gold may overrule.

A guess is a matrix M and a strength v: the rows of T are Dirichlet around M's rows, worth v
examples each. Gold rows, counted as D[i, a] (true i, observed a), then have the probability of a
Dirichlet-multinomial, and T's mean becomes (v M + D) / (v + D's row sums). Guesses compete by that
probability: what neighbours say at each rho (or several raters together), and plain ordinal
matrices, in case neighbours do not share in the way that is assumed. Where a guess explains the
gold rows, its strength comes out large; where none does, T is what gold itself says.

Gold rows are weighted by their inverse inclusion probabilities, scaled to their effective number.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["Guesses", "Trusted", "explain", "gold_counts", "ordinal_guesses"]

#: Strengths that a guess may have, in examples per row.
STRENGTHS = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
#: What every cell of a guess has at least.
LEAST_CELL = 1e-4
RIGHT = np.linspace(0.2, 0.95, 16)
DECAYS = (0.3, 0.5, 0.7, 0.9)
#: A guess of strength v has a chance proportional to v to this power beforehand: for the estimate,
#: which may lean on a guess that explains the gold rows …
LEAN = 0.5
#: … and for the intervals, which must not. That is a uniform prior on 1/√v, the standard deviation
#: of a guess's own error: a hundred gold rows do not show that a guess is exact.
DOUBT = -0.5
DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Guesses:
    """Matrices that may be the rater's, of one family.

    Attributes:
        matrices: (g, s, s).
        support: (g,) log-probability of other evidence under each (0: none).
        errors: (d, s, s) deviations that sampling may have given them; None: exact.
        stretch: (g,) by which the deviations count.
    """

    matrices: np.ndarray
    support: np.ndarray
    errors: np.ndarray | None = None
    stretch: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Trusted:
    """What gold makes of the guesses.

    Attributes:
        matrix: (s, s) posterior mean.
        intervals: (2, s, s) 95 %.
        weights: the posterior probability of each guess, one (g,) per family.
    """

    matrix: np.ndarray
    intervals: np.ndarray
    weights: tuple[np.ndarray, ...]


def gold_counts(shares: np.ndarray, observed: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(s, s) D: gold level by observed score.

    Args:
        shares: (g, s) share of each level in the gold scores.
        observed: (g,) the rater's scores, NaN where it gave none.
        weights: (g,) inverse inclusion probabilities.
    """
    s = shares.shape[1]
    rated = ~np.isnan(observed)
    D = np.zeros((s, s))
    if not rated.any():
        return D
    w = weights[rated]
    scaled = w * w.sum() / (w**2).sum()
    np.add.at(D.T, observed[rated].astype(int), shares[rated] * scaled[:, None])
    return D


def ordinal_guesses(s: int) -> Guesses:
    """Raters who are right this often and err to near levels, more or less."""
    away = np.abs(np.subtract.outer(np.arange(s), np.arange(s)))
    matrices: list[np.ndarray] = []
    for decay in DECAYS:
        rest = decay**away * (away > 0)
        rest /= rest.sum(axis=1, keepdims=True)
        matrices.extend(right * np.eye(s) + (1 - right) * rest for right in RIGHT)
    return Guesses(np.array(matrices), np.zeros(len(matrices)))


def explain(D: np.ndarray, families: list[Guesses], rng: np.random.Generator) -> Trusted:
    """Weigh families of guesses, each family equally beforehand, by how they explain ``D``."""
    strengths = np.array(STRENGTHS)
    logs = [
        np.array([[_log_probability(D, v * _held(M)) for v in strengths] for M in family.matrices])
        + (family.support - _log_mean(family.support))[:, None]
        for family in families
    ]
    weights = _weights(logs, strengths**LEAN)
    mean = np.zeros_like(D)
    for family, weight in zip(families, weights, strict=True):
        for M, row in zip(family.matrices, weight, strict=True):
            for v, w in zip(strengths, row, strict=True):
                if w > 1e-6:
                    mean += w * (v * _held(M) + D) / (v + D.sum(axis=1, keepdims=True))
    mean /= mean.sum(axis=1, keepdims=True)  # what was too unlikely to be looked at is left out
    bounds = _intervals(D, families, _weights(logs, strengths**DOUBT), rng)
    return Trusted(mean, bounds, tuple(weight.sum(axis=1) for weight in weights))


def _weights(logs: list[np.ndarray], beforehand: np.ndarray) -> list[np.ndarray]:
    """Posterior of guess and strength, one (guesses, strengths) per family of equal chances."""
    told = [log + np.log(beforehand / beforehand.mean()) for log in logs]
    chances = _softmax(np.array([_log_mean(log) for log in told]))
    return [chance * _softmax(log) for chance, log in zip(chances, told, strict=True)]


def _intervals(
    D: np.ndarray, families: list[Guesses], weights: list[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """(2, s, s) Quantiles of T drawn from its posterior, sampling errors of the guesses added."""
    flat = np.concatenate([weight.ravel() for weight in weights])
    owner = np.repeat(np.arange(len(weights)), [weight.size for weight in weights])
    offset = np.cumsum([0, *(weight.size for weight in weights)])
    n_strengths = len(STRENGTHS)
    drawn = np.empty((DRAWS, *D.shape))
    for i, cell in enumerate(rng.choice(len(flat), size=DRAWS, p=flat / flat.sum())):
        family = families[owner[cell]]
        guess, strength = divmod(int(cell - offset[owner[cell]]), n_strengths)
        M = family.matrices[guess]
        if family.errors is not None:
            error = family.errors[rng.integers(len(family.errors))]
            M = M + error * (1.0 if family.stretch is None else family.stretch[guess])
        gamma = rng.standard_gamma(STRENGTHS[strength] * _held(M) + D)
        drawn[i] = gamma / np.maximum(gamma.sum(axis=1, keepdims=True), 1e-300)
    return np.asarray(np.quantile(drawn, (0.025, 0.975), axis=0))


def _held(M: np.ndarray) -> np.ndarray:
    cells = np.clip(M, LEAST_CELL, 1.0)
    return np.asarray(cells / cells.sum(axis=1, keepdims=True))


def _log_probability(D: np.ndarray, alpha: np.ndarray) -> float:
    """Log-probability of the counts under a Dirichlet-multinomial per row."""
    from scipy.special import gammaln

    rows = gammaln(alpha.sum(axis=1)) - gammaln(alpha.sum(axis=1) + D.sum(axis=1))
    return float(rows.sum() + (gammaln(alpha + D) - gammaln(alpha)).sum())


def _softmax(logs: np.ndarray) -> np.ndarray:
    shares = np.exp(logs - logs.max())
    return np.asarray(shares / shares.sum())


def _log_mean(logs: np.ndarray) -> float:
    top = float(logs.max())
    return top + float(np.log(np.exp(logs - top).mean()))
