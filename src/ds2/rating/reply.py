"""From a reply's text to ratings, or to a named problem."""

from collections.abc import Mapping
from dataclasses import dataclass

from ds2.rating.rubric import Rubric

__all__ = ["REPLY_PROBLEMS", "Reply", "parse_reply"]

#: Why a reply holds no rating. "truncated": it was cut, or ended before the rating came.
REPLY_PROBLEMS = ("empty", "refused", "unparsable", "out of range", "truncated")


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
    """Read the ratings in a reply; never raises.

    Args:
        text: the reply, and nothing of the prompt.
        rubric: what was asked.
        cut: the endpoint said that the reply ended at the token limit.
    """
    raise NotImplementedError
