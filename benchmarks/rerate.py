"""Where the next rating helps: precision of the selected top M for each extra rating.

Three ways to spend extra ratings are compared: where they add most rows of the true top
(`plan_rerating`, in rounds of a tenth of the pool, each planned with what the last found), on rows
drawn at random, and once more on every row. What is selected is always the M highest posterior
means. "Saved" is the share of a full second rating of every row that the plan does without when it
has reached 98 % of what that full rating gains.

    simulated      20,000 rows, normal quality, one noisy rating each, the noise known; whole
                   scores 0 … 5 as well, whose ties and rounding break the model's assumptions
    Topical-Chat   360 replies, 4 dimensions × up to 7 prompts, each with some 20 ratings by one
                   LLM: one comes first, six more are to be had, the others' mean is the truth
    Alpaca         one published rater is the base, a second one rates more, the third is the
                   truth; all that is known of the noise comes from 1,000 rows that both have rated

    python benchmarks/rerate.py [--quick] [--picture docs/images/rerate.svg]
"""

import functools
import gzip
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from _common import alpaca_rows, data_file, json_line, table
from _curves import curve_picture

from ds2.curation.rerate import combine_ratings, normal_posterior, plan_rerating

#: Extra ratings over rows at which precision is read.
SPENT = np.round(np.arange(0, 1.01, 0.1), 2)


@dataclass
class Pool:
    """What is known of rows, and the ratings still to be had.

    ``more[:, j]`` is a row's j-th further rating, of noise sd ``noise``; ``good`` is what a row
    adds when it is selected: 1 for the true top, or its true score.
    """

    mean: np.ndarray
    error: np.ndarray
    more: np.ndarray
    noise: float
    good: np.ndarray
    size: int

    def __post_init__(self) -> None:
        self.used = np.zeros(len(self.mean), dtype=int)

    @property
    def n(self) -> int:
        """How many rows there are."""
        return len(self.mean)

    @property
    def left(self) -> np.ndarray:
        """Rows that still have a rating to be had."""
        return self.used < self.more.shape[1]

    def precision(self, tie: np.ndarray) -> float:
        """Mean good of the rows with the highest means, equals in random order."""
        return float(self.good[np.lexsort((tie, -self.mean))[: self.size]].mean())

    def rate(self, rows: np.ndarray) -> None:
        """Take over the next rating of some rows."""
        new = np.full(self.n, np.nan)
        new[rows] = self.more[rows, self.used[rows]]
        self.used[rows] += 1
        self.mean, self.error = combine_ratings(self.mean, self.error, new, noise_se=self.noise)


def spend(pool: Pool, choose: Callable, seed: int) -> list[float]:
    """Precision at each point of SPENT when ``choose`` says which rows to rate next."""
    rng = np.random.default_rng(seed)
    tie = rng.random(pool.n)
    pool = replace(pool)
    found = [pool.precision(tie)]
    for before, after in pairwise(SPENT):
        pool.rate(choose(pool, round(after * pool.n) - round(before * pool.n), rng))
        found.append(pool.precision(tie))
    return found


def by_value(pool: Pool, budget: int, rng: np.random.Generator) -> np.ndarray:
    known = np.where(pool.left, pool.error, 0.0)  # where no rating is to be had, none is planned
    seed = int(rng.integers(2**31))
    plan = plan_rerating(
        pool.mean, known, size=pool.size, budget=budget, noise_se=pool.noise, seed=seed
    )
    return plan.rows


def near_the_cut(pool: Pool, budget: int, rng: np.random.Generator) -> np.ndarray:
    distance = np.abs(pool.mean - np.sort(pool.mean)[-pool.size])
    order = np.lexsort((rng.random(pool.n), distance))
    return order[pool.left[order]][:budget]


def at_random(pool: Pool, budget: int, rng: np.random.Generator) -> np.ndarray:
    """Without replacement: once all is spent, every row has been rated once more."""
    rows = rng.permutation(np.flatnonzero(pool.left))
    return rows[np.argsort(pool.used[rows], kind="stable")][:budget]


WAYS = {"planned": by_value, "nearest to the cut": near_the_cut, "at random": at_random}


def saved(curves: dict[str, np.ndarray]) -> float | None:
    """Share of a second rating of every row that is saved at 98 % of what this gains.

    None where rating every row twice gains less than 1 %, so that there is nothing to save.
    """
    first, last = curves["at random"][[0, -1]]
    if last < 1.01 * first:
        return None
    target = first + 0.98 * (last - first)
    planned = np.maximum.accumulate(curves["planned"])
    if planned.max() < target:
        return 0.0
    at = int(np.argmax(planned >= target))
    if at == 0:
        return 1.0
    step = (target - planned[at - 1]) / (planned[at] - planned[at - 1])
    return float(1 - (SPENT[at - 1] + step * (SPENT[at] - SPENT[at - 1])))


def simulated(seed: int, *, noise: float, whole: bool, share: float, n: int = 20_000) -> Pool:
    rng = np.random.default_rng(seed)
    true = rng.normal(2.5, 1.0, n)

    def rate(columns: int) -> np.ndarray:
        ratings = true[:, None] + noise * rng.normal(size=(n, columns))
        return np.clip(np.rint(ratings), 0, 5) if whole else ratings

    size = round(share * n)
    sd = float(np.hypot(noise, np.sqrt(1 / 12))) if whole else noise
    mean, error = normal_posterior(rate(1)[:, 0], noise_se=sd)
    top = true >= np.sort(true)[-size]
    return Pool(mean, error, rate(4), sd, top.astype(float), size)


def topical_chat(seed: int, share: float = 0.2) -> Pool:
    """One rating first, up to six more to be asked for; the mean of all others is the truth."""
    rng = np.random.default_rng(seed)
    tables = topical_ratings()
    dealt = rng.permuted(tables[seed % len(tables)], axis=1)
    dealt = np.take_along_axis(dealt, np.argsort(np.isnan(dealt), axis=1, kind="stable"), axis=1)
    truth = np.nanmean(dealt[:, 7:], axis=1)
    noise = float(np.sqrt(np.mean(np.var(dealt[:, :7], axis=1, ddof=1))))
    mean, error = normal_posterior(dealt[:, 0], noise_se=noise)
    size = round(share * len(dealt))
    # truths are tied at the cut: a row counts for the share of its ties that are in the top
    _, place, counts = np.unique(-truth, return_inverse=True, return_counts=True)
    before = np.cumsum(counts) - counts
    good = np.clip((size - before) / counts, 0, 1)[place]
    return Pool(mean, error, dealt[:, 1:7], noise, good, size)


@functools.cache
def topical_ratings() -> list[np.ndarray]:
    """(replies, ratings) for each dimension and prompt; replies with at least 12 ratings."""
    with gzip.open(data_file("topicalchat_llm.jsonl.gz"), "rt", encoding="utf-8") as lines:
        rows = [json.loads(line)["llm"] for line in lines]
    tables = []
    for dimension, prompts in rows[0].items():
        for prompt in prompts:
            lists = [row[dimension].get(prompt, []) for row in rows]
            width = max(len(one) for one in lists)
            padded = np.array([one + [None] * (width - len(one)) for one in lists], dtype=float)
            whole = padded[(~np.isnan(padded)).sum(axis=1) >= 12]
            if len(whole) >= 300:
                tables.append(whole)
    return tables


RATERS = ("score_gpt_4o_mini", "score_llama_3_1_8b", "score_mistral_7b_v0_3")


def alpaca(scores: np.ndarray, raters: tuple[int, int, int], seed: int, size: int) -> Pool:
    """Standardised scores; both raters equally reliable by assumption, as the pilot shows."""
    base, more, truth = raters
    rng = np.random.default_rng(seed)
    z = (scores - scores.mean(axis=0)) / scores.std(axis=0)
    pilot = rng.choice(len(z), 1000, replace=False)
    r = max(float(np.corrcoef(z[pilot, base], z[pilot, more])[0, 1]), 0.05)
    noise = float(np.sqrt((1 - r) / r))  # in units of the true scores' spread
    mean, error = normal_posterior(z[:, base] / np.sqrt(r), noise_se=noise)
    return Pool(mean, error, z[:, [more]] / np.sqrt(r), noise, scores[:, truth], size)


def study(name: str, make: Callable[[int], Pool], n_seeds: int) -> dict:
    curves: dict[str, list] = {way: [] for way in WAYS}
    for seed in range(n_seeds):
        pool = make(seed)
        for way, choose in WAYS.items():
            curves[way].append(spend(pool, choose, seed))
    means = {way: np.mean(found, axis=0) for way, found in curves.items()}
    row = {
        "case": name,
        "rows": pool.n,
        "M": pool.size,
        "one rating": means["planned"][0],
        "all twice": means["at random"][-1],
        **{f"{way}, +10 %": found[1] for way, found in means.items()},
        **{f"{way}, +30 %": found[3] for way, found in means.items()},
        "planned, +100 %": means["planned"][-1],
        "saved": saved(means),
    }
    return {"row": row, "curves": curves}


def main() -> None:
    quick = "--quick" in sys.argv
    seeds = 2 if quick else 10
    cases: dict[str, Callable[[int], Pool]] = {}
    for noise, whole, share in (
        (0.5, False, 0.05),
        (1.0, False, 0.05),
        (1.0, False, 0.2),
        (2.0, False, 0.05),
        (0.7, True, 0.05),
    ):
        label = f"simulated, noise {noise:g}{', whole' if whole else ''}, top {share:.0%}"
        cases[label] = lambda seed, noise=noise, whole=whole, share=share: simulated(
            seed, noise=noise, whole=whole, share=share, n=4000 if quick else 20_000
        )
    found = {name: study(name, make, seeds) for name, make in cases.items()}
    table(one["row"] for one in found.values())
    chat = study("Topical-Chat, top 20 %", topical_chat, 28 * (1 if quick else 4))
    table([chat["row"]])
    rows = alpaca_rows()
    scores = np.array([[float(row[name]) for name in RATERS] for row in rows])
    names = ("GPT", "Llama", "Mistral")
    held = []
    for three in ((1, 2, 0), (2, 1, 0), (0, 1, 2), (0, 2, 1)):
        base, more, truth = (names[place] for place in three)
        label = f"Alpaca, {base} + {more}: mean {truth} of the top 1,700"
        held.append(
            study(
                label,
                lambda seed, three=three: alpaca(scores, three, seed, 1700),
                1 if quick else 3,
            )
        )
    table(one["row"] for one in held)
    if "--picture" in sys.argv:
        path = Path(sys.argv[sys.argv.index("--picture") + 1])
        picked = "simulated, noise 1, top 5%"
        path.write_text(picture(found[picked]["curves"], chat["curves"]), encoding="utf-8")
    everything = [*found.values(), chat, *held]
    json_line("rerate", spent=SPENT.tolist(), cases=[one["row"] for one in everything])


def picture(one: dict, two: dict) -> str:
    return curve_picture(
        [("Simulated: 20,000 rows, top 5 %", one), ("Topical-Chat: 360 rows, top 20 %", two)],
        x=SPENT,
        x_title="extra ratings, as a share of one for every row",
        y_title="share of the true top found",
    )


if __name__ == "__main__":
    main()
