"""Reading a plain pool, writing it and handing it over: CPU time a row, and peak memory.

A pool of JSON Lines, one question and one answer a row with an id and a score, as messages and as
alpaca. Each measurement is a fresh process; with --against another version of ds2 (the ``src`` of
a checkout), the two take turns, and the ratio is that of their medians.

    python benchmarks/reading.py [--quick] [--rows N] [--against SRC]
"""

import argparse
import json
import random
import statistics
import tempfile
from pathlib import Path

from _common import PEAK, fresh_process, json_line, table

STEPS = (
    PEAK
    + """
import json, sys, time, warnings
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import ds2, ds2.pool
assert Path(ds2.__file__).is_relative_to(sys.argv[2])
warnings.simplefilter("ignore", ds2.Ds2Warning)
path, out = Path(sys.argv[1]), {}
def timed(name, function):
    start = time.process_time(); value = function()
    out[name] = (time.process_time() - start) / rows * 1e6
    return value
rows = int(sys.argv[3])
pool = timed("read", lambda: ds2.read_pool(path))
assert len(pool) == rows
out["peak MB"] = peak_mb()
written = path.with_name("written.jsonl")
for form in ("messages", "sharegpt", "alpaca"):
    timed(f"write {form}", lambda: ds2.write_pool(pool, written, format=form))
timed("hand over", lambda: ds2.pool.hand_off(pool, path.parent, tool="trl", name="given"))
print(json.dumps(out))
"""
)


def plain_pool(path: Path, n: int, form: str) -> None:
    """Write n rows of about 600 characters."""
    rng = random.Random(0)
    words = [f"w{at}" for at in range(5000)]
    with path.open("w", encoding="utf-8") as out:
        for at in range(n):
            asked = " ".join(rng.choices(words, k=25))
            said = " ".join(rng.choices(words, k=75))
            turns = [
                {"role": "user", "content": asked},
                {"role": "assistant", "content": said},
            ]
            held = {"instruction": asked, "input": "", "output": said}
            row = {"messages": turns} if form == "messages" else held
            out.write(json.dumps({"id": f"r{at}", **row, "score": at % 6}) + "\n")


def main() -> None:
    """Print a table of microseconds of CPU a row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--against", type=Path)
    given = parser.parse_args()
    n = 20_000 if given.quick else given.rows
    trees = {"now": Path(__file__).resolve().parent.parent / "src"}
    if given.against:
        trees["before"] = given.against.resolve()
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for form in ("messages", "alpaca"):
            pool = Path(folder) / f"{form}.jsonl"
            plain_pool(pool, n, form)
            runs: dict[str, list[dict[str, float]]] = {name: [] for name in trees}
            for pair in range(given.pairs):
                for name in list(trees)[:: 1 if pair % 2 else -1]:
                    runs[name].append(fresh_process(STEPS, str(pool), str(trees[name]), str(n)))
            for step in runs["now"][0]:
                if step == "process_s":
                    continue
                line = {"pool": form, "step": step}
                for name, found in runs.items():
                    line[name] = round(statistics.median(run[step] for run in found), 1)
                if given.against:
                    line["ratio"] = round(line["now"] / line["before"], 2)
                lines.append(line)
    table(lines)
    json_line("reading", rows=n, lines=lines)


if __name__ == "__main__":
    main()
