"""Requests to a chat endpoint, hundreds in flight at little cost.

The openai library says what a request looks like: its address, its headers, how it shows the key.
It takes most of a request's CPU time to do so. Requests to one model differ in the body alone, so
one is written by the library, and the others are copies of it with another body, sent by the
library's own HTTP client. benchmarks/rating_throughput.py measures both.
"""

import asyncio
import importlib
import json
import zlib
from collections.abc import Mapping
from typing import Any

from ds2.endpoints import OPENAI, connection, masked, sealed
from ds2.errors import MissingDependencyError

__all__ = ["ChatClient", "TooLargeError"]

_CONNECT_S = 15.0
#: A reply with the longest reasoning and all log-probabilities stays below.
_LARGEST = 16_000_000
_PATH = "/chat/completions"
#: What the library adds about itself and the machine: no endpoint needs it.
_TELEMETRY = b"x-stainless-"


class ChatClient:
    """Connections to one endpoint, for the event loop that runs now; `open` it before asking.

    A request is never sent again from here, no redirection is followed, certificates are verified.

    Args:
        model: the model's name: Azure has it in the address.
        key: of the endpoint; "" for none.
        base_url: the endpoint; None is OpenAI's own.
        api_version: for Azure.
        timeout_s: the longest wait for the next part of a reply.
        concurrency: the most connections.
    """

    def __init__(
        self,
        model: str,
        *,
        key: str,
        base_url: str | None,
        api_version: str | None,
        timeout_s: float,
        concurrency: int,
    ) -> None:
        try:
            import openai

            make_http = openai.DefaultAioHttpClient
        except ImportError:
            raise MissingDependencyError("openai", "ChatRater") from None
        self._httpx = _http_library(make_http)
        timeout = self._httpx.Timeout(timeout_s + 5.0, connect=_CONNECT_S)
        limits = self._httpx.Limits(
            max_connections=concurrency + 8, max_keepalive_connections=concurrency
        )
        self._http = make_http(limits=limits, timeout=timeout, **connection(base_url))
        self._extensions = {"timeout": timeout.as_dict()}
        self._openai, self._model = openai, model
        self._key, self._base_url, self._api_version = key or "none", base_url, api_version
        self._address: Any = None
        self._headers = self._httpx.Headers()

    async def open(self) -> None:
        """Let the openai library write a request, and take it down in place of sending it."""
        written: list[Any] = []

        def take_down(request: Any) -> Any:
            written.append(request)
            return self._httpx.Response(200, json={})

        transport = self._httpx.MockTransport(take_down)
        common: dict[str, Any] = {
            "api_key": self._key,
            "max_retries": 0,
            "http_client": self._httpx.AsyncClient(transport=transport),
        }
        if self._api_version is None:
            client = self._openai.AsyncOpenAI(base_url=self._base_url or OPENAI, **common)
        else:
            client = self._openai.AsyncAzureOpenAI(
                azure_endpoint=self._base_url or "", api_version=self._api_version, **common
            )
        async with sealed(client, self._base_url) as open_client:
            await open_client.post(_PATH, cast_to=bytes, body={"model": self._model})
        first = written[0]
        own = [
            (name, value)
            for name, value in first.headers.raw
            if name.lower() not in (b"content-length", b"accept-encoding")
            and not name.lower().startswith(_TELEMETRY)
        ]
        self._headers = self._httpx.Headers([*own, (b"accept-encoding", b"identity")])
        self._address = first.url

    async def post(self, body: Mapping[str, object]) -> tuple[int, Mapping[str, str], bytes]:
        """Send a request and return the status, the headers and the body of what came back.

        Raises:
            TooLargeError: what came back is no chat completion by its size alone.
            Exception: of the HTTP library: nothing came back.
        """
        request = self._httpx.Request(
            "POST",
            self._address,
            headers=self._headers,
            content=json.dumps(body, ensure_ascii=False).encode("utf-8", "replace"),
            extensions=self._extensions,
        )
        request.headers.encoding = "ascii"  # otherwise found out for every header, every time
        reply = await self._http.send(request, stream=True)
        try:
            parts, size = [], 0
            async for part in reply.aiter_raw():
                parts.append(part)
                size += len(part)
                if size > _LARGEST:
                    raise TooLargeError
        finally:
            await reply.aclose()
        data = _unpacked(b"".join(parts), reply.headers.get("content-encoding", "identity"))
        return reply.status_code, reply.headers, masked(data, self._key)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
        await asyncio.sleep(0)  # the loop takes another turn to close the sockets


class TooLargeError(Exception):
    """What came back is too large, or packed in an unknown way."""


def _unpacked(data: bytes, encoding: str) -> bytes:
    """Return what was sent packed although that was not asked for, up to the same size."""
    if encoding.lower() == "identity":
        return data
    if encoding.lower() not in ("gzip", "deflate"):
        raise TooLargeError
    unpacked = zlib.decompressobj(wbits=47).decompress(data, _LARGEST + 1)  # finds out which
    if len(unpacked) > _LARGEST:
        raise TooLargeError
    return unpacked


def _http_library(client: type) -> Any:
    """Return httpx, or what the installed openai has in its place: where its client comes from."""
    base = next(kind for kind in client.__mro__ if kind.__name__ == "AsyncClient")
    return importlib.import_module(base.__module__.partition(".")[0])
