"""A real chat endpoint on loopback whose every answer a test can choose: an ASGI app under uvicorn.

In a test: ``with Endpoint() as endpoint: … endpoint.url``. As a program, for benchmarks:
``python llm_server.py '{"latency_s": 0.2, "spread_s": 0.1}'`` prints its port and then serves.
"""

import asyncio
import hashlib
import json
import random
import sys
import threading
from dataclasses import dataclass, field

import uvicorn

NAMES = ("rarity", "complexity", "informativeness", "overall")


@dataclass
class Step:
    """One answer. `text` None is the rating of the example; `fault`: see below."""

    status: int = 200
    text: str | None = None
    body: object = None  # bytes or JSON in place of a completion
    headers: dict = field(default_factory=dict)
    delay_s: float = 0.0
    fault: str | None = None
    finish_reason: str = "stop"
    usage: dict | None = field(
        default_factory=lambda: {"prompt_tokens": 100, "completion_tokens": 20}
    )
    logprobs: dict | None = None


def refusal(status, message="no", code=None, headers=None, fault=None):
    body = {"error": {"message": message, "code": code}}
    return Step(status, body=body, headers=headers or {}, fault=fault)


def rating_of(messages) -> int:
    """What the server rates a prompt: 1-10, from the prompt alone."""
    return 1 + hashlib.sha256(messages[-1]["content"].encode()).digest()[0] % 10


def rating_text(rating: int) -> str:
    return json.dumps(dict.fromkeys(NAMES, rating))


class Served:
    """An ASGI app on a free port of the loopback, in a thread: ``with app: … app.url``."""

    ssl_files = None

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return
        body = b""
        while True:
            event = await receive()
            body += event.get("body", b"")
            if not event.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        await self.serve(scope, headers, body, receive, send)

    def __enter__(self):
        config = uvicorn.Config(
            self,
            host="127.0.0.1",
            port=0,
            log_level="critical",
            lifespan="off",
            access_log=False,
            ws="none",
            **(self.ssl_files or {}),
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("the test server did not start")
            threading.Event().wait(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"{'https' if self.ssl_files else 'http'}://127.0.0.1:{port}/v1"
        return self

    def __exit__(self, *_):
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(timeout=20)


class Endpoint(Served):
    """Serves `/v1/chat/completions`; `plan(body, number)` returns the `Step` of each request."""

    def __init__(self, plan=None, *, ssl_files=None):
        self.plan = plan or (lambda body, number: Step())
        self.requests, self.headers, self.paths = [], [], []
        self.n = self.now = self.peak = 0
        self.keep_requests = True
        self.ssl_files = ssl_files

    async def serve(self, scope, headers, data, receive, send):
        body = json.loads(data) if data else {}
        number, self.n = self.n, self.n + 1
        if self.keep_requests:
            self.requests.append(body)
            self.headers.append(headers)
            self.paths.append(scope["path"])
        self.now += 1
        self.peak = max(self.peak, self.now)
        try:
            await self._answer(body, self.plan(body, number), receive, send)
        finally:
            self.now -= 1

    async def _answer(self, body, step, receive, send):
        if step.delay_s:
            await asyncio.sleep(step.delay_s)
        if step.fault == "hang":
            await asyncio.sleep(3600)
        if step.fault == "drop":
            receive.__self__.transport.abort()
            return
        data = _encoded(body, step)
        headers = {"content-type": "application/json", **step.headers}
        headers["content-length"] = str(len(data))
        pairs = [(name.encode(), str(value).encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": step.status, "headers": pairs})
        for at in range(len(data) if step.fault == "trickle" else 0):
            await send({"type": "http.response.body", "body": data[at : at + 1], "more_body": True})
            await asyncio.sleep(0.1)
        if step.fault == "half":
            half = data[: len(data) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
            await asyncio.sleep(0.01)
            receive.__self__.transport.close()
            return
        await send({"type": "http.response.body", "body": data})


def _encoded(body, step) -> bytes:
    if isinstance(step.body, bytes):
        return step.body
    if step.body is not None:
        return json.dumps(step.body).encode()
    text = rating_text(rating_of(body["messages"])) if step.text is None else step.text
    choice = {"index": 0, "message": {"role": "assistant", "content": text}}
    choice |= {"finish_reason": step.finish_reason, "logprobs": step.logprobs}
    reply = {"id": "x", "object": "chat.completion", "created": 1, "model": body.get("model")}
    return json.dumps(reply | {"choices": [choice], "usage": step.usage}).encode()


def faulty(shares, seed=0, **settings):
    """A plan in which the faults of `shares` (name → share) happen at random."""
    rng = random.Random(seed)
    latency_s, spread_s = settings.get("latency_s", 0.0), settings.get("spread_s", 0.0)

    def plan(body, number):
        delay_s = latency_s + rng.uniform(-spread_s, spread_s)
        at = rng.random()
        for name, share in shares.items():
            at -= share
            if at < 0:
                return _fault(name, delay_s)
        return Step(delay_s=delay_s)

    return plan


def _fault(name, delay_s):
    if name == "429":
        return refusal(429, "slow down", headers={"retry-after": "1"})
    if name == "500":
        return refusal(500, "oh")
    if name == "garbage":
        return Step(body=b"<html>not JSON", delay_s=delay_s)
    return Step(fault=name, delay_s=delay_s)


def main() -> None:
    settings = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    endpoint = Endpoint(faulty(settings.pop("faults", {}), **settings))
    endpoint.keep_requests = False
    with endpoint:
        sys.stdout.write(endpoint.url + "\n")
        sys.stdout.flush()
        sys.stdin.read()  # until the parent goes


if __name__ == "__main__":
    main()
