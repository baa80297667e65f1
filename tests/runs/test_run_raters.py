"""Runs whose scores come from models: a real endpoint on loopback, a real run folder."""

import json
from pathlib import Path

import numpy as np
import pytest
from batch_server import BatchServer, completion
from llm_server import Endpoint, Step, rating_of, rating_text, refusal
from small_pool import Heard, make_rows, put_run, write_rows

from ds2.cli.rating import batch_command
from ds2.errors import InputError, RunError
from ds2.pool import read_pool
from ds2.rating import Panel, Store
from ds2.runs import (
    Job,
    collect_batches,
    parse_overrides,
    prompt_of,
    run,
    status,
    write_batches,
)

pytestmark = pytest.mark.filterwarnings("ignore::ds2.errors.Ds2Warning")
CANARY = "sk-canary-5f3a9c"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("RATER_KEY", CANARY)


@pytest.fixture
def endpoint():
    with Endpoint() as server:
        yield server


def make_run(place: Path, raters: str, *, n: int = 60, scores: str = "") -> Path:
    recipe = f"[pool]\npath = '../pool.jsonl'\n{scores}\n[noise]\nn_bootstrap = 5\n{raters}"
    return put_run(place, make_rows(n), recipe)


def chat(endpoint, name="judge", more=""):
    return (
        f"[raters.{name}]\nmodel = 'm-{name}'\nbase_url = '{endpoint.url}'\n"
        f"api_key_env = 'RATER_KEY'\nform = 'structured'\n{more}\n"
    )


def files_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_a_model_rates_the_pool_and_the_run_goes_on_from_there(tmp_path, endpoint):
    folder = make_run(tmp_path, chat(endpoint))
    result = run(folder)
    assert result.summary["rate"]["n_rated"] == 60
    panel = Panel.load(folder / "ratings.parquet")
    assert panel.raters == ("judge",)
    assert set(panel.criteria) == {"rarity", "complexity", "informativeness", "overall"}
    report = json.loads((folder / "report.json").read_text())
    assert {"usage", "criteria of judge"} <= set(report["tables"])
    assert CANARY.encode() not in files_of(folder)
    asked = endpoint.n
    assert {outcome.state for outcome in run(folder).stages} == {"fresh"}
    assert endpoint.n == asked


def test_nothing_is_asked_twice_when_the_pool_has_grown(tmp_path, endpoint):
    folder = make_run(tmp_path, chat(endpoint), n=40)
    run(folder, until="rate")
    endpoint.requests.clear()
    write_rows(tmp_path / "pool.jsonl", make_rows(60))
    run(folder, until="rate")
    texts = [request["messages"][-1]["content"] for request in endpoint.requests]
    assert len(texts) == len(set(texts)) == 20


def test_replies_are_read_anew_without_a_request(tmp_path, endpoint):
    folder = make_run(tmp_path, chat(endpoint))
    run(folder, until="rate")
    before, asked = Panel.load(folder / "ratings.parquet").values, endpoint.n
    run(folder, until="rate", ask="nothing")
    assert endpoint.n == asked
    after = Panel.load(folder / "ratings.parquet").values
    np.testing.assert_array_equal(before, after)


def test_what_was_refused_is_asked_again_when_that_is_wanted(tmp_path):
    broken = [True]

    def plan(body, number):
        flaky = broken[0] and number % 5 == 4
        return refusal(400, "content policy") if flaky else Step()

    with Endpoint(plan) as endpoint:
        folder = make_run(tmp_path, chat(endpoint))
        first = run(folder, until="rate").summary["rate"]
        assert first["problems"]["bad request"] > 5
        broken[0] = False
        run(folder, until="rate")
        asked = endpoint.n
        second = run(folder, until="rate", ask="failed").summary["rate"]
        assert second["n_rated"] == 60
        failed = first["problems"]["bad request"]
        assert endpoint.n - asked in (failed, failed - 1)  # two examples are one text


def test_what_can_pass_is_asked_again_by_the_next_run(tmp_path):
    """A quota that is used up halfway; then it is renewed."""
    empty = [True]

    def plan(body, number):
        quota = refusal(429, "You exceeded your current quota", "insufficient_quota")
        return quota if empty[0] and number > 20 else Step()

    with Endpoint(plan) as endpoint:
        folder = make_run(tmp_path, chat(endpoint, more="concurrency = 4"))
        first = run(folder, resume=True)
        assert first.summary["rate"]["stopped"] == ["judge"]
        left = first.summary["rate"]["unanswered"]
        assert 0 < left < 50
        assert any("no quota" in sentence for sentence in first.warnings)
        state = {verdict.stage: verdict.state for verdict in status(folder).stages}
        assert state.pop("rate") == "partial"
        assert set(state.values()) == {"fresh"}
        asked = endpoint.n
        assert run(folder, until="select").stages[1].state == "partial"
        assert endpoint.n == asked, "only a run, or rating itself, asks"
        empty[0] = False
        second = run(folder, resume=True)
        assert second.summary["rate"]["n_rated"] == 60
        assert endpoint.n - asked in (left, left - 1)  # two examples are one text
        assert {verdict.state for verdict in status(folder).stages} == {"fresh"}
        asked = endpoint.n
        assert {outcome.state for outcome in run(folder, resume=True).stages} == {"fresh"}
        assert endpoint.n == asked


def test_too_few_ratings_before_a_stop_blame_the_stop(tmp_path):
    def plan(body, number):
        quota = refusal(429, "You exceeded your current quota", "insufficient_quota")
        return quota if number > 1 else Step()

    with Endpoint(plan) as endpoint:
        folder = make_run(tmp_path, chat(endpoint, more="concurrency = 1"))
        with pytest.raises(RunError, match=r"no quota .* 1 of 60 examples were rated, all"):
            run(folder, resume=True)


def test_a_budget_that_ends_the_rating_leaves_it_complete(tmp_path, endpoint):
    (tmp_path / "prices.toml").write_text('[models]\n"m-judge" = { input = 1, output = 1 }\n')
    settings = "[rate]\nprices = '../prices.toml'\nmax_cost_usd = 0.006\n"
    folder = make_run(tmp_path, settings + chat(endpoint))
    result = run(folder, until="rate", resume=True)
    assert 0 < result.summary["rate"]["n_rated"] < 60
    assert result.summary["rate"]["unanswered"] == 0
    assert any("max_cost_usd" in sentence for sentence in result.warnings)
    assert status(folder).stages[1].state == "fresh"
    more = status(folder, overrides=parse_overrides(["rate.max_cost_usd=1.0"]))
    assert more.stages[1].state == "stale"


def test_models_and_imported_columns_are_one_panel(tmp_path, endpoint):
    scores = "[scores]\ncolumn = 'true'\nscale = '0-5'"
    folder = make_run(tmp_path, chat(endpoint, "a") + chat(endpoint, "b"), scores=scores)
    result = run(folder)
    panel = Panel.load(folder / "ratings.parquet")
    assert panel.raters == ("true", "a", "b")
    assert panel.scores().shape == (60, 3)
    report = json.loads((folder / "report.json").read_text())
    said = [one for one in result.warnings if "Rater 'a' and rater 'b' gave the same scores" in one]
    assert len(said) == 1, "one model twice is named, once"
    assert any(one["answer"].startswith("Nothing: every score") for one in report["verdict"])
    assert report["tables"]["pairs"]["title"] == "Raters against each other"


def test_a_rater_of_some_examples_leaves_the_others_unasked(tmp_path, endpoint):
    more = "only = '../some.txt'"
    folder = make_run(tmp_path, chat(endpoint, "a") + chat(endpoint, "b", more))
    listener = Heard()
    run(folder, until="rate", listener=listener)
    assert any("not there yet" in sentence for sentence in listener.sentences)
    assert Panel.load(folder / "ratings.parquet").raters == ("a",)
    (tmp_path / "some.txt").write_text("r3\nr1\nr7\n")
    endpoint.requests.clear()
    run(folder, until="rate")
    assert len(endpoint.requests) == 1 + 3  # what the endpoint can is found out first
    second = Panel.load(folder / "ratings.parquet").of("b")
    assert np.flatnonzero(second.codes == 0).tolist() == [1, 3, 7]
    assert second.problems == {"not asked": 57}
    (tmp_path / "some.txt").write_text("r3\nnobody\n")
    with pytest.raises(InputError, match="does not have 1 of the ids"):
        run(folder, until="rate")


def test_the_forecast_is_said_before_the_first_request(tmp_path, endpoint):
    folder = make_run(tmp_path, chat(endpoint))
    listener = Heard()
    run(folder, until="rate", listener=listener)
    (forecast,) = [sentence for sentence in listener.sentences if "still to ask" in sentence]
    assert "59 requests" in forecast  # two examples are equal
    assert "cost unknown" in forecast


def test_a_refused_key_stops_with_one_sentence_and_without_the_key(tmp_path):
    with Endpoint(lambda body, number: refusal(401, f"bad key {CANARY}")) as endpoint:
        folder = make_run(tmp_path, chat(endpoint))
        with pytest.raises(RunError) as caught:
            run(folder)
        assert endpoint.n <= 3
    assert CANARY not in str(caught.value)
    assert status(folder).stages[1].state == "failed"
    assert CANARY.encode() not in files_of(folder)


def test_the_prompt_is_the_one_that_is_sent(tmp_path, endpoint):
    folder = make_run(tmp_path, chat(endpoint))
    shown = [dict(message) for message in prompt_of(Job.of(folder), example="r7")]
    run(folder, until="rate")
    assert shown in [request["messages"] for request in endpoint.requests]
    other = parse_overrides(["raters.judge.form=expected"])
    assert "one letter" in prompt_of(Job.of(folder, other))[-1]["content"]
    with pytest.raises(InputError, match="No example has the id 'r999'"):
        prompt_of(Job.of(folder), example="r999")


def test_batches_are_written_for_others_and_their_results_collected(tmp_path):
    folder = make_run(tmp_path, "[raters.b]\nkind = 'batch'\nmodel = 'm'\n", n=30)
    (path,) = write_batches(Job.of(folder), tmp_path / "ask")
    requests = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(requests) == 29  # r3 and r11 are one text
    text = '{"rarity": 3, "complexity": 4, "informativeness": 5, "overall": %d}'
    lines = [
        {
            "custom_id": request["custom_id"],
            "response": {
                "status_code": 200,
                "body": {
                    "id": "x",
                    "object": "chat.completion",
                    "model": "m",
                    "choices": [
                        {
                            "index": 0,
                            "finish_reason": "stop",
                            "message": {"role": "assistant", "content": text % (1 + number % 10)},
                        }
                    ],
                    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
                },
            },
            "error": None,
        }
        for number, request in enumerate(requests)
    ]
    done = tmp_path / "done.jsonl"
    done.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = collect_batches(Job.of(folder), [done])
    assert (found.codes == 0).tolist() == [True] * 30
    run(folder, until="rate", ask="nothing")
    assert Panel.load(folder / "ratings.parquet").problems == {}


def test_a_run_waits_for_its_batches_over_days(tmp_path, monkeypatch):
    monkeypatch.setenv("RATER_KEY", CANARY)
    app = BatchServer()
    app.ready = False
    app.reply = lambda body: (200, completion(rating_text(rating_of(body["messages"]))))
    with app as server:
        more = "kind = 'batch'\napi_key_env = 'RATER_KEY'"
        recipe = f"[raters.b]\nmodel = 'm'\nbase_url = '{server.url}'\n{more}\n"
        folder = make_run(tmp_path, recipe, n=30)
        for _ in range(2):
            with pytest.raises(RunError, match=r"under way, 29 requests .* --wait"):
                run(folder, resume=True)
        assert len(app.batches) == 1
        app.ready = True
        assert run(folder, until="rate", resume=True).summary["rate"]["n_rated"] == 30
    assert status(folder).stages[1].state == "fresh"
    assert CANARY.encode() not in files_of(folder)


def test_batch_needs_a_batch_rater(tmp_path, endpoint):
    folder = make_run(tmp_path, chat(endpoint))
    with pytest.raises(InputError, match="no rater of the kind batch"):
        write_batches(Job.of(folder), tmp_path / "ask")
    with pytest.raises(InputError, match="one of the two"):
        batch_command(folder, write=None, collect=None)


def test_a_run_without_scores_and_raters_names_the_three_ways_on(tmp_path):
    folder = make_run(tmp_path, "")
    with pytest.raises(InputError) as caught:
        run(folder)
    for part in ("scores.column", "[raters.NAME]", "base_url", 'kind = "local"'):
        assert part in str(caught.value)


def test_a_setting_that_cannot_change_a_reply_leaves_ratings_fresh(tmp_path, endpoint):
    folder = make_run(tmp_path, chat(endpoint))
    run(folder, until="rate")
    found = status(folder, overrides=parse_overrides(["raters.judge.concurrency=3"]))
    assert found.stages[1].state == "fresh"
    found = status(folder, overrides=parse_overrides(["raters.judge.temperature=0.5"]))
    assert found.stages[1].state == "stale"


def test_the_rated_pool_reads_back(tmp_path, endpoint):
    folder = make_run(tmp_path, chat(endpoint))
    run(folder)
    assert len(read_pool(folder / "selected.jsonl")) == 6


@pytest.mark.parametrize("loss", ["gone", "empty", "new"])
def test_a_store_that_was_lost_is_not_paid_for_again(tmp_path, endpoint, loss):
    folder = make_run(tmp_path, chat(endpoint), n=40)
    run(folder, until="rate")
    asked, store = endpoint.n, folder / "ratings.sqlite"
    for path in folder.glob("ratings.sqlite*"):
        path.unlink()
    if loss == "empty":
        store.write_bytes(b"")
    elif loss == "new":
        with Store(store):
            pass
    write_rows(tmp_path / "pool.jsonl", make_rows(41))
    with pytest.raises(InputError, match=r"holds no replies, and this run had"):
        run(folder, until="rate")
    assert endpoint.n == asked
