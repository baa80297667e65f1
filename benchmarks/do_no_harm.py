"""Does auto ever make things worse? Simulated situations and every data set with a truth.

Regret without gold: Spearman with the truth of the raters' mean ("raw") minus that of auto. With
gold: of the best candidate minus auto, and harm: of raw minus auto, on the rows without gold.
Where raters share a bias, only gold can tell, and auto without gold must warn.

    python benchmarks/do_no_harm.py [--quick]
"""

import gzip
import json
import sys
import time
import warnings
from dataclasses import dataclass

import numpy as np
from _common import alpaca_rows, alpaca_vectors, data_file, json_line, table
from scipy.stats import rankdata

import ds2

warnings.simplefilter("ignore", ds2.Ds2Warning)

LOW, MIDDLE, HIGH = 0.5, 1.2, 2.5  # standard deviation of a rater's noise, in levels
GOLD = (100, 400)
#: Sides of a chat reply and the ends of their scales.
SIDES = {"coherence": (1, 3), "naturalness": (1, 3), "engagingness": (1, 3), "groundedness": (0, 1)}


@dataclass(frozen=True)
class Situation:
    """Raters of a simulated pool; ``rho`` is its clusterability."""

    name: str
    rho: float
    noise: tuple[float, ...]
    n: int = 2000
    own_bias: float = 0.0  # of a neighbourhood, each rater's own, in levels
    shared_bias: float = 0.0  # the same for all raters
    adversary: bool = False  # the last rater's scale is upside down
    swapped: bool = False  # the last rater's two lowest levels are swapped
    missing: float = 0.0
    cluster: int = 20
    fine: bool = False  # raters use only three of the six levels


SITUATIONS = (
    Situation("1 rater, rho 0, low", 0.0, (LOW,)),
    Situation("1 rater, rho 0, high", 0.0, (HIGH,)),
    Situation("1 rater, rho 0.5, high", 0.5, (HIGH,)),
    Situation("1 rater, rho 1, low", 1.0, (LOW,)),
    Situation("1 rater, rho 1, high", 1.0, (HIGH,)),
    Situation("2 raters, rho 0, middle", 0.0, (MIDDLE,) * 2),
    Situation("2 raters, rho 0, high", 0.0, (HIGH,) * 2),
    Situation("2 raters, rho 0.3, middle", 0.3, (MIDDLE,) * 2),
    Situation("2 raters, rho 0.3, high", 0.3, (HIGH,) * 2),
    Situation("2 raters, rho 0.6, low", 0.6, (LOW,) * 2),
    Situation("2 raters, rho 1, middle", 1.0, (MIDDLE,) * 2),
    Situation("2 raters, rho 0.3, unlike", 0.3, (LOW, HIGH)),
    Situation("2 raters, rho 0.6, n 300", 0.6, (HIGH,) * 2, n=300),
    Situation("2 raters, one upside down", 0.6, (MIDDLE,) * 2, adversary=True),
    Situation("3 raters, rho 0, high", 0.0, (HIGH,) * 3),
    Situation("3 raters, rho 0, unlike", 0.0, (LOW, HIGH, HIGH)),
    Situation("3 raters, rho 0.3, low", 0.3, (LOW,) * 3),
    Situation("3 raters, rho 0.6, high", 0.6, (HIGH,) * 3),
    Situation("3 raters, rho 0.3, n 300", 0.3, (MIDDLE,) * 3, n=300),
    Situation("3 raters, one upside down", 0.3, (MIDDLE,) * 3, adversary=True),
    Situation("3 raters, one swapped", 0.3, (MIDDLE,) * 3, swapped=True),
    Situation("3 raters, 30 % missing", 0.6, (MIDDLE,) * 3, missing=0.3),
    Situation("3 raters, 70 % missing", 0.3, (HIGH,) * 3, missing=0.7),
    Situation("4 raters, rho 0.3, high", 0.3, (HIGH,) * 4),
    Situation("5 raters, rho 0, middle", 0.0, (MIDDLE,) * 5),
    Situation("5 raters, rho 0.2, high", 0.2, (HIGH,) * 5),
    Situation("5 raters, rho 1, high", 1.0, (HIGH,) * 5),
    Situation("5 raters, one upside down", 0.3, (MIDDLE,) * 5, adversary=True),
    Situation("2 raters, own bias", 0.3, (MIDDLE,) * 2, own_bias=1.5),
    Situation("3 raters, own bias", 0.0, (MIDDLE,) * 3, own_bias=1.5),
    Situation("3 raters, small clusters", 0.6, (HIGH,) * 3, cluster=4),
    Situation("3 raters, three levels", 0.6, (MIDDLE,) * 3, fine=True),
)
SHARED = (
    Situation("2 raters, shared bias", 0.3, (MIDDLE,) * 2, shared_bias=1.5),
    Situation("3 raters, shared bias", 0.0, (MIDDLE,) * 3, shared_bias=2.0),
    Situation("5 raters, shared bias", 0.3, (HIGH,) * 5, shared_bias=1.5),
)


@dataclass(frozen=True)
class Pool:
    """What a situation or a data set gives to `ds2.curate`."""

    scores: np.ndarray
    neighbors: ds2.Neighbors
    noise: tuple[ds2.TransitionEstimate, ...]
    truth: np.ndarray
    n_scores: int


def drawn(situation: Situation, seed: int) -> Pool:
    """A pool of the situation."""
    rng = np.random.default_rng([seed, 11])
    base = ds2.simulate(
        situation.n,
        clusterability=situation.rho,
        cluster_size=situation.cluster,
        seed=seed,
    )
    truth, r = base.true_scores, len(situation.noise)
    neighbors = ds2.find_neighbors(base.vectors)
    near = np.column_stack([np.arange(situation.n), neighbors.indices]).min(axis=1)
    bias = rng.standard_normal((situation.n, r + 1))[near]  # rows of one cluster mostly share it
    columns = []
    for i, sd in enumerate(situation.noise):
        value = truth + sd * rng.standard_normal(situation.n)
        value = value + situation.own_bias * bias[:, i] + situation.shared_bias * bias[:, r]
        score = np.clip(np.round(value), 0, 5)
        if situation.fine:
            score = np.array([1, 1, 2, 2, 3, 3])[score.astype(int)].astype(float)
        if situation.adversary and i == r - 1:
            score = 5 - score
        if situation.swapped and i == r - 1:
            score = np.array([1, 0, 2, 3, 4, 5])[score.astype(int)].astype(float)
        score[rng.random(situation.n) < situation.missing] = np.nan
        columns.append(score)
    return prepared(np.stack(columns, axis=1), neighbors, truth, 6)


def prepared(
    scores: np.ndarray, neighbors: ds2.Neighbors, truth: np.ndarray, n_scores: int
) -> Pool:
    """With a noise estimate for each rater."""
    noise = tuple(
        ds2.estimate_transition(
            column, neighbors, n_scores=n_scores, rho=1.0, n_bootstrap=0, n_starts=1
        )
        for column in scores.T
    )
    return Pool(scores, neighbors, noise, truth, n_scores)


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
        "took": auto.method,
        "warned": bool(auto.warnings),
    }
    for size in sizes:
        rows = np.random.default_rng([seed, size]).permutation(len(pool.truth))
        known = rows[~np.isnan(pool.truth[rows]) & ~np.isnan(pool.scores[rows]).all(axis=1)][:size]
        gold = np.full(len(pool.truth), np.nan)
        gold[known] = pool.truth[known]
        rest = np.where(np.isnan(gold), pool.truth, np.nan)
        of = {name: spearman(one.scores, rest) for name, one in found.items()}
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
    for key in ("raw", "auto"):
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


def main() -> None:
    quick = "--quick" in sys.argv
    seeds = 2 if quick else 5
    start = time.perf_counter()
    rows, shared, real = [], [], []
    for situation in SITUATIONS + SHARED:
        sizes = tuple(size for size in GOLD if size < situation.n)
        runs = [measured(drawn(situation, seed), seed, sizes) for seed in range(seeds)]
        (shared if situation in SHARED else rows).append(summary(situation.name, runs, sizes))
        print(rows[-1] if situation not in SHARED else shared[-1], file=sys.stderr)
    sample = np.random.default_rng(0).choice(52_002, 6000, replace=False) if quick else None
    for name, pool in {**stories(), **replies(), **alpaca(sample)}.items():
        sizes = tuple(size for size in GOLD if 2 * size < len(pool.truth))
        runs = [measured(pool, seed, sizes) for seed in range(1 if quick else 2)]
        real.append(summary(name, runs, sizes))
        print(real[-1], file=sys.stderr)
    for title, part in (("independent errors", rows), ("shared bias", shared), ("real", real)):
        print(title)
        keys = max(part, key=len)
        table([{key: row.get(key, float("nan")) for key in keys} for row in part])
    figures = {
        "mean regret": _mean(rows, "regret"),
        "largest regret": max(row["regret"] for row in rows),
        "shared bias warned": min(row["warned"] for row in shared),
    }
    for size in GOLD:
        for part, name in ((rows, "simulated"), (shared, "shared bias"), (real, "real")):
            for key in ("regret", "harm"):
                figures[f"{name}: mean {key}, {size} gold"] = _mean(part, f"{key} {size}")
    figures["real: mean regret"] = _mean(real, "regret")
    table([figures])
    print(f"{time.perf_counter() - start:.0f} s")
    json_line("do_no_harm", situations=rows, shared=shared, real=real, **figures)


def _mean(rows: list[dict], key: str) -> float:
    return float(np.mean([row[key] for row in rows if key in row]))


if __name__ == "__main__":
    main()
