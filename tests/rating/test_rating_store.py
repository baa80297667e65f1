import asyncio
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ds2.errors import InputError, RunError
from ds2.pool import Message
from ds2.rating import Store
from ds2.rating.store import FAILED, REPLIED, UNANSWERED, Row, Setup, Writer, example_hash

SETUP = Setup("m", "m", "json", {"model": "m", "temperature": 0.0}, "rubric", "prompt")


def key(number: int) -> bytes:
    return number.to_bytes(32, "little")


def test_rows_come_back_as_they_were(tmp_path):
    rows = [
        Row(
            key(i),
            i % 2,
            REPLIED,
            None,
            f"reply {i} \0 ☃",
            "stop",
            i,
            2,
            1,
            0.5,
            0.1 * i,
            "{}",
            "m",
        )
        for i in range(2500)
    ]
    with Store(tmp_path / "s.sqlite") as store:
        number = store.open_setup(SETUP)
        store.add([(number, row) for row in rows])
        assert store.count(number) == 2500
    with Store(tmp_path / "s.sqlite") as store:
        assert store.number(SETUP) == number
        for repeat in (0, 1):
            wanted = {row.example: row for row in rows if row.repeat == repeat}
            assert store.rows(number, repeat, [row.example for row in rows]) == wanted
            states = store.states(number, repeat, [key(i) for i in range(3000)])
            assert states == dict.fromkeys(wanted, REPLIED)


def test_a_reply_is_never_overwritten_and_a_failure_gives_way(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        number = store.open_setup(SETUP)
        for state, problem, reply in (
            (UNANSWERED, "timed out", None),
            (FAILED, "bad request", None),
            (REPLIED, None, "first"),
            (REPLIED, None, "second"),
            (UNANSWERED, "timed out", None),
        ):
            store.add([(number, Row(key(1), 0, state, problem, reply))])
        row = store.rows(number, 0, [key(1)])[key(1)]
    assert (row.state, row.problem, row.reply) == (REPLIED, None, "first")


def test_a_setup_is_what_can_change_a_reply(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        first = store.open_setup(SETUP)
        again = Setup(
            "other name", "m", "json", {"temperature": 0.0, "model": "m"}, "rubric", "prompt"
        )
        assert store.open_setup(again) == first
        others = [
            Setup("m", "m", "json", {"model": "m", "temperature": 0.1}, "rubric", "prompt"),
            Setup("m", "m", "json", SETUP.settings, "rubric 2", "prompt"),
            Setup("m", "m", "json", SETUP.settings, "rubric", "prompt 2"),
        ]
        assert len({first, *map(store.open_setup, others)}) == 4
        assert [setup.rater for _, setup in store.setups()][-1] == "other name"


def test_the_nonce_stays(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        assert store.fact("nonce", "abc") == "abc"
    with Store(tmp_path / "s.sqlite") as store:
        assert store.fact("nonce", "def") == "abc"


def test_totals_count_replies_and_know_what_is_unknown(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        number = store.open_setup(SETUP)
        assert store.totals(number)["cost_usd"] == 0.0
        rows = [Row(key(i), 0, REPLIED, None, "x", None, 10, 2, 4, 0.1, 0.25) for i in range(3)]
        store.add([(number, row) for row in [*rows, Row(key(9), 0, FAILED, "bad request")]])
        totals = store.totals(number)
        assert (totals["requests"], totals["n_input"], totals["n_cached"]) == (3, 30, 12)
        assert totals["cost_usd"] == 0.75
        store.add([(number, Row(key(5), 0, REPLIED, None, "x"))])
        assert store.totals(number)["cost_usd"] is None


def test_a_probe_is_remembered_by_what_was_asked_for(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        assert store.probe("hash", "auto") is None
        store.add_probe("hash", "auto", {"form": "json"}, n_input=1, n_output=2, cost_usd=0.5)
        store.add_probe("hash", "expected", {"form": "text"}, n_input=1, n_output=2, cost_usd=None)
        assert store.probe("hash", "auto") == {"form": "json"}
        assert store.probe_cost("hash") == 0.5


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to be read" * 50, None]
)
def test_another_file_is_no_store(tmp_path, content):
    path = tmp_path / "other.sqlite"
    if content is None:
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE t (x)")
        db.close()
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match="is no store of ds2"):
        Store(path)


def test_a_later_version_is_refused_and_kept(tmp_path):
    path = tmp_path / "s.sqlite"
    Store(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(InputError, match="later version of ds2"):
        Store(path)


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="cannot be opened"):
        Store(tmp_path / "none" / "s.sqlite")


def test_the_store_is_in_wal_mode_and_synced(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        assert store._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert store._db.execute("PRAGMA synchronous").fetchone()[0] == 2


texts = st.text(st.characters(codec=None), max_size=8)
conversations = st.lists(st.tuples(texts, texts), max_size=4)


@given(conversations, conversations)
def test_examples_share_a_hash_exactly_when_they_are_equal(one, other):
    hashes = [
        example_hash(
            Message(role.encode("utf-8", "replace").decode(), content) for role, content in turns
        )
        for turns in (one, other)
    ]
    clean = [
        [(r.encode("utf-8", "replace").decode(), c) for r, c in turns] for turns in (one, other)
    ]
    assert (hashes[0] == hashes[1]) == (clean[0] == clean[1])


def test_the_writer_commits_while_it_runs(tmp_path):
    path = tmp_path / "s.sqlite"

    async def write(store, number):
        async with Writer(path, stopped=lambda: None) as writer:
            writer.put(number, Row(key(1), 0, REPLIED))
            for _ in range(100):
                await asyncio.sleep(0.02)
                if store.count(number):
                    break
            assert store.count(number) == 1, "nothing was committed within 2 s"
            writer.put(number, Row(key(2), 0, REPLIED))
            assert await writer.written()
            assert store.count(number) == 2
            writer.put(number, Row(key(3), 0, REPLIED))
        assert store.count(number) == 3

    with Store(path) as store:
        asyncio.run(write(store, store.open_setup(SETUP)))


def test_a_store_that_cannot_be_written_stops_the_run(tmp_path):
    path, stopped = tmp_path / "s.sqlite", []
    with Store(path) as store:
        number = store.open_setup(SETUP)
        store._db.execute("DROP TABLE replies")

    async def write():
        async with Writer(path, stopped=lambda: stopped.append(1)) as writer:
            writer.put(number, Row(key(1), 0, REPLIED))
            assert not await writer.written()
            assert not await writer.written()

    with pytest.raises(RunError, match="failed: no such table"):
        asyncio.run(write())
    assert stopped == [1]
