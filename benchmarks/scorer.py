"""Rate few, score all: a part of Alpaca is rated, the rest scored, another rater judges.

Random parts of Alpaca-52k get the published ratings of one or two raters; `ds2.curate` scores every
row; the rater that is left is the truth. Spearman with it, the same given log length (partial), on
all rows; how often the rating that a scored row would have got lies within 1.96 standard errors;
and how much more often rated rows are in the top 5 % than in the pool. "all" is what the raters'
own mean of every row's ratings reaches. With --all every row is rated: raw, soft and auto with the
scorer among its candidates.

"USD" is what the ratings would cost by gpt-4o-mini's listed price, from the length of the prompts.
With --active first ratings are asked for as `ds2 rerate` does, a fifth at random, against all at
random, on 12,000 rows.

    python benchmarks/scorer.py [--quick] [--embedder] [--all | --active] [--picture FILE.svg]

Vectors are the given MiniLM's, or with --embedder those of the embedder that ships with ds2.
"""

import sys
import time
import warnings
from pathlib import Path

import numpy as np
from _common import alpaca, json_line, table
from _curves import curve_picture

import ds2
from curation import RATERS, correlation, partial
from ds2.curation.rerate import plan_rerating
from ds2.rating.prices import estimate_tokens, read_prices
from ds2.rating.prompt import PromptBuilder

SIZES, SEEDS, AT = (500, 1000, 2000, 5000, 10_000), 5, 2000


def prepared(quick: bool, embedder: bool, some: bool) -> tuple:
    rows, vectors = alpaca(6000 if quick else 12_000 if some else None)
    texts = [{key: row[key] for key in ("instruction", "input", "output")} for row in rows]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds2.Ds2Warning)
        pool = ds2.read_pool(texts)
        made = ds2.embed(pool) if embedder else vectors[pool.positions].astype(np.float32)
    scores = np.array([[float(row[name]) for name in RATERS.values()] for row in rows])
    return pool, made, ds2.surface_features(pool), scores[pool.positions]


def curated(given: np.ndarray, graph: ds2.Neighbors, seed: int, **how: object) -> ds2.Curation:
    scores = given[:, 0] if given.shape[1] == 1 else given
    rated = np.flatnonzero(~np.isnan(given).all(axis=1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds2.Ds2Warning)
        near = graph if len(rated) == len(given) else ds2.find_neighbors(how["vectors"][rated])
        noise = ds2.estimate_transition(scores[rated], near, n_scores=6, rho=1.0, n_bootstrap=0)
        return ds2.curate(scores, graph, noise, seed=seed, **how)


def figures(values: np.ndarray, truth: np.ndarray, length: np.ndarray) -> dict:
    return {
        "Spearman": correlation(values, truth),
        "given length": partial(values, truth, length),
    }


def rated_in_part(
    scores: np.ndarray, held: int, raters: list[int], made: dict, *, rated: int, seed: int
) -> dict:
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(scores))[:rated]
    given = np.full((len(scores), len(raters)), np.nan)
    given[rows] = scores[rows][:, raters]
    start = time.perf_counter()
    found = curated(given, made["graph"], seed, vectors=made["vectors"], features=made["features"])
    seconds = time.perf_counter() - start
    fresh = np.isnan(given[:, 0])
    inside = float("nan")
    if found.scored is not None:
        # what the scored rows' ratings would be on the level scale, by those that are there
        centre, spread = scores[rows][:, raters].mean(axis=0), scores[rows][:, raters].std(axis=0)
        mean = ((scores[:, raters] - centre) / spread).mean(axis=1)
        order = np.argsort(mean[rows])
        would = np.interp(mean, mean[rows][order], np.sort(found.raw[rows]))
        inside = float((np.abs(found.scores - would) < 1.96 * found.se)[fresh].mean())
    top = np.argsort(-found.scores)[: len(scores) // 20]
    return {
        **figures(np.nan_to_num(found.scores), scores[:, held], made["length"]),
        "coverage": inside,
        "rated in top 5 %": float((~fresh)[top].mean() / (~fresh).mean()),
        "seconds": seconds,
    }


def mean_of(rows: list[dict]) -> dict:
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def parts(scores: np.ndarray, made: dict, quick: bool) -> list[dict]:
    found = []
    for held, name in enumerate(RATERS):
        others = [i for i in range(3) if i != held]
        everyone = ((scores - scores.mean(axis=0)) / scores.std(axis=0))[:, others].mean(axis=1)
        whole = figures(everyone, scores[:, held], made["length"])
        blank = dict.fromkeys(("coverage", "rated in top 5 %", "seconds"), float("nan"))
        found.append({"truth": name, "raters": "two", "rated": "all", **whole, **blank})
        for size in (AT,) if quick else SIZES:
            seeds = range(1 if quick or size != AT else SEEDS)
            plans = {"two": [(others, seed) for seed in seeds]}
            if size == AT:
                plans["one"] = [([rater], 0) for rater in (others[:1] if quick else others)]
            for label, plan in plans.items():
                rows = [
                    rated_in_part(scores, held, raters, made, rated=size, seed=seed)
                    for raters, seed in plan
                ]
                line = {"truth": name, "raters": label, "rated": f"{size:,}", **mean_of(rows)}
                print(line, file=sys.stderr, flush=True)
                found.append(line)
    return found


def usd_a_rating(pool: ds2.Pool) -> float:
    """By gpt-4o-mini's listed price: the prompts of 500 rows, and a reply of 35 tokens."""
    builder = PromptBuilder(ds2.Rubric.ds2(), "0" * 32, "structured")
    price = read_prices(None).price("gpt-4o-mini")
    tokens = [
        sum(estimate_tokens(turn["content"]) for turn in builder.build(pool[row].messages).messages)
        for row in np.linspace(0, len(pool) - 1, 500).astype(int).tolist()
    ]
    return float(price.input * np.mean(tokens) + price.output * 35) / 1e6


def picture(found: list[dict]) -> str:
    """Agreement with the rater held out against dollars, two raters on a part and on all rows."""
    two = [row for row in found if row["raters"] == "two"]
    usd = np.array(sorted({row["USD"] for row in two}))
    panels = []
    for truth in RATERS:
        rows = sorted((row for row in two if row["truth"] == truth), key=lambda row: row["USD"])
        part, whole = [row["Spearman"] for row in rows[:-1]], rows[-1]["Spearman"]
        curves = {
            "a part rated, the rest scored": [part] * 2,
            f"the mean of all ratings, {usd[-1]:.0f} USD": [[whole] * len(part)] * 2,
        }
        panels.append((f"{truth} as the truth", curves))
    return curve_picture(
        panels,
        x=np.log10(usd[:-1]),
        x_title="USD for the ratings of two raters",
        y_title="Spearman with the rater held out",
        x_tick=lambda tick: f"{10**tick:.2g}",
    )


def next_ratings(
    found: ds2.Curation, rated: np.ndarray, order: np.ndarray, *, active: bool
) -> np.ndarray:
    """500 rows that nobody has rated; the next at random, or 400 that `plan_rerating` takes."""
    rest = order[~np.isin(order, rated)]
    if not active:
        return rest[:500]
    noise = 1.0
    doubt = np.sqrt(np.maximum(found.se**2 - noise**2, (0.3 * found.se) ** 2))
    doubt[np.union1d(rated, rest[:100])] = 0.0
    size = len(order) // 20
    plan = plan_rerating(found.scores, doubt, size=size, budget=400, noise_se=noise)
    return np.union1d(rest[:100], plan.rows)


def asked_for(scores: np.ndarray, made: dict, quick: bool) -> list[dict]:
    """Two raters, GPT as truth: 1,000 random rows, then 500 more a round, asked for in two ways."""
    found = []
    n, rounds, seeds = len(scores), 2 if quick else 4, 1 if quick else 3
    more = {"vectors": made["vectors"], "features": made["features"]}
    for way in ("random", "active"):
        steps: list[list[dict]] = [[] for _ in range(rounds + 1)]
        for seed in range(seeds):
            order = np.random.default_rng(seed).permutation(n)
            rated = order[:1000]
            for step in steps:
                given = np.full((n, 2), np.nan)
                given[rated] = scores[rated][:, 1:]
                one = curated(given, made["graph"], seed, **more)
                top = np.argsort(-one.scores)[: n // 20]
                figure = figures(one.scores, scores[:, 0], made["length"])
                step.append({"mean of top 5 %": float(scores[top, 0].mean()), **figure})
                rated = np.union1d(rated, next_ratings(one, rated, order, active=way == "active"))
        for number, step in enumerate(steps):
            found.append({"way": way, "rated": 1000 + 500 * number, **mean_of(step)})
            print(found[-1], file=sys.stderr, flush=True)
    return found


def everyone_rated(scores: np.ndarray, made: dict) -> list[dict]:
    found = []
    for held, name in enumerate(RATERS):
        given = scores[:, [i for i in range(3) if i != held]]
        more = {"vectors": made["vectors"], "features": made["features"]}
        for method in ("raw", "soft", "scorer", "auto"):
            start = time.perf_counter()
            try:
                one = curated(
                    given,
                    made["graph"],
                    0,
                    method=method,
                    covariates={"length": made["length"]},
                    **(more if method in ("scorer", "auto") else {}),
                )
            except ds2.InputError:
                continue  # two raters who differ on the order of levels
            found.append(
                {
                    "truth": name,
                    "method": method,
                    "took": one.method,
                    **figures(one.scores, scores[:, held], made["length"]),
                    "seconds": time.perf_counter() - start,
                }
            )
            print(found[-1], file=sys.stderr, flush=True)
    return found


def main() -> None:
    quick, embedder = "--quick" in sys.argv, "--embedder" in sys.argv
    if quick and "--picture" in sys.argv:
        sys.exit("A picture needs every size: leave out --quick.")
    pool, vectors, features, scores = prepared(quick, embedder, "--active" in sys.argv)
    made = {
        "vectors": vectors,
        "features": features,
        "length": np.log1p(pool.lengths.astype(float)),
        "graph": ds2.find_neighbors(vectors, groups=None),
    }
    print(f"{len(pool):,} rows, {'the embedder of ds2' if embedder else 'MiniLM'}")
    whole, active = "--all" in sys.argv, "--active" in sys.argv
    if active:
        found = asked_for(scores, made, quick)
    else:
        found = everyone_rated(scores, made) if whole else parts(scores, made, quick)
    if not whole and not active:
        usd, n = usd_a_rating(pool), {"one": 1, "two": 2}
        for row in found:
            count = len(pool) if row["rated"] == "all" else int(row["rated"].replace(",", ""))
            row["USD"] = usd * count * n[row["raters"]]
        if "--picture" in sys.argv:
            path = Path(sys.argv[sys.argv.index("--picture") + 1])
            path.write_text(picture(found), encoding="utf-8")
    table(found)
    json_line("scorer", all=whole, active=active, embedder=embedder, rows=found)


if __name__ == "__main__":
    main()
