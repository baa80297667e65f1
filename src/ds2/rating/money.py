"""What rating costs: prices with their date, a forecast, and a budget that is never exceeded.

An unknown price is None, and "unknown" in words. It is never 0.
"""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from ds2.errors import InputError
from ds2.pool.wording import shown, shown_path

__all__ = [
    "Budget",
    "Price",
    "PriceTable",
    "estimate_tokens",
    "most_input_tokens",
    "read_prices",
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
    """

    input: float
    output: float
    cached: float | None = None

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


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices by model.

    Attributes:
        models: model → price.
        date: of the packaged prices; their file says where they are from.
    """

    models: Mapping[str, Price]
    date: str

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
    table = _packaged()
    if prices is None:
        return table
    if isinstance(prices, Mapping):
        own = {str(model): _price(f"prices[{shown(model)}]", p) for model, p in prices.items()}
    else:
        own = _own_file(Path(prices))
    return PriceTable({**table.models, **own}, table.date)


@cache
def _packaged() -> PriceTable:
    raw = tomllib.loads(files("ds2.rating").joinpath("prices.toml").read_text("utf-8"))
    models = {model: _price(model, price) for model, price in raw["models"].items()}
    return PriceTable(models, raw["date"])


def _own_file(path: Path) -> dict[str, Price]:
    where = shown_path(path)
    try:
        raw = tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise InputError(f"The prices {where} cannot be read: {error.strerror}.") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"The prices {where} are not valid TOML: {error}.") from None
    models = raw.get("models")
    if not isinstance(models, dict):
        raise InputError(
            f"The prices {where} have no section [models]. Write lines such as: "
            '"gpt-4o-mini" = { input = 0.15, output = 0.60 }'
        )
    return {model: _price(f"{where}: {shown(model)}", price) for model, price in models.items()}


def _price(where: str, value: object) -> Price:
    if isinstance(value, Price):
        return value
    sound = isinstance(value, Mapping) and {"input", "output"} <= set(value) <= set(_KEYS)
    if not sound or not all(_is_price(number) for number in value.values()):  # type: ignore[attr-defined]
        raise InputError(
            f"{where} must be a price with 'input' and 'output' (and 'cached', where it has one), "
            "in US dollars per million tokens, each 0 or more."
        )
    return Price(**value)  # type: ignore[arg-type]


def _is_price(value: object) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and 0 <= value < 1e9  # type: ignore[operator]


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
