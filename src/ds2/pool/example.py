"""One conversation, as a person sees it; the pool itself holds columns, not these."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

__all__ = ["Example", "Message", "Reject", "conversation_text"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn: who speaks (``system``, ``user``, ``assistant`` or ``tool``) and what."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Example:
    """One conversation of the pool.

    Attributes:
        id: the example's own id, or one derived from its content.
        messages: the turns, first to last.
        source: where the example comes from, when the row says so.
        extra: every other field of the row.
    """

    id: str
    messages: tuple[Message, ...]
    source: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict)

    @property
    def turns(self) -> tuple[tuple[str, str], ...]:
        """(role, content) of each message."""
        return tuple((message.role, message.content) for message in self.messages)

    def text(self) -> str:
        """Return the whole conversation as ``role: content`` lines."""
        return conversation_text(self.turns)


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that could not become an example.

    Attributes:
        file: the file it was read from.
        line: line of the file (JSONL, CSV) or number of the row (JSON, Parquet), from 1.
        reason: the kind of fault, then after a colon what was found.
        text: the start of the row as it was read. It is data: escape it before showing it.
    """

    file: str
    line: int
    reason: str
    text: str


def conversation_text(turns: Iterable[tuple[str, str]]) -> str:
    """Join (role, content) pairs as ``role: content`` lines."""
    return "\n".join(f"{role}: {content}" for role, content in turns)
