"""Which embedder reads which language: neighbours of questions asked twice, and lift on Alpaca.

`topics.jsonl` has 24 questions in five languages, each asked twice in other words. Among the 48 of
one language the nearest neighbour should be the question's other wording; among the 24 of another
language the nearest should be its translation. Lift on English is that of three raters of Alpaca.

    python benchmarks/languages.py [--quick]
"""

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from _common import DATA, alpaca_rows, json_line, table

import ds2

TOPICS = Path(__file__).parent / "topics.jsonl"
RATERS = ("score_gpt_4o_mini", "score_llama_3_1_8b", "score_mistral_7b_v0_3")


def wordings(embedder: ds2.Embedder) -> tuple[dict[str, float], dict[str, float]]:
    """By language, how often the other wording, and the translation, is the nearest."""
    topics = [json.loads(line) for line in TOPICS.read_text(encoding="utf-8").splitlines()]
    n = len(topics)
    other = np.r_[np.arange(n, 2 * n), np.arange(n)]
    vectors = {
        code: embedder.embed([topic[code][way] for way in (0, 1) for topic in topics])
        for code in topics[0]
    }
    same = {}
    for code, both in vectors.items():
        near = both @ both.T
        np.fill_diagonal(near, -1)
        same[code] = float((near.argmax(axis=1) == other).mean())
    english = vectors["en"][:n]
    across = {
        code: float(((english @ both[:n].T).argmax(axis=1) == np.arange(n)).mean())
        for code, both in vectors.items()
        if code != "en"
    }
    return same, across


def lifts(embedder: ds2.Embedder, n: int) -> tuple[dict[str, float], float]:
    """Lift of each rater on the first rows of Alpaca, and texts embedded per second."""
    names = ("id", "instruction", "input", "output", *RATERS)
    pool = ds2.read_pool([{name: row[name] for name in names} for row in alpaca_rows()[:n]])
    start = time.perf_counter()
    vectors = ds2.embed(pool, embedder)
    speed = len(pool) / (time.perf_counter() - start)
    neighbors = ds2.find_neighbors(vectors, groups=ds2.find_duplicates(pool))
    found = {}
    for rater in RATERS:
        scores = ds2.import_ratings(pool, column=rater, scale="levels:6").scores()
        noise = ds2.estimate_transition(scores, neighbors, n_scores=6, n_bootstrap=0)
        found[rater.removeprefix("score_")] = noise.lift.value
    return found, speed


def main() -> None:
    warnings.simplefilter("ignore", ds2.Ds2Warning)
    n = 2_000 if "--quick" in sys.argv else 8_000
    rows = []
    for name, make in {
        "wordllama": ds2.WordLlamaEmbedder,
        "multilingual": ds2.MultilingualEmbedder,
    }.items():
        embedder = make()
        same, across = wordings(embedder)
        row = {"embedder": name}
        row |= {f"reworded {code}": share for code, share in same.items()}
        row |= {f"en to {code}": share for code, share in across.items()}
        if (DATA / "alpaca52k_ds2.jsonl.gz").exists():
            found, speed = lifts(embedder, n)
            row |= {f"lift {rater}": lift for rater, lift in found.items()}
            row["texts/s"] = speed
        rows.append(row)
    table([{"": key, **{row["embedder"]: row[key] for row in rows}} for key in list(rows[0])[1:]])
    json_line("languages", rows=n, embedders=rows)


if __name__ == "__main__":
    main()
