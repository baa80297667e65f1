"""Does a selection beat random? The answer in words, worked out from the numbers alone.

One judge shows a method to be better where the lower end of the paired interval lies above zero,
and worse where the upper end lies below. A method beats random where every judge shows it to be
better. Gold goes first: raters are asked only about methods for which gold has no interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ds2.report.compare_numbers import CompareNumbers, Judged, JudgeNumbers
from ds2.report.numbers import Estimate
from ds2.report.verdict import Finding
from ds2.report.words import count, decimal, interval, plural, share

__all__ = ["Answer", "Beats", "beats_random", "compare_findings"]

Answer = Literal["yes", "no", "not shown", "not known", "is random"]


@dataclass(frozen=True, slots=True)
class Beats:
    """Whether a method beats random, and what says so.

    Attributes:
        method: its name.
        answer: by all judges that were asked.
        says: their figures in a sentence.
        same_mix: the answer against random selections with the same mix of sources.
        same_length: the answer against random selections with the same lengths.
    """

    method: str
    answer: Answer
    says: str
    same_mix: Answer = "not known"
    same_length: Answer = "not known"


def beats_random(numbers: CompareNumbers) -> tuple[Beats, ...]:
    """Return the answer for every method, in their order."""
    return tuple(
        Beats(method.name, "is random", "Nothing to hold it against.")
        if method.is_random
        else _one(method.name, numbers)
        for method in numbers.methods
    )


def compare_findings(numbers: CompareNumbers) -> tuple[Finding, ...]:
    """Return the findings of the page, in reading order."""
    beats = beats_random(numbers)
    return (_own(numbers, beats), _all(beats), _judged_on(numbers, beats), _most_alike(numbers))


def _one(method: str, numbers: CompareNumbers) -> Beats:
    found = [(judge, judged) for judge in numbers.judges for judged in judge.methods]
    own = [(judge, judged) for judge, judged in found if judged.method == method]
    if not own:
        return Beats(
            method, "not known", "No judge could be asked." if numbers.judges else _SETTLES
        )
    gold = [pair for pair in own if pair[0].kind == "gold" and _sure(pair[1].difference)]
    raters = [pair for pair in own if pair[0].kind == "rater"]
    asked = gold or raters or own
    return Beats(
        method,
        _answer([judged.difference for _, judged in asked]),
        " ".join(_says(judge, judged) for judge, judged in asked),
        _answer([judged.mixed for _, judged in asked]),
        _answer([judged.same_length for _, judged in asked]),
    )


_SETTLES = (
    "There is one rater and no gold, so nothing independent to judge by: trusted scores (ds2 gold "
    "RUN --size 100) or a second rater would settle it."
)


def _answer(differences: Sequence[Estimate | None]) -> Answer:
    if None in differences:
        return "not known"
    shown = {_better(difference) for difference in differences if difference is not None}
    return "yes" if shown == {True} else "no" if shown == {False} else "not shown"


def _says(judge: JudgeNumbers, judged: Judged) -> str:
    difference = judged.difference
    where = "On gold" if judge.kind == "gold" else f"On {judge.name}, held out"
    if difference.low is None:
        return f"{where}: only {plural(judged.n, 'selected row')} with a score, too few to say."
    by = difference.value or 0.0
    rows = f"; {plural(judged.n, 'row')}" if judge.kind == "gold" else ""
    plain = (
        f"{where}: {decimal(abs(by))} levels {'above' if by >= 0 else 'below'} random "
        f"({interval(difference.low, difference.high)}{rows})"
    )
    alike = (("mix of sources", judged.mixed), ("lengths", judged.same_length))
    but = [
        f"{decimal(other.value)} ({interval(other.low, other.high)}) from random with the same "
        f"{what}"
        for what, other in alike
        if other is not None and _sure(other) and _better(other) != _better(difference)
    ]
    return f"{plain}, but {' and '.join(but)}." if but else f"{plain}."


def _sure(difference: Estimate) -> bool:
    return difference.low is not None


def _better(difference: Estimate) -> bool | None:
    if difference.low is None or difference.high is None:
        return None
    return True if difference.low > 0 else False if difference.high < 0 else None


_FINE_TUNE = (
    "Scores are a stand-in: models fine-tuned on this selection and on random ones are the final "
    "judge."
)
_QUESTION = "Does the run's selection beat random?"


def _own(numbers: CompareNumbers, beats: Sequence[Beats]) -> Finding:
    own = next((each for each in beats if each.method == numbers.own), None)
    if own is None:
        answer = f"Its method, {numbers.own}, is not part of this comparison."
        return Finding(_QUESTION, answer, (_FINE_TUNE,), "open")
    if own.answer == "is random":
        return Finding(_QUESTION, f"It is random: the method is {own.method}.", (), "plain")
    if own.answer == "yes":
        return Finding(_QUESTION, f"Yes, {own.method} does.", (own.says, _FINE_TUNE), "care")
    if own.answer == "no":
        answer = f"No: {own.method} is shown to be worse than random."
        return Finding(_QUESTION, answer, (own.says, _FINE_TUNE), "open")
    if own.answer == "not shown":
        answer = f"That is not shown for {own.method}."
        return Finding(_QUESTION, answer, (own.says, _FINE_TUNE), "open")
    return Finding(_QUESTION, "Nothing here can say.", (own.says, _FINE_TUNE), "open")


def _all(beats: Sequence[Beats]) -> Finding:
    parts = []
    words: tuple[tuple[Answer, str], ...] = (
        ("yes", "beat random"),
        ("no", "worse than random"),
        ("not shown", "neither is shown"),
        ("not known", "not known"),
    )
    for answer, says in words:
        names = [each.method for each in beats if each.answer == answer]
        if names:
            parts.append(f"{says.capitalize()}: {', '.join(names)}.")
    return Finding(
        "Which methods beat random?",
        parts[0] if parts else "There is no other method than random.",
        tuple(parts[1:]),
        "plain",
    )


_LENGTH = (
    "The method length, which looks at nothing but the number of characters, beats random as well: "
    "a judge that likes long answers would say so whatever they are worth. Read what is left "
    "against random selections of the same lengths."
)


def _judged_on(numbers: CompareNumbers, beats: Sequence[Beats]) -> Finding:
    question = "What is that judged on?"
    gold = [judge for judge in numbers.judges if judge.kind == "gold"]
    raters = [judge for judge in numbers.judges if judge.kind == "rater"]
    shared = (
        "What raters share, such as a liking for long answers, looks like quality to all of them; "
        "only gold can show it."
    )
    if not numbers.judges:
        return Finding(
            question,
            "There is nothing independent to judge by: one rater, and no gold.",
            (
                "A rater cannot judge what was chosen by its own scores. Trusted scores settle it "
                "(ds2 gold RUN --size 100, some of them among what is selected), or a second rater "
                "(a second --scores column, or [raters.NAME] in the recipe).",
            ),
            "open",
        )
    details = [
        "The scores of a judge were kept from noise, curation and selection, which were made anew "
        "without them. The interval is paired: rows that both selections hold cancel out.",
        f"Random: {count(numbers.n_draws)} selections of {count(numbers.size)} rows that leave out "
        "exact duplicates, too.",
    ]
    if gold:
        few = [judged.n for judged in gold[0].methods if judged.difference.low is None]
        if few:
            details.append(
                f"{plural(len(few), 'method')} selected too few rows that have gold "
                f"({min(few)} to {max(few)}; 8 are the least)."
            )
    if raters:
        details.append(shared)
    if any(each.method == "length" and each.answer == "yes" for each in beats):
        details.append(_LENGTH)
    details += [judge.note for judge in numbers.judges if judge.note]
    names = ", ".join(judge.name for judge in raters)
    answers = [
        *([f"{count(gold[0].n_values)} trusted scores"] if gold else []),
        *([f"each rater in turn, held out ({names})"] if raters else []),
    ]
    return Finding(question, f"On {' and '.join(answers)}.", tuple(details), "plain")


def _most_alike(numbers: CompareNumbers) -> Finding:
    question = "Do the methods select the same rows?"
    names = [method.name for method in numbers.methods]
    pairs = [
        (numbers.overlap[i][j], names[i], names[j]) for i in range(len(names)) for j in range(i)
    ]
    if not pairs:
        return Finding(question, "There is one method.", (), "plain")
    ordered = sorted(pairs, key=lambda pair: (-pair[0], pair[1:]))
    most, least = ordered[0], ordered[-1]
    middle = ordered[len(ordered) // 2][0]
    return Finding(
        question,
        f"Half of the pairs share less than {share(middle)} of their rows; chance is "
        f"{share(numbers.chance)}.",
        (
            f"Most alike are {most[2]} and {most[1]} ({share(most[0])} in common), least alike "
            f"{least[2]} and {least[1]} ({share(least[0])}).",
        ),
        "plain",
    )
