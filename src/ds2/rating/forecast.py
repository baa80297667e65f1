"""What rating will take, before the first request."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ds2.pool import Pool
from ds2.pool.wording import shown
from ds2.rating.jobs import conversations, plan_jobs
from ds2.rating.money import PriceTable, estimate_tokens, read_prices
from ds2.rating.prompt import PromptBuilder
from ds2.rating.rater import Rater

__all__ = ["Forecast", "forecast"]

#: Prompts whose tokens are counted.
SAMPLE = 200
#: Tokens that a chat template puts around each message.
_PER_MESSAGE = 4


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is still to be asked of one rater, and what that takes.

    Attributes:
        rater: who.
        model: whose price counts.
        n_requests: requests still to be made.
        n_input: tokens of their prompts, from the mean of a random sample.
        n_output: tokens of the replies, for a model that writes the rating and nothing else: one
            that reasons first writes many times as much.
        cost_usd: None where the price of the model is unknown. Cached prompts cost less.
        counted: a tokenizer counted the tokens; otherwise they are estimated from characters.
        prices_of: the date of the packaged prices.
    """

    rater: str
    model: str
    n_requests: int
    n_input: int
    n_output: int
    cost_usd: float | None
    counted: bool
    prices_of: str

    def __str__(self) -> str:
        cost = f"unknown (no price of {shown(self.model)} is known)"
        if self.cost_usd is not None:
            cost = f"{self.cost_usd:,.2f} USD (prices of {self.prices_of})"
        about = "" if self.counted else "about "
        return (
            f"{shown(self.rater)}: {self.n_requests:,} requests, {about}{self.n_input:,} tokens "
            f"in, {about}{self.n_output:,} out, cost {cost}"
        )


def forecast(
    pool: Pool,
    rater: Rater,
    builder: PromptBuilder,
    *,
    codes: np.ndarray | None = None,
    prices: PriceTable | None = None,
    count_tokens: Callable[[str], int] | None = None,
) -> Forecast:
    """Return what asking ``rater`` takes; sends nothing.

    Args:
        pool: the examples.
        rater: who is asked.
        builder: makes the prompts.
        codes: what is still to be asked, in random order, as `plan_jobs` returns it; None is the
            whole pool once.
        prices: None are the packaged ones.
        count_tokens: counts the tokens of a text; None estimates.
    """
    table = read_prices() if prices is None else prices
    todo = plan_jobs(pool.keys, seed=0, repeats=0) if codes is None else codes
    count = estimate_tokens if count_tokens is None else count_tokens
    sample = conversations(pool, todo[:SAMPLE] // 2)
    tokens = [
        sum(_PER_MESSAGE + count(message["content"]) for message in builder.build(texts).messages)
        for texts in sample
    ]
    n_input = round(len(todo) * float(np.mean(tokens))) if tokens else 0
    n_output = len(todo) * _reply_tokens(builder, count)
    price = table.price(rater.model)
    return Forecast(
        rater=rater.name,
        model=rater.model,
        n_requests=len(todo),
        n_input=n_input,
        n_output=n_output,
        cost_usd=None if price is None else price.cost_usd(n_input, n_output),
        counted=count_tokens is not None,
        prices_of=table.date,
    )


def _reply_tokens(builder: PromptBuilder, count: Callable[[str], int]) -> int:
    """Return the tokens of a reply: one letter, or the object, most often set in lines."""
    if builder.form == "expected":
        return 1
    highest = builder.rubric.levels[-1]
    return count(json.dumps(dict.fromkeys(builder.rubric.names, highest), indent=2)) + 8
