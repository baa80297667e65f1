"""What goes over the wire to a chat endpoint: requests written and sent, replies and errors read.

The openai library says what a request looks like: its address, its headers, how it shows the key.
It takes most of a request's CPU time to do so. Requests to one model differ in the body alone, so
one is written by the library, and the others are copies of it with another body, sent by aiohttp
directly. benchmarks/rating_throughput.py measures both.
"""

import asyncio
import importlib
import json
import re
import select
import time
import weakref
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any

from ds2.endpoints import (
    KEY_VARIABLE,
    OPENAI,
    clean,
    connection,
    masked,
    proxy_of,
    public_address,
    sealed,
)
from ds2.errors import MissingDependencyError
from ds2.rating.prompt import Prompt
from ds2.rating.rater import REFUSAL, Answer, Failure
from ds2.rating.rubric import Rubric

__all__ = [
    "ChatClient",
    "Dialect",
    "Target",
    "adapted",
    "explain",
    "no_batches",
    "read_body",
    "refusal",
]


@dataclass(frozen=True, slots=True)
class Dialect:
    """What an endpoint takes: the reply form, one of ``FORMS``, and how it is to be asked.

    ``limit`` names the field for the most tokens of a reply; without ``system`` the text of the
    system message goes in front of the user's.
    """

    form: str
    limit: str = "max_tokens"
    temperature: bool = True
    system: bool = True
    top_logprobs: int = 20

    def body(
        self, prompt: Prompt, rubric: Rubric, settings: Mapping[str, object], seed: int = 0
    ) -> dict[str, object]:
        """Return a request by a rater's settings (see `chat_settings`), as JSON values."""
        expected = self.form == "expected"
        body: dict[str, object] = {"model": settings["model"], "messages": self._messages(prompt)}
        body[self.limit] = 1 if expected else settings["max_output_tokens"]
        if self.temperature and settings["temperature"] is not None:
            body["temperature"] = settings["temperature"]
        if expected:
            body |= {"logprobs": True, "top_logprobs": self.top_logprobs}
        elif self.form == "json":
            body["response_format"] = {"type": "json_object"}
        elif self.form == "structured":
            schema = {"name": "rating", "strict": True, "schema": rubric.json_schema()}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if settings.get("send_seed"):
            body["seed"] = seed
        extra = settings.get("extra")
        return {**body, **extra} if isinstance(extra, Mapping) else body

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


@dataclass(frozen=True, slots=True)
class Target:
    """Who is asked, for sentences about what went wrong; the address is without credentials.

    The endpoint may quote the key: it is taken out of what it says. "" when none was sent, None
    when it is not known.
    """

    model: str
    endpoint: str
    key: str | None


def read_body(body: bytes, latency_s: float, about: Target) -> Answer:
    """Read a chat completion.

    Raises:
        Failure: it is none, or an error that came with the status 200, as some routers send.
    """
    error: object = None
    try:
        data = json.loads(body)
        error = data.get("error")
        choice = {} if error else data["choices"][0]
        failed = str(choice.get("finish_reason")).lower() in ("error", "failed")
        if choice.get("error") or failed:
            error = choice.get("error") or "the reply ended with an error"
        if not error:
            return _answer(data, choice, latency_s)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        raise no_completion(about) from None
    told = error if isinstance(error, dict) else {"message": str(error)}
    code = told.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    failure = refusal(status, told, {}, about)
    failure.may_cost = True
    raise failure


def no_completion(about: Target) -> Failure:
    """Return the failure that what came with the status 200 is no chat completion."""
    sentence = (
        f"The endpoint {about.endpoint} sent something that is no chat completion for the model "
        f"'{about.model}'."
    )
    return Failure("server error", sentence, retryable=True, may_cost=True)


def no_batches(about: Target, error: Exception) -> Failure:
    """Return the failure that what came is nothing that an endpoint says of batches."""
    said = clean(str(error), about.key or "")
    sentence = f"The endpoint {about.endpoint} sent something that is no batch or file ({said})."
    return Failure("server error", sentence, retryable=True)


def _answer(data: Mapping[str, Any], choice: Mapping[str, Any], latency_s: float) -> Answer:
    message = choice["message"]
    usage = _mapping(data.get("usage"))
    details = _mapping(usage.get("prompt_tokens_details"))
    refused = not message.get("content") and message.get("refusal")
    return Answer(
        text=_text(message),
        finish_reason=REFUSAL if refused else _string(choice.get("finish_reason")),
        n_input=_count(usage.get("prompt_tokens")) or None,  # no prompt has none
        n_output=_count(usage.get("completion_tokens")),
        n_cached=_count(details.get("cached_tokens")),
        latency_s=latency_s,
        top_logprobs=_first_token(choice.get("logprobs")),
        model=_string(data.get("model")),
        reasoned=not _text(message) and any(message.get(name) for name in _REASONING),
    )


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


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int | None:
    return value if type(value) is int else None


def _first_token(logprobs: object) -> dict[str, float] | None:
    """Return token → log-probability of the reply's first token, None where there are none."""
    content = _mapping(logprobs).get("content")
    first = _mapping(content[0]) if isinstance(content, list) and content else {}
    others = first.get("top_logprobs")
    found: dict[str, float] = {}
    for item in (first, *(map(_mapping, others) if isinstance(others, list) else ())):
        token, logprob = _string(item.get("token")), item.get("logprob")
        if token is not None and isinstance(logprob, (int, float)) and abs(logprob) < 1e9:
            found[token] = max(float(logprob), found.get(token, float("-inf")))
    return found or None


#: The longest wait for a connection; and for a reply, beyond what its rater waits itself.
_CONNECT_S, _GRACE_S = 15.0, 5.0
#: A reply with the longest reasoning and all log-probabilities stays below.
_LARGEST = 16_000_000
_PATH = "/chat/completions"
#: What the library adds about itself and the machine, which no endpoint needs, and what the HTTP
#: client writes itself.
_NOT_SENT = ("x-stainless-", "content-length", "accept-encoding", "host", "connection")


class ChatClient:
    """Connections to one endpoint, for the event loop that runs now; `open` it before asking.

    A request is never sent again from here, no redirection is followed, certificates are verified.
    A ``base_url`` of None is OpenAI's own; ``api_version`` is for Azure, which has the model in its
    address. The longest wait is for a reply, which may come a few bytes at a time.
    """

    def __init__(
        self,
        about: Target,
        *,
        base_url: str | None,
        api_version: str | None,
        timeout_s: float,
        concurrency: int,
    ) -> None:
        try:
            import aiohttp
            import openai
        except ImportError:
            raise MissingDependencyError("openai", "ChatRater") from None
        self._aiohttp, self._openai, self._about = aiohttp, openai, about
        self._base_url, self._api_version = base_url, api_version
        self._most, self._timeout_s = concurrency, timeout_s
        self._headers: dict[str, str] = {}
        self._address = ""
        self._proxy: str | None = None
        self._session: Any = None

    async def open(self) -> None:
        """Let the openai library write a request, and take it down in place of sending it."""
        options = connection(self._base_url)
        httpx = _http_library(self._openai.DefaultAsyncHttpxClient)
        written: list[Any] = []

        def take_down(request: Any) -> Any:
            written.append(request)
            return httpx.Response(200, json={})

        transport = httpx.MockTransport(take_down)
        common: dict[str, Any] = {
            "api_key": self._about.key or "none",
            "max_retries": 0,
            "http_client": httpx.AsyncClient(transport=transport),
        }
        if self._api_version is None:
            client = self._openai.AsyncOpenAI(base_url=self._base_url or OPENAI, **common)
        else:
            client = self._openai.AsyncAzureOpenAI(
                azure_endpoint=self._base_url or "", api_version=self._api_version, **common
            )
        async with sealed(client, self._base_url) as open_client:
            await open_client.post(_PATH, cast_to=bytes, body={"model": self._about.model})
        first = written[0]
        self._headers = {
            name: value for name, value in first.headers.items() if not name.startswith(_NOT_SENT)
        } | {"accept-encoding": "identity"}
        self._address = str(first.url)
        self._proxy = proxy_of(self._address)
        self._session = self._aiohttp.ClientSession(
            connector=_connector(
                self._aiohttp,
                lambda: self._headers.update(connection="close"),
                limit=self._most + 8,
                ssl=httpx.create_ssl_context(
                    options.get("verify", True), trust_env=options["trust_env"]
                ),
            ),
            timeout=self._aiohttp.ClientTimeout(
                total=self._timeout_s + _GRACE_S, sock_connect=_CONNECT_S
            ),
            cookie_jar=self._aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def ask(self, body: Mapping[str, object]) -> Answer:
        """Send a request and return the answer.

        Raises:
            Failure: there is none.
        """
        started_s = time.perf_counter()
        try:
            status, headers, data = await self._post(body)
        except _TooLargeError:
            failure = no_completion(self._about)
        except Exception as error:
            failure = explain(error, self._about)
        else:
            try:
                if 200 <= status < 300:
                    return read_body(data, time.perf_counter() - started_s, self._about)
                failure = refusal(status, data, headers, self._about)
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
                failure = no_completion(self._about)
        # Outside the handlers, so that the library's exception, which holds the key, is not kept.
        raise failure

    async def _post(self, body: Mapping[str, object]) -> tuple[int, Mapping[str, str], bytes]:
        sent = self._session.post(
            self._address,
            data=json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"),
            headers=self._headers,
            allow_redirects=False,
            proxy=self._proxy,
        )
        async with sent as reply:
            parts, size = [], 0
            async for part in reply.content.iter_any():
                parts.append(part)
                size += len(part)
                if size > _LARGEST:
                    raise _TooLargeError
        data = _unpacked(b"".join(parts), reply.headers.get("content-encoding", "identity"))
        return reply.status, reply.headers, masked(data, self._about.key or "none")

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
        await asyncio.sleep(0)  # the loop takes another turn to close the sockets


def _connector(aiohttp: Any, distrust: Callable[[], None], **options: Any) -> Any:
    """Return a pool of connections that gives none out again on which something came unasked.

    A second answer to one request would otherwise be taken for the reply to the next one. From
    then on no connection is used twice: ``distrust`` is told.
    """
    known = weakref.WeakSet[Any]()

    class Connector(aiohttp.TCPConnector):  # type: ignore[misc]
        async def connect(self, *arguments: Any, **keywords: Any) -> Any:
            while True:
                connection = await super().connect(*arguments, **keywords)
                protocol = connection.protocol
                if protocol not in known:
                    known.add(protocol)
                    return connection
                if protocol.should_close:
                    distrust()
                elif not _readable(connection.transport.get_extra_info("socket").fileno()):
                    return connection
                connection.close()

    return Connector(**options)


def _readable(descriptor: int) -> bool:
    """Say whether something waits to be read from a socket, if only its end."""
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


class _TooLargeError(Exception):
    """What came back is too large, or packed in an unknown way."""


def _unpacked(data: bytes, encoding: str) -> bytes:
    """Return what was sent packed although that was not asked for, up to the same size."""
    if encoding.lower() == "identity":
        return data
    if encoding.lower() not in ("gzip", "deflate"):
        raise _TooLargeError
    unpacked = zlib.decompressobj(wbits=47).decompress(data, _LARGEST + 1)  # finds out which
    if len(unpacked) > _LARGEST:
        raise _TooLargeError
    return unpacked


def _http_library(client: type) -> Any:
    """Return httpx, or what the installed openai has in its place: where its client comes from."""
    base = next(kind for kind in client.__mro__ if kind.__name__ == "AsyncClient")
    return importlib.import_module(base.__module__.partition(".")[0])


#: What a provider calls an empty account; other words with "quota" in them mean a rate limit. So
#: does a mere mention of billing where it says when to try again.
_NO_MONEY = ("insufficient_quota", "billing_", "insufficient balance", "insufficient credit")
_TOO_LONG = ("context_length_exceeded", "context length", "context size", "maximum context")
_FILTERED = ("content_filter", "moderation", "flagged", "content management policy")


def explain(error: Exception, about: Target) -> Failure:
    """Return what an exception of the openai or the HTTP library means."""
    endpoint, key = about.endpoint, about.key or ""
    if isinstance(status := getattr(error, "status_code", None), int):
        headers = getattr(getattr(error, "response", None), "headers", {})
        return refusal(status, getattr(error, "body", None), headers, about)
    causes: list[BaseException] = [error]
    while (deeper := causes[-1].__cause__) is not None:
        causes.append(deeper)
    names = " ".join(type(cause).__name__ for cause in causes)
    away = any(word in names for word in _NOT_THERE)  # no request has left
    if any(isinstance(cause, TimeoutError) for cause in causes):
        said = f"The endpoint {endpoint} did not answer in time."
        return Failure("timed out", said, retryable=True, away=away, may_cost=not away)
    said = clean(f"{type(causes[-1]).__name__}: {causes[-1]}", key)
    if "CERTIFICATE" in f"{names} {causes}".upper():
        return Failure(
            "no access",
            f"The certificate of the endpoint {endpoint} cannot be verified ({said}). If it is "
            "your own, name the file of its authority in the environment variable SSL_CERT_FILE.",
            fatal=True,
        )
    if any(word in names for word in ("UnsupportedProtocol", "InvalidURL", "UrlClientError")):
        sentence = f"The endpoint {endpoint} cannot be asked: {said}."
        return Failure("bad request", sentence, fatal=True)
    return Failure(
        "connection lost",
        f"The endpoint {endpoint} could not be reached, or broke off ({said}). Is it running?",
        retryable=True,
        away=away,
        may_cost=not away,
    )


#: Parts of the names of exceptions that say that there was no connection. ConnectTimeout is none of
#: them: one HTTP library calls a connection that broke off so.
_NOT_THERE = (
    "ConnectError",
    "ConnectorError",
    "ConnectorDNSError",
    "ConnectionRefused",
    "ConnectionTimeoutError",
    "gaierror",
)


def refusal(status: int, body: object, headers: Mapping[str, str], about: Target) -> Failure:
    """Return what a status other than 200 means.

    ``body`` is what came with it, as bytes or as JSON values; the object that says what is wrong
    may be inside another one.
    """
    key = about.key or ""
    given = {name.lower(): value for name, value in headers.items()}
    code, said = _told(body, key)
    answered = f"The endpoint {about.endpoint} answered {status} for the model '{about.model}'"
    if 300 <= status < 400:  # never followed: a key goes nowhere but where it was meant to go
        where = public_address(clean(given.get("location", ""), key)) or "another address"
        sentence = f"{answered}: it sends on to {where}. Set base_url to that."
        return Failure("bad request", sentence, fatal=True)
    after_s = _retry_after_s(given, body)
    reason = _reason(status, f"{code} {said}".lower(), after_s)
    if reason in _REMEDIES:
        unkeyed = reason == "no access" and about.key == ""
        remedy = _NO_KEY if unkeyed else _REMEDIES[reason]
        return Failure(reason, f"{answered}: {remedy}", fatal=True)
    passes = reason in ("rate limited", "timed out", "server error")
    return Failure(
        reason,
        f"{answered}: {said}".rstrip(" :.") + ".",
        retryable=passes,
        retry_after_s=after_s if passes else None,
        away=status in _AWAY,
    )


def _reason(status: int, told: str, after_s: float | None) -> str:
    """Return the failure's name, for a status, the endpoint's words in lower case and its wait."""
    if status == 429:
        empty = any(word in told for word in _NO_MONEY) or ("billing" in told and after_s is None)
        return "quota" if empty else "rate limited"
    if status in (400, 403, 413, 422):
        if any(word in told for word in _FILTERED):
            return "refused"
        if any(word in told for word in _TOO_LONG):
            return "too long"
    if status == 400 and "model_not_found" in told:
        return "no such model"
    if status in _REASONS:
        return _REASONS[status]
    return "server error" if status >= 500 else "bad request"


_REASONS = {
    401: "no access",
    402: "quota",
    403: "no access",
    404: "no such model",
    408: "timed out",
    409: "server error",
    413: "too long",
    425: "server error",
    499: "timed out",
    501: "bad request",
    504: "timed out",
    520: "timed out",
    524: "timed out",
}
#: What a gateway says while the server behind it is not there.
_AWAY = (502, 503, 521, 522, 523)
_NO_KEY = (
    f"it wants a key, and none was sent: the one in {KEY_VARIABLE} is for OpenAI alone. Name the "
    "environment variable that holds this endpoint's key with api_key_env."
)
_REMEDIES = {
    "no access": "the key is missing, wrong or expired, or has no right to this model. Set the "
    "environment variable that api_key_env names.",
    "no such model": "there is no such model, or no chat endpoint under this address. Check the "
    "model's name and base_url (it most often ends in /v1).",
    "quota": "the account has no quota or credit left.",
}


_TIME = r"(\d{1,9}(?:\.\d{1,9})?)[ ]?(milli|ms|h|m|s)[a-z]{0,9}"
#: "Please try again in 1m2.5s", "retry after 26 seconds", '"retryDelay": "2s"'.
_LATER = re.compile(
    rf"(?:try again|retry)(?:[ _-]?(?:in|after|delay))?[\s\"':\\]{{1,8}}((?:{_TIME} ?){{1,4}})",
    re.I,
)
_SECONDS = {"milli": 1e-3, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_WORDS = 100_000


def _retry_after_s(given: Mapping[str, str], body: object) -> float | None:
    """Read ``retry-after-ms`` or ``retry-after``, in seconds or as a date, or the body's words."""
    after = given.get("retry-after", "")
    with suppress(ValueError):
        if "retry-after-ms" in given:
            return max(0.0, float(given["retry-after-ms"]) / 1000)
        return max(0.0, float(after))
    with suppress(TypeError, ValueError):
        return max(0.0, parsedate_to_datetime(after).timestamp() - time.time())
    told = body[:_WORDS].decode("utf-8", "replace") if isinstance(body, bytes) else str(body)
    if (found := _LATER.search(told[:_WORDS])) is None:
        return None
    return sum(float(n) * _SECONDS[unit.lower()] for n, unit in re.findall(_TIME, found[1], re.I))


def _told(body: object, key: str) -> tuple[str, str]:
    """Return the endpoint's name for an error, and its words: one line, not long, no key."""
    if isinstance(body, bytes):
        text = body.decode("utf-8", "replace")
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            body = text
    inner = body.get("error") or body if isinstance(body, dict) else body
    if not isinstance(inner, dict):
        return "", clean(str(inner or ""), key)
    said = inner.get("message") or inner.get("detail") or (json.dumps(inner) if inner else "")
    return str(inner.get("code") or inner.get("type") or ""), clean(str(said), key)
