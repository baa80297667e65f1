"""Curation as in the paper: flag what neighbours disagree with, as often as the matrix says.

What an example's neighbours vote for, within one draw of the pool:

    v[c] = Σ over the neighbours in the draw, and the example, of (1 − distance) · [score = c]

with weights clipped at 0, and the example's own distance replaced by 2·d1 − d2. Of the examples
observed as c the share

    e[c] = 1 − min(1, T[c, c] · p[c] / P(observed = c))

has another true score: in each of many draws, those with the lowest agreement v[c] / ‖v‖₂ are
flagged. Flags and suggestions are averaged over the draws.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np

from ds2.errors import Caution
from ds2.keys import random_order_keys
from ds2.neighbors import Neighbors, in_threads, row_blocks, stretch_of
from ds2.noise import TransitionEstimate
from ds2.noise.triples import scores_at, small_scores, tally
from ds2.progress import steps

__all__ = [
    "Ballot",
    "Flags",
    "Voting",
    "balanced_draws",
    "error_shares",
    "flag_by_vote",
    "vote_each",
]

#: What the published code flags where the matrix says that nothing is wrong.
PAPER_FLOOR = 0.05
#: The largest share of a score that is ever flagged.
CEILING = 0.95
#: Draws that are voted on at once: 1, 2, 4 or 8.
TOGETHER = 4
#: Stream of random order for ties in agreement; draws use the streams from 0.
TIES = 2**32


@dataclass(frozen=True, slots=True)
class Voting:
    """Settings of method "ds2"; see `ds2.curate`."""

    n_draws: int
    draw_share: float
    min_confidence: float
    paper_floor: bool
    gate: str
    min_lift: float


@dataclass(frozen=True, slots=True)
class Flags:
    """Averages over the draws, for every row of the pool.

    Attributes:
        flag_rate: (n,) add-one smoothed share of the visits that flagged it; NaN where unrated.
        confidence: (n,) share of the best other score times the flag rate; NaN where unrated.
        suggestion: (n,) the best other score; NaN where unrated or never visited.
    """

    flag_rate: np.ndarray
    confidence: np.ndarray
    suggestion: np.ndarray


@dataclass(frozen=True, slots=True)
class Votes:
    """The votes of one draw, on some examples.

    Attributes:
        agreement: (r,) v[observed] / ‖v‖₂; 1 where nothing has any weight.
        suggestion: (r,) argmax v.
        visited: (r,) whether the example and at least one rated neighbour are in the draw.
    """

    agreement: np.ndarray
    suggestion: np.ndarray
    visited: np.ndarray


@dataclass(frozen=True, slots=True)
class Ballot:
    """Everything about a pool that does not change between draws.

    Exact duplicates with one score are one example here, however many rows they are.

    Attributes:
        neighbors: the graph.
        n_scores: s.
        rows: (r,) a rated row for each entry and each score that its rows were given.
        of_row: (n,) the place in ``rows`` that speaks for a row; −1 where unrated.
        entry: (r,) the entry each belongs to.
        own: (r,) their scores, as small ints.
        scores: (n,) entry scores, −1 where unrated, likewise.
    """

    neighbors: Neighbors
    n_scores: int
    rows: np.ndarray
    of_row: np.ndarray
    entry: np.ndarray
    own: np.ndarray
    scores: np.ndarray

    @classmethod
    def build(cls, scores: np.ndarray, neighbors: Neighbors, n_scores: int) -> "Ballot":
        """Prepare the votes of a pool; ``scores`` (n,) whole numbers, NaN where unrated."""
        small = small_scores(scores)
        rows = entry = np.flatnonzero(small >= 0)
        of_row = np.full(len(scores), -1, dtype=np.int32)
        of_row[rows] = np.arange(len(rows))
        if neighbors.groups is not None:
            _, first, place = np.unique(
                neighbors.groups[rows].astype(np.int64) * n_scores + small[rows],
                return_index=True,
                return_inverse=True,
            )
            of_row[rows] = place.reshape(-1)
            rows = rows[first]
            entry = neighbors.groups[rows]
        shared = small_scores(neighbors.entry_scores(scores))
        return cls(neighbors, n_scores, rows, of_row, entry, small[rows], shared)

    def votes(self, drawn: np.ndarray, block: slice = slice(None)) -> list[Votes]:
        """Count the votes of some draws.

        Args:
            drawn: (n, w) int8, for each draw the entry scores of the entries that are in it, −1 at
                the others; w as in `scores_at`.
            block: of the examples.
        """
        rows, own = stretch_of(self.rows[block]), self.own[block]
        distances = self.neighbors.distances[rows].astype(np.float64)
        nearest, second = distances[:, 0], distances[:, min(1, self.neighbors.k - 1)]
        weights = np.clip(1 - distances, 0, None)
        own_weight = np.clip(1 - (2 * nearest - second), 0, None)
        near = scores_at(drawn, self.neighbors.indices[rows])
        inside = scores_at(drawn, self.entry[block]) >= 0
        everyone, anyone = np.arange(len(own)), np.ones(near.shape[1], dtype=bool)
        found = []
        for draw in range(drawn.shape[1]):
            votes = tally(near[:, :, draw], self.n_scores, weights)
            votes[everyone, own] += own_weight
            norm = np.sqrt((votes**2).sum(axis=1))
            agreement = np.divide(
                votes[everyone, own], norm, out=np.ones(len(norm)), where=norm > 0
            )
            visited = ((near[:, :, draw] >= 0) @ anyone) & inside[:, draw]
            found.append(Votes(agreement, votes.argmax(axis=1), visited))
        return found


def error_shares(noise: TransitionEstimate, *, paper_floor: bool = False) -> np.ndarray:
    """(s,) e[c]: the share of each observed score that is wrong, by the fitted model."""
    right = noise.matrix.diagonal() * noise.prior
    present = noise.observed > 0
    share = np.zeros(len(right))
    share[present] = 1 - np.minimum(1, right[present] / noise.observed[present])
    share[share >= 1] = CEILING
    if paper_floor:
        share[present & (share <= 0)] = PAPER_FLOOR
    return share


def flag_by_vote(
    scores: np.ndarray,
    neighbors: Neighbors,
    shares: np.ndarray,
    *,
    n_draws: int,
    draw_share: float,
    keys: np.ndarray,
    seed: int,
) -> Flags:
    """Run the draws and average them.

    Args:
        scores: (n,) whole numbers, NaN where unrated.
        neighbors: the graph.
        shares: (s,) e[c].
        n_draws: draws.
        draw_share: share of the distinct examples in each.
        keys: (n,) uint64.
        seed: same seed, same flags.
    """
    n_scores = len(shares)
    ballot = Ballot.build(scores, neighbors, n_scores)
    entries = ballot.entry[np.diff(ballot.entry, prepend=-1) > 0]
    entry_keys = keys
    if neighbors.groups is not None:  # the first row of a group holds its group's smallest
        entry_keys = keys.copy()
        np.minimum.at(entry_keys, neighbors.groups, keys)
    tie_order = random_order_keys(entry_keys, seed, TIES)[ballot.entry]
    blocks = row_blocks(len(ballot.rows))

    def cast() -> Iterator[tuple[np.ndarray, slice]]:
        draws = balanced_draws(entry_keys[entries], n_draws, draw_share, seed)
        while some := list(islice(draws, TOGETHER)):
            width = next(width for width in (1, 2, 4, 8) if width >= len(some))
            drawn = np.full((neighbors.n, width), -1, dtype=np.int8)
            for draw, chosen in enumerate(some):
                drawn[entries[chosen], draw] = ballot.scores[entries[chosen]]
            yield from ((drawn, block) for block in blocks)

    r = len(ballot.rows)
    counts = _Counts.of(r, n_scores, n_draws)
    agreement, visited = np.empty((TOGETHER, r)), np.empty((TOGETHER, r), dtype=bool)
    at_work = -(-n_draws // TOGETHER) * len(blocks)
    found = steps(in_threads(lambda one: ballot.votes(*one), cast()), at_work)
    for votes, block in zip(found, cycle(blocks), strict=False):
        for draw, one in enumerate(votes):
            agreement[draw, block], visited[draw, block] = one.agreement, one.visited
            counts.add(one, block)
        if block is blocks[-1]:
            for draw in range(len(votes)):
                lowest = _lowest(agreement[draw], visited[draw], ballot.own, shares, tie_order)
                counts.flags[lowest] += 1
    return counts.averages(ballot)


@dataclass(frozen=True, slots=True)
class _Counts:
    """What the draws have said so far: (r,) flags, (r,) visits, and (r, s) suggestions."""

    flags: np.ndarray
    visits: np.ndarray
    suggested: np.ndarray

    @classmethod
    def of(cls, r: int, n_scores: int, n_draws: int) -> "_Counts":
        small = np.min_scalar_type(n_draws)
        return cls(np.zeros(r, small), np.zeros(r, small), np.zeros((r, n_scores), small))

    def add(self, votes: Votes, block: slice) -> None:
        self.visits[block] += votes.visited
        seen = np.flatnonzero(votes.visited)
        self.suggested[block][seen, votes.suggestion[seen]] += 1

    def averages(self, ballot: Ballot) -> Flags:
        """For every row of the pool."""
        found = np.full((3, len(ballot.of_row)), np.nan)
        for block in row_blocks(len(ballot.of_row)):
            rated = np.flatnonzero(ballot.of_row[block] >= 0)
            at = ballot.of_row[block][rated]
            everyone, visits = np.arange(len(at)), self.visits[at].astype(np.float64)
            rate = (self.flags[at].astype(np.float64) + 1) / (visits + 2)
            share = self.suggested[at].astype(np.float64) + 1
            share /= visits[:, None] + ballot.n_scores
            share[everyone, ballot.own[at]] = -1.0
            best = share.argmax(axis=1)
            found[0, block][rated] = rate
            found[1, block][rated] = share[everyone, best] * rate
            found[2, block][rated] = np.where(visits > 0, best, np.nan)
        return Flags(*found)


def _lowest(
    agreement: np.ndarray,
    visited: np.ndarray,
    own: np.ndarray,
    shares: np.ndarray,
    tie_order: np.ndarray,
) -> np.ndarray:
    """(r,) marks, of the visited examples of each score, the share with the lowest agreement."""
    flagged = np.zeros(len(own), dtype=bool)
    for score in np.flatnonzero(shares > 0):
        rows = np.flatnonzero(visited & (own == score))
        wanted = round(shares[score] * len(rows))
        if wanted == 0:
            continue
        agreed = agreement[rows]
        limit = np.partition(agreed, wanted - 1)[wanted - 1]
        below = rows[agreed < limit]
        level = rows[agreed == limit]
        level = level[np.argsort(tie_order[level], kind="stable")]
        flagged[below] = True
        flagged[level[: wanted - len(below)]] = True
    return flagged


def balanced_draws(keys: np.ndarray, n_draws: int, share: float, seed: int) -> Iterator[np.ndarray]:
    """Yield ``n_draws`` masks (n,), each with round(share · n) rows.

    How often two rows are drawn differs by at most one. What a draw leaves out is dealt from
    shuffled decks of all rows, one after the other; a row that would be dealt twice to one draw
    goes to the end of its deck. Order within a deck depends on the keys alone.

    Args:
        keys: (n,) uint64, one per row.
        n_draws: how many.
        share: of the rows, in (0, 1].
        seed: same seed, same draws.
    """
    n = len(keys)
    left_out = n - round(share * n)
    small = np.min_scalar_type(n)
    deck = np.empty(0, dtype=small)
    n_decks = 0
    for _ in range(n_draws):
        dealt = deck[:left_out]
        deck = deck[left_out:]
        if len(dealt) < left_out:
            fresh = np.lexsort((keys, random_order_keys(keys, seed, n_decks))).astype(small)
            n_decks += 1
            again = np.isin(fresh, dealt)
            deck = np.concatenate([fresh[~again], fresh[again]])
            missing = left_out - len(dealt)
            dealt = np.concatenate([dealt, deck[:missing]])
            deck = deck[missing:]
        drawn = np.ones(n, dtype=bool)
        drawn[dealt] = False
        yield drawn


def vote_each(
    scores: np.ndarray,
    neighbors: Neighbors,
    noise: tuple[TransitionEstimate | None, ...],
    voting: Voting,
    *,
    method: str,
    names: Sequence[str],
    keys: np.ndarray,
    seed: int,
) -> tuple[np.ndarray, Flags | None, tuple[Caution, ...]]:
    """Method "ds2" on each rater, behind its gate.

    Nothing is voted on where the method has no use for it, or a rater has too few scores. With
    "auto" the evidence decides in the gate's place.

    Returns:
        (n, r) scores, misrated ones replaced; the flags of a single rater; and what gates that
        fired say.
    """
    voted = scores.copy()
    found: list[Caution] = []
    flags = None
    for i, one in enumerate(steps(noise)):
        if one is None or method not in ("auto", "ds2"):
            continue
        # the gate: the lower end of lift's interval, or a lift that is not defined
        if method == "ds2" and voting.gate != "off" and not one.lift.low >= voting.min_lift:
            who = "" if len(noise) == 1 else names[i]
            found.append(_gated(one, voting.min_lift, who, refused=voting.gate == "refuse"))
            if voting.gate == "refuse":
                continue
        flags = flag_by_vote(
            scores[:, i],
            neighbors,
            error_shares(one, paper_floor=voting.paper_floor),
            n_draws=voting.n_draws,
            draw_share=voting.draw_share,
            keys=keys,
            seed=seed,
        )
        wrong = (flags.flag_rate > 0.5) & (flags.confidence >= voting.min_confidence)
        voted[wrong, i] = flags.suggestion[wrong]
    return voted, flags if len(noise) == 1 else None, tuple(found)


def _gated(noise: TransitionEstimate, min_lift: float, name: str, *, refused: bool) -> Caution:
    """What the gate found, of a rater by this name if there are several, and what would tell."""
    lift = noise.lift
    if lift.low != lift.low:
        found = "Neighbour agreement cannot be measured (all scores are equal)."
    else:
        found = (
            f"Neighbour agreement is low: lift {lift.value:.2f} (95 % interval {lift.low:.2f} to "
            f"{lift.high:.2f}) against the gate's {min_lift:g}. That means a very noisy rater, or "
            "neighbours that do not share a true score; in the second case replacing scores by "
            "the neighbours' vote makes them worse."
        )
    done = (
        "The raw scores were kept."
        if refused
        else "The correction was made all the same (gate = 'warn')."
    )
    says = f"{found} {done} A second rater, or trusted scores, would settle which it is."
    return Caution(
        "gate-refused" if refused else "gate-warned",
        f"{name[0].upper()}{name[1:]}: {says}" if name else says,
        **({"rater": name} if name else {}),
        lift=lift.value,
        low=lift.low,
        high=lift.high,
        least=min_lift,
    )
