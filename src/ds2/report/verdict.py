"""The verdict: the few sentences that most readers will read, worked out from the numbers alone.

Two rules hold for every sentence. The matrix at rho = 1 is never called the rater's error unless
neighbours are seen to share a score: it mixes the rater's noise with neighbours that do not. And
a figure that rests on an assumption names the assumption.
"""

from dataclasses import dataclass, replace
from math import isfinite
from typing import Literal

from ds2.noise import LOW_LIFT
from ds2.report.numbers import (
    CurationNumbers,
    NoiseNumbers,
    RatingNumbers,
    ReportNumbers,
    TruthNumbers,
)
from ds2.report.words import count, decimal, either_share, interval, of, plural, share
from ds2.selection import looks_at_scores

__all__ = [
    "STRONG_LIFT",
    "Finding",
    "Standing",
    "how_curated",
    "intervals_from",
    "standing",
    "verdict",
]

#: From this lower end on, neighbours agree far above chance.
STRONG_LIFT = 0.5
#: A wider range of the share of wrong scores is no answer.
_WIDE = 0.6

Standing = Literal["unknown", "absent", "weak", "partial", "strong"]
Tone = Literal["clear", "care", "open", "plain"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A question, its answer in one sentence, what the answer rests on, and how settled it is."""

    question: str
    answer: str
    detail: tuple[str, ...]
    tone: Tone


def standing(noise: NoiseNumbers, gate: str) -> Standing:
    """Say how well the neighbours' agreement supports the assumption that they share a score."""
    lift = noise.lifts[0] if noise.lifts else None
    if lift is None or not isfinite(lift.low):
        return "unknown"
    if lift.low <= 0:
        return "absent"
    if gate == "fired" or lift.low < LOW_LIFT:
        return "weak"
    return "strong" if lift.low >= STRONG_LIFT else "partial"


def verdict(numbers: ReportNumbers) -> tuple[Finding, ...]:
    """Return the findings of a report, in reading order."""
    state = standing(numbers.noise, numbers.curation.gate)
    known = () if numbers.truth is None else (_against_truth(numbers.truth),)
    return (
        *_outside(numbers.ratings),
        *_contradicted(numbers.curation),
        _how_noisy(numbers.noise, state),
        _how_sure(numbers.noise),
        _assumption(numbers.noise, state),
        _leaning(_changes(numbers, state), numbers.curation),
        _selected(numbers),
        *known,
    )


def _outside(ratings: RatingNumbers) -> tuple[Finding, ...]:
    """Ratings that the declared scale does not hold: nobody should miss them."""
    if not ratings.n_outside:
        return ()
    answer = (
        f"Not all: {plural(ratings.n_outside, 'rating')} lie outside the declared scale, "
        f"{ratings.low:g} to {ratings.high:g}, and count as missing."
    )
    detail = ("If another scale is meant, set scores.scale and run again.",)
    return (Finding("Could the ratings be read?", answer, detail, "open"),)


def _contradicted(curation: CurationNumbers) -> tuple[Finding, ...]:
    """Trusted scores that do not go with the ratings: said before anything is concluded."""
    if not curation.contradiction:
        return ()
    return (Finding("Can the trusted scores be believed?", curation.contradiction, (), "open"),)


_WRONG = "A score is wrong when it is not the true score, be it by one level."


def _how_noisy(noise: NoiseNumbers, state: Standing) -> Finding:
    question = "How noisy are the scores?"
    if noise.by_rater and noise.rho_source != "assumed":
        return _how_noisy_each(question, noise)
    if noise.error is None:
        return Finding(question, "Not enough data to say.", (), "open")
    low = noise.error if noise.error_low is None else noise.error_low
    high = noise.error if noise.error_high is None else noise.error_high
    if state == "unknown":
        why = "Neighbours tell nothing here: all scores are equal, or too few examples have one."
        return Finding(question, "This pool alone cannot say.", (why,), "open")
    if state == "absent":
        detail = (
            "Neighbours' scores are not seen to agree more often than by chance. A rater who "
            "guesses looks like this, and so do neighbours that do not share a true score.",
            f"The matrix at ρ\u00a0=\u00a0{decimal(noise.rho)} would call {share(noise.error, 0)} "
            "of the scores wrong. That figure mixes the two and is not the rater's error.",
        )
        return Finding(question, "This pool alone cannot say.", detail, "open")
    if state == "weak" or high - low > _WIDE:
        span = (
            f"At most {at_most} of the scores are wrong, perhaps far fewer"
            if (at_most := either_share(high, high)) == either_share(low, high)
            else f"Anything {either_share(low, high)} of wrong scores would fit"
        )
        detail = (
            "The high end takes every disagreement between neighbours for the rater's error. "
            f"{'Lift is too low' if state == 'weak' else 'There is too little evidence'} for that "
            "reading: neighbours that do not share a true score look just the same, so no single "
            "matrix below is the rater's error.",
            _WRONG,
        )
        return Finding(question, f"{span}; this pool alone cannot say.", detail, "open")
    span = either_share(low, high)
    apart = span != either_share(high, high)
    depends = ", depending on how often neighbours share a true score" if apart else ""
    answer = f"{span.capitalize()} of the scores are wrong{depends}."
    narrow = noise.error_low is not None and high - low <= 0.1
    tone: Tone = "clear" if narrow and state == "strong" else "care"
    unsure = (_UNNAMED,) if _rows_unnamed(noise) else ()
    return Finding(question, answer, (_rests_on(noise), *unsure, _WRONG), tone)


#: Who said how often neighbours share a true score.
_SOURCES = {
    "gold": "trusted scores",
    "raters": "the raters together",
    "repeats": "ratings that were repeated",
}


def _how_noisy_each(question: str, noise: NoiseNumbers) -> Finding:
    each = ", ".join(f"{part.label} {share(part.share, 0)}" for part in noise.by_rater)
    unsure = (_UNNAMED,) if _rows_unnamed(noise) else ()
    answer = f"Wrong scores by rater{', very roughly' if unsure else ''}: {each}."
    detail = (
        "From what the raters say of the same example and of its neighbours "
        f"(ρ\u00a0=\u00a0{decimal(noise.rho)}, found from "
        f"{_SOURCES.get(noise.rho_source, 'the raters')}). It takes the "
        "raters' errors as independent given the true score: what they get wrong together is "
        "not in it.",
        *unsure,
        _WRONG,
    )
    return Finding(question, answer, detail, "open" if unsure else "care")


def _rests_on(noise: NoiseNumbers) -> str:
    if noise.rho_low is None or noise.rho_high is None:
        return (
            f"This takes ρ\u00a0=\u00a0{decimal(noise.rho)} as given: how much more often than "
            "by chance neighbours share one true score. Where they share it less often, fewer "
            "scores are wrong. No range over ρ was computed."
        )
    return (
        f"The high end takes neighbours to share one true score always "
        f"(ρ\u00a0=\u00a0{decimal(noise.rho_high)}), the low end as seldom as their agreement "
        f"allows (ρ\u00a0=\u00a0{decimal(noise.rho_low)}): then most of their disagreement is "
        "real, and not the rater's."
    )


_UNNAMED = (
    "Some true score is most often observed as another one; which row of the matrix belongs to "
    "which score is then not certain, and neither is this share."
)


def _rows_unnamed(noise: NoiseNumbers) -> bool:
    """Whether nothing says which row of the matrix belongs to which true score."""
    return not noise.diagonal_dominant and noise.rho_source != "gold"


def intervals_from(noise: NoiseNumbers) -> str:
    """Say what the intervals of the matrix rest on."""
    if noise.rho_source == "gold":
        return "the trusted scores and what the others allow"
    if noise.n_bootstrap == 0:
        return "the curvature of the likelihood"
    return plural(noise.n_bootstrap, "bootstrap round")


def _how_sure(noise: NoiseNumbers) -> Finding:
    question = "How sure is that?"
    limits = [] if noise.rho_source == "gold" else [_SHARED]
    if noise.thin_scores:
        named = ", ".join(str(level) for level in noise.thin_scores)
        noun = "score" if len(noise.thin_scores) == 1 else "scores"
        limits.append(f"Not enough data for {noun} {named}.")
    if _rows_unnamed(noise):
        limits.append("It is not certain which row of the matrix belongs to which true score.")
    if noise.fit is not None and noise.fit_expected is not None and noise.fit > noise.fit_expected:
        limits.append(
            f"At ρ\u00a0=\u00a0{decimal(noise.rho)} the model does not fit the counts as well as "
            "it should, so the intervals there say less than they seem to."
        )
    if not noise.converged:
        limits.append(f"The fit had not converged after {plural(noise.iterations, 'iteration')}.")
    if not noise.has_intervals:
        return Finding(question, "Not known: no intervals were computed.", tuple(limits), "open")
    if noise.sampling_error is None:
        return Finding(question, "Not enough data for any interval.", tuple(limits), "open")
    basis = (
        f"The intervals come from {intervals_from(noise)} on "
        f"{plural(noise.n_examples, 'scored example')}, at ρ\u00a0=\u00a0{decimal(noise.rho)}."
    )
    sound = noise.diagonal_dominant and noise.converged and not noise.thin_scores
    wide = max(noise.sampling_error, noise.range_error or 0.0) > 0.05
    return Finding(
        question, _known_to(noise), (basis, *limits), "clear" if sound and not wide else "care"
    )


_SHARED = (
    "This does not cover a bias that neighbours share, such as a liking for long answers: it looks "
    "like truth here, and only trusted (gold) scores can show it."
)


def _known_to(noise: NoiseNumbers) -> str:
    """Say how far a typical entry of the matrix may be off, by chance and by the assumption."""
    chance, both = decimal(noise.sampling_error), decimal(noise.range_error)
    answer = f"A typical entry of the matrix is known to ±\u00a0{chance}"
    if noise.range_error is None or both == chance:
        return f"{answer}."
    if noise.rho_source == "assumed":
        return (
            f"{answer} if neighbours share a true score as often as was assumed, and to "
            f"±\u00a0{both} if that is left open."
        )
    return f"{answer}, and to ±\u00a0{both} since ρ is not known exactly either."


_EVIDENCE = "A second rater, or trusted (gold) scores, would settle it."
_STANDING: dict[Standing, tuple[str, str, Tone]] = {
    "unknown": ("Not enough data to tell.", _EVIDENCE, "open"),
    "absent": (
        "There is no sign of it: neighbours agree no more than by chance.",
        _EVIDENCE,
        "open",
    ),
    "weak": ("Not shown: neighbours agree little more than by chance.", _EVIDENCE, "open"),
    "partial": (
        "In part: neighbours do carry information about the score.",
        f"The error above is therefore a range. {_EVIDENCE}",
        "care",
    ),
    "strong": (
        "Well supported: neighbours agree far more often than by chance.",
        "It is still an assumption: neighbours that share a score may share a wrong one.",
        "clear",
    ),
}
_EITHER = "A noisy rater lowers lift, and so do neighbours that do not share a true score."


def _assumption(noise: NoiseNumbers, state: Standing) -> Finding:
    answer, meaning, tone = _STANDING[state]
    if state in ("weak", "partial"):
        source = _SOURCES.get(noise.rho_source)
        meaning = (
            f"{_EITHER} One rater's scores cannot tell the two apart. {meaning}"
            if source is None
            else f"{_EITHER} {source.capitalize()} tell the two apart here: neighbours share it "
            f"{'more often' if noise.rho > 0 else 'no more often'} than by chance, by "
            f"ρ\u00a0=\u00a0{decimal(noise.rho)} (0 is chance, 1 is always)."
        )
    if state == "absent" and noise.lifts[0].high > LOW_LIFT:
        answer = "Not known: there is too little data to see whether neighbours agree."
    detail = ["The assumption: an example and its nearest neighbours have one true score."]
    if noise.lifts and state != "unknown":
        near = noise.lifts[0]
        detail.append(
            f"Nearest neighbours' scores agree {share(near.agreement)} of the time, against "
            f"{share(near.chance)} by chance: lift {decimal(near.value)} "
            f"(95\u00a0% interval {interval(near.low, near.high)}; 0 is chance, 1 is "
            "always)."
        )
    return Finding("Does the assumption hold?", answer, (*detail, meaning), tone)


def _changes(numbers: ReportNumbers, state: Standing) -> Finding:
    question = "What did curation change?"
    curation, n_rated = numbers.curation, numbers.ratings.n_rated
    if curation.method == "raw":
        fired = curation.gate == "fired"
        why = (
            ("The gate fired: lift is too low for neighbours to correct scores.",) if fired else ()
        )
        answer = (
            "Nothing: every score is the mean of what the raters gave."
            if curation.real_valued
            else "Nothing: every score is as the rater gave it."
        )
        more = (curation.next_evidence,) if curation.next_evidence else ()
        return Finding(question, answer, (*why, *more), "care" if fired else "plain")
    if curation.real_valued:
        return _real_valued(question, numbers)
    flagged = (
        f"{count(curation.n_misrated)} of {plural(n_rated, 'rated example')} "
        f"({of(curation.n_misrated, n_rated)}) were flagged as misrated."
        if curation.n_misrated is not None
        else ""
    )
    detail = [flagged] if flagged else []
    tested = any(isfinite(row.difference.value) for row in curation.evidence if row.chosen)
    if curation.n_changed == 0:
        answer = f"No score (method {curation.method})."
    else:
        answer = (
            f"{plural(curation.n_changed, 'score')} of {count(n_rated)} "
            f"({of(curation.n_changed, n_rated)}): {count(curation.n_up)} up, "
            f"{count(curation.n_down)} down."
        )
        if curation.gate == "fired":
            detail.append(
                "The gate fired: lift is too low to know that the changes are for the better. "
                "Compare with a selection from the raw scores before relying on them."
            )
        elif state in ("unknown", "absent", "weak"):
            detail.append(
                "The gate did not stop this, but lift is too low to know that the changes are "
                "for the better."
            )
        else:
            detail.append(
                "A changed score is the neighbours' vote, not a human judgement"
                + ("." if tested else "; nothing but the neighbours' agreement speaks for it.")
            )
        detail += _speaks_for(curation)
    weak = state in ("unknown", "absent", "weak") or not tested
    tone: Tone = "care" if weak and curation.n_changed else "plain"
    return Finding(question, answer, tuple(detail), tone)


def _leaning(finding: Finding, curation: CurationNumbers) -> Finding:
    """The finding, and what the curated scores go with more than the raw ones did."""
    if not curation.leanings:
        return finding
    tone: Tone = "care" if finding.tone in ("plain", "clear") else finding.tone
    return replace(finding, detail=(*finding.detail, *curation.leanings), tone=tone)


def how_curated(curation: CurationNumbers) -> str:
    """Say by which method, and what the gate of the paper's method found."""
    if curation.method not in ("ds2", "raw"):
        return f"Method {curation.method}, which goes by evidence."
    gate = {
        "passed": "the gate passed",
        "fired": "the gate fired: lift is too low to trust a correction",
        "off": "the gate was off",
        "unused": "as the evidence there is allows" if curation.next_evidence else "as asked for",
    }
    changed = "" if curation.n_changed else " No score was changed."
    return f"Method {curation.method}; {gate[curation.gate]}.{changed}"


def _real_valued(question: str, numbers: ReportNumbers) -> Finding:
    """Every score is a new one: say what shows that it is better."""
    curation = numbers.curation
    gains = _speaks_for(curation)
    answer = f"Every score became a real number (method {curation.method})."
    detail = [*gains]
    if curation.next_evidence:
        detail.append(curation.next_evidence)
    return Finding(question, answer, tuple(detail), "plain" if gains else "care")


def _speaks_for(curation: CurationNumbers) -> list[str]:
    gains = [
        f"{row.measure} {decimal(row.value, 3)}, above raw {decimal(row.difference.value, 3)} "
        f"({interval(row.difference.low, row.difference.high, 3)})"
        for row in curation.evidence
        if row.chosen and isfinite(row.difference.value)
    ]
    return [f"What speaks for it: {'; '.join(gains)}."] if gains else []


def _selected(numbers: ReportNumbers) -> Finding:
    chosen, total = numbers.selection, numbers.pool.n_examples
    answer = (
        f"{count(chosen.n_selected)} of {plural(total, 'example')} "
        f"({of(chosen.n_selected, total)}), by method {chosen.method}."
    )
    detail: list[str] = []
    if chosen.selected_score is not None and chosen.pool_score is not None:
        blind = not looks_at_scores(chosen.method)
        detail.append(
            f"Their mean curated score is {decimal(chosen.selected_score)}; the pool's is "
            f"{decimal(chosen.pool_score)}."
            + ("" if blind else " Those scores also did the choosing, so that mean is optimistic.")
        )
    if chosen.stability is not None:
        detail.append(
            f"Selected anew from resampled evidence, {share(chosen.stability.mean, 0)} of them are "
            "selected again."
        )
    tail = chosen.tail
    if tail is not None and tail.selected_spread is not None:
        detail.append(
            f"Their median long-tail score is {decimal(tail.selected_spread.median)}; the pool's "
            f"is {decimal(tail.pool_spread.median)}."
        )
    return Finding("What was selected?", answer, tuple(detail), "plain")


def _against_truth(truth: TruthNumbers) -> Finding:
    question = "What do the known scores say?"
    before, after = truth.accuracy_raw, truth.accuracy_curated
    if before is None or after is None:
        return Finding(question, "Not enough data to say.", (), "open")
    moved = "rose" if after > before else "fell" if after < before else "stayed"
    answer = (
        f"Right scores {moved} from {share(before)} to {share(after)}."
        if moved != "stayed"
        else f"Right scores stayed at {share(before)}."
    )
    detail = [f"True scores are known for {plural(truth.n_known, 'rated example')}."]
    if truth.distance is not None:
        detail.append(
            f"The estimated matrix is off by {decimal(truth.distance, 3)} in total variation "
            "(0 is exact, 1 is wholly wrong)."
        )
    if truth.precision is not None and truth.recall is not None:
        detail.append(
            f"Of the flagged scores {share(truth.precision)} were wrong; of the wrong scores "
            f"{share(truth.recall)} were flagged."
        )
    return Finding(question, answer, tuple(detail), "plain")
