"""Pools with a known truth for benchmarks of curation: simulated, and drawn on real texts."""

from dataclasses import dataclass

import numpy as np
from _common import alpaca_vectors

import ds2

__all__ = ["SHARED", "SITUATIONS", "TEXTS", "Pool", "drawn", "on_texts", "prepared"]

LOW, MIDDLE, HIGH = 0.5, 1.2, 2.5  # standard deviation of a rater's noise, in levels


@dataclass(frozen=True)
class Situation:
    """Raters of a simulated pool; ``rho`` is its clusterability."""

    name: str
    rho: float
    noise: tuple[float, ...]
    n: int = 2000
    own_bias: float = 0.0  # of a neighbourhood, each rater's own, in levels
    shared_bias: float = 0.0  # the same for all raters
    adversary: bool = False  # the last rater's scale is upside down
    swapped: bool = False  # the last rater's two lowest levels are swapped
    missing: float = 0.0
    cluster: int = 20
    fine: bool = False  # raters use only three of the six levels


SITUATIONS = (
    Situation("1 rater, rho 0, low", 0.0, (LOW,)),
    Situation("1 rater, rho 0, high", 0.0, (HIGH,)),
    Situation("1 rater, rho 0.5, high", 0.5, (HIGH,)),
    Situation("1 rater, rho 1, low", 1.0, (LOW,)),
    Situation("1 rater, rho 1, high", 1.0, (HIGH,)),
    Situation("2 raters, rho 0, middle", 0.0, (MIDDLE,) * 2),
    Situation("2 raters, rho 0, high", 0.0, (HIGH,) * 2),
    Situation("2 raters, rho 0.3, middle", 0.3, (MIDDLE,) * 2),
    Situation("2 raters, rho 0.3, high", 0.3, (HIGH,) * 2),
    Situation("2 raters, rho 0.6, low", 0.6, (LOW,) * 2),
    Situation("2 raters, rho 1, middle", 1.0, (MIDDLE,) * 2),
    Situation("2 raters, rho 0.3, unlike", 0.3, (LOW, HIGH)),
    Situation("2 raters, rho 0.6, n 300", 0.6, (HIGH,) * 2, n=300),
    Situation("2 raters, one upside down", 0.6, (MIDDLE,) * 2, adversary=True),
    Situation("3 raters, rho 0, high", 0.0, (HIGH,) * 3),
    Situation("3 raters, rho 0, unlike", 0.0, (LOW, HIGH, HIGH)),
    Situation("3 raters, rho 0.3, low", 0.3, (LOW,) * 3),
    Situation("3 raters, rho 0.6, high", 0.6, (HIGH,) * 3),
    Situation("3 raters, rho 0.3, n 300", 0.3, (MIDDLE,) * 3, n=300),
    Situation("3 raters, one upside down", 0.3, (MIDDLE,) * 3, adversary=True),
    Situation("3 raters, one swapped", 0.3, (MIDDLE,) * 3, swapped=True),
    Situation("3 raters, 30 % missing", 0.6, (MIDDLE,) * 3, missing=0.3),
    Situation("3 raters, 70 % missing", 0.3, (HIGH,) * 3, missing=0.7),
    Situation("4 raters, rho 0.3, high", 0.3, (HIGH,) * 4),
    Situation("5 raters, rho 0, middle", 0.0, (MIDDLE,) * 5),
    Situation("5 raters, rho 0.2, high", 0.2, (HIGH,) * 5),
    Situation("5 raters, rho 1, high", 1.0, (HIGH,) * 5),
    Situation("5 raters, one upside down", 0.3, (MIDDLE,) * 5, adversary=True),
    Situation("2 raters, own bias", 0.3, (MIDDLE,) * 2, own_bias=1.5),
    Situation("3 raters, own bias", 0.0, (MIDDLE,) * 3, own_bias=1.5),
    Situation("3 raters, small clusters", 0.6, (HIGH,) * 3, cluster=4),
    Situation("3 raters, three levels", 0.6, (MIDDLE,) * 3, fine=True),
)
SHARED = (
    Situation("2 raters, shared bias", 0.3, (MIDDLE,) * 2, shared_bias=1.5),
    Situation("3 raters, shared bias", 0.0, (MIDDLE,) * 3, shared_bias=2.0),
    Situation("5 raters, shared bias", 0.3, (HIGH,) * 5, shared_bias=1.5),
)


@dataclass(frozen=True)
class Pool:
    """What a situation or a data set gives to `ds2.curate`."""

    scores: np.ndarray
    neighbors: ds2.Neighbors
    noise: tuple[ds2.TransitionEstimate, ...]
    truth: np.ndarray
    n_scores: int


def drawn(situation: Situation, seed: int) -> Pool:
    """A pool of the situation."""
    rng = np.random.default_rng([seed, 11])
    base = ds2.simulate(
        situation.n,
        clusterability=situation.rho,
        cluster_size=situation.cluster,
        seed=seed,
    )
    truth, r = base.true_scores, len(situation.noise)
    neighbors = ds2.find_neighbors(base.vectors)
    near = np.column_stack([np.arange(situation.n), neighbors.indices]).min(axis=1)
    bias = rng.standard_normal((situation.n, r + 1))[near]  # rows of one cluster mostly share it
    columns = []
    for i, sd in enumerate(situation.noise):
        value = truth + sd * rng.standard_normal(situation.n)
        value = value + situation.own_bias * bias[:, i] + situation.shared_bias * bias[:, r]
        score = np.clip(np.round(value), 0, 5)
        if situation.fine:
            score = np.array([1, 1, 2, 2, 3, 3])[score.astype(int)].astype(float)
        if situation.adversary and i == r - 1:
            score = 5 - score
        if situation.swapped and i == r - 1:
            score = np.array([1, 0, 2, 3, 4, 5])[score.astype(int)].astype(float)
        score[rng.random(situation.n) < situation.missing] = np.nan
        columns.append(score)
    return prepared(np.stack(columns, axis=1), neighbors, truth, 6)


def prepared(
    scores: np.ndarray, neighbors: ds2.Neighbors, truth: np.ndarray, n_scores: int
) -> Pool:
    """With a noise estimate for each rater."""
    noise = tuple(
        ds2.estimate_transition(
            column, neighbors, n_scores=n_scores, rho=1.0, n_bootstrap=0, n_starts=1
        )
        for column in scores.T
    )
    return Pool(scores, neighbors, noise, truth, n_scores)


@dataclass(frozen=True)
class OnTexts:
    """A truth drawn on the embeddings of real texts, and raters that err in unlike ways.

    Attributes:
        name: of the situation.
        kinds: one a rater; see `_rated`.
        smooth: share of the truth's variance that is a smooth function of the embedding.
        n_scores: levels.
        n: rows.
        missing: share of the ratings.
    """

    name: str
    kinds: tuple[str, ...]
    smooth: float
    n_scores: int = 6
    n: int = 2000
    missing: float = 0.0


TEXTS = (
    OnTexts("good, poor; smooth 0", ("good", "poor"), 0.0),
    OnTexts("good, poor; smooth 0.3", ("good", "poor"), 0.3),
    OnTexts("poor, poor; smooth 0.6", ("poor", "poor"), 0.6),
    OnTexts("heavy-tailed, lazy; smooth 0.3", ("heavy-tailed", "lazy"), 0.3),
    OnTexts("good, random; smooth 0.3", ("good", "random"), 0.3),
    OnTexts("good, topical; smooth 0.3", ("good", "topical"), 0.3),
    OnTexts("topical, topical; smooth 0", ("topical", "topical"), 0.0),
    OnTexts("good, heavy-tailed, topical; 0.3", ("good", "heavy-tailed", "topical"), 0.3),
    OnTexts("good, lazy, poor; 10 levels", ("good", "lazy", "poor"), 0.0, n_scores=10),
    OnTexts("good, poor, random; smooth 0.3", ("good", "poor", "random"), 0.3),
    OnTexts("good, good, upside down; 0.3", ("good", "good", "upside down"), 0.3),
    OnTexts("ceiling, poor, lazy; smooth 0.5", ("ceiling", "poor", "lazy"), 0.5),
    OnTexts("good, poor, uneven; 2 levels", ("good", "poor", "uneven"), 0.3, n_scores=2),
    OnTexts("3 raters, 250 rows; smooth 0.5", ("poor", "poor", "heavy-tailed"), 0.5, n=250),
    OnTexts(
        "5 raters, 40 % missing; 0.2",
        ("good", "poor", "heavy-tailed", "lazy", "topical"),
        0.2,
        missing=0.4,
    ),
    OnTexts("5 poor raters; smooth 0.7", ("poor",) * 5, 0.7),
    OnTexts("1 good rater; smooth 0.3", ("good",), 0.3),
    OnTexts("1 good rater; smooth 0.6", ("good",), 0.6),
    OnTexts("1 poor rater; smooth 0.6", ("poor",), 0.6),
)


def on_texts(situation: OnTexts, seed: int) -> Pool:
    """A pool of the situation on a random part of Alpaca."""
    rng = np.random.default_rng([seed, 77])
    vectors = alpaca_vectors()
    vectors = vectors[rng.choice(len(vectors), situation.n, replace=False)]
    smooth = _smooth(vectors, rng)
    own = rng.standard_normal(situation.n)
    value = np.sqrt(situation.smooth) * smooth + np.sqrt(1 - situation.smooth) * own
    s = situation.n_scores
    truth = _levels(value, rng.dirichlet(np.full(s, 4.0)))
    columns = []
    for kind in situation.kinds:
        shares = rng.dirichlet(np.full(s, 3.0))
        if kind == "ceiling":
            shares = np.append(np.full(s - 1, 0.25 / (s - 1)), 0.75)
        column = _levels(_rated(kind, truth, vectors, rng), shares)
        column[rng.random(situation.n) < situation.missing] = np.nan
        columns.append(column)
    return prepared(np.stack(columns, axis=1), ds2.find_neighbors(vectors), truth, s)


def _rated(
    kind: str, truth: np.ndarray, vectors: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """(n,) What a rater of this kind feels about each row, before it picks a level."""
    z = (truth - truth.mean()) / truth.std()
    noise = rng.standard_normal(len(z))
    return {
        "good": z + 0.6 * noise,
        "poor": z + 2.5 * noise,
        "ceiling": z + noise,
        "heavy-tailed": z + 0.8 * rng.standard_t(1.5, len(z)),
        "lazy": np.where(rng.random(len(z)) < 0.6, 0.3, z + 0.6 * noise),
        "uneven": z + 1.2 * noise * np.exp(0.5 * rng.standard_normal(len(z))),
        "upside down": -z + noise,
        "random": noise,
        "topical": z + 2.4 * _smooth(vectors, rng) + 0.8 * noise,
    }[kind]


def _smooth(vectors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) A random smooth function of the embedding, standardised."""
    hidden = np.tanh(2 * vectors.astype(float) @ rng.standard_normal((vectors.shape[1], 8)))
    value = hidden @ rng.standard_normal(8)
    return (value - value.mean()) / value.std()


def _levels(values: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """(n,) Levels in the order of the values, with these shares."""
    rank = np.argsort(np.argsort(values)) / len(values)
    return np.searchsorted(np.cumsum(shares)[:-1], rank, side="right").astype(float)
