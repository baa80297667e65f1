"""From a reply to ratings, or to a named problem.

The parser sees the reply and nothing else, so no number of the prompt or of the example can become
a rating unless the rater repeated it. Reasoning is skipped. Of several JSON objects the last
complete one that names a criterion gives its rating; without one, the text is read as `values`
says. Nothing is guessed: a number that may be cut off, or is one of several candidates, is none.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache

from ds2.rating.expected import expected_rating
from ds2.rating.rows import REPLIED, Row
from ds2.rating.rubric import Rubric
from ds2.rating.values import first_value, labelled, listed, plain, unlabelled

__all__ = ["REPLY_PROBLEMS", "Reading", "Reply", "parse_reply", "read_answer", "read_row"]

#: Why a reply holds no rating. "truncated": it was cut, or ended before the rating came.
REPLY_PROBLEMS = ("empty", "refused", "unparsable", "out of range", "truncated")

#: What is read of a reply that is longer, from its end: a rating needs no more.
_LONGEST = 40_000
_MOST_OBJECTS = 1_000
_DEPTH = 4

_WORDS = r"think|thinking|thoughts?|reasoning|analysis|scratchpad|seed:think"
_REASONING = re.compile(
    rf"(?P<open><(?:{_WORDS})\s*>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|"
    r"<\|channel\|>\s*(?:analysis|commentary)\b[^<]*<\|message\|>)"
    rf"|</(?:{_WORDS})\s*>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|"
    r"<\|channel\|>\s*final\b[^<]*<\|message\|>",
    re.IGNORECASE,
)
_UNFINISHED = re.compile(r"[\w./-]+\Z")
_REFUSAL = re.compile(
    r"\b(?:can(?:no|')t|cannot|can not|could not|unable to|not able to|won't|will not|refuse to|"
    r"decline to|not comfortable)\b.{0,60}\b(?:assist|help|rate|rating|evaluate|assess|judge|"
    r"provide|comply|engage|fulfill|answer|score|respond|review|continue|process|complete)"
    r"|\bI(?:'m| am) (?:so |very )?sorry\b|\bI apologi[sz]e\b|\bas an ai\b"
    r"|\bI must (?:decline|refuse)\b"
    r"|\b(?:kann|darf) (?:ich )?.{0,40}\bnicht\b|\btut mir leid\b|\bleider\b"
    r"|\bje ne (?:peux|suis)\b|\bdésolée?\b|\blo siento\b|\bno puedo\b|\bnão posso\b|\bdesculpe\b"
    r"|\bmi dispiace\b|\bнe могу|\bне могу\b|\bизвините\b"
    r"|抱歉|对不起|無法|无法|不能|申し訳|できません"
    r"|죄송|آسف|لا أستطيع|üzgünüm|xin lỗi",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a reply says.

    Attributes:
        values: criterion → rating, on the scale; only those that were found.
        problem: why the scored criterion has none, one of `REPLY_PROBLEMS`; None where it has one.
    """

    values: Mapping[str, float]
    problem: str | None


def parse_reply(text: str, rubric: Rubric, *, cut: bool = False) -> Reply:
    """Read the ratings in a reply; never raises, and never returns a number that is not in it.

    Args:
        text: the reply, and nothing of the prompt.
        rubric: what was asked.
        cut: the endpoint said that the reply ended at the token limit.
    """
    if not text.strip():
        return Reply({}, "truncated" if cut else "empty")
    answer, closed = _without_reasoning(text)
    answer = plain(answer[-_LONGEST:])
    cut = cut or not closed or answer.rfind("{") > answer.rfind("}")
    found = _read(_UNFINISHED.sub("", answer) if cut else answer, rubric)
    low, high = rubric.scale.low, rubric.scale.high
    values = {name: value for name, value in found.items() if low <= value <= high}
    if rubric.scored in values:
        return Reply(values, None)
    if rubric.scored in found:
        return Reply(values, "out of range")
    if cut:
        return Reply(values, "truncated")
    return Reply(values, "refused" if _REFUSAL.search(answer) else "unparsable")


def _without_reasoning(text: str) -> tuple[str, bool]:
    """Return the text outside of reasoning, and whether the last reasoning was closed.

    An end without a beginning means that all before it was reasoning: some chat templates put the
    beginning into the prompt.
    """
    kept: list[str] = []
    start, inside, seen = 0, False, False
    for mark in _REASONING.finditer(text):
        opens = mark["open"] is not None
        if not inside and (opens or seen):
            kept.append(text[start : mark.start()])
        inside, seen, start = opens, True, mark.end()
    if not inside:
        kept.append(text[start:])
    return "\n".join(kept), not inside


def _read(answer: str, rubric: Rubric) -> dict[str, float]:
    """Return every rating found, also those outside the scale."""
    high = rubric.scale.high
    found: dict[str, float] = {}
    rest, done = [], 0
    for start, end, inner in _objects(answer):
        found |= _of_object(inner, answer[start:end], rubric)
        rest.append(answer[done:start])
        done = end
    prose = "\n".join([*rest, answer[done:]])
    for name in rubric.names:
        if name not in found and (value := labelled(prose, name, high)) is not None:
            found[name] = value
    if not found and (values := listed(prose, len(rubric.names))):
        return dict(zip(rubric.names, values, strict=True))
    if rubric.scored not in found and (value := unlabelled(prose, high)) is not None:
        found[rubric.scored] = value
    return found


class _Number(str):
    """A number of an object, as it was written."""

    __slots__ = ()


_DECODER = json.JSONDecoder(
    strict=False, parse_int=_Number, parse_float=_Number, parse_constant=_Number
)


def _objects(text: str) -> Iterator[tuple[int, int, dict[str, object]]]:
    """Yield the complete JSON objects that are in no other, first to last: start, end, object."""
    starts = [found.start() for found in re.finditer(r"\{", text)][-_MOST_OBJECTS:]
    done = 0
    for start in starts:
        if start < done:
            continue
        try:
            value, done = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        yield start, done, value


def _of_object(value: Mapping[str, object], source: str, rubric: Rubric) -> dict[str, float]:
    """Return the ratings in an object: by a criterion's name, else the scored one's by "rating".

    A text that is written with escapes, and so is not in the ``source``, holds no rating.
    """
    found: dict[str, float] = {}
    layer: list[Mapping[str, object]] = [value]
    for _ in range(_DEPTH):
        for name in rubric.names:
            for inner in layer:
                rating = _rating(inner, source, name, rubric.scale.high)
                if name not in found and rating is not None:
                    found[name] = rating
        layer = [inner for outer in layer for inner in outer.values() if isinstance(inner, dict)]
    if rubric.scored not in found:
        rating = _rating(value, source, "", rubric.scale.high)
        return found if rating is None else {**found, rubric.scored: rating}
    return found


_NOUNS = ("rating", "score", "grade", "value")


@cache
def _spellings(name: str) -> frozenset[str]:
    wanted = name.replace("_", "")
    found = {wanted, *(wanted + noun for noun in _NOUNS), *(noun + wanted for noun in _NOUNS)}
    return frozenset(found - {""})


@lru_cache(maxsize=1024)
def _plain_key(key: str) -> str:
    return re.sub(r"[\W_]+", "", key).lower()


def _rating(value: Mapping[str, object], source: str, name: str, high: float) -> float | None:
    """Return the number under a criterion's key, however the key is written."""
    spellings = _spellings(name)
    for key, inner in value.items():
        if _plain_key(key) not in spellings:
            continue
        if isinstance(inner, dict) and name:
            return _rating(inner, source, "", high)
        if isinstance(inner, str) and (isinstance(inner, _Number) or f'"{inner}"' in source):
            return first_value(inner, high)
        return None
    return None


@dataclass(frozen=True, slots=True)
class Reading:
    """What one reply says.

    Attributes:
        values: criterion → rating, only those that were found.
        problem: why the scored criterion has none; None where it has one.
        spread: the standard deviation that the rater itself states, where it does.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    problem: str | None = None
    spread: float | None = None


def read_answer(
    text: str,
    finish_reason: str | None,
    top_logprobs: Mapping[str, float] | None,
    *,
    rubric: Rubric,
    form: str,
) -> Reading:
    """Read a reply of the given form."""
    if form != "expected":
        reply = parse_reply(text, rubric, cut=finish_reason == "length")
        filtered = reply.problem is not None and finish_reason == "content_filter"
        return Reading(reply.values, "refused" if filtered else reply.problem)
    expected, problem = expected_rating(top_logprobs or {}, rubric)
    if expected is None:
        return Reading(problem=problem)
    return Reading({rubric.scored: expected.value}, None, expected.spread)


def read_row(row: Row, *, rubric: Rubric, form: str) -> Reading:
    """Read a row of the store with the parser as it is today."""
    if row.state != REPLIED:
        return Reading(problem=row.problem or "server error")
    logprobs = json.loads(row.logprobs) if row.logprobs else None
    return read_answer(row.reply or "", row.finish_reason, logprobs, rubric=rubric, form=form)
