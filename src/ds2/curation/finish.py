"""From a candidate's values to the result: the level scale, standard errors, words."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ds2.curation.auto import Choice, as_levels, choose, reference_shares
from ds2.curation.candidates import CANDIDATES, Candidate, Case
from ds2.curation.levels import to_levels
from ds2.curation.loadings import NoEvidence
from ds2.curation.result import Curation
from ds2.curation.sentences import choice_warnings, next_evidence
from ds2.errors import InputError
from ds2.neighbors import Neighbors

__all__ = ["finish", "finish_choice"]


def finish(
    curation: Curation,
    objective: str,
    control: Mapping[str, np.ndarray] | None,
    neighbors: Neighbors,
) -> Curation:
    """The curation of one rater with the effect of covariates removed, if any are named."""
    if not control:
        return curation
    scores = _without(curation.scores, control, neighbors)
    scores = np.clip(scores, *_ends(curation.observed))
    return replace(curation, scores=np.floor(scores + 0.5) if objective == "level" else scores)


def finish_choice(
    case: Case,
    observed: np.ndarray,
    blocks: np.ndarray,
    *,
    method: str,
    objective: str,
    control: Mapping[str, np.ndarray] | None,
    found: tuple[str, ...],
) -> Curation:
    """Run the method, or choose one, and put its values on the level scale."""
    everyone = np.arange(case.n_raters)
    choice: Choice | None = None
    if method == "auto":
        choice = choose(case, blocks, objective, case.seed)
        name = choice.name
        candidate = choice.candidates[name]
    else:
        name = "raw" if method == "none" else method
        candidate = _asked_for(case, name, everyone)
    if name.startswith("fused") and method == "auto" and case.has_gold:
        candidate = CANDIDATES[name](case, everyone, None, True)
    scores, se = _on_scale(case, name, candidate, objective, control)
    return Curation(
        scores=scores,
        observed=observed,
        method=name,
        misrated=None,
        confidence=None,
        suggestion=None,
        gate="off",
        evidence=choice.evidence if choice else (),
        warnings=found + (choice_warnings(case, choice) if choice else ()),
        se=se,
        posterior=candidate.posterior.shares if candidate.posterior else None,
        raw=_raw(case),
        next_evidence=next_evidence(case, choice) if choice else "",
    )


def _asked_for(case: Case, name: str, everyone: np.ndarray) -> Candidate:
    if name.startswith("fused") and case.n_raters == 1:
        raise InputError(
            f"Method '{name}' needs two raters or more, scores of shape (n, r). Got one rater. "
            "Use method 'auto' or 'ds2'."
        )
    try:
        return CANDIDATES[name](case, everyone, None, True)
    except NoEvidence as reason:
        raise InputError(
            f"Method '{name}' learns its weights from evidence that a rater itself did not give, "
            f"and {reason}. Add gold (about 100 trusted scores) or another rater, or use 'auto'."
        ) from None


def _on_scale(
    case: Case,
    name: str,
    candidate: Candidate,
    objective: str,
    control: Mapping[str, np.ndarray] | None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """(n,) scores and standard errors on 0 … s − 1."""
    shares = reference_shares(case)
    levels = np.arange(case.n_scores)
    spread = float(np.sqrt(shares @ levels**2 - (shares @ levels) ** 2))
    if candidate.posterior is not None:
        values, se = candidate.values, candidate.posterior.se
    elif case.n_raters == 1 and name in ("raw", "ds2"):
        values, se = (case.values if name == "raw" else case.voted)[:, 0], None
    else:
        values = to_levels(candidate.values, shares)
        se = None if candidate.se is None else candidate.se * spread
    if control:
        values = to_levels(_without(values, control, case.neighbors), shares)
    elif objective == "level":
        values = as_levels(case, candidate) if not _whole(values) else values
    if control and objective == "level":
        values = np.floor(values + 0.5)
    return values, se


def _whole(values: np.ndarray) -> bool:
    known = values[~np.isnan(values)]
    return bool((known == np.round(known)).all())


def _raw(case: Case) -> np.ndarray:
    if case.n_raters == 1:
        return case.values[:, 0].copy()
    raw = CANDIDATES["raw"](case, np.arange(case.n_raters), None, True)
    return to_levels(raw.values, reference_shares(case))


def _without(
    values: np.ndarray, control: Mapping[str, np.ndarray], neighbors: Neighbors
) -> np.ndarray:
    """(n,) values without what each covariate explains within neighbourhoods."""
    from ds2.curation.bias import remove_covariate

    for covariate in control.values():
        values = remove_covariate(values, covariate, neighbors)
    return values


def _ends(observed: np.ndarray) -> tuple[float, float]:
    return float(np.nanmin(observed)), float(np.nanmax(observed))
