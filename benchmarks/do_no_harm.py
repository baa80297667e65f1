"""Does auto ever make things worse? Simulated situations and every data set with a truth.

Four families: simulated pools whose raters err independently; the same with a bias that raters
share; a truth drawn on the embeddings of real texts, with raters that err in unlike ways; and real
raters with people, or another rater, as the truth.

Regret without gold: Spearman with the truth of the raters' mean ("raw") minus that of auto. With
gold: of the best candidate minus auto, and harm: of raw minus auto, on the rows without gold.
Where raters share a bias, only gold can tell, and auto without gold must say so.

    python benchmarks/do_no_harm.py [--quick] [--seeds 5] [--first-seed 0]
"""

import argparse
import contextlib
import gzip
import json
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
from _common import alpaca_rows, alpaca_vectors, data_file, json_line, table
from _situations import SHARED, SITUATIONS, TEXTS, Pool, drawn, on_texts, prepared
from scipy.stats import rankdata

import ds2

warnings.simplefilter("ignore", ds2.Ds2Warning)

GOLD = (100, 400)
#: Sides of a chat reply and the ends of their scales.
SIDES = {"coherence": (1, 3), "naturalness": (1, 3), "engagingness": (1, 3), "groundedness": (0, 1)}


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    known = ~np.isnan(a) & ~np.isnan(b)
    ranks = [rankdata(x[known]) for x in (a, b)]
    return float(np.corrcoef(ranks)[0, 1]) if known.sum() > 2 and np.ptp(a[known]) > 0 else 0.0


def measured(pool: Pool, seed: int, sizes: tuple[int, ...]) -> dict:
    """Spearman of every candidate and of auto, without gold and with ``sizes`` of it."""
    r = pool.scores.shape[1]

    def run(method: str, **gold: object) -> ds2.Curation:
        noise = pool.noise[0] if r == 1 else pool.noise
        scores = pool.scores[:, 0] if r == 1 else pool.scores
        return ds2.curate(scores, pool.neighbors, noise, method=method, seed=seed, **gold)

    names = ("raw", "ds2") if r == 1 else ("raw", "ds2", "fused", "fused+neighbors")
    found = {name: run(name) for name in names}
    auto = run("auto")
    raw = spearman(found["raw"].scores, pool.truth)
    figures = {
        "raw": raw,
        "auto": spearman(auto.scores, pool.truth),
        "ds2": spearman(found["ds2"].scores, pool.truth),
        "took": auto.method,
        "warned": "looks like truth" in auto.next_evidence,
    }
    for size in sizes:
        rows = np.random.default_rng([seed, size]).permutation(len(pool.truth))
        known = rows[~np.isnan(pool.truth[rows]) & ~np.isnan(pool.scores[rows]).all(axis=1)][:size]
        gold = np.full(len(pool.truth), np.nan)
        gold[known] = pool.truth[known]
        rest = np.where(np.isnan(gold), pool.truth, np.nan)
        of = {name: spearman(one.scores, rest) for name, one in found.items()}
        with contextlib.suppress(ds2.InputError):  # nothing that it could be learned from
            of["soft"] = spearman(run("soft", gold=gold).scores, rest)
        chosen = run("auto", gold=gold)
        value = spearman(chosen.scores, rest)
        figures[f"regret {size}"] = max(of.values()) - value
        figures[f"harm {size}"] = of["raw"] - value
        figures[f"took {size}"] = chosen.method
        figures[f"best {size}"] = max(of, key=lambda name: of[name])
    return figures


def summary(name: str, runs: list[dict], sizes: tuple[int, ...]) -> dict:
    """One row of the table: means over the seeds."""
    row: dict = {"situation": name}
    for key in ("raw", "auto", "ds2"):
        row[key] = float(np.mean([run[key] for run in runs]))
    row["regret"] = row["raw"] - row["auto"]
    row["took"] = _most([run["took"] for run in runs])
    row["warned"] = float(np.mean([run["warned"] for run in runs]))
    for size in sizes:
        for key in ("regret", "harm"):
            row[f"{key} {size}"] = float(np.mean([run[f"{key} {size}"] for run in runs]))
        row[f"took {size}"] = _most([run[f"took {size}"] for run in runs])
        row[f"best {size}"] = _most([run[f"best {size}"] for run in runs])
    return row


def _most(names: list[str]) -> str:
    return max(sorted(set(names)), key=names.count)


def alpaca(rows: np.ndarray | None) -> dict[str, Pool]:
    """Each of three raters as the truth, the other two as input, and each of those alone."""
    names = {"GPT": "gpt_4o_mini", "Llama": "llama_3_1_8b", "Mistral": "mistral_7b_v0_3"}
    data = alpaca_rows()
    scores = np.array([[row[f"score_{column}"] for column in names.values()] for row in data])
    scores, vectors = scores.astype(float), alpaca_vectors()
    if rows is not None:
        scores, vectors = scores[rows], vectors[rows]
    neighbors = ds2.find_neighbors(vectors)
    pools = {}
    for j, held in enumerate(names):
        use = [i for i in range(3) if i != j]
        pools[f"Alpaca, {held} as truth"] = prepared(scores[:, use], neighbors, scores[:, j], 6)
        for i in use:
            label = f"Alpaca, {list(names)[i]} alone, {held} as truth"
            pools[label] = prepared(scores[:, [i]], neighbors, scores[:, j], 6)
    return pools


def lines(name: str) -> list[dict]:
    with gzip.open(data_file(name), "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


class Texts:
    """A list of texts, as `ds2.embed` wants it."""

    def __init__(self, texts: list[str]) -> None:
        self.all = texts

    def __len__(self) -> int:
        return len(self.all)

    def texts(self, start: int = 0, stop: int | None = None) -> list[str]:
        """Return a slice."""
        return self.all[start:stop]

    def column(self, name: str) -> list[object]:
        """There is none."""
        raise KeyError(name)


def texts_pool(texts: list[str], scores: np.ndarray, truth: np.ndarray, n_scores: int) -> Pool:
    """A pool from texts, embedded by the default embedder."""
    return prepared(scores, ds2.find_neighbors(ds2.embed(Texts(texts))), truth, n_scores)


def stories() -> dict[str, Pool]:
    """Stories that people and one model rated from 1 to 5."""
    data = lines("openmeva_chatgpt.jsonl.gz")
    scores = np.array([[row["chatgpt"] - 1] for row in data], dtype=float)
    truth = np.array([row["human_mean"] - 1 for row in data])
    texts = [f"{row['prompt']}\n{row['story']}" for row in data]
    return {"Stories, ChatGPT alone, people as truth": texts_pool(texts, scores, truth, 5)}


def replies() -> dict[str, Pool]:
    """Chat replies: people's mean as the truth, one rating of each prompt style as a rater."""
    data = lines("topicalchat_llm.jsonl.gz")
    texts = [f"{row['history']}\n{row['response']}" for row in data]
    pools = {}
    for side, (low, high) in SIDES.items():
        truth = np.array([row["human"][side] for row in data]) - low
        styles = sorted(set.union(*(set(row["llm"][side]) for row in data)))
        value = np.full((len(data), len(styles)), np.nan)
        for place, row in enumerate(data):
            for i, style in enumerate(styles):
                given = row["llm"][side].get(style, [np.nan])[0]
                if given is not None and low <= given <= high:
                    value[place, i] = np.floor(given + 0.5) - low
        for count in (1, 2, 5):
            label = f"Replies, {side}, {count} prompt styles, people as truth"
            pools[label] = texts_pool(texts, value[:, :count], truth, high - low + 1)
    return pools


def simulated(situations: tuple, draw: Callable, seeds: range) -> list[dict]:
    """A row for each situation, printed as it is done."""
    rows = []
    for situation in situations:
        sizes = tuple(size for size in GOLD if 2 * size < situation.n)
        runs = [measured(draw(situation, seed), seed, sizes) for seed in seeds]
        rows.append(summary(situation.name, runs, sizes))
        print(rows[-1], file=sys.stderr)
    return rows


def real(sample: np.ndarray | None, seeds: range) -> list[dict]:
    """A row for each data set with a truth."""
    rows = []
    for name, pool in {**stories(), **replies(), **alpaca(sample)}.items():
        sizes = tuple(size for size in GOLD if 2 * size < len(pool.truth))
        rows.append(summary(name, [measured(pool, seed, sizes) for seed in seeds], sizes))
        print(rows[-1], file=sys.stderr)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="one seed, some of the situations")
    parser.add_argument("--seeds", type=int, default=5, help="pools of each situation")
    parser.add_argument("--first-seed", type=int, default=0)
    asked = parser.parse_args()
    quick = asked.quick
    seeds = range(asked.first_seed, asked.first_seed + (1 if quick else asked.seeds))
    start = time.perf_counter()
    sample = np.random.default_rng(0).choice(52_002, 6000, replace=False) if quick else None
    families = {
        "independent errors": simulated(SITUATIONS[::4] if quick else SITUATIONS, drawn, seeds),
        "shared bias": simulated(SHARED, drawn, seeds),
        "real texts": simulated(TEXTS[::3] if quick else TEXTS, on_texts, seeds),
        "real": real(sample, seeds[:2]),
    }
    figures = {}
    for name, rows in families.items():
        print(f"\n{name}")
        keys = max(rows, key=len)
        table([{key: row.get(key, float("nan")) for key in keys} for row in rows])
        figures[f"{name}: mean regret"] = _mean(rows, "regret")
        figures[f"{name}: largest regret"] = max(row["regret"] for row in rows)
        for key in (f"{what} {size}" for size in GOLD for what in ("regret", "harm")):
            figures[f"{name}: mean {key}"] = _mean(rows, key)
    for truth in ("people", "GPT", "Llama", "Mistral"):
        alone = [row for row in families["real"] if _alone(row["situation"], truth)]
        loss = np.array([row["raw"] - row["ds2"] for row in alone])
        figures[f"one rater, {truth} as truth: ds2 below raw"] = (
            f"{(loss > 0).sum()} of {len(loss)}"
        )
        figures[f"one rater, {truth} as truth: loss by ds2"] = (
            f"{loss.min():.3f} to {loss.max():.3f}"
        )
    figures["shared bias warned"] = min(row["warned"] for row in families["shared bias"])
    print()
    table([{"figure": key, "value": value} for key, value in figures.items()])
    print(f"{time.perf_counter() - start:.0f} s")
    json_line("do_no_harm", **families, **figures)


def _alone(situation: str, truth: str) -> bool:
    one = " alone," in situation or ", 1 prompt styles" in situation
    return one and situation.endswith(f"{truth} as truth")


def _mean(rows: list[dict], key: str) -> float:
    found = [row[key] for row in rows if key in row]
    return float(np.mean(found)) if found else float("nan")


if __name__ == "__main__":
    main()
