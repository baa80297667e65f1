"""From what a rater sent to a rating, or to a named problem."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from ds2.rating.expected import expected_rating
from ds2.rating.reply import parse_reply
from ds2.rating.rows import REPLIED, Row
from ds2.rating.rubric import Rubric

__all__ = ["Reading", "read_answer", "read_row"]


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
