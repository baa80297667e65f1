"""A chat endpoint that costs little CPU: raw asyncio, ready replies, latency and faults by chance.

    python benchmarks/_rating_server.py '{"latency_s": 0.2, "spread_s": 0.1}'

prints its address and serves until its standard input ends. `faults` maps 429, drop, garbage and
hang to their share of the requests. The rating depends on the request alone.
"""

import asyncio
import contextlib
import json
import random
import re
import sys
from typing import ClassVar

try:
    from uvloop import run
except ImportError:
    from asyncio import run

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
REPLY = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "bench",
    "usage": {"prompt_tokens": 400, "completion_tokens": 30, "total_tokens": 430},
}
NAMES = ("rarity", "complexity", "informativeness", "overall")


def response(status: str, body: bytes, more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{more}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def rated(rating: int) -> bytes:
    text = json.dumps(dict.fromkeys(NAMES, rating))
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return response("200 OK", json.dumps(REPLY | {"choices": [choice]}).encode())


READY = [rated(rating) for rating in range(1, 11)]
FAULTS = {
    "429": response("429 Too Many", b'{"error": {"message": "slow down"}}', "retry-after: 1\r\n"),
    "garbage": response("200 OK", b"<html>this is no JSON"),
}


class Endpoint(asyncio.Protocol):
    """One connection; requests of a connection come one after the other."""

    settings: ClassVar[dict] = {}
    chance: ClassVar[random.Random] = random.Random(0)

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport, self.data = transport, b""

    def data_received(self, data: bytes) -> None:
        self.data += data
        end = self.data.find(b"\r\n\r\n")
        found = LENGTH.search(self.data, 0, end) if end >= 0 else None
        if found is None or len(self.data) < end + 4 + int(found[1]):
            return
        size = end + 4 + int(found[1])
        body, self.data = self.data[end + 4 : size], self.data[size:]
        settings = self.settings
        delay_s = settings["latency_s"] + settings["spread_s"] * self.chance.uniform(-1, 1)
        asyncio.get_running_loop().call_later(delay_s, self.answer, body, self.fault())

    def fault(self) -> str | None:
        at = self.chance.random()
        for name, share in self.settings["faults"].items():
            at -= share
            if at < 0:
                return name
        return None

    def answer(self, body: bytes, fault: str | None) -> None:
        if self.transport.is_closing():
            return
        if fault == "drop":
            self.transport.abort()
        elif fault != "hang":
            self.transport.write(FAULTS[fault] if fault else READY[sum(body) % 10])


async def main() -> None:
    given = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    Endpoint.settings = {"latency_s": 0.2, "spread_s": 0.1, "faults": {}} | given
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Endpoint, "127.0.0.1", 0, backlog=2048)
    port = server.sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}/v1", flush=True)
    with contextlib.suppress(asyncio.CancelledError):
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    run(main())
