"""What predicts a score from a row's vector and features: three learners and their blend.

    ridge    linear in the vector and the figures (standardised)
    words    linear in the words: (1 + log count) · idf, unit rows
    trees    boosted trees on the figures and the vector's first principal components

scikit-learn learns them; what is kept of them is plain arrays, so that a file of them runs nothing.
Their blend has weights that are not negative, found on rows that they were not learned from.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ds2.arrays import N_WORDS, Features, Vectors
from ds2.checks import check_rows, check_vectors
from ds2.errors import InputError

__all__ = ["LEARNERS", "Blend", "Inputs", "Learned", "blend_of", "components"]

LEARNERS = ("ridge", "words", "trees")
#: Penalties that ridge on vector and figures chooses among, by leave-one-out on its rows.
RIDGES = np.logspace(0, 4.5, 10)
#: Penalty of ridge on the words, whose rows have length 1.
WORD_RIDGE = 3.0
#: Words in fewer rows than this are left out.
RARE = 2
#: Principal components of the vectors that trees see.
COMPONENTS = 64
#: Leaves of a tree.
LEAVES = 8
#: Many small trees, each split on a fifth of the columns: ratings are few and noisy.
TREES = {
    "max_iter": 150,
    "learning_rate": 0.05,
    "max_leaf_nodes": LEAVES,
    "min_samples_leaf": 20,
    "max_features": 0.2,
    "l2_regularization": 5.0,
    "early_stopping": False,
}
#: Rows that are predicted at once.
BLOCK = 16_384


@dataclass(frozen=True, slots=True)
class Inputs:
    """Vectors and features of rows, as the learners see them.

    Attributes:
        vectors: (n, d) unit rows.
        figures: (n, f) float32.
        words: (n, w) sparse counts; w may be 0.
        memo: predictions made of them before, by all that decides them.
    """

    vectors: np.ndarray
    figures: np.ndarray
    words: Features
    memo: dict[bytes, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, vectors: Vectors, features: "Features | Inputs | None") -> "Inputs":
        """Check what a user gives: vectors, and features (sparse or not), these inputs or None."""
        from scipy.sparse import csr_array, issparse

        if isinstance(features, Inputs):
            return features
        checked = check_vectors("vectors", vectors)
        n = len(checked)
        if features is None:
            return cls(checked, np.empty((n, 0), np.float32), csr_array((n, 0), dtype=np.float32))
        table: Any = features.tocsr() if issparse(features) else np.asarray(features)
        if table.ndim != 2 or table.dtype.kind not in "fiub":
            raise InputError(
                "'features' must be numbers of shape (n, f): features=ds2.surface_features(pool)."
            )
        check_rows("features", table, n)
        held = table.data if issparse(table) else table
        if not np.isfinite(held).all():
            raise InputError("'features' must be finite.")
        cut = table.shape[1] - N_WORDS if issparse(table) and table.shape[1] >= N_WORDS else None
        if cut is None:
            cut = 0 if issparse(table) else table.shape[1]
        left, right = table[:, :cut], table[:, cut:]
        figures = left.toarray() if issparse(left) else left
        return cls(checked, figures.astype(np.float32), csr_array(right, dtype=np.float32))

    def __len__(self) -> int:
        return len(self.vectors)

    def take(self, rows: np.ndarray | slice) -> "Inputs":
        """Those of some rows."""
        return Inputs(self.vectors[rows], self.figures[rows], self.words[rows])

    def dense(self) -> np.ndarray:
        """(n, d + f) vectors, whose entries are about 1, then figures."""
        scale = np.float32(np.sqrt(self.vectors.shape[1]))
        return np.hstack([self.vectors.astype(np.float32) * scale, self.figures])


@dataclass(frozen=True, slots=True)
class Trees:
    """Boosted trees of at most eight leaves, which are bits from left to right.

    Where a row is above a node's threshold, the leaves on its left are out; the lowest bit that is
    left is the row's leaf (QuickScorer; Lucchese et al. 2015). So a tree is seven comparisons of
    whole columns.

    Attributes:
        feature: (t, 7) the column that a node looks at.
        threshold: (t, 7) float32, up to which a row goes left.
        leaves: (t, 7) uint8, the leaves that are left to a row above it.
        value: (t, 8) what each leaf adds.
        base: what all rows start from.
    """

    feature: np.ndarray
    threshold: np.ndarray
    leaves: np.ndarray
    value: np.ndarray
    base: float

    @classmethod
    def of(cls, model: Any) -> "Trees":
        """Take the nodes out of a fitted ``HistGradientBoostingRegressor``."""
        each = [one[0].nodes for one in model._predictors]
        found = cls(
            np.zeros((len(each), LEAVES - 1), np.int32),
            np.full((len(each), LEAVES - 1), np.inf, np.float32),
            np.full((len(each), LEAVES - 1), 255, np.uint8),
            np.zeros((len(each), LEAVES)),
            float(np.ravel(model._baseline_prediction)[0]),
        )
        for t, nodes in enumerate(each):
            found._take(t, nodes)
        return found

    def _take(self, t: int, nodes: np.ndarray) -> None:
        inner, leaf = 0, 0

        def walk(at: int) -> int:
            """The leaves under a node, as bits."""
            nonlocal inner, leaf
            node = nodes[at]
            if node["is_leaf"]:
                self.value[t, leaf] = node["value"]
                leaf += 1
                return 1 << (leaf - 1)
            place = inner
            inner += 1
            left = walk(int(node["left"]))
            self.feature[t, place] = node["feature_idx"]
            self.threshold[t, place] = _down(float(node["num_threshold"]))
            self.leaves[t, place] = 255 & ~left
            return left | walk(int(node["right"]))

        walk(0)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """(n,) predictions of rows (n, c) float32."""
        columns = np.ascontiguousarray(x.T)
        lowest = np.array([(m & -m).bit_length() - 1 for m in range(256)])
        total = np.full(len(x), self.base)
        for t in range(len(self.feature)):
            left = np.full(len(x), 255, np.uint8)
            for place, column in enumerate(self.feature[t]):
                if self.leaves[t, place] < 255:
                    below = columns[column] <= self.threshold[t, place]
                    left &= -below.view(np.uint8) | self.leaves[t, place]
            total += self.value[t][lowest][left]
        return total


def _down(value: float) -> np.float32:
    """The largest float32 that is not above."""
    near = np.float32(value)
    return near if float(near) <= value else np.nextafter(near, np.float32(-np.inf))


@dataclass(frozen=True, slots=True)
class Learned:
    """The three learners, learned from some rows.

    Attributes:
        slope: (d + f,) of ridge, on the columns of `Inputs.dense`.
        at: its intercept.
        idf: (w,) log((n + 1) / (rows with the word + 1)) of each word, 0 where it is left out.
        word_slope: (w,) of ridge on the words.
        word_at: its intercept.
        basis: (d, c) principal components of the vectors.
        trees: the boosted trees, on components and figures.
    """

    slope: np.ndarray
    at: float
    idf: np.ndarray
    word_slope: np.ndarray
    word_at: float
    basis: np.ndarray
    trees: Trees

    @classmethod
    def learn(cls, inputs: Inputs, target: np.ndarray, basis: np.ndarray, seed: int) -> "Learned":
        """Learn a target (n,) from every row of ``inputs``."""
        from sklearn.ensemble import HistGradientBoostingRegressor
        from sklearn.linear_model import Ridge, RidgeCV
        from threadpoolctl import threadpool_limits

        x = inputs.dense().astype(np.float64)
        centre, spread = x.mean(axis=0), x.std(axis=0)
        d = inputs.vectors.shape[1]
        spread[:d] = 1.0  # directions of a vector keep their sizes
        scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-9)
        linear = RidgeCV(RIDGES).fit((x - centre) * scale, target)
        slope = linear.coef_ * scale
        holding = np.bincount(inputs.words.indices, minlength=inputs.words.shape[1])
        idf = np.where(holding >= RARE, np.log((len(inputs) + 1) / (holding + 1)), 0.0)
        word_slope, word_at = np.zeros(len(idf)), float(target.mean())
        if idf.any():
            words = Ridge(WORD_RIDGE, solver="sparse_cg").fit(_weighed(inputs.words, idf), target)
            word_slope, word_at = words.coef_, float(words.intercept_)
        trees = HistGradientBoostingRegressor(**TREES, random_state=seed % 2**32)
        with threadpool_limits(1):  # more threads cost more than they bring, on so few rows
            trees.fit(_shown(inputs, basis), target)
        at = float(linear.intercept_ - centre @ slope)
        return cls(slope, at, idf, word_slope, word_at, basis, Trees.of(trees))

    def predict(self, inputs: Inputs, rows: np.ndarray | None = None) -> np.ndarray:
        """(n, 3) what each learner says of each row, or of ``rows``, in the order of `LEARNERS`."""
        n = len(inputs) if rows is None else len(rows)
        result = np.empty((n, len(LEARNERS)))
        for start in range(0, n, BLOCK):
            block = slice(start, start + BLOCK)
            part = inputs.take(block if rows is None else rows[block])
            here = result[start : start + BLOCK]
            here[:, 0] = part.dense() @ self.slope + self.at
            here[:, 1] = _weighed(part.words, self.idf) @ self.word_slope + self.word_at
            here[:, 2] = self.trees.predict(_shown(part, self.basis))
        return result


@dataclass(frozen=True, slots=True)
class Blend:
    """a + Σ w[l] · learner l, w ≥ 0.

    Attributes:
        weights: (3,) w.
        at: a.
    """

    weights: np.ndarray
    at: float

    def __call__(self, said: np.ndarray) -> np.ndarray:
        """(n,) the blend of what the learners say (n, 3)."""
        return np.asarray(said @ self.weights + self.at)


def blend_of(said: np.ndarray, target: np.ndarray) -> Blend:
    """The blend that comes nearest to a target (n,), from what learners say of rows unseen."""
    from scipy.optimize import nnls

    centre, mean = said.mean(axis=0), float(target.mean())
    weights, _ = nnls(said - centre, target - mean)
    return Blend(weights, mean - float(centre @ weights))


def components(vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(d, c) the principal components of some rows, largest first."""
    part = vectors[rows].astype(np.float64)
    part = part - part.mean(axis=0)
    _, directions = np.linalg.eigh(part.T @ part)
    return np.asarray(directions[:, ::-1][:, :COMPONENTS].astype(np.float32))


def _shown(inputs: Inputs, basis: np.ndarray) -> np.ndarray:
    """(n, c + f) what trees look at."""
    return np.hstack([inputs.vectors.astype(np.float32) @ basis, inputs.figures])


def _weighed(words: Features, idf: np.ndarray) -> Features:
    """The words of each row, weighed, as a row of length 1."""
    result = words.copy()
    result.data = (1 + np.log(np.maximum(result.data, 1))) * idf[result.indices]
    lengths = np.sqrt(
        np.bincount(
            np.repeat(np.arange(result.shape[0]), np.diff(result.indptr)),
            weights=result.data**2,
            minlength=result.shape[0],
        )
    )
    result.data = result.data / np.repeat(np.maximum(lengths, 1e-9), np.diff(result.indptr))
    return result
