"""What an endpoint's error means: a `Failure` with one sentence that holds no secret."""

import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from ds2.endpoints import KEY_VARIABLE, clean, public_address
from ds2.rating.rater import Failure

__all__ = ["explain", "refusal"]

#: What a provider calls an empty account; other words with "quota" in them mean a rate limit.
_NO_MONEY = ("insufficient_quota", "billing", "insufficient balance", "insufficient credit")
_TOO_LONG = ("context_length_exceeded", "context length", "context size", "maximum context")
_FILTERED = ("content_filter", "moderation", "flagged", "content management policy")


def explain(error: Exception, *, model: str, endpoint: str, key: str) -> Failure:
    """Return what an exception of the openai or the HTTP library means.

    Args:
        error: what was raised.
        model: the model that was asked for.
        endpoint: the address, without credentials.
        key: the key, which the endpoint may quote: it is taken out.
    """
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        headers = getattr(getattr(error, "response", None), "headers", {})
        body = getattr(error, "body", None)
        return refusal(status, body, headers, model=model, endpoint=endpoint, key=key)
    causes = _causes(error)
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
    if "UnsupportedProtocol" in names or "InvalidURL" in names:
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


def refusal(
    status: int,
    body: object,
    headers: Mapping[str, str],
    *,
    model: str,
    endpoint: str,
    key: str | None,
) -> Failure:
    """Return what a status other than 200 means.

    Args:
        status: the endpoint's.
        body: what came with it, as bytes or as JSON values; the object that says what is wrong may
            be inside another one.
        headers: what came with it.
        model: the model that was asked for.
        endpoint: the address, without credentials.
        key: is taken out of what the endpoint says; "" when none was sent, None when it is not
            known.
    """
    given = {name.lower(): value for name, value in headers.items()}
    code, said = _told(body, key or "")
    answered = f"The endpoint {endpoint} answered {status} for the model '{model}'"
    if 300 <= status < 400:  # never followed: a key goes nowhere but where it was meant to go
        where = public_address(clean(given.get("location", ""), key or "")) or "another address"
        sentence = f"{answered}: it sends on to {where}. Set base_url to that."
        return Failure("bad request", sentence, fatal=True)
    reason = _reason(status, f"{code} {said}".lower())
    if reason == "no access" and key == "":
        return Failure(reason, f"{answered}: {_NO_KEY}", fatal=True)
    if reason in _REMEDIES:
        return Failure(reason, f"{answered}: {_REMEDIES[reason]}", fatal=True)
    passes = reason in ("rate limited", "timed out", "server error")
    return Failure(
        reason,
        f"{answered}: {said}".rstrip(" :.") + ".",
        retryable=passes,
        retry_after_s=_retry_after_s(given) if passes else None,
        away=status in _AWAY,
    )


def _reason(status: int, told: str) -> str:
    """Return the failure's name, for a status and the endpoint's words in lower case."""
    if status == 429:
        return "quota" if any(word in told for word in _NO_MONEY) else "rate limited"
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
    501: "bad request",
    504: "timed out",
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


def _retry_after_s(given: Mapping[str, str]) -> float | None:
    """Read ``retry-after-ms`` or ``retry-after``, in seconds or as a date."""
    try:
        if "retry-after-ms" in given:
            return max(0.0, float(given["retry-after-ms"]) / 1000)
        return max(0.0, float(given["retry-after"]))
    except KeyError:
        return None
    except ValueError:
        return _seconds_until(given.get("retry-after", ""))


def _seconds_until(date: str) -> float | None:
    import datetime

    try:
        moment = parsedate_to_datetime(date)
        return max(0.0, (moment - datetime.datetime.now(datetime.UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


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


def _causes(error: BaseException) -> list[BaseException]:
    """Return an exception and what it was raised from, the outermost first."""
    causes = [error]
    while (deeper := causes[-1].__cause__) is not None:
        causes.append(deeper)
    return causes
