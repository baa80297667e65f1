"""What one rater's requests may cost: set aside in the store before each leaves, settled after.

A reservation that is never settled stays: a request that timed out, broke off, came back without
usage, or was in flight when the process died may have been billed in full. So whatever happens, and
over any number of runs, the cap is kept but for what a server bills above the most that it was
asked for; that is learned from its replies, kept in the store, and one request is in flight until
the first has been billed.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from ds2.rating.money import Budget, Price, most_input_tokens
from ds2.rating.rater import Answer, Failure
from ds2.rating.rows import Reserved, Row

__all__ = ["Account", "Books", "OverBudgetError", "most_output_tokens", "request_tokens"]

#: Fields of a request that say how long a reply may be, and how many there are of it.
_LENGTHS = re.compile(r"(?:^|_)(?:max|budget|num_predict|n_predict|tokens|length)(?:_|$)")
_TIMES = ("n", "best_of", "num_return_sequences")


def most_output_tokens(settings: Mapping[str, object]) -> int:
    """Return the most tokens that the replies to one request have, by a rater's settings.

    ``extra`` may ask for longer replies, for more of them, and, deeper inside, for reasoning that
    comes on top.
    """
    extra = settings.get("extra")
    own = [settings.get("max_output_tokens", 0)]
    deeper = 0
    times = [1]
    if isinstance(extra, Mapping):
        own += [value for key, value in extra.items() if _LENGTHS.search(str(key))]
        times += [int(extra[key]) for key in _TIMES if isinstance(extra.get(key), int)]
        deeper = sum(_lengths([value for value in extra.values() if isinstance(value, Mapping)]))
    longest = max(value for value in [0, *own] if isinstance(value, (int, float)))
    return (int(longest) + deeper) * max(times)


def _lengths(values: list[Mapping[str, object]]) -> list[int]:
    return [
        length
        for value in values
        for key, inner in value.items()
        for length in (
            _lengths([inner])
            if isinstance(inner, Mapping)
            else [inner]
            if isinstance(inner, int) and _LENGTHS.search(str(key))
            else []
        )
    ]


def request_tokens(
    messages: tuple[Mapping[str, str], ...], settings: Mapping[str, object], schema: object
) -> tuple[int, int]:
    """Return the most tokens of a request and of its replies; a token has at least one byte."""
    around = len(json.dumps([settings.get("extra"), schema], ensure_ascii=False).encode())
    return most_input_tokens(messages) + around, most_output_tokens(settings)


class Books(Protocol):
    """Where rows and reservations are written: the writer's thread, or one that is simulated."""

    def put(self, setup: int, row: Row, settles: int | None = None) -> None:
        """Keep a row; the reservation of that number is settled in the same commit."""

    def reserve(self, n_input: int, n_output: int, model: str, usd: float | None) -> Reserved:
        """Keep a reservation."""

    def settle(self, number: int, usd: float) -> None:
        """Put a cost in a reservation's place."""

    def learn(self, model: str, factor: float) -> None:
        """Keep by how much a server bills above what it was asked for."""

    def written(self) -> Awaitable[bool]:
        """Wait until all of that is on disk; False where it never will be."""


class OverBudgetError(Exception):
    """A request was not sent: it could exceed the limit, or could not be written down."""


class Account:
    """The requests of one rater, against the budget of the run.

    Args:
        budget: shared by the raters of a run.
        books: where it is written.
        model: as the price table knows it.
        price: None where unknown.
        factor: by which the server has billed above what it was asked for, at most, so far.
    """

    def __init__(
        self, budget: Budget, books: Books, model: str, price: Price | None, factor: float = 1.0
    ) -> None:
        self._budget, self._books, self._model, self._price = budget, books, model, price
        self._factor, self._billed, self._open = factor, False, 0

    @property
    def capped(self) -> bool:
        """Whether there is a limit."""
        return self._budget.max_usd is not None

    @property
    def waits(self) -> bool:
        """Whether nothing more may leave before the request in flight has been billed."""
        return self.capped and not self._billed and self._open > 0

    def reserve(self, n_input: int, n_output: int) -> Reserved | None:
        """Set aside what a request may cost at most; None where that would exceed the limit."""
        usd = None if self._price is None else self._price.cost_usd(n_input, n_output)
        usd = None if usd is None else usd * self._factor
        if not self._budget.reserve(usd or 0.0):
            return None
        self._open += 1
        return self._books.reserve(n_input, n_output, self._model, usd)

    async def written(self) -> bool:
        """Wait until what was set aside is on disk, where there is a limit."""
        return await self._books.written() if self.capped else True

    def settle(self, reserved: Reserved, cost_usd: float | None, *, in_row: bool = False) -> None:
        """Put the cost in the place of what was set aside; None: it is unknown and stays.

        Args:
            reserved: of the request.
            cost_usd: what it cost.
            in_row: the cost is in a row that settles the reservation itself.
        """
        self._open -= 1
        self._budget.settle(reserved.usd or 0.0, cost_usd)
        if cost_usd is None:
            return
        if not in_row:
            self._books.settle(reserved.number, cost_usd)
        most = self._price.cost_usd(reserved.n_input, reserved.n_output) if self._price else None
        if most and cost_usd > most * self._factor * 1.000001:
            self._factor = cost_usd / most
            self._books.learn(self._model, self._factor)

    async def meter(self, tokens: tuple[int, int], ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask once, on this account.

        Raises:
            Failure: there is no answer.
            OverBudgetError: the request was not sent.
        """
        reserved = self.reserve(*tokens)
        if reserved is None:
            raise OverBudgetError
        cost_usd: float | None = None
        try:
            if not await self.written():
                cost_usd = 0.0
                raise OverBudgetError
            answer = await ask()
            cost_usd = self.cost_usd(answer)
            self.answered()
        except Failure as failure:
            cost_usd = None if failure.may_cost else 0.0
            raise
        finally:
            self.settle(reserved, cost_usd)
        return answer

    def answered(self) -> None:
        """A request was answered and billed: from now on many may be in flight."""
        self._billed = True

    def spend(self, answer: Answer) -> None:
        """Count an answer that came without a reservation."""
        cost_usd = self.cost_usd(answer)
        if cost_usd:
            self._budget.spent_usd += cost_usd
            self._books.settle(self._books.reserve(0, 0, self._model, cost_usd).number, cost_usd)

    def cost_usd(self, answer: Answer) -> float | None:
        """Return what an answer cost, None where the endpoint did not say or no price is known."""
        if self._price is None:
            return None
        return self._price.cost_usd(answer.n_input, answer.n_output, answer.n_cached)
