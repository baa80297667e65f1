"""Ask the local model about conversations, in a reply form, outside of the rating loop."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ds2.pool import Message
from ds2.rating import LocalRater, PromptBuilder, Rubric
from ds2.rating.reply import expected_rating, parse_reply

RUBRIC = Rubric.ds2()
NONCE = "benchmark"


@dataclass(frozen=True)
class Rated:
    """What one form gave: per conversation its ratings by criterion, covered mass, and the cost."""

    ratings: list[dict[str, float]]
    covered: list[float]
    seconds: float
    n_input: float
    n_cached: float
    n_output: float

    def per(self, name: str) -> float:
        """Tokens for each conversation."""
        return getattr(self, name) / len(self.ratings)


def ask(
    talks: Sequence[Sequence[Message]],
    form: str,
    *,
    model: str | None = None,
    criteria: Sequence[str] = (RUBRIC.scored,),
) -> Rated:
    """Rate conversations one after the other; the form "expected" asks for each criterion."""
    return asyncio.run(_ask(talks, form, model, criteria if form == "expected" else (None,)))


async def _ask(
    talks: Sequence[Sequence[Message]], form: str, model: str | None, asked: Sequence[str | None]
) -> Rated:
    rater = LocalRater(model, form=form)
    builder = PromptBuilder(RUBRIC, NONCE, form)
    await rater.open(RUBRIC)
    ratings: list[dict[str, float]] = []
    covered: list[float] = []
    tokens = {"n_input": 0, "n_cached": 0, "n_output": 0}
    start = time.perf_counter()
    try:
        if rater.form != form:
            raise SystemExit(f"The model does not rate in the form '{form}': {rater.findings}")
        for talk in talks:
            found: dict[str, float] = {}
            for name in asked:
                made = builder if name is None else replace(builder, asked=name)
                answer = await rater.ask(made.build(talk), rubric=RUBRIC, seed=0)
                for key in tokens:
                    tokens[key] += getattr(answer, key) or 0
                if name is None:
                    found |= parse_reply(
                        answer.text, RUBRIC, cut=answer.finish_reason == "length"
                    ).values
                    continue
                expected = expected_rating(answer.top_logprobs or {}, RUBRIC, min_covered=0.0)
                covered.append(expected.covered if expected else 0.0)
                if expected:
                    found[name] = expected.value
            ratings.append(found)
    finally:
        await rater.close()
    return Rated(ratings, covered, time.perf_counter() - start, **tokens)
