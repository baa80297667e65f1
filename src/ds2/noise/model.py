"""The model: what raters, repeats, gold and neighbours say together, solved by EM.

Given the true scores, all ratings are independent. What was said of an example has, for each true
score i, the probability

    L[i] = Π_m T_m[i, a_m] · gold[i]

(a missing rating drops out; gold is a row whose true score is known, or nearly). An example and its
neighbour have the true scores i and j with probability J[i, j], so

    P(an example, its neighbour) = Σ_ij L[i] J[i, j] L'[j],        P(an example) = Σ_i p[i] L[i]

without neighbours, which is J = p p' (Dawid and Skene 1979). J is free and symmetric: neighbours
may share a true score, lie near it, or not care. Two raters of an example and one of its neighbour
are three looks at one true score, which determines every T. From J follow the prior and
rho = (Σ_i J[i, i] − Σ p²) / (1 − Σ p²).

One rater alone gives two looks in a pair, which do not: `ds2.noise.triples` is the same model with
two neighbours at once and J = rho · diag(p) + (1 − rho) p p', on a table of counts.

The likelihood does not know the order of the classes; what raters say in them does
(`ds2.noise.order`), and the rows of T of a rater who agrees with the others are kept in order. A
level that hardly anybody uses has no class.

Rows that every rater scored alike are one pattern: EM then costs no more at 300,000 rows. Gold
enters as one more rater who never errs; a fractional gold score is shared between the two levels
that it lies between. A pair of neighbours is a pair of patterns. With few raters there are few of
them; where they are very many, a random part of the examples stands for all.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ds2.levels import split_levels
from ds2.measures import student
from ds2.neighbors import Neighbors, row_blocks
from ds2.noise.em import TINY, State, accelerate, diagonal_starts, ordinal_shares
from ds2.noise.intervals import (
    cell_intervals,
    covariance,
    log_odds_interval,
    prior_information,
    widened,
)
from ds2.noise.order import in_order, in_stochastic_order
from ds2.progress import part, steps

__all__ = ["Links", "Model", "Patterns", "Solved", "distinct_rows", "looks", "shares"]

#: Rounds of joining an example to the least numbered among its neighbours.
BLOCK_ROUNDS = 1
MAX_ITERATIONS = 3000
#: EM steps and tolerance of every start, before the best one goes on.
FIRST_STEPS, FIRST_TOLERANCE = 90, 1e-4
#: Pseudo-examples of each level in the prior of the true scores, and pseudo-pairs in J as a whole,
#: spread as if neighbours did not care.
PRIOR_EXAMPLES, PRIOR_PAIRS = 1.0, 1.0
#: How far neighbours share a true score where EM starts.
SHARES = (0.2, 0.6)
#: Groups of blocks of the jackknife, and EM steps of a fit that goes on from the solution.
GROUPS, FURTHER_STEPS = 10, 90
#: Ordinal priors under which the fit goes on, to see what it owes to its own: how their mass falls
#: with the distance (a sharper and a blunter rater), and the examples per row that they are worth.
OTHER_DECAYS, OTHER_STRENGTH = (0.1, 0.75), 24.0
#: Numbers of a table of slopes that are squared at once, links that are sorted by block at once,
#: and codes that may be marked in place of being sorted.
AT_ONCE, LINKS_AT_ONCE, MOST_CODES = 2**23, 2**22, 2**24
#: Pairs of rows that are counted where few patterns occur: some 100 bytes each.
MOST_LINKS = 2**24


@dataclass(frozen=True, slots=True)
class Patterns:
    """The distinct rows of a table of scores.

    Attributes:
        scores: (u, r) small ints, −1 where a rater gave none.
        gold: (u, s) share of each level in the gold score; all ones where there is none.
        known: (u,) whether there is a gold score.
        counts: (u,) how many rows have the pattern.
        of_row: (n,) the pattern of each row.
    """

    scores: np.ndarray
    gold: np.ndarray
    known: np.ndarray
    counts: np.ndarray
    of_row: np.ndarray

    @classmethod
    def build(cls, scores: np.ndarray, gold: np.ndarray | None, n_scores: int) -> "Patterns":
        """Find them; ``scores`` (n, r) with NaN where missing, ``gold`` (n,) likewise or None."""
        n, r = scores.shape
        small = np.where(np.isnan(scores), -1, scores).astype(np.int64)
        trusted = np.full(n, np.nan) if gold is None else gold
        values, place = np.unique(trusted[~np.isnan(trusted)], return_inverse=True)
        code = np.zeros(n, dtype=np.int64)
        code[~np.isnan(trusted)] = 1 + place
        columns = [*(small.T + 1), code]
        base = [n_scores + 1] * r + [len(values) + 1]
        first, of_row, counts = distinct_rows(columns, base)
        levels = np.vstack([np.ones(n_scores), split_levels(values, n_scores)])
        return cls(
            small[first].astype(np.int16),
            levels[code[first]],
            code[first] > 0,
            counts.astype(np.float64),
            of_row,
        )

    @property
    def rated(self) -> np.ndarray:
        """(u,) Whether any rater, or gold, scored the pattern."""
        return np.asarray((self.scores >= 0).any(axis=1) | self.known)

    def one_hot(self, n_scores: int) -> np.ndarray:
        """(u, r·s) A 1 at each rater's score; zeros where it gave none."""
        hot = self.scores[:, :, None] == np.arange(n_scores)
        return np.asarray(hot.reshape(len(hot), -1), dtype=np.float64)

    def log_gold(self) -> np.ndarray:
        """(u, s) Log of the gold shares, 0 where there is none."""
        return np.asarray(np.log(np.maximum(self.gold, 1e-300)))


def looks(
    hot: np.ndarray, T: np.ndarray, log_gold: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """How likely each pattern is in each class, its largest value 1, and the log of what that was.

    Args:
        hot: (u, r·s) a 1 at each rater's score; a rater of zeros says nothing.
        T: (r, s, s) the raters' matrices.
        log_gold: (u, s) what is known of the classes beside.

    Returns:
        (u, s) and (u,).
    """
    logs = np.log(np.maximum(T, TINY))
    terms = hot @ logs.transpose(0, 2, 1).reshape(-1, T.shape[1]) + log_gold
    top = terms.max(axis=1)
    return np.exp(terms - top[:, None]), top


def shares(likely: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """The posterior (u, s) of what `looks` says, for a prior (s,) or one of each row (u, s)."""
    mass = likely * prior
    return np.asarray(mass / np.maximum(mass.sum(axis=1, keepdims=True), TINY))


@dataclass(frozen=True, slots=True)
class Links:
    """Distinct pairs of patterns, an example's and its neighbour's, and how often they occur.

    Attributes:
        first: (m,) pattern of the example.
        second: (m,) pattern of the neighbour.
        counts: (m,) weight of the pair; an example's pairs weigh 1 together.
        by_block: (b, m) sparse, the part of ``counts`` that touches each block of the graph.
        across: (x, m) sparse, the part that connects each two blocks.
    """

    first: np.ndarray
    second: np.ndarray
    counts: np.ndarray
    by_block: Any
    across: Any

    @classmethod
    def build(
        cls,
        patterns: Patterns,
        neighbors: Neighbors,
        n_neighbors: int,
        rng: np.random.Generator,
        *,
        most: int,
    ) -> "Links":
        """Count the pairs of the distinct examples.

        Args:
            patterns: of every row's scores, duplicates sharing theirs.
            neighbors: the graph.
            n_neighbors: how many of each example's neighbours are counted.
            rng: chooses examples where there are too many pairs, and the blocks.
            most: pairs, where more patterns occur than can all be met.
        """
        u = len(patterns.counts)
        rated = patterns.rated[patterns.of_row] & neighbors.entries()
        rows = np.flatnonzero(rated)
        label = rng.permutation(neighbors.n).astype(np.int32)
        for _ in range(BLOCK_ROUNDS):  # each joins the least numbered around it
            around = [label[neighbors.indices[of]].min(axis=1) for of in row_blocks(len(label))]
            label = np.minimum(label, np.concatenate(around))
        blocks = _ranks(label, neighbors.n)[1]
        limit = most if u**2 > most else MOST_LINKS
        if len(rows) * n_neighbors > limit:
            n_neighbors = min(n_neighbors, 2)
            rows = np.sort(rng.permutation(rows)[: limit // n_neighbors])
        parts = []
        for block in row_blocks(len(rows)):
            near = neighbors.indices[rows[block], :n_neighbors]
            known = rated[near]
            weight = 1.0 / np.maximum(known.sum(axis=1), 1)
            each = np.repeat(np.arange(len(known)), known.sum(axis=1))
            a, b = patterns.of_row[rows[block]][each], patterns.of_row[near[known]]
            pair = np.minimum(a, b) * u + np.maximum(a, b)
            parts.append((pair, weight[each], blocks[rows[block]][each], blocks[near[known]]))
        pair, weight, *ends = (np.concatenate(side) for side in zip(*parts, strict=True))
        del parts
        distinct, place = _ranks(pair, u * u)
        del pair
        by_block, across = _touching(ends[0], ends[1], place, weight, len(distinct))
        return cls(
            first=distinct // u,
            second=distinct % u,
            counts=np.bincount(place, weights=weight, minlength=len(distinct)),
            by_block=by_block,
            across=across,
        )

    def without_each(self, n_groups: int) -> list[np.ndarray]:
        """Counts (m,) without each group of blocks, and without what touches it."""
        rows = np.arange(self.by_block.shape[0]) % n_groups
        groups = [
            np.asarray((rows == group) @ self.by_block).ravel() for group in range(rows.max() + 1)
        ]
        return [np.maximum(self.counts - group, 0.0) for group in groups]

    def spread(self, slopes: np.ndarray) -> np.ndarray:
        """Sum over blocks of the squares of their ``slopes`` (m, d): what spreads the estimate."""
        return np.asarray(_squares(self.by_block, slopes) - _squares(self.across, slopes))


def _squares(table: Any, slopes: np.ndarray) -> np.ndarray:
    """(d, d) Σ over the rows of ``table`` (b, m), some of them at once."""
    total = np.zeros((slopes.shape[1],) * 2)
    step = max(1, AT_ONCE // slopes.shape[1])
    for start in range(0, table.shape[0], step):
        part = table[start : start + step] @ slopes
        total += part.T @ part
    return total


def _ranks(codes: np.ndarray, above: int) -> tuple[np.ndarray, np.ndarray]:
    """The different ones of some codes below ``above``, ascending, and the place of each there."""
    if above > MOST_CODES + len(codes):
        distinct, place = np.unique(codes, return_inverse=True)
        return distinct, place.reshape(-1).astype(np.int32)
    present = np.zeros(above, dtype=bool)
    present[codes] = True
    return np.flatnonzero(present), (np.cumsum(present, dtype=np.int32) - 1)[codes]


def _touching(
    a: np.ndarray, b: np.ndarray, place: np.ndarray, weight: np.ndarray, width: int
) -> tuple[Any, Any]:
    """(b, m) pairs by the blocks that they touch, and (x, m) by the two blocks that they connect.

    Within one block they count once; the second is what the first counts twice.
    """
    from scipy.sparse import csr_array, vstack

    def table(rows: np.ndarray, columns: np.ndarray, values: np.ndarray, height: int) -> Any:
        return csr_array((values, (rows, columns)), shape=(height, width))

    each = int(max(a.max(initial=0), b.max(initial=0))) + 1
    step = -(-each * LINKS_AT_ONCE // max(len(a), 1))
    apart, low = a != b, np.minimum(a, b)
    by_block, across = [], []
    for start in range(0, each, step):  # some blocks at once
        height = min(step, each - start)
        one, two = (np.flatnonzero(end // step == start // step) for end in (a, b))
        two = two[apart[two]]
        both = np.concatenate([one, two])
        rows = np.concatenate([a[one], b[two]]) - start
        by_block.append(table(rows, place[both], weight[both], height))
        here = np.flatnonzero(apart & (low // step == start // step))
        code = low[here].astype(np.int64) * each + np.maximum(a[here], b[here])
        different, between = np.unique(code, return_inverse=True)
        across.append(table(between.reshape(-1), place[here], weight[here], len(different)))
    return vstack(by_block, format="csr"), vstack(across, format="csr")


def distinct_rows(
    columns: list[np.ndarray], base: list[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First row, inverse and counts of the distinct rows."""
    key, axis = np.zeros(len(columns[0]), dtype=np.int64), None
    if np.prod([float(b) for b in base]) < 2.0**62:
        for column, radix in zip(columns, base, strict=True):
            key = key * radix + column
    else:
        key, axis = np.stack(columns, axis=1), 0
    _, first, inverse, counts = np.unique(
        key, return_index=True, return_inverse=True, return_counts=True, axis=axis
    )
    return first, inverse.reshape(-1), counts


@dataclass(frozen=True, slots=True)
class Model:
    """The patterns, the links between them (None: no neighbours), and the steps of EM.

    A `State` holds T as (1, r·s, s) and J as (1, s·s), or p as (1, s) without links.

    Attributes:
        patterns: of the rows, duplicates counted once where there are links.
        links: pairs of neighbours, or None.
        pseudo: (r·s, s) pseudo-counts of T, an ordinal prior.
        used: (s,) the levels that have a class.
        ordered: (r,) the raters whose rows of T are stochastically ordered.
        hot: (u, r·s) a 1 at each rater's score, zeros where it has none.
        log_gold: (u, s) of the patterns.
        counts: rows of each pattern (u,), or weight of each link (m,).
    """

    patterns: Patterns
    links: Links | None
    pseudo: np.ndarray
    used: np.ndarray
    ordered: np.ndarray
    hot: np.ndarray
    log_gold: np.ndarray
    counts: np.ndarray

    @classmethod
    def build(
        cls,
        patterns: Patterns,
        links: Links | None,
        *,
        strength: float,
        used: np.ndarray,
        ordered: np.ndarray | None = None,
    ) -> "Model":
        """Take what was counted; ``strength`` examples per row of each T is the ordinal prior."""
        s, r = len(used), patterns.scores.shape[1]
        pseudo = np.tile(strength * ordinal_shares(s), (r, 1))
        held = np.zeros(r, dtype=bool) if ordered is None else ordered
        counts = np.where(patterns.rated, patterns.counts, 0.0) if links is None else links.counts
        hot, log_gold = patterns.one_hot(s), patterns.log_gold()
        return cls(patterns, links, pseudo, used, held, hot, log_gold, counts)

    @property
    def s(self) -> int:
        """Levels."""
        return len(self.used)

    @property
    def total(self) -> float:
        """Weight of everything that was counted."""
        return float(self.counts.sum())

    @property
    def _mass(self) -> np.ndarray:
        """Pseudo-counts of p, or of J as (s·s,); 0 where a level has no class."""
        if self.links is None:
            return PRIOR_EXAMPLES * self.used
        return (PRIOR_PAIRS / self.s**2 * np.outer(self.used, self.used)).ravel()

    def split(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        """T (r, s, s), and J (s, s) or p (s,)."""
        shape = (self.s,) if self.links is None else (self.s, self.s)
        return state.matrix[0].reshape(-1, self.s, self.s), state.prior[0].reshape(shape)

    def looks(self, T: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """L of each pattern (u, s), its largest value 1, and the log of what that was (u,)."""
        return looks(self.hot, T, self.log_gold)

    def data_likelihood(self, state: State) -> float:
        """Log-likelihood of what was said, without the priors' part."""
        T, sharing = self.split(state)
        looks, top = self.looks(T)
        if self.links is None:
            logs = np.log(np.maximum(looks @ sharing, TINY)) + top
            return float(self.counts @ logs)
        first, second = self.links.first, self.links.second
        logs = np.log(np.maximum(self._pairs(looks, sharing), TINY)) + top[first] + top[second]
        return float(self.counts @ logs)

    def likelihood(self, state: State) -> np.ndarray:
        """(1,) With the priors' part: what an EM step never lowers, where no rater is ordered."""
        cells = (self.pseudo * np.log(np.maximum(state.matrix[0], TINY))).sum()
        shares = self._mass @ np.log(np.maximum(state.prior[0], TINY))
        return np.array([self.data_likelihood(state) + cells + shares])

    def step(self, state: State) -> State:
        """One EM step."""
        T, sharing = self.split(state)
        weight, shared = self._expected(self.looks(T)[0], sharing)
        cells = (self.hot.T @ weight).reshape(T.shape).transpose(0, 2, 1)
        rows = cells.reshape(-1, self.s) + self.pseudo
        total = rows.sum(axis=1, keepdims=True)
        matrix = np.where(total > TINY, rows / np.maximum(total, TINY), state.matrix[0])
        for m in np.flatnonzero(self.ordered):
            part = slice(m * self.s, (m + 1) * self.s)
            matrix[part][self.used] = in_stochastic_order(rows[part][self.used])
        prior = shared.ravel() + self._mass
        return State(matrix[None], (prior / prior.sum())[None])

    def posterior(self, state: State) -> np.ndarray:
        """(u, s) P(true = i) of each pattern, given its own ratings; without links."""
        T, p = self.split(state)
        return shares(self.looks(T)[0], p)

    def covariance(self, state: State) -> np.ndarray:
        """Covariance of the free numbers behind T, and J or p (see `ds2.noise.intervals`)."""
        T, sharing = self.split(state)
        slopes = self._slopes(self.looks(T)[0], T, sharing)
        information = (slopes * self.counts[:, None]).T @ slopes
        spread = None if self.links is None else self.links.spread(slopes)
        cells = T.size
        information[:cells, :cells] += prior_information(self.pseudo, state.matrix[0])
        if self.links is not None:
            free = self._mass.reshape(1, -1)
            information[cells:, cells:] += prior_information(free, sharing.reshape(1, -1))
        return covariance(information, spread)

    def _pairs(self, looks: np.ndarray, J: np.ndarray) -> np.ndarray:
        """(m,) Probability of each pair, on the scale of the looks."""
        assert self.links is not None
        toward = looks @ J
        return np.asarray((toward[self.links.first] * looks[self.links.second]).sum(axis=1))

    def _expected(self, looks: np.ndarray, sharing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Expected true scores of each pattern (u, s), and of examples (s,) or pairs (s, s)."""
        if self.links is None:
            mass = looks * sharing
            ratio = self.counts / np.maximum(mass.sum(axis=1), TINY)
            weight = mass * ratio[:, None]
            return weight, weight.sum(axis=0)
        from scipy.sparse import csr_array

        links, u = self.links, len(looks)
        ratio = self.counts / np.maximum(self._pairs(looks, sharing), TINY)
        table = csr_array((ratio, (links.first, links.second)), shape=(u, u))
        toward, back = table @ looks, table.T @ looks
        joint = sharing * (looks.T @ toward)
        return looks * (toward @ sharing.T + back @ sharing), (joint + joint.T) / 2

    def _slopes(self, looks: np.ndarray, T: np.ndarray, sharing: np.ndarray) -> np.ndarray:
        """(m, d) Derivatives of each log-probability by the free numbers of T, and of J or p."""
        if self.links is None:
            mass = looks * sharing
            R = mass / np.maximum(mass.sum(axis=1, keepdims=True), TINY)
            cells = self._cells(np.arange(len(R)), R, T)
            return np.concatenate([cells, R - sharing], axis=1)
        at, to = looks[self.links.first], looks[self.links.second]
        joint = at[:, :, None] * sharing * to[:, None, :]
        joint /= np.maximum(joint.sum(axis=(1, 2), keepdims=True), TINY)
        cells = self._cells(self.links.first, joint.sum(axis=2), T)
        cells += self._cells(self.links.second, joint.sum(axis=1), T)
        both = (joint + joint.transpose(0, 2, 1)) / 2 - sharing
        return np.concatenate([cells, both.reshape(len(both), -1)], axis=1)

    def _cells(self, pattern: np.ndarray, R: np.ndarray, T: np.ndarray) -> np.ndarray:
        """(m, cells) The part of T, for patterns of responsibilities R (m, s)."""
        found = np.empty((len(R), *T.shape))
        for m, matrix in enumerate(T):
            hot = self.hot[pattern, m * self.s : (m + 1) * self.s]
            off = hot[:, None, :] - hot.sum(axis=1)[:, None, None] * matrix
            found[:, m] = R[:, :, None] * off
        return found.reshape(len(R), -1)


@dataclass(frozen=True, slots=True)
class Solved:
    """Where EM came to, the classes in order.

    Attributes:
        model: what was solved.
        state: its solution.
        iterations: EM steps.
        converged: whether EM stood still.
        reordered: whether the classes had to be put into another order at the end.
    """

    model: Model
    state: State
    iterations: int
    converged: bool
    reordered: bool = False

    @classmethod
    def find(
        cls, model: Model, n_starts: int, *, seed: int = 0, tolerance: float = 1e-6
    ) -> "Solved":
        """Run EM from the best of some starts, and once more where classes were out of order.

        Args:
            model: what to solve.
            n_starts: all with most mass on the diagonal; the best likelihood goes on.
            seed: of the random ones.
            tolerance: no cell moves by more in one accelerated step at the end.
        """
        rough = max(FIRST_TOLERANCE, tolerance)
        with part(0.0, 0.5):
            tried = [
                accelerate(model, one, n_examples=1, tolerance=rough, max_iterations=FIRST_STEPS)
                for one in steps(_starts(model, n_starts, seed))
            ]
        best, _, taken, _ = max(tried, key=lambda one: float(one[1][0]))

        def run(state: State, taken: int) -> Solved:
            state, _, more, still = accelerate(
                model, state, n_examples=1, tolerance=tolerance, max_iterations=MAX_ITERATIONS
            )
            return cls(model, state, taken + more, bool(still[0]))

        found = run(best, taken)
        order = in_order(found.matrix, found.prior, model.used)
        if order is None:
            return found
        T, sharing = model.split(found.state)
        moved = sharing[order] if model.links is None else sharing[np.ix_(order, order)]
        state = State(T[:, order].reshape(1, -1, model.s), moved.reshape(1, -1))
        return replace(run(state, found.iterations), reordered=True)

    @property
    def matrix(self) -> np.ndarray:
        """(r, s, s)."""
        return self.model.split(self.state)[0]

    @property
    def prior(self) -> np.ndarray:
        """(s,)."""
        sharing = self.model.split(self.state)[1]
        return np.asarray(sharing if sharing.ndim == 1 else sharing.sum(axis=1))

    def elsewhere(self) -> list["Solved"]:
        """Where the fit goes under a sharper and under a blunter ordinal prior."""
        found = []
        for decay in OTHER_DECAYS:
            rows = OTHER_STRENGTH * ordinal_shares(self.model.s, decay)
            pseudo = np.tile(rows, (len(self.model.ordered), 1))
            found.append(self._go_on(replace(self.model, pseudo=pseudo)))
        return found

    def _go_on(self, model: Model) -> "Solved":
        """A fit of another model that starts here."""
        state, _, taken, still = accelerate(
            model, self.state, n_examples=1, tolerance=FIRST_TOLERANCE,
            max_iterations=FURTHER_STEPS,
        )  # fmt: skip
        return Solved(model, state, taken, bool(still[0]))

    def intervals(self, cov: np.ndarray, others: list["Solved"]) -> np.ndarray:
        """(2, r, s, s) Intervals of T, from the model's covariance and the fits `elsewhere`."""
        bounds = cell_intervals(self.state.matrix[0], cov).reshape(2, *self.matrix.shape)
        return widened(self.matrix, bounds, [other.matrix for other in others])

    def prior_intervals(self, cov: np.ndarray, others: list["Solved"]) -> np.ndarray:
        """(2, s) Intervals of p, the sums of J's rows, likewise."""
        J, p, s = self.model.split(self.state)[1], self.prior, self.model.s
        inside = np.repeat(np.eye(s), s, axis=1)
        slopes = J.ravel() * (inside - p[:, None])
        free = cov[-(s**2) :, -(s**2) :]
        errors = np.sqrt(np.maximum(np.einsum("ia,ab,ib->i", slopes, free, slopes), 0.0))
        return widened(p, log_odds_interval(p, errors), [other.prior for other in others])

    def rho(self, others: list["Solved"]) -> tuple[float, tuple[float, float]]:
        """Rho and its interval, by the jackknife over groups of blocks (Quenouille 1956).

        The likelihood's rho is off by something that falls with the number of examples, and
        spreads more than the curvature says where matrices are many: leaving out a tenth of the
        blocks in turn tells both. What rho owes to the ordinal prior, the fits `elsewhere` tell.
        Groups are dealt by row and seed: another order of 1,500 rows moved rho by up to 0.13.
        """
        assert self.model.links is not None
        whole = self._excess()
        groups = self.model.links.without_each(GROUPS)
        left = [self._go_on(replace(self.model, counts=counts))._excess() for counts in groups]
        n = len(left)
        if n < 2:
            return float(np.clip(whole, 0.0, 1.0)), (0.0, 1.0)
        mean = float(np.mean(left))
        rho = n * whole - (n - 1) * mean
        error = float(np.sqrt((n - 1) / n * np.square(np.array(left) - mean).sum()))
        half = student(n + 1) * np.hypot(error, max(abs(one._excess() - whole) for one in others))
        low, high = np.clip(rho + np.array([-1, 1]) * half, 0.0, 1.0)
        return float(np.clip(rho, 0.0, 1.0)), (float(low), float(high))

    def _excess(self) -> float:
        """Excess probability of sharing a true score."""
        square = float((self.prior**2).sum())
        same = float(np.trace(self.model.split(self.state)[1]))
        return (same - square) / (1 - square) if square < 1 else 0.0


def _starts(model: Model, n_starts: int, seed: int) -> list[State]:
    """Diagonal-heavy matrices for every rater; the prior from all ratings together."""
    flat = model.patterns.scores.ravel()
    weights = np.repeat(model.patterns.counts, model.patterns.scores.shape[1])
    observed = np.bincount(flat[flat >= 0], weights=weights[flat >= 0], minlength=model.s) + 1
    rng = np.random.default_rng(seed)
    matrices, _ = diagonal_starts(observed / observed.sum(), n_starts, rng)
    p = observed * model.used / (observed * model.used).sum()
    states = []
    for i, matrix in enumerate(matrices):
        prior = p
        if model.links is not None:
            share = SHARES[i % len(SHARES)]
            J = share * np.diag(p) + (1 - share) * np.outer(p, p)
            apart = np.outer(model.used, model.used)
            prior = (0.99 * J + 0.01 * apart / apart.sum()).ravel()
        rows = np.tile(matrix, (len(model.ordered), 1))
        states.append(State(rows[None], prior[None]))
    return states
