"""Searches for harm: pools drawn at random from a wide generator, `auto` held against raw.

Every situation is a seed. It has 300 to 20,000 rows, 2 to 10 levels, 1 to 9 raters; neighbours that
share quality, style, both or nothing; raters with thresholds, noise, compressions, drifts, tastes
for length, sources and styles, alone or together; mirror images and copies; unanimous clusters and
levels that nobody uses; ratings missing at random, in blocks, or nearly all; repeats; and trusted
scores, honest, careless, reversed or none.

Regret is raw less auto, in Spearman with the truth and in the mean truth (in standard deviations)
of the top 5 %. Gain taken is what auto gains, over what the best method would have gained, where
that is 0.03 or more. "Named" looks for the sentence about what raters share. `--seed` is the first
situation; each is drawn and judged alone, so any of them can be looked at again:

    python benchmarks/harm_search.py [--situations 2000] [--seed 0] [--most 20000] [--quick]
"""

import argparse
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from _common import json_line, table
from scipy.stats import norm, rankdata

import ds2
from ds2.noise.single import Wanted, estimate_single

METHODS = ("ds2", "soft", "fused", "fused+neighbors")
#: Share of the pool that a selection takes, and the gain that is worth taking.
TOP, WORTH = 0.05, 0.03


@dataclass
class Situation:
    """A pool, its raters and its trusted scores, with what is true of them."""

    seed: int
    z: np.ndarray
    vectors: np.ndarray
    scores: np.ndarray
    repeats: np.ndarray | None
    n_scores: int
    covariates: dict[str, np.ndarray]
    gold: np.ndarray | None = None
    facts: dict = field(default_factory=dict)
    without_scorer: bool = False


def draw(seed: int, most: int = 20_000) -> Situation:
    """The situation of a seed."""
    rng = np.random.default_rng([seed, 2026])
    n = int(np.exp(rng.uniform(np.log(300), np.log(most))))
    s = int(rng.choice([2, 3, 4, 5, 6, 6, 10]))
    r = int(rng.choice(np.arange(1, 10), p=[0.18, 0.24, 0.2, 0.12, 0.1, 0.06, 0.04, 0.03, 0.03]))
    size = int(np.exp(rng.uniform(np.log(3), np.log(80))))
    cluster = rng.permutation(n) // size
    centres = rng.standard_normal((cluster.max() + 1, 24))
    vectors = centres[cluster] + rng.choice([0.3, 0.7, 1.5]) * rng.standard_normal((n, 24))
    near = rng.standard_normal((cluster.max() + 1, r + 3))[cluster]  # what neighbours share
    rho = float(rng.choice([0.0, rng.uniform(0, 0.4), rng.uniform(0.4, 1)]))
    z = np.sqrt(rho) * near[:, 0] + np.sqrt(1 - rho) * rng.standard_normal(n)
    length = np.sqrt(0.4) * near[:, 1] + np.sqrt(0.6) * rng.standard_normal(n)
    source = rng.choice(int(rng.integers(2, 7)), size=n)
    facts: dict = {"n": n, "raters": r, "levels": s, "rho": round(rho, 2)}
    if rng.random() < 0.12:  # quality does go with length
        z = 0.85 * z + 0.53 * length
        facts["length is quality"] = True
    said = [_opinion(z, near[:, 3 + m], length, rng, facts) for m in range(r)]
    _share(said, near[:, 2], length, source, rng, facts)
    scores = _levels(said, z, s, rng, facts)
    scores = _copies(scores, s, rng, facts)
    scores, repeats = _holes(scores, said, cluster, rng, facts)
    pool = Situation(
        seed, z, vectors.astype(np.float32), scores, repeats, s,
        {"length": length, "source": np.array([f"source {c}" for c in source])}, facts=facts,
    )  # fmt: skip
    _trust(pool, rng)
    return pool


def _opinion(
    z: np.ndarray, own: np.ndarray, length: np.ndarray, rng: np.random.Generator, facts: dict
) -> np.ndarray:
    """What a rater feels about each row."""
    sd = float(np.exp(rng.uniform(np.log(0.3), np.log(3))))
    noise = rng.standard_normal(len(z))
    kind = rng.choice(
        ["plain", "heavy", "lazy", "uneven", "drift", "topical", "bend", "noise", "length"],
        p=[0.4, 0.1, 0.08, 0.1, 0.08, 0.1, 0.06, 0.03, 0.05],
    )
    facts.setdefault("kinds", []).append(str(kind))
    value = z + sd * noise
    if kind == "heavy":
        value = z + sd * rng.standard_t(1.5, len(z)) / 2
    elif kind == "lazy":
        value = np.where(rng.random(len(z)) < 0.5, 0.2, value)
    elif kind == "uneven":
        value = z + sd * noise * np.exp(0.7 * rng.standard_normal(len(z)))
    elif kind == "drift":
        value = value + rng.uniform(0.5, 2) * np.linspace(-1, 1, len(z))
    elif kind == "topical":
        value = value + rng.uniform(0.5, 2) * own
    elif kind == "bend":
        value = np.where(z > 1, 1 + 0.2 * (z - 1), z) + sd * noise
    elif kind == "noise":
        value = noise
    elif kind == "length":
        value = value + rng.uniform(0.4, 1.5) * length
    return value


def _share(  # noqa: PLR0917
    said: list[np.ndarray], style: np.ndarray, length: np.ndarray, source: np.ndarray,
    rng: np.random.Generator, facts: dict,
) -> None:  # fmt: skip
    """A bias that raters have in common."""
    kind = rng.choice(
        ["none", "length", "source", "style", "hidden"], p=[0.6, 0.14, 0.1, 0.08, 0.08]
    )
    facts["shared"] = str(kind)
    if kind == "none":
        return
    levels = rng.standard_normal(source.max() + 1)
    what = {
        "length": length,
        "source": ((levels - levels.mean()) / levels.std())[source],
        "style": style,
        "hidden": rng.standard_normal(len(length)),
    }[str(kind)]
    size = float(rng.uniform(0.4, 1.5))
    for m in range(len(said)):
        said[m] = said[m] + size * what


def _levels(
    said: list[np.ndarray], z: np.ndarray, s: int, rng: np.random.Generator, facts: dict
) -> np.ndarray:
    """Each opinion cut into levels by thresholds of the rater's own."""
    top = np.zeros(len(z), dtype=int)
    if rng.random() < 0.12:  # rows that every rater agrees on
        side = int(rng.choice([-1, 1, 2]))
        chosen = rng.random(len(z)) < rng.uniform(0.01, 0.08)
        ends = rng.choice([-1, 1], size=len(z)) if side == 2 else np.full(len(z), side)
        top = np.where(chosen, ends, 0)
        z[chosen] = 3.0 * ends[chosen]
        facts["unanimous"] = side
    unused = int(rng.integers(1, min(s - 1, 4))) if s > 2 and rng.random() < 0.2 else 0
    shares = rng.dirichlet(np.full(s, 6.0))
    idle = rng.choice(s, size=unused, replace=False)
    facts["unused"] = unused
    columns = []
    for value in said:
        own = 0.5 * shares + 0.5 * rng.dirichlet(np.full(s, rng.choice([1.0, 4.0])))
        own[idle] = rng.choice([0.0, 0.0005])
        if rng.random() < 0.06:  # nearly everything in one level
            own = 0.1 * own + 0.9 * np.eye(s)[rng.integers(s)]
        elif s > 3 and rng.random() < 0.1:  # only some levels are used at all
            own[rng.choice(s, size=s - 2, replace=False)] = 0
        if own.sum() < 1e-9:
            own[-1] = 1.0
        cuts = np.quantile(value, np.clip(np.cumsum(own)[:-1] / own.sum(), 0, 1))
        level = np.searchsorted(cuts, value, side="right")
        sure = rng.random(len(z)) < rng.uniform(0.5, 1)
        used = np.flatnonzero(own >= min(0.002, own.max()))
        level = np.where((top > 0) & sure, used[-1], np.where((top < 0) & sure, used[0], level))
        columns.append(np.clip(level, 0, s - 1).astype(float))
    return np.stack(columns, axis=1)


def _copies(scores: np.ndarray, s: int, rng: np.random.Generator, facts: dict) -> np.ndarray:
    """Mirror images, and raters that are others once more."""
    r = scores.shape[1]
    mirrored = rng.random(r) < 0.03
    scores[:, mirrored] = s - 1 - scores[:, mirrored]
    facts["mirrored"] = int(mirrored.sum())
    facts["copies"] = 0
    if r > 1 and rng.random() < 0.08:
        a, b = rng.choice(r, size=2, replace=False)
        copy = scores[:, a].copy()
        if rng.random() < 0.3:
            copy = s - 1 - copy
            facts["mirrored"] += 1
        elif rng.random() < 0.5:
            changed = rng.random(len(copy)) < 0.01
            copy[changed] = rng.integers(s, size=int(changed.sum()))
        scores[:, b] = copy
        facts["copies"] = 1
    return scores


def _holes(
    scores: np.ndarray, said: list[np.ndarray], cluster: np.ndarray,
    rng: np.random.Generator, facts: dict,
) -> tuple[np.ndarray, np.ndarray | None]:  # fmt: skip
    """Missing ratings, and second ratings of some rows."""
    n, r = scores.shape
    kind = rng.choice(["none", "random", "blocks", "few"], p=[0.6, 0.2, 0.12, 0.08])
    facts["missing"] = str(kind)
    gone = np.zeros(scores.shape, dtype=bool)
    if kind == "random":
        gone = rng.random(scores.shape) < rng.uniform(0.05, 0.7)
    elif kind == "blocks":
        gone = rng.random((cluster.max() + 1, r))[cluster] < rng.uniform(0.1, 0.6)
    elif kind == "few" and r > 1:
        gone[:, rng.integers(r)] = rng.random(n) < max(1 - 60 / n, 0.5)
    gone[:, ~(~gone).any(axis=0)] = False
    repeats = None
    if rng.random() < 0.15:
        repeats = np.full(scores.shape, np.nan)
        again = rng.random(n) < 0.1
        for m in range(r):
            order = np.argsort(np.argsort(said[m] + 0.3 * said[m].std() * rng.standard_normal(n)))
            repeats[again, m] = np.sort(scores[:, m])[order][again]
        repeats[gone] = np.nan
        facts["repeats"] = True
    return np.where(gone, np.nan, scores), repeats


def _trust(pool: Situation, rng: np.random.Generator) -> None:
    """Trusted scores of some rated rows, on the level scale."""
    kind = rng.choice(["none", "honest", "careless", "reversed"], p=[0.5, 0.38, 0.08, 0.04])
    pool.facts["gold"] = str(kind)
    if kind == "none":
        return
    n, s = len(pool.z), pool.n_scores
    rated = rng.permutation(np.flatnonzero(~np.isnan(pool.scores).all(axis=1)))
    size = min(int(np.exp(rng.uniform(np.log(20), np.log(400)))), len(rated) // 2)
    rows = rated[:size]
    person = pool.z + rng.uniform(0, 0.4) * rng.standard_normal(n)
    level = np.searchsorted(norm.ppf(np.arange(1, s) / s), person).astype(float)
    if kind == "careless":
        level = rng.integers(s, size=n).astype(float)
    elif kind == "reversed":
        level = s - 1 - level
    pool.gold = np.full(n, np.nan)
    pool.gold[rows] = level[rows]
    pool.facts["n_gold"] = size


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    if np.ptp(a) == 0:
        return 0.0
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])


def top_truth(scores: np.ndarray, truth: np.ndarray) -> float:
    """Mean truth of the top 5 %, tied rows sharing what places are left."""
    wanted = max(round(TOP * len(scores)), 1)
    order = np.sort(scores)[::-1]
    above = scores > order[wanted - 1]
    tied = scores == order[wanted - 1]
    rest = wanted - above.sum()
    return float((truth[above].sum() + rest * truth[tied].mean()) / wanted / truth.std())


def judged(task: tuple[int, int, bool]) -> dict:
    """One row of figures for a situation."""
    seed, most, without = task
    pool = draw(seed, most)
    pool.without_scorer = without
    row = {"seed": seed, **pool.facts}
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds2.Ds2Warning)
        try:
            row |= _judged(pool)
        except ds2.InputError as error:
            row["stopped"] = str(error)
    row["seconds"] = time.perf_counter() - start
    return row


def _judged(pool: Situation) -> dict:
    one = pool.scores.shape[1] == 1
    neighbors = ds2.find_neighbors(pool.vectors)
    scores = pool.scores[:, 0] if one else pool.scores
    noise = _noise(pool, neighbors)
    known: dict = {"gold": pool.gold, "repeats": None}
    if pool.repeats is not None:
        known["repeats"] = pool.repeats[:, 0] if one else pool.repeats

    def run(method: str, **more: object) -> ds2.Curation:
        return ds2.curate(scores, neighbors, noise, method=method, **known, **more)

    scored = {} if pool.without_scorer else _for_a_scorer(pool)
    auto = run("auto", covariates=pool.covariates, **scored)
    rated = ~np.isnan(auto.scores)
    fresh = rated if pool.gold is None else rated & np.isnan(pool.gold)
    truth = pool.z[fresh]
    found = {"raw": run("raw"), "auto": auto}
    for method in METHODS:
        try:
            found[method] = run(method)
        except ds2.InputError:
            continue
    figures: dict = {"took": auto.method, "said": list(auto.warnings)}
    for name, one_of in found.items():
        figures[name] = spearman(one_of.scores[fresh], truth)
        figures[f"{name} top"] = top_truth(one_of.scores[fresh], truth)
    figures["best"] = max(figures[name] for name in ("raw", *METHODS) if name in figures)
    figures["regret"] = figures["raw"] - figures["auto"]
    figures["regret top"] = figures["raw top"] - figures["auto top"]
    figures["named"] = any(
        said.startswith("The scores go with") or "share errors that" in said
        for said in auto.warnings
    )
    figures["shows"] = _shows(pool)
    return figures


def _for_a_scorer(pool: Situation) -> dict:
    """Vectors and figures, what raters are swayed by among them, as in a run."""
    columns = [
        column if column.dtype.kind == "f" else column == label
        for column in pool.covariates.values()
        for label in (set(column) if column.dtype.kind != "f" else [None])
    ]
    return {
        "vectors": pool.vectors,
        "features": np.column_stack(columns).astype(float) if columns else None,
        "unrated": "leave",
    }


def _noise(pool: Situation, neighbors: ds2.Neighbors) -> object:
    """An estimate a rater, without its range, which curation does not read and which takes longest.

    Of all together where a rater has too few rated neighbours for one of its own.
    """
    # an ordinal prior: ten levels take thousands of steps without
    wanted = Wanted(pool.n_scores, "auto", 20.0, 0, 1, 0)
    try:
        return [
            estimate_single(one, neighbors, wanted, rho=1.0, ranged=False).estimate
            for one in pool.scores.T
        ]
    except ds2.InputError:
        one = pool.scores.shape[1] == 1
        scores = pool.scores[:, 0] if one else pool.scores
        return ds2.estimate_transition(
            scores, neighbors, n_scores=pool.n_scores, n_bootstrap=0, ordinal_prior=20.0
        )


def _shows(pool: Situation) -> str:
    """What of a shared bias is there to be seen: "yes", "no", or "hardly" (not counted)."""
    facts = pool.facts
    if "length is quality" in facts:
        return "hardly"
    raters = [s for s in pool.scores.T if np.nanstd(s) > 0]
    if facts["shared"] == "none":
        tastes = "length" in facts["kinds"] or facts["copies"] or facts["mirrored"]
        return "hardly" if tastes else "no"
    if facts["shared"] in ("length", "source"):
        goes = [_association(column, pool.covariates[facts["shared"]]) for column in raters]
        strong = sum(value > 0.15 and value**2 * n > 12 for value, n in goes)
        return "yes" if strong == len(goes) and facts["mirrored"] == 0 else "hardly"
    if facts["gold"] != "honest" or len(raters) < 2 or facts["mirrored"] or facts["copies"]:
        return "hardly"
    rows = np.flatnonzero(~np.isnan(pool.gold))
    seen, n = [], []
    for a in range(len(raters)):
        for b in range(a):
            both = rows[~np.isnan(raters[a][rows] + raters[b][rows])]
            everyone = ~np.isnan(raters[a] + raters[b])
            if everyone.sum() < 30:
                return "hardly"
            rest = [
                one[everyone]
                - np.polyval(np.polyfit(pool.z[everyone], one[everyone], 3), pool.z[everyone])
                for one in (raters[a], raters[b])
            ]
            seen.append(np.corrcoef(rest)[0, 1])
            n.append(len(both))
    mean = float(np.mean(seen))
    return "yes" if mean > 0.2 and mean**2 * float(np.mean(n)) > 16 else "hardly"


def _association(column: np.ndarray, covariate: np.ndarray) -> tuple[float, int]:
    known = ~np.isnan(column)
    if covariate.dtype.kind == "f":
        return abs(spearman(column[known], covariate[known])), int(known.sum())
    ranks = rankdata(column[known])
    means = {c: ranks[covariate[known] == c].mean() for c in set(covariate[known])}
    fitted = np.array([means[c] for c in covariate[known]])
    return float(fitted.std() / ranks.std()), int(known.sum())


def independent(row: dict) -> bool:
    """Whether errors are independent given the truth: no two raters have one taste or drift."""
    alike = max(row["kinds"].count(kind) for kind in ("length", "drift"))
    return row["shared"] == "none" and not row["copies"] and alike < 2


def classes(rows: list[dict]) -> dict[str, list[dict]]:
    ran = [row for row in rows if "stopped" not in row]
    return {
        "all": ran,
        "independent or honest gold": [
            row for row in ran if independent(row) or row["gold"] == "honest"
        ],
        "one rater": [row for row in ran if row["raters"] == 1],
        "gain to be had": [
            row
            for row in ran
            if row["best"] - row["raw"] >= WORTH
            and ((independent(row) and row["raters"] > 1) or row["gold"] == "honest")
        ],
        "shared bias": [row for row in ran if row["shared"] != "none"],
    }


def summary(name: str, rows: list[dict]) -> dict:
    regret = np.array([row["regret"] for row in rows])
    large = np.array([row["regret"] for row in rows if row["n"] >= 1000])
    top = np.array([row["regret top"] for row in rows])
    hope = np.array([max(row["best"] - row["raw"], 0.0) for row in rows])
    return {
        "situations": name,
        "n": len(rows),
        "mean regret": float(regret.mean()) if len(rows) else float("nan"),
        "worse by > 0.02": float((regret > 0.02).mean()) if len(rows) else float("nan"),
        "n > 0.05 (1,000 rows)": int((large > 0.05).sum()),
        "mean regret, top 5 %": float(top.mean()) if len(rows) else float("nan"),
        "gain taken": float(-regret.sum() / hope.sum()) if hope.sum() > 0 else float("nan"),
        "not raw": float(np.mean([row["took"] != "raw" for row in rows])) if rows else float("nan"),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="120 situations of at most 3,000 rows")
    parser.add_argument("--situations", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="of the first situation")
    parser.add_argument("--most", type=int, default=20_000, help="rows at most")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--without-scorer", action="store_true", help="auto has no vectors")
    asked = parser.parse_args()
    count, most = (120, 3000) if asked.quick else (asked.situations, asked.most)
    seeds = range(asked.seed, asked.seed + count)
    tasks = [(seed, most, asked.without_scorer) for seed in seeds]
    start = time.perf_counter()
    with ProcessPoolExecutor(asked.processes) as processes:
        rows = list(processes.map(judged, tasks, chunksize=2))
    groups = classes(rows)
    figures = [summary(name, group) for name, group in groups.items()]
    table(figures)
    seen = {
        answer: [row["named"] for row in groups["all"] if row["shows"] == answer]
        for answer in ("yes", "no")
    }
    named = {key: float(np.mean(value)) if value else float("nan") for key, value in seen.items()}
    print(f"\nshared bias to be seen, named: {named['yes']:.3f} of {len(seen['yes'])}")
    print(f"nothing shared, named:         {named['no']:.3f} of {len(seen['no'])}")
    stopped = [row for row in rows if "stopped" in row]
    print(f"stopped: {len(stopped)}", *sorted({row["stopped"][:90] for row in stopped}), sep="\n  ")
    print("\nThe ten worst:")
    worst = sorted(groups["independent or honest gold"], key=lambda row: -row["regret"])[:10]
    keys = ("seed", "n", "raters", "levels", "rho", "shared", "gold", "missing", "took")
    table([{key: row[key] for key in (*keys, "raw", "auto", "best", "regret")} for row in worst])
    print(f"{time.perf_counter() - start:.0f} s")
    json_line(
        "harm_search",
        seed=asked.seed,
        named_where_seen=named["yes"],
        named_elsewhere=named["no"],
        groups=figures,
        worst=[row["seed"] for row in worst],
    )


if __name__ == "__main__":
    main()
