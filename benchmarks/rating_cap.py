"""The cap over three runs and five kills: what a server bills at most, against what was allowed.

A server on loopback bills every request at the most that it was asked for and says so, or not: no
usage, a broken body, no answer in time, an empty text, more than was asked for, a first question of
ours, several replies (`n`), longer ones (`max_tokens` in `extra`). A pool is rated by processes of
their own: five that are killed (SIGKILL) at random moments and three that end by themselves. The
table has the bill above the cap in units of the largest request: 0 is kept. A server that bills
more than it was asked for can exceed it by what its requests in flight take, once.

    python benchmarks/rating_cap.py [--quick]
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _common import json_line, table
from rating_throughput import make_pool, paths

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "rating"))
from llm_server import Endpoint, Step

PRICE_IN, PRICE_OUT, MOST_OUTPUT = 1e-6, 1e-5, 60
CAP_USD = 0.06
#: What a server does: extra fields of the requests, and how many times the most it bills.
KINDS = {
    "says all": ({}, 1.0),
    "no usage": ({}, 1.0),
    "broken body": ({}, 1.0),
    "no answer in time": ({}, 1.0),
    "empty text": ({}, 1.0),
    "first question only": ({}, 1.0),
    "n = 4": ({"n": 4}, 1.0),
    "max_tokens in extra": ({"max_tokens": 300}, 1.0),
    "bills 3 times": ({}, 3.0),
}


class Till:
    """Adds up what is billed, whether or not the endpoint says so."""

    def __init__(self, kind: str, share: float) -> None:
        self.kind, self.share, self.bill_usd, self.largest_usd = kind, share, 0.0, 0.0
        self.rng = random.Random(kind)

    def plan(self, body: dict, _: int) -> Step:
        """Bill a request, and say what comes back."""
        n_input = int(self.share * sum(len(m["content"].encode()) for m in body["messages"]))
        limit = body.get("max_completion_tokens", body.get("max_tokens", 0))
        n_output = int(self.share * limit * body.get("n", 1))
        cost_usd = n_input * PRICE_IN + n_output * PRICE_OUT
        self.bill_usd += cost_usd
        self.largest_usd = max(self.largest_usd, cost_usd)
        usage = {"prompt_tokens": n_input, "completion_tokens": n_output}
        silent = self.rng.random() < 0.6
        if self.kind == "no usage" and silent:
            return Step(usage=None, delay_s=0.05)
        if self.kind == "broken body" and silent:
            return Step(fault="half", delay_s=0.05)
        if self.kind == "no answer in time" and silent:
            return Step(usage=usage, delay_s=3.0)
        if self.kind == "empty text" and silent:
            return Step(text="", usage=usage, delay_s=0.05)
        if self.kind == "first question only":
            return Step(body=b"no completion", delay_s=0.05)
        return Step(usage=usage, delay_s=0.05)


def run(url: str, pool_path: str, store: str, extra: str) -> None:
    """Rate once, within the cap."""
    import warnings

    from ds2 import Pool
    from ds2.errors import RunError
    from ds2.rating import ChatRater, rate

    warnings.simplefilter("ignore")
    rater = ChatRater(
        "bench",
        base_url=url,
        concurrency=16,
        timeout_s=1.0,
        tries=2,
        max_output_tokens=MOST_OUTPUT,
        extra=json.loads(extra),
    )
    prices = {"bench": {"input": PRICE_IN * 1e6, "output": PRICE_OUT * 1e6}}
    print("ready", flush=True)
    try:
        rate(Pool.load(pool_path), rater, store=store, prices=prices, max_cost_usd=CAP_USD)
    except RunError as error:
        print(error)


def start(*arguments: object) -> subprocess.Popen:
    code = "import sys; from rating_cap import run; run(*sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths()},
    )
    process.stdout.readline()
    return process


def main() -> None:
    kills, ends = (2, 1) if "--quick" in sys.argv else (5, 3)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        pool = Path(folder) / "pool.arrow"
        make_pool(pool, 400)
        for kind, (extra, share) in KINDS.items():
            till, rng = Till(kind, share), random.Random(kind)
            with Endpoint(till.plan) as endpoint:
                endpoint.keep_requests = False
                told = (endpoint.url, pool, Path(folder) / f"{kind}.sqlite", json.dumps(extra))
                for _ in range(kills):
                    process = start(*told)
                    time.sleep(rng.uniform(0.2, 1.5))
                    process.send_signal(signal.SIGKILL)
                    process.communicate()
                for _ in range(ends):
                    start(*told).communicate()
                requests = endpoint.n
            rows.append(
                {
                    "server": kind,
                    "requests": requests,
                    "bill / cap": till.bill_usd / CAP_USD,
                    "over, in requests": max(0.0, till.bill_usd - CAP_USD) / till.largest_usd,
                }
            )
            print(rows[-1], flush=True)
    table(rows)
    json_line("rating_cap", kills=kills, runs=ends, rows=rows)


if __name__ == "__main__":
    main()
