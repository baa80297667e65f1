"""The endpoint's side of batches: files and batches, by OpenAI's names."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from ds2.atomic import writing
from ds2.endpoints import address_of, masked, openai_client
from ds2.errors import InputError, MissingDependencyError, RunError
from ds2.rating.batch_files import ENDPOINT
from ds2.rating.chat_failures import explain

__all__ = ["BatchClient", "BatchStatus"]

_OPEN = ("validating", "in_progress", "finalizing", "cancelling")
_LABEL = "ds2"
_RECENT = 500
_TRIES = 5


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """What the endpoint says of a batch.

    Attributes:
        batch_id: its name.
        status: in the endpoint's words.
        n_done: requests that have an outcome.
        outputs: the files of results, those with errors last.
        errors: why the batch as a whole was refused.
    """

    batch_id: str
    status: str
    n_done: int
    outputs: tuple[str, ...]
    errors: str

    @property
    def open(self) -> bool:
        """Whether it is still going on."""
        return self.status in _OPEN


class BatchClient:
    """Sends files and asks about batches; every failure is one sentence without a secret.

    Args:
        model: for messages.
        base_url: the endpoint; None is OpenAI's own.
        key: of the endpoint.
        timeout_s: the longest wait for one reply; a file takes as long as it takes.
    """

    def __init__(self, *, model: str, base_url: str | None, key: str, timeout_s: float) -> None:
        if find_spec("openai") is None:
            raise MissingDependencyError("openai", "BatchRater")
        self._model, self._key = model, key
        self.endpoint = address_of(base_url)
        self._api: Any = openai_client(key, base_url, timeout_s=timeout_s, tries=_TRIES)

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def upload(self, path: Path) -> str:
        """Send a file of requests and return its id."""
        with path.open("rb") as file:
            sent = self._call(self._api.files.create, file=(path.name, file), purpose="batch")
        return str(sent.id)

    def create(self, file_id: str, token: str) -> str:
        """Start a batch that carries ``token`` and return its id."""
        batch = self._call(
            self._api.batches.create,
            input_file_id=file_id,
            endpoint=ENDPOINT,
            completion_window="24h",
            metadata={_LABEL: token},
        )
        return str(batch.id)

    def find(self, token: str) -> str | None:
        """Return the id of the batch that carries ``token``, among the newest ones."""
        pages = self._call(self._api.batches.list, limit=100)
        for batch in islice(pages, _RECENT):
            if (batch.metadata or {}).get(_LABEL) == token:
                return str(batch.id)
        return None

    def status(self, batch_id: str) -> BatchStatus:
        """Ask about a batch."""
        batch = self._call(self._api.batches.retrieve, batch_id)
        counts = batch.request_counts
        said = [str(error.message) for error in (batch.errors.data if batch.errors else None) or ()]
        return BatchStatus(
            batch_id=batch_id,
            status=str(batch.status),
            n_done=(counts.completed or 0) + (counts.failed or 0) if counts else 0,
            outputs=tuple(filter(None, (batch.output_file_id, batch.error_file_id))),
            errors="".join(c if c.isprintable() else " " for c in "; ".join(said))[:300],
        )

    def download(self, file_id: str, path: Path) -> None:
        """Write a file of results, complete or not at all."""
        reply = self._call(self._api.files.content, file_id)
        with writing(path) as temporary:
            temporary.write_bytes(masked(reply.content, self._key))

    def _call(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except Exception as error:
            failure = explain(error, model=self._model, endpoint=self.endpoint, key=self._key)
        # Outside the handler, so that the client's exception, which holds the key, is not kept.
        if failure.reason == "no such model":
            raise InputError(
                f"The endpoint {self.endpoint} has no batches, or not this one (it answered 404). "
                "Ask it with ChatRater, or write the requests and have them run elsewhere."
            )
        if failure.retryable:
            raise RunError(f"{failure.sentence} What was sent and received so far is kept.")
        raise InputError(failure.sentence)
