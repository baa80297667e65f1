"""A conversation in a format that it was not read from."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ds2.errors import InputError
from ds2.pool.turns import REASONING, Turns, call_of, join_turns
from ds2.pool.wording import shown

__all__ = ["convert_fields", "convert_rich"]


def convert_fields(turns: Turns, form: str, example_id: str) -> dict[str, object]:
    """Return the fields of a conversation of texts in a format.

    Raises:
        InputError: the format cannot express the conversation.
    """
    if form == "messages":
        return {"messages": join_turns(turns, form)}
    if form == "sharegpt":
        return {"conversations": join_turns(turns, form)}
    roles = tuple(role for role, _ in turns)
    if roles not in {("user", "assistant"), ("system", "user", "assistant")}:
        raise InputError(
            f"The {form} format holds one user turn and one assistant turn, and example "
            f"{shown(example_id)} has the turns {', '.join(roles[:6])}{' …' * (len(roles) > 6)}. "
            "Write the pool as 'messages' or 'sharegpt', or leave this example out."
        )
    prompt, answer = turns[-2][1], turns[-1][1]
    if form == "alpaca":
        fields: dict[str, object] = {"instruction": prompt, "input": "", "output": answer}
    else:
        fields = {"prompt": prompt, "response": answer}
    if len(turns) == 3:
        fields["system"] = turns[0][1]
    return fields


def convert_rich(
    turns: Sequence[Mapping[str, Any]], form: str, example_id: str
) -> dict[str, object]:
    """Return the fields of turns as OpenAI writes them, with all that they hold.

    Raises:
        InputError: the format holds texts alone, and there is more.
    """
    if form == "messages":
        return {"messages": [dict(turn) for turn in turns]}
    if form == "sharegpt":
        return {"conversations": [part for turn in turns for part in _shared(turn)]}
    if form == "prompt-response" and turns[-1]["role"] == "assistant":
        prompt: list[dict[str, Any]] = [dict(turn) for turn in turns[:-1]]
        return {"prompt": prompt, "response": [dict(turns[-1])]}
    raise InputError(
        f"The {form} format holds texts, and example {shown(example_id)} has more: calls of "
        "tools, media, reasoning or marks of single turns. Write the pool as 'messages'."
    )


#: ShareGPT's names of roles.
_FROM = {"user": "human", "assistant": "gpt"}


def _shared(turn: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A turn as ShareGPT writes it; a call of tools is a turn of its own."""
    calls = turn.get("tool_calls")
    apart = ("role", "content", "tool_calls")
    kept = {key: value for key, value in turn.items() if key not in apart}
    out = []
    thought = any(key in turn for key in REASONING)
    if turn["content"] or not calls or thought:
        name = _FROM.get(turn["role"], turn["role"])
        out.append({"from": name, "value": turn["content"], **kept})
    if calls:
        said = [{k: v for k, v in (call_of(call) or {}).items() if v is not None} for call in calls]
        text = json.dumps(said[0] if len(said) == 1 else said, ensure_ascii=False)
        out.append({"from": "function_call", "value": text})
    return out
