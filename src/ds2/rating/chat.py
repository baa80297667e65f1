"""A rater behind any endpoint that speaks OpenAI's chat completions."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, replace

from ds2.checks import check_choice, check_int, check_positive
from ds2.endpoints import address_of, read_key
from ds2.errors import InputError
from ds2.pool import Message
from ds2.rating.limits import LONGEST_WAIT_S
from ds2.rating.prompt import FORMS, Prompt, PromptBuilder
from ds2.rating.rater import Answer, Failure, Limits, Meter
from ds2.rating.reply import read_answer
from ds2.rating.rubric import Rubric
from ds2.rating.wire import ChatClient, Dialect, Target, adapted

__all__ = ["ChatRater", "chat_settings"]

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


async def _probe(
    ask: Ask, rubric: Rubric, asked: str, name: str, tries: int
) -> tuple[Dialect, tuple[str, ...], tuple[Answer, ...]]:
    """Return the dialect to speak, what to say about it, and what was answered on the way.

    ``asked`` is "auto", or one of ``FORMS``; a request whose failure can pass is sent ``tries``
    times.

    Raises:
        Failure: nothing works; fatal.
    """
    answers: list[Answer] = []
    dialect, refused, chain = Dialect("text"), "", _CHAINS.get(asked, (asked,))
    for form in chain:
        prompt = PromptBuilder(rubric, _NONCE, form).build(_EXAMPLE)
        try:
            dialect, answer = await _adapt(ask, replace(dialect, form=form), prompt, rubric, tries)
        except Failure as failure:
            if failure.fatal or failure.retryable:
                raise
            refused = failure.sentence
            continue
        answers.append(answer)
        problem = read_answer(answer, rubric=rubric, form=form).problem
        last = form == chain[-1] and form != "expected"
        if last or (problem is None and _holds(answer.text, form, rubric)):
            return dialect, _findings(asked, form, problem, name), tuple(answers)
    raise Failure(
        "bad request",
        refused or f"The replies of '{name}' do not have the form '{asked}': try form=\"auto\".",
        fatal=True,
    )


async def _adapt(
    ask: Ask, spoken: Dialect, prompt: Prompt, rubric: Rubric, tries: int
) -> tuple[Dialect, Answer]:
    """Ask as the endpoint says that it wants to be asked, and again while a failure can pass."""
    tried = 0
    while True:
        try:
            return spoken, await ask(spoken, prompt, rubric)
        except Failure as failure:
            other = adapted(spoken, failure.sentence) if failure.reason == "bad request" else None
            tried += 1
            wait_s = failure.retry_after_s or 0.0
            most = min(tries, _KNOCKS) if failure.reason == "connection lost" else tries
            again = failure.retryable and tried < most and wait_s <= LONGEST_WAIT_S
            if other is None and not again:
                raise
        if other is not None:
            spoken, tried = other, 0
        else:
            await asyncio.sleep(max(wait_s, min(10.0, _FIRST_PAUSE_S * 2**tried)))


def _holds(text: str, form: str, rubric: Rubric) -> bool:
    """Say whether a reply with a rating has the form that was asked for."""
    if form in ("text", "expected"):
        return True
    try:
        reply = json.loads(text)
    except ValueError:
        return False
    return isinstance(reply, dict) and (form == "json" or sorted(reply) == sorted(rubric.names))


def _findings(asked: str, form: str, problem: str | None, name: str) -> tuple[str, ...]:
    found = []
    if asked == "expected" and form != "expected":
        found.append(
            f"'{name}' gives no usable log-probabilities of a reply's first token, so it "
            f"{_WORDS[form]} instead."
        )
    elif asked == "auto" and form != "structured":
        found.append(f"'{name}' keeps to no JSON schema, so it {_WORDS[form]}.")
    if problem is not None:
        found.append(f"The reply of '{name}' to a tiny example holds no rating: {problem}.")
    return tuple(found)


def chat_settings(
    model: str,
    temperature: float | None,
    max_output_tokens: int,
    extra: Mapping[str, object] | None,
    variant: str | None,
    *,
    send_seed: bool = False,
) -> Mapping[str, object]:
    """Return what can change a reply, neither key nor address: part of the store's key.

    Raises:
        InputError: a setting is none.
    """
    if not model.strip():
        raise InputError("'model' must be the name of a model. Got an empty one.")
    if temperature is not None:
        check_positive("temperature", temperature, zero=True)
    settings: dict[str, object] = {
        "rater": "chat",
        "model": model,
        "temperature": temperature,
        "max_output_tokens": check_int("max_output_tokens", max_output_tokens, low=1),
    }
    further = {"send_seed": send_seed, "extra": dict(extra or {}), "variant": variant}
    return settings | {name: value for name, value in further.items() if value}


class ChatRater:
    """A model behind an OpenAI-compatible endpoint.

    OpenAI, Azure, vLLM, SGLang, llama.cpp, Ollama, OpenRouter and others. What the endpoint can is
    found out once, on a tiny example: JSON schema, else JSON mode, else free text; how it wants the
    token limit; whether it takes a temperature.

    Args:
        model: the model's name, as the endpoint knows it (Azure: the deployment's).
        base_url: the endpoint, for example "http://localhost:8000/v1"; None is OpenAI's own.
        api_key_env: the environment variable that holds the key; None is OPENAI_API_KEY for
            OpenAI's own address and no key for any other. The key is in no message, name, setting
            or file of ours.
        api_version: for Azure: its API version; ``base_url`` is then the resource's address.
        name: what the ratings are called; None is the model's name.
        form: the reply form: "structured", "json", "text", "expected" (one token and its
            log-probabilities: finer ratings, one output token), or "auto". "expected" falls back
            as "auto" does, and says so, where the endpoint gives no log-probabilities.
        temperature: of the sampling; None leaves it to the endpoint.
        max_output_tokens: the longest reply. A model that reasons first needs thousands.
        concurrency: the most requests in flight; the loop finds out how many are good below it.
        requests_per_minute: a limit to keep; None: only what the endpoint itself refuses.
        tokens_per_minute: the same, for the tokens of prompts and replies together.
        timeout_s: the longest wait for one reply.
        tries: how often one request is sent, as long as it can succeed.
        send_seed: send a seed with each request, for endpoints that know the field.
        extra: further fields of the request, for example {"reasoning_effort": "low"}.
        variant: further text that tells replies apart that are alike by all of the above: a
            quantisation, a host that serves the model differently.

    Raises:
        MissingDependencyError: openai is not installed.
        InputError: there is no key, or a setting is none.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key_env: str | None = None,
        api_version: str | None = None,
        name: str | None = None,
        form: str = "auto",
        temperature: float | None = 0.0,
        max_output_tokens: int = 512,
        concurrency: int = 64,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        timeout_s: float = 120.0,
        tries: int = 6,
        send_seed: bool = False,
        extra: Mapping[str, object] | None = None,
        variant: str | None = None,
    ) -> None:
        check_choice("form", form, ("auto", *FORMS))
        if api_version is not None and base_url is None:
            raise InputError("'api_version' is for Azure: give the resource's address as base_url.")
        self.settings = chat_settings(
            model, temperature, max_output_tokens, extra, variant, send_seed=send_seed
        )
        self.limits = Limits(concurrency, requests_per_minute, tokens_per_minute, timeout_s, tries)
        self._endpoint = address_of(base_url)
        self._key = read_key(api_key_env, base_url, "ChatRater")
        self.model, self.name = model, name or model
        self._base_url, self._api_version = base_url, api_version
        self._asked, self._dialect = form, None if form == "auto" else Dialect(form)
        self.settled: Mapping[str, object] = {}
        self._client: ChatClient | None = None
        #: Sends a request of `open` on somebody's account; None sends it without one.
        self.meter: Meter | None = None

    def __repr__(self) -> str:
        return f"ChatRater({self.model!r}, endpoint={self._endpoint!r}, form={self.form!r})"

    @property
    def form(self) -> str:
        """The reply form in use; what was asked for until `open` or `settle`."""
        return self._asked if self._dialect is None else self._dialect.form

    @property
    def findings(self) -> tuple[str, ...]:
        """What was found out about the endpoint, in sentences."""
        found = self.settled.get("findings", ())
        return tuple(map(str, found)) if isinstance(found, (list, tuple)) else ()

    def settle(self, settled: Mapping[str, object]) -> None:
        """Take over what an earlier `open` found out."""
        found = dict(settled)
        self._dialect = Dialect(**{k: v for k, v in found.items() if k != "findings"})  # type: ignore[arg-type]
        self.settled = found

    async def open(self, rubric: Rubric) -> tuple[Answer, ...]:
        """Connect, and unless settled ask about a tiny example to find out what works.

        Raises:
            Failure: the endpoint is not there, or refuses the key, the model or the form.
        """
        self._client = ChatClient(
            Target(self.model, self._endpoint, self._key),
            base_url=self._base_url,
            api_version=self._api_version,
            timeout_s=self.limits.timeout_s,
            concurrency=self.limits.concurrency,
        )
        await self._client.open()
        if self.settled:
            return ()
        asked = rubric.form if self._asked == "auto" else self._asked
        tries = self.limits.tries
        dialect, findings, answers = await _probe(self._ask, rubric, asked, self.name, tries)
        self.settle({**asdict(dialect), "findings": list(findings)})
        return answers

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def ask(self, prompt: Prompt, *, rubric: Rubric, seed: int) -> Answer:
        """Answer one prompt.

        Raises:
            Failure: there is no reply.
        """
        if self._dialect is None or self._client is None:
            raise InputError("ChatRater.ask needs an open rater: call its open first.")
        return await self._send(self._dialect, prompt, rubric, seed)

    async def _ask(self, dialect: Dialect, prompt: Prompt, rubric: Rubric) -> Answer:
        if self.meter is None:
            return await self._send(dialect, prompt, rubric)
        return await self.meter(prompt, lambda: self._send(dialect, prompt, rubric))

    async def _send(
        self, dialect: Dialect, prompt: Prompt, rubric: Rubric, seed: int = 0
    ) -> Answer:
        assert self._client is not None
        return await self._client.ask(dialect.body(prompt, rubric, self.settings, seed))
