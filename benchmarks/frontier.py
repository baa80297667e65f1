"""The frontier against other methods: score kept on raters that nothing has seen, breadth, cost.

Alpaca-52k with the published scores of three raters, 1,700 rows. Two raters are curated
(`method="auto"`) and the third judges; then each rater alone is curated and the other two judge.
For each selection: what share of the gain over random it keeps that the highest curated scores have
with the judge ("kept", equal scores counted by their mean), coverage and redundancy over a random
selection's (`compare_selections`, mean of five draws). With the embeddings given (MiniLM) and, with
--default, the default embedder's.

The form of the method was chosen on the rotations "Llama-3.1-8B" and "GPT-4o-mini" of the first
kind, and on one rater alone, all with MiniLM. The rotation "Mistral-7B-v0.3" and all rows of the
default embedder were only read.

With --scale, seconds and peak memory of selecting from 300,000 × 384 (synthetic; graph given).

    python benchmarks/frontier.py [--quick] [--default] [--scale]
"""

import sys
import time
import warnings

import numpy as np
from _common import PEAK, alpaca, fresh_process, json_line, table

import ds2

RATERS = {
    "GPT-4o-mini": "score_gpt_4o_mini",
    "Llama-3.1-8B": "score_llama_3_1_8b",
    "Mistral-7B-v0.3": "score_mistral_7b_v0_3",
}
KEEPS = (0.9,)
COST = (
    PEAK
    + """
import json, sys, time
import numpy as np, ds2
n, m = int(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(0)
centres = rng.standard_normal((n // 30, 384), dtype=np.float32)
vectors = np.empty((n, 384), dtype=np.float16)
for begin in range(0, n, 20_000):
    stop = min(n, begin + 20_000)
    noise = rng.standard_normal((stop - begin, 384), dtype=np.float32)
    spread = rng.choice([0.4, 0.8, 1.2], (stop - begin, 1)).astype(np.float32)
    vectors[begin:stop] = centres[rng.integers(0, len(centres), stop - begin)] + spread * noise
some = np.asarray(vectors[rng.choice(n, 300, replace=False)], dtype=np.float32)
some /= np.linalg.norm(some, axis=1, keepdims=True)
last = np.full((300, 11), 2.0, dtype=np.float32)  # of a whole graph frontier reads the radius alone
for begin in range(0, n, 20_000):
    block = np.asarray(vectors[begin:begin + 20_000], dtype=np.float32)
    near = 1 - some @ (block / np.linalg.norm(block, axis=1, keepdims=True)).T
    last = np.partition(np.concatenate([last, near], axis=1), 10, axis=1)[:, :11]
neighbors = ds2.Neighbors(
    rng.integers(0, n, (n, 10), dtype=np.int32),
    np.full((n, 10), np.median(last.max(axis=1)), dtype=np.float32), 1.0, "radius alone")
scores = rng.standard_normal(n)
before, start = peak_mb(), time.perf_counter()
chosen = ds2.select(scores, vectors=vectors, neighbors=neighbors, size=m, method="frontier",
                    groups=np.arange(n))
print(json.dumps({"rows": n, "chosen": m, "s": time.perf_counter() - start, "peak MB": peak_mb(),
                  "before MB": before}))
"""
)


def gain_of_highest(scores: np.ndarray, truth: np.ndarray, size: int) -> float:
    """Of the highest scores over random, those at the cut counted by their mean."""
    cut = np.sort(scores)[-size]
    above, at = scores > cut, scores == cut
    best = truth[above].sum() + (size - above.sum()) * truth[at].mean()
    return float(best / size - truth.mean())


def measured(
    scores: np.ndarray,
    chosen: dict[str, np.ndarray],
    judges: dict[str, np.ndarray],
    vectors: np.ndarray,
    graph: ds2.Neighbors,
) -> list[dict]:
    """Each selection's share of the gain of the highest scores, and its breadth over random's."""
    n, size = len(vectors), len(chosen["highest"])
    draws = {
        str(seed): np.random.default_rng(seed).choice(n, size, replace=False) for seed in range(5)
    }
    found = ds2.compare_selections({**chosen, **draws}, n, vectors=vectors, neighbors=graph)
    by_name = {one.name: one for one in found.selections}
    usual = {
        figure: np.mean([getattr(by_name[name], figure) for name in draws])
        for figure in ("coverage", "redundancy")
    }
    rows = []
    for name, picked in chosen.items():
        kept = [
            (truth[picked].mean() - truth.mean()) / gain_of_highest(scores, truth, size)
            for truth in judges.values()
        ]
        over = {figure: getattr(by_name[name], figure) / usual[figure] for figure in usual}
        rows.append({"judge": " · ".join(judges), "method": name, **over,
                     "kept": " · ".join(f"{share:.3f}" for share in kept)})  # fmt: skip
    return rows


def rotation(
    embedder: str,
    given: np.ndarray,
    judges: dict[str, np.ndarray],
    vectors: np.ndarray,
    graph: ds2.Neighbors,
) -> list[dict]:
    """One curation, several ways to select from it."""
    size = round(1700 * len(vectors) / 52_002)
    noise = ds2.estimate_transition(given, graph, n_scores=6, n_bootstrap=0)
    curation = ds2.curate(given, graph, noise, method="auto")
    wanted = {
        "size": size,
        "neighbors": graph,
        "vectors": vectors,
        "groups": np.arange(len(vectors)),
    }
    chosen = {
        "highest": ds2.select(curation.scores, method="ds2-no-diversity", **wanted).rows,
        "ds2": ds2.select(curation.scores, **wanted).rows,
    }
    for keep in KEEPS:
        start = time.perf_counter()
        rows = ds2.select(curation.scores, method="frontier", keep=keep, **wanted).rows
        chosen[f"frontier {keep}"] = rows
        seconds = time.perf_counter() - start
        print(f"  {embedder}, {', '.join(judges)}: {keep} in {seconds:.0f} s", file=sys.stderr)
    head = {"embedder": embedder, "curated": curation.method}
    return [{**head, **row} for row in measured(curation.scores, chosen, judges, vectors, graph)]


def default_vectors(data: list[dict]) -> np.ndarray:
    """(n, d) what the default embedder makes of the conversations."""
    rows = [{key: row[key] for key in ("instruction", "input", "output")} for row in data]
    pool = ds2.read_pool(rows, no_answer="keep")
    return np.asarray(ds2.embed(pool))


def main() -> None:
    warnings.simplefilter("ignore", ds2.Ds2Warning)
    quick = "--quick" in sys.argv
    data, given = alpaca(8000 if quick else None)
    scores = {name: np.array([r[column] for r in data], float) for name, column in RATERS.items()}
    embeddings = {"MiniLM": given}
    if "--default" in sys.argv:
        embeddings["default"] = default_vectors(data)
    rows = []
    for embedder, vectors in embeddings.items():
        graph = ds2.find_neighbors(vectors, 10, groups=np.arange(len(vectors)))
        for held in RATERS:
            others = np.stack([scores[name] for name in RATERS if name != held], axis=1)
            rows += rotation(embedder, others, {held: scores[held]}, vectors, graph)
        for alone in RATERS:
            judges = {name: scores[name] for name in RATERS if name != alone}
            rows += rotation(f"{embedder}, one rater", scores[alone], judges, vectors, graph)
    table(rows)
    cost = []
    if "--scale" in sys.argv:
        sizes = ((30_000, 1_000),) if quick else ((300_000, 1_700), (300_000, 10_000))
        cost = [fresh_process(COST, str(n), str(m)) for n, m in sizes]
        table(cost)
    json_line("frontier", selections=rows, cost=cost)


if __name__ == "__main__":
    main()
