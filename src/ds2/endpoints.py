"""Endpoints of others: where a key may go, and how their addresses and their words are shown."""

import ipaddress
import os
import re
import ssl
import weakref
from functools import cache
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from ds2.errors import InputError

__all__ = [
    "KEY_VARIABLE",
    "OPENAI",
    "address_of",
    "clean",
    "connection",
    "is_openai",
    "masked",
    "openai_client",
    "proxy_of",
    "public_address",
    "read_key",
    "sealed",
]

OPENAI = "https://api.openai.com/v1"
#: The variable that OpenAI's own key is in. What it holds goes to OpenAI and nowhere else.
KEY_VARIABLE = "OPENAI_API_KEY"

_LONGEST, _LOOKED_AT = 300, 100_000
#: A shorter key is in too many texts to be taken out of them.
_SHORTEST_KEY = 8
_USER = re.compile(r"://[^\s/?#]*@")
_KEY_LIKE = re.compile(r"\b(?:sk|pk|key|Bearer)[-_ ][\w*.…-]{6,}")


def is_openai(base_url: str | None) -> bool:
    """Say whether an address is OpenAI's own; None is."""
    if base_url is None:
        return True
    parts = urlsplit(base_url)
    host = f".{parts.hostname or ''}"
    return parts.scheme == "https" and host.endswith(".api.openai.com")


def read_key(variable: str | None, base_url: str | None, who: str) -> str:
    """Return the key for an endpoint, "" where it is sent none.

    Args:
        variable: the environment variable that holds it; None is `KEY_VARIABLE` for OpenAI's own
            address and no key for any other, since nobody said that it may go there.
        base_url: the endpoint; None is OpenAI's own.
        who: asks, for the message.

    Raises:
        InputError: the variable is not set.
    """
    if variable is None and not is_openai(base_url):
        return ""
    name = variable or KEY_VARIABLE
    key = os.environ.get(name, "").strip()
    if odd := [c for c in key if not (c.isascii() and c.isprintable())]:
        raise InputError(
            f"The key in the environment variable '{name}' holds the character {odd[0]!r}, which "
            "no key has: copy it again, without quotation marks and line ends."
        )
    if not key:
        raise InputError(
            f"{who} needs a key and the environment variable '{name}' is not set. Set it, or name "
            "another one with api_key_env, or give the base_url of an endpoint that needs none."
        )
    return key


def sealed(client: Any, base_url: str | None) -> Any:
    """Return an openai client that sends what belongs to an OpenAI account to OpenAI alone.

    The library takes an organisation, a project, an administrator's key and further headers from
    the environment, and would send them to any address.
    """
    if not is_openai(base_url):
        client.organization = client.project = client.admin_api_key = None
        client._custom_headers = {}
    return client


def connection(base_url: str | None) -> dict[str, Any]:
    """Return settings of an HTTP client: whom it may talk to on the way.

    No redirection is followed: a key and a text go where they were meant to go. What is on this
    machine is asked directly, whatever proxy the environment names.

    Raises:
        InputError: the file of authorities that the environment names cannot be read.
    """
    parts = urlsplit(base_url or OPENAI)
    near = _is_loopback(parts.hostname or "")
    options: dict[str, Any] = {"follow_redirects": False, "trust_env": not near}
    if parts.scheme == "https" or not near:  # the library reads the file for any address far away
        authority = os.environ.get("SSL_CERT_FILE")
        try:
            context = ssl.create_default_context(cafile=authority)
        except OSError as error:
            raise InputError(
                f"The file {authority!r} that the environment variable SSL_CERT_FILE names cannot "
                f"be read as certificates ({error.strerror or error}). Correct it, or unset it."
            ) from None
        if near:
            options["verify"] = context
    return options


def proxy_of(base_url: str) -> str | None:
    """Return the proxy that the environment names for an endpoint, None for one on this machine.

    Raises:
        InputError: it is none that speaks HTTP.
    """
    parts = urlsplit(base_url)
    host, proxies = parts.hostname or "", getproxies()
    found = proxies.get(parts.scheme) or proxies.get("all")
    if not found or _is_loopback(host) or proxy_bypass(host):
        return None
    proxy = found if "://" in found else f"http://{found}"
    try:
        given = urlsplit(proxy)
        usable = given.scheme in ("http", "https") and bool(given.hostname) and given.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise InputError(
            f"The proxy that the environment names for {parts.scheme} speaks no HTTP: set "
            f"{parts.scheme}_proxy to its address (http://host:port), or no_proxy to {host}."
        )
    return proxy


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def openai_client(key: str, base_url: str | None, *, timeout_s: float, tries: int) -> Any:
    """Return a client of the openai library, which must be installed, for any endpoint."""
    import openai

    http = openai.DefaultHttpxClient(timeout=timeout_s, **connection(base_url))
    client = openai.OpenAI(
        api_key=key or "none",
        base_url=base_url or OPENAI,
        timeout=timeout_s,
        max_retries=tries,
        http_client=http,
    )
    weakref.finalize(client, http.close)  # as the library does with a client of its own
    return sealed(client, base_url)


def masked(data: bytes, key: str) -> bytes:
    """Return what an endpoint sent without the key, which some echo."""
    return data if len(key) < _SHORTEST_KEY else _spelled(key).sub(b"***", data)


@cache
def _spelled(key: str) -> re.Pattern[bytes]:
    """Return what finds a key, each of its characters as it is or as JSON may escape it."""
    ways = (rf"(?:\\?{re.escape(c)}|(?i:\\u{ord(c):04x}))" for c in key)
    return re.compile("".join(ways).encode())


def address_of(base_url: str | None) -> str:
    """Return the address of an endpoint as it may be shown; None is OpenAI's own.

    Raises:
        InputError: it is no address, or holds what belongs elsewhere.
    """
    address = OPENAI if base_url is None else base_url
    try:
        parts = urlsplit(address)
        whole = parts.port != 0 and address.isprintable()
    except ValueError:
        whole = False
    if not whole or not re.match(r"https?://[^/\s]", address):
        raise InputError(
            "'base_url' must be an address that begins with http:// or https:// and a host, such "
            f"as 'http://localhost:8000/v1'. Got {public_address(address.rpartition('@')[2])!r}."
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InputError(
            "'base_url' must hold no user, password, '?' or '#': it is shown in messages. Name the "
            "environment variable of a key with api_key_env, and Azure's version with api_version. "
            f"Got those beside {public_address(address)!r}."
        )
    return public_address(address)


def public_address(url: str) -> str:
    """Return ``url`` without user, password, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


def clean(text: str, key: str) -> str:
    """Return foreign text as one line, not long, without the key or what looks like one.

    What an address holds before its host, as that of a proxy, is taken out, too.
    """
    if key:
        text = text.replace(key, "***")
    text = _USER.sub("://***@", text[:_LOOKED_AT])
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    text = text[: 2 * _LONGEST]  # the search below takes the square of a word's length
    if len(key) >= 12:  # endpoints quote the first or last letters of a wrong key
        text = re.sub(rf"\S*(?:{re.escape(key[:6])}|{re.escape(key[-4:])})\S*", "***", text)
    return _KEY_LIKE.sub("***", text)[:_LONGEST]
