"""A real process, really killed: nothing committed is lost or asked for twice."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from llm_server import Endpoint, Step, rating_text
from rating_fakes import ScriptedRater, make_pool

from ds2.rating import ChatRater, Store, rate, reparse

PROGRAM = Path(__file__).with_name("rate_until_killed.py")
SOURCE = Path(__file__).parents[2] / "src"
CONCURRENCY = 16


def committed(store: Path) -> set:
    """(example, repeat) of every reply in the store, and its prompt-independent content."""
    if not store.exists():
        return set()
    db = sqlite3.connect(store)
    try:
        query = "SELECT example, repeat, reply, at FROM replies WHERE state = 2"
        return set(db.execute(query).fetchall())
    except sqlite3.OperationalError:  # killed before there was a table
        return set()
    finally:
        db.close()


def start(pool: Path, store: Path, url: str) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, PROGRAM, pool, store, url],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    process.stdout.readline()  # its imports are done
    return process


def kill_often(tmp_path, *, kills: int, n: int, delay_s: float, longest_s: float) -> None:
    make_pool(tmp_path, n).save(tmp_path / "pool.arrow")
    store, rng = tmp_path / "s.sqlite", random.Random(1)
    with Endpoint(lambda body, number: Step(delay_s=delay_s)) as endpoint:
        before: set = set()
        for kill in range(1, kills + 1):
            process = start(tmp_path / "pool.arrow", store, endpoint.url)
            time.sleep(rng.uniform(0.0, longest_s))
            until = time.monotonic() + 60
            while kill == kills and not committed(store) and time.monotonic() < until:
                time.sleep(0.1)  # a busy machine; the last kill must find something
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()
            now = committed(store)
            assert before <= now, "a committed reply was lost or changed"
            before = now
        assert before, "the kills came before anything was rated: nothing was tested"
        process = start(tmp_path / "pool.arrow", store, endpoint.url)
        assert process.wait(timeout=120) == 0
        process.stdout.close()
        after = committed(store)
        assert before <= after
        assert len(after) == n + 20
        wasted = endpoint.n - (n + 20)
        # A kill loses at most what is in flight and one commit batch (a second of replies).
        most = kills * (CONCURRENCY + CONCURRENCY / delay_s) + kills + 1
        assert wasted <= most
        pool = make_pool(tmp_path, n)
        uninterrupted = rate(
            pool,
            ChatRater("m", base_url=endpoint.url, concurrency=CONCURRENCY),
            store=tmp_path / "whole.sqlite",
            nonce="of the test",
            repeats=20,
        )
    killed = reparse(pool, store)
    assert np.array_equal(killed.values, uninterrupted.values)
    assert np.array_equal(killed.repeats, uninterrupted.repeats, equal_nan=True)
    with Store(store) as opened:
        (number, _) = opened.setups()[0]
        assert opened._db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert opened.totals(number)["requests"] == n + 20


pytestmark = pytest.mark.filterwarnings("ignore::ds2.errors.Ds2Warning")


def test_a_few_kills(tmp_path):
    kill_often(tmp_path, kills=3, n=200, delay_s=0.1, longest_s=2.5)


@pytest.mark.slow
def test_fifty_kills_at_random_moments(tmp_path):
    kill_often(tmp_path, kills=55, n=4000, delay_s=0.2, longest_s=2.5)


@pytest.mark.parametrize("notebook", [False, True])
def test_a_run_that_is_interrupted_has_written_what_came_when_it_ends(tmp_path, notebook):
    main, store = threading.main_thread().ident, tmp_path / "s.sqlite"

    def answer(prompt, number):
        if number == 100:
            signal.pthread_kill(main, signal.SIGINT)
        return rating_text(7)

    class Slow(ScriptedRater):
        async def ask(self, prompt, *, rubric, seed):
            await asyncio.sleep(0.005)
            return await super().ask(prompt, rubric=rubric, seed=seed)

    rater, pool = Slow(answer), make_pool(tmp_path, 3000)

    def run():
        rate(pool, rater, store=store)

    async def cell():
        run()

    with closing(asyncio.new_event_loop()) as loop, pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(cell()) if notebook else run()
    asked, kept = len(rater.prompts), len(committed(store))
    assert 100 < asked < 2000
    assert asked - 8 <= kept <= asked
    time.sleep(0.3)
    assert (len(rater.prompts), len(committed(store))) == (asked, kept)
