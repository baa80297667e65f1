"""The card and the upload: with a client that is not the hub's, and with the hub's own."""

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hub_server import serving
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from pool_files import alpaca_rows, write_lines

from ds2.errors import InputError, RunError
from ds2.pool import Card, card_text, push_to_hub, read_pool

SECRET = "hf_verysecretvalue"
CARD = Card(
    title="Best of <pool> | [x](http://e.vil)",
    method="ds2",
    pool="our `pool`",
    pool_size=40,
    settings={"size": 3, "curate.method": "soft", "a|b": "<script>\n# no"},
    raters=["GPT-4o-mini", "1. people"],
    transition=np.array([[0.9, 0.1], [0.25, 0.75]]),
    prior=np.array([0.4, 0.6]),
    warnings=["Lift is low: see https://e.vil/x and www.e.vil."],
    licences={"alpaca": "CC BY-NC 4.0", "web": "unknown"},
    licence="cc-by-nc-4.0",
    languages=["en"],
    columns={"score": "the rating as given"},
)


def split(text):
    head, _, body = text.removeprefix("---\n").partition("\n---\n")
    return yaml.safe_load(head), body


def render(text):
    """Markdown with tables, tags and links on, as the hub shows it."""
    return MarkdownIt("gfm-like", {"linkify": False, "html": True}).render(text)


def test_the_head_says_what_the_hub_reads():
    head, _ = split(card_text(CARD, 3, data_files="data/train-*"))
    assert head == {
        "pretty_name": CARD.title,
        "license": "cc-by-nc-4.0",
        "language": ["en"],
        "task_categories": ["text-generation"],
        "size_categories": ["n<1K"],
        "tags": ["ds2", "instruction-tuning"],
        "configs": [
            {"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*"}]}
        ],
    }


def test_the_card_states_everything_and_no_text_becomes_markup():
    html = render(split(card_text(CARD, 3, data_files="x"))[1])
    assert re.search(r"<h1>Best of &lt;pool&gt; \| \[x\]\(http://e\.vil\)</h1>", html)
    for cell in ("a|b", "&lt;script&gt; # no", "0.900", "0.250", "0.400", "CC BY-NC 4.0"):
        assert f"<td>{cell}</td>" in html, cell
    assert "<li>1. people</li>" in html
    assert "<li>Lift is low: see https://e.vil/x and www.e.vil.</li>" in html
    assert "3 of 40 examples of our `pool`, chosen with ds2 by the method ds2" in html
    allowed = {"h1", "h2", "p", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}
    assert set(re.findall(r"<(\w+)", html)) <= allowed


def test_a_card_without_anything_says_so():
    card = Card("t", "random", "p", 10)
    head, body = split(card_text(card, 3, data_files="x"))
    assert "license" not in head
    for sentence in (
        "None: the method does not look at ratings.",
        "Not estimated.",
        "## Warnings\n\nNone.",
        "The publisher stated none.",
    ):
        assert sentence in body
    assert "## Settings" not in body


@given(st.text(max_size=40))
def test_any_text_reads_as_it_was(text):
    card = Card(title=text, method="m", pool="p", pool_size=1, warnings=[text], columns={"c": text})
    head, body = split(card_text(card, 1, data_files="x"))
    assert head["pretty_name"] == " ".join(text.split())
    shown = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split())) or "(empty)"
    html = render(body)
    escaped = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = escaped.replace('"', "&quot;")
    assert f"<h1>{escaped}</h1>" in html
    assert f"<li>{escaped}</li>" in html
    assert f"<td>{escaped}</td>" in html


def test_shapes_and_sizes_are_checked():
    with pytest.raises(InputError, match="'pool_size' must be a whole number at least 41"):
        card_text(CARD, 41, data_files="x")
    for wrong in (np.ones((2, 3)), np.ones((2, 2, 2)), np.ones(2)):
        with pytest.raises(InputError, match=r"'transition' must be of shape \(s, s\)"):
            card_text(Card("t", "m", "p", 9, transition=wrong), 1, data_files="x")
    with pytest.raises(InputError, match=r"'prior' must be of shape \(2,\)"):
        card_text(Card("t", "m", "p", 9, transition=np.eye(2), prior=np.ones(3)), 1, data_files="x")


def test_each_of_several_raters_has_its_matrix():
    both = np.array([[[0.9, 0.1], [0.25, 0.75]], [[0.8, 0.2], [0.4, 0.6]]])
    card = Card("t", "m", "p", 9, raters=["<b>", "b"], transition=both, prior=[0.5, 0.5])
    html = render(split(card_text(card, 1, data_files="x"))[1])
    assert html.count("<table>") == 2
    assert "<h3>&lt;b&gt;</h3>" in html
    assert "<td>0.750</td>" in html
    assert "<td>0.600</td>" in html


class Hub:
    """Stands in for the hub's client."""

    def __init__(self, *, exists=False, error=None):
        self.exists, self.error = exists, error
        self.calls = []

    def __call__(self, token):
        self.calls.append(("token", token))
        return self

    def repo_exists(self, repo, *, repo_type):
        assert repo_type == "dataset"
        return self.exists

    def create_repo(self, repo, *, repo_type, private, exist_ok):
        assert repo_type == "dataset"
        self.calls.append(("create", repo, private, exist_ok))
        if self.error is not None:
            raise self.error
        return f"https://hub/datasets/{repo}"

    def create_commit(self, repo, operations, *, repo_type, commit_message):
        assert repo_type == "dataset"
        files = {}
        for operation in operations:
            with operation.as_file() as stream:
                files[operation.path_in_repo] = stream.read()
        self.calls.append(("commit", repo, files))


@pytest.fixture
def pool(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", SECRET)
    return read_pool(write_lines(tmp_path / "in.jsonl", alpaca_rows(3)))


def publish(monkeypatch, hub, pool, **settings):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "HfApi", hub)
    return push_to_hub(pool, "org/best-3", CARD, **settings)


def test_data_and_card_go_in_one_commit(pool, monkeypatch):
    hub = Hub()
    address = publish(monkeypatch, hub, pool, columns={"score": [5, 4, 3], "reason": ["a"] * 3})
    assert address == "https://hub/datasets/org/best-3"
    (_, token), create, (_, _, files) = hub.calls
    assert token == SECRET
    assert create == ("create", "org/best-3", True, False)
    assert set(files) == {"data/train-00000-of-00001.parquet", "README.md"}
    table = pq.read_table(pa.BufferReader(files["data/train-00000-of-00001.parquet"]))
    assert table["score"].to_pylist() == [5, 4, 3]
    assert table["id"].to_pylist() == pool.ids
    assert files["README.md"].decode() == card_text(CARD, 3, data_files="data/train-*")
    assert SECRET.encode() not in b"".join(files.values())


def test_a_dataset_that_is_there_is_left_alone_unless_asked(pool, monkeypatch):
    hub = Hub(exists=True)
    with pytest.raises(InputError, match=r"org/best-3 is on the hub already.*replace=True"):
        publish(monkeypatch, hub, pool)
    assert [call[0] for call in hub.calls] == ["token"]
    publish(monkeypatch, hub, pool, replace=True, private=False)
    assert hub.calls[-2] == ("create", "org/best-3", False, True)


@pytest.mark.parametrize(
    ("status", "kind", "sentence"),
    [
        (401, InputError, r"does not let the token in HF_TOKEN write to org/best-3 \(401\)"),
        (403, InputError, r"\(403\)"),
        (409, InputError, r"The hub refuses org/best-3 \(409\): 'bad …'"),
        (500, RunError, "could not be reached"),
        (None, RunError, "could not be reached for org/best-3: 'bad …'"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence_without_the_token(
    pool, monkeypatch, status, kind, sentence
):
    error = OSError(f"bad {SECRET}\nheaders: {SECRET}")
    if status is not None:
        error.response = SimpleNamespace(status_code=status)
    with pytest.raises(kind, match=sentence) as raised:
        publish(monkeypatch, Hub(error=error), pool)
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_without_a_token_nothing_is_sent(pool, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", " ")
    hub = Hub()
    with pytest.raises(InputError, match="environment variable HF_TOKEN"):
        publish(monkeypatch, hub, pool)
    assert hub.calls == []
    with pytest.raises(InputError, match=r"is named org/name\. Got 'best'"):
        push_to_hub(pool, "best", CARD)


PUBLISH = """
import sys
from ds2 import Card, push_to_hub, read_pool
pool = read_pool(sys.argv[1])
print(push_to_hub(pool, "org/best", Card("best", "ds2", "p", 9), columns={"score": [5, 4, 3]},
                  replace="replace" in sys.argv))
"""


def test_the_hubs_own_client_publishes(tmp_path):
    path = write_lines(tmp_path / "in.jsonl", alpaca_rows(3))

    def publish(hub, token, *words):
        env = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_TOKEN": token, "NO_PROXY": "*"}
        command = [sys.executable, "-c", PUBLISH, str(path), *words]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    with serving(SECRET) as hub:
        made = publish(hub, SECRET)
        assert made.stdout.strip() == f"{hub.endpoint}/datasets/org/best", made.stderr
        assert hub.repos == {"org/best": True}
        assert hub.tokens == {SECRET}
        assert set(hub.files) == {
            ("org/best", "README.md"),
            ("org/best", "data/train-00000-of-00001.parquet"),
        }
        data = hub.files["org/best", "data/train-00000-of-00001.parquet"]
        assert pq.read_table(pa.BufferReader(data))["score"].to_pylist() == [5, 4, 3]
        assert b"# best" in hub.files["org/best", "README.md"]
        assert "is on the hub already" in publish(hub, SECRET).stderr
        assert publish(hub, SECRET, "replace").returncode == 0
        refused = publish(hub, "hf_wrong", "replace")
        assert "does not let the token in HF_TOKEN write to org/best (401)" in refused.stderr
        assert SECRET.encode() not in b"".join(hub.files.values())
        assert "hf_wrong" not in refused.stderr + refused.stdout
