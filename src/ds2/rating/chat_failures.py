"""What an endpoint's error means: a `Failure` with one sentence that holds no secret."""

import re
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ds2.rating.rater import Failure

__all__ = ["clean", "explain", "public_address", "refusal"]

_LONGEST = 300
#: What a provider calls an empty account; other words with "quota" in them mean a rate limit.
_NO_MONEY = ("insufficient_quota", "billing", "insufficient balance", "insufficient credit")
_TOO_LONG = ("context_length_exceeded", "context length", "context size", "maximum context")
_FILTERED = ("content_filter", "moderation", "flagged", "content management policy")
_KEY_LIKE = re.compile(r"\b(?:sk|pk|key|Bearer)[-_ ][\w*.…-]{6,}")


def public_address(url: str) -> str:
    """Return ``url`` without user, password, query and fragment."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


def explain(error: Exception, *, model: str, endpoint: str, key: str) -> Failure:
    """Return what an exception of the openai client means.

    Args:
        error: what the client raised.
        model: the model that was asked for.
        endpoint: the address, without credentials.
        key: the key, which the endpoint may quote: it is taken out.
    """
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return refusal(
            status,
            getattr(error, "body", None),
            _said(error, key),
            dict(getattr(getattr(error, "response", None), "headers", {})),
            model=model,
            endpoint=endpoint,
        )
    causes = _causes(error)
    if any(isinstance(cause, TimeoutError) for cause in causes):
        said = f"The endpoint {endpoint} did not answer in time."
        return Failure("timed out", said, retryable=True)
    names = " ".join(type(cause).__name__ for cause in causes)
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
    )


def refusal(
    status: int,
    body: object,
    said: str,
    headers: dict[str, str],
    *,
    model: str,
    endpoint: str,
) -> Failure:
    """Return what a status other than 200 means; ``said`` is clean already."""
    code = str(body.get("code") or body.get("type") or "") if isinstance(body, dict) else ""
    told = f"{code} {said}".lower()
    answered = f"The endpoint {endpoint} answered {status} for the model '{model}'"
    reason = _reason(status, told)
    if reason in _REMEDIES:
        return Failure(reason, f"{answered}: {_REMEDIES[reason]}", fatal=True)
    passes = reason in ("rate limited", "timed out", "server error")
    return Failure(
        reason,
        f"{answered}: {said}" if said else f"{answered}.",
        retryable=passes,
        retry_after_s=_retry_after_s(headers) if passes else None,
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
_REMEDIES = {
    "no access": "the key is missing, wrong or expired, or has no right to this model. Set the "
    "environment variable that api_key_env names.",
    "no such model": "there is no such model, or no chat endpoint under this address. Check the "
    "model's name and base_url (it most often ends in /v1).",
    "quota": "the account has no quota or credit left.",
}


def _retry_after_s(headers: dict[str, str]) -> float | None:
    """Read ``retry-after-ms`` or ``retry-after``, in seconds or as a date."""
    given = {name.lower(): value for name, value in headers.items()}
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


def _said(error: Any, key: str) -> str:
    """Return the endpoint's own words: one line, not long, without the key."""
    body = getattr(error, "body", None)
    message = body.get("message") if isinstance(body, dict) else None
    return clean(str(message or getattr(error, "message", None) or error), key)


def clean(text: str, key: str) -> str:
    """Return foreign text as one line, not long, without the key or what looks like one."""
    if key:
        text = text.replace(key, "***")
    if len(key) >= 12:  # endpoints quote the first or last letters of a wrong key
        text = re.sub(rf"\S*(?:{re.escape(key[:6])}|{re.escape(key[-4:])})\S*", "***", text)
    text = _KEY_LIKE.sub("***", text)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_LONGEST]


def _causes(error: BaseException) -> list[BaseException]:
    """Return an exception and what it was raised from, the outermost first."""
    causes = [error]
    while (deeper := causes[-1].__cause__) is not None:
        causes.append(deeper)
    return causes
