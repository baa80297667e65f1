"""`curate`: put better scores in the place of wrong ones, or leave them alone."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Shaped

from ds2.arrays import Keys, Scores
from ds2.checks import check_choice, check_fraction, check_int
from ds2.curation.auto import LEAST_GOLD
from ds2.curation.candidates import CANDIDATES, Case, Voting
from ds2.curation.finish import finish, finish_choice
from ds2.curation.folds import deal, neighborhoods
from ds2.curation.inputs import check_gold, check_noise, check_spread, check_table
from ds2.curation.means import NeighborMeans
from ds2.curation.paper import curate_one, vote_each
from ds2.curation.result import Curation
from ds2.errors import Ds2Warning, InputError
from ds2.keys import check_keys
from ds2.neighbors import Neighbors
from ds2.noise import LOW_LIFT, TransitionEstimate

__all__ = ["curate"]

METHODS = ("auto", *CANDIDATES, "none")
N_FOLDS, N_BLOCKS = 5, 1000


def curate(
    scores: Shaped[np.ndarray, "n ..."],
    neighbors: Neighbors,
    noise: TransitionEstimate | Sequence[TransitionEstimate],
    *,
    method: str = "auto",
    expected: Shaped[np.ndarray, "n ..."] | None = None,
    spread: Shaped[np.ndarray, "n ..."] | None = None,
    repeats: Shaped[np.ndarray, "n ..."] | None = None,
    gold: Scores | None = None,
    gold_weights: Scores | None = None,
    objective: str = "rank",
    control: Mapping[str, Scores] | None = None,
    n_draws: int = 51,
    draw_share: float = 0.8,
    min_confidence: float = 0.5,
    gate: str = "warn",
    min_lift: float = LOW_LIFT,
    paper_floor: bool = False,
    keys: Keys | None = None,
    seed: int = 0,
) -> Curation:
    """Curate the scores of one rater or several, by what raters, neighbours and gold say.

    * "raw": one rater's scores as they are; of several, the mean of z-scores over the ratings
      present. "none" is the same for one rater.
    * "ds2": the curation of the DS² paper (arXiv 2410.10877) on the graph: a score is flagged in
      as many cases as the transition matrix says are wrong, where the neighbours agree least, over
      balanced draws; it is replaced where the confidence reaches ``min_confidence``. Several
      raters: each by itself, then the mean of z-scores.
    * "fused": the posterior of the raters alone (two or more). "fused+neighbors": with a prior
      that leans on the neighbours' posteriors as far as the raters' own words bear it out.
    * "soft": real-valued; raters and neighbours weighted by evidence that the rater itself did not
      give (another rater, gold, or repeats for the weight alone), cross-fitted.
    * "auto": "raw", unless gold or left-out raters show that others are better (paired 95 %
      interval of the gain above 0), and then the one that gains most; the table is in
      ``evidence``. One rater with fewer than 20 gold rows: "ds2" where the gate passes (with a
      warning that nothing has tested it), "raw" where it fires.

    "fused" scores are posterior means. The other real-valued results are put on the level scale
    by rank: a value that exceeds a share q of the pool gets the level below which a share q of the
    levels lies (gold's levels as far as there is gold, else the raters'). Rows without any rating
    stay NaN. No row's own gold is put in its place. The weights of "soft" are cross-fitted: none is
    learned from the row that it is applied to. "fused" learns one matrix per rater from all rows,
    gold among them once it no longer judges, and "ds2" takes the matrices of ``noise``.

    Args:
        scores: (n,) or (n, r) whole numbers 0 … s − 1, NaN where missing.
        neighbors: the pool's neighbour graph.
        noise: the estimate for these scores; several raters: one each.
        method: see above.
        expected: like ``scores``, expected scores 0 … s − 1 (from log-probabilities), NaN where
            none; they stand in the place of the whole scores in "raw" and "soft" (not in "none",
            nor in "auto" for one rater without gold).
        spread: like ``scores``, how uncertain a rater itself calls each rating (the standard
            deviation of its own distribution; only the order counts), NaN where unknown. "soft"
            lets uncertain ratings count less as far as the evidence bears that out.
        repeats: like ``scores``, second scores of the same rater. They can set the weight of the
            neighbours for one rater in "soft", and never rank a candidate.
        gold: (n,) trusted scores on 0 … s − 1 (may be fractions), NaN where unknown.
        gold_weights: (n,) inverse probabilities of having been asked for; default equal.
        objective: "rank" (order matters; judged by Spearman) or "level" (returns whole levels;
            judged by accuracy and quadratic kappa: one must be shown to rise, none may fall).
        control: name → (n,) numbers or labels whose effect within neighbourhoods is removed from
            the curated scores.
        n_draws: draws of the pool.
        draw_share: share of the distinct examples in each draw.
        min_confidence: replace a misrated score from this confidence on (the authors of DS² used
            0.3 to 0.5).
        gate: what method "ds2" does where the lower end of lift's interval is below ``min_lift``:
            "warn" (correct, and say so), "refuse" (keep the raw scores, and say so) or "off".
            Method "auto" refuses unless it is "off".
        min_lift: see ``gate``.
        paper_floor: flag 5 % of a score that the matrix calls right, as the published code does.
        keys: (n,) whole numbers that identify the content (Pool.keys), so that the order of the
            rows does not matter. Default: the row number.
        seed: the same seed gives the same curation.

    Returns:
        `Curation`.

    Raises:
        InputError: shapes or settings that do not fit; a method whose evidence is not there.

    Warns:
        Ds2Warning: for each sentence in the result's ``warnings``.
    """
    method = check_choice("method", method, METHODS)
    objective = check_choice("objective", objective, ("rank", "level"))
    gate = check_choice("gate", gate, ("warn", "refuse", "off"))
    min_lift = check_fraction("min_lift", min_lift)
    voting = Voting(
        n_draws=check_int("n_draws", n_draws, low=1),
        draw_share=check_fraction("draw_share", draw_share, open_low=True),
        min_confidence=check_fraction("min_confidence", min_confidence),
        paper_floor=paper_floor,
    )
    seed = check_int("seed", seed, low=0)
    n_scores = _n_scores(noise)
    table = check_table("scores", scores, neighbors, n_scores)
    each = check_noise(noise, table)
    order = check_keys(keys, neighbors.n)
    values = _expected(expected, table, neighbors, n_scores)
    stated = check_spread(spread, table)
    second = _same_shape("repeats", repeats, table, neighbors, n_scores)
    trusted, weights = check_gold(gold, gold_weights, neighbors, n_scores)
    given = np.asarray(scores, dtype=np.float64)
    only = each[0] if len(each) == 1 else None
    if only is not None and (
        method in ("ds2", "none") or (method == "auto" and (weights > 0).sum() < LEAST_GOLD)
    ):
        result = curate_one(
            table[:, 0], given, neighbors, only, voting,
            method=method, gate=gate, min_lift=min_lift, keys=order, seed=seed,
        )  # fmt: skip
        result = finish(result, objective, control, neighbors)
    else:
        labels = neighborhoods(neighbors)
        voted, found = vote_each(
            table, neighbors, each, voting,
            method=method, gate=gate, min_lift=min_lift, keys=order, seed=seed,
        )  # fmt: skip
        case = Case(
            scores=table, values=values, spread=stated, repeats=second,
            gold=trusted, gold_weights=weights, n_scores=n_scores, neighbors=neighbors,
            means=NeighborMeans.build(neighbors),
            folds=deal(labels, order, N_FOLDS, seed, 0), voted=voted, seed=seed,
        )  # fmt: skip
        blocks = deal(labels, order, N_BLOCKS, seed, 1)
        result = finish_choice(
            case, given, blocks, method=method, objective=objective, control=control, found=found
        )
    for sentence in result.warnings:
        warnings.warn(sentence, Ds2Warning, stacklevel=2)
    return result


def _n_scores(noise: TransitionEstimate | Sequence[TransitionEstimate]) -> int:
    if isinstance(noise, Sequence):
        if not noise:
            raise InputError("'noise' holds no estimate. Pass one for each rater.")
        return len(noise[0].prior)
    return len(noise.prior)


def _expected(
    expected: object, table: np.ndarray, neighbors: Neighbors, n_scores: int
) -> np.ndarray:
    """(n, r) expected values where there are any, else the whole scores; NaN where unrated."""
    given = _same_shape("expected", expected, table, neighbors, n_scores)
    return np.where(np.isnan(given) | np.isnan(table), table, given)


def _same_shape(
    name: str, given: object, table: np.ndarray, neighbors: Neighbors, n_scores: int
) -> np.ndarray:
    if given is None:
        return np.full(table.shape, np.nan)
    array = check_table(name, given, neighbors, n_scores, whole=False)
    if array.shape != table.shape:
        raise InputError(f"'{name}' must have the shape of 'scores'. Got {array.shape}.")
    return array
