"""Embedders behind any OpenAI-compatible ``/embeddings`` endpoint."""

import math
from collections.abc import Collection, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from ds2.checks import check_int, check_positive
from ds2.embedding.embedder import Described, unit_rows
from ds2.endpoints import address_of, clean, openai_client, read_key
from ds2.errors import InputError, MissingDependencyError, RunError, warn

__all__ = ["OpenAIEmbedder"]

#: A text that an endpoint refuses even at this length is refused for another reason.
SHORTEST_CUT = 64


class OpenAIEmbedder(Described):
    """A model behind an endpoint that speaks OpenAI's ``/embeddings``.

    Failures that can pass (429, 5xx, a lost connection) are tried again by the openai client, with
    growing pauses. A batch that the endpoint calls too large is halved; a single text that it calls
    too long is cut to half its length until it fits, and a warning says so.

    Args:
        model: the model's name, as the endpoint knows it.
        base_url: the endpoint, for example "http://localhost:8000/v1"; None is OpenAI's own.
        api_key_env: the environment variable that holds the key; None is OPENAI_API_KEY for
            OpenAI's own address and no key for any other. The key is in no message, name or file
            of ours.
        dimensions: ask for shorter vectors, where the model can.
        max_tokens: the model's limit, where known: it only informs reports.
        languages: ISO 639 codes; None where not declared.
        timeout_s: seconds to wait for one reply.
        max_retries: further tries after a failure that can pass.

    Raises:
        MissingDependencyError: openai is not installed.
        InputError: there is no key, or the endpoint refuses the key, the model or a text.
        RunError: the endpoint is not there, fails, or replies nonsense; what was embedded is kept.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key_env: str | None = None,
        dimensions: int | None = None,
        max_tokens: int | None = None,
        languages: Collection[str] | None = None,
        timeout_s: float = 60.0,
        max_retries: int = 5,
    ) -> None:
        check_int("max_retries", max_retries, low=0)
        check_positive("timeout_s", timeout_s)
        if dimensions is not None:
            check_int("dimensions", dimensions, low=1)
        self._endpoint = address_of(base_url)
        self._key = read_key(api_key_env, base_url, "OpenAIEmbedder")
        self._client = _client(self._key, base_url, timeout_s, max_retries)
        self._model, self.max_tokens = model, max_tokens
        self._extra = {} if dimensions is None else {"dimensions": dimensions}
        self.languages = None if languages is None else frozenset(languages)
        self.dimension = self._request(["dimension"], probe=True).shape[1]
        self.name = f"openai:{model}@{self._endpoint};dimensions={self.dimension}"

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Return (n, d) float32 rows of unit length. An empty text is sent as one space."""
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        return unit_rows(self._fit([text or " " for text in texts]))

    def count_tokens(self, texts: Sequence[str]) -> np.ndarray | None:  # noqa: ARG002
        """Return None: only the endpoint knows its tokens."""
        return None

    def _fit(self, texts: list[str]) -> np.ndarray:
        """Request, halving what the endpoint refuses until it is taken."""
        try:
            return self._request(texts)
        except _RefusedError as refused:
            if len(texts) == 1 and len(texts[0]) <= SHORTEST_CUT:
                raise InputError(str(refused)) from None
        if len(texts) > 1:
            middle = len(texts) // 2
            return np.concatenate([self._fit(texts[:middle]), self._fit(texts[middle:])])
        warn(
            f"Some texts are longer than '{self._model}' takes: their ends were cut.",
        )
        return self._fit([texts[0][: math.ceil(len(texts[0]) / 2)]])

    def _request(self, texts: list[str], *, probe: bool = False) -> np.ndarray:
        """Send one request. `_RefusedError` when the endpoint finds these texts too much."""
        import openai

        try:
            reply = self._client.embeddings.create(
                model=self._model, input=texts, encoding_format="float", **self._extra
            )
            data = sorted(reply.data, key=lambda item: item.index)
            return _check_reply([item.embedding for item in data], len(texts))
        except (openai.OpenAIError, AttributeError, TypeError, ValueError) as error:
            status = getattr(error, "status_code", None)
            sentence = _explain(error, self._model, self._endpoint, self._key)
        # Outside the handler, so that the client's exception (which may quote the key) is not kept.
        if status in (400, 413, 422) and not probe:
            raise _RefusedError(sentence)
        if status in (400, 401, 403, 404, 413, 422):
            raise InputError(sentence)
        raise RunError(sentence)


class _RefusedError(Exception):
    """The endpoint refused this input and may take a smaller one."""


def _client(key: str, base_url: str | None, timeout_s: float, max_retries: int) -> Any:
    if find_spec("openai") is None:
        raise MissingDependencyError("openai", "OpenAIEmbedder")
    return openai_client(key, base_url, timeout_s=timeout_s, tries=max_retries)


def _check_reply(vectors: list[list[float]], n: int) -> np.ndarray:
    if len(vectors) != n:
        raise ValueError(f"{len(vectors)} vectors for {n} texts")
    if len({len(vector) for vector in vectors}) != 1:
        raise ValueError("vectors of different lengths")
    array = np.asarray(vectors, dtype=np.float64)
    if array.shape[1] == 0 or not np.isfinite(array).all():
        raise ValueError("vectors that are empty, NaN or infinite")
    return array


def _explain(error: Exception, model: str, endpoint: str, key: str) -> str:
    status = getattr(error, "status_code", None)
    said = clean(str(getattr(error, "message", None) or error), key)
    if status in (401, 403) and not key:
        said += " (No key was sent: name the variable that holds this endpoint's with api_key_env.)"
    if status is not None:
        return f"The endpoint {endpoint} answered {status} for the model '{model}': {said}"
    if isinstance(error, AttributeError | TypeError | ValueError):
        return f"The endpoint {endpoint} sent no usable embeddings for '{model}': {said}"
    return f"The endpoint {endpoint} could not be reached for the model '{model}': {said}"
