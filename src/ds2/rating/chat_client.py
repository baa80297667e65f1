"""The openai client, set up to keep hundreds of requests in flight at little cost."""

import importlib
import importlib.util
import os
from typing import Any

from ds2.errors import InputError, MissingDependencyError

__all__ = ["make_clients", "read_key"]

#: httpx searches all of a client's connections for every request: it is given several clients.
_PER_HTTPX_CLIENT = 32
_CONNECT_S = 15.0


def read_key(variable: str, *, needed: bool) -> str:
    """Return the key in an environment variable.

    Raises:
        InputError: it is needed and not set.
    """
    key = os.environ.get(variable, "").strip()
    if not key and needed:
        raise InputError(
            f"ChatRater needs a key and the environment variable '{variable}' is not set. Set it, "
            "or name another one with api_key_env, or give the base_url of an endpoint that needs "
            "none."
        )
    return key


def make_clients(
    *, key: str, base_url: str | None, api_version: str | None, timeout_s: float, concurrency: int
) -> list[Any]:
    """Return openai clients to use in turn, for the event loop that runs now.

    One with aiohttp as its transport where that is installed, which takes about half the CPU time;
    otherwise as many with httpx as keep each one's pool of connections small. They never send a
    request again themselves, and verify certificates.
    """
    try:
        import openai
    except ImportError:
        raise MissingDependencyError("openai", "ChatRater") from None
    fast = importlib.util.find_spec("aiohttp") and hasattr(openai, "DefaultAioHttpClient")
    make_http = openai.DefaultAioHttpClient if fast else openai.DefaultAsyncHttpxClient
    n_clients = 1 if fast else -(-concurrency // _PER_HTTPX_CLIENT)
    httpx = _http_library(make_http)
    timeout = httpx.Timeout(timeout_s + 5.0, connect=_CONNECT_S)
    limits = httpx.Limits(max_connections=concurrency + 8, max_keepalive_connections=concurrency)
    common: dict[str, Any] = {"api_key": key or "none", "max_retries": 0, "timeout": timeout}
    clients: list[Any] = []
    for _ in range(n_clients):
        http_client = make_http(limits=limits, timeout=timeout)
        if api_version is None:
            client: Any = openai.AsyncOpenAI(base_url=base_url, http_client=http_client, **common)
        else:
            client = openai.AsyncAzureOpenAI(
                azure_endpoint=base_url or "",
                api_version=api_version,
                http_client=http_client,
                **common,
            )
        clients.append(client)
    return clients


def _http_library(client: type) -> Any:
    """Return httpx, or what the installed openai has in its place: where its client comes from."""
    base = next(kind for kind in client.__mro__ if kind.__name__ == "AsyncClient")
    return importlib.import_module(base.__module__.partition(".")[0])
