"""What run folders share by content: found again, never believed blindly, within a limit."""

import json
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from small_pool import Heard, make_rows, write_rows
from typer.testing import CliRunner

from ds2.cli.app import app
from ds2.embedding import WordLlamaEmbedder
from ds2.errors import InputError
from ds2.runs import Listener, init_run, run
from ds2.runs import cache as module
from ds2.runs.cache import Cache, find_cache, key_of, open_cache

pytestmark = pytest.mark.filterwarnings("ignore::ds2.errors.Ds2Warning")
SHARED = ("embeddings.npy", "neighbors.npz")


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """An empty cache of the test's own."""
    monkeypatch.setenv("DS2_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def embedded(monkeypatch) -> list[str]:
    """The texts that were embedded."""
    texts: list[str] = []
    embed = WordLlamaEmbedder.embed

    def counting(self, batch):
        texts.extend(batch)
        return embed(self, batch)

    monkeypatch.setattr(WordLlamaEmbedder, "embed", counting)
    return texts


def made(folder: Path, rows: list[dict], listener: Listener | None = None, **settings) -> dict:
    """Make a run folder and bring it to its neighbours; the numbers of its stages."""
    pool = write_rows(folder.with_suffix(".jsonl"), rows)
    init_run(folder, pool=str(pool), settings=settings)
    return dict(run(folder, until="neighbors", listener=listener).summary)


def test_a_second_folder_embeds_and_searches_nothing(place, tmp_path, embedded, monkeypatch):
    rows = make_rows()
    monkeypatch.setenv("DS2_CACHE", "off")
    plain = made(tmp_path / "plain", rows)
    monkeypatch.setenv("DS2_CACHE", str(place))
    embedded.clear()
    first = made(tmp_path / "first", rows)
    assert not first["embed"]["from_cache"]
    assert embedded
    embedded.clear()
    monkeypatch.setattr("ds2.runs.steps.find_neighbors", None)  # would fail
    other = [{**row, "score": 3, "note": "another column"} for row in rows]
    second = made(tmp_path / "second", other)
    assert embedded == []
    assert second["embed"]["from_cache"]
    assert second["neighbors"]["from_cache"]
    assert second["embed"]["n_reused"] == len(rows) - 1  # one is a duplicate
    for one in (plain, first, second):
        one["neighbors"].pop("from_cache")
    assert plain["neighbors"] == first["neighbors"] == second["neighbors"]
    for name in SHARED:
        held = (tmp_path / "plain" / name).read_bytes()
        assert (tmp_path / "first" / name).read_bytes() == held
        assert (tmp_path / "second" / name).read_bytes() == held
    said = CliRunner().invoke(app, ["status", str(tmp_path / "second")]).stdout
    assert "159 vectors from the cache" in said
    assert "exact duplicates, from the cache" in said


def test_of_a_pool_that_grew_only_the_new_texts_are_embedded(place, tmp_path, embedded):
    rows = make_rows()
    made(tmp_path / "small", rows[:140])
    embedded.clear()
    summary = made(tmp_path / "large", rows)["embed"]
    assert summary["n_embedded"] == len(embedded) == 20
    assert summary["from_cache"]
    made(tmp_path / "part", rows[10:90])
    assert len(embedded) == 20
    assert len(find_cache().entries("embed")) == 2  # a part of what is there is not kept again


def test_what_another_embedder_made_is_not_taken(place, tmp_path, embedded, monkeypatch):
    rows = make_rows()[:60]
    made(tmp_path / "first", rows)
    embedded.clear()
    init = WordLlamaEmbedder.__init__

    def renamed(self) -> None:
        init(self)
        self.name += ";other"

    monkeypatch.setattr(WordLlamaEmbedder, "__init__", renamed)
    assert not made(tmp_path / "second", rows)["embed"]["from_cache"]
    assert len(embedded) == 59


def test_ready_made_vectors_are_not_copied_into_it(place, tmp_path):
    rows = [{**row, "v": [float(n), 1.0, 0.5]} for n, row in enumerate(make_rows()[:40])]
    settings = {"embed.embedder": "precomputed", "embed.column": "v"}
    made(tmp_path / "run", rows, **settings)
    assert find_cache().entries("embed") == []
    assert made(tmp_path / "again", rows, **settings)["neighbors"]["from_cache"]


def spoil(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "flipped":
        data[len(data) // 2] ^= 1
    path.write_bytes(data if how == "flipped" else data[: len(data) // 2])
    if how == "gone":
        path.unlink()


@pytest.mark.parametrize("name", ["data.bin", "entry.json"])
@pytest.mark.parametrize("how", ["flipped", "cut", "gone"])
def test_a_damaged_entry_is_noticed_and_can_be_replaced(place, tmp_path, name, how):
    cache, path = Cache(place / "v1", 10**6), tmp_path / "data.bin"
    path.write_bytes(bytes(range(200)))
    assert cache.keep("embed", "k", [path]) is None
    spoil(place / "v1" / "embed" / "k" / name, how)
    (tmp_path / "out").mkdir()
    assert not cache.fetch("embed", "k", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    assert cache.keep("embed", "k", [path]) is None
    assert cache.fetch("embed", "k", tmp_path / "out")
    assert (tmp_path / "out" / "data.bin").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", ["embeddings.npy", "embeddings.json"])
def test_a_run_makes_anew_what_is_damaged(place, tmp_path, embedded, name):
    rows = make_rows()[:60]
    made(tmp_path / "first", rows)
    (entry,) = find_cache().entries("embed")
    spoil(entry.path / name, "cut")
    embedded.clear()
    made(tmp_path / "second", rows)
    assert len(embedded) == len(rows) - 1
    held = (tmp_path / "first" / "embeddings.npy").read_bytes()
    assert (tmp_path / "second" / "embeddings.npy").read_bytes() == held
    embedded.clear()
    assert made(tmp_path / "third", rows)["embed"]["from_cache"]
    assert embedded == []


def test_a_file_of_a_run_folder_is_its_own(place, tmp_path):
    rows = make_rows()
    made(tmp_path / "first", rows)
    made(tmp_path / "second", rows)
    with (tmp_path / "second" / "embeddings.npy").open("r+b") as file:
        file.seek(-50, os.SEEK_END)
        file.write(b"\x00" * 50)
    held = (tmp_path / "first" / "embeddings.npy").read_bytes()
    made(tmp_path / "third", rows)
    assert (tmp_path / "third" / "embeddings.npy").read_bytes() == held


def entry_of(cache: Cache, tmp_path: Path, key: str, size: int, used_s: float) -> None:
    path = tmp_path / "data.bin"
    path.write_bytes(os.urandom(size))
    assert cache.keep("embed", key, [path]) is None
    os.utime(cache.root / "embed" / key / "entry.json", (used_s, used_s))


def keys(cache: Cache) -> list[str]:
    return [entry.path.name for entry in cache.entries()]


def test_above_the_limit_what_was_not_used_for_longest_goes(place, tmp_path):
    cache = Cache(place / "v1", 2500)
    now = time.time() - 1000
    for number, key in enumerate(("a", "b")):
        entry_of(cache, tmp_path, key, 1000, now - 100 + number)
    assert keys(cache) == ["b", "a"]
    (tmp_path / "out").mkdir()
    assert cache.fetch("embed", "a", tmp_path / "out")  # used now
    entry_of(cache, tmp_path, "c", 1000, now)
    assert keys(cache) == ["a", "c"]
    entry_of(cache, tmp_path, "d", 2400, now)
    assert keys(cache) == ["d"]
    path = tmp_path / "huge.bin"
    path.write_bytes(b"0" * 2501)
    assert cache.keep("embed", "huge", [path]) is None
    assert keys(cache) == ["d"]
    assert [p.name for p in (place / "v1" / "embed").iterdir()] == ["d"]


def test_what_is_half_written_is_no_entry_and_is_cleared_away(place, tmp_path, monkeypatch):
    cache = Cache(place / "v1", 10**6)
    path = tmp_path / "data.bin"
    path.write_bytes(b"data")

    def full(source, target):
        target.write_bytes(b"da")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module, "_copy", full)
        said = cache.keep("embed", "a", [path])
    assert "could not be written (No space left on device)" in said
    assert "DS2_CACHE=off does without" in said
    assert list((place / "v1" / "embed").iterdir()) == []
    left = place / "v1" / "embed" / ".a.0123.tmp"
    left.mkdir()  # of a process that was killed
    (left / "data.bin").write_bytes(b"da")
    assert cache.entries() == []
    assert cache.keep("embed", "b", [path]) is None
    assert left.exists()  # perhaps somebody writes it just now
    os.utime(left, (1, 1))
    assert cache.keep("embed", "c", [path]) is None
    assert not left.exists()


def test_many_at_once_read_what_is_whole(place, tmp_path):
    cache = Cache(place / "v1", 3 * 10**5)
    data = np.random.default_rng(0).bytes(10**5)
    faults = []

    def work(number: int) -> None:
        folder = tmp_path / f"out{number}"
        folder.mkdir()
        path = folder / "data.bin"
        for turn in range(12):
            path.write_bytes(data)
            if cache.keep("embed", f"k{(number + turn) % 5}", [path]) is not None:
                faults.append("keep")
            path.unlink()
            if cache.fetch("embed", f"k{turn % 5}", folder) and path.read_bytes() != data:
                faults.append("fetch")
            path.unlink(missing_ok=True)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(cache.entries()) <= 3


def test_only_its_owner_may_look_into_it_and_no_secret_is_there(place, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-of-mine")
    made(tmp_path / "first", make_rows())
    if os.name == "posix":
        assert (place / "v1").stat().st_mode & 0o777 == 0o700
    for path in place.rglob("*"):
        if path.is_file():
            assert b"sk-secret" not in path.read_bytes()
    (entry,) = find_cache().entries("embed")
    facts = json.loads((entry.path / "entry.json").read_text())
    assert set(facts) == {"about", "files"}
    assert set(facts["about"]) == {"embedder"}


def test_what_cannot_be_used_is_said_and_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DS2_CACHE", str(tmp_path / "file"))
    heard = Heard()
    assert not made(tmp_path / "run", make_rows(), heard)["embed"]["from_cache"]
    assert any("no cache at" in sentence for sentence in heard.sentences)
    if os.name == "posix":
        monkeypatch.setenv("DS2_CACHE", str(tmp_path / "other"))
        monkeypatch.setattr(os, "getuid", lambda: -1)
        assert open_cache(heard) is None
        assert "belongs to somebody else" in heard.sentences[-1]


def test_doctor_shows_and_empties_it(place, tmp_path, monkeypatch):
    place.mkdir()
    (place / "mine.txt").write_text("not the cache's")
    made(tmp_path / "run", make_rows())
    said = CliRunner().invoke(app, ["doctor"]).stdout
    line = next(line for line in said.splitlines() if line.startswith("cache"))
    assert f"{place}/v1: 0." in line.replace(os.sep, "/")
    assert "of 10,000 MB, embed 1, neighbors 1" in line
    found = json.loads(CliRunner().invoke(app, ["doctor", "--clear-cache", "--json"]).stdout)
    assert found["cache"]["entries"] == {}
    assert found["cache"]["bytes"] == 0
    assert found["cache"]["limit"] == 10**10
    assert (place / "mine.txt").exists()
    monkeypatch.setenv("DS2_CACHE", "off")
    said = CliRunner().invoke(app, ["doctor", "--clear-cache"]).stdout
    assert "cache      off" in said


@pytest.mark.parametrize(
    ("text", "size"),
    [("500MB", 5 * 10**8), ("10GB", 10**10), ("1.5 gb", 15 * 10**8), ("0", 0), ("7", 7)],
)
def test_the_limit_is_a_size(place, monkeypatch, text, size):
    monkeypatch.setenv("DS2_CACHE_LIMIT", text)
    assert find_cache().limit == size


def test_a_limit_that_is_none_is_refused(place, monkeypatch):
    monkeypatch.setenv("DS2_CACHE_LIMIT", "much")
    with pytest.raises(InputError, match="DS2_CACHE_LIMIT must be a size such as"):
        find_cache()


@pytest.mark.parametrize(
    ("platform", "variables", "folder"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/ds2/v1"),
        ("linux", {}, "/home/me/.cache/ds2/v1"),
        ("darwin", {"XDG_CACHE_HOME": "/x"}, "/home/me/Library/Caches/ds2/v1"),
        ("win32", {"LOCALAPPDATA": "/l"}, "/l/ds2/Cache/v1"),
    ],
)
def test_it_is_where_the_system_keeps_such_things(monkeypatch, platform, variables, folder):
    for name in ("DS2_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(module.sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    assert find_cache().root == Path(folder)
    monkeypatch.setenv("DS2_CACHE", "OFF")
    assert find_cache() is None


def test_a_key_tells_what_it_rests_on_apart():
    assert key_of({"k": 10}, ["1"]) == key_of({"k": 10}, ["1"])
    assert key_of({"k": 10}, ["1"]) != key_of({"k": 5}, ["1"])
