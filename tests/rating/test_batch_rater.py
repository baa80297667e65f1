"""Batches over real HTTP: written, sent, collected, resumed, brought in from elsewhere."""

import gzip
import json
import traceback
import warnings
from contextlib import closing

import numpy as np
import pytest
from batch_server import BatchServer, completion

from ds2.errors import Ds2Error, Ds2Warning, InputError, RunError
from ds2.pool import read_pool
from ds2.rating import Batches, BatchRater, ChatRater, Rubric, Store, reparse
from ds2.rating import batch as batch_run
from ds2.rating.batch import (
    Batch,
    BatchClient,
    BatchFolder,
    read_request_id,
    request_id,
    setup_tag,
)
from ds2.rating.prices import Price
from ds2.rating.store import Setup, example_hash

CANARY = "sk-canary-4711-do-not-show"
N = 12


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("BATCH_KEY", CANARY)
    app = BatchServer()
    app.reply = lambda body: (200, completion(rating_of(body)))
    with app:
        yield app


def number_in(body):
    """The number of the example that a request is about."""
    return int(body["messages"][1]["content"].partition("Say number ")[2].split(".")[0])


def rating_of(body):
    return json.dumps(dict.fromkeys(Rubric.ds2().names, 1 + number_in(body) % 10))


EXPECTED = [1 + n % 10 for n in range(N)]


def pool_of(tmp_path, n=N):
    rows = [{"prompt": f"Say number {k}.", "response": "Good."} for k in range(n)]
    path = tmp_path / "pool.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_pool(path)


def batches(server, tmp_path, n=N, rater=None, **asked):
    rater = rater or BatchRater("small", base_url=server.url, api_key_env="BATCH_KEY")
    return Batches(pool_of(tmp_path, n), rater, store=tmp_path / "ratings.sqlite", **asked)


def requests_sent(server):
    """The custom ids that were sent, over all batches."""
    return [
        json.loads(line)["custom_id"]
        for batch in server.batches.values()
        for line in server.files[batch["input_file_id"]].splitlines()
    ]


def quiet(action, **arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ds2Warning)
        return action(**arguments)


def test_a_pool_is_rated_in_one_batch(server, tmp_path):
    told = []
    ratings = batches(server, tmp_path).run(poll_s=0, progress=told.append)
    assert ratings.values.tolist() == EXPECTED
    assert ratings.rater == "small"
    assert list(ratings.criteria) == list(Rubric.ds2().names)
    assert ratings.usage["n_cached"] == 20 * N
    assert [(state.n_open, state.n_in_flight) for state in told] == [(1, N), (0, 0)]
    assert len(server.batches) == 1
    (batch,) = server.batches.values()
    assert (batch["completion_window"], batch["endpoint"]) == ("24h", "/v1/chat/completions")
    body = json.loads(server.files[batch["input_file_id"]].splitlines()[0])["body"]
    assert body["response_format"]["json_schema"]["schema"] == Rubric.ds2().json_schema()
    assert body["max_tokens"] == 512
    left = sorted(path.name for path in (tmp_path / "ratings.sqlite.batches").iterdir())
    assert left == ["batches.json"]  # requests repeat the pool's text: they are gone


def test_nothing_that_is_there_is_sent_again_and_a_larger_pool_only_adds(server, tmp_path):
    batches(server, tmp_path).run(poll_s=0)
    seen = len(server.seen)
    assert batches(server, tmp_path).run(poll_s=0).values.tolist() == EXPECTED
    assert len(server.seen) == seen
    more = batches(server, tmp_path, n=N + 3).run(poll_s=0)
    assert len(more) == N + 3
    assert len(set(requests_sent(server))) == len(requests_sent(server)) == N + 3


def test_days_may_pass_between_sending_and_collecting(server, tmp_path):
    server.ready = False
    with pytest.warns(Ds2Warning, match=r"12 requests of 'small' are in 1 batches .* going on"):
        first = batches(server, tmp_path).run(wait_s=0)
    assert first.problems == {"not asked": N}
    quiet(batches(server, tmp_path).run, wait_s=0)
    assert len(server.batches) == 1
    server.ready = True
    assert batches(server, tmp_path).run(poll_s=0).values.tolist() == EXPECTED
    assert len(requests_sent(server)) == N


@pytest.mark.parametrize("status", ["IN_PROGRESS", "in_queue", "new words"])
def test_a_batch_has_ended_only_when_its_status_is_known_to_be_final(server, tmp_path, status):
    server.end = "COMPLETED"
    server.advance, advance = lambda batch: batch | {"status": status}, server.advance
    for _ in range(2):
        quiet(batches(server, tmp_path).run, wait_s=0)
    server.advance = advance
    assert batches(server, tmp_path).run(poll_s=0).values.tolist() == EXPECTED
    assert len(requests_sent(server)) == N


def test_what_is_in_flight_is_not_sent_when_the_pool_grows(server, tmp_path):
    server.ready = False
    quiet(batches(server, tmp_path).run, wait_s=0)
    quiet(batches(server, tmp_path, n=N + 2, repeats=3).run, wait_s=0)
    server.ready = True
    ratings = batches(server, tmp_path, n=N + 2, repeats=3).run(poll_s=0)
    assert len(server.batches) == 2
    assert len(set(requests_sent(server))) == len(requests_sent(server)) == N + 2 + 3
    assert int((~np.isnan(ratings.repeats)).sum()) == 3


def test_large_pools_go_out_in_several_batches(server, tmp_path):
    rater = BatchRater("small", base_url=server.url, api_key_env="BATCH_KEY", max_requests=5)
    assert batches(server, tmp_path, rater=rater).run(poll_s=0).values.tolist() == EXPECTED
    sizes = [len(server.files[b["input_file_id"]].splitlines()) for b in server.batches.values()]
    assert sizes == [5, 5, 2]
    line = max(len(line) for line in server.files["file-1"].splitlines()) + 1
    small = BatchRater("other", base_url=server.url, api_key_env="BATCH_KEY", max_bytes=2 * line)
    quiet(batches(server, tmp_path, rater=small).run, poll_s=0)
    assert all(len(data) <= 2 * line for data in server.files.values() if b'"other"' in data)
    tiny = BatchRater("third", base_url=server.url, api_key_env="BATCH_KEY", max_bytes=100)
    with pytest.raises(InputError, match=r"more than a batch may hold \(100\)"):
        batches(server, tmp_path, rater=tiny).run()


@pytest.mark.parametrize("step", ["upload", "create"])
@pytest.mark.parametrize("after", [False, True])
def test_a_process_that_ends_while_sending_sends_nothing_twice(
    server, tmp_path, monkeypatch, step, after
):
    """It ends before or after the endpoint took the file, or made the batch."""
    server.ready = False
    whole = getattr(BatchClient, step)

    def ends(self, *arguments):
        if after:
            whole(self, *arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(BatchClient, step, ends)
        with pytest.raises(KeyboardInterrupt):
            batches(server, tmp_path).run()
    server.ready = True
    assert batches(server, tmp_path).run(poll_s=0).values.tolist() == EXPECTED
    assert len(server.batches) == 1
    assert len(requests_sent(server)) == N


@pytest.mark.parametrize("refused", [True, False])
def test_what_never_became_a_batch_is_sent_by_its_own_setup_alone(
    server, tmp_path, monkeypatch, refused
):
    """The endpoint refused to make the batch, or the process ended before it did."""
    prices = {"small": {"input": 1.0, "output": 1.0}, "other": {"input": 1.0, "output": 1.0}}
    create = BatchClient.create

    def ends(self, *arguments):
        if not refused:
            raise KeyboardInterrupt
        server.plan = [400]
        return create(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(BatchClient, "create", ends)
        with pytest.raises(InputError if refused else KeyboardInterrupt):
            batches(server, tmp_path, prices=prices).run()
    with Store(tmp_path / "ratings.sqlite") as store:
        assert (store.spent(lambda _: None) == 0) == refused
    other = BatchRater("other", base_url=server.url, api_key_env="BATCH_KEY")
    elsewhere = BatchServer()
    elsewhere.reply = server.reply
    with elsewhere:
        there = BatchRater("small", base_url=elsewhere.url, api_key_env="BATCH_KEY")
        for rater, at in ((other, server), (there, elsewhere)):
            ratings = batches(server, tmp_path, rater=rater).run(poll_s=0)
            assert ratings.values.tolist() == EXPECTED
            assert len(at.batches) == 1
            assert len(requests_sent(at)) == N


def test_a_process_that_ends_while_collecting_pays_nothing_twice(server, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(batch_run, "read_results", lambda *_: (_ for _ in ()).throw(SystemExit(1)))
        with pytest.raises(SystemExit):
            batches(server, tmp_path).run(poll_s=0)
    assert batches(server, tmp_path).run(poll_s=0).values.tolist() == EXPECTED
    assert len(server.batches) == 1


def test_what_expired_is_sent_again_and_what_fails_is_named(server, tmp_path):
    tried = {}

    def reply(body):
        number = number_in(body)
        tried[number] = tried.get(number, 0) + 1
        if number < 3 and tried[number] == 1:
            return None
        if number == 3 and tried[number] == 1:
            return 429, {"error": {"message": "slow down"}}
        if number == 4:
            return 400, {"error": {"message": "This model's maximum context length is 8"}}
        if number == 5:
            return 200, completion("I'm sorry, but I can't help with that.")
        if number == 6:
            return 200, {"nothing": []}
        return 200, completion(rating_of(body))

    server.reply = reply
    ratings = quiet(batches(server, tmp_path).run, poll_s=0)
    known = [v for n, v in enumerate(EXPECTED) if n not in (4, 5, 6)]
    assert ratings.values[~np.isnan(ratings.values)].tolist() == known
    assert ratings.problem_of_row(4) == "too long"
    assert ratings.problem_of_row(5) == "refused"
    assert ratings.problem_of_row(6) == "server error"
    assert tried[0] == 2
    assert tried[4] == 1
    assert tried[6] == 3


def test_a_batch_without_any_reply_stops_with_its_reason(server, tmp_path):
    server.reply = lambda body: (400, {"error": {"message": "unknown field 'x'"}})
    with pytest.raises(RunError, match=r"of 12 requests brought no reply: .*unknown field"):
        batches(server, tmp_path).run(poll_s=0)
    assert len(server.batches) == 1
    server.reply = lambda body: (200, completion(rating_of(body)))
    assert batches(server, tmp_path).run(poll_s=0).values.tolist() == EXPECTED


def test_a_batch_that_is_refused_stops_with_its_reason(server, tmp_path):
    server.end = "failed"
    with pytest.raises(RunError, match="brought no reply: bad line 1"):
        batches(server, tmp_path).run(poll_s=0)


def test_requests_that_somebody_else_runs(server, tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    rater = BatchRater("gpt-4o-mini", max_requests=7)
    job = batches(server, tmp_path, rater=rater)
    written = job.write(tmp_path / "ask")
    assert [path.name for path in written] == ["ask-1.jsonl", "ask-2.jsonl"]
    results = []
    for path in written:
        asked = [json.loads(line) for line in path.read_text().splitlines()]
        assert all(row["body"]["max_completion_tokens"] == 512 for row in asked)
        rows = [
            {
                "custom_id": row["custom_id"],
                "response": {"status_code": 200, "body": completion(rating_of(row["body"]))},
            }
            for row in asked
        ]
        rows.append({"custom_id": "somebody-else", "response": None, "error": {"code": "x"}})
        results.append(path.with_suffix(".out"))
        results[-1].write_text("".join(json.dumps(row) + "\n" for row in rows[::-1]))
    with pytest.warns(Ds2Warning, match="1 results are of other settings"):
        half = job.collect(results[:1])
    assert half.problems == {"not asked": 5}
    assert quiet(job.collect, files=results).values.tolist() == EXPECTED
    assert half.usage["cost_usd"] == pytest.approx(
        7 * 0.5 * (80 * 0.15 + 20 * 0.075 + 10 * 0.6) / 1e6
    )
    with pytest.raises(InputError, match="Nothing is missing"):
        job.write(tmp_path / "ask")
    with pytest.raises(InputError, match="needs a key"):
        job.run()
    other = batches(server, tmp_path, rater=BatchRater("gpt-4o-mini", temperature=1.0))
    with pytest.raises(InputError, match=r"none of 8 results is of 'gpt-4o-mini'"):
        other.collect(results[:1])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"custom_id": "a"}\n', "line 1: no result of a batch"),
        ('{"custom_id": "a", "error": {}}\n{"cust', "line 2: not a JSON object"),
        ("", "is empty"),
    ],
)
def test_files_that_hold_no_results(server, tmp_path, text, said):
    (tmp_path / "out.jsonl").write_text(text)
    with pytest.raises(InputError, match=said):
        batches(server, tmp_path).collect([tmp_path / "out.jsonl"])


@pytest.fixture
def spoil(monkeypatch):
    """`spoil(change)`: the first results that are downloaded have the lines `change(lines)`."""
    downloaded, changes = BatchClient.download, []

    def download(self, file_id, path):
        downloaded(self, file_id, path)
        if changes:
            path.write_bytes(b"\n".join(changes.pop()(path.read_bytes().splitlines())))

    monkeypatch.setattr(BatchClient, "download", download)
    return changes.append


@pytest.mark.parametrize(
    "broken", [b'{"custom_id": "cut', b"[]", b'{"custom_id": "a"}', b"\xff\0", b"[" * 5000]
)
def test_a_broken_line_costs_that_line_alone(server, tmp_path, spoil, broken):
    """Its request is asked again; what came with it is taken in once."""
    cut = []
    spoil(lambda lines: [*lines[:5], cut.append(lines[5]) or broken, *lines[6:]])
    ratings = batches(server, tmp_path).run(poll_s=0)
    assert ratings.values.tolist() == EXPECTED
    again = [name for name in requests_sent(server) if requests_sent(server).count(name) > 1]
    assert again == [json.loads(cut[0])["custom_id"]] * 2


@pytest.mark.parametrize("equal", [True, False])
def test_two_results_of_one_request_count_once_or_not_at_all(server, tmp_path, spoil, equal):
    """Equal ones are one; those that differ are named, and the example is asked again."""
    of = []

    def doubled(lines):
        second = json.loads(lines[3])
        of.append(second["custom_id"])
        if not equal:
            second["response"]["body"]["choices"][0]["message"]["content"] = '{"overall": 5}'
        return [*lines, json.dumps(second | {"id": "another"}).encode()]

    spoil(doubled)
    work = batches(server, tmp_path)
    if equal:
        ratings = work.run(poll_s=0)
    else:
        with pytest.warns(Ds2Warning, match="1 requests came back with two .* example '.*[0-9]'"):
            ratings = work.run(poll_s=0)
    assert ratings.values.tolist() == EXPECTED
    assert ratings.usage["requests"] == N
    again = [name for name in set(requests_sent(server)) if requests_sent(server).count(name) > 1]
    assert again == ([] if equal else of)


def test_a_line_that_is_missing_may_have_been_billed(server, tmp_path, spoil):
    spoil(lambda lines: lines[:5])
    prices = {"small": {"input": 1.0, "output": 10.0}}
    work = batches(server, tmp_path, prices=prices)
    assert work.run(poll_s=0).values.tolist() == EXPECTED
    with Store(tmp_path / "ratings.sqlite") as store:
        known = store.totals(1)["cost_usd"]
        assert store.spent(lambda model: Price(1.0, 10.0)) > 2 * known


@pytest.mark.parametrize(
    "change",
    [
        {"id": "batch\x1b[2J\x00"},
        {"id": 7},
        {"errors": ["none"]},
        {"status": "completed", "output_file_id": "../secret?"},
    ],
    ids=str,
)
def test_what_is_no_batch_is_said_in_one_printable_sentence(server, tmp_path, change):
    made = server.make_batch
    server.make_batch = lambda asked: made(asked) | change
    server.advance = lambda batch: batch | change
    with pytest.raises(RunError, match="no batch or file") as caught:
        batches(server, tmp_path).run(poll_s=0)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("counts", [5, None, {"completed": "all", "failed": None, "total": -1}])
def test_counts_that_are_none_hold_no_replies_back(server, tmp_path, counts):
    advance = server.advance
    server.advance = lambda batch: advance(batch) | {"request_counts": counts}
    assert batches(server, tmp_path).run(poll_s=0).values.tolist() == EXPECTED


@pytest.mark.parametrize("packed", [True, False])
def test_a_file_of_results_that_never_ends_is_bounded(server, tmp_path, monkeypatch, packed):
    monkeypatch.setattr(batch_run, "_LARGEST_FILE", 1_000_000)
    monkeypatch.setattr(batch_run, "_LONGEST_LINE", 100_000)
    bomb = b"x" * 20_000_000
    server.files["bomb"] = gzip.compress(bomb) if packed else bomb
    server.head = [(b"content-encoding", b"gzip")] if packed else []
    client = BatchRater("m", base_url=server.url, api_key_env="BATCH_KEY").client()
    with closing(client), pytest.raises(RunError, match="too large"):
        client.download("bomb", tmp_path / "results.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_replies_are_shared_with_a_chat_rater_of_the_same_settings(server, tmp_path):
    more = {"temperature": 0.5, "extra": {"top_p": 0.9}, "variant": "q4", "max_output_tokens": 99}
    chat = ChatRater("small", base_url=server.url, **more)
    assert BatchRater("small", base_url=server.url, **more).settings == chat.settings
    ratings = batches(server, tmp_path).run(poll_s=0)
    again = reparse(ratings_pool := pool_of(tmp_path), tmp_path / "ratings.sqlite")
    assert len(ratings_pool) == N
    assert again.values.tolist() == ratings.values.tolist()


def test_a_budget_holds_back_what_could_exceed_it(server, tmp_path):
    prices = {"small": {"input": 1.0, "output": 1.0}}
    server.ready = False
    ratings = quiet(batches(server, tmp_path, prices=prices).run, wait_s=0, max_cost_usd=0.01)
    assert "max_cost_usd = 0.01 stopped the sending" in ratings.warnings[1]
    sent = len(requests_sent(server))
    assert 0 < sent < N
    quiet(batches(server, tmp_path, prices=prices).run, wait_s=0, max_cost_usd=0.01)
    assert len(requests_sent(server)) == sent  # what is in flight still counts
    with pytest.raises(InputError, match="price of the model 'small' of 'small' is unknown"):
        batches(server, tmp_path).run(max_cost_usd=1)


@pytest.mark.parametrize(
    ("plan", "kind", "said"),
    [
        ([401], InputError, "answered 401"),
        ([404], InputError, "has no batches"),
        ([503] * 6, RunError, "answered 503"),
    ],
)
def test_failures_are_sentences_without_the_key(server, tmp_path, plan, kind, said):
    server.plan = list(plan)
    with pytest.raises(kind, match=said) as caught:
        batches(server, tmp_path).run()
    error = caught.value
    told = "".join(traceback.format_exception(error)) + repr(vars(error))
    assert CANARY not in told
    assert set(server.keys) == {f"Bearer {CANARY}"}
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(CANARY.encode() in path.read_bytes() for path in files)
    assert batches(server, tmp_path).run(poll_s=0).values.tolist() == EXPECTED


def test_short_failures_pass_by_themselves(server, tmp_path):
    server.plan = [503, 500]
    assert batches(server, tmp_path).run(poll_s=0).values.tolist() == EXPECTED


def test_the_id_of_a_request_is_the_key_of_the_store():
    setup = Setup("r", "m", "text", {"a": 1}, "rubric", "prompt")
    example = example_hash(())
    name = request_id(setup_tag(setup), 1, example)
    assert len(name) <= 64
    assert read_request_id(name) == (setup_tag(setup), 1, example)
    for wrong in (None, 7, "", name[:-1], name.upper(), name.replace("-1-", "-2-")):
        assert read_request_id(wrong) is None


def test_the_list_of_batches_is_kept_whole(tmp_path):
    folder = BatchFolder(tmp_path / "s.sqlite")
    assert folder.load() == ()
    one, two = Batch("b", "t", 1, at=2.0), Batch("a", "t", 2, at=1.0)
    folder.update(one)
    folder.update(two)
    assert folder.load() == (two, one)
    assert folder.update(one, batch_id="x") == folder.load()[1]
    (folder.path / "batches.json").write_text('{"version": 9}')
    with pytest.raises(InputError, match="is no list of batches of this version"):
        folder.load()


def test_settings_that_are_none():
    for wrong in (
        {"form": "auto"},
        {"token_limit": "max"},
        {"price_share": 2},
        {"max_requests": 0},
    ):
        with pytest.raises(Ds2Error, match=next(iter(wrong))):
            BatchRater("small", **wrong)
    with pytest.raises(InputError, match="name of a model"):
        BatchRater(" ")
