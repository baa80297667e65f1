"""Which candidate to trust: raw, unless the evidence says that another is better.

The law of `auto`, never silently worse than raw:

1. One rater and no gold: raw.
2. A judge has not taught: gold, or each rater in turn, judging what the others give without it.
   Where there are only two, each tells what the other's levels mean, never against their order, on
   the neighbourhoods that it does not judge.
3. Raters are evidence where they agree above chance, those that are one counted once.
4. What is applied is what was judged: a fit to all raters that is far from the fits without one of
   them, or farther from raw than they were, is out.
5. Gold that does not go with the ratings is no evidence.

An agreement with rater j is that with the truth times j's reliability l[j], so gains are pooled as
Σ n[j] l[j] d[j] / Σ n[j] l[j]², n[j] the rows that j rated. A gain counts where its simultaneous
interval is above 0, and the mean truth of the top 5 % must not fall, nor the gain vanish once
covariates are held fixed.

Where there is gold as well, what raters see of a gain may be theirs alone (a bias that they share)
or miss what only gold can know (which rater to believe). Something of correlation δ with a score
moves the difference of two candidates by δ √(2 (1 − c)), c their correlation: that is the standard
deviation of the raters' bias. δ is not known, so three sizes of it compete, each weighed by how
well it explains that raters and gold differ as they do. Gold that is too little to show anything
does not stop a gain that raters show, unless it is surely below half of what they claim, or a
standard error below 0.

A judge is gold, or a rater that was left out; what it judges was learned without its word on the
rows that it judges. Every figure keeps what each neighbourhood contributes to it (`ds2.measures`),
so differences and sums over judges have the interval that they should have.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ds2.curation.candidates import CANDIDATES, Candidate, Case, Team
from ds2.curation.moments import (
    GoldRows,
    NoEvidence,
    Witnesses,
    correlations,
    shared_loadings,
)
from ds2.curation.result import Evidence
from ds2.levels import level_shares, nearest_level, to_levels
from ds2.measures import (
    Interval,
    Measured,
    effective_rows,
    measure,
    measure_given,
    student,
    weighted_sum,
)
from ds2.noise.panel import LEAST_GOLD, mean_z
from ds2.progress import part, steps

__all__ = ["Choice", "Judge", "Judgement", "choose", "judge", "reference_shares"]

#: By objective: the figures, the leading one first. One must be shown to rise, and none may fall.
FIGURES: dict[str, tuple[str, str]] = {"rank": ("spearman", "top"), "level": ("accuracy", "kappa")}
NAMES = {
    "spearman": "Spearman",
    "top": "mean of the top 5 %",
    "given": "Spearman given the covariates",
    "accuracy": "accuracy",
    "kappa": "quadratic kappa",
}
#: Rows of a judge below which nothing is measured.
LEAST_ROWS = 20
#: What raters may share that is not quality, or miss: correlations, equally likely beforehand.
BIASES = np.array([0.03, 0.1, 0.3])
#: The fit to all raters correlates at least so with the mean of those without one …
NEAR = 0.9
#: … and at most so much less with raw than they did.
FARTHER = 0.1

_Gains = dict[str, Interval]


@dataclass(frozen=True, slots=True)
class Judge:
    """A judge and the candidates before it.

    Attributes:
        name: "gold", or a rater and its number.
        truth: (n,) what the judge says, NaN where nothing.
        weights: (n,) weights of its rows.
        reliability: correlation of the judge with the truth (1 for gold): an agreement is that
            much smaller than with the truth.
        candidates: name → (n,) values.
    """

    name: str
    truth: np.ndarray
    weights: np.ndarray
    reliability: float
    candidates: Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Judgement:
    """How far each candidate agrees with one judge by one figure.

    Attributes:
        judge: its name.
        figure: a measure of `ds2.measures`, or "given": the rank correlation without covariates.
        reliability: as in `Judge`.
        found: candidate → its figure, with the parts of each block.
        n: rows.
    """

    judge: str
    figure: str
    reliability: float
    found: Mapping[str, Measured]
    n: int

    @property
    def measure(self) -> str:
        """The judge and the figure, in words."""
        return f"{self.judge}: {NAMES[self.figure]}"

    def gain(self, name: str, other: str = "raw") -> Measured:
        """How much more one candidate agrees than another."""
        return self.found[name] - self.found[other]


def judge(one: Judge, blocks: np.ndarray, objective: str, fixed: np.ndarray) -> list[Judgement]:
    """Judge every candidate; empty where the judge has too few rows.

    Args:
        one: the judge and the candidates.
        blocks: (n,) rows of one block count as one.
        objective: "rank" or "level".
        fixed: (n, c) covariates; where there are any, ranks are judged without them as well.
    """
    table = np.stack(list(one.candidates.values()), axis=1)
    rows = ~np.isnan(one.truth) & ~np.isnan(table).any(axis=1) & (one.weights > 0)
    if rows.sum() < LEAST_ROWS or np.ptp(one.truth[rows]) == 0 or np.ptp(blocks[rows]) == 0:
        return []
    truth, block = one.truth[rows], blocks[rows]
    weights = one.weights[rows]
    figures: tuple[str, ...] = FIGURES[objective]
    if objective == "rank" and fixed.shape[1]:
        figures = (*figures, "given")
    n_blocks = int(blocks.max()) + 1
    found = []
    for figure in figures:
        each = {}
        for name, values in one.candidates.items():
            if figure == "given":
                agrees = measure_given(values[rows], truth, fixed[rows], weights)
            else:
                agrees = measure(figure, values[rows], truth, weights)
            each[name] = agrees.by_block(block, n_blocks)
        if all(np.isfinite(part.value) for part in each.values()):
            found.append(Judgement(one.name, figure, one.reliability, each, int(rows.sum())))
    return found


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen and why.

    Attributes:
        name: the candidate.
        candidates: those fitted to everything, by name.
        judgements: the evidence.
        evidence: the same as rows of a table.
        gains: candidate → gain over raw in the leading figure, all evidence together.
        case: what was judged: the pool, or the part of it that teaches.
        unstable: candidates that were shown better and left out by rule 4.
    """

    name: str
    candidates: Mapping[str, Candidate]
    judgements: tuple[Judgement, ...]
    evidence: tuple[Evidence, ...]
    gains: Mapping[str, Interval]
    case: Case
    unstable: tuple[str, ...] = ()


def choose(case: Case, objective: str) -> Choice:
    """Fit and compare every candidate.

    Args:
        case: what is known; gold that does not go with the ratings has been taken out.
        objective: "rank" or "level".
    """
    share = 1 / (1 + len(case.panel.heard) * (len(case.panel.heard) > 1))
    with part(0.0, share):
        candidates = _fits(case, case.everyone)
    with part(share, 1.0):
        judges, held = _judges(case, candidates, objective)
    fixed = case.fixed()
    judgements = [found for one in judges for found in judge(one, case.blocks, objective, fixed)]
    gains, shown, by_gold = _gains(judgements, candidates, objective)
    unstable = [
        name for name in shown if name not in by_gold and not _as_judged(name, candidates, held)
    ]
    chosen = next((name for name in shown if name not in unstable), "raw")
    return Choice(
        name=chosen,
        candidates=candidates,
        judgements=tuple(judgements),
        evidence=_table(judgements, chosen),
        gains=gains,
        case=case,
        unstable=tuple(unstable),
    )


def reference_shares(case: Case) -> np.ndarray:
    """(s,) shares of the levels: gold's as far as there is gold, the raters' as 20 rows more."""
    shares = level_shares(case.values, case.n_scores)
    if not case.has_gold:
        return shares
    trusted = effective_rows(case.gold_weights)
    gold = level_shares(case.gold, case.n_scores, case.gold_weights)
    return np.asarray((trusted * gold + LEAST_GOLD * shares) / (trusted + LEAST_GOLD))


def _fits(case: Case, team: Team) -> dict[str, Candidate]:
    """Every candidate that the team gives, "raw" first."""
    found = {}
    for name, make in steps(CANDIDATES.items()):
        if name == "ds2" and team.witness is not None:
            continue  # the vote on one rater says little of the mean of two votes
        try:
            found[name] = make(case, team, False)
        except NoEvidence:
            continue
    return found


def _judges(
    case: Case, candidates: Mapping[str, Candidate], objective: str
) -> tuple[list[Judge], list[dict[str, Candidate]]]:
    """Gold and the raters as judges, and what was fitted without each of these."""

    def shown(found: Mapping[str, Candidate]) -> dict[str, np.ndarray]:
        if objective == "rank":
            return {name: one.values for name, one in found.items()}
        shares = reference_shares(case)
        return {  # a level for each row: the posterior's mode, or the value's place on the scale
            name: one.posterior.mode
            if one.posterior
            else nearest_level(to_levels(one.values, shares))
            for name, one in found.items()
        }

    judges, held = [], []
    if (case.gold_weights > 0).sum() >= LEAST_GOLD:
        judges.append(Judge("gold", case.gold, case.gold_weights, 1.0, shown(candidates)))
    loadings = _loadings(case)
    for j, load in steps(loadings.items()):
        fits = _fits(case, case.without(j))
        held.append(fits)
        weights = np.ones(len(case.values))
        name = f"{case.names[j]} held out"
        judges.append(Judge(name, case.scores[:, j], weights, load, shown(fits)))
    return judges, held


def _loadings(case: Case) -> dict[int, float]:
    """Each rater's correlation with what the raters share; empty where they cannot judge."""
    heard = list(case.panel.heard)
    if len(heard) < 2 or not case.panel.agrees:
        return {}
    everywhere = np.ones(len(case.values), dtype=bool)
    values = case.values[:, heard]
    matrix, pairs = correlations(values, everywhere)
    witnesses = Witnesses(np.empty((len(values), 0)), case.gold, case.gold_weights)
    gold = GoldRows.of(witnesses, everywhere)
    with_gold = gold.correlation(values) if gold.n else None
    try:
        loadings = shared_loadings(matrix, pairs, with_gold, gold.n)
    except NoEvidence:
        return {}
    return {m: float(load) for m, load in zip(heard, loadings, strict=True) if load > 0}


def _gains(
    judgements: list[Judgement], candidates: Mapping[str, Candidate], objective: str
) -> tuple[dict[str, Interval], list[str], set[str]]:
    """Gains over raw in the leading figure, who is shown better, and who by gold alone.

    Gold alone shows, or gold and the raters together, or the raters, where gold allows it; the
    raters' word must hold with covariates fixed. Those shown better are in the order of their
    gains, with covariates fixed where that is the raters' word alone: of what raters may share, the
    best candidate would take most.
    """
    rivals = [name for name in candidates if name != "raw"]
    by_gold = [one for one in judgements if one.judge == "gold"]
    by_raters = [one for one in judgements if one.judge != "gold"]
    competing = len(rivals) * (2 if objective == "level" else 1)
    gains, better, alone = {}, {}, set()
    for name in rivals:
        alike = _together(candidates[name].values, candidates["raw"].values)
        apart = float(np.sqrt(max(2 * (1 - alike), 0.0)))

        def gained(of: list[Judgement], name: str = name, apart: float = apart) -> _Gains:
            return _found(of, name, apart, competing)

        together, seen = gained(judgements), gained(by_raters)
        leading = together.get(FIGURES[objective][0])
        if leading is None:
            continue
        gains[name] = leading
        if _rises(gained(by_gold), objective):
            alone.add(name)
        fixed = "given" not in seen or seen["given"].low > 0
        shown = fixed and by_gold and _rises(together, objective)
        shown = shown or (
            fixed
            and _rises(seen, objective)
            and all(
                _allows(one.gain(name), seen[one.figure]) for one in by_gold if one.figure in seen
            )
        )
        if name in alone or shown:
            better[name] = seen.get("given", leading).value
    if alone:
        better = {name: gains[name].value for name in better}
    return gains, sorted(better, key=lambda name: -better[name]), alone


def _found(judgements: list[Judgement], name: str, apart: float, competing: int) -> _Gains:
    """Figure → gain of a candidate, as far as there is one."""
    every = {
        figure: combined(
            [one for one in judgements if one.figure == figure], name, apart, competing
        )
        for figure in dict.fromkeys(one.figure for one in judgements)
    }
    return {figure: gain for figure, gain in every.items() if gain is not None}


def _rises(found: Mapping[str, Interval], objective: str) -> bool:
    """Whether the leading figure is shown to rise and the others do not fall."""
    known = [found[figure] for figure in FIGURES[objective] if figure in found]
    if objective == "level":
        return any(one.low > 0 for one in known) and all(one.value >= 0 for one in known)
    leads = FIGURES[objective][0] in found and known[0].low > 0
    return leads and all(one.high > 0 for one in known)


def _allows(gold: Measured, claim: Interval) -> bool:
    """Whether gold, too little to show a gain by itself, allows one that raters claim.

    They speak of one rater less, who gains more: half of the claim is asked for.
    """
    return gold.value > max(claim.value / 2 - 1.64 * gold.error, -gold.error)


def combined(
    judgements: list[Judgement], name: str, apart: float, competing: int = 1
) -> Interval | None:
    """How much a candidate gains over raw, all judges of one figure together; None without any.

    Args:
        judgements: of every judge.
        name: the candidate.
        apart: √(2 (1 − c)), c its correlation with raw.
        competing: how many candidates there are: the intervals are simultaneous.
    """
    gold = [one.gain(name) for one in judgements if one.judge == "gold" and name in one.found]
    raters = _raters_gain([one for one in judgements if one.judge != "gold"], name)
    if gold and raters is not None:
        return _pooled(gold[0], raters, BIASES * apart, competing)
    alone = gold[0] if gold else raters
    return None if alone is None else alone.interval(competing=competing)


def _raters_gain(judgements: list[Judgement], name: str) -> Measured | None:
    """The gain that left-out raters see; None where none of them can tell.

    Where those left without a judge say nothing of each other, there is no candidate but raw: no
    gain.
    """
    mass = sum(one.n * one.reliability**2 for one in judgements)
    told = [one for one in judgements if name in one.found]
    if not told or not mass > 0:
        return None
    gains = [one.gain(name) for one in told]
    return weighted_sum(gains, [one.n * one.reliability / mass for one in told])


def _pooled(gold: Measured, raters: Measured, biases: np.ndarray, competing: int) -> Interval:
    """Gold's gain and the raters' together, the latter with a bias of one of these sizes (b,)."""
    gold_variance = max(gold.error**2, 1e-12)
    variances = np.maximum(raters.error**2 + biases**2, 1e-12)
    both = gold_variance + variances
    logs = -((gold.value - raters.value) ** 2) / (2 * both) - np.log(both) / 2
    chances = np.exp(logs - logs.max())
    chances /= chances.sum()
    means = (gold.value * variances + raters.value * gold_variance) / both
    value = float(chances @ means)
    spread = chances @ (gold_variance * variances / both + (means - value) ** 2)
    error = student(gold.n_effective, competing) * float(np.sqrt(spread))
    return Interval(value, value - error, value + error)


def _as_judged(
    name: str, candidates: Mapping[str, Candidate], held: list[dict[str, Candidate]]
) -> bool:
    """Rule 4: whether the fit to all raters is what the fits without one of them were."""
    whole, raw = candidates[name].values, candidates["raw"].values
    parts = [fits[name].values for fits in held if name in fits]
    before = [_together(fits[name].values, fits["raw"].values) for fits in held if name in fits]
    near = _together(whole, mean_z(np.stack(parts, axis=1)))
    return near >= NEAR and _together(whole, raw) >= min(before) - FARTHER


def _together(one: np.ndarray, two: np.ndarray) -> float:
    """Correlation where both have a value; 0 where it is not defined."""
    both = ~np.isnan(one) & ~np.isnan(two)
    if both.sum() < 3 or one[both].std() < 1e-12 or two[both].std() < 1e-12:
        return 0.0
    return float(np.corrcoef(one[both], two[both])[0, 1])


def _table(judgements: list[Judgement], chosen: str) -> tuple[Evidence, ...]:
    rows, none = [], Interval(float("nan"))
    for found in judgements:
        for name, agreement in found.found.items():
            ends = agreement.interval()
            gain = none if name == "raw" else found.gain(name).interval()
            rows.append(
                Evidence(
                    ends.value, ends.low, ends.high, name, found.measure,
                    chosen=name == chosen, difference=gain, n=found.n,
                    judge="gold" if found.judge == "gold" else "rater",
                )
            )  # fmt: skip
    return tuple(rows)
