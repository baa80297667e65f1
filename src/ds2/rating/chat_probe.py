"""Finding out once what an endpoint can, on a tiny example of ours."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

from ds2.pool import Message
from ds2.rating.chat_dialect import Dialect, adapted
from ds2.rating.limits import LONGEST_WAIT_S
from ds2.rating.prompt import Prompt, PromptBuilder
from ds2.rating.rater import Answer, Failure
from ds2.rating.reply import read_answer
from ds2.rating.rubric import Rubric

__all__ = ["probe"]

#: Asks once: the dialect to speak, a prompt, the rubric.
Ask = Callable[[Dialect, Prompt, Rubric], Awaitable[Answer]]

_EXAMPLE = (
    Message("user", "Name the largest planet of the solar system."),
    Message("assistant", "Jupiter is the largest planet of the solar system."),
)
#: Nothing in a probe is an attack: its fence may be known.
_NONCE = "probe"
_CHAINS = {
    "auto": ("structured", "json", "text"),
    "expected": ("expected", "structured", "json", "text"),
}
_WORDS = {
    "structured": "replies by JSON schema",
    "json": "replies in JSON mode",
    "text": "replies in free text",
    "expected": "gives one token and its log-probabilities",
}
_FIRST_PAUSE_S = 0.5
#: An endpoint that nobody answers at is most often the wrong address: this many tries are enough.
_KNOCKS = 3


async def probe(
    ask: Ask, rubric: Rubric, asked: str, name: str, tries: int
) -> tuple[Dialect, tuple[str, ...], tuple[Answer, ...]]:
    """Return the dialect to speak, what to say about it, and what was answered on the way.

    Args:
        ask: sends one request.
        rubric: what will be asked.
        asked: "auto", or one of ``FORMS``.
        name: the rater's, for the sentences.
        tries: how often a request is sent whose failure can pass.

    Raises:
        Failure: nothing works; fatal.
    """
    answers: list[Answer] = []
    dialect, refused = Dialect("text"), ""
    for form in _CHAINS.get(asked, (asked,)):
        prompt = PromptBuilder(rubric, _NONCE, form).build(_EXAMPLE)
        try:
            dialect, answer = await _adapt(ask, replace(dialect, form=form), prompt, rubric, tries)
        except Failure as failure:
            if failure.fatal or failure.retryable:
                raise
            refused = failure.sentence
            continue
        answers.append(answer)
        last = form == _CHAINS.get(asked, (asked,))[-1]
        if _holds(answer, form, rubric) or (last and form != "expected"):
            return dialect, _findings(asked, form, answer, rubric, name), tuple(answers)
    raise Failure(
        "bad request",
        refused or f"The replies of '{name}' do not have the form '{asked}': try form=\"auto\".",
        fatal=True,
    )


async def _adapt(
    ask: Ask, spoken: Dialect, prompt: Prompt, rubric: Rubric, tries: int
) -> tuple[Dialect, Answer]:
    """Ask, changing the dialect as long as the endpoint says what it wants."""
    while True:
        try:
            return spoken, await _patiently(ask, spoken, prompt, rubric, tries)
        except Failure as failure:
            other = adapted(spoken, failure.sentence) if failure.reason == "bad request" else None
            if other is None:
                raise
        spoken = other


async def _patiently(
    ask: Ask, dialect: Dialect, prompt: Prompt, rubric: Rubric, tries: int
) -> Answer:
    """Ask, and again after a pause while the failure can pass."""
    tried = 0
    while True:
        try:
            return await ask(dialect, prompt, rubric)
        except Failure as failure:
            tried += 1
            wait_s = failure.retry_after_s or 0.0
            most = min(tries, _KNOCKS) if failure.reason == "connection lost" else tries
            if not failure.retryable or tried >= most or wait_s > LONGEST_WAIT_S:
                raise
        await asyncio.sleep(max(wait_s, min(10.0, _FIRST_PAUSE_S * 2**tried)))


def _holds(answer: Answer, form: str, rubric: Rubric) -> bool:
    """Say whether a reply has the form that was asked for."""
    reading = read_answer(
        answer.text, answer.finish_reason, answer.top_logprobs, rubric=rubric, form=form
    )
    if reading.problem is not None or form == "expected":
        return reading.problem is None
    if form == "text":
        return True
    try:
        reply = json.loads(answer.text)
    except ValueError:
        return False
    if not isinstance(reply, dict):
        return False
    return form == "json" or sorted(reply) == sorted(rubric.names)


def _findings(asked: str, form: str, answer: Answer, rubric: Rubric, name: str) -> tuple[str, ...]:
    found = []
    if asked == "expected" and form != "expected":
        found.append(
            f"'{name}' gives no usable log-probabilities of a reply's first token, so it "
            f"{_WORDS[form]} instead."
        )
    elif asked == "auto" and form != "structured":
        found.append(f"'{name}' keeps to no JSON schema, so it {_WORDS[form]}.")
    reading = read_answer(
        answer.text, answer.finish_reason, answer.top_logprobs, rubric=rubric, form=form
    )
    if reading.problem is not None:
        found.append(f"The reply of '{name}' to a tiny example holds no rating: {reading.problem}.")
    return tuple(found)
