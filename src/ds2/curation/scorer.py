"""A scorer: what a rating would be, predicted from a row's vector and features.

Every prediction of a row that was rated comes from learners, and a blend of them, that did not see
its rating: rows are dealt to folds by whole neighbourhoods, so near-duplicates do not tell each
other's ratings. Skill is measured on those predictions.

The standard error is that of the held-out target (a rating, or the mean of several), not of the
truth: the spread of the residuals of rows with predictions like this one, scaled so that 95 % of
all residuals are within 1.96 of it.

Learning curve: skill from random parts of the ratings, nested, and what 1,000 more would bring by
the line skill ≈ a − b / √n through it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ds2.arrays import Features, Keys, Scores, Values, Vectors
from ds2.checks import check_int, check_rows, check_scores
from ds2.curation.bias import BiasRow, covariate_columns, measure_bias, part_of_covariates
from ds2.curation.learners import (
    BLOCK,
    LEARNERS,
    Blend,
    Inputs,
    Learned,
    blend_of,
    components,
)
from ds2.errors import Caution, InputError
from ds2.keys import check_keys, random_order_keys
from ds2.measures import Interval, Measured, Z, measure, measure_given, weighted_sum
from ds2.neighbors import Neighbors, deal, neighborhoods
from ds2.shown import Shown

__all__ = [
    "LEAST",
    "N_BLOCKS",
    "N_FOLDS",
    "CrossFit",
    "Scored",
    "Scorer",
    "Skill",
    "cross_fit",
    "fit_scorer",
]

#: Ratings below which no scorer is fitted.
LEAST = 100
#: Rows that learners learn from at most.
MOST = 10_000
N_FOLDS, N_BLOCKS = 5, 1000
#: Parts of the ratings of which the learning curve is made, the whole last.
PARTS = (0.125, 0.25, 0.5, 1.0)
#: More ratings that the curve is drawn on to.
MORE = 1000
#: Knots of the standard error.
KNOTS = 12
#: Stream of random order for learning rows; see `ds2.keys`.
LEARNING = 2**34


@dataclass(frozen=True, slots=True, repr=False)
class Skill(Shown):
    """What a scorer is worth, on ratings that it did not see.

    Attributes:
        agreement: Spearman's correlation with the held-out ratings.
        given: the same with the covariates held fixed; NaN without any.
        bias: how much ratings ("raw") and predictions ("curated") go with each covariate.
        curve: (ratings that a fit learned from, agreement) for random parts of the ratings.
        more: what `MORE` more ratings would add to the agreement.
        weights: what each of `LEARNERS` has in the blend.
        n: ratings.
    """

    agreement: Interval
    given: Interval
    bias: tuple[BiasRow, ...]
    curve: tuple[tuple[int, Interval], ...]
    more: Interval
    weights: tuple[float, ...]
    n: int

    @property
    def explains(self) -> bool:
        """Whether predictions go with the ratings above chance."""
        return bool(self.agreement.low > 0)

    def says(self) -> tuple[Caution, ...]:
        """What a user should know, a sentence each."""
        if not self.explains:
            said = Caution(
                "scorer-blind",
                f"A scorer learned from {self.n:,} ratings does not predict the others: Spearman "
                f"{self.agreement.value:.2f} [{self.agreement.low:.2f}, "
                f"{self.agreement.high:.2f}]. Rate more rows, or select among those rated.",
                spearman=self.agreement.value,
                low=self.agreement.low,
                high=self.agreement.high,
                n=self.n,
            )
            return (said,)
        found = []
        for row in self.bias:
            share = row.raw.value**2 / max(self.agreement.value**2, 1e-9)
            if (
                (row.raw.low > 0 or row.raw.high < 0)
                and share >= 0.5
                and self.given.value < self.agreement.value / 2
            ):
                said = Caution(
                    "scorer-knows-covariate",
                    f"Most of what the scorer knows is {row.covariate}: it explains "
                    f"{min(share, 1):.0%} of what the scorer does; with it held fixed the "
                    f"agreement is {self.given.value:.2f} instead of {self.agreement.value:.2f}.",
                    covariate=row.covariate,
                    share=min(share, 1.0),
                    spearman=self.agreement.value,
                    given=self.given.value,
                )
                found.append(said)
        return tuple(found)


@dataclass(frozen=True, slots=True, repr=False)
class Scored(Shown):
    """Predicted scores.

    Attributes:
        scores: (n,) on the scale of the scores that the scorer learned.
        se: (n,) standard errors of the held-out target.
    """

    scores: Values
    se: Values


@dataclass(frozen=True, slots=True)
class Errors:
    """The standard error as a function of the prediction, linear between knots.

    Attributes:
        at: (b,) predictions, ascending.
        se: (b,) standard errors there.
    """

    at: np.ndarray
    se: np.ndarray

    @classmethod
    def of(cls, predicted: np.ndarray, target: np.ndarray) -> "Errors":
        """Calibrated on predictions of rows whose target was held out."""
        order = np.argsort(predicted, kind="stable")
        left = (target - predicted)[order]
        parts = np.array_split(np.arange(len(order)), max(1, min(KNOTS, len(order) // 30)))
        at = np.array([predicted[order][part].mean() for part in parts])
        spread = np.sqrt([max((left[part] ** 2).mean(), 1e-12) for part in parts])
        scaled = np.abs(left) / np.interp(predicted[order], at, spread)
        return cls(at, spread * max(float(np.quantile(scaled, 0.95)) / Z, 1e-6))

    def __call__(self, predicted: np.ndarray) -> np.ndarray:
        """(n,) standard errors of predictions (n,)."""
        return np.asarray(np.interp(predicted, self.at, self.se))


@dataclass(frozen=True, slots=True, repr=False)
class Scorer(Shown):
    """A fitted scorer. `ds2.save_scorer` and `ds2.load_scorer` keep it.

    Attributes:
        learned: the three learners.
        blend: their blend.
        errors: its standard errors.
        skill: what it is worth.
        scale: the smallest and the largest score that it learned; predictions stay between them.
        dimension: of the vectors it takes.
        n_features: columns of the features it takes; 0 for none.
    """

    learned: Learned
    blend: Blend
    errors: Errors
    skill: Skill
    scale: tuple[float, float]
    dimension: int
    n_features: int

    seen = ("skill", "scale", "dimension", "n_features")

    def predict(self, vectors: Vectors, features: Features | None = None) -> Scored:
        """Predict the scores of rows.

        Args:
            vectors: (n, d) unit rows, of the embedder that the scorer learned from.
            features: (n, f) as `ds2.surface_features` gives, where the scorer learned from them.

        Raises:
            InputError: another number of dimensions or features.
        """
        inputs = Inputs.of(vectors, features)
        got = inputs.vectors.shape[1], inputs.figures.shape[1] + inputs.words.shape[1]
        for name, mine, given in zip(
            ("vectors", "features"), (self.dimension, self.n_features), got, strict=True
        ):
            if mine != given:
                raise InputError(
                    f"This scorer learned from '{name}' with {mine:,} columns. Got {given:,}."
                )
        values = np.clip(self.blend(self.learned.predict(inputs)), *self.scale)
        return Scored(values, self.errors(values))


@dataclass(frozen=True, slots=True)
class CrossFit:
    """Predictions of every row by learners that did not see its fold.

    Attributes:
        values: (n,) the blend's prediction.
        said: (n, 3) each learner's.
        basis: (d, c) the components that trees look at.
    """

    values: np.ndarray
    said: np.ndarray
    basis: np.ndarray


def cross_fit(
    target: np.ndarray,
    inputs: Inputs,
    folds: np.ndarray,
    order: np.ndarray,
    *,
    part: float = 1.0,
    basis: np.ndarray | None = None,
    learns: np.ndarray | None = None,
    seed: int = 0,
) -> CrossFit:
    """Predict every row by learners that did not see it.

    A row with a target is predicted from the other folds; one without is seen by none of them, so
    it gets the mean of all.

    Args:
        target: (n,) what to predict, NaN where unknown.
        inputs: of all rows.
        folds: (n,) whole neighbourhoods share one.
        order: (n,) the smallest are learned from first; at most `MOST`.
        part: learn from this share of the known rows.
        basis: (d, c) as found before, or None.
        learns: (n,) marks of the rows to learn from; None: all.
        seed: of the trees.
    """
    known = ~np.isnan(target)
    told = known if learns is None else known & learns
    if basis is None:
        basis = components(inputs.vectors, _first(np.arange(len(target)), order, MOST))
    said = np.zeros((len(target), len(LEARNERS)))
    n_folds = int(folds.max()) + 1
    for fold in range(n_folds):
        held = np.flatnonzero(known & (folds == fold))
        rows = np.flatnonzero(told & (folds != fold))
        rows = _first(rows, order, min(MOST, int(np.ceil(part * len(rows)))))
        learned = Learned.learn(inputs.take(rows), target[rows], basis, seed)
        said[held] = learned.predict(inputs, held)
        for start in range(0, len(target), BLOCK):
            block = np.flatnonzero(~known[start : start + BLOCK]) + start
            said[block] += learned.predict(inputs.take(block)) / n_folds
    values = blend_of(said[told], target[told])(said)
    for fold in range(n_folds):
        held, others = known & (folds == fold), told & (folds != fold)
        values[held] = blend_of(said[others], target[others])(said[held])
    return CrossFit(values, said, basis)


def fit_scorer(
    scores: Scores,
    vectors: Vectors,
    features: Features | None = None,
    *,
    neighbors: Neighbors | None = None,
    covariates: Mapping[str, np.ndarray | Sequence[object]] | None = None,
    keys: Keys | None = None,
    seed: int = 0,
) -> Scorer:
    """Learn to predict scores from vectors and features, and measure how well that goes.

    Args:
        scores: (n,) the ratings of a part of the pool, or their mean, or curated ones; NaN where
            there is none. The rated part should be random.
        vectors: (n, d) unit rows of all or of the rated part.
        features: (n, f) as `ds2.surface_features` gives; None to learn from vectors alone.
        neighbors: the graph of these rows, so that near rows share a fold; None deals rows alone.
        covariates: by name, (n,) numbers or labels: what the skill may be nothing but.
        keys: (n,) whole numbers that identify the content (Pool.keys). Default: the row number.
        seed: the same seed gives the same scorer.

    Raises:
        InputError: shapes that do not fit, or fewer than 100 scores, or all of them equal or in
            one neighbourhood.
    """
    target = check_scores("scores", scores)
    inputs = Inputs.of(vectors, features)
    check_rows("vectors", inputs.vectors, len(target))
    seed = check_int("seed", seed, low=0)
    content = check_keys(keys, len(target))
    known = ~np.isnan(target)
    if known.sum() < LEAST or np.ptp(target[known]) == 0:
        raise InputError(
            f"A scorer learns from at least {LEAST} scores that are not all equal. "
            f"'scores' has {known.sum():,}."
        )
    if neighbors is not None:
        check_rows("neighbors", neighbors.indices, len(target))
    rows = np.flatnonzero(known)
    seen = part_of_covariates(covariates or {}, rows, len(target))
    labels = np.arange(len(target)) if neighbors is None else neighborhoods(neighbors)
    _, labels = np.unique(labels[rows], return_inverse=True)
    content, target, inputs = content[rows], target[rows], inputs.take(rows)
    folds = deal(labels, content, N_FOLDS, seed, 0)
    if np.ptp(folds) == 0:
        raise InputError(
            "A scorer is judged on neighbourhoods that it has not seen, and all rows with a score "
            "are in one."
        )
    blocks = deal(labels, content, N_BLOCKS, seed, 1)
    order = random_order_keys(content, seed, LEARNING)
    basis = None
    curve: list[Measured] = []
    sizes: list[float] = []
    for part in PARTS:
        if part * len(rows) < LEAST and part < 1:
            continue
        found = cross_fit(target, inputs, folds, order, part=part, basis=basis, seed=seed)
        basis = found.basis
        size = min(MOST, part * len(rows) * (1 - 1 / N_FOLDS))
        if sizes and size <= sizes[-1]:
            curve.pop(), sizes.pop()
        curve.append(measure("spearman", found.values, target).by_block(blocks, N_BLOCKS))
        sizes.append(size)
    blend, given = blend_of(found.said, target), Interval(float("nan"))
    fixed = covariate_columns(seen, len(rows))
    if fixed.shape[1]:
        given = measure_given(found.values, target, fixed).by_block(blocks, N_BLOCKS).interval()
    skill = Skill(
        agreement=curve[-1].interval(),
        given=given,
        bias=measure_bias(target, found.values, seen),
        curve=tuple((int(n), one.interval()) for n, one in zip(sizes, curve, strict=True)),
        more=_more(np.array(sizes), curve),
        weights=tuple(float(w) for w in blend.weights),
        n=len(rows),
    )
    first = _first(np.arange(len(rows)), order, MOST)
    scale = float(target.min()), float(target.max())
    return Scorer(
        learned=Learned.learn(inputs.take(first), target[first], found.basis, seed),
        blend=blend,
        errors=Errors.of(np.clip(found.values, *scale), target),
        skill=skill,
        scale=scale,
        dimension=inputs.vectors.shape[1],
        n_features=inputs.figures.shape[1] + inputs.words.shape[1],
    )


def _first(rows: np.ndarray, order: np.ndarray, most: int) -> np.ndarray:
    """Those of ``rows`` that are first in the random order, ascending."""
    if len(rows) <= most:
        return rows
    return np.sort(rows[np.argpartition(order[rows], most)[:most]])


def _more(sizes: np.ndarray, curve: list[Measured]) -> Interval:
    """What `MORE` ratings add, on the line through the curve over 1 / √n; NaN without a curve."""
    if len(curve) < 2:
        return Interval(float("nan"))
    x = 1 / np.sqrt(sizes)
    further = 1 / np.sqrt(sizes[-1] + MORE * (1 - 1 / N_FOLDS)) - x[-1]
    # least squares: slope = Σ (x − x̄) y / Σ (x − x̄)²
    away = x - x.mean()
    gain = weighted_sum(curve, list(further * away / (away @ away)))
    found = gain.interval()
    return Interval(*(float(max(one, 0.0)) for one in (found.value, found.low, found.high)))
