import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from embedding_fakes import HashEmbedder, TextsOnly, hash_vector

from ds2.embedding import compute, embed, embed_with_report
from ds2.errors import RunBusyError

TEXTS = [f"user: question {i}\nassistant: answer {i * i}" for i in range(60)]


def expected(texts):
    return np.array([hash_vector(text) for text in texts])


def test_an_interrupted_run_goes_on_where_it_was(tmp_path):
    out = tmp_path / "e.npy"
    with pytest.raises(KeyboardInterrupt):
        embed(TextsOnly(TEXTS), HashEmbedder(fail_after=3), out=out, batch_size=8)
    assert not out.exists()
    embedder = HashEmbedder()
    vectors, report = embed_with_report(TextsOnly(TEXTS), embedder, out=out, batch_size=8)
    assert (len(embedder.seen), report.n_embedded, report.n_reused) == (36, 36, 24)
    np.testing.assert_allclose(vectors, expected(TEXTS), atol=1e-3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "e.json",
        "e.keys.npy",
        "e.npy",
    ]


def test_vectors_of_an_older_version_are_spoken_of_in_the_words_of_today(tmp_path):
    out = tmp_path / "e.npy"
    embed(TextsOnly(TEXTS), HashEmbedder(), out=out)
    told = out.with_suffix(".json").read_text()
    facts = json.loads(told)
    facts["report"]["warnings"] = ["What another version said."]
    out.with_suffix(".json").write_text(json.dumps(facts))
    embedder = HashEmbedder()
    _, report = embed_with_report(TextsOnly(TEXTS), embedder, out=out)
    assert (embedder.seen, report.n_reused, report.warnings) == ([], 60, ())
    assert out.with_suffix(".json").read_text() == told


def test_what_was_done_counts_for_another_pool_too(tmp_path):
    out = tmp_path / "e.npy"
    with pytest.raises(KeyboardInterrupt):
        embed(TextsOnly(TEXTS), HashEmbedder(fail_after=3), out=out, batch_size=8)
    embedder = HashEmbedder()
    other = [*reversed(TEXTS), "one more"]
    vectors = embed(TextsOnly(other), embedder, out=out)
    assert len(embedder.seen) == 37
    np.testing.assert_allclose(vectors, expected(other), atol=1e-3)


@pytest.mark.parametrize("other", [HashEmbedder("hash:2"), HashEmbedder(dimension=4)])
def test_another_embedder_starts_anew(tmp_path, other):
    out = tmp_path / "e.npy"
    with pytest.raises(KeyboardInterrupt):
        embed(TextsOnly(TEXTS), HashEmbedder(fail_after=3), out=out, batch_size=8)
    embed(TextsOnly(TEXTS), other, out=out)
    assert len(other.seen) == 60


RECORD = 8 + 2 * 8


@pytest.mark.parametrize(
    ("spoil", "kept"),
    [
        (lambda data: data, 24),
        (lambda data: data[:-1], 23),  # a torn record
        (lambda data: data[:-RECORD], 23),  # exactly one record less
        (lambda data: data + b"\0" * 500, 24),  # a file system's unwritten tail
        (lambda data: data[: -RECORD * 4] + b"\0" * RECORD * 4, 20),
        (lambda data: data[:10], 0),
        (lambda data: b"", 0),
        (lambda data: b"something else entirely\n" * 50, 0),
    ],
)
def test_of_what_a_killed_run_left_the_whole_records_count(tmp_path, spoil, kept):
    out, partial = tmp_path / "e.npy", tmp_path / "e.npy.partial"
    with pytest.raises(KeyboardInterrupt):
        embed(TextsOnly(TEXTS), HashEmbedder(fail_after=3), out=out, batch_size=8)
    assert partial.stat().st_size == 24 * RECORD
    partial.write_bytes(spoil(partial.read_bytes()))
    with pytest.raises(KeyboardInterrupt):  # goes on, and is killed again
        embed(TextsOnly(TEXTS), HashEmbedder(fail_after=1), out=out, batch_size=2)
    embedder = HashEmbedder()
    vectors, report = embed_with_report(TextsOnly(TEXTS), embedder, out=out)
    assert report.n_reused == kept + 2
    np.testing.assert_allclose(vectors, expected(TEXTS), atol=1e-3)


def test_more_records_than_are_read_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(compute, "BLOCK_ROWS", 4)
    for n, out in ((6, tmp_path / "a.npy"), (7, tmp_path / "b.npy")):
        with pytest.raises(KeyboardInterrupt):
            embed(TextsOnly(TEXTS), HashEmbedder(fail_after=n), out=out, batch_size=2)
        vectors, report = embed_with_report(TextsOnly(TEXTS), HashEmbedder(), out=out)
        assert report.n_reused == 2 * n
        np.testing.assert_allclose(vectors, expected(TEXTS), atol=1e-3)


def test_two_processes_at_one_file_are_told_apart(tmp_path):
    out = tmp_path / "e.npy"
    second = HashEmbedder()

    class First(HashEmbedder):
        def embed(self, texts):
            with pytest.raises(RunBusyError, match="Another process is embedding"):
                embed(TextsOnly(TEXTS), second, out=out)
            return super().embed(texts)

    embed(TextsOnly(TEXTS), First(), out=out)
    assert second.seen == []


CHILD = """
import sys, time
sys.path.insert(0, {here!r})
from embedding_fakes import HashEmbedder, TextsOnly
from ds2.embedding import embed

class Slow(HashEmbedder):
    def embed(self, texts):
        time.sleep(0.05)
        return super().embed(texts)

texts = [f"user: question {{i}}\\nassistant: answer {{i * i}}" for i in range(60)]
embed(TextsOnly(texts), Slow(), out={out!r}, batch_size=4)
"""


def test_kill_nine_loses_at_most_the_current_batch(tmp_path):
    out = tmp_path / "e.npy"
    partial = tmp_path / "e.npy.partial"
    here = str(Path(__file__).parent)
    code = CHILD.format(here=here, out=str(out))
    child = subprocess.Popen([sys.executable, "-c", code])
    try:
        deadline = time.monotonic() + 30
        while not (partial.exists() and partial.stat().st_size > RECORD * 12):
            assert child.poll() is None, "the child ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert child.returncode == -signal.SIGKILL
    assert not out.exists()
    kept = partial.stat().st_size // RECORD
    assert kept >= 8
    embedder = HashEmbedder()
    vectors, report = embed_with_report(TextsOnly(TEXTS), embedder, out=out, batch_size=4)
    assert (len(embedder.seen), report.n_reused) == (60 - kept, kept)
    assert len(set(embedder.seen)) == len(embedder.seen)
    np.testing.assert_allclose(vectors, expected(TEXTS), atol=1e-3)


def test_a_kill_between_the_vectors_and_their_sidecar_costs_nothing(tmp_path, monkeypatch):
    out = tmp_path / "e.npy"

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("ds2.embedding.compute._write_report", killed)
        with pytest.raises(KeyboardInterrupt):
            embed(TextsOnly(TEXTS), HashEmbedder(), out=out)
    embedder = HashEmbedder()
    vectors = embed(TextsOnly(TEXTS), embedder, out=out)
    assert embedder.seen == []
    np.testing.assert_allclose(vectors, expected(TEXTS), atol=1e-3)
