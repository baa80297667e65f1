"""A conversation as token ids, and which of them are learned: the answers and their stop token.

Training and evaluation both take their ids from here, so they cannot differ.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from ds2.errors import InputError
from ds2.proof.templates import Template, TemplateRefusedError, Tokenizer, Turns, load_template

__all__ = [
    "Encoded",
    "Template",
    "check_mask",
    "choose_pad",
    "encode",
    "load_template",
    "marked",
    "prompt_ids",
]


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """One conversation.

    Attributes:
        ids: (n,) int32 token ids; nothing follows the last that is learned.
        learned: (n,) bool, true where a token is learned.
        cut: whether tokens were cut off at the end.
    """

    ids: np.ndarray
    learned: np.ndarray
    cut: bool = False

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def n_learned(self) -> int:
        """How many tokens are learned."""
        return int(self.learned.sum())


def encode(
    turns: Turns,
    template: Template,
    tokenizer: Tokenizer,
    *,
    max_length: int,
    too_long: Literal["drop", "cut"] = "drop",
    loss_on: Literal["assistant", "last-answer"] = "assistant",
) -> Encoded | str:
    """Return the ids of a conversation and what is learned of it, or why it cannot be learned.

    An answer's prompt is tokenized without the answer, as when the model is asked; where the
    tokenizer would merge across that border, the answer is tokenized apart. So the ids of the
    prompt are a prefix. Learned are each answer's tokens and the stop token behind it. An answer
    that is empty, or that nothing comes before, is context.

    Args:
        turns: (role, content) in their order; the roles are those that the template knows.
        template: see `load_template`.
        tokenizer: the one that the template was loaded for.
        max_length: tokens at most.
        too_long: what becomes of a longer one; a cut answer has no stop token.
        loss_on: every answer, or the last one alone.
    """
    mark = next((mark for mark in template.special for _, text in turns if mark in text), None)
    if mark is not None:
        return f"its text holds {mark}, a special token of the model"
    answers = [i for i, (role, _) in enumerate(turns) if role == "assistant"]
    if loss_on == "last-answer":
        answers = answers[-1:]
    answers = [i for i in answers if i > 0 and turns[i][1].strip()]
    if not answers:
        return "no answer"
    try:
        ids, learned = _learn(turns, answers, template, tokenizer)
    except TemplateRefusedError as error:
        return str(error)
    return _fitted(ids, learned, max_length, too_long)


def _learn(
    turns: Turns, answers: Sequence[int], template: Template, tokenizer: Tokenizer
) -> tuple[list[int], list[bool]]:
    """Ids up to the end of the last of the answers, and the mask of those answers."""
    ids: list[int] = []
    learned: list[bool] = []
    text = ""
    for i in answers:
        prompt = template.render(turns[:i], prompt=True)
        whole = template.render(turns[: i + 1])
        if not prompt.startswith(text):
            raise TemplateRefusedError(
                "the template changes earlier turns (train.loss_on = last-answer takes it)"
            )
        if not whole.startswith(prompt):
            raise TemplateRefusedError(
                "the template's prompt is not how the answered conversation begins"
            )
        answer, stop, _ = whole[len(prompt) :].partition(template.stop)
        if not stop or not answer.strip():
            raise TemplateRefusedError("the template gives no answer that ends with its stop token")
        before = _extend(ids, text, prompt, tokenizer)
        text = prompt + answer + stop
        ids = _extend(before, prompt, text, tokenizer)
        if ids[-1] != template.stop_id:
            raise TemplateRefusedError("the tokenizer merges the stop token with the answer")
        learned += [False] * (len(before) - len(learned)) + [True] * (len(ids) - len(before))
    return ids, learned


def _extend(ids: list[int], text: str, longer: str, tokenizer: Tokenizer) -> list[int]:
    """Ids of the longer text that begin with those of the text."""
    whole = _tokenize(longer, tokenizer)
    if whole[: len(ids)] == ids:
        return whole
    return ids + _tokenize(longer[len(text) :], tokenizer)


def _tokenize(text: str, tokenizer: Tokenizer) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _fitted(ids: list[int], learned: list[bool], max_length: int, too_long: str) -> Encoded | str:
    if len(ids) <= max_length:
        return Encoded(np.array(ids, np.int32), np.array(learned, bool))
    if too_long == "drop":
        return "too long"
    mask = np.array(learned[:max_length], bool)
    if not mask.any():
        return "too long: no answer begins within max_length"
    end = int(np.flatnonzero(mask)[-1]) + 1
    return Encoded(np.array(ids[:end], np.int32), mask[:end], cut=True)


def prompt_ids(
    turns: Turns, template: Template, tokenizer: Tokenizer, *, max_length: int
) -> tuple[np.ndarray, np.ndarray] | str:
    """Return the ids before the last answer and those of the answer with its stop token.

    They are those of `encode` with ``loss_on="last-answer"``; or why there are none, as where they
    are more than ``max_length``.
    """
    found = encode(turns, template, tokenizer, max_length=max_length, loss_on="last-answer")
    if isinstance(found, str):
        return found
    start = int(np.argmax(found.learned))
    return found.ids[:start], found.ids[start:]


def choose_pad(tokenizer: Tokenizer, template: Template) -> int:
    """Return an id for padding that is not the stop token; no embedding is added for it."""
    pad = getattr(tokenizer, "pad_token_id", None)
    if pad is not None and pad != template.stop_id:
        return int(pad)
    others = [i for i in template.special.values() if i != template.stop_id]
    return min(others, default=int(template.stop_id == 0))


def check_mask(
    turns: Turns,
    encoded: Encoded,
    template: Template,
    tokenizer: Tokenizer,
    *,
    n_embeddings: int | None = None,
    pad_id: int | None = None,
) -> None:
    """Check one row's mask against the template, by another way than it was made.

    Args:
        turns: the conversation.
        encoded: its ids and what is learned.
        template: see `load_template`.
        tokenizer: the one that the template was loaded for.
        n_embeddings: rows of the model's embedding.
        pad_id: what rows are padded with.

    Raises:
        InputError: nothing is learned; an answer lacks its stop token; something besides answers
            is learned; a prompt is not what the model will be asked with; the padding is the stop
            token; or an id has no embedding.
    """
    runs = list(_runs(encoded.learned))
    if not any(learned for _, _, learned in runs):
        raise _fault("nothing is learned of it", "Choose another template.")
    first = int(np.argmax(encoded.learned))
    prompts = [template.render(turns[:i], prompt=True) for i, (role, _) in enumerate(turns)
               if role == "assistant" and i]  # fmt: skip
    asked = [_tokenize(text, tokenizer) for text in prompts]
    if list(encoded.ids[:first]) not in asked:
        raise _fault(
            "the ids before its first learned token are not those of a prompt",
            "Choose another template, such as tulu.",
        )
    bare = [_bare(text) for role, text in turns if role == "assistant" and text.strip()]
    for start, end, learned in runs:
        if not learned:
            continue
        open_end = encoded.cut and end == len(encoded)
        if not open_end and encoded.ids[end - 1] != template.stop_id:
            raise _fault("an answer's stop token is not learned", "Choose another template.")
        said = _bare(str(tokenizer.decode([int(i) for i in encoded.ids[start:end]])))
        if not open_end and not any(text in said for text in bare):
            raise _fault("what is learned is not an answer of it", "Choose another template.")
    if pad_id == template.stop_id:
        raise _fault("padding is the stop token", "Take the id that choose_pad gives.")
    if n_embeddings is not None and int(encoded.ids.max()) >= n_embeddings:
        raise _fault(
            f"the token {int(encoded.ids.max())} was added to the vocabulary and the model has no "
            f"embedding for it, which LoRA never trains (it has {n_embeddings:,})",
            "Choose a template of plain text, such as tulu.",
        )


def marked(encoded: Encoded, tokenizer: Tokenizer) -> tuple[tuple[str, bool], ...]:
    """Return the row's text in pieces, each with whether it is learned."""
    return tuple(
        (str(tokenizer.decode([int(i) for i in encoded.ids[start:end]])), learned)
        for start, end, learned in _runs(encoded.learned)
    )


def _runs(learned: Sequence[bool] | np.ndarray) -> Iterator[tuple[int, int, bool]]:
    """Start, end and value of each run of equal values."""
    values = np.asarray(learned, bool)
    edges = [0, *(np.flatnonzero(np.diff(values.astype(np.int8))) + 1).tolist(), len(values)]
    for start, end in pairwise(edges):
        yield start, end, bool(values[start])


def _bare(text: str) -> str:
    """The letters and digits of a text: what a template's and a tokenizer's spaces leave alone."""
    return "".join(sign for sign in text if sign.isalnum())


def _fault(what: str, remedy: str) -> InputError:
    return InputError(
        f"The template does not fit this model: of a conversation, {what}. {remedy} The setting is "
        "'train.template'; ds2 train --show-loss shows what is learned."
    )
