"""The expected rating, from the log-probabilities of one forced token."""

import math
import string
from collections.abc import Mapping
from dataclasses import dataclass

from ds2.checks import check_fraction
from ds2.errors import InputError
from ds2.rating.rubric import Rubric

__all__ = ["Expected", "expected_rating", "level_tokens"]

#: Endpoints return at most this many log-probabilities of a token.
MOST_LEVELS = 20
#: What tokenizers write for the space in front of a word.
_SPACES = " \t\n\r\u2581\u0120\u010a"


@dataclass(frozen=True, slots=True)
class Expected:
    """A rating as a distribution over the levels.

    Attributes:
        value: E[rating] = Σ r · P(r), P over the levels only.
        spread: the standard deviation of that distribution, in rating units.
        covered: what the levels' tokens had of the probability before P was made to sum to 1.
    """

    value: float
    spread: float
    covered: float


def level_tokens(rubric: Rubric) -> tuple[str, ...]:
    """Return one symbol per level, lowest level first, each a single token for usual tokenizers.

    Digits where every level is one digit. Otherwise ("10" often is two tokens) letters, A for the
    highest level, as in school grades.

    Raises:
        InputError: the scale has more levels than an endpoint gives log-probabilities.
    """
    levels = rubric.levels
    if len(levels) > MOST_LEVELS:
        raise InputError(
            f"The reply form 'expected' needs a scale of at most {MOST_LEVELS} levels. The rubric "
            f"'{rubric.name}' has {len(levels)}: choose another form, or a shorter scale."
        )
    if levels[0] >= 0 and levels[-1] <= 9:
        return tuple(str(level) for level in levels)
    return tuple(reversed(string.ascii_uppercase[: len(levels)]))


def expected_rating(
    top_logprobs: Mapping[str, float], rubric: Rubric, *, min_covered: float = 0.5
) -> tuple[Expected | None, str | None]:
    """Return E[rating] from a token's top log-probabilities, or the problem "uncovered".

        P(r) = p(r) / Σ_s p(s),   E = Σ_r r·P(r),   spread² = Σ_r (r − E)²·P(r)

    p(r) sums over the spellings of the level's token (with and without the space in front). A
    level that is not among the top tokens has p = 0. Some servers report log-probabilities from
    before the grammar's mask, so the sum over the levels may be below 1: it is returned as
    ``covered``, and below ``min_covered`` there is no rating.

    Args:
        top_logprobs: token → natural log-probability.
        rubric: what was asked; its levels have the symbols of `level_tokens`.
        min_covered: the least probability that the levels must have together.
    """
    check_fraction("min_covered", min_covered)
    mass = dict.fromkeys(level_tokens(rubric), 0.0)
    for token, logprob in top_logprobs.items():
        symbol = token.strip(_SPACES)
        if symbol in mass and logprob <= 0.5:  # also leaves out NaN
            mass[symbol] += math.exp(min(logprob, 0.0))
    covered = math.fsum(mass.values())
    if covered <= 0.0 or covered < min_covered:
        return None, "uncovered"
    shares = [p / covered for p in mass.values()]
    value = math.fsum(share * r for share, r in zip(shares, rubric.levels, strict=True))
    variance = math.fsum(
        share * (r - value) ** 2 for share, r in zip(shares, rubric.levels, strict=True)
    )
    value = min(max(value, rubric.scale.low), rubric.scale.high)
    return Expected(value, math.sqrt(variance), min(covered, 1.0)), None
