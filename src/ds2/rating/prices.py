"""What rating costs: prices with their date, and a budget that is never exceeded.

An unknown price is None, and "unknown" in words. It is never 0.

What a request may cost is set aside in the store before it leaves. A reservation that is never
settled stays: a request that timed out, broke off, came back without usage, or was in flight when
the process died may have been billed in full. So whatever happens, and over any number of runs, the
cap is kept but for what a server bills above the most that it was asked for; that is learned from
its replies, kept in the store, and one request is in flight until the first has been billed.
"""

import json
import math
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ds2.atomic import read_toml
from ds2.errors import InputError
from ds2.pool.wording import shown, shown_path
from ds2.rating.rater import Answer, Failure
from ds2.rating.rubric import packaged
from ds2.rating.store import Reserved, Writer

__all__ = [
    "NO_LIMIT",
    "Account",
    "Budget",
    "OverBudgetError",
    "Price",
    "PriceTable",
    "estimate_tokens",
    "most_input_tokens",
    "most_output_tokens",
    "read_prices",
    "request_tokens",
    "unknown_price",
]

#: A dated version that is not in the table has the price of its model: gpt-4o-mini-2024-07-18.
_DATED = re.compile(r"[-@]20\d\d-?[01]\d-?[0-3]\d\Z")
_KEYS = ("input", "cached", "output")
#: What `PriceTable` finds for a model that runs on the user's own machine.
_OWN_MACHINE = "local:"


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens.

    Attributes:
        input: of the prompt.
        output: of the reply.
        cached: of the prompt, where the endpoint has it in its cache; None is as ``input``.
        date: of the table that it is from, where that has one.
    """

    input: float
    output: float
    cached: float | None = None
    date: str = ""

    def cost_usd(
        self, n_input: int | None, n_output: int | None, n_cached: int | None = None
    ) -> float | None:
        """Return what a request cost; None where the endpoint did not count its tokens."""
        if n_input is None or n_output is None:
            return None
        cached = min(n_cached or 0, n_input)
        cheaper = self.input if self.cached is None else self.cached
        total = (n_input - cached) * self.input + cached * cheaper + n_output * self.output
        return total / 1e6

    def of(self, answer: Answer) -> float | None:
        """Return what an answer cost; None where the endpoint did not count its tokens."""
        return self.cost_usd(answer.n_input, answer.n_output, answer.n_cached)


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices by model."""

    models: Mapping[str, Price]

    def price(self, model: str) -> Price | None:
        """Return the price of a model, or None where it is unknown.

        A dated version has the price of its model. A model whose name begins with "local:" runs on
        this machine and costs nothing.
        """
        if model.startswith(_OWN_MACHINE):
            return Price(0.0, 0.0)
        found = self.models.get(model)
        return self.models.get(_DATED.sub("", model)) if found is None else found


def read_prices(
    prices: Mapping[str, Any] | str | os.PathLike[str] | None = None,
) -> PriceTable:
    """Return the packaged prices, with the caller's in front.

    Args:
        prices: model → `Price` or a mapping with ``input``, ``output`` and perhaps ``cached``, in
            US dollars per million tokens; or the path of a TOML file laid out as ``prices.toml``.

    Raises:
        InputError: the file cannot be read, or a price is no price.
    """
    raw = packaged("prices.toml")
    date = raw["date"]
    table = {model: _price(model, price, date) for model, price in raw["models"].items()}
    if isinstance(prices, Mapping):
        table |= {str(model): _price(f"prices[{shown(model)}]", p) for model, p in prices.items()}
    elif prices is not None:
        where = shown_path(Path(prices))
        own = read_toml(Path(prices), f"The prices {where}")
        models, date = own.get("models"), str(own.get("date", ""))
        if not isinstance(models, dict):
            raise InputError(
                f"The prices {where} have no section [models]. Write lines such as: "
                '"gpt-4o-mini" = { input = 0.15, output = 0.60 }'
            )
        table |= {m: _price(f"{where}: {shown(m)}", p, date) for m, p in models.items()}
    return PriceTable(table)


def _price(where: str, value: object, date: str = "") -> Price:
    if isinstance(value, Price):
        return value
    given = value if isinstance(value, Mapping) else {}
    numbers = [one for one in given.values() if isinstance(one, (int, float)) and one is not True]
    sound = len(numbers) == len(given) and all(0 <= one < 1e9 for one in numbers)
    if not sound or not {"input", "output"} <= set(given) <= set(_KEYS):
        raise InputError(
            f"{where} must be a price with 'input' and 'output' (and 'cached', where it has one), "
            "in US dollars per million tokens, each 0 or more."
        )
    return Price(**given, date=date)


def estimate_tokens(text: str) -> int:
    """Return roughly the tokens of a text, where no tokenizer is known.

    Four ASCII characters a token, and one and a half of the others.
    """
    n_ascii = len(text.encode("ascii", "ignore"))
    return round(n_ascii / 4 + (len(text) - n_ascii) / 1.5)


def unknown_price(model: str, whose: str) -> InputError:
    """Return the error that a budget is without a price."""
    return InputError(
        f"'max_cost_usd' cannot be kept: the price of the model {shown(model)} of {shown(whose)} "
        "is unknown. Give it, in US dollars per million tokens: in Python as prices = "
        f'{{{model!r}: {{"input": …, "output": …}}}}, in a recipe in a file that rate.prices names.'
    )


class Budget:
    """A hard stop, shared by the raters of a run.

    Before a request is sent, the most that it can cost is set aside; so requests in flight never
    carry the sum over the limit. A request that ends without an answer may have been billed: what
    was set aside for it stays counted.

    Attributes:
        max_usd: the limit, None for none.
        spent_usd: what is known to be spent, or may be.
        reserved_usd: set aside for what is in flight.
        n_reserved: how many requests that is.
        exhausted: a request was held back.
    """

    def __init__(self, max_usd: float | None, spent_usd: float = 0.0) -> None:
        self.max_usd = max_usd
        self.spent_usd = spent_usd
        self.reserved_usd = 0.0
        self.n_reserved = 0
        self.exhausted = False

    def reserve(self, most_usd: float) -> bool:
        """Set ``most_usd`` aside, or say no."""
        if self.max_usd is None:
            return True
        if self.spent_usd + self.reserved_usd + most_usd > self.max_usd:
            return False
        self.reserved_usd += most_usd
        self.n_reserved += 1
        return True

    def settle(self, most_usd: float, cost_usd: float | None) -> None:
        """Put the cost in place of what was set aside; None: it is unknown and stays counted."""
        if self.max_usd is not None:
            self.n_reserved -= 1
            self.reserved_usd = self.reserved_usd - most_usd if self.n_reserved else 0.0
            self.spent_usd += most_usd if cost_usd is None else cost_usd


def most_input_tokens(messages: Iterable[Mapping[str, str]]) -> int:
    """Return what the tokens of a prompt cannot exceed: a token has at least one byte.

    Chat templates add a few tokens per message and some around all of them; 64 is far above.
    """
    return 64 + sum(64 + len(m["content"].encode("utf-8", "replace")) for m in messages)


#: Fields of a request that say how long a reply may be, and how many there are of it.
_LENGTHS = re.compile(r"(?:^|_)(?:max|budget|num_predict|n_predict|tokens|length)(?:_|$)")
_TIMES = re.compile(r"n|best_of|num_return_sequences|candidate_count")
_NO_LENGTHS = re.compile(r"min|prompt|input|trunc|context|stop|price")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
#: What a reply may have where a request sets its length free.
NO_LIMIT = 10_000_000


def most_output_tokens(settings: Mapping[str, object]) -> int:
    """Return the most tokens that the replies to one request have, by a rater's settings.

    ``extra`` may ask for longer replies, for more of them, and, deeper inside, for reasoning that
    comes on top. A length that is none (null, -1) takes the limit away: `NO_LIMIT`.
    """
    longest, deeper, times = [_length(settings.get("max_output_tokens", 0))], 0, [1]
    todo: list[tuple[object, bool]] = [(settings.get("extra"), True)]
    while todo:
        fields, outer = todo.pop()
        inner = list(fields) if isinstance(fields, (list, tuple)) else []
        if isinstance(fields, Mapping):
            inner = list(fields.values())
            for key, value in fields.items():
                name = _HUMP.sub("_", str(key)).lower()
                if _TIMES.fullmatch(name):
                    times.append(1 if value is None else _length(value))
                elif _NO_LENGTHS.search(name):
                    continue
                elif _LENGTHS.search(name) and not isinstance(value, (Mapping, list, tuple)):
                    longest += [_length(value)] if outer else []
                    deeper += 0 if outer else _length(value)
        todo += [(value, False) for value in inner]
    return min((max(longest) + deeper) * max(times), NO_LIMIT)


def _length(value: object) -> int:
    """Return a length as an endpoint may read it; `NO_LIMIT` where it is none."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return NO_LIMIT
    return math.ceil(number) if 0 <= number < NO_LIMIT else NO_LIMIT


def request_tokens(
    messages: tuple[Mapping[str, str], ...], settings: Mapping[str, object], schema: object
) -> tuple[int, int]:
    """Return the most tokens of a request and of its replies; a token has at least one byte."""
    around = len(json.dumps([settings.get("extra"), schema], ensure_ascii=False).encode())
    return most_input_tokens(messages) + around, most_output_tokens(settings)


class OverBudgetError(Exception):
    """A request was not sent: it could exceed the limit, or could not be written down."""


class Account:
    """The requests of one rater, against the budget that the raters of a run share.

    ``factor`` is by how much its server has billed above what it was asked for, at most, so far.

    Attributes:
        billed: a request was answered and billed: from now on many may be in flight.
    """

    def __init__(
        self, budget: Budget, writer: Writer, model: str, price: Price | None, factor: float = 1.0
    ) -> None:
        self.budget, self._writer, self._model, self._price = budget, writer, model, price
        self._factor, self.billed, self._open = factor, False, 0

    @property
    def waits(self) -> bool:
        """Whether nothing more may leave before the request in flight has been billed."""
        return self.budget.max_usd is not None and not self.billed and self._open > 0

    def reserve(self, n_input: int, n_output: int) -> Reserved | None:
        """Set aside what a request may cost at most; None where that would exceed the limit."""
        usd = None if self._price is None else self._price.cost_usd(n_input, n_output)
        usd = None if usd is None else usd * self._factor
        if not self.budget.reserve(usd or 0.0):
            return None
        self._open += 1
        return self._writer.reserve(n_input, n_output, self._model, usd)

    async def written(self) -> bool:
        """Wait until what was set aside is on disk, where there is a limit."""
        return self.budget.max_usd is None or await self._writer.written()

    def settle(self, reserved: Reserved, cost_usd: float | None, *, in_row: bool = False) -> None:
        """Put the cost in the place of what was set aside; None: it is unknown and stays.

        ``in_row``: the cost is in a row that settles the reservation itself.
        """
        self._open -= 1
        self.budget.settle(reserved.usd or 0.0, cost_usd)
        if cost_usd is None:
            return
        if not in_row:
            self._writer.settle(reserved.number, cost_usd)
        most = self._price.cost_usd(reserved.n_input, reserved.n_output) if self._price else None
        if most and cost_usd > most * self._factor * 1.000001:
            self._factor = cost_usd / most
            self._writer.learn(self._model, self._factor)

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
            self.billed = True
        except Failure as failure:
            cost_usd = None if failure.may_cost else 0.0
            raise
        finally:
            self.settle(reserved, cost_usd)
        return answer

    def spend(self, answer: Answer) -> None:
        """Count an answer that came without a reservation."""
        cost_usd = self.cost_usd(answer)
        if cost_usd:
            self.budget.spent_usd += cost_usd
            self._writer.settle(self._writer.reserve(0, 0, self._model, cost_usd).number, cost_usd)

    def cost_usd(self, answer: Answer) -> float | None:
        """Return what an answer cost, None where the endpoint did not say or no price is known."""
        return None if self._price is None else self._price.of(answer)
