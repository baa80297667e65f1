"""An endpoint that fails in every way, and a killed process: is every example accounted for?

Of the requests 5 % are refused (429, come again in a second), 2 % dropped, 1 % answered with what
is no JSON, and 0.5 % never answered. Halfway the rating process is killed (SIGKILL) and started
again. Every example must end rated, or missing with a reason, and its rating must be that of a run
without faults.

    python benchmarks/rating_faults.py [--quick]
"""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from _common import json_line, table
from rating_throughput import make_pool, paths, server

SHARES = {"429": 0.05, "drop": 0.02, "garbage": 0.01, "hang": 0.005}
CONCURRENCY, TIMEOUT_S = 256, 5.0


def run(url: str, pool_path: str, store: str) -> None:
    """Rate, and print problems and requests as JSON."""
    from ds2 import Pool
    from ds2.rating import ChatRater, rate

    warnings.simplefilter("ignore")
    rater = ChatRater(
        "bench", base_url=url, concurrency=CONCURRENCY, timeout_s=TIMEOUT_S, form="json"
    )
    result = rate(Pool.load(pool_path), rater, store=store, nonce="of the benchmark")
    np.save(store + ".npy", result.values)
    print(json.dumps({"rated": int((result.codes == 0).sum()), "missing": result.problems}))


def start(*arguments: object) -> subprocess.Popen:
    code = "import sys; from rating_faults import run; run(*sys.argv[1:])"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths()},
    )


def committed(store: Path) -> int:
    if not store.exists():
        return 0
    db = sqlite3.connect(store)
    try:
        return db.execute("SELECT count(*) FROM replies WHERE state = 2").fetchone()[0]
    except sqlite3.OperationalError:
        return 0
    finally:
        db.close()


def main() -> None:
    n = 2000 if "--quick" in sys.argv else 20_000
    with tempfile.TemporaryDirectory() as folder:
        pool, store = Path(folder) / "pool.arrow", Path(folder) / "faults.sqlite"
        whole = Path(folder) / "whole.sqlite"
        make_pool(pool, n)
        start_s = time.perf_counter()
        with server(faults=SHARES) as url:
            first = start(url, pool, store)
            while committed(store) < n // 2 and first.poll() is None:
                time.sleep(0.1)
            first.send_signal(signal.SIGKILL)
            first.communicate()
            kept = committed(store)
            second = start(url, pool, store)
            found = json.loads(second.communicate()[0].strip().splitlines()[-1])
        wall_s = time.perf_counter() - start_s
        with server() as url:
            start(url, pool, whole).communicate()
        values, sound = (np.load(f"{path}.npy") for path in (store, whole))
        db = sqlite3.connect(store)
        tries = dict(db.execute("SELECT tries, count(*) FROM replies GROUP BY tries").fetchall())
        db.close()
    rated = ~np.isnan(values)
    missing = sum(found["missing"].values())
    table(
        [
            {
                "examples": n,
                "rated": found["rated"],
                "missing": missing,
                "in the store at the kill": kept,
                "wall s": wall_s,
                "as without faults": bool((values[rated] == sound[rated]).all()),
            }
        ]
    )
    table([{"tries": count, "examples": tries[count]} for count in sorted(tries)])
    json_line(
        "rating_faults",
        examples=n,
        accounted_for=found["rated"] + missing - found["missing"].get("not asked", 0),
        missing=found["missing"],
        equal=bool((values[rated] == sound[rated]).all()),
        per_s=n / wall_s,
    )


if __name__ == "__main__":
    main()
