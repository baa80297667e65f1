import json
import threading
import traceback
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from embedding_fakes import TextsOnly, hash_vector

from ds2.embedding import Embedder, OpenAIEmbedder, embed_with_report
from ds2.errors import Ds2Error, Ds2Warning, InputError, RunError

CANARY = "sk-canary-4711-do-not-show"


class Endpoint(BaseHTTPRequestHandler):
    """Speaks /v1/embeddings; what it does next stands in `server.plan` (a status, or a change)."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append(body)
        self.server.keys.append(self.headers["authorization"])
        step = self.server.plan.pop(0) if self.server.plan else None
        status, reply = (
            self.answer(body) if step is None or callable(step) else (step, refusal(step))
        )
        if callable(step):
            reply = step(reply)
        data = reply.encode() if isinstance(reply, str) else json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.send_header("retry-after-ms", "1")
        self.end_headers()
        self.wfile.write(data)

    def answer(self, body):
        texts = body["input"]
        if "" in texts or len(texts) > self.server.max_batch:
            return 400, {"error": {"message": f"too many inputs ({self.headers['authorization']})"}}
        if max(map(len, texts)) > self.server.max_chars:
            return 400, {"error": {"message": "This model's maximum context length is exceeded"}}
        size = body.get("dimensions", 6)
        data = [
            {
                "object": "embedding",
                "index": i,
                "embedding": [3 * x for x in hash_vector(text, size)],
            }
            for i, text in enumerate(texts)
        ]
        return 200, {"object": "list", "model": body["model"], "data": data[::-1]}

    def log_message(self, *arguments):
        pass


def refusal(status):
    return {"error": {"message": f"no: key {CANARY} \x1b[31m"}, "status": status}


@pytest.fixture
def server(monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        server.plan, server.requests, server.keys = [], [], []
        server.max_batch, server.max_chars = 1000, 10**6
        server.url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("OPENAI_API_KEY", CANARY)
        yield server
        server.shutdown()
        thread.join()


def test_embeds_over_http_in_the_order_of_the_texts(server):
    embedder = OpenAIEmbedder("small", base_url=server.url)
    assert isinstance(embedder, Embedder)
    assert embedder.dimension == 6
    texts = ["one", "two", "three"]
    np.testing.assert_allclose(
        embedder.embed(texts), [hash_vector(text, 6) for text in texts], atol=1e-6
    )
    assert server.requests[-1] == {"input": texts, "model": "small", "encoding_format": "float"}
    assert not any(CANARY in key for key in server.keys), "the key of OpenAI goes nowhere else"
    assert embedder.embed([]).shape == (0, 6)


def test_in_a_pool_with_its_facts(server):
    embedder = OpenAIEmbedder(
        "small", base_url=server.url, dimensions=4, max_tokens=8191, languages=["en"]
    )
    texts = [f"user: question {i}" for i in range(10)] + [""]
    vectors, report = embed_with_report(TextsOnly(texts), embedder, batch_size=4)
    assert vectors.shape == (11, 4)
    assert report.truncated_share is None
    assert report.embedder == f"openai:small@{server.url};dimensions=4"
    assert embedder.max_tokens == 8191
    assert embedder.languages == {"en"}
    assert {request["dimensions"] for request in server.requests} == {4}


def test_failures_that_can_pass_are_tried_again(server):
    embedder = OpenAIEmbedder("small", base_url=server.url)
    server.plan[:] = [429, 503, 500]
    assert embedder.embed(["x"]).shape == (1, 6)
    assert len(server.requests) == 5


def test_a_failure_that_stays_is_one_sentence_and_can_be_gone_on_from(server, tmp_path):
    embedder = OpenAIEmbedder("small", base_url=server.url, max_retries=1)
    pool = TextsOnly([f"text {i}" for i in range(9)])
    server.plan[:] = [lambda reply: reply, 503, 503]
    with pytest.raises(RunError, match="answered 503 for the model 'small'"):
        embed_with_report(pool, embedder, out=tmp_path / "e.npy", batch_size=3)
    _, report = embed_with_report(pool, embedder, out=tmp_path / "e.npy", batch_size=3)
    assert report.n_reused == 3


def test_a_batch_that_is_too_large_is_halved(server):
    embedder = OpenAIEmbedder("small", base_url=server.url)
    server.max_batch = 3
    texts = [f"text {i}" for i in range(10)]
    np.testing.assert_allclose(
        embedder.embed(texts), [hash_vector(text, 6) for text in texts], atol=1e-6
    )


def test_a_text_that_is_too_long_is_cut_with_a_warning(server):
    embedder = OpenAIEmbedder("small", base_url=server.url)
    server.max_chars = 100
    texts = ["short", "x" * 350, "also short"]
    with pytest.warns(Ds2Warning, match="longer than 'small' takes"):
        vectors = embedder.embed(texts)
    wanted = ["short", "x" * 88, "also short"]
    np.testing.assert_allclose(vectors, [hash_vector(text, 6) for text in wanted], atol=1e-6)


def test_a_text_that_is_refused_at_any_length_is_one_sentence(server):
    embedder = OpenAIEmbedder("small", base_url=server.url)
    server.max_chars = 10
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(InputError, match="maximum context length"):
            embedder.embed(["y" * 300])
    assert len(server.requests) < 10


REPLIES = {
    "not JSON": lambda reply: "<html>",
    "no data": lambda reply: {"object": "list"},
    "one vector too few": lambda reply: {**reply, "data": reply["data"][1:]},
    "ragged": lambda reply: {
        **reply,
        "data": [{**reply["data"][0], "embedding": [1.0]}, *reply["data"][1:]],
    },
    "infinite": lambda reply: json.dumps(
        {**reply, "data": [{**item, "embedding": [float("inf")] * 6} for item in reply["data"]]}
    ),
    "text": lambda reply: {
        **reply,
        "data": [{**item, "embedding": ["a"] * 6} for item in reply["data"]],
    },
}


@pytest.mark.parametrize("change", REPLIES.values(), ids=REPLIES.keys())
def test_a_reply_without_usable_embeddings_is_one_sentence(server, change):
    embedder = OpenAIEmbedder("small", base_url=server.url)
    server.plan[:] = [change]
    with pytest.raises(RunError, match="sent no usable embeddings for 'small'"):
        embedder.embed(["a", "b"])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500])
def test_the_key_is_in_no_error(server, status):
    server.plan[:] = [status]
    with pytest.raises(Ds2Error) as caught:
        OpenAIEmbedder("small", base_url=server.url, max_retries=0)
    assert caught.value.exit_code == (1 if status in (429, 500) else 2)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "***" in shown
    assert CANARY not in shown
    assert "\x1b" not in str(caught.value)
    link = caught.value
    while link is not None:
        assert CANARY not in str(link)
        link = link.__cause__ or link.__context__


def test_the_key_is_in_no_name(server):
    with pytest.raises(InputError, match="no user, password") as refused:
        OpenAIEmbedder("small", base_url=server.url.replace("127", f"user:{CANARY}@127"))
    assert CANARY not in str(refused.value)
    embedder = OpenAIEmbedder("small", base_url=server.url)
    server.max_batch = 0
    with pytest.raises(InputError, match="too many inputs") as caught:
        embedder.embed(["x"])
    assert CANARY not in str(caught.value)


def test_a_key_goes_where_it_was_sent(server, monkeypatch):
    monkeypatch.setenv("MY_KEY", "for this endpoint")
    OpenAIEmbedder("small", base_url=server.url, api_key_env="MY_KEY")
    assert server.keys[-1] == "Bearer for this endpoint"


def test_an_endpoint_that_wants_a_key_says_how_to_give_it_one(server):
    server.plan[:] = [401]
    with pytest.raises(InputError, match=r"No key was sent: .* api_key_env"):
        OpenAIEmbedder("small", base_url=server.url)


def test_a_missing_key_names_its_variable(monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(InputError, match="the environment variable 'MY_KEY' is not set"):
        OpenAIEmbedder("small", api_key_env="MY_KEY")


def test_an_endpoint_that_is_not_there_is_one_sentence(monkeypatch):
    with pytest.raises(RunError, match="could not be reached"):
        OpenAIEmbedder("small", base_url="http://127.0.0.1:9/v1", max_retries=0, timeout_s=2.0)
