"""A server on this machine that speaks as much of the hub's API as publishing a dataset needs.

Files come with the commit itself; the hub's storage for large files (Xet) is not spoken.
"""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class Hub:
    """What the server holds, and what it was asked.

    Attributes:
        token: the only token that may write.
        repos: by name, whether it is private.
        files: the contents of every file, by its repository and path.
        asked: method and path of every request.
        tokens: the tokens that requests carried.
    """

    token: str
    repos: dict[str, bool] = field(default_factory=dict)
    files: dict[tuple[str, str], bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    endpoint: str = ""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, object]:
        """Status and JSON of a request."""
        path, _, _ = path.partition("?")
        parts = path.strip("/").split("/")
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if parts[:2] == ["api", "datasets"] and len(parts) == 4:
            repo = "/".join(parts[2:4])
            there = repo in self.repos
            return (200, {"id": repo, "private": self.repos[repo]}) if there else (404, {})
        if "preupload" in parts:
            files = json.loads(body)["files"]
            return 200, {"files": [self._mode(each["path"]) for each in files]}
        if parts[-2:-1] == ["commit"]:
            return self._commit("/".join(parts[2:4]), body)
        return 404, {"error": f"not spoken here: {method} {path}"}

    def _create(self, wanted: dict) -> tuple[int, object]:
        repo = f"{wanted['organization']}/{wanted['name']}"
        url = f"{self.endpoint}/datasets/{repo}"
        if repo in self.repos:
            return 409, {"error": "You already created this dataset repo", "url": url}
        self.repos[repo] = wanted.get("private", wanted.get("visibility") == "private")
        return 200, {"url": url}

    def _mode(self, path: str) -> dict:
        return {"path": path, "uploadMode": "regular", "shouldIgnore": False}

    def _commit(self, repo: str, body: bytes) -> tuple[int, object]:
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                self.files[repo, value["path"]] = base64.b64decode(value["content"])
        url = f"{self.endpoint}/datasets/{repo}/commit/0"
        return 200, {"success": True, "commitOid": "0" * 40, "commitUrl": url}


@contextmanager
def serving(token: str) -> Iterator[Hub]:
    """A hub on 127.0.0.1."""
    hub = Hub(token)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            hub.asked.append(f"{self.command} {self.path.partition('?')[0]}")
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            if token:
                hub.tokens.add(token)
            if token != hub.token:
                status, found = 401, {"error": "Invalid credentials in Authorization header"}
            else:
                status, found = hub.answer(self.command, self.path, body)
            text = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            if status == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_HEAD = respond

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
