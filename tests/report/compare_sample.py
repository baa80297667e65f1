"""A comparison written by hand, with texts as given."""

from collections.abc import Mapping, Sequence

import numpy as np

from ds2.measures import Interval
from ds2.pool import Pool
from ds2.report import Entry, Judge, Judged, Layout, MethodsCompared, pick
from ds2.selection import (
    AgainstRandom,
    ComparedSelection,
    Comparison,
    FrontierCurve,
    FrontierPoint,
)

REDUNDANCY = {"ds2": 0.3, "random": 0.2, "length": 0.1}
ROWS = {"ds2": np.arange(40), "random": np.arange(30, 70), "length": np.arange(200, 240)}


def against(value: float, half: float | None = 0.1, n: int = 40) -> AgainstRandom:
    low, high = (np.nan, np.nan) if half is None else (value - half, value + half)
    return AgainstRandom(2.0 + value, 2.0, value, low, high, np.zeros(1), 0.99, n, 300, False)


def judged(value: float, half: float | None = 0.1, n: int = 40) -> Judged:
    same = against(value / 2, half, n)
    return Judged(against(value, half, n), same, same)


def judge(
    kind: str, name: str, pairs: Mapping[str, Interval] | None = None, **methods: Judged
) -> Judge:
    return Judge(name, kind, 300, methods, pairs or {}, REDUNDANCY)


def comparison(
    pool: Pool, *judges: Judge, texts: Sequence[str] = ("text", "more")
) -> MethodsCompared:
    """Three methods at 40 rows of a pool of 400."""
    sources = {text[:80]: 1 / len(texts) for text in texts}
    parts = [
        ComparedSelection(
            name=name,
            n=40,
            means={"raw": 3.1, "curated": 3.2},
            tail=0.2,
            coverage=0.4,
            redundancy=REDUNDANCY[name],
            nearest=0.3,
            length=120.4,
            sources=sources,
        )
        for name in ROWS
    ]
    overlap = np.full((3, 3), 0.25)
    np.fill_diagonal(overlap, 1.0)
    entries = {
        name: Entry(
            rows=rows,
            n_gold=0,
            tokens=5000,
            seconds_s=0.01,
            kept_seed=1.0,
            kept_rater=None,
            n_only=2,
            kept=0.5,
            only=tuple(pick(pool, int(rows[at]), at + 1, texts[at]) for at in (0, 1)),
        )
        for name, rows in ROWS.items()
    }
    rng = np.random.default_rng(0)
    return MethodsCompared(
        title=texts[0],
        pool=pool,
        own="ds2",
        curation="soft",
        n_scores=6,
        tokenizer="characters",
        n_draws=100,
        found=Comparison(tuple(parts), overlap, overlap, 0.3, 400, 400),
        entries=entries,
        judges=judges,
        left_out={"rds": texts[-1]},
        notes=tuple(texts[:1]),
        layout=Layout(rng.standard_normal((400, 2)).astype(np.float32), "PCA", 0.3),
        order=rng.permutation(400),
        dial=FrontierCurve(
            40,
            {1.0: FrontierPoint(0.9, 0.3, 0.1), 0.9: FrontierPoint(0.8, 0.5, 0.1)},
            {},
            FrontierPoint(0.0, 0.5, 0.2),
        ),
    )
