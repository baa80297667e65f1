"""The files of a batch job: one request a line out, one result a line back.

The id of a request is the key of the store: setup, repeat and example. So a file of results tells
by itself where each reply belongs, whoever ran it and however long ago.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ds2.pool.files import check_readable
from ds2.pool.wording import shown, shown_path
from ds2.rating.chat_dialect import read_body
from ds2.rating.chat_failures import refusal
from ds2.rating.rater import Answer, Failure
from ds2.rating.rows import Setup

__all__ = [
    "ENDPOINT",
    "read_ids",
    "read_request_id",
    "read_results",
    "request_id",
    "request_line",
    "setup_tag",
]

ENDPOINT = "/v1/chat/completions"
_ID = re.compile(r"([0-9a-f]{12})-([01])-([A-Za-z0-9_-]{43})")
_EXPIRED = ("batch_expired", "batch_cancelled")


def setup_tag(setup: Setup) -> str:
    """Return 12 characters that stand for a setup's key."""
    return hashlib.sha256("\n".join(setup.key).encode()).hexdigest()[:12]


def request_id(tag: str, repeat: int, example: bytes) -> str:
    """Return the id of a request, 58 characters that every provider takes."""
    return f"{tag}-{repeat}-{base64.urlsafe_b64encode(example).decode().rstrip('=')}"


def read_request_id(text: object) -> tuple[str, int, bytes] | None:
    """Return the setup's tag, the repeat and the example's hash; None where it is no id of ours."""
    found = _ID.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    try:
        return found[1], int(found[2]), base64.urlsafe_b64decode(found[3] + "=")
    except binascii.Error:
        return None


def request_line(name: str, body: Mapping[str, object]) -> bytes:
    """Return one line of a file of requests."""
    row = {"custom_id": name, "method": "POST", "url": ENDPOINT, "body": body}
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def read_ids(path: Path) -> Iterator[str]:
    """Yield the ids of a file of requests or results."""
    for _, row in _rows(path):
        if row is not None and isinstance(row.get("custom_id"), str):
            yield row["custom_id"]


def read_results(
    path: Path, *, model: str, endpoint: str
) -> Iterator[tuple[object, Answer | Failure | str]]:
    """Yield the id and the outcome of every line of a file of results.

    A line that is no result, cut off perhaps, costs that line alone: its outcome is what is wrong
    with it, and its request is missing and asked again.

    Args:
        path: what the endpoint wrote.
        model: for messages.
        endpoint: for messages.

    Raises:
        InputError: the file cannot be read.
    """
    for number, row in _rows(path):
        where = f"{shown_path(path)}, line {number:,}"
        if row is None:
            yield None, f"{where}: not a JSON object. If the file was cut off, get it again."
        elif "custom_id" not in row or not {"response", "error"} & set(row):
            yield (
                None,
                f"{where}: no result of a batch (it has no custom_id, or neither a response nor an "
                "error). Name the output file of the batch.",
            )
        else:
            yield row["custom_id"], _outcome(row, model, endpoint)


#: A line that is longer is no request and no result.
_LONGEST_LINE = 32_000_000


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Yield the number of every line and its object, None where it holds none."""
    check_readable(path)
    number, whole = 1, True
    with path.open("rb") as file:
        while line := file.readline(_LONGEST_LINE):
            ended = line.endswith(b"\n")
            if whole and not line.isspace():
                yield number, _row(line) if ended or len(line) < _LONGEST_LINE else None
            whole, number = ended, number + ended


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _outcome(row: Mapping[str, Any], model: str, endpoint: str) -> Answer | Failure:
    error, response = row.get("error"), row.get("response")
    if not isinstance(response, dict):
        code = error.get("code") if isinstance(error, dict) else None
        if code in _EXPIRED:
            said = "The batch ended before the request's turn."
            return Failure("timed out", said, retryable=True)
        said = f"The batch says: {shown(_said(error), 200)}."
        return Failure("server error", said, retryable=True)
    status, body = response.get("status_code"), response.get("body")
    if status != 200:
        code = status if type(status) is int else 500
        return refusal(code, body, {}, model=model, endpoint=endpoint, key=None)
    try:
        return read_body(json.dumps(body).encode(), 0.0)
    except Exception:  # whatever the reply's body is, it is no completion
        said = "The reply is no chat completion."
        return Failure("server error", said, retryable=True, may_cost=True)


def _said(body: object) -> str:
    """Return the message inside an error, whatever its form."""
    inner = body.get("error", body) if isinstance(body, dict) else body
    said = inner.get("message", "") if isinstance(inner, dict) else inner
    return str(said)
