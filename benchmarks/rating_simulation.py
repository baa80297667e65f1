"""Histories of rating under a simulated clock, network and disk, each from one seed.

Every seed is one to eight runs over a small pool: requests that are dropped, delayed, refused, cut
off, answered with nothing, with poison or without usage; servers that go away, or bill more than
was asked for; processes that are killed at any moment; full disks. After each run the store must
hold all that it held, of every reply no example may have been paid for again, and the bill must
keep to the cap. A failure prints its seed. SQLite's own part, a process that is really killed, is
in tests/rating/test_rate_killed.py.

    python benchmarks/rating_simulation.py [--quick] [--seeds N] [--first SEED]

The stores are kept in memory where there is a file system of it: the disk is simulated. Ctrl-C ends
it with the seeds that were played until then.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from _common import json_line, table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "rating"))
from simulation import Broken, simulate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    n = 500 if options.quick else options.seeds
    faults: Counter[str] = Counter()
    runs = requests = 0
    broken: list[str] = []
    start_s, cpu_s = time.perf_counter(), time.process_time()
    in_memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=in_memory if in_memory.is_dir() else None) as folder:
        for seed in range(options.first, options.first + n):
            try:
                history = simulate(seed, Path(folder))
            except Broken as error:
                broken.append(str(error))
                print(error, flush=True)
                continue
            except KeyboardInterrupt:  # what was played until then counts
                n = seed - options.first
                break
            faults.update(history.faults)
            runs, requests = runs + history.runs, requests + history.requests
    wall_s, cpu_s = time.perf_counter() - start_s, time.process_time() - cpu_s
    table([{"fault": name, "times": count} for name, count in sorted(faults.items())])
    table(
        [
            {
                "seeds": n,
                "runs": runs,
                "requests": requests,
                "faults a seed": faults.total() / n,
                "seeds a second": n / wall_s,
                "a CPU second": n / cpu_s,
                "broken": len(broken),
            }
        ]
    )
    json_line(
        "rating_simulation",
        first=options.first,
        seeds=n,
        per_s=n / wall_s,
        per_cpu_s=n / cpu_s,
        faults=dict(faults),
        broken=broken,
    )


if __name__ == "__main__":
    main()
