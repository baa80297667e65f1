"""Curation as in the paper: flag what neighbours disagree with, as often as the matrix says.

e[c] = 1 − min(1, T[c, c] · p[c] / P(observed = c)) is the share of the examples observed as c whose
true score is another. In each of many draws, that share of the distinct examples with the lowest
neighbour agreement is flagged. Flags and suggestions are averaged over the draws.
"""

from dataclasses import dataclass

import numpy as np

from ds2.curation.draws import balanced_draws
from ds2.curation.vote import Ballot, Votes
from ds2.keys import random_order_keys
from ds2.neighbors import Neighbors
from ds2.noise import TransitionEstimate

__all__ = ["Flags", "error_shares", "flag_by_vote"]

#: What the published code flags where the matrix says that nothing is wrong.
PAPER_FLOOR = 0.05
#: The largest share of a score that is ever flagged.
CEILING = 0.95
#: Stream of random order for ties in agreement; draws use the streams from 0.
TIES = 2**32


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
    entry_keys = _entry_keys(keys, neighbors)
    tie_order = random_order_keys(entry_keys, seed, TIES)[ballot.entry]
    flags = np.zeros(len(ballot.rows))
    suggested = np.zeros((len(ballot.rows), n_scores))
    visits = np.zeros(len(ballot.rows))
    for chosen in balanced_draws(entry_keys[entries], n_draws, draw_share, seed):
        drawn = np.zeros(neighbors.n, dtype=bool)
        drawn[entries[chosen]] = True
        votes = ballot.votes(drawn)
        flags += _lowest(votes, ballot.own, shares, tie_order)
        visits += votes.visited
        suggested[np.flatnonzero(votes.visited), votes.suggestion[votes.visited]] += 1
    return _average(ballot, flags, suggested, visits)


def _entry_keys(keys: np.ndarray, neighbors: Neighbors) -> np.ndarray:
    """(n,) keys with each first row of a group holding its group's smallest."""
    if neighbors.groups is None:
        return keys
    smallest = keys.copy()
    np.minimum.at(smallest, neighbors.groups, keys)
    return smallest


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


def _average(ballot: Ballot, flags: np.ndarray, suggested: np.ndarray, visits: np.ndarray) -> Flags:
    n_scores = suggested.shape[1]
    rate = (flags + 1) / (visits + 2)
    share = (suggested + 1) / (visits[:, None] + n_scores)
    share[np.arange(len(share)), ballot.own] = -1.0
    best = share.argmax(axis=1)
    confidence = share[np.arange(len(share)), best] * rate
    found = np.where(visits > 0, best, np.nan)
    rated = ballot.of_row >= 0
    return Flags(*(np.where(rated, x[ballot.of_row], np.nan) for x in (rate, confidence, found)))
