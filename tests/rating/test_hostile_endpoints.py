"""Endpoints, files and folders that mean ill, or are broken: each costs what it must."""

import asyncio
import gzip
import json
import random
import sqlite3
import threading
import time
import warnings
from contextlib import closing, suppress

import numpy as np
import pytest
from llm_server import Endpoint, Step, rating_of, rating_text
from rating_fakes import CANARY as KEY
from rating_fakes import ScriptedRater, make_pool

from ds2.embedding import OpenAIEmbedder
from ds2.endpoints import masked
from ds2.errors import Ds2Error, Ds2Warning, InputError, RunBusyError, RunError
from ds2.rating import Answer, ChatRater, Failure, Limits, Prompt, Rubric, Store, rate, reparse
from ds2.rating.batch import BatchClient
from ds2.rating.prices import NO_LIMIT, Price, most_output_tokens
from ds2.rating.rate import writable_store
from ds2.rating.store import Reserved
from ds2.rating.wire import Target, read_body, refusal

ABOUT = Target("m", "http://e", KEY)
PRICES = {"m": {"input": 1.0, "output": 10.0}, "fake": {"input": 1.0, "output": 10.0}}


def quietly(*arguments, **keywords):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ds2Warning)
        return rate(*arguments, **keywords)


def body_of(choice, **more):
    return json.dumps({"choices": [choice], **more}).encode()


# -- replies --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "choice",
    [
        {"message": {"content": "8"}, "error": {"code": 502, "message": "upstream"}},
        {"message": {"content": "8"}, "finish_reason": "error"},
        {"message": {"content": "8"}, "error": "upstream"},
        {"message": {"content": "8"}, "finish_reason": "ERROR"},
    ],
)
def test_an_error_inside_a_choice_is_no_reply(choice):
    with pytest.raises(Failure, match=r"answered 50[02]"):
        read_body(body_of(choice), 0.1, ABOUT)


@pytest.mark.parametrize("usage", [2**63, -1, 10**40, 1.5, "10", True, None, [], 0])
def test_what_is_no_count_of_tokens_is_unknown(usage):
    told = {"usage": {"prompt_tokens": usage, "completion_tokens": usage}}
    answer = read_body(body_of({"message": {"content": "8"}}, **told), 0.1, ABOUT)
    assert answer.n_input is None
    assert answer.n_output in (None, 0)


@pytest.mark.parametrize(
    "odd",
    [
        {"usage": "many"},
        {"usage": [1]},
        {"usage": {"prompt_tokens": 5, "prompt_tokens_details": [1]}},
        {"logprobs": {"content": [None]}},
        {"logprobs": {"content": ["a"]}},
        {"logprobs": {"content": [{"token": "a", "logprob": 10**400, "top_logprobs": [None]}]}},
    ],
    ids=str,
)
def test_what_is_odd_beside_a_reply_does_not_cost_the_reply(odd):
    choice = {"message": {"content": "8"}, "logprobs": odd.get("logprobs")}
    answer = read_body(body_of(choice, usage=odd.get("usage")), 0.1, ABOUT)
    assert (answer.text, answer.n_output, answer.top_logprobs) == ("8", None, None)


@pytest.mark.parametrize(
    ("status", "may_cost"), [(499, True), (504, True), (524, True), (503, False)]
)
def test_what_ran_out_of_time_on_the_way_may_have_been_billed(status, may_cost):
    assert refusal(status, b"", {}, ABOUT).may_cost is may_cost


def test_a_reply_in_the_reasoning_is_seen_and_not_read():
    answer = read_body(
        body_of({"message": {"content": None, "reasoning_content": "8"}}), 0.1, ABOUT
    )
    assert (answer.text, answer.reasoned) == ("", True)


def test_a_key_that_is_echoed_is_masked_before_it_is_kept(tmp_path):
    def plan(body, number):
        return Step(text=rating_text(rating_of(body["messages"])) + f"\nYour key: {KEY}")

    with Endpoint(plan) as endpoint:
        rater = ChatRater("m", base_url=endpoint.url, api_key_env="TEST_KEY", form="text")
        quietly(make_pool(tmp_path, 3), rater, store=tmp_path / "s.sqlite")
    for path in tmp_path.iterdir():
        assert b"canary" not in path.read_bytes(), path


def test_a_key_is_masked_however_json_writes_it():
    escaped = "".join(f"\\u{ord(char):04X}" for char in KEY)
    for spelled in (KEY, KEY.replace("/", "\\/"), escaped, KEY[:9] + escaped[54:]):
        assert json.loads(f'"{spelled}"') == KEY
        assert masked(f'{{"text": "{spelled}"}}'.encode(), KEY) == b'{"text": "***"}'


@pytest.mark.parametrize("body", [b"[" * 2_000_000, b'{"error": "' + b"x" * 2_000_000 + b'"}'])
def test_no_words_of_an_endpoint_take_long(body):
    start = time.process_time()
    assert len(refusal(400, body, {}, ABOUT).sentence) < 500
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize("address", ["http://[::1", "http://[bad]/", "\x1b[2J", "//", "", KEY])
def test_an_address_that_is_none_is_a_failure_like_any_other(address):
    failure = refusal(307, b"", {"location": address}, ABOUT)
    assert "sends on to" in failure.sentence
    assert failure.sentence.isprintable()
    assert KEY not in failure.sentence


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "::::", "http://", "http://[::1"])
def test_a_proxy_that_does_not_speak_http_is_named_and_not_used(tmp_path, monkeypatch, proxy):
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", proxy)
    rater = ChatRater("m", base_url="http://example.test/v1", api_key_env="TEST_KEY")
    with pytest.raises(InputError, match="set http_proxy to its address"):
        quietly(make_pool(tmp_path, 3), rater, store=tmp_path / "s.sqlite")


@pytest.mark.parametrize("address", ["http://e/v1\r\nx: y", "http://e\0/v1", "http://e/\x1b[2J"])
def test_an_address_with_control_characters_is_refused(address):
    with pytest.raises(InputError, match="must be an address") as caught:
        ChatRater("m", base_url=address)
    assert str(caught.value).isprintable()


def test_a_reply_of_a_byte_now_and_then_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("ds2.rating.wire._GRACE_S", 0.2)
    start = time.perf_counter()
    with Endpoint(lambda body, number: Step(fault="trickle")) as endpoint:
        rater = ChatRater("m", base_url=endpoint.url, form="json", timeout_s=0.5, tries=2)
        with pytest.raises(RunError, match="did not answer in time"):
            quietly(make_pool(tmp_path, 3), rater, store=tmp_path / "s.sqlite")
    assert time.perf_counter() - start < 10.0


@pytest.mark.parametrize("packed", [True, False])
def test_a_reply_that_never_ends_is_bounded(tmp_path, packed, monkeypatch):
    monkeypatch.setattr("ds2.rating.wire._LARGEST", 100_000)
    bomb = gzip.compress(bytes(50_000_000)) if packed else b" " * 2_000_000
    headers = {"content-encoding": "gzip"} if packed else {}

    def plan(body, number):
        poisoned = "question 1\n" in body["messages"][-1]["content"]
        return Step(body=bomb, headers=headers) if poisoned else Step()

    with Endpoint(plan) as endpoint:
        rater = ChatRater("m", base_url=endpoint.url, form="json", tries=2)
        result = quietly(make_pool(tmp_path, 5), rater, store=tmp_path / "s.sqlite")
    assert result.problems == {"server error": 1}


def test_a_reply_that_is_packed_unasked_is_read(tmp_path):
    def plan(body, number):
        text = {"message": {"content": rating_text(7)}, "finish_reason": "stop"}
        return Step(body=gzip.compress(body_of(text)), headers={"content-encoding": "gzip"})

    with Endpoint(plan) as endpoint:
        rater = ChatRater("m", base_url=endpoint.url, form="json")
        assert quietly(make_pool(tmp_path, 3), rater).values.tolist() == [7.0] * 3


@pytest.mark.parametrize(("fault", "away"), [("drop", False), ("half", False), (None, True)])
def test_only_what_never_left_costs_nothing(fault, away):
    """A connection that broke off may have been billed; one that never was has not."""

    async def ask(url):
        rater = ChatRater("m", base_url=url, form="json")
        rater.settle({"form": "json"})
        await rater.open(Rubric.ds2())
        prompt = Prompt(({"role": "user", "content": "x"},))
        try:
            with pytest.raises(Failure) as caught:
                await rater.ask(prompt, rubric=Rubric.ds2(), seed=0)
        finally:
            await rater.close()
        return caught.value

    with Endpoint(lambda body, number: Step(fault=fault)) as endpoint:
        failure = asyncio.run(ask(endpoint.url)) if fault else None
    failure = failure or asyncio.run(ask(endpoint.url))
    assert (failure.reason, failure.away, failure.may_cost) == ("connection lost", away, not away)


def test_an_answer_that_nobody_asked_for_is_nobodys(tmp_path):
    """A second answer on an idle connection must not become the reply to the next request."""
    true, connections = [], []

    async def serve(reader, writer):
        connections.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                size = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
                true.append(rating_of(json.loads(await reader.readexactly(size))["messages"]))
                for rating in (true[-1], 1 + true[-1] % 10):
                    data = body_of({"message": {"content": rating_text(rating)}})
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(data))
                    writer.write(data)
                    await asyncio.sleep(0.03)
        writer.close()

    async def ask(pool):
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            url = f"http://127.0.0.1:{port}/v1"
            rater = ChatRater("m", base_url=url, requests_per_minute=300)
            rater.settle({"form": "json"})
            ratings = await asyncio.to_thread(rate, pool, rater)
            await asyncio.sleep(0.05)  # the server sees that its connections are closed
            return ratings

    values = asyncio.run(ask(make_pool(tmp_path, 5))).values
    assert sorted(values) == sorted(true)
    assert len(connections) == len(true) == 5, "none is used again after the first such answer"


# -- addresses ------------------------------------------------------------------------------------


def test_an_address_that_cannot_be_read_is_said():
    with pytest.raises(InputError, match="base_url"):
        ChatRater("m", base_url="http://[::1")


@pytest.mark.parametrize("address", ["user:secret@{}", "{}?key=secret", "{}#secret"])
def test_an_address_holds_no_secret(address):
    with pytest.raises(InputError, match="api_key_env") as caught:
        ChatRater("m", base_url=f"http://{address.format('127.0.0.1:1/v1')}")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("ask", ["rater", "embedder", "batches"])
def test_nobody_follows_a_redirection_or_a_proxy_to_elsewhere(tmp_path, monkeypatch, ask):
    def asked(url):
        if ask == "rater":
            quietly(make_pool(tmp_path, 2), ChatRater("m", base_url=url, tries=1))
        elif ask == "embedder":
            OpenAIEmbedder("m", base_url=url, max_retries=0)
        else:
            client = BatchClient(model="m", base_url=url, key=KEY, timeout_s=5.0)
            with closing(client):
                client.find("token")

    with Endpoint() as other:
        moved = Step(307, body={}, headers={"location": f"{other.url}/elsewhere"})
        said = f"sends on to {other.url}.*Set base_url" if ask == "rater" else None
        with Endpoint(lambda body, number: moved) as endpoint:
            with pytest.raises(Ds2Error, match=said):
                asked(endpoint.url)
            assert endpoint.n >= 1
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, other.url.removesuffix("/v1"))
        monkeypatch.delenv("no_proxy", raising=False)
        with Endpoint(lambda body, number: Step(404, body={})) as endpoint:
            with pytest.raises(Ds2Error):
                asked(endpoint.url)
            assert endpoint.n >= 1
        assert other.n == 0


# -- money ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("extra", "most"),
    [
        (None, 100),
        ({"n": 4}, 400),
        ({"max_tokens": 2000}, 2000),
        ({"max_completion_tokens": 2000, "n": 2}, 4000),
        ({"reasoning": {"max_tokens": 8000}}, 8100),
        ({"thinking": {"type": "enabled", "budget_tokens": 500}, "best_of": 3}, 1800),
        ({"reasoning_effort": "low", "top_p": 1}, 100),
        ({"n": "4"}, 400),
        ({"n": 4.0, "max_tokens": "2000"}, 8000),
        ({"generationConfig": {"maxOutputTokens": 900, "candidateCount": 3}}, 3000),
        ({"min_tokens": 5, "truncate_prompt_tokens": -1, "n": None}, 100),
        ({"max_tokens": None}, NO_LIMIT),
        ({"max_completion_tokens": -1}, NO_LIMIT),
        ({"thinking": {"budget_tokens": "much"}}, NO_LIMIT),
    ],
)
def test_what_extra_asks_for_is_set_aside(extra, most):
    assert most_output_tokens({"max_output_tokens": 100, "extra": extra}) == most


def test_a_cap_is_refused_where_replies_have_no_end(tmp_path):
    rater = ScriptedRater(settings={"extra": {"max_tokens": None}})
    with pytest.raises(InputError, match="no limit"):
        rate(make_pool(tmp_path, 3), rater, prices=PRICES, max_cost_usd=1.0)
    assert rater.prompts == []


def test_no_probe_is_sent_that_the_budget_does_not_allow(tmp_path):
    with Endpoint() as endpoint:
        rater = ChatRater("m", base_url=endpoint.url)
        pool = make_pool(tmp_path, 3)
        quietly(pool, rater, store=tmp_path / "s.sqlite", prices=PRICES, max_cost_usd=1e-6)
        assert endpoint.n == 0


SILENCES = {
    "no usage": lambda: Answer('{"overall": 6}', "stop"),
    "usage of 2**63": lambda: Answer('{"overall": 6}', "stop", 2**63, 2**63),
    "timeout": lambda: Failure("timed out", "Late.", retryable=True),
    "lost": lambda: Failure("connection lost", "Gone.", retryable=True),
    "broken body": lambda: Failure("server error", "Half.", retryable=True, may_cost=True),
    "empty": lambda: Answer("", "stop", 3000, 50),
}


@pytest.mark.parametrize("silence", SILENCES)
def test_the_cap_holds_over_runs_whatever_is_not_said(tmp_path, silence):
    """Every request may have been billed in full; over all runs they stay below the cap."""
    pool, store, cap_usd = make_pool(tmp_path, 60), tmp_path / "s.sqlite", 0.05

    def answer(prompt, number):
        outcome = SILENCES[silence]()
        if isinstance(outcome, Failure):
            raise outcome
        return outcome

    sent = 0
    for _ in range(3):
        rater = ScriptedRater(answer, limits=Limits(concurrency=8, tries=2))
        with suppress(RunError):
            quietly(pool, rater, store=store, prices=PRICES, max_cost_usd=cap_usd)
        sent += len(rater.prompts)
    assert sent >= 5
    assert sent * (0.002 + 50e-5) <= cap_usd, "a prompt here has more than 2,000 bytes"


@pytest.mark.parametrize("prices", [PRICES, None])
def test_what_is_known_leaves_no_reservation(tmp_path, prices):
    store = tmp_path / "s.sqlite"
    rate(make_pool(tmp_path, 20), ScriptedRater(), store=store, prices=prices)
    with Store(store) as opened:
        assert opened.spent(lambda model: Price(1.0, 10.0)) == pytest.approx(20 * 300e-6)
        assert opened.next_reservation() == 1


def test_a_server_that_bills_more_than_asked_is_learnt_and_remembered(tmp_path):
    """Ten times what was set aside: the first reply may exceed the cap, later requests do not."""
    pool, store, billed = make_pool(tmp_path, 60), tmp_path / "s.sqlite", []

    def answer(prompt, number):
        billed.append(0.035)
        return Answer('{"overall": 6}', "stop", 30_000, 500)

    for _ in range(3):
        rater = ScriptedRater(answer)
        quietly(pool, rater, store=store, prices=PRICES, max_cost_usd=0.2)
    assert sum(billed) <= 0.2 + 0.035
    assert len(billed) >= 3


# -- the store, its lock and its folder -----------------------------------------------------------


def filled_store(folder):
    path = folder / "s.sqlite"
    pool = make_pool(folder, 40)
    rate(pool, ScriptedRater(), store=path)
    changed(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    return pool, path


def changed(path, *commands):
    """Do something to a store; return how many rows each command changed."""
    with closing(sqlite3.connect(path)) as db, db:
        return [db.execute(command).rowcount for command in commands]


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_store_is_said_and_never_believed(tmp_path, seed):
    """Bytes changed, zeroed, or cut off: an error with the way back, or the same ratings."""
    pool, path = filled_store(tmp_path)
    before = reparse(pool, path).values
    rng, data = random.Random(seed), bytearray(path.read_bytes())
    if seed % 4 == 0:
        del data[rng.randrange(100, len(data)) :]
    elif seed % 4 == 1:
        start = rng.randrange(len(data) - 600)
        data[start : start + 512] = bytes(512)
    elif seed % 4 == 2:  # a rating in a reply
        spots = [at for at in range(len(data)) if data[at : at + 11] == b'"overall": ']
        data[rng.choice(spots) + 11] ^= 1
    else:
        for _ in range(30):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    for ask in (lambda: reparse(pool, path), lambda: quietly(pool, ScriptedRater(), store=path)):
        try:
            after = ask().values
        except (InputError, RunError) as error:
            said = str(error)
        else:
            said = f"{path}" if np.array_equal(before, after) else "other ratings"
        assert str(path) in said


def test_a_store_of_the_first_version_goes_on(tmp_path):
    pool, path = filled_store(tmp_path)
    changed(
        path,
        "DROP TABLE reserved",
        "ALTER TABLE replies DROP COLUMN checksum",
        "PRAGMA user_version = 1",
    )
    again = ScriptedRater()
    assert not np.isnan(rate(pool, again, store=path).values).any()
    assert again.prompts == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE setups SET prompt_hash = 'a' || substr(prompt_hash, 2), rubric_hash = 'b'",
        "UPDATE setups SET settings = replace(settings, '50', '51')",
        "UPDATE facts SET value = 'another' WHERE name = 'nonce'",
    ],
)
def test_a_store_that_forgot_whose_replies_it_has_is_damaged(tmp_path, change):
    """Otherwise everything would be asked for, and paid, again."""
    pool, path = filled_store(tmp_path)
    assert changed(path, change) == [1]
    again = ScriptedRater()
    with pytest.raises(InputError, match="damaged"):
        quietly(pool, again, store=path)
    assert again.prompts == []


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TRIGGER t AFTER INSERT ON replies BEGIN DELETE FROM replies; END",
        "CREATE VIEW everything AS SELECT * FROM replies",
        "DROP TABLE probes",
        "INSERT INTO facts VALUES ('bills times: fake', 'nan')",
        "INSERT INTO reserved VALUES (7, 'fake', 0, 0, -1000000, 0)",
        "INSERT INTO reserved VALUES (9223372036854775807, 'fake', 0, 0, 0.0, 0)",
        "INSERT INTO reserved VALUES (7, 'fake', 'x', 0, 0.0, 0)",
        "INSERT INTO probes VALUES ('a', 'json', '[1', 0, 0, 0, 0)",
        "UPDATE replies SET checksum = NULL, logprobs = '{'",
        "UPDATE replies SET checksum = NULL, cost_usd = -5",
    ],
)
def test_a_store_with_more_or_less_in_it_is_damaged(tmp_path, change):
    """A trigger eats replies, a negative amount makes room below the cap."""
    pool, path = filled_store(tmp_path)
    changed(path, change)
    with pytest.raises(InputError, match="damaged"):
        quietly(pool, ScriptedRater(), store=path)


def test_a_store_that_another_program_has_locked_is_said_soon(tmp_path, monkeypatch):
    """What it waits for after SAY_S, and the way out when nobody lets go of it."""
    pool, path = filled_store(tmp_path)
    monkeypatch.setattr("ds2.rating.store.SAY_S", 0.1)
    monkeypatch.setattr("ds2.rating.store.OPENING_S", 0.5)
    holder = sqlite3.connect(path, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    start = time.perf_counter()
    waiting = pytest.warns(Ds2Warning, match=r"Waiting up to 0\.5 s .* Close it there")
    with waiting, pytest.raises(RunBusyError, match=r"locked the store .*browser"):
        rate(pool, ScriptedRater(), store=path)
    assert time.perf_counter() - start < 5.0
    letting_go = threading.Timer(0.2, holder.rollback)
    letting_go.start()
    with pytest.warns(Ds2Warning, match="Waiting up to"):
        again = rate(pool, ScriptedRater(), store=path)
    letting_go.join()
    holder.close()
    assert not np.isnan(again.values).any()


def test_a_lock_while_models_are_asked_loses_no_reply(tmp_path, monkeypatch):
    monkeypatch.setattr("ds2.rating.store.SAY_S", 0.1)
    path = tmp_path / "s.sqlite"

    def answer(prompt, number):
        if number == 10:
            holder = sqlite3.connect(path, check_same_thread=False)
            holder.execute("BEGIN IMMEDIATE")
            threading.Timer(1.0, holder.close).start()
        return rating_text(7)

    with pytest.warns(Ds2Warning, match="Waiting up to 60 s"):
        assert set(rate(make_pool(tmp_path, 40), ScriptedRater(answer), store=path).values) == {7}


def test_a_lock_never_follows_a_link(tmp_path):
    target = tmp_path / "precious"
    (tmp_path / "s.sqlite-lock").symlink_to(target)
    with pytest.raises(InputError, match="link"), writable_store(tmp_path / "s.sqlite"):
        pass
    assert not target.exists()


def test_what_is_reserved_stays_until_it_is_settled(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        number = store.next_reservation()
        price = Price(1.0, 10.0)
        store.add(reserved=[Reserved(number, "m", 1000, 100, 0.5), Reserved(2, "m", 10, 1, None)])
        assert store.spent(lambda model: price) == pytest.approx(0.5 + 20e-6)
        assert store.spent(lambda model: None) == 0.5
        store.add(settled={number: 0.25, 2: 0.0}, learned={"m": 3.0})
        assert store.spent(lambda model: price) == 0.25
        assert (store.factor("m"), store.factor("other")) == (3.0, 1.0)
