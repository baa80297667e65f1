"""`curate`: put better scores in the place of wrong ones, or leave them alone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial

import numpy as np
from jaxtyping import Shaped

from ds2.arrays import Features, Keys, Scores, Vectors
from ds2.checks import (
    check_choice,
    check_fraction,
    check_gold,
    check_int,
    check_like,
    check_rows,
    check_table,
)
from ds2.curation.auto import Choice, choose, reference_shares
from ds2.curation.bias import calibrated, covariate_columns, remove_covariate
from ds2.curation.candidates import CANDIDATES, Candidate, Case, Team, scored_alone
from ds2.curation.learned import learned_words, learning_rows, part_of
from ds2.curation.learners import Inputs
from ds2.curation.moments import NeighborMeans, NoEvidence
from ds2.curation.result import Curation, Evidence
from ds2.curation.scorer import LEARNING, N_BLOCKS, N_FOLDS, Errors, Skill, fit_scorer
from ds2.curation.vote import Voting, vote_each
from ds2.curation.words import choice_warnings, gold_needed, next_evidence, shared_bias
from ds2.errors import Caution, InputError, warn
from ds2.keys import check_keys, random_order_keys
from ds2.levels import nearest_level, to_levels
from ds2.neighbors import Neighbors, deal, neighborhoods
from ds2.noise import LOW_LIFT, TransitionEstimate
from ds2.noise.panel import hear, mean_z
from ds2.progress import part

__all__ = ["curate", "to_be_scored"]

METHODS = ("auto", *CANDIDATES)
#: What gold has taught may differ so far from what gold has judged: a correlation.
TAUGHT = 0.95

#: What may become of rows without a rating, and the share of them from which "auto" scores them.
UNRATED = ("auto", "score", "leave")
SCORED_FROM = 0.1
#: What to do first where trusted scores contradict the ratings.
SCORE_AGAIN = "Before more trusted scores are asked for, have 20 of these scored a second time."

Covariates = Mapping[str, np.ndarray | Sequence[object]]


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
    covariates: Covariates | None = None,
    control: Covariates | None = None,
    calibrate: Covariates | None = None,
    n_draws: int = 51,
    draw_share: float = 0.8,
    min_confidence: float = 0.5,
    gate: str = "warn",
    min_lift: float = LOW_LIFT,
    paper_floor: bool = False,
    vectors: Vectors | None = None,
    features: Features | None = None,
    unrated: str = "auto",
    fit_rows: int = 1_000_000,
    names: Sequence[str] | None = None,
    keys: Keys | None = None,
    seed: int = 0,
) -> Curation:
    """Curate the scores of one rater or several, by what raters, neighbours and gold say.

    * "raw": one rater's scores as they are; of several, the mean of z-scores over the ratings
      present.
    * "ds2": the curation of the DS² paper (arXiv 2410.10877) on the graph: a score is flagged in
      as many cases as the transition matrix says are wrong, where the neighbours agree least, over
      balanced draws; it is replaced where the confidence reaches ``min_confidence``. Several
      raters: each by itself, then the mean of z-scores.
    * "fused": the posterior of the raters alone (two or more). "fused+neighbors": with a prior
      that leans on the neighbours' posteriors as far as the raters' own words bear it out.
    * "soft": real-valued; raters and neighbours weighted by evidence that the rater itself did not
      give (another rater, gold, or repeats for the weight alone), cross-fitted.
    * "scorer": as "soft", and what a scorer learned from ``vectors`` and ``features`` predicts (of
      rows that it has not seen) is one more thing that the weights are learned for. It scores rows
      without any rating too. With one rater and neither gold nor repeats nothing tells the rater's
      errors from its judgement: then every row gets what the scorer and its neighbours say.
    * "auto": "raw", unless gold or left-out raters show that others are better (paired 95 %
      interval of the gain above 0), and then the one that gains most; the table is in
      ``evidence``, the law in `ds2.curation.auto`. One rater with fewer than 20 gold rows: "raw",
      since nothing can test a correction; so also where raters do not agree above chance. Gold that
      does not go with the ratings is said and not used. A rater who runs against the others is
      named and left out; one that is another once more counts once.

    Real-valued results are put on the level scale by rank: a value that exceeds a share q of the
    pool gets the level below which a share q of the levels lies (gold's levels as far as there is
    gold, else the raters'). No row's own gold is put in its
    place. The weights of "soft" are cross-fitted: none is learned from the row that it is applied
    to. "fused" learns one matrix per rater from all rows, gold among them once it no longer judges,
    and "ds2" takes the matrices of ``noise``.

    Rows without any rating stay NaN, unless a part of the pool was rated and the rest is scored
    (``unrated``). Predictions are shrunk and ratings are not, so that a mixture would fill the top
    with rated rows: where any row is scored, *all* rows get their expected score given everything
    that is known of them ("auto" is "scorer" then).

    Args:
        scores: (n,) or (n, r) whole numbers 0 … s − 1, NaN where missing.
        neighbors: the pool's neighbour graph.
        noise: the estimate for these scores, or for the rows that have any (where few have, on a
            graph of these rows alone); several raters: one each.
        method: see above.
        expected: like ``scores``, expected scores 0 … s − 1 (from log-probabilities), NaN where
            none; they stand in the place of the whole scores in "raw" and "soft".
        spread: like ``scores``, how uncertain a rater itself calls each rating (the standard
            deviation of its own distribution; only the order counts), NaN where unknown. "soft"
            lets uncertain ratings count less as far as the evidence bears that out.
        repeats: like ``scores``, second scores of the same rater. They can set the weight of the
            neighbours for one rater in "soft", and never rank a candidate.
        gold: (n,) trusted scores on 0 … s − 1 (may be fractions), NaN where unknown.
        gold_weights: (n,) inverse probabilities of having been asked for; default equal.
        objective: "rank" (order matters; judged by Spearman) or "level" (returns whole levels;
            judged by accuracy and quadratic kappa: one must be shown to rise, none may fall).
        covariates: name → (n,) numbers or labels that raters may be swayed by (length, source). A
            warning names those that the scores go with; in "auto" a gain that raters see must be
            there with them held fixed as well.
        control: likewise; their effect within neighbourhoods is removed from the curated scores.
        calibrate: name → (n,) labels (source, type of content): what raters give a label too much
            or too little, as trusted scores or three raters and more show it, is taken off the
            curated scores.
        n_draws: draws of the pool.
        draw_share: share of the distinct examples in each draw.
        min_confidence: replace a misrated score from this confidence on (the authors of DS² used
            0.3 to 0.5).
        gate: what method "ds2" does where the lower end of lift's interval is below ``min_lift``:
            "warn" (correct, and say so), "refuse" (keep the raw scores, and say so) or "off".
        min_lift: see ``gate``.
        paper_floor: flag 5 % of a score that the matrix calls right, as the published code does.
        vectors: (n, d) unit rows, for "scorer" and for rows without a rating.
        features: (n, f) as `ds2.surface_features` gives, likewise; None learns from vectors alone.
        unrated: with ``vectors``, what becomes of rows without any rating: "score" them, "leave"
            them, or "auto": score them where they are a tenth of the pool or more. They are left
            where the scorer does not predict held-out ratings above chance.
        fit_rows: where more rows than that are rated, what "auto", "soft", "fused" and "scorer"
            learn they learn on so many at most, in whole neighbourhoods, those with trusted scores
            first; it is applied to all. A warning says so.
        names: (r,) what sentences call the raters. Default: "rater 1" and so on.
        keys: (n,) whole numbers that identify the content (Pool.keys), so that the order of the
            rows does not matter. Default: the row number.
        seed: the same seed gives the same curation.

    Returns:
        `Curation`.

    Raises:
        InputError: shapes or settings that do not fit; raters that cancel each other out; a method
            whose evidence is not there.

    Warns:
        Ds2Warning: for each sentence in the result's ``warnings``.
    """
    method = check_choice("method", method, METHODS)
    objective = check_choice("objective", objective, ("rank", "level"))
    voting = Voting(
        n_draws=check_int("n_draws", n_draws, low=1),
        draw_share=check_fraction("draw_share", draw_share, open_low=True),
        min_confidence=check_fraction("min_confidence", min_confidence),
        paper_floor=paper_floor,
        gate=check_choice("gate", gate, ("warn", "refuse", "off")),
        min_lift=check_fraction("min_lift", min_lift),
    )
    seed, most = check_int("seed", seed, low=0), check_int("fit_rows", fit_rows, low=100)
    table, each, n_scores = _read(scores, noise, neighbors.n)
    order = check_keys(keys, neighbors.n)
    unseen = np.isnan(table).all(axis=1)
    trusted, weights = _gold_of_rated(unseen, gold, n_scores, gold_weights)
    check_choice("unrated", unrated, UNRATED)
    again = check_like("repeats", repeats, table, n_scores)
    inputs = None if vectors is None else Inputs.of(vectors, features)
    if inputs is not None:
        check_rows("vectors", inputs.vectors, neighbors.n)
    labels = neighborhoods(neighbors)
    blocks = deal(labels, order, N_BLOCKS, seed, 1)
    heard = hear(table, trusted, weights, blocks, names)
    share, rest = (0.6, 0.95) if len(each) > 1 else (0.8, 1.0)
    with part(0.0, share):
        voted, flags, gate_says = vote_each(
            table, neighbors, each, voting, method=method, names=heard.names, keys=order, seed=seed
        )
    seen = covariates or {}
    case = Case(
        scores=table,
        values=_values(expected, table, n_scores),
        spread=_spread(spread, table),
        repeats=again,
        gold=heard.gold,
        gold_weights=heard.weights,
        n_scores=n_scores,
        neighbors=neighbors,
        means=cache(lambda: NeighborMeans.build(neighbors)),
        folds=deal(labels, order, N_FOLDS, seed, 0),
        blocks=blocks,
        panel=heard.panel,
        names=heard.names,
        voted=voted,
        fixed=partial(covariate_columns, seen, neighbors.n),
        seed=seed,
        inputs=inputs,
        order=None if inputs is None else random_order_keys(order, seed, LEARNING),
        learns=learning_rows(
            labels,
            order,
            ~unseen,
            (heard.weights > 0) | ~np.isnan(again).all(axis=1),
            most=most,
            seed=seed,
        ),
    )
    choice: Choice | None = None
    used = method == "ds2"
    candidate, skill, said = _score_rest(case, unseen, unrated, method, covariates=seen, keys=order)
    scored = None if candidate is None else unseen
    if candidate is not None:
        method = "scorer"
    elif method == "auto":
        with part(share, rest):
            choice = choose(case if case.learns is None else part_of(case), objective)
        method, candidate = choice.name, _final(case, choice)
        said = (*said, *choice_warnings(case, choice))
    else:
        candidate = _asked_for(case, method)
        refused = len(gate_says) if gate == "refuse" else 0
        if method == "ds2" and refused == sum(one is not None for one in each):
            method = "raw"  # nobody was corrected
    values, se, raw = _on_levels(
        case,
        method,
        candidate,
        objective=objective,
        control=control or {},
        calibrate=calibrate or {},
    )
    if scored is None:
        values = np.where(unseen, np.nan, values)  # a scorer says more than was asked
    else:
        se = _with_unseen(candidate, values, se, raw, unseen)
    flags = flags if method == "ds2" else None
    evidence = choice.evidence if choice else ()
    if len(each) == 1 and each[0] is not None and not evidence:
        lift, chosen = each[0].lift, method == "ds2"
        evidence = (Evidence(lift.value, lift.low, lift.high, "ds2", "lift", chosen=chosen),)
    result = Curation(
        scores=values,
        observed=np.asarray(scores, dtype=np.float64),
        method=method,
        misrated=None if flags is None else flags.flag_rate > 0.5,
        confidence=None if flags is None else flags.confidence,
        suggestion=None if flags is None else flags.suggestion,
        gate=_outcome(gate, used=used, fired=bool(gate_says)),
        evidence=evidence,
        warnings=(
            *heard.sentences,
            *said,
            *gate_says,
            *(learned_words(case) if _has_learned(method, choice) else ()),
            *shared_bias(case, seen, trusted=heard.agrees),
        ),
        se=se,
        posterior=candidate.posterior.shares if candidate.posterior else None,
        scored=scored,
        skill=skill,
        raw=raw,
        next_evidence=_next(choice, heard.contradiction),
        contradiction=str(heard.contradiction or ""),
        gold_needed=gold_needed(choice.case, choice) if choice else 0,
    )
    for sentence in result.warnings:
        warn(sentence)
    return result


def _has_learned(method: str, choice: Choice | None) -> bool:
    """Whether anything was learned, or judged, on a part of the pool if it is large."""
    return method not in ("raw", "ds2") or (choice is not None and bool(choice.judgements))


def _outcome(gate: str, *, used: bool, fired: bool) -> str:
    """What became of the gate of method "ds2"."""
    if not used:
        return "unused"
    if fired:
        return "fired"
    return "off" if gate == "off" else "passed"


def _next(choice: Choice | None, contradiction: Caution | None) -> str:
    """What evidence to ask for next; empty where nothing was chosen by evidence."""
    if choice is None:
        return ""
    return SCORE_AGAIN if contradiction else next_evidence(choice.case, choice)


def _asked_for(case: Case, name: str) -> Candidate:
    """The candidate that was named, from every rater that is there."""
    team = replace(case.everyone, mean=np.arange(case.n_raters))
    try:
        if name == "scorer" and case.n_raters == 1:
            return _scored(case, team)
        return CANDIDATES[name](case, team, True)
    except NoEvidence as reason:
        raise InputError(
            f"Method '{name}' goes by evidence that a rater itself did not give, and {reason}. Add "
            "trusted scores or another rater, or use 'auto'."
        ) from None


def _final(case: Case, choice: Choice) -> Candidate:
    """What was chosen; gold, which has judged, may now teach a posterior too."""
    chosen = choice.candidates[choice.name]
    if case.learns is not None:  # judged on a part: now for all rows
        chosen = CANDIDATES[choice.name](case, case.everyone, False)
    if chosen.posterior is None or not case.has_gold:
        return chosen
    taught = CANDIDATES[choice.name](case, case.everyone, True)
    both = ~np.isnan(taught.values) & ~np.isnan(chosen.values)
    same = np.corrcoef(taught.values[both], chosen.values[both])[0, 1]
    return taught if same >= TAUGHT else chosen


def _on_levels(
    case: Case,
    name: str,
    candidate: Candidate,
    *,
    objective: str,
    control: Covariates,
    calibrate: Covariates,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """(n,) values on the level scale, their standard errors, and what is said without curation."""
    shares = reference_shares(case)
    levels = np.arange(case.n_scores)
    raw = case.values[:, 0].copy()
    if case.n_raters > 1:
        raw = to_levels(mean_z(case.values), shares)
    whole = case.n_raters == 1 and name in ("raw", "ds2")
    posterior, se = candidate.posterior, None
    spread = float(np.sqrt(shares @ levels**2 - (shares @ levels) ** 2))
    if whole:
        values = (raw if name == "raw" else case.voted[:, 0]).copy()
    else:
        values = to_levels(_filled(case, candidate.values), shares)
        if posterior is not None:
            se = posterior.se
        elif candidate.se is not None:
            se = candidate.se * spread
        if se is not None:  # of rows that were filled
            se = np.where(np.isnan(se) & ~np.isnan(values), spread, se)
    for covariate in control.values():
        values = remove_covariate(values, covariate, case.neighbors)
    for labels in calibrate.values():
        values = calibrated(values, labels, case.values, case.gold, case.gold_weights)
    changed = bool(control or calibrate)
    if changed and whole:
        values = np.clip(values, np.nanmin(case.values), np.nanmax(case.values))
    elif changed:
        values = to_levels(values, shares)
    if objective == "level":
        values = nearest_level(values)
        if posterior is not None and not changed:
            values = np.where(np.isnan(posterior.mode), values, posterior.mode)
    return values, se, raw


def _with_unseen(
    candidate: Candidate,
    values: np.ndarray,
    se: np.ndarray | None,
    raw: np.ndarray,
    rows: np.ndarray,
) -> np.ndarray:
    """(n,) Standard errors, those of the ``rows`` without a rating from predictions of the others.

    Args:
        candidate: what was scored.
        values: (n,) the same in levels.
        se: (n,) standard errors of rated rows.
        raw: (n,) what the ratings say.
        rows: (n,) those without one.
    """
    assert candidate.unseen is not None, "a scorer says it"
    order = np.argsort(candidate.values, kind="stable")
    alone = np.interp(candidate.unseen, candidate.values[order], values[order])
    rated = ~np.isnan(raw)
    errors = Errors.of(alone[rated], raw[rated])(values)
    if se is None or np.array_equal(candidate.unseen, candidate.values):
        return errors
    return np.where(rows, errors, se)


def _filled(case: Case, values: np.ndarray) -> np.ndarray:
    """(n,) values, and where there is none what the mean of those not left out says, by regression.

    Where only a rater who was left out has rated, nothing is known: the mean.
    """
    raw = mean_z(case.values[:, case.everyone.mean])
    gone = np.isnan(values) & ~np.isnan(case.scores).all(axis=1)
    both = ~np.isnan(values) & ~np.isnan(raw)
    if not gone.any() or not both.any():
        return values
    slope, at = 0.0, float(values[both].mean())
    if both.sum() >= 2 and raw[both].std() > 1e-12:
        slope, at = np.polyfit(raw[both], values[both], 1)
    said = np.where(np.isnan(raw), float(values[both].mean()), at + slope * np.nan_to_num(raw))
    return np.where(gone, said, values)


def _values(expected: object, table: np.ndarray, n_scores: int) -> np.ndarray:
    """(n, r) the scores, expected ones in their place where there are any."""
    if expected is None:
        return table
    given = check_like("expected", expected, table, n_scores)
    return np.where(np.isnan(given) | np.isnan(table), table, given)


def _gold_of_rated(
    unseen: np.ndarray, gold: object, n_scores: int, weights: object
) -> tuple[np.ndarray, np.ndarray]:
    """As `check_gold`, and none on rows without a rating."""
    trusted, weighs = check_gold(gold, len(unseen), n_scores, weights)
    if gold is None:
        return trusted, weighs
    return np.where(unseen, np.nan, trusted), np.where(unseen, 0.0, weighs)


def _spread(spread: object, scores: np.ndarray) -> np.ndarray:
    """(n, r) floats of the shape of ``scores``, 0 or more, NaN where unknown."""
    table = check_like("spread", spread, scores)
    if (table < 0).any():
        raise InputError("'spread' must be 0 or more (NaN where unknown).")
    return table


def _read(
    scores: object, noise: TransitionEstimate | Sequence[TransitionEstimate], n: int
) -> tuple[np.ndarray, tuple[TransitionEstimate | None, ...], int]:
    """(n, r) scores, an estimate for each rater that was made from them, and how many levels.

    An estimate is None where the rater has none. It may have been made from all rows, or, where
    many are unrated, from the others.
    """
    if isinstance(noise, Sequence) and not noise:
        raise InputError("'noise' holds no estimate. Pass one for each rater.")
    n_scores = len((noise[0] if isinstance(noise, Sequence) else noise).prior)
    table = check_table("scores", scores, n_rows=n, n_scores=n_scores)
    r = table.shape[1]
    each: tuple[TransitionEstimate | None, ...]
    if isinstance(noise, Sequence):
        each = tuple(noise)
    elif noise.n_raters == 1 and not noise.raters:
        each = (noise,)
    else:
        each = tuple(
            None if alone is None else noise.rater(i) for i, alone in enumerate(noise.raters)
        )
    if len(each) != r:
        raise InputError(
            f"'noise' must hold an estimate for each of the {r} raters. Got {len(each)}. "
            "Estimate it from the same table of scores (estimate_transition)."
        )
    unseen = int(np.isnan(table).all(axis=1).sum())
    unseen = unseen if unseen >= SCORED_FROM * n else 0
    for i, (one, column) in enumerate(zip(each, table.T, strict=True)):
        missing = int(np.isnan(column).sum())
        if one is not None and one.n_missing not in (missing, missing - unseen):
            which = "" if r == 1 else f" of rater {i + 1}"
            raise InputError(
                f"'noise'{which} was estimated from other scores: it counts {one.n_missing} "
                f"missing, these have {missing}."
            )
    return table, each, n_scores


def to_be_scored(rows: np.ndarray, unrated: str) -> bool:
    """Whether rows without a rating, marked in (n,), are to be scored by one of `UNRATED`."""
    some = bool(rows.any())
    return some and (unrated == "score" or (unrated == "auto" and bool(rows.mean() >= SCORED_FROM)))


def _score_rest(
    case: Case,
    rows: np.ndarray,
    unrated: str,
    method: str,
    *,
    covariates: Covariates,
    keys: np.ndarray,
) -> tuple[Candidate | None, Skill | None, tuple[Caution, ...]]:
    """Score every row where a part of the pool has no rating, or say why not.

    Predictions are shrunk and ratings are not, so that a mixture of both would fill the top with
    rated rows: every row gets its expected score given all that is known of it.

    Args:
        case: what is known.
        rows: (n,) those without a rating.
        unrated: one of `UNRATED`.
        method: what was asked for.
        covariates: what the skill may be nothing but.
        keys: (n,) of the content.

    Returns:
        The expected scores, None where rows were left without; what the scorer is worth, None where
        none was asked for, or could be fitted; and what a user should know.
    """
    asked = method in ("auto", "scorer") and to_be_scored(rows, unrated)
    if not asked or case.inputs is None:
        return None, None, ()
    n = int(rows.sum())

    def left(reason: object) -> tuple[Caution]:
        says = f"{n:,} rows without a rating were left without a score: {reason}"
        return (Caution("rows-left-unscored", says, rows=n),)

    rating = to_levels(mean_z(case.values[:, case.everyone.mean]), reference_shares(case))
    if case.learns is not None:
        rating = np.where(case.learns, rating, np.nan)
    try:
        skill = fit_scorer(
            rating,
            case.inputs.vectors,
            case.inputs,
            neighbors=case.neighbors,
            covariates=covariates,
            keys=keys,
            seed=case.seed,
        ).skill
    except InputError as reason:
        return None, None, left(reason)
    if not skill.explains:
        return None, skill, left(skill.says()[0])
    try:
        return _scored(case, case.everyone), skill, skill.says()
    except NoEvidence as reason:
        return None, skill, left(f"{reason}.")


def _scored(case: Case, team: Team) -> Candidate:
    """What the scorer and raters say; it and the neighbours, where nobody says who errs how."""
    try:
        return CANDIDATES["scorer"](case, team, True)
    except NoEvidence:
        return scored_alone(case)
