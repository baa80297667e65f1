"""A server that speaks OpenAI's /files and /batches, for tests: real HTTP, on the loopback."""

import json
from email import message_from_bytes
from email.policy import HTTP
from urllib.parse import parse_qs

from llm_server import Served

TERMINAL = ("completed", "failed", "expired", "cancelled")


def completion(content, **more):
    """The body of a chat completion with one choice."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant"}}
    choice["message"]["content"] = content
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "small-2026-01-01",
        "choices": [choice | more],
        "usage": usage | {"prompt_tokens_details": {"cached_tokens": 20}},
    }


class BatchServer(Served):
    """Holds files and batches; what a test changes are its attributes.

    Attributes:
        reply: body of a request → (status, body of the reply), None for a request that expires.
        ready: whether batches finish when they are asked about.
        head: further headers of every answer.
        plan: statuses to answer the next requests with instead.
        end: the status that batches end in.
        seen: (method, path) of every request.
        keys: authorization headers.
        files: id → bytes.
        batches: id → batch.
    """

    def __init__(self):
        self.reply = lambda body: (200, completion('{"overall": 7}'))
        self.ready, self.end, self.plan, self.head = True, "completed", [], []
        self.seen, self.keys, self.files, self.batches = [], [], {}, {}

    async def serve(self, scope, headers, body, receive, send):
        self.keys.append(headers.get("authorization"))
        path = scope["path"].removeprefix("/v1")
        self.seen.append((scope["method"], path))
        if self.plan:
            status, answer = self.plan.pop(0), {"error": {"message": f"no: {self.keys[-1]}"}}
        else:
            query = {
                name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()
            }
            status, answer = self.answer(scope["method"], path, headers, body, query)
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        head = [(b"content-type", b"application/json"), (b"retry-after-ms", b"1"), *self.head]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": data})

    def answer(self, method, path, headers, body, query):
        parts = path.strip("/").split("/")
        if (method, path) == ("POST", "/files"):
            return 200, self.keep_file(headers["content-type"], body)
        if (method, path) == ("POST", "/batches"):
            return 200, self.make_batch(json.loads(body))
        if (method, path) == ("GET", "/batches"):
            every = list(self.batches.values())[::-1]
            after = query.get("after")
            start = 1 + [b["id"] for b in every].index(after) if after else 0
            page = every[start : start + int(query.get("limit", 20))]
            more = start + len(page) < len(every)
            return 200, {"object": "list", "data": page, "has_more": more}
        if method == "GET" and parts[0] == "batches" and parts[1] in self.batches:
            return 200, self.advance(self.batches[parts[1]])
        if method == "GET" and parts[0] == "files" and parts[1] in self.files:
            return 200, self.files[parts[1]]
        return 404, {"error": {"message": f"no {path}"}}

    def keep_file(self, kind, body):
        form = message_from_bytes(
            b"content-type: " + kind.encode() + b"\r\n\r\n" + body, policy=HTTP
        )
        fields = {
            part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
            for part in form.iter_parts()
        }
        assert fields["purpose"].strip() == b"batch"
        return self.add_file(fields["file"])

    def add_file(self, data):
        name = f"file-{len(self.files) + 1}"
        self.files[name] = data
        return {
            "id": name,
            "object": "file",
            "bytes": len(data),
            "created_at": 1,
            "filename": "requests.jsonl",
            "purpose": "batch",
            "status": "processed",
        }

    def make_batch(self, asked):
        name = f"batch_{len(self.batches) + 1}"
        self.batches[name] = {
            "id": name,
            "object": "batch",
            "endpoint": asked["endpoint"],
            "completion_window": asked["completion_window"],
            "input_file_id": asked["input_file_id"],
            "metadata": asked.get("metadata"),
            "status": "validating",
            "created_at": 1,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
        }
        return self.batches[name]

    def advance(self, batch):
        """Finish a batch, if it is time."""
        if not self.ready or batch["status"] in TERMINAL:
            return batch
        batch["status"] = self.end
        if self.end == "failed":
            batch["errors"] = {"object": "list", "data": [{"code": "x", "message": "bad line 1"}]}
            return batch
        good, bad = [], []
        for line in self.files[batch["input_file_id"]].splitlines():
            asked = json.loads(line)
            assert (asked["method"], asked["url"]) == ("POST", "/v1/chat/completions")
            reply = self.reply(asked["body"])
            row = {"id": "req", "custom_id": asked["custom_id"], "response": None, "error": None}
            if reply is None:
                row["error"] = {"code": "batch_expired", "message": "Not executed in time."}
            else:
                row["response"] = {"status_code": reply[0], "request_id": "r", "body": reply[1]}
            (good if reply and reply[0] == 200 else bad).append(json.dumps(row))
        for name, rows in (("output_file_id", good), ("error_file_id", bad)):
            if rows:
                text = "\n".join(rows[::-1]) + "\n"  # results come in any order
                batch[name] = self.add_file(text.encode())["id"]
        return batch
