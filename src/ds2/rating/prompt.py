"""The prompt for one example: a fixed part first, then the example behind a fence."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from ds2.pool.example import Message
from ds2.rating.rubric import FORMS, Rubric

__all__ = ["FORMS", "Prompt", "PromptBuilder", "show_prompt"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is sent for one example.

    Attributes:
        messages: objects with role and content, as chat endpoints take them.
        left_out: characters of the example that are not in it, because it was too long.
    """

    messages: tuple[Mapping[str, str], ...]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class PromptBuilder:
    """Makes prompts that are equal but for the example.

    Attributes:
        rubric: what is asked.
        nonce: random text of the run; the fence is derived from it.
        form: the reply form, one of `FORMS`.
        max_tokens: the longest prompt, in tokens; None has no limit.
        count_tokens: counts the tokens of a text; None estimates.
        asked: with the form "expected", the criterion asked for; None is the scored one.
    """

    rubric: Rubric
    nonce: str
    form: str
    max_tokens: int | None = None
    count_tokens: Callable[[str], int] | None = None
    asked: str | None = None

    @property
    def hash(self) -> str:
        """sha256 (hex) of everything in the prompt that is not the example."""
        raise NotImplementedError

    def criterion(self, name: str) -> "PromptBuilder":
        """Return a builder of the form "expected" that asks for another criterion."""
        return replace(self, asked=name)

    def build(self, messages: Sequence[Message]) -> Prompt:
        """Return the prompt for one example."""
        raise NotImplementedError


def show_prompt(rubric: Rubric, example: Sequence[Message], form: str, nonce: str) -> str:
    """Return the exact prompt for an example as text, each message under its role."""
    raise NotImplementedError
