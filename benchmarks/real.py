"""The whole path on Alpaca-52k for each of three raters, with the embeddings given.

Text, scores and MiniLM embeddings of all 52,002 examples go through the command line, each rater
in a fresh run folder and process: reading, importing, embedding (given), neighbours, noise with
200 bootstrap rounds, curation, selection of 3.3 %, report.

    python benchmarks/real.py [FOLDER for the run folders]
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _common import data_file, json_line, table

RATERS = {
    "GPT-4o-mini": "score_gpt_4o_mini",
    "Llama-3.1-8B": "score_llama_3_1_8b",
    "Mistral-7B-v0.3": "score_mistral_7b_v0_3",
}


def command(*words: str) -> str:
    ds2 = str(Path(sys.executable).parent / "ds2")
    return subprocess.run([ds2, *words], check=True, stdout=subprocess.PIPE, text=True).stdout


def run(folder: Path, column: str) -> dict:
    command(
        "init",
        str(folder),
        "--pool",
        str(data_file("alpaca52k_ds2.jsonl.gz")),
        "--scores",
        column,
        "--scale",
        "levels:6",
    )
    start = time.perf_counter()
    vectors = data_file("alpaca52k_minilm.f16.npy")
    command(
        "run",
        str(folder),
        "--set",
        "embed.embedder=precomputed",
        "--set",
        f"embed.path={vectors}",
        "--set",
        "select.size=1700",
    )
    elapsed = time.perf_counter() - start
    noise = json.loads((folder / "noise.json").read_text())
    report = json.loads((folder / "report.json").read_text())
    lift = noise["lift"]
    return {
        "lift": lift["value"],
        "low": lift["low"],
        "high": lift["high"],
        "wrong at rho = 1": 1
        - sum(
            p * row[i]
            for i, (p, row) in enumerate(zip(noise["prior"], noise["matrix"], strict=True))
        ),
        "neighbours": noise["n_neighbors"],
        "warnings": len(report["notes"]),
        "wall s": elapsed,
    }


def main() -> None:
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    rows = [{"rater": name, **run(place / column, column)} for name, column in RATERS.items()]
    table(rows)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"largest peak memory of a run: {peak:.0f} MB; reports under {place}")
    json_line("real", raters=rows, peak_mb=peak)


if __name__ == "__main__":
    main()
