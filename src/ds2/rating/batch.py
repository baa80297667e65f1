"""A rater that is asked in batches: cheaper, and within a day."""

from collections.abc import Mapping

from ds2.checks import check_choice, check_fraction, check_int, check_positive
from ds2.endpoints import address_of, is_openai, read_key
from ds2.errors import InputError
from ds2.rating.batch_client import BatchClient
from ds2.rating.batch_plan import Shape
from ds2.rating.chat_dialect import Dialect
from ds2.rating.prompt import FORMS, Prompt
from ds2.rating.rubric import Rubric

__all__ = ["BatchRater"]

_MOST_REQUESTS = 50_000
_MOST_BYTES = 190_000_000
_LIMITS = ("max_tokens", "max_completion_tokens")


class BatchRater:
    """A model behind an endpoint that takes OpenAI-style batches.

    Nothing is found out about the endpoint before: the reply form and the name of the token limit
    are what is said here. Replies are kept under the same key as those of a `ChatRater` with the
    same model and settings, so either goes on where the other stopped.

    Args:
        model: the model's name, as the endpoint knows it.
        base_url: the endpoint; None is OpenAI's own.
        api_key_env: the environment variable that holds the key, as for `ChatRater`; it is read
            when something is sent or collected.
        name: what the ratings are called; None is the model's name.
        form: the reply form: "structured", "json", "text" or "expected".
        temperature: of the sampling; None leaves it to the endpoint.
        max_output_tokens: the longest reply.
        token_limit: the name of the field for that; None is "max_completion_tokens" for OpenAI,
            "max_tokens" elsewhere.
        extra: further fields of every request.
        variant: further text that tells replies apart, as for `ChatRater`.
        price_share: what a batch costs as a share of the usual price.
        max_requests: the most requests in one batch.
        max_bytes: the most bytes in one file.
        timeout_s: the longest wait for one answer about a file or a batch.

    Raises:
        InputError: a setting is none.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key_env: str | None = None,
        name: str | None = None,
        form: str = "structured",
        temperature: float | None = 0.0,
        max_output_tokens: int = 512,
        token_limit: str | None = None,
        extra: Mapping[str, object] | None = None,
        variant: str | None = None,
        price_share: float = 0.5,
        max_requests: int = _MOST_REQUESTS,
        max_bytes: int = _MOST_BYTES,
        timeout_s: float = 600.0,
    ) -> None:
        if not model.strip():
            raise InputError("'model' must be the name of a model. Got an empty one.")
        check_choice("form", form, FORMS)
        if temperature is not None:
            check_positive("temperature", temperature, zero=True)
        check_fraction("price_share", price_share)
        check_positive("timeout_s", timeout_s)
        usual = _LIMITS[is_openai(base_url)]
        limit = check_choice("token_limit", token_limit or usual, _LIMITS)
        self.model, self.name, self.form = model, name or model, form
        self.price_share = price_share
        self.shape = Shape(
            check_int("max_requests", max_requests, low=1),
            check_int("max_bytes", max_bytes, low=1),
            check_int("max_output_tokens", max_output_tokens, low=1),
        )
        self.endpoint = address_of(base_url)
        self._base_url, self._api_key_env, self._timeout_s = base_url, api_key_env, timeout_s
        self._dialect = Dialect(form, limit=limit)
        self._temperature, self._extra, self._variant = temperature, dict(extra or {}), variant

    def __repr__(self) -> str:
        return f"BatchRater({self.model!r}, endpoint={self.endpoint!r}, form={self.form!r})"

    @property
    def settings(self) -> Mapping[str, object]:
        """What can change a reply, as `ChatRater` has it: a batch is only another way to ask."""
        settings: dict[str, object] = {
            "rater": "chat",
            "model": self.model,
            "temperature": self._temperature,
            "max_output_tokens": self.shape.max_output_tokens,
        }
        if self._extra:
            settings["extra"] = self._extra
        if self._variant is not None:
            settings["variant"] = self._variant
        return settings

    def body(self, prompt: Prompt, rubric: Rubric) -> dict[str, object]:
        """Return the body of a request."""
        body = self._dialect.body(
            prompt,
            rubric,
            model=self.model,
            temperature=self._temperature,
            max_output_tokens=self.shape.max_output_tokens,
        )
        return body | self._extra

    def client(self) -> BatchClient:
        """Return a client of the endpoint.

        Raises:
            InputError: there is no key.
        """
        key = read_key(self._api_key_env, self._base_url, "BatchRater")
        return BatchClient(
            model=self.model, base_url=self._base_url, key=key, timeout_s=self._timeout_s
        )
