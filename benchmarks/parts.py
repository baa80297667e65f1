"""A run on a large pool, stage by stage: CPU, memory, engines, and what kills cost.

The pool is a folder of JSONL files: templates of the demo's texts, 375 characters a row on average,
with scores drawn through the demo's matrix. Each stage is a process of its own; its peak memory is
that of the process and its workers together, files that are mapped into memory counted.

    python benchmarks/parts.py [--quick] [--rows 1000000,3000000] [--graph cells|random]
    python benchmarks/parts.py --engines [--rows 200000]       here by 1 and 2 workers, and on Ray
    python benchmarks/parts.py --kills [--rows 100000]         100 kills in the middle of the work

``--graph random`` puts neighbours drawn at random in the place of the search, which takes hours
from some millions of rows on.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _common import json_line, table, watched
from score_pool import DEMO, write_pool

FILES = 8
STAGES = ("pool", "rate", "embed", "neighbors", "noise", "curate", "select", "report")
RUN = """
import sys, warnings
from pathlib import Path
import numpy as np
import ds2.runs.steps as steps
from ds2.neighbors import Neighbors
from ds2.runs import run
warnings.simplefilter("ignore")

def drawn(job, vectors, groups, key):
    k, seed = job.recipe.neighbors.k, job.recipe.seed
    rng, n = np.random.default_rng(seed), len(vectors)
    indices = np.empty((n, k), dtype=np.int32)
    distances = np.empty((n, k), dtype=np.float32)
    for start in range(0, n, 2**16):
        some = slice(start, min(start + 2**16, n))
        many = some.stop - start
        offsets = rng.integers(1, 2000, (many, k))  # rows that are alike lie 2,000 apart
        indices[some] = (np.arange(start, some.stop)[:, None] + 2000 * offsets) % n
        distances[some] = np.sort(rng.random((many, k), dtype=np.float32), axis=1)
    return Neighbors(indices, distances, recall=1.0, method="cells")

if sys.argv[3] == "random":
    steps.find_by_cells = drawn
if sys.argv[3] == "small":
    import ds2.neighbors.find as find
    find.STRETCH = 5000
overrides = dict(one.split("=") for one in sys.argv[4:])
overrides = {key: int(v) if v.isdecimal() else v for key, v in overrides.items()}
run(Path(sys.argv[1]), until=sys.argv[2], overrides=overrides)
"""


def make_run(folder: Path, rows: int) -> Path:
    """A run folder beside a pool of so many rows in several files."""
    subprocess.run([sys.executable, str(DEMO), str(folder)], check=True, stdout=subprocess.DEVNULL)
    pool = folder / "pool"
    pool.mkdir()
    whole = folder / "whole.jsonl"
    matrix = np.array(json.loads((folder / "planted.json").read_text())["matrix"])
    write_pool(whole, folder / "pool.jsonl", rows, matrix)
    each = -(-rows // FILES)
    with whole.open("rb") as lines:
        for number in range(FILES):
            with (pool / f"part-{number}.jsonl").open("wb") as file:
                file.writelines(line for _, line in zip(range(each), lines, strict=False))
    whole.unlink()
    ds2 = str(Path(sys.executable).parent / "ds2")
    run = folder / "run"
    settings = ["--scores", "score", "--scale", "levels:6"]
    keys = ["neighbors.method=cells", "neighbors.min_recall=0.97", "select.size=10000"]
    keys += ["select.stability_rounds=0"]
    words = [ds2, "init", str(run), "--pool", str(pool), *settings]
    words += [word for key in keys for word in ("--set", key)]
    subprocess.run(words, check=True, capture_output=True)
    return run


def measured(run: Path, stage: str, graph: str, *settings: str) -> dict:
    """Seconds and peak memory of one stage."""
    return watched([sys.executable, "-c", RUN, str(run), stage, graph, *settings])


def by_size(sizes: list[int], graph: str) -> None:
    found = []
    for rows in sizes:
        with tempfile.TemporaryDirectory() as place:
            run = make_run(Path(place), rows)
            for stage in STAGES:
                one = measured(run, stage, graph)
                each = 1e6 * one["CPU s"] / rows
                one = {"rows": rows, "stage": stage, **one, "CPU us a row": each}
                found.append(one)
                print(one, file=sys.stderr, flush=True)
    table(found)
    json_line("parts", graph=graph, stages=found)


def by_engine(rows: int) -> None:
    found = []
    engines = {
        "here, 1 worker": ["engine.workers=1"],
        "here, 2 workers": ["engine.workers=2"],
        "ray, 2 workers": ["engine.name=ray", "engine.workers=2"],
    }
    hashes = {}
    with tempfile.TemporaryDirectory() as place:
        run = make_run(Path(place), rows)
        measured(run, "rate", "cells")
        for engine, settings in engines.items():
            for stage, made in (("embed", "embeddings.npy"), ("neighbors", "neighbors.npz")):
                (run / made).unlink(missing_ok=True)
                if stage == "embed":
                    (run / "embeddings.json").unlink(missing_ok=True)
                one = measured(run, stage, "cells", *settings)
                digest = subprocess.run(
                    ["sha256sum", str(run / made)], check=True, capture_output=True, text=True
                ).stdout[:12]
                hashes.setdefault(stage, set()).add(digest)
                found.append({"engine": engine, "stage": stage, **one, "sha256": digest})
                print(found[-1], file=sys.stderr, flush=True)
    table(found)
    assert all(len(each) == 1 for each in hashes.values()), "an engine changed the result"
    json_line("parts_engines", rows=rows, engines=found)


def by_kill(rows: int, kills: int) -> None:
    """Kill the whole run ``kills`` times at random moments; count what is done again."""
    rng = random.Random(0)
    with tempfile.TemporaryDirectory() as place:
        run = make_run(Path(place), rows)
        measured(run, "embed", "cells")
        measured(run, "neighbors", "small")
        whole = (run / "neighbors.npz").read_bytes()
        redone, done_in_all, killed = 0, 0, 0
        while killed < kills:
            (run / "neighbors.npz").unlink(missing_ok=True)
            kept: set[str] = set()
            while True:
                words = [sys.executable, "-c", RUN, str(run), "neighbors", "small"]
                began = time.time()
                process = subprocess.Popen(words, start_new_session=True, stderr=subprocess.DEVNULL)
                ends = time.monotonic() + rng.uniform(3.0, 10.0) if killed < kills else np.inf
                while process.poll() is None and time.monotonic() < ends:
                    time.sleep(0.02)
                if process.poll() is not None:
                    break
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                killed += 1
                if (run / "manifest.json").stat().st_mtime > began:
                    break  # it was done, and only had to end
                now = {path.name for path in run.glob("neighbors.partial/part-*.npz")}
                redone += len(kept - now)
                done_in_all += len(now - kept)
                kept = now
            assert (run / "neighbors.npz").read_bytes() == whole, "a kill changed the result"
        found = {"kills": killed, "parts kept by killed runs": done_in_all, "parts redone": redone}
    table([found])
    json_line("parts_kills", rows=rows, **found)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="20,000 and 60,000 rows")
    parser.add_argument("--rows")
    parser.add_argument("--graph", choices=("cells", "random"), default="cells")
    parser.add_argument("--engines", action="store_true")
    parser.add_argument("--kills", action="store_true")
    asked = parser.parse_args()
    usual = "20000,60000" if asked.quick else "1000000,3000000"
    if asked.engines:
        by_engine(int(asked.rows or (20_000 if asked.quick else 200_000)))
    elif asked.kills:
        by_kill(int(asked.rows or 100_000), 5 if asked.quick else 100)
    else:
        by_size([int(one) for one in (asked.rows or usual).split(",")], asked.graph)


if __name__ == "__main__":
    main()
