"""Curation as in the paper: flag what neighbours disagree with, as often as the matrix says.

What an example's neighbours vote for, within one draw of the pool:

    v[c] = Σ over the neighbours in the draw, and the example, of (1 − distance) · [score = c]

with weights clipped at 0, and the example's own distance replaced by 2·d1 − d2. Of the examples
observed as c the share

    e[c] = 1 − min(1, T[c, c] · p[c] / P(observed = c))

has another true score: in each of many draws, those with the lowest agreement v[c] / ‖v‖₂ are
flagged. Flags and suggestions are averaged over the draws.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ds2.keys import random_order_keys
from ds2.neighbors import Neighbors, in_threads
from ds2.noise import TransitionEstimate
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
    """The votes of one draw.

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
        rows: (r,) a rated row for each entry and each score that its rows were given.
        of_row: (n,) the place in ``rows`` that speaks for a row; −1 where unrated.
        entry: (r,) the entry each belongs to.
        own: (r,) their scores.
        own_weight: (r,) the weight of the own score.
        weights: (r, n) sparse, 1 − distance of each neighbour.
        links: (r, n) sparse, 1 at each neighbour.
        hot: (n, s) one-hot entry scores, zeros where unrated.
    """

    rows: np.ndarray
    of_row: np.ndarray
    entry: np.ndarray
    own: np.ndarray
    own_weight: np.ndarray
    weights: Any
    links: Any
    hot: np.ndarray

    @classmethod
    def build(cls, scores: np.ndarray, neighbors: Neighbors, n_scores: int) -> "Ballot":
        """Prepare the votes of a pool; ``scores`` (n,) whole numbers, NaN where unrated."""
        from scipy.sparse import csr_array

        rated = np.flatnonzero(~np.isnan(scores))
        entry = rated if neighbors.groups is None else neighbors.groups[rated]
        _, first, place = np.unique(
            entry * n_scores + scores[rated].astype(np.int64),
            return_index=True,
            return_inverse=True,
        )
        rows, entry = rated[first], entry[first]
        of_row = np.full(len(scores), -1)
        of_row[rated] = place.reshape(-1)
        distances = neighbors.distances[rows].astype(np.float64)
        nearest, second = distances[:, 0], distances[:, min(1, neighbors.k - 1)]
        columns = neighbors.indices[rows].ravel()
        pointers = np.arange(len(rows) + 1) * neighbors.k
        shape = (len(rows), neighbors.n)
        near = np.clip(1 - distances, 0, None).ravel()
        shared = neighbors.entry_scores(scores)
        return cls(
            rows=rows,
            of_row=of_row,
            entry=entry,
            own=scores[rows].astype(np.int64),
            own_weight=np.clip(1 - (2 * nearest - second), 0, None),
            weights=csr_array((near, columns, pointers), shape=shape),
            links=csr_array((np.ones(len(columns)), columns, pointers), shape=shape),
            hot=(shared[:, None] == np.arange(n_scores)).astype(np.float64),
        )

    def votes(self, drawn: np.ndarray) -> Votes:
        """Count the votes of one draw; ``drawn`` (n,) marks the entries that are in it."""
        voters = self.hot * drawn[:, None]
        tally = self.weights @ voters
        everyone = np.arange(len(self.rows))
        tally[everyone, self.own] += self.own_weight
        norm = np.sqrt((tally**2).sum(axis=1))
        agreement = np.divide(
            tally[everyone, self.own], norm, out=np.ones(len(norm)), where=norm > 0
        )
        accompanied = self.links @ voters.any(axis=1).astype(np.float64) > 0
        return Votes(agreement, tally.argmax(axis=1), accompanied & drawn[self.entry])


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
    entries = np.flatnonzero(np.bincount(ballot.entry, minlength=neighbors.n))
    entry_keys = keys
    if neighbors.groups is not None:  # the first row of a group holds its group's smallest
        entry_keys = keys.copy()
        np.minimum.at(entry_keys, neighbors.groups, keys)
    tie_order = random_order_keys(entry_keys, seed, TIES)[ballot.entry]
    flags = np.zeros(len(ballot.rows))
    suggested = np.zeros((len(ballot.rows), n_scores))
    visits = np.zeros(len(ballot.rows))

    def vote(chosen: np.ndarray) -> tuple[np.ndarray, Votes]:
        drawn = np.zeros(neighbors.n, dtype=bool)
        drawn[entries[chosen]] = True
        votes = ballot.votes(drawn)
        return _lowest(votes, ballot.own, shares, tie_order), votes

    draws = balanced_draws(entry_keys[entries], n_draws, draw_share, seed)
    held = 8 * (2 * n_scores + 5) * neighbors.n
    for lowest, votes in steps(in_threads(vote, draws, each=held), n_draws):
        flags += lowest
        visits += votes.visited
        suggested[np.flatnonzero(votes.visited), votes.suggestion[votes.visited]] += 1
    everyone = np.arange(len(visits))
    rate = (flags + 1) / (visits + 2)
    share = (suggested + 1) / (visits[:, None] + n_scores)
    share[everyone, ballot.own] = -1.0
    best = share.argmax(axis=1)
    found = (rate, share[everyone, best] * rate, np.where(visits > 0, best, np.nan))
    return Flags(*(np.where(ballot.of_row >= 0, x[ballot.of_row], np.nan) for x in found))


def _lowest(votes: Votes, own: np.ndarray, shares: np.ndarray, tie_order: np.ndarray) -> np.ndarray:
    """(r,) marks, of the visited examples of each score, the share with the lowest agreement."""
    flagged = np.zeros(len(own), dtype=bool)
    for score in np.flatnonzero(shares > 0):
        rows = np.flatnonzero(votes.visited & (own == score))
        wanted = round(shares[score] * len(rows))
        if wanted == 0:
            continue
        agreement = votes.agreement[rows]
        limit = np.partition(agreement, wanted - 1)[wanted - 1]
        below = rows[agreement < limit]
        level = rows[agreement == limit]
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
    deck = np.empty(0, dtype=np.int64)
    n_decks = 0
    for _ in range(n_draws):
        dealt = deck[:left_out]
        deck = deck[left_out:]
        if len(dealt) < left_out:
            fresh = np.lexsort((keys, random_order_keys(keys, seed, n_decks)))
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
    keys: np.ndarray,
    seed: int,
) -> tuple[np.ndarray, Flags | None, tuple[str, ...]]:
    """Method "ds2" on each rater, behind its gate.

    Nothing is voted on where the method has no use for it, or a rater has too few scores. With
    "auto" the evidence decides in the gate's place.

    Returns:
        (n, r) scores, misrated ones replaced; the flags of a single rater; and what gates that
        fired say.
    """
    voted = scores.copy()
    found: list[str] = []
    flags = None
    for i, one in enumerate(steps(noise)):
        if one is None or method not in ("auto", "ds2"):
            continue
        # the gate: the lower end of lift's interval, or a lift that is not defined
        if method == "ds2" and voting.gate != "off" and not one.lift.low >= voting.min_lift:
            sentence = gate_sentence(one, voting.min_lift, refused=voting.gate == "refuse")
            found.append(sentence if len(noise) == 1 else f"Rater {i + 1}: {sentence}")
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


def gate_sentence(noise: TransitionEstimate, min_lift: float, *, refused: bool) -> str:
    """What the gate found and what would settle it."""
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
    return f"{found} {done} A second rater, or trusted scores, would settle which it is."
