import json
import logging
import math
import shutil
import sqlite3
import subprocess
import time
import traceback
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm_server import Endpoint, Step, faulty, rating_of, refusal
from rating_fakes import CANARY, make_pool

from ds2.errors import Ds2Warning, InputError, RunError
from ds2.rating import ChatRater, Failure, Rater, Rubric, rate
from ds2.rating.wire import Target, read_body
from ds2.rating.wire import refusal as refused


def rater(endpoint, model="m", **settings):
    settings = {"api_key_env": "TEST_KEY", "timeout_s": 5.0, **settings}
    return ChatRater(model, base_url=endpoint.url, **settings)


def quietly(*arguments, **keywords):
    """Rate, and return the result and the sentences it warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", Ds2Warning)
        result = rate(*arguments, **keywords)
    return result, [str(warning.message) for warning in caught]


def served(endpoint):
    """Rating by prompt, of what the endpoint was asked after the probe."""
    return sorted(rating_of(body["messages"]) for body in endpoint.requests[1:])


def test_ratings_arrive_and_the_key_goes_where_it_belongs(tmp_path):
    with Endpoint() as endpoint:
        chat = rater(endpoint, concurrency=40)
        assert isinstance(chat, Rater)
        result, said = quietly(make_pool(tmp_path, 120), chat, store=tmp_path / "s.sqlite")
        assert sorted(result.values) == served(endpoint)
        assert endpoint.n == 121, "one probe, then one request an example"
        assert {headers["authorization"] for headers in endpoint.headers} == {f"Bearer {CANARY}"}
        assert endpoint.peak <= 40
    assert said == []
    body = endpoint.requests[-1]
    assert body["response_format"]["json_schema"]["strict"] is True
    assert body["temperature"] == 0.0
    assert result.usage["form"] == "structured"
    assert result.usage["n_output"] == 120 * 20


def test_a_later_process_takes_over_what_the_probe_found(tmp_path):
    with Endpoint() as endpoint:
        rate(make_pool(tmp_path, 5), rater(endpoint), store=tmp_path / "s.sqlite")
        rate(make_pool(tmp_path, 8), rater(endpoint), store=tmp_path / "s.sqlite")
        assert endpoint.n == 1 + 5 + 3


def test_another_form_of_the_rubric_is_found_out_anew(tmp_path):
    with Endpoint(letters) as endpoint:
        pool, store = make_pool(tmp_path, 3), tmp_path / "s.sqlite"
        assert rate(pool, rater(endpoint), store=store).usage["form"] == "structured"
        finer = replace(Rubric.ds2(), form="expected")
        assert rate(pool, rater(endpoint), store=store, rubric=finer).usage["form"] == "expected"


def no_schema(body, number):
    kind = body.get("response_format", {}).get("type")
    if kind == "json_schema":
        return refusal(400, "response_format json_schema is not supported")
    return Step()


def only_text(body, number):
    if "response_format" in body:
        return refusal(400, "unknown field response_format")
    return Step(text="Rarity 3, complexity 4, informativeness 5. Overall rating: 8/10")


def ignores_schema(body, number):
    return Step(text="Overall rating: 7")


@pytest.mark.parametrize(
    ("plan", "form", "word"),
    [(no_schema, "json", "JSON mode"), (only_text, "text", "free text"),
     (ignores_schema, "text", "free text")],
)  # fmt: skip
def test_the_form_falls_back_and_says_so(tmp_path, plan, form, word):
    with Endpoint(plan) as endpoint:
        result, said = quietly(make_pool(tmp_path, 6), rater(endpoint), store=tmp_path / "s.sqlite")
        probes = endpoint.n - 6
    assert result.usage["form"] == form
    assert not np.isnan(result.values).any()
    assert any(word in sentence for sentence in said)
    assert probes == {"json": 2, "text": 3}[form]


def letters(body, number):
    if not body.get("logprobs"):
        return Step()
    top = [{"token": t, "logprob": math.log(p)} for t, p in (("A", 0.25), ("B", 0.25), ("x", 0.5))]
    return Step(text="A", logprobs={"content": [{**top[0], "top_logprobs": top}]})


def test_expected_asks_for_one_token_and_its_log_probabilities(tmp_path):
    with Endpoint(letters) as endpoint:
        result, _ = quietly(make_pool(tmp_path, 4), rater(endpoint, form="expected"))
        body = endpoint.requests[-1]
    assert result.values == pytest.approx([9.5] * 4)
    assert result.spread == pytest.approx([0.5] * 4)
    assert (body["max_tokens"], body["logprobs"], body["top_logprobs"]) == (1, True, 20)


def refuses_logprobs(body, number):
    return refusal(400, "no logprobs here") if "logprobs" in body else Step()


@pytest.mark.parametrize("plan", [lambda body, number: Step(), refuses_logprobs])
def test_expected_falls_back_without_log_probabilities(tmp_path, plan):
    with Endpoint(plan) as endpoint:
        result, said = quietly(make_pool(tmp_path, 4), rater(endpoint, form="expected"))
    assert result.usage["form"] == "structured"
    assert any("no usable log-probabilities" in sentence for sentence in said)
    assert not np.isnan(result.values).any()


def picky(body, number):
    if "max_tokens" in body:
        return refusal(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'.")
    if "temperature" in body:
        return refusal(400, "'temperature' does not support 0.0 with this model.")
    if body["messages"][0]["role"] == "system":
        return refusal(400, "System role not supported")
    return Step()


def test_the_dialect_of_an_endpoint_is_learnt(tmp_path):
    with Endpoint(picky) as endpoint:
        result, _ = quietly(make_pool(tmp_path, 3), rater(endpoint))
        assert endpoint.n == 4 + 3
        body = endpoint.requests[-1]
    assert body["max_completion_tokens"] == 512
    assert [message["role"] for message in body["messages"]] == ["user"]
    assert not np.isnan(result.values).any()


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (refusal(401, f"Incorrect API key provided: {CANARY}."), "the key is missing, wrong"),
        (refusal(403, "no"), "no right to this model"),
        (refusal(404, "no", "model_not_found"), "there is no such model"),
        (refusal(429, "You exceeded your current quota", "insufficient_quota"), "no quota"),
        (refusal(402, "Insufficient credits"), "no quota"),
        (refusal(400, "this field is unknown"), "this field is unknown"),
    ],
)
def test_what_concerns_all_is_one_sentence_after_one_request(tmp_path, step, words):
    with Endpoint(lambda body, number: step) as endpoint, pytest.raises(RunError, match=words):
        rate(make_pool(tmp_path, 300), rater(endpoint, form="json"), store=tmp_path / "s.sqlite")
    assert endpoint.n == 1


def test_no_server_is_one_sentence(tmp_path):
    with Endpoint() as endpoint:
        pass
    with pytest.raises(RunError, match=r"could not be reached.*Is it running\?"):
        rate(make_pool(tmp_path, 3), rater(endpoint, tries=2), store=tmp_path / "s.sqlite")


def test_faults_are_survived_and_every_example_accounted_for(tmp_path):
    shares = {"429": 0.05, "500": 0.03, "drop": 0.05, "half": 0.03, "garbage": 0.03, "hang": 0.01}
    plan = faulty(shares, seed=1, latency_s=0.005)

    def after_the_probe(body, number):
        step = plan(body, number) if number else Step()
        step.headers.pop("retry-after", None)
        return step

    with Endpoint(after_the_probe) as endpoint:
        chat = rater(endpoint, timeout_s=0.5, concurrency=32, tries=8)
        result, said = quietly(make_pool(tmp_path, 400), chat, store=tmp_path / "s.sqlite")
    assert result.problems == {}
    assert said == []
    assert 440 < endpoint.n < 600


def completion(message):
    usage = {"prompt_tokens": 100, "completion_tokens": 20}
    return {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        (Step(fault="drop"), "connection lost"),
        (Step(fault="half"), "connection lost"),
        (Step(fault="hang"), "timed out"),
        (Step(body=b"{not json"), "server error"),
        (Step(body=b"[" * 100_000), "server error"),
        (Step(body={"choices": []}), "server error"),
        (refusal(500, "oh"), "server error"),
        (refusal(503, "oh"), "server error"),
        (refusal(429, "slow"), "rate limited"),
        (Step(body={"error": {"code": 429, "message": "slow"}}), "rate limited"),
        (refusal(400, "maximum context length is 10 tokens"), "too long"),
        (refusal(400, "no", "content_filter"), "refused"),
        (refusal(422, "no"), "bad request"),
        (Step(text="", finish_reason="content_filter"), "refused"),
        (Step(body=completion({"content": None, "refusal": "Against policy 4."})), "refused"),
        (Step(text='{"rarity": 3, "comp', finish_reason="length"), "truncated"),
    ],
)
def test_every_failure_has_its_name(tmp_path, step, problem):
    """One example of many is answered in this way, always."""
    once = "rate limited", "server error"

    def plan(body, number):
        return step if "question 2\n" in body["messages"][-1]["content"] else Step()

    with Endpoint(plan) as endpoint:
        chat = rater(endpoint, timeout_s=0.3, tries=1 if problem in once else 2)
        result, _ = quietly(make_pool(tmp_path, 12), chat, store=tmp_path / "s.sqlite")
    assert result.problems == {problem: 1}
    assert result.problem_of_row(2) == problem


GEMINI = (
    "You exceeded your current quota, please check your plan and billing details. For more see "
    "https://ai.google.dev/gemini-api/docs/rate-limits. * Quota exceeded for metric: "
    "generativelanguage.googleapis.com/generate_content_requests_per_minute, limit: 10 "
    "Please retry "
)


@pytest.mark.parametrize(
    ("body", "headers", "reason", "after_s"),
    [
        ([{"error": {"code": 429, "message": GEMINI + "in 2.3s."}}], {}, "rate limited", 2.3),
        ({"error": {"message": GEMINI, "details": [{"retryDelay": "7s"}]}}, {}, "rate limited", 7),
        ({"error": {"message": GEMINI}}, {"Retry-After": "3"}, "rate limited", 3),
        ({"error": {"message": "Try again in 1m2.5s."}}, {}, "rate limited", 62.5),
        ({"error": {"message": "Retry after 26 seconds."}}, {}, "rate limited", 26),
        ({"error": {"message": "Please try again in 20ms."}}, {}, "rate limited", 0.02),
        ({"error": {"message": GEMINI}}, {}, "quota", None),
        ({"error": {"code": "insufficient_quota"}}, {"retry-after": "3"}, "quota", None),
    ],
)
def test_who_says_when_to_try_again_has_an_account(body, headers, reason, after_s):
    for told in (body, json.dumps(body).encode()):
        failure = refused(429, told, headers, Target("m", "http://host/v1", ""))
        assert (failure.reason, failure.fatal) == (reason, reason == "quota")
        assert failure.retry_after_s == pytest.approx(after_s)


def test_retry_after_is_honoured(tmp_path):
    seen = []

    def plan(body, number):
        seen.append(time.monotonic())
        return refusal(429, "slow", headers={"retry-after": "1"}) if number == 1 else Step()

    with Endpoint(plan) as endpoint:
        rate(make_pool(tmp_path, 1), rater(endpoint), store=tmp_path / "s.sqlite")
    assert len(seen) == 3
    assert 1.0 <= seen[2] - seen[1] < 3.0


def test_an_overloaded_endpoint_is_asked_less(tmp_path):
    """It serves 4 at once and refuses more: nearly all requests must come to be served."""
    endpoint = Endpoint()

    def plan(body, number):
        if endpoint.now > 4:
            return refusal(429, "too many")
        return Step(delay_s=0.02)

    endpoint.plan = plan
    with endpoint:
        chat = rater(endpoint, concurrency=64, tries=8)
        result, _ = quietly(make_pool(tmp_path, 300), chat, store=tmp_path / "s.sqlite")
    assert result.problems == {}
    assert endpoint.n < 700


def test_concurrency_reaches_its_bound_and_stays_below(tmp_path):
    with Endpoint(lambda body, number: Step(delay_s=0.05)) as endpoint:
        rate(make_pool(tmp_path, 400), rater(endpoint, concurrency=48))
    assert 32 < endpoint.peak <= 48  # it begins with 32


def test_requests_per_minute_are_kept_from_the_first_one_on(tmp_path):
    seen = []

    def plan(body, number):
        seen.append(time.monotonic())
        return Step()

    with Endpoint(plan) as endpoint:
        rate(make_pool(tmp_path, 21), rater(endpoint, requests_per_minute=1200))
    assert seen[-1] - seen[1] >= 20 * 0.05 - 0.02
    assert seen[11] - seen[1] >= 10 * 0.05 - 0.02, "no burst at the start"


def test_azure_is_asked_by_deployment_and_version(tmp_path):
    with Endpoint() as endpoint:
        chat = ChatRater(
            "my-deployment",
            base_url=endpoint.url.removesuffix("/v1"),
            api_version="2024-10-21",
            api_key_env="TEST_KEY",
        )
        rate(make_pool(tmp_path, 2), chat)
    assert set(endpoint.paths) == {"/openai/deployments/my-deployment/chat/completions"}
    assert endpoint.headers[0]["api-key"] == CANARY


def test_extra_fields_and_seed_are_sent_and_part_of_the_key(tmp_path):
    with Endpoint() as endpoint:
        plain = rater(endpoint)
        chat = rater(endpoint, extra={"reasoning_effort": "low"}, send_seed=True, variant="q4")
        rate(make_pool(tmp_path, 2), chat, seed=7)
        assert endpoint.requests[-1]["reasoning_effort"] == "low"
        assert endpoint.requests[-1]["seed"] == 7
    assert plain.settings == {
        "rater": "chat", "model": "m", "temperature": 0.0, "max_output_tokens": 512
    }  # fmt: skip
    assert {"extra", "send_seed", "variant"} <= set(chat.settings)


def test_the_key_is_nowhere_but_in_the_request(tmp_path, caplog, capfd):
    """Endpoints that quote the key in every way, with all logging on."""
    caplog.set_level(logging.DEBUG)
    quotes = [
        refusal(500, f"what is {CANARY}?"),
        refusal(400, f"bad key {CANARY[:9]}***{CANARY[-4:]}"),
        refusal(422, f"Authorization: Bearer {CANARY}"),
        Step(body={"error": {"code": 400, "message": f"key={CANARY}"}}),
        Step(fault="drop"),
        Step(body=CANARY.encode()),
        Step(),
    ]
    told = []
    with Endpoint(lambda body, number: quotes[(number - 1) % 7] if number else Step()) as endpoint:
        chat = rater(endpoint, tries=2, timeout_s=1.0)
        result, said = quietly(
            make_pool(tmp_path, 60), chat, store=tmp_path / "s.sqlite", progress=told.append
        )
    for step in quotes[:4]:
        with Endpoint(lambda body, number, step=step: step) as endpoint:
            with pytest.raises(RunError) as caught:
                rate(make_pool(tmp_path, 3), rater(endpoint, tries=1), store=tmp_path / "t.sqlite")
            said += traceback.format_exception(caught.value)
            said.append(repr(caught.value.__context__))
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    shown = "\n".join([*said, *result.warnings, repr(chat), repr(chat.settings), repr(told)])
    shown += caplog.text + "".join(capfd.readouterr()) + json.dumps(result.usage)
    for part in (CANARY, CANARY[:9], CANARY[-8:]):
        assert part.encode() not in written
        assert part not in shown


def test_no_key_goes_where_nobody_sent_it(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setenv("OPENAI_ORG_ID", CANARY)
    with Endpoint(lambda body, number: refusal(401, "Unauthorized")) as endpoint:
        chat = ChatRater("m", base_url=endpoint.url)
        with pytest.raises(RunError, match=r"none was sent: .* api_key_env"):
            rate(make_pool(tmp_path, 3), chat, store=tmp_path / "s.sqlite")
    assert endpoint.n == 1
    assert CANARY not in str(endpoint.headers)


def test_a_key_that_is_not_set_is_said_before_anything(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(InputError, match="'OPENAI_API_KEY' is not set"):
        ChatRater("gpt-4o-mini")


@pytest.mark.parametrize(
    "wrong",
    [{"model": " "}, {"form": "yaml"}, {"temperature": -1.0}, {"concurrency": 0}, {"tries": 0},
     {"timeout_s": 0.0}, {"max_output_tokens": 0}, {"requests_per_minute": -5.0}],
)  # fmt: skip
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(InputError):
        ChatRater(**{"model": "m", "base_url": "http://127.0.0.1:1/v1", **wrong})


def test_a_certificate_is_verified(tmp_path, monkeypatch):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl makes the certificate")
    names = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", names[0],
         "-out", names[1]],
        check=True, capture_output=True,
    )  # fmt: skip
    ssl_files = {"ssl_keyfile": str(names[0]), "ssl_certfile": str(names[1])}
    with Endpoint(ssl_files=ssl_files) as endpoint:
        with pytest.raises(RunError, match=r"certificate of the endpoint .* cannot be verified"):
            rate(make_pool(tmp_path, 3), rater(endpoint), store=tmp_path / "s.sqlite")
        assert endpoint.n == 0
        monkeypatch.setenv("SSL_CERT_FILE", str(names[1]))  # what the message tells to do
        trusted = rate(make_pool(tmp_path, 3), rater(endpoint), store=tmp_path / "s.sqlite")
        assert trusted.problems == {}


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from(["choices", "message", "content", "usage",
                                                       "logprobs", "top_logprobs", "token",
                                                       "prompt_tokens", "error", "code"]), inner),
                    max_leaves=12))  # fmt: skip
def test_any_body_is_an_answer_or_a_named_error(value):
    try:
        answer = read_body(json.dumps(value).encode(), 0.1, Target("m", "http://e", ""))
    except Failure:
        return
    assert isinstance(answer.text, str)


def test_strange_texts_can_be_kept(tmp_path):
    strange = json.dumps({"choices": [{"message": {"content": "\ud800 \0 8"}}]}).encode()
    with Endpoint(lambda body, number: Step(body=strange) if number else Step()) as endpoint:
        result, _ = quietly(make_pool(tmp_path, 2), rater(endpoint), store=tmp_path / "s.sqlite")
    assert len(result) == 2
    with sqlite3.connect(tmp_path / "s.sqlite") as db:
        kept = {row[0] for row in db.execute("SELECT reply FROM replies")}
    db.close()
    assert kept == {"? \0 8"}
