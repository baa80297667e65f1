"""Which candidate to trust: raw, unless the evidence says that another is better.

Of the candidates whose gain over raw has an interval above 0, the one with the largest gain. Levels
have two figures, accuracy and quadratic kappa: one must be shown to rise and the other must not
fall, since a value pulled to the middle can agree better by kappa and be right less often.

Gold judges the candidates as they would be applied. Each rater in turn judges what the others give
without it; since r − 1 raters gain more from neighbours than r do, every candidate is fitted anew
for the raters that it has. An agreement with rater j is that with the truth times j's reliability
l[j], so the gains are pooled as Σ l[j] d[j] / Σ l[j]².

Where there is gold as well, what raters see of a gain may be theirs alone (a bias that they share)
or miss what only gold can know (which rater to believe). Something of correlation δ with a score
moves the difference of two candidates by δ √(2 (1 − c)), c their correlation: that is the standard
deviation of the raters' bias. δ is not known, so three sizes of it compete, each weighed by how
well it explains that raters and gold differ as they do.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ds2.curation.candidates import CANDIDATES, Candidate, Case
from ds2.curation.evidence import Judgement, Measure, judge
from ds2.curation.levels import level_shares, to_levels
from ds2.curation.loadings import NoEvidence, correlations, one_factor
from ds2.curation.moments import GoldRows, Witnesses
from ds2.curation.result import Evidence

__all__ = ["LEAST_GOLD", "Choice", "as_levels", "choose"]

#: What raters may share that is not quality, or miss: correlations, equally likely beforehand.
BIASES = np.array([0.03, 0.1, 0.3])
LEAST_GOLD = 20


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen and why.

    Attributes:
        name: the candidate.
        candidates: those fitted to everything, by name.
        agreements: the evidence.
        evidence: the same as rows of a table.
        loadings: (r,) correlation of each rater with what the raters share, or None.
        gains: candidate → gain over raw, with its interval, all evidence together.
        without: why a candidate is not there.
    """

    name: str
    candidates: Mapping[str, Candidate]
    agreements: tuple[Judgement, ...]
    evidence: tuple[Evidence, ...]
    loadings: np.ndarray | None
    gains: Mapping[str, tuple[float, float, float]]
    without: Mapping[str, str]


def choose(case: Case, blocks: np.ndarray, objective: str, seed: int) -> Choice:
    """Fit and compare every candidate.

    Args:
        case: what is known.
        blocks: (n,) for the bootstrap.
        objective: "rank" or "level".
        seed: same seed, same choice.
    """
    everyone = np.arange(case.n_raters)
    names = [name for name in CANDIDATES if case.n_raters > 1 or not name.startswith("fused")]
    candidates: dict[str, Candidate] = {}
    without: dict[str, str] = {}
    for name in names:
        try:
            candidates[name] = CANDIDATES[name](case, everyone, None, False)
        except NoEvidence as reason:
            without[name] = str(reason)
    loadings = _loadings(case)
    rng = np.random.default_rng([seed, 7])
    agreements: list[Judgement] = []
    for measure in _measures(case, candidates, loadings, objective):
        agreements += judge(measure, blocks, objective, rng)
    gains, shown = _gains(agreements, candidates)
    chosen = max(shown, key=lambda name: gains[name][0], default="raw")
    return Choice(
        name=chosen,
        candidates=candidates,
        agreements=tuple(agreements),
        evidence=_table(agreements, chosen),
        loadings=loadings,
        gains=gains,
        without=without,
    )


def _gains(
    agreements: list[Judgement], candidates: Mapping[str, Candidate]
) -> tuple[dict[str, tuple[float, float, float]], list[str]]:
    """Gains over raw in the leading figure, and who is shown better in one and falls in none."""
    figures = dict.fromkeys(found.figure for found in agreements)
    gains, shown = {}, []
    for name, candidate in candidates.items():
        if name == "raw":
            continue
        apart = _apart(candidate, candidates["raw"])
        found = [
            combined([a for a in agreements if a.figure == figure], name, "raw", apart)
            for figure in figures
        ]
        known = [gain for gain in found if gain is not None]
        if not known:
            continue
        gains[name] = known[0]
        if any(low > 0 for _, low, _ in known) and all(value >= 0 for value, _, _ in known):
            shown.append(name)
    return gains, shown


def as_levels(case: Case, candidate: Candidate) -> np.ndarray:
    """(n,) a level for each row: the posterior's mode, or the value's place on the level scale."""
    if candidate.posterior is not None:
        return candidate.posterior.mode
    return np.floor(to_levels(candidate.values, reference_shares(case)) + 0.5)


def reference_shares(case: Case) -> np.ndarray:
    """(s,) shares of the levels: gold's as far as there is gold, the raters' as 20 rows more."""
    shares = level_shares(case.values, case.n_scores)
    if not case.has_gold:
        return shares
    weights = case.gold_weights
    trusted = float(weights.sum() ** 2 / (weights**2).sum())
    gold = level_shares(case.gold, case.n_scores, weights)
    return np.asarray((trusted * gold + LEAST_GOLD * shares) / (trusted + LEAST_GOLD))


def _loadings(case: Case) -> np.ndarray | None:
    if case.n_raters < 2:
        return None
    everywhere = np.ones(len(case.values), dtype=bool)
    matrix, pairs = correlations(case.values, everywhere)
    witnesses = Witnesses(np.empty((len(case.values), 0)), case.gold, case.gold_weights)
    gold = GoldRows.of(witnesses, everywhere)
    try:
        return one_factor(matrix, pairs, gold.correlation(case.values) if gold.n else None, gold.n)
    except NoEvidence:
        return None


def _measures(
    case: Case, candidates: Mapping[str, Candidate], loadings: np.ndarray | None, objective: str
) -> list[Measure]:
    measures = []
    if (case.gold_weights > 0).sum() >= LEAST_GOLD:
        shown = {name: _shown(case, found, objective) for name, found in candidates.items()}
        measures.append(Measure("gold", case.gold, case.gold_weights, 1.0, shown))
    if loadings is None:
        return measures
    for j in range(case.n_raters):
        use = np.delete(np.arange(case.n_raters), j)
        shown = {}
        for name in candidates:
            try:
                found = CANDIDATES[name](case, use, j, False)
            except NoEvidence:
                continue
            shown[name] = _shown(case, found, objective)
        equal = np.ones(len(case.values))
        name = f"rater {j + 1} held out"
        measures.append(Measure(name, case.scores[:, j], equal, float(loadings[j]), shown))
    return measures


def _shown(case: Case, candidate: Candidate, objective: str) -> np.ndarray:
    return candidate.values if objective == "rank" else as_levels(case, candidate)


def combined(
    agreements: list[Judgement], name: str, other: str, apart: float
) -> tuple[float, float, float] | None:
    """How much one candidate gains over another, with a 95 % interval; None without evidence.

    Args:
        agreements: of every judge.
        name: the candidate.
        other: what it is compared with.
        apart: √(2 (1 − c)), c the correlation of the two.
    """
    gold = [_gain(found, name, other) for found in agreements if found.judge == "gold"]
    raters = _raters_gain([found for found in agreements if found.judge != "gold"], name, other)
    if gold and raters:
        return _pooled(gold[0], raters, BIASES * apart)
    alone = gold[0] if gold else raters
    if alone is None:
        return None
    value, draws = alone
    low, high = np.quantile(draws, [0.025, 0.975])
    return value, float(low), float(high)


def _raters_gain(
    agreements: list[Judgement], name: str, other: str
) -> tuple[float, np.ndarray] | None:
    """The gain that left-out raters see, and its draws; None unless every one of them can tell."""
    mass = sum(found.reliability**2 for found in agreements)
    if not mass > 0 or not all({name, other} <= set(found.names) for found in agreements):
        return None
    value, draws = 0.0, np.zeros(len(agreements[0].draws))
    for found in agreements:
        one, many = _gain(found, name, other)
        value += found.reliability * one / mass
        draws = draws + found.reliability * many / mass
    return value, draws


def _pooled(
    gold: tuple[float, np.ndarray], raters: tuple[float, np.ndarray], biases: np.ndarray
) -> tuple[float, float, float]:
    """Gold's gain and the raters' together, the latter with a bias of one of these sizes (b,)."""
    gold_variance = max(float(gold[1].var()), 1e-12)
    variances = np.maximum(float(raters[1].var()) + biases**2, 1e-12)
    both = gold_variance + variances
    logs = -((gold[0] - raters[0]) ** 2) / (2 * both) - np.log(both) / 2
    chances = np.exp(logs - logs.max())
    chances /= chances.sum()
    means = (gold[0] * variances + raters[0] * gold_variance) / both
    value = float(chances @ means)
    spread = chances @ (gold_variance * variances / both + (means - value) ** 2)
    error = 1.96 * float(np.sqrt(spread))
    return value, value - error, value + error


def _apart(candidate: Candidate, other: Candidate) -> float:
    """√(2 (1 − c)), c the correlation of two candidates where both have a value."""
    table = np.stack([candidate.values, other.values])
    table = table[:, ~np.isnan(table).any(axis=0)]
    if table.shape[1] < 3 or not (table.std(axis=1) > 0).all():
        return 1.0
    return float(np.sqrt(max(2 * (1 - np.corrcoef(table)[0, 1]), 0.0)))


def _gain(found: Judgement, name: str, other: str) -> tuple[float, np.ndarray]:
    a, b = found.names.index(name), found.names.index(other)
    return float(found.values[a] - found.values[b]), found.draws[:, a] - found.draws[:, b]


def _table(agreements: list[Judgement], chosen: str) -> tuple[Evidence, ...]:
    rows = []
    for found in agreements:
        for name in found.names:
            value, low, high = found.value(name)
            apart = found.difference(name, "raw") if name != "raw" else (float("nan"),) * 3
            rows.append(
                Evidence(
                    candidate=name,
                    measure=f"{found.judge}: {found.figure}",
                    value=value,
                    low=low,
                    high=high,
                    chosen=name == chosen,
                    difference=apart[0],
                    difference_low=apart[1],
                    difference_high=apart[2],
                    n=found.n,
                )
            )
    return tuple(rows)
