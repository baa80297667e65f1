"""Pools and raters that the tests of rating share."""

import hashlib
import json
from pathlib import Path

import pyarrow as pa
from llm_server import rating_text

from ds2.pool import Pool, read_pool
from ds2.rating import Answer, Limits


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
