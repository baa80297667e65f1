"""One rater and its neighbours: triples of scores, counted once, and EM on the table of counts.

Soft 2-NN score clusterability (Zhu, Song and Liu, arXiv 2102.05291, for rho = 1): the example's
true score is i with probability p[i]; it is observed as a with T[i, a]; each of two neighbours
shares the true score with excess probability rho, so that it is observed as b with

    F[i, b] = rho · T[i, b] + (1 − rho) · q[b],      q the observed marginal.

A triple's probability is Σ_i p[i] T[i, a] F[i, b] F[i, c]: the model of `ds2.noise.model` with
J = rho · diag(p) + (1 − rho) p p' and two neighbours at once. EM on the counts is exact and
monotone and has no learning rate. A neighbour's count enters T with the weight rho·T / F that it
shares the true score; the example's own count with weight 1. An example that the rater scored
twice has two looks of its own, T[i, a] · T[i, b].

Who shares with whom: a neighbourhood has a score. The example itself has it with excess
probability s0, each neighbour with s1, independently; who has not draws from the prior. Then

    own and neighbour share with excess probability    rho = s0 · s1
    two neighbours of one example with                 s1² = kappa · rho,     kappa = s1 / s0

The paper's picture, extended by rho, is s0 = 1: neighbours share the example's score one by one
(kappa = rho). Clusters are s0 = s1 (kappa = 1). Which of them holds is seen in the scores: kappa is
how much more two neighbours of an example go together than the example and a neighbour do. The
likelihood of the triples knows kappa and the neighbourhood's matrix F = s1 T + (1 − s1) q, but T
only up to s1: that is why rho needs evidence.

Lift is neighbour agreement above chance: does the method's assumption hold on this pool?

    lift = (agreement − chance) / (1 − chance),     chance = Σ_c q[c]²

with q the observed marginal. In the soft model lift = rho · (Σ_i p[i] Σ_a T[i,a]² − chance) /
(1 − chance) ≤ rho: it mixes how often neighbours share the true score with how noisy the rater is.
"""

from dataclasses import dataclass, replace

import numpy as np

from ds2.arrays import Consensus
from ds2.checks import check_int
from ds2.errors import InputError
from ds2.measures import Interval, Z
from ds2.neighbors import Neighbors, row_blocks, stretch_of
from ds2.neighbors.blocks import ROWS
from ds2.noise.em import TINY, TOLERANCE, State, accelerate, diagonal_starts, ordinal_shares
from ds2.progress import steps

__all__ = [
    "Counted",
    "Fit",
    "Lift",
    "ScoreGraph",
    "Triples",
    "fit_triples",
    "kappa_of",
    "measure_lift",
    "misfit",
    "pick_neighbors",
    "scores_at",
    "small_scores",
    "tally",
]

#: A neighbour of higher rank is counted while its lift is at least this share of the first two's.
LIFT_KEPT = 0.9
#: EM steps that every start gets before the best one goes on, and at most.
FIRST_STEPS, MAX_ITERATIONS = 300, 10_000
#: kappa is taken no smaller than this.
LEAST_KAPPA = 0.2
#: With more levels than this, repeats choose rho and are not counted: their table would be large.
MOST_LEVELS = 20


@dataclass(frozen=True, slots=True)
class ScoreGraph:
    """The scores of the rated entries, and who neighbours whom.

    Exact duplicates are one entry, so a text that occurs a hundred times is counted once and
    never with itself.

    Attributes:
        rows: (e,) row numbers of the rated entries.
        own: (e,) their scores, 0 … s − 1.
        scores: (n,) entry scores as small ints, −1 where unrated.
        indices: (n, k) row numbers of every row's neighbours, nearest first.
        n_scores: s.
    """

    rows: np.ndarray
    own: np.ndarray
    scores: np.ndarray
    indices: np.ndarray
    n_scores: int

    @classmethod
    def build(cls, scores: np.ndarray, neighbors: Neighbors, n_scores: int) -> "ScoreGraph":
        """Take the rated entries of a pool; ``scores`` (n,) whole numbers, NaN where unrated."""
        small = small_scores(neighbors.entry_scores(scores))
        rows = np.flatnonzero(neighbors.entries() & (small >= 0))
        return cls(rows, small[rows], small, neighbors.indices, n_scores)

    @property
    def observed(self) -> np.ndarray:
        """(s,) Share of each score among the rated entries."""
        return np.bincount(self.own, minlength=self.n_scores) / len(self.own)

    @property
    def blocks(self) -> list[slice]:
        """The places of the rated entries, block by block."""
        return row_blocks(len(self.rows))

    def spread(self, values: np.ndarray) -> np.ndarray:
        """(n,) int8 with ``values`` (e,) at the rated entries and −1 elsewhere."""
        result = np.full(len(self.scores), -1, dtype=np.int8)
        result[self.rows] = values
        return result

    def near(self, block: slice, n_neighbors: int, scores: np.ndarray | None = None) -> np.ndarray:
        """(b, n_neighbors) The scores of a block's neighbours, −1 where unrated.

        In the place of the entries' own, ``scores`` (n,), or several at once: (n, w) as `scores_at`
        takes them, which gives (b, n_neighbors, w).
        """
        near = self.indices[stretch_of(self.rows[block]), :n_neighbors]
        if scores is not None and scores.ndim == 2:
            return scores_at(scores, near)
        return np.asarray((self.scores if scores is None else scores)[near])

    def agreeing(self, n_neighbors: int) -> np.ndarray:
        """(e, n_neighbors) int8: whether neighbours have the own score, −1 where unrated."""
        found = np.empty((len(self.rows), n_neighbors), dtype=np.int8)
        for block in self.blocks:
            near = self.near(block, n_neighbors)
            found[block] = np.where(near < 0, -1, near == self.own[block][:, None])
        return found

    def count(self, n_neighbors: int, again: np.ndarray | None = None) -> np.ndarray:
        """c3[a, b, c]: joint frequency of the own score and those of two of the neighbours.

        With ``again`` (e,), second scores of the entries or −1, an entry that has one is counted
        by both of its scores, x and y, at a = s + x·s + y.

        Returns:
            (s, s, s), or (s + s², s, s) with ``again``.
        """
        s, own = self.n_scores, self.own
        n_own = s
        if again is not None:
            own = np.where(again >= 0, s + own.astype(np.int64) * s + again, own)
            n_own = s + s * s
        (table,) = self.triples(own[:, None], self.scores[:, None], n_neighbors, n_own)
        return np.asarray(table)

    def triples(
        self, own: np.ndarray, scores: np.ndarray, n_neighbors: int, n_own: int
    ) -> np.ndarray:
        """Frequencies of (own, neighbour, neighbour) over all pairs of an example's neighbours.

        With h[x] the number of neighbours of score x, the ordered pairs (b, c) of two different
        neighbours number h[b]·h[c] − [b = c]·h[b]; nothing loops over pairs. What is summed are
        whole numbers, so blocks may be added in any order.

        Args:
            own: (e, t) 0 … n_own − 1, of t tables.
            scores: (n, w) of all rows, −1 where unrated, as `scores_at` takes them; w ≥ t.
            n_neighbors: among how many nearest neighbours.
            n_own: a.

        Returns:
            (t, a, s, s), symmetric in the last two axes, each summing to 1 (all zeros without any
            pair).
        """
        s = self.n_scores
        tables = np.zeros((own.shape[1], n_own, s, s))
        for block in self.blocks:
            near = self.near(block, n_neighbors, scores)
            for place, table in enumerate(tables):
                h, mine = tally(near[:, :, place], s), own[block, place]
                order = np.argsort(mine, kind="stable")
                ends = np.searchsorted(mine[order], np.arange(n_own + 1))
                h = h[order]
                for a in np.flatnonzero(np.diff(ends)):
                    part = h[ends[a] : ends[a + 1]]
                    table[a] += part.T @ part - np.diag(np.ones(len(part)) @ part)
        totals = np.array([table.sum() for table in tables])[:, None, None, None]
        return np.asarray(tables / np.where(totals > 0, totals, 1))


def scores_at(scores: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(…, w) the rows of a table (n, w) of int8, w = 1, 2, 4 or 8: so wide each is one number.

    Where a row lies in memory is what takes time, however much is read there.
    """
    width = scores.shape[1]
    found = scores.view(f"u{width}")[:, 0][rows]
    return np.asarray(found.view(np.int8)).reshape(*rows.shape, width)


def small_scores(scores: np.ndarray) -> np.ndarray:
    """(n,) int8 whole-number scores, −1 where NaN."""
    return np.asarray(np.nan_to_num(scores, nan=-1.0), dtype=np.int8)


def tally(scores: np.ndarray, n_scores: int, weights: np.ndarray | None = None) -> np.ndarray:
    """(b, s) the weight that each score has in its row, added from left to right.

    Args:
        scores: (b, k) int8, −1 for none.
        n_scores: s.
        weights: (b, k) of each, or None: 1.
    """
    from scipy.sparse import csr_array

    b, k = scores.shape
    columns = np.minimum(scores.view(np.uint8), n_scores).astype(np.int32)  # −1 is the largest
    given = np.ones(b * k) if weights is None else weights.ravel()
    pointers = np.arange(0, b * k + 1, k, dtype=np.int32)
    table = csr_array((given, columns.ravel(), pointers), shape=(b, n_scores + 1))
    return np.asarray(table.toarray()[:, :n_scores])


@dataclass(frozen=True, slots=True)
class Lift(Interval):
    """Agreement of an example's score with those of its first ``k`` neighbours.

    Attributes:
        value: lift.
        low: lower end of its 95 % interval.
        high: upper end.
        k: how many neighbours were looked at.
        agreement: share of (example, neighbour) pairs with equal scores.
        chance: the share that independent scores of the same marginal would have.
        n_pairs: how many pairs were counted.
    """

    k: int = 1
    agreement: float = float("nan")
    chance: float = float("nan")
    n_pairs: int = 0


def measure_lift(graph: ScoreGraph, k: int) -> Lift:
    """Lift over the first ``k`` neighbours.

    The interval allows for pairs that share an example (dyadic-robust variance: Aronow, Samii and
    Assenova 2015) and for the marginal being estimated from the same scores.
    """
    q = graph.observed
    chance = float((q**2).sum())
    equal = graph.agreeing(k)
    n_equal, n_pairs = int((equal > 0).sum()), int((equal >= 0).sum())
    if n_pairs == 0 or chance >= 1.0:
        agreement = 1.0 if n_pairs else float("nan")
        return Lift(float("nan"), k=k, agreement=agreement, chance=chance, n_pairs=n_pairs)
    agreement = n_equal / n_pairs
    value = (agreement - chance) / (1 - chance)
    centred = np.array([0 - agreement, 1 - agreement, 0.0]) / (n_pairs * (1 - chance))  # [−1]: none
    slope = 2 * (1 - agreement) / (1 - chance) ** 2
    marginal = slope * (q - chance) / len(graph.own)
    # from each example's influence, through all of its pairs and through the marginal
    by_row = np.zeros(len(graph.scores))
    for block in graph.blocks:
        targets = graph.indices[stretch_of(graph.rows[block]), :k]
        np.add.at(by_row, targets.ravel(), centred[equal[block]].ravel())
    for block in graph.blocks:
        by_row[graph.rows[block]] += centred[equal[block]].sum(axis=1) - marginal[graph.own[block]]
    once = _total(centred**2, equal.ravel())  # each pair stands at both of its ends
    error = float(np.sqrt(max(float((by_row**2).sum()) - once, once)))
    low, high = value - Z * error, value + Z * error
    return Lift(value, low, high, k=k, agreement=agreement, chance=chance, n_pairs=n_pairs)


def _total(values: np.ndarray, codes: np.ndarray) -> float:
    """Σ values[codes], halving as numpy does, so that the sum is that of the whole array."""
    if len(codes) <= ROWS:
        return float(values[codes].sum())
    half = len(codes) // 2
    half -= half % 8
    return _total(values, codes[:half]) + _total(values, codes[half:])


@dataclass(frozen=True, slots=True)
class Fit:
    """Solutions of a stack of problems.

    Attributes:
        matrix: (z, s, s).
        prior: (z, s).
        log_likelihood: (z,) mean log-probability of a triple.
        iterations: EM steps that were taken.
        converged: (z,) whether it stood still.
    """

    matrix: np.ndarray
    prior: np.ndarray
    log_likelihood: np.ndarray
    iterations: int
    converged: np.ndarray


def fit_triples(
    counts: np.ndarray,
    matrix: np.ndarray,
    prior: np.ndarray,
    *,
    n_examples: int,
    rho: float = 1.0,
    own_share: float = 1.0,
    pseudo: np.ndarray | None = None,
    tolerance: float = TOLERANCE,
    max_iterations: int = MAX_ITERATIONS,
) -> Fit:
    """Run EM from given starts until it stands still.

    Args:
        counts: (s, s, s) or (z, s, s, s) joint frequencies summing to 1; (s + s², s, s) where some
            examples were scored twice (`ScoreGraph.count`).
        matrix: (z, s, s) start.
        prior: (z, s) start.
        n_examples: how many examples the counts stand for: what `GAIN` is measured on.
        rho: excess probability that a neighbour shares the true score.
        own_share: excess probability that the example itself has the score that its neighbours
            share (1: the neighbours share the example's).
        pseudo: (s, s) pseudo-frequencies added to the counts of T's cells (an ordinal prior).
        tolerance: see `TOLERANCE`.
        max_iterations: EM steps at most.
    """
    problem = Triples.build(counts, len(matrix), rho=rho, own_share=own_share, pseudo=pseudo)
    state, likelihood, taken, still = accelerate(
        problem,
        State(matrix.copy(), prior.copy()),
        n_examples=n_examples,
        tolerance=tolerance,
        max_iterations=max_iterations,
    )
    return Fit(state.matrix, state.prior, likelihood, taken, still)


@dataclass(frozen=True, slots=True)
class Triples:
    """One table (or one per start) as a matrix with the own scores as rows, (z, a, s·s).

    Attributes:
        counts: (z, a, s·s), a = s, or s + s² where some examples were scored twice.
        marginal: (z, 1, s) q.
        twice: (z, 1, s·s) frequencies of two scores of an example; None without repeats.
        rho: of the neighbours.
        own_share: of the example.
        pseudo: (s, s) or None.
    """

    counts: np.ndarray
    marginal: np.ndarray
    twice: np.ndarray | None
    rho: float
    own_share: float
    pseudo: np.ndarray | None

    @classmethod
    def build(
        cls,
        counts: np.ndarray,
        n_starts: int,
        *,
        rho: float = 1.0,
        own_share: float = 1.0,
        pseudo: np.ndarray | None = None,
    ) -> "Triples":
        """Take one table for all starts, or one for each; see `fit_triples`."""
        stacked = counts if counts.ndim == 4 else counts[None]
        z, a, s, _ = stacked.shape
        own = stacked.sum(axis=(2, 3))
        once, twice = own[:, :s], None
        if a > s:
            pairs = own[:, s:].reshape(z, s, s)
            pairs = (pairs + pairs.transpose(0, 2, 1)) / 2
            once = once + pairs.sum(axis=2)
            total = pairs.sum(axis=(1, 2), keepdims=True)
            twice = (pairs / np.maximum(total, TINY)).reshape(z, 1, s * s)
        marginal = (once + 2 * stacked.sum(axis=(1, 3))) / 3
        flat = np.broadcast_to(stacked.reshape(-1, a, s * s), (n_starts, a, s * s))
        return cls(flat, marginal[:, None, :], twice, rho, own_share, pseudo)

    def _looks(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        """(z, s, a) How the example is observed given its own true score, and its neighbours'."""
        looks, others = state.matrix, self.marginal
        if self.twice is not None:
            z, s, _ = looks.shape
            both = (looks[:, :, :, None] * looks[:, :, None, :]).reshape(z, s, s * s)
            looks = np.concatenate([looks, both], axis=2)
            others = np.concatenate([others, self.twice], axis=2)
        if self.own_share == 1.0:
            return looks, looks
        return looks, np.asarray(self.own_share * looks + (1 - self.own_share) * others)

    def _parts(self, state: State, view: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """F (z, s, s), products F[i,b]·F[i,c] as (z, s, s·s), and probabilities (z, a, s·s)."""
        near = self.rho * state.matrix + (1 - self.rho) * self.marginal
        z, s, _ = near.shape
        pairs = (near[:, :, :, None] * near[:, :, None, :]).reshape(z, s, s * s)
        joint = state.prior[:, :, None] * view
        return near, pairs, joint.transpose(0, 2, 1) @ pairs

    def likelihood(self, state: State) -> np.ndarray:
        """(z,) Mean log-probability of a triple, with the ordinal prior's part."""
        expected = self._parts(state, self._looks(state)[1])[2]
        value = (self.counts * np.log(np.maximum(expected, TINY))).sum(axis=(1, 2))
        if self.pseudo is not None:
            value = value + (self.pseudo * np.log(np.maximum(state.matrix, TINY))).sum(axis=(1, 2))
        return np.asarray(value)

    def step(self, state: State) -> State:
        """One EM step: responsibilities of the counts, then new p and T."""
        looks, view = self._looks(state)
        near, pairs, expected = self._parts(state, view)
        z, s, _ = near.shape
        ratio = self.counts / np.maximum(expected, TINY)
        own = state.prior[:, :, None] * view * (ratio @ pairs.transpose(0, 2, 1)).transpose(0, 2, 1)
        weighted = (view @ ratio).reshape(z, s, s, s)
        shared = (weighted @ near[:, :, :, None])[:, :, :, 0]
        shared = state.prior[:, :, None] * self.rho * state.matrix * shared
        kept = own if view is looks else own * self.own_share * looks / np.maximum(view, TINY)
        cells = kept[:, :, :s] + 2 * shared
        if self.twice is not None:
            both = kept[:, :, s:].reshape(z, s, s, s)
            cells = cells + both.sum(axis=2) + both.sum(axis=3)
        if self.pseudo is not None:
            cells = cells + self.pseudo
        rows = cells.sum(axis=2, keepdims=True)
        matrix = np.where(rows > TINY, cells / np.maximum(rows, TINY), state.matrix)
        prior = own.sum(axis=2)
        return State(matrix, prior / np.maximum(prior.sum(axis=1, keepdims=True), TINY))


def expected_triples(T: np.ndarray, p: np.ndarray, q: np.ndarray, rho: float) -> np.ndarray:
    """(s, s, s) The model's frequencies of (own, neighbour, neighbour)."""
    near = rho * T + (1 - rho) * q
    return np.asarray(np.einsum("i,ia,ib,ic->abc", p, T, near, near))


def misfit(counts: np.ndarray, T: np.ndarray, p: np.ndarray, rho: float) -> float:
    """Total variation between counted and fitted triples: 0 is a perfect fit."""
    q = (counts.sum(axis=(1, 2)) + 2 * counts.sum(axis=(0, 2))) / 3
    return float(0.5 * np.abs(counts - expected_triples(T, p, q, rho)).sum())


@dataclass(frozen=True, slots=True)
class Counted:
    """What the fits of one rater work on.

    Attributes:
        graph: the rated entries and their neighbours.
        counts: (s, s, s) joint frequency of the own score and two neighbours'.
        told: the same, with examples that were scored twice counted by both of their scores.
        used: among how many nearest neighbours pairs were counted.
        strength: of the ordinal prior, in examples per score.
        kappa: excess of two neighbours over example and neighbour, in [0.2, 1].
    """

    graph: ScoreGraph
    counts: np.ndarray
    told: np.ndarray
    used: int
    strength: float
    kappa: float

    @classmethod
    def build(
        cls,
        values: np.ndarray,
        neighbors: Neighbors,
        n_scores: int,
        *,
        n_neighbors: int | str,
        strength: float,
        repeats: np.ndarray | None = None,
    ) -> "Counted":
        """Count the triples of ``values`` (n,), NaN where unrated, and ``repeats`` of them."""
        graph = ScoreGraph.build(values, neighbors, n_scores)
        used = pick_neighbors(graph, n_neighbors)
        counts = graph.count(used)
        if not counts.any():
            raise InputError(
                "'scores' has no rated example with two rated neighbours, so nothing can be "
                "counted. Rate more examples."
            )
        told = counts
        if repeats is not None and n_scores <= MOST_LEVELS:
            told = graph.count(used, small_scores(neighbors.entry_scores(repeats))[graph.rows])
        return cls(graph, counts, told, used, strength, kappa_of(counts))

    @property
    def n(self) -> int:
        """Distinct rated examples."""
        return len(self.graph.own)

    def pseudo(self, rho: float) -> np.ndarray | None:
        """(s, s) Pseudo-frequencies of the ordinal prior, falling with |i − j|; None without."""
        if not self.strength:
            return None
        shares = ordinal_shares(self.graph.n_scores)
        return np.asarray(self.strength / self.n * (1 + 2 * rho) * shares)

    def first(self, rho: float, n_starts: int, seed: int) -> Fit:
        """The best of short fits from all starts."""
        starts = diagonal_starts(self.graph.observed, n_starts, np.random.default_rng(seed))
        tried = fit_triples(
            self.told,
            *starts,
            n_examples=self.n,
            rho=rho,
            pseudo=self.pseudo(rho),
            max_iterations=FIRST_STEPS,
        )
        of = slice(best := int(tried.log_likelihood.argmax()), best + 1)
        return replace(tried, matrix=tried.matrix[of], prior=tried.prior[of])

    def fit_at(
        self, rho: float, start: Fit, *, own_share: float = 1.0, prior_rho: float | None = None
    ) -> Fit:
        """Fit until EM stands still, from a solution."""
        return fit_triples(
            self.told,
            start.matrix,
            start.prior,
            n_examples=self.n,
            rho=rho,
            own_share=own_share,
            pseudo=self.pseudo(rho if prior_rho is None else prior_rho),
        )

    def shares(self, rho: float) -> tuple[float, float]:
        """(s0, s1) at ``rho``; beyond kappa no s0 would do, so rho counts as kappa there."""
        held = min(rho, self.kappa)
        return float(np.sqrt(held / self.kappa)), float(np.sqrt(held * self.kappa))

    def along(self, grid: np.ndarray, start: Fit, *, prior_rho: float) -> list[Fit]:
        """Fits at each rho of ``grid`` under the measured sharing, largest first inside."""
        found: dict[float, Fit] = {}
        last = start
        for rho in steps(sorted(grid, reverse=True)):
            own_share, near = self.shares(float(rho))
            last = self.fit_at(near, last, own_share=own_share, prior_rho=prior_rho)
            found[float(rho)] = last
        return [found[float(rho)] for rho in grid]


def pick_neighbors(graph: ScoreGraph, wanted: int | str) -> int:
    """The number of neighbours to count: as many as keep 0.9 of the lift of the first two."""
    k = graph.indices.shape[1]
    if k < 2:
        raise InputError(f"The graph must have 2 neighbours or more. Got k = {k}.")
    if wanted != "auto":
        return check_int("n_neighbors", wanted, low=2, high=k)
    from scipy.optimize import isotonic_regression

    chance, equal = float((graph.observed**2).sum()), graph.agreeing(k)
    n_pairs = (equal >= 0).sum(axis=0)
    if chance >= 1.0 or not n_pairs.all():
        return 2
    by_rank = ((equal > 0).sum(axis=0) / n_pairs - chance) / (1 - chance)
    falling = isotonic_regression(by_rank, increasing=False).x
    kept = falling >= LIFT_KEPT * by_rank[:2].mean()
    kept[:2] = True
    return int(k if kept.all() else kept.argmin())


def kappa_of(counts: Consensus) -> float:
    """From counted triples: the ratio of the covariances of the scores' one-hot columns."""
    own, near = _excess(counts.sum(axis=2)), _excess(counts.sum(axis=0))
    below = float((own * own).sum())
    ratio = float((own * near).sum()) / below if below > 0 else 1.0
    return float(np.clip(ratio, LEAST_KAPPA, 1.0))


def _excess(pairs: np.ndarray) -> np.ndarray:
    """Joint frequencies minus those of independent scores, symmetric."""
    apart = pairs - np.outer(pairs.sum(axis=1), pairs.sum(axis=0))
    return np.asarray((apart + apart.T) / 2)
