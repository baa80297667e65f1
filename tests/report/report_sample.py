"""A small simulated pool taken through every stage."""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ds2.curation import Curation, curate
from ds2.errors import Ds2Warning
from ds2.neighbors import Neighbors, find_neighbors
from ds2.noise import SimulatedPool, TransitionEstimate, estimate_transition, simulate
from ds2.pool import Pool, find_duplicates, read_pool
from ds2.rating import Ratings, import_ratings
from ds2.report import Page, Results, run_report
from ds2.selection import Selection, long_tail_scores, select

SOURCES = ("flan", "dolly", "oasst")
HOSTILE = (
    "<script>alert(1)</script>",
    "{{7*7}} {% raw %} ${7*7}",
    "</style></title></textarea><h1>owned</h1>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1)) ![x](http://evil.example/x.png) <https://evil.example>",
    '"><svg onload=alert(1)>',
    "'; background:url(http://evil.example/c); '",
    "W" * 5000,
    "\u202eevil\u202c שלום עולם \u2066x",
    "👩‍👩‍👧‍👦 🇪🇺 e\u0301",
    "null \x00 bell \x07 escape \x1b[31m",
    "| a | b |\n| --- | --- |\n# heading\n```\nfence\n~~~~\n- item\n---\n<b>",
    "&lt;b&gt; &amp;#60;",
)


@dataclass(frozen=True)
class Stages:
    """What the stages of a small run left."""

    pool: Pool
    ratings: Ratings
    neighbors: Neighbors
    noise: TransitionEstimate
    curation: Curation
    tail: np.ndarray
    selection: Selection
    simulated: SimulatedPool

    def results(self, **options: object) -> Results:
        return Results(
            pool=self.pool,
            ratings=self.ratings,
            neighbors=self.neighbors,
            noise=self.noise,
            curation=self.curation,
            tail=self.tail,
            selection=self.selection,
            **options,
        )

    def page(self, **options: object) -> Page:
        return run_report(self.results(**options))


def write_rows(path: Path, texts: list[str], scores: np.ndarray, **fields: list[object]) -> None:
    rows = []
    for row, text in enumerate(texts):
        score = None if np.isnan(scores[row]) else int(scores[row])
        more = {name: values[row] for name, values in fields.items()}
        rows.append(
            json.dumps({"prompt": text, "response": f"answer {row}", "score": score, **more})
        )
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def build_stages(path: Path, n: int = 400) -> Stages:
    simulated = simulate(n, transition=0.7 * np.eye(6) + 0.05, prior=np.full(6, 1 / 6), seed=3)
    scores = simulated.scores.copy()
    scores[5:10] = np.nan
    texts = [f"question {row} " * (1 + row % 7) for row in range(n)]
    texts[21] = texts[22] = texts[20]
    answers = [f"answer {row}" for row in range(n)]
    answers[21] = answers[22] = answers[20]
    write_rows(
        path,
        texts,
        scores,
        response=answers,
        id=[f"id-{row}" for row in range(n)],
        source=[SOURCES[row % 3] for row in range(n)],
    )
    pool = read_pool(path)
    with warnings.catch_warnings():  # what other stages say of this sample is not tested here
        warnings.simplefilter("ignore", Ds2Warning)
        ratings = import_ratings(pool, column="score", scale="levels:6", rater="the rater")
        neighbors = find_neighbors(simulated.vectors, groups=find_duplicates(pool))
        noise = estimate_transition(ratings.scores(), neighbors, n_scores=6, n_bootstrap=20)
        curation = curate(ratings.scores(), neighbors, noise, method="ds2")
    tail = long_tail_scores(neighbors)
    selection = select(curation.scores, tail, size=0.1, neighbors=neighbors)
    return Stages(pool, ratings, neighbors, noise, curation, tail, selection, simulated)
