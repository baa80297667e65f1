"""The verdict: the few sentences that most readers will read, worked out from the results alone.

Two rules hold for every sentence. The matrix at rho = 1 is never called the rater's error unless
neighbours are seen to share a score: it mixes the rater's noise with neighbours that do not. And
a figure that rests on an assumption names the assumption.

What to do with a run: trusted scores are the only judge that shares no bias with the raters. So
with trusted scores that bear the scores out, use it; with raters who bear each other out, use it
with care; with neither, collect trusted scores first.
"""

from collections.abc import Iterable, Iterator
from math import isfinite
from typing import Literal

import numpy as np

from ds2.curation import Evidence
from ds2.noise import LOW_LIFT
from ds2.report.leanings import LENGTH, in_words
from ds2.report.model import Finding, State, Tone
from ds2.report.plane import NARROW, broader, relative
from ds2.report.results import Results, mean
from ds2.report.tables import scored_sentence
from ds2.report.words import decimal, either_share, interval, of, plural, share
from ds2.selection import METHODS

__all__ = ["COLLECT", "LEAST_GOLD", "RAW", "intervals_from", "run_state", "standing", "verdict"]

#: From this lower end on, neighbours agree far above chance.
STRONG_LIFT = 0.5
#: A wider range of the share of wrong scores is no answer.
WIDE = 0.6

COLLECT = "collect {n:,} trusted scores first"
#: Fewer trusted scores than this say little on any pool.
LEAST_GOLD = 50

Standing = Literal["unknown", "absent", "weak", "partial", "strong"]


def verdict(found: Results) -> tuple[Finding, ...]:
    """Return the findings of a report, in reading order."""
    return (
        *_unreadable(found),
        _how_noisy(found),
        better_method(found),
        would_change(found),
        _how_sure(found),
        _assumption(found),
        _changes(found),
        _selected(found),
        *_against_truth(found),
    )


def standing(found: Results) -> Standing:
    """Say how well the neighbours' agreement supports the assumption that they share a score."""
    low = found.first.lifts[0].low if found.first.lifts else float("nan")
    if not isfinite(low):
        return "unknown"
    if low <= 0:
        return "absent"
    if found.curation.gate == "fired" or low < LOW_LIFT:
        return "weak"
    return "strong" if low >= STRONG_LIFT else "partial"


def _which(*said: tuple[object, str]) -> tuple[str, ...]:
    """The sentences that hold, and are there."""
    return tuple(sentence for holds, sentence in said if holds and sentence)


def _unreadable(found: Results) -> Iterable[Finding]:
    """Ratings off the scale and gold that contradicts them: said before anything is concluded."""
    scale = found.ratings.parts[0].scale
    if found.n_outside:
        yield Finding(
            "Could the ratings be read?",
            f"Not all: {plural(found.n_outside, 'rating lies', 'ratings lie')} outside the "
            f"declared scale, {scale.low:g} to {scale.high:g}, counted as missing.",
            ("If another scale is meant, set scores.scale and run again.",),
            "open",
        )
    if found.curation.contradiction:
        question = "Can the trusted scores be believed?"
        yield Finding(question, found.curation.contradiction, (), "open")


_WRONG = "A score is wrong when it is not the true score, be it by one level."
_CANNOT_SAY = "This pool alone cannot say."
#: Who said how often neighbours share a true score.
_SOURCES = {
    "gold": "trusted scores",
    "raters": "the raters together",
    "repeats": "ratings that were repeated",
}
#: How noisy the scores are, by case: the answer, and what it rests on.
_NOISE: dict[str, tuple[str, str]] = {
    "no data": ("Not enough data to say.", ""),
    "unknown": (
        _CANNOT_SAY,
        "Neighbours tell nothing here: all scores are equal, or too few examples have one.",
    ),
    "absent": (
        _CANNOT_SAY,
        "Neighbours' scores are not seen to agree more often than by chance. A rater who guesses "
        "looks like this, and so do neighbours that do not share a true score. The matrix at "
        "ρ\u00a0=\u00a0{rho} would call {error} of the scores wrong; that figure mixes the two and "
        "is not the rater's error.",
    ),
    "open": (
        "{bound} of the scores are wrong; this pool alone cannot say.",
        "The high end takes every disagreement between neighbours for the rater's error. There is "
        "too little lift, or too little evidence, for that reading: neighbours that do not share a "
        "true score look just the same, so no single matrix below is the rater's error.",
    ),
    "assumed": (
        "{span} of the scores are wrong.",
        "This takes ρ\u00a0=\u00a0{rho} as given: how much more often than by chance neighbours "
        "share one true score. Where they share it less often, fewer scores are wrong. No range "
        "over ρ was computed.",
    ),
    "range": (
        "{span} of the scores are wrong, depending on how often neighbours share a true score.",
        "The high end takes neighbours to share one true score always (ρ\u00a0=\u00a0{rho_high}), "
        "the low end as seldom as their agreement allows (ρ\u00a0=\u00a0{rho_low}): then most of "
        "their disagreement is real, and not the rater's.",
    ),
    "each": (
        "Wrong scores by rater{roughly}: {each}.",
        "From what the raters say of the same example and of its neighbours (ρ\u00a0=\u00a0{rho}, "
        "{source}). It takes the raters' errors as independent given the true score: "
        "what they get wrong together is not in it.",
    ),
}


def _how_noisy(found: Results) -> Finding:
    noise, state, unnamed = found.first, standing(found), _rows_unnamed(found)
    error = float(noise.error_rate)
    low, high = found.error_ends or (error, error)
    span = either_share(low, high)
    if len(found.ratings.raters) > 1 and noise.matrix_source != "neighbors":
        case = "each"
    elif not isfinite(error):
        case = "no data"
    elif state in ("unknown", "absent"):
        case = state
    elif state == "weak" or high - low > WIDE:
        case = "open"
    else:
        case = "assumed" if noise.range is None else "range"
    tone: Tone = "care"
    if case not in ("each", "assumed", "range") or (case == "each" and unnamed):
        tone = "open"
    elif case == "range" and high - low <= 0.1 and state == "strong":
        tone = "clear"
    rates = zip(found.ratings.raters, found.noise.error_rates, strict=True)
    source = _SOURCES.get(noise.rho_source)
    values = {
        "rho": decimal(noise.rho),
        "rho_low": decimal(noise.rho_range[0]),
        "rho_high": decimal(noise.rho_range[1]),
        "error": share(error, 0),
        "span": span.capitalize(),
        "bound": f"{'At most' if share(low, 0) == share(high, 0) else 'Perhaps'} {span}",
        "roughly": ", very roughly" if unnamed else "",
        "each": ", ".join(f"{name} {share(rate, 0)}" for name, rate in rates),
        "source": f"found from {source}" if source else "as it was given",
    }
    answer, rests = (text.format(**values) for text in _NOISE[case])
    named = case in ("each", "assumed", "range")
    detail = _which((True, rests), (named and unnamed, _UNNAMED), (named or case == "open", _WRONG))
    return Finding("What is wrong with the ratings?", answer, detail, tone)


_UNNAMED = (
    "Some true score is most often observed as another one: which row of the matrix belongs to "
    "which true score is not certain, and neither is the share of wrong scores."
)


def _rows_unnamed(found: Results) -> bool:
    """Whether nothing says which row of the matrix belongs to which true score."""
    return not found.first.diagonal_dominant and found.first.matrix_source != "gold"


def intervals_from(found: Results) -> str:
    """Say what the intervals of the matrix rest on."""
    if found.first.matrix_source == "gold":
        return "the trusted scores and what the others allow"
    rounds = found.first.n_bootstrap
    return plural(rounds, "bootstrap round") if rounds else "the curvature of the likelihood"


_SHARED = (
    "This does not cover a bias that neighbours share, such as a liking for long answers: it looks "
    "like truth here, and only trusted (gold) scores can show it."
)


def _how_sure(found: Results) -> Finding:
    question, noise = "How sure is that?", found.first
    thin = np.flatnonzero(~found.known.any(axis=1)).tolist()
    rho = f"ρ\u00a0=\u00a0{decimal(noise.rho)}"
    limits = _which(
        (noise.matrix_source != "gold", _SHARED),
        (
            thin,
            f"Not enough data for {'score' if len(thin) == 1 else 'scores'} "
            f"{', '.join(map(str, thin))}.",
        ),
        (_rows_unnamed(found), _UNNAMED),
        (
            noise.fit > noise.fit_expected,
            f"At {rho} the model does not fit the counts as well as it should, so the intervals "
            "there say less than they seem to.",
        ),
        (
            not noise.converged,
            f"The fit had not converged after {plural(int(noise.iterations), 'iteration')}.",
        ),
    )
    chance, both = found.half_width(noise.intervals), found.half_width(noise.range)
    if noise.intervals is None:
        return Finding(question, "Not known: no intervals were computed.", limits, "open")
    if chance is None:
        return Finding(question, "Not enough data for any interval.", limits, "open")
    answer = f"A typical entry of the matrix is known to ±\u00a0{decimal(chance)}"
    if both is not None and decimal(both) != decimal(chance):
        answer += (
            " if neighbours share a true score as often as was assumed, and to "
            f"±\u00a0{decimal(both)} if that is left open"
            if noise.rho_source == "assumed"
            else f", and to ±\u00a0{decimal(both)} since ρ is not known exactly either"
        )
    basis = (
        f"The intervals come from {intervals_from(found)} on "
        f"{plural(int(noise.n_examples), 'scored example')}, at {rho}."
    )
    sound = noise.diagonal_dominant and noise.converged and not thin
    clear = sound and max(chance, both or 0.0) <= 0.05
    return Finding(question, f"{answer}.", (basis, *limits), "clear" if clear else "care")


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


def _assumption(found: Results) -> Finding:
    noise, state = found.first, standing(found)
    answer, meaning, tone = _STANDING[state]
    source = _SOURCES.get(noise.rho_source)
    if state in ("weak", "partial") and noise.matrix_source == "neighbors":
        meaning = f"{_EITHER} One rater's scores cannot tell the two apart. {meaning}"
    elif state in ("weak", "partial") and source is None:
        given = f"ρ\u00a0=\u00a0{decimal(noise.rho)}"
        meaning = f"{_EITHER} How often neighbours share it was given: {given}."
    elif state in ("weak", "partial"):
        meaning = (
            f"{_EITHER} {str(source).capitalize()} tell the two apart here: neighbours share it "
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
            f"(95\u00a0% interval {interval(near.low, near.high)}; 0 is chance, 1 is always)."
        )
    return Finding("Does the assumption hold?", answer, (*detail, meaning), tone)


#: What a score of several raters is before curation.
RAW = "the mean of the raters' z-scores, put on the levels by rank"
#: What is done to every score, whatever the method, by the setting.
_TAKEN = {
    "curate.control": "without what {} explains",
    "curate.calibrate": "without what raters give a {} too much or too little",
}


def _changes(found: Results) -> Finding:
    """What curation did, what speaks for it, and what it may have made worse."""
    curation, n_rated, real = found.curation, found.n_rated, found.real_valued
    up, down = ((way * (curation.scores - found.raw) > 0).sum() for way in (1, -1))
    changed, fired, raw = int(up + down), curation.gate == "fired", curation.method == "raw"
    unsupported = standing(found) in ("unknown", "absent", "weak")
    flagged = None if curation.misrated is None else int(curation.misrated.sum())
    gains = "; ".join(
        f"{row.measure} {decimal(row.value, 3)}, above raw {decimal(row.difference.value, 3)} "
        f"({interval(row.difference.low, row.difference.high, 3)})"
        for row in curation.evidence
        if row.chosen and isfinite(row.difference.value)
    )
    if raw:
        taken = [
            words.format(" and ".join(map(str, named)))
            for name, words in _TAKEN.items()
            if isinstance(named := found.settings.get(name), (list, tuple)) and named
        ]
        gave = RAW if len(found.ratings.raters) > 1 else "as the rater gave it"
        answer = f"Nothing: every score is {gave}."
        if taken:
            answer = f"Every score is {gave}, {' and '.join(taken)}."
    elif real or not changed:
        did = "Every score became a real number" if real else "No score"
        answer = f"{did} (method {curation.method})."
    else:
        share_of = f"{plural(changed, 'score')} of {n_rated:,} ({of(changed, n_rated)})"
        answer = f"{share_of}: {int(up):,} up, {int(down):,} down."
    levels = changed and not raw and not real
    leanings = found.leanings
    others = [one for one in leanings if one.of != LENGTH]  # which a note speaks of
    detail = _which(
        (True, scored_sentence(found)),
        (raw and fired, "The gate fired: lift is too low for neighbours to correct scores."),
        (
            flagged is not None and not raw and not real,
            f"{flagged or 0:,} of {plural(n_rated, 'rated example')} "
            f"({of(flagged or 0, n_rated)}) were flagged as misrated.",
        ),
        (
            levels and fired,
            "The gate fired: lift is too low to know that the changes are for the better. Compare "
            "with a selection from the raw scores before relying on them.",
        ),
        (
            levels and unsupported and not fired,
            "The gate did not stop this, but lift is too low to know that the changes are for the "
            "better.",
        ),
        (
            levels and not unsupported and not fired,
            "A changed score is the neighbours' vote, not a human judgement"
            + ("." if gains else "; nothing but the neighbours' agreement speaks for it."),
        ),
        (gains and not raw and (real or changed), f"What speaks for it: {gains}."),
        (raw or real, curation.next_evidence),
        *((True, said) for said in in_words(others, control=(), gold=found.noise.n_gold > 0)),
    )
    doubtful = fired if raw else not gains if real else changed and (unsupported or not gains)
    tone: Tone = "care" if doubtful or leanings else "plain"
    return Finding("What did curation change?", answer, detail, tone)


def _selected(found: Results) -> Finding:
    rows, total = found.selection.rows, len(found.pool)
    method, stability = found.selection.method, found.stability
    fixed = len(found.ratings.raters) == 1 and found.curation.se is None
    chosen, pool = (mean(part) for part in (found.curation.scores[rows], found.curation.scores))
    optimistic = " Those scores also did the choosing, so that mean is optimistic."
    detail = _which(
        (
            isfinite(chosen),
            f"Their mean curated score is {decimal(chosen)}; the pool's is {decimal(pool)}."
            + (optimistic if METHODS[method].uses else ""),
        ),
        (
            stability is not None,
            "Stability: with the evidence drawn anew, "
            f"{share(mean(np.array([]) if stability is None else stability), 0)} of them are "
            "selected again. That is how far the choice hangs on chance, not how right it is"
            + ("; the rater's own noise is not in it." if fixed else "."),
        ),
        (
            len(rows),
            f"Their median long-tail score is {decimal(_median(found.tail[rows]))}; the pool's is "
            f"{decimal(_median(found.tail))}.",
        ),
    )
    answer = f"{len(rows):,} of {plural(total, 'example')} ({of(len(rows), total)})"
    return Finding("What was selected?", f"{answer}, by method {method}.", detail, "plain")


def _median(values: np.ndarray) -> float:
    return float(np.nanmedian(values)) if values.size else float("nan")


def _against_truth(found: Results) -> Iterable[Finding]:
    truth, question = found.against_truth, "What do the known scores say?"
    if truth is None:
        return
    before, after = share(truth.right_raw), share(truth.right_curated)
    change = truth.right_curated - truth.right_raw
    moved = f"{'rose' if change > 0 else 'fell'} from {before} to {after}"
    answer = f"Right scores {moved if change else f'stayed at {before}'}."
    distance = mean(truth.distance)
    detail = _which(
        (True, f"True scores are known for {plural(truth.n_known, 'rated example')}."),
        (
            isfinite(distance),
            f"The estimated matrix is off by {decimal(distance, 3)} in total variation (0 is "
            "exact, 1 is wholly wrong).",
        ),
        (
            isfinite(truth.precision + truth.recall),
            f"Of the flagged scores {share(truth.precision)} were wrong; of the wrong scores "
            f"{share(truth.recall)} were flagged.",
        ),
    )
    if truth.n_known:
        yield Finding(question, answer, detail, "plain")
    else:
        yield Finding(question, "Not enough data to say.", (), "open")


def run_state(found: Results) -> State:
    """Return what to do with a run: the first of the cases that holds."""
    return next(_cases(found))


def _cases(found: Results) -> Iterator[State]:
    curation, n_gold = found.curation, int(found.noise.n_gold)
    parts = found.ratings.parts
    judged = [row for row in curation.evidence if row.chosen and isfinite(row.low)]
    gold = [row for row in judged if row.judge == "gold"]
    held_out = [row for row in judged if row.judge == "rater"]
    collect = COLLECT.format(n=max(curation.gold_needed, LEAST_GOLD))
    if outside := found.n_outside:
        lie = plural(outside, "rating lies", "ratings lie")
        reason = (
            f"{lie} outside the declared scale, counted as missing: if another scale is meant, set "
            "scores.scale and run again."
        )
        yield State("use it with care", reason, "ds2 compare RUN", "care")
    if curation.contradiction:
        yield State(collect, curation.contradiction, "ds2 gold RUN", "open")
    for row in gold[:1]:
        yield _by_gold(found, row, collect)
    if n_gold:
        reason = f"The {n_gold:,} trusted scores did not judge the scores that it went by."
        yield State("use it with care", reason, "ds2 compare RUN", "care")
    if held_out and min(row.low for row in held_out) > 0:
        reason = (
            f"Raters who were held out agree with the scores ({_says(held_out[0])}), and nobody "
            "else has judged them: a bias that all raters share would look the same."
        )
        yield State("use it with care", reason, "ds2 compare RUN", "care")
    reason = (
        "The raters do not bear each other out, and no trusted score says who is right."
        if len(parts) > 1
        else "One rater alone: nothing says whether its scores, or a correction of them, go with "
        "quality."
    )
    yield State(collect, reason, "ds2 gold RUN", "open")


def _by_gold(found: Results, row: Evidence, collect: str) -> State:
    """What trusted scores say of the scores that it went by."""
    n_gold, more = f"{int(found.noise.n_gold):,}", row.difference
    if row.low <= 0:
        reason = f"The {n_gold} trusted scores do not show that the scores mean anything"
        return State(collect, f"{reason} ({_says(row)}).", "ds2 gold RUN", "open")
    agree = f"{n_gold} trusted scores agree with the scores that it went by ({_says(row)})"
    but = ""
    if found.curation.warnings:
        but = ", but a warning says what they do not bear out"
    elif found.curation.method != "raw" and isfinite(more.low) and more.low <= 0:
        but = ", but do not show that correcting them helped"
    else:
        but = _narrow(found)
    if but:
        return State("use it with care", f"{agree}{but}.", "ds2 compare RUN", "care")
    return State("use it", f"{agree}.", "ds2 export RUN --tool trl", "clear")


def _narrow(found: Results) -> str:
    """What speaks against a selection that covers much less than random rows; else nothing."""
    dial = None if found.curves is None else found.curves.by_dial
    own = None if dial is None else dial.methods.get(found.selection.method)
    if dial is None or own is None or relative(own, dial) >= NARROW:
        return ""
    return (
        f", but it is narrow: it covers {decimal(relative(own, dial))} of what random rows do, and "
        f"{share(own.redundancy, 0)} of its rows are redundant"
    )


def _says(row: Evidence) -> str:
    measure = row.measure.removeprefix("gold: ")
    return f"{measure} {decimal(row.value)}, {interval(row.low, row.high)}"


def better_method(found: Results) -> Finding:
    """Whether the frontier of this pool lies beyond the run's own point."""
    question, method = "Is there a better method?", found.selection.method
    judge = (
        "These are the run's own scores. ds2 compare RUN holds the methods against each other, on "
        "scores that none of them has seen."
    )
    dial = None if found.curves is None else found.curves.by_dial
    if dial is None or method not in dial.methods:
        return Finding(question, "Not known: the frontier was not drawn.", (judge,), "open")
    own = dial.methods[method]
    more = broader(own, dial)
    if more is None:
        answer = (
            f"None that is broader: it covers {decimal(relative(own, dial))} of what random rows "
            f"do, and keeps {decimal(own.kept)} of the attainable score."
        )
        return Finding(question, answer, (judge,), "plain")
    keep, point = more
    worse = point.kept < own.kept - 0.005 or point.redundancy > own.redundancy + 0.005
    lead = "Perhaps" if worse else "It seems so"
    answer = (
        f"{lead}: frontier (keep {keep:g}) covers {decimal(relative(point, dial))} of what random "
        f"rows do with {share(point.redundancy, 0)} of its rows redundant, and keeps "
        f"{decimal(point.kept)} of the attainable score; {method}: "
        f"{decimal(relative(own, dial))}, {share(own.redundancy, 0)}, {decimal(own.kept)}."
    )
    try_it = f"To try it: ds2 run RUN --set select.method=frontier --set select.keep={keep:g}."
    return Finding(question, answer, (judge, try_it), "care")


def would_change(found: Results) -> Finding:
    """What further evidence could turn the answer."""
    question, needed = "What would change this?", found.curation.gold_needed
    detail = tuple(part for part in (found.curation.next_evidence,) if part)
    if found.noise.n_gold and not found.curation.contradiction:
        answer = (
            "Training: models trained on this selection and on random rows are the final judge "
            "(ds2 proof RUN --plan)."
        )
    else:
        second = " or a second rater" if len(found.ratings.raters) == 1 else ""
        answer = (
            f"{max(needed, LEAST_GOLD):,} trusted scores{second}: they show what raters and "
            "neighbours get wrong alike."
        )
    return Finding(question, answer, detail, "plain")
