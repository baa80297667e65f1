"""Whoever rates, seen from the loop: an answer to one prompt, or a named failure."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ds2.checks import check_int, check_positive

if TYPE_CHECKING:
    from ds2.rating.prompt import Prompt
    from ds2.rating.rubric import Rubric

__all__ = ["REFUSAL", "Answer", "Asked", "Failure", "Limits", "Meter", "Rater"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a rater sent back for one prompt.

    Attributes:
        text: the reply, as it came.
        finish_reason: why the reply ended, in the endpoint's words: ``stop``, ``length``, ….
        n_input: tokens of the prompt, None where the endpoint does not say.
        n_output: tokens of the reply, those of its reasoning included.
        n_cached: tokens of the prompt that the endpoint had in its cache.
        latency_s: from the request to the whole reply, without any wait of ours.
        top_logprobs: the likeliest first tokens and their log-probabilities, where asked for.
        model: the model as the endpoint named it, which may be a dated version.
        reasoned: there is a text, but in the field of the reasoning.
    """

    text: str
    finish_reason: str | None = None
    n_input: int | None = None
    n_output: int | None = None
    n_cached: int | None = None
    latency_s: float = 0.0
    top_logprobs: Mapping[str, float] | None = None
    model: str | None = None
    reasoned: bool = False

    def __post_init__(self) -> None:
        """Leave nothing in it that a file or a database cannot hold, nor a count that is none."""
        for name in ("n_input", "n_output", "n_cached"):
            count = getattr(self, name)
            if count is not None and not 0 <= count <= _MOST:  # also NaN
                object.__setattr__(self, name, None)
        if not 0 <= self.latency_s <= _MOST:
            object.__setattr__(self, "latency_s", 0.0)
        for name in ("text", "finish_reason", "model"):
            value = getattr(self, name)
            if value is not None and not value.isascii():  # halves of surrogate pairs become "?"
                object.__setattr__(self, name, value.encode("utf-8", "replace").decode("utf-8"))


#: Why a reply ended that an endpoint sends as a refusal, apart from replies.
REFUSAL = "refusal"
#: More tokens or seconds than any request takes: an endpoint that counts so many has not counted.
_MOST = 10_000_000


class Failure(Exception):  # noqa: N818 - it is an outcome that the loop expects, not a fault of ours
    """There is no reply to one request.

    Attributes:
        reason: one of `PROBLEMS`: one that can pass ("rate limited", "timed out", "server error",
            "connection lost", "empty"), of this example ("too long", "refused", "bad request") or
            of the rater ("no access", "no such model", "quota").
        sentence: what happened, for a person, without any secret.
        retryable: the same request can succeed when it is sent again.
        fatal: no other request of this rater can succeed either: stop, and say so once.
        retry_after_s: how long the endpoint asked to wait; None where it did not.
        away: the endpoint is not there, or says so: it may be back in a minute.
        may_cost: it may have been billed all the same. By default a timeout and a lost connection.
    """

    def __init__(
        self,
        reason: str,
        sentence: str,
        *,
        retryable: bool = False,
        fatal: bool = False,
        retry_after_s: float | None = None,
        away: bool = False,
        may_cost: bool | None = None,
    ) -> None:
        super().__init__(sentence)
        self.reason, self.sentence = reason, sentence
        self.retryable, self.fatal = retryable, fatal
        self.retry_after_s, self.away = retry_after_s, away
        silent = reason in ("timed out", "connection lost")
        self.may_cost = silent if may_cost is None else may_cost


@dataclass(frozen=True, slots=True)
class Limits:
    """How hard a rater may be asked. None of this changes a reply.

    Attributes:
        concurrency: the most requests in flight; the loop adapts below it.
        requests_per_minute: None where only the endpoint's own answers limit.
        tokens_per_minute: of prompt and reply together; None as above.
        timeout_s: the longest wait for one whole reply.
        tries: how often one request is sent in all, as long as it can succeed.
    """

    concurrency: int = 64
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    timeout_s: float = 120.0
    tries: int = 6

    def __post_init__(self) -> None:
        check_int("concurrency", self.concurrency, low=1, high=100_000)
        check_int("tries", self.tries, low=1)
        check_positive("timeout_s", self.timeout_s)
        for name in ("requests_per_minute", "tokens_per_minute"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))


class Asked(Protocol):
    """Who is asked, and how: what every rater has, those that are asked in batches too."""

    @property
    def name(self) -> str:
        """What the ratings are called; no two raters of a run share it."""

    @property
    def model(self) -> str:
        """The model's name, as the price table knows it."""

    @property
    def settings(self) -> Mapping[str, object]:
        """Exactly what can change a reply, as JSON values: part of the store's key.

        The reply form is not in here: the prompt's hash holds it. Neither is a key, and a host
        only where it changes the reply.
        """

    @property
    def form(self) -> str:
        """The reply form, one of ``FORMS``; "auto" until `open` or `settle` has fixed it."""

    @property
    def settled(self) -> Mapping[str, object]:
        """What `open` found out, as JSON values for `settle`; empty before."""

    def settle(self, settled: Mapping[str, object]) -> None:
        """Take over what an earlier `open` found out, so that nothing is asked for it again."""


@runtime_checkable
class Rater(Asked, Protocol):
    """Answers prompts. One object is used in one event loop at a time.

    The loop calls `open` once, then `ask` many times at once, then `close` whatever happened. A
    rater that can read only so many tokens says so in an attribute ``max_prompt_tokens``; one that
    sends each request of its `open` through a `Meter` has an attribute ``meter`` to put it into.
    """

    @property
    def limits(self) -> Limits:
        """How hard it may be asked."""

    @property
    def findings(self) -> tuple[str, ...]:
        """What `open` found out that the user should know, in sentences."""

    async def open(self, rubric: "Rubric") -> tuple[Answer, ...]:
        """Get ready: start servers, and unless settled find out what the endpoint can.

        Returns:
            What was answered on the way: it may have cost money.

        Raises:
            Failure: it cannot rate at all.
        """

    async def close(self) -> None:
        """Let go of connections and servers. May be called twice."""

    async def ask(self, prompt: "Prompt", *, rubric: "Rubric", seed: int) -> Answer:
        """Answer one prompt. ``seed`` differs between repeats, for endpoints that take one.

        Raises:
            Failure: there is no reply.
        """


#: Given a prompt and what sends it once, sends it on an account and returns the answer.
Meter = Callable[["Prompt", Callable[[], Awaitable[Answer]]], Awaitable[Answer]]
