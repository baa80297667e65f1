"""Conversations that are one text, in the words of a chat template."""

import re

from ds2.pool.turns import Turns

__all__ = ["transcript_turns"]

#: Who speaks behind each mark that a template has, and what may stand at the end of a turn.
_SPEAKERS = {
    "human": "user",
    "user": "user",
    "instruction": "user",
    "input": "user",
    "assistant": "assistant",
    "model": "assistant",
    "response": "assistant",
    "system": "system",
    "tool": "tool",
    "ipython": "tool",
    "function response": "tool",
}
_STYLES = tuple(
    map(
        re.compile,
        (
            r"(?:\A|\n)\s*(Human|Assistant): ?",
            r"(?:\A|\n)\s*(User|Assistant|System): ?",
            r"(?:\A|\s|</s>)(USER|ASSISTANT|SYSTEM|FUNCTION RESPONSE): ?",
            r"###\s*(Human|User|Assistant|System): ?",
            r"###\s*(Instruction|Input|Response): ?",
            r"<\|im_start\|>(\w+)\n",
            r"<\|start_header_id\|>(\w+)<\|end_header_id\|>\s*",
            r"<start_of_turn>(\w+)\n",
            r"<\|(system|user|assistant|tool)\|>\s*",
        ),
    )
)
_INST = re.compile(r"\[(/?)INST\]")
_SYSTEM = re.compile(r"\s*<<SYS>>(.*?)<</SYS>>", re.DOTALL)
_BEGIN = re.compile(r"\s*(?:<s>|<bos>|<\|begin_of_text\|>)+")
_END = re.compile(
    r"\s*(?:<\|im_end\|>|<\|eot_id\|>|<\|end\|>|<\|endoftext\|>|<end_of_turn>|</s>(?:\s*<s>)?)\s*\Z"
)


def transcript_turns(text: str) -> Turns:
    """Return the turns of a text that is a conversation in the words of a template; else none.

    It begins with a mark of the template, such as ``### Human:``, and both sides speak. What
    stands before ``### Instruction:`` is the system's.
    """
    if begun := _BEGIN.match(text):
        text = text[begun.end() :]
    if text.lstrip().startswith("[INST]"):
        return _conversation(_inst_turns(text))
    for style in _STYLES:
        preface, *pieces = style.split(text)
        instructed = bool(pieces) and pieces[0] == "Instruction"
        if not pieces or (preface.strip() and not instructed):
            continue
        turns = [("system", preface)] if preface.strip() else []
        for mark, said in zip(pieces[::2], pieces[1::2], strict=True):
            if mark == "Input" and turns:
                turns[-1] = (turns[-1][0], f"{turns[-1][1].rstrip()}\n\n{said.lstrip()}")
            else:
                turns.append((_SPEAKERS.get(mark.lower(), ""), said))
        return _conversation(turns)
    return []


def _inst_turns(text: str) -> Turns:
    turns: Turns = []
    pieces = _INST.split(text)[1:]
    for closed, said in zip(pieces[::2], pieces[1::2], strict=True):
        if not closed and (system := _SYSTEM.match(said)):
            turns += [("system", system[1]), ("user", said[system.end() :])]
        else:
            turns.append(("assistant" if closed else "user", said))
    return turns


def _conversation(turns: Turns) -> Turns:
    """Return turns without white space and marks around them; none where a side is silent."""
    roles = {role for role, _ in turns}
    whole = "" not in roles and {"user", "assistant"} <= roles
    return [(role, _END.sub("", text).strip()) for role, text in turns] if whole else []
