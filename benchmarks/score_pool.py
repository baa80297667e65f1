"""Scoring a pool that nobody rated, from file to Parquet: seconds, memory, and where the time goes.

A run on the demo's pool makes the scorer; then pools of templates of its texts (375 characters a
row on average) are scored by `ds2 score` in a fresh process with a process for each core. Peak
memory is that of the process and its workers together. The steps are timed one by one on one core.

    python benchmarks/score_pool.py [--quick] [--rows 100000,1000000]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from _common import fresh_process, json_line, table, watched

DEMO = Path(__file__).resolve().parents[1] / "examples" / "demo" / "make_pool.py"
WORDS = ("river", "engine", "garden", "theorem", "budget", "orbit", "pastry", "ledger", "harbour")
LENGTH = 375
STEPS = """
import json, sys, time, warnings
from pathlib import Path
from ds2.embedding import surface_features, vectors_of
from ds2.pool import read_parts
from ds2.runs import score
from ds2.runs.embedder import choose_embedder
from ds2.runs.frozen import load_scorer
from ds2.runs.recipe_file import load_recipe
clock = time.process_time
start = clock(); parts = list(read_parts(sys.argv[1])); n = sum(map(len, parts))
found = {"reading": clock() - start}
run = Path(sys.argv[2])
embedder = choose_embedder(load_recipe(run).embed, run)
scorer = load_scorer(run / score.FOLDER)
start = clock(); vectors = [vectors_of(part, embedder) for part in parts]
found["embedding"] = clock() - start
start = clock(); features = [surface_features(part) for part in parts]
found["features"] = clock() - start
start = clock()
for one, two in zip(vectors, features): scorer.predict(one, two)
found["scorer"] = clock() - start
print(json.dumps({name: 1e6 * s / n for name, s in found.items()}))
"""


def write_pool(path: Path, demo: Path, rows: int, matrix: np.ndarray | None = None) -> None:
    """Templates of the demo's texts; with ``matrix``, scores of them that were drawn through it."""
    made = [json.loads(line) for line in demo.open(encoding="utf-8")]
    texts, rng = [one["messages"] for one in made], np.random.default_rng(0)
    ends = None if matrix is None else np.cumsum(matrix, axis=1)
    with path.open("w", encoding="utf-8") as file:
        for i in range(rows):
            asked, answered = (turn["content"] for turn in texts[i % len(texts)][-2:])
            tail = f" {WORDS[i % 9]} {WORDS[i // 9 % 9]} {i}"
            answer = (answered * (1 + LENGTH // len(answered)))[: LENGTH - len(asked)] + tail
            turns = [
                {"role": "user", "content": asked},
                {"role": "assistant", "content": answer},
            ]
            row: dict = {"messages": turns}
            if ends is not None:
                row["score"] = int((rng.random() > ends[made[i % len(made)]["true_score"]]).sum())
            file.write(json.dumps(row) + "\n")


def scored(new: Path, run: Path, rows: int) -> dict:
    ds2 = str(Path(sys.executable).parent / "ds2")
    out = str(new.with_suffix(".parquet"))
    found = watched([ds2, "score", str(new), "--with", str(run), "--out", out])
    return {"rows": rows, **found, "CPU us a row": 1e6 * found["CPU s"] / rows}


def further(found: list[dict]) -> dict:
    """What a row costs beyond what is done once, from the smallest pool and the largest."""
    few, many = found[0], found[-1]
    each = (many["CPU s"] - few["CPU s"]) / (many["rows"] - few["rows"])
    return {"CPU us a further row": 1e6 * each, "minutes for 10M on two cores": each * 1e7 / 120}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="20,000 and 60,000 rows")
    parser.add_argument("--rows", default="100000,1000000")
    asked = parser.parse_args()
    sizes = [20_000, 60_000] if asked.quick else [int(each) for each in asked.rows.split(",")]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        subprocess.run([sys.executable, str(DEMO), place], check=True, stdout=subprocess.DEVNULL)
        ds2 = str(Path(sys.executable).parent / "ds2")
        scores = ["--scores", "score", "--scale", "levels:6"]
        pool, run = str(folder / "pool.jsonl"), str(folder / "run")
        for words in (["init", run, "--pool", pool, *scores], ["curate", run]):
            subprocess.run([ds2, *words], check=True, capture_output=True)
        found = []
        for rows in sizes:
            new = folder / "new.jsonl"
            write_pool(new, folder / "pool.jsonl", rows)
            found.append(scored(new, folder / "run", rows))
            print(found[-1], file=sys.stderr, flush=True)
        write_pool(new, folder / "pool.jsonl", 20_000)
        one = {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        steps = fresh_process(STEPS, str(new), run, env=one)
        steps.pop("process_s")
    table(found)
    table([further(found)])
    table([{f"{name} us": value for name, value in steps.items()}])
    json_line("score_pool", pools=found, **further(found), steps_us=steps)


if __name__ == "__main__":
    main()
