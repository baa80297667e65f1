"""Pools and raters that the tests of rating share."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
from llm_server import rating_text

from ds2.pool import Pool, read_pool
from ds2.rating import PROBLEMS, Answer, Limits, Ratings, Scale

#: A key that must be nowhere but in the request; `TEST_KEY` of the environment holds it.
CANARY = "sk-canary-4711/do-not-show-me"


def make_pool(folder: Path, n: int, *, start: int = 0) -> Pool:
    """A pool of n short conversations, no two alike."""
    path = folder / f"pool-{start}-{n}.jsonl"
    lines = [
        {
            "messages": [
                {"role": "user", "content": f"question {i}"},
                {"role": "assistant", "content": f"answer {i}"},
            ]
        }
        for i in range(start, start + n)
    ]
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return read_pool(path)


def joined(*pools: Pool) -> Pool:
    """The examples of several pools in one."""
    from dataclasses import replace

    table = pa.concat_tables([pool.table.select(["id", "messages", "key"]) for pool in pools])
    return replace(pools[0], table=table)


class ScriptedRater:
    """A rater without a network: `answer(prompt, number)` returns text, or raises."""

    def __init__(self, answer=None, *, name="fake", form="structured", limits=None, settings=None):
        self._answer = answer or (lambda prompt, number: rating_text(rating(prompt)))
        self.name, self.model, self.form = name, "fake", form
        self.limits = limits or Limits(concurrency=8)
        self.settings = {"rater": "fake", "max_output_tokens": 50, **(settings or {})}
        self.findings, self.settled = (), {"form": form}
        self.prompts, self.opened, self.closed = [], 0, 0

    def settle(self, settled):
        pass

    async def open(self, rubric):
        self.opened += 1
        return ()

    async def close(self):
        self.closed += 1

    async def ask(self, prompt, *, rubric, seed):
        self.prompts.append(prompt)
        answer = self._answer(prompt, len(self.prompts) - 1)
        if isinstance(answer, Answer):
            return answer
        return Answer(answer, "stop", n_input=100, n_output=20, latency_s=0.01)


def rating(prompt) -> int:
    return 1 + hashlib.sha256(prompt.messages[-1]["content"].encode()).digest()[0] % 10


def ratings_of(values, rater="a", scale=None, **further):
    """Ratings of one rater; where they are NaN the request timed out."""
    array = np.array(values, dtype=float)
    codes = np.where(np.isnan(array), 1 + PROBLEMS.index("timed out"), 0).astype(np.int8)
    return Ratings(array, codes, scale or Scale.ds2(), rater, **further)


def same(one, two) -> bool:
    """Whether two arrays hold the same, NaN where the other has NaN; or both are None."""
    if one is None or two is None:
        return one is two
    return np.array_equal(np.array(one, float), np.array(two, float), equal_nan=True)
