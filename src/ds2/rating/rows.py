"""What the store keeps: who was asked and how, about which example, and what came of it."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ds2.pool import Message
from ds2.rating.money import Price

__all__ = [
    "FAILED",
    "REPLIED",
    "UNANSWERED",
    "Reserved",
    "Row",
    "Setup",
    "Totals",
    "canonical",
    "example_hash",
]

#: What a row holds: a reply; a failure that asking again would only repeat; one that could pass.
REPLIED, FAILED, UNANSWERED = 2, 1, 0


def example_hash(messages: Iterable[Message]) -> bytes:
    """Return sha256 of the roles and texts of a conversation; lengths keep them apart."""
    digest = hashlib.sha256()
    for message in messages:
        for part in (message.role.encode(), message.content.encode("utf-8", "surrogatepass")):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
    return digest.digest()


@dataclass(frozen=True, slots=True)
class Setup:
    """Who is asked, and how: what can change a reply beside the example.

    Attributes:
        rater: what the ratings are called; not part of the key.
        model: the model's name; the settings hold it too.
        form: the reply form; the prompt's hash holds it too.
        settings: the rater's settings, JSON values.
        rubric_hash: of the rubric.
        prompt_hash: of everything fixed in the prompt.
    """

    rater: str
    model: str
    form: str
    settings: Mapping[str, object]
    rubric_hash: str
    prompt_hash: str

    @property
    def settings_hash(self) -> str:
        """sha256 (hex) of the settings."""
        return hashlib.sha256(canonical(self.settings).encode()).hexdigest()

    @property
    def key(self) -> tuple[str, str, str]:
        """What two setups share exactly when they share their replies."""
        return self.settings_hash, self.rubric_hash, self.prompt_hash


@dataclass(frozen=True, slots=True)
class Row:
    """What came of asking about one example once.

    Attributes:
        example: `example_hash` of the example.
        repeat: 0, or the number of a fresh rating of the same example.
        state: `REPLIED`, `FAILED` or `UNANSWERED`.
        problem: why there is no rating, as read at the time; None where there is one.
        reply: the text as it came; None where there was none.
        cost_usd: None where a price or the tokens are unknown.
        logprobs: the likeliest first tokens and their log-probabilities, as JSON.
        model: the model as the endpoint named it.
        tries: requests sent.
        at: when the row was made, seconds since 1970.
    """

    example: bytes
    repeat: int
    state: int
    problem: str | None = None
    reply: str | None = None
    finish_reason: str | None = None
    n_input: int | None = None
    n_output: int | None = None
    n_cached: int | None = None
    latency_s: float | None = None
    cost_usd: float | None = None
    logprobs: str | None = None
    model: str | None = None
    tries: int = 1
    at: float = 0.0

    def sound(self) -> "Row":
        """Return the row with nothing in it that SQLite or a file cannot hold.

        What came from an endpoint is foreign: numbers that are none or too large become unknown,
        lone halves of surrogate pairs become "?".
        """
        changes: dict[str, object] = {}
        for name in _FOREIGN_NUMBERS:
            value = getattr(self, name)
            if value is not None and not 0 <= value < _LARGEST:  # also NaN
                changes[name] = None
        for name in _FOREIGN_TEXTS:
            value = getattr(self, name)
            if value is not None and not value.isascii():
                changes[name] = value.encode("utf-8", "replace").decode("utf-8")
        return replace(self, **changes) if changes else self  # type: ignore[arg-type]


_FOREIGN_NUMBERS = ("n_input", "n_output", "n_cached", "latency_s", "cost_usd")
_FOREIGN_TEXTS = ("problem", "reply", "finish_reason", "logprobs", "model")
#: More tokens than any request has.
_LARGEST = 1e12


@dataclass(frozen=True, slots=True)
class Reserved:
    """What is set aside for a request: its number in the store, tokens, and US dollars if known."""

    number: int
    model: str
    n_input: int
    n_output: int
    usd: float | None


@dataclass(frozen=True, slots=True)
class Totals:
    """What a setup has taken so far, over all of the store.

    Attributes:
        n_requests: requests that got a reply.
        n_input: their tokens of prompts, those the endpoint reported.
        n_output: their tokens of replies.
        n_cached: of ``n_input``, what the endpoint had in its cache.
        known_usd: what is known of the cost.
        n_unknown: replies whose cost is unknown.
    """

    n_requests: int
    n_input: int
    n_output: int
    n_cached: int
    known_usd: float
    n_unknown: int

    @property
    def cost_usd(self) -> float | None:
        """The cost, None where that of a reply is unknown."""
        return None if self.n_unknown else self.known_usd

    def most_usd(self, price: Price) -> float:
        """Return the cost, or where it is unknown what the tokens cost at ``price``."""
        priced = price.cost_usd(self.n_input, self.n_output) or 0.0
        return max(self.known_usd, priced) if self.n_unknown else self.known_usd


def canonical(value: object) -> str:
    """Return JSON that is equal for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
