"""What each stage of a run adds to a process for each row of the pool: peak of its own memory.

Two pools of one kind (375 characters a row, an id, a score and one of nine sources), of which the
second has twice the rows. Each stage of each is a fresh process, and memory is what the process
itself holds (RssAnon, sampled), so that pages of mapped files do not count; the growth a row is the
difference of the two peaks over that of the rows. Vectors and the graph are random: the stages that
make them are measured by `scale.py`.

    python benchmarks/stage_memory.py [--quick] [--rows N] [--src SRC]
"""

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path

import numpy as np
from _common import fresh_process, json_line, table

STAGES = ("pool", "rate", "duplicates", "noise", "curate", "select", "report")
WORDS = [f"word{at}" for at in range(2000)]
WORK = """
import json, sys, threading, time, warnings
sys.path.insert(0, sys.argv[3])
import numpy as np, ds2
from pathlib import Path
from ds2.neighbors import Neighbors
from ds2.pool import find_duplicates
from ds2.runs import frozen
from ds2.runs.job import Job
from ds2.runs.steps import STEPS
assert Path(ds2.__file__).is_relative_to(sys.argv[3])
warnings.simplefilter("ignore")
folder, stage = Path(sys.argv[1]), sys.argv[2]
job = Job.of(folder)
if stage == "graph":
    STEPS["embed"](job)
    n, rng = len(job.pool), np.random.default_rng(0)
    near = rng.integers(0, n - 1, (n, 10))
    near += near >= np.arange(n)[:, None]
    far = np.sort(rng.random((n, 10)), axis=1).astype(np.float32)
    frozen.save(folder, Neighbors(near.astype(np.int32), far, 1.0, "exact"))
    print("{}")
    sys.exit()
found, stop = [], threading.Event()
def own():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024
def watch():
    while not stop.wait(0.005):
        found.append(own())
before, clock = own(), time.process_time()
thread = threading.Thread(target=watch)
thread.start()
find_duplicates(job.pool) if stage == "duplicates" else STEPS[stage](job)
stop.set(), thread.join()
print(json.dumps({"MB": max([before, *found]) - before, "s": time.process_time() - clock}))
"""


def write_pool(path: Path, rows: int) -> None:
    rng = random.Random(0)
    with path.open("w", encoding="utf-8") as out:
        for at in range(rows):
            said = " ".join(rng.choices(WORDS, k=50))
            turns = [
                {"role": "user", "content": f"What is {at}?"},
                {"role": "assistant", "content": said[:360]},
            ]
            row = {"id": f"row-{at:012d}", "messages": turns, "score": rng.randrange(6)}
            out.write(json.dumps({**row, "source": f"source {at % 9}"}) + "\n")


def measured(folder: Path, rows: int, src: str) -> dict[str, dict[str, float]]:
    """Peak MB and CPU seconds of each stage."""
    pool, vectors, run = folder / "pool.jsonl", folder / "vectors.npy", folder / "run"
    write_pool(pool, rows)
    np.save(vectors, np.random.default_rng(0).standard_normal((rows, 16), np.float32))
    (run).mkdir(parents=True)
    (run / "recipe.toml").write_text(
        f"""
[pool]
path = "{pool}"
[scores]
column = "score"
scale = "levels:6"
[embed]
embedder = "precomputed"
path = "{vectors}"
[noise]
n_bootstrap = 5
[curate]
n_draws = 5
[select]
size = 1000
stability_rounds = 2
"""
    )
    found = {}
    for stage in STAGES:
        found[stage] = fresh_process(WORK, str(run), stage, src)
        if stage == "rate":
            fresh_process(WORK, str(run), "graph", src)
        print(f"  {rows:,} {stage} {found[stage]}", file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20,000 and 40,000 rows")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--src", default=str(Path(__file__).resolve().parent.parent / "src"))
    asked = parser.parse_args()
    rows = 20_000 if asked.quick else asked.rows
    found = []
    for n in (rows, 2 * rows):
        with tempfile.TemporaryDirectory() as place:
            found.append(measured(Path(place), n, asked.src))
    lines = [
        {
            "stage": stage,
            "bytes a row": (found[1][stage]["MB"] - found[0][stage]["MB"]) * 2**20 / rows,
            "peak MB of the larger": found[1][stage]["MB"],
            "CPU us a row": 1e6 * found[1][stage]["s"] / (2 * rows),
        }
        for stage in STAGES
    ]
    table(lines)
    json_line("stage_memory", rows=rows, stages=lines)


if __name__ == "__main__":
    main()
