"""A comparison written by hand, with texts as given."""

from collections.abc import Sequence

import numpy as np

from ds2.report import (
    CompareNumbers,
    Estimate,
    Judged,
    JudgeNumbers,
    LeftOut,
    MethodNumbers,
    Pick,
    Share,
)
from ds2.report.numbers import Excerpt

NAMES = ("ds2", "random", "length")


def estimate(value: float, half: float | None = 0.1) -> Estimate:
    ends = (None, None) if half is None else (value - half, value + half)
    return Estimate(value, *ends)


def judged(method: str, value: float, half: float | None = 0.1, n: int = 40) -> Judged:
    same = estimate(value / 2, half)
    return Judged(method, 2.0 + value, 2.0, estimate(value, half), 0.99, n, same, same)


def judge(kind: str, name: str, *methods: Judged) -> JudgeNumbers:
    return JudgeNumbers(name, kind, 300, methods)


def method(name: str, texts: Sequence[str] = ("text",)) -> MethodNumbers:
    picks = tuple(
        Pick(rank, rank, text[:80], text[:80], text[:200], Excerpt(text, 0, ""))
        for rank, text in enumerate(texts, start=1)
    )
    return MethodNumbers(
        name=name,
        source="arXiv 1234.5678",
        reads="curated" if name == "ds2" else "",
        is_random=name == "random",
        n=40,
        raw=3.1,
        curated=3.2,
        gold=None,
        n_gold=0,
        tail=0.2,
        coverage=0.4,
        redundancy=0.1,
        nearest=0.3,
        length=120.4,
        tokens=5000,
        seconds_s=0.01,
        kept_seed=1.0,
        kept_rater=None,
        sources=tuple(Share(text[:80], 1 / len(texts)) for text in texts),
        n_only=len(picks),
        only=picks,
    )


def comparison(
    *judges: JudgeNumbers, names: Sequence[str] = NAMES, texts: Sequence[str] = ("text", "more")
) -> CompareNumbers:
    overlap = np.full((len(names), len(names)), 0.25)
    np.fill_diagonal(overlap, 1.0)
    return CompareNumbers(
        title=texts[0],
        n=400,
        size=40,
        own="ds2",
        curation="soft",
        n_raters=2,
        n_scores=6,
        methods=tuple(method(name, texts) for name in names),
        overlap=tuple(map(tuple, overlap.tolist())),
        chance=0.1,
        radius=0.3,
        n_sampled=400,
        n_draws=100,
        tokenizer="characters",
        judges=judges,
        left_out=(LeftOut("rds", texts[-1]),),
        notes=tuple(texts[:1]),
    )
