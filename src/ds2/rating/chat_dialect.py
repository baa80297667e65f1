"""The dialect of an endpoint: how a request to it is written, and how its reply is read."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ds2.rating.prompt import Prompt
from ds2.rating.rater import Answer
from ds2.rating.rubric import Rubric

__all__ = ["Dialect", "InBodyError", "NotACompletionError", "adapted", "read_body"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """What an endpoint takes.

    Attributes:
        form: the reply form, one of ``FORMS``.
        limit: the name of the field for the most tokens of a reply.
        temperature: whether it takes one.
        system: whether it takes a system message; otherwise its text goes in front of the user's.
        top_logprobs: how many log-probabilities of a token it gives.
    """

    form: str
    limit: str = "max_tokens"
    temperature: bool = True
    system: bool = True
    top_logprobs: int = 20

    def body(
        self,
        prompt: Prompt,
        rubric: Rubric,
        *,
        model: str,
        temperature: float | None,
        max_output_tokens: int,
    ) -> dict[str, object]:
        """Return a request, as JSON values."""
        expected = self.form == "expected"
        body: dict[str, object] = {"model": model, "messages": self._messages(prompt)}
        body[self.limit] = 1 if expected else max_output_tokens
        if self.temperature and temperature is not None:
            body["temperature"] = temperature
        if expected:
            body |= {"logprobs": True, "top_logprobs": self.top_logprobs}
        elif self.form == "json":
            body["response_format"] = {"type": "json_object"}
        elif self.form == "structured":
            schema = {"name": "rating", "strict": True, "schema": rubric.json_schema()}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body

    def _messages(self, prompt: Prompt) -> list[Mapping[str, str]]:
        messages = list(prompt.messages)
        if not self.system and len(messages) > 1 and messages[0]["role"] == "system":
            text = f"{messages[0]['content']}\n\n{messages[1]['content']}"
            messages[:2] = [{"role": messages[1]["role"], "content": text}]
        return messages


def adapted(dialect: Dialect, said: str) -> Dialect | None:
    """Return the dialect that an endpoint asks for when it refuses a request with these words."""
    told = said.lower()
    if dialect.limit == "max_tokens" and "max_completion_tokens" in told:
        return replace(dialect, limit="max_completion_tokens")
    if dialect.temperature and "temperature" in told:
        return replace(dialect, temperature=False)
    if dialect.form == "expected" and "top_logprobs" in told and dialect.top_logprobs > 5:
        return replace(dialect, top_logprobs=5)
    if dialect.system and "system" in told and ("role" in told or "message" in told):
        return replace(dialect, system=False)
    return None


def read_body(body: bytes, latency_s: float) -> Answer:
    """Read a chat completion.

    Raises:
        NotACompletionError: it is none.
        InBodyError: it is an error that came with the status 200, as some routers send.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise NotACompletionError from None
    if isinstance(data, dict) and data.get("error"):
        raise InBodyError(data["error"])
    try:
        choice = data["choices"][0]
        if choice.get("error") or choice.get("finish_reason") == "error":
            raise InBodyError(choice.get("error") or "the reply ended with an error")
        message = choice["message"]
        usage = data.get("usage") or {}
        details = usage.get("prompt_tokens_details") or {}
        return Answer(
            text=_text(message),
            finish_reason=_string(choice.get("finish_reason")),
            n_input=_count(usage.get("prompt_tokens")) or None,  # no prompt has none
            n_output=_count(usage.get("completion_tokens")),
            n_cached=_count(details.get("cached_tokens")),
            latency_s=latency_s,
            top_logprobs=_first_token(choice.get("logprobs")),
            model=_string(data.get("model")),
            reasoned=not _text(message) and any(message.get(name) for name in _REASONING),
        )
    except (KeyError, IndexError, TypeError, AttributeError, OverflowError):
        raise NotACompletionError from None


class NotACompletionError(Exception):
    """What came with the status 200 is no chat completion."""


class InBodyError(Exception):
    """An error in the body of a reply that has the status 200.

    Attributes:
        status: the code in it when that is a number, else 500.
        body: the error's object.
    """

    def __init__(self, body: object) -> None:
        super().__init__("an error with the status 200")
        self.body = dict(body) if isinstance(body, dict) else {"message": str(body)}
        code = self.body.get("code")
        self.status = code if isinstance(code, int) and 400 <= code < 600 else 500


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):  # parts
        content = "".join(part.get("text") or "" for part in content if isinstance(part, dict))
    return str(content or message.get("refusal") or "")


#: Where servers put a model's reasoning; no rating is read there.
_REASONING = ("reasoning_content", "reasoning", "thinking")
_LONGEST_NAME = 200


def _string(value: object) -> str | None:
    return value[:_LONGEST_NAME] if isinstance(value, str) else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _first_token(logprobs: object) -> dict[str, float] | None:
    """Return token → log-probability of the reply's first token, None where there are none."""
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list) or not content:
        return None
    first = content[0]
    found: dict[str, float] = {}
    for item in (first, *(first.get("top_logprobs") or ())):
        token, logprob = item.get("token"), item.get("logprob")
        if isinstance(token, str) and isinstance(logprob, (int, float)) and math.isfinite(logprob):
            found[token[:_LONGEST_NAME]] = max(
                float(logprob), found.get(token[:_LONGEST_NAME], float("-inf"))
            )
    return found or None
