"""One llama.cpp server in a process of its own, run by `ds2.rating.local` as a script.

Its settings are its argument, as JSON. Once it is ready it writes one line of JSON to its standard
output, the address or what went wrong, and serves until its standard input ends. The input ends
when whoever started it closes it or dies in any way, so no server is ever left behind.
"""

import json
import os
import signal
import sys
import time
import urllib.request
from typing import Any

__all__: list[str] = []


def serve() -> None:
    """Start the server that the argument describes; return when the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the starter, who closes the input
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever the library prints goes to the log, not into the answer
    try:
        server = _start(json.loads(sys.argv[1]))
        _wait(server.listening_address)
        said = {"address": server.listening_address}
    except Exception as error:
        said = {"error": str(error)[:300] or type(error).__name__}
    answer.write(json.dumps(said) + "\n")
    answer.flush()
    if "address" in said:
        sys.stdin.buffer.read()
    os._exit(0)  # the library's threads have nothing to save


def _start(settings: dict[str, Any]) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.model_alias = {settings["alias"]}
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.n_parallel = settings["slots"]
    params.n_ctx = settings["context_tokens"] * settings["slots"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings["threads"]
    params.n_threads_http = settings["slots"] + 2
    params.ui = params.endpoint_slots = False  # neither shows what is being rated
    params.cache_ram_mib = 0
    params.verbosity = 1
    return xllamacpp.Server(params)


def _wait(address: str) -> None:
    """Wait until the model is loaded; whoever started this process ends it when that takes long."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            with direct.open(f"{address}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.05)


if __name__ == "__main__":
    serve()
