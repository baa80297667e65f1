"""What the stages of a run left, and the figures of the whole that its report needs of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ds2.arrays import Scores, Transition, Values
from ds2.curation import BiasRow, Curation, measure_bias
from ds2.embedding import EmbeddingReport, content_types, identify_languages
from ds2.levels import nearest_level
from ds2.measures import thinned
from ds2.neighbors import Neighbors
from ds2.noise import MIN_COUNT, TransitionEstimate
from ds2.pool import Pool
from ds2.rating import Ratings
from ds2.report.leanings import LENGTH, Leaning, of_scores
from ds2.selection import Curves, Selection

__all__ = ["Chosen", "Results", "Truth", "mean", "moves", "to_levels"]

#: A cell below this says little about how wide a "typical" interval is: it touches zero.
LEAST_CELL = 0.02
#: Examples whose language is told: enough for a correlation, and bounded.
SAMPLE = 2000

#: Up to this share of ratings outside the scale are slips, which a note counts.
SLIPS = 0.01


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """What the stages of a run without scores left, about the same n examples."""

    pool: Pool  #: the n examples; texts are read only for the few that are shown
    neighbors: Neighbors  #: the graph
    tail: Values  #: (n,) long-tail scores
    selection: Selection  #: the selected rows
    embedding: EmbeddingReport | None = None  #: what the embedder reported, if it did
    title: str = "ds2 report"  #: the report's heading
    n_examples: int = 20  #: how many changed scores to show with their texts
    #: the recipe; nested tables are written with dots
    settings: Mapping[str, object] = field(default_factory=dict)
    #: training → its updates ("steps") and their "loss", where models were trained
    losses: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)
    #: what another size, or another trade of score against breadth, would bring
    curves: Curves | None = None
    run: str = "RUN"  #: the run folder, as commands name it

    @property
    def scores(self) -> Mapping[str, np.ndarray]:
        """(n,) scores by what they are called; none in a run without them."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Results(Chosen):
    """What all stages left, about the same n examples."""

    ratings: Ratings  #: what the rater said, or several
    noise: TransitionEstimate  #: the transition matrix
    curation: Curation  #: the curated scores
    #: (m,) how likely each selected row is to be selected again, where measured
    stability: np.ndarray | None = None
    #: (n,) known true scores, NaN where unknown: adds "against the known scores"
    truth: Scores | None = None
    #: the matrix that the scores were drawn through, where it is known
    planted: Transition | None = None
    gold: Scores | None = None  #: (n,) trusted scores, NaN where unknown
    gold_weights: Values | None = None  #: (n,) their weights

    @property
    def scores(self) -> Mapping[str, np.ndarray]:
        """(n,) scores by what they are called."""
        known = {} if self.truth is None else {"true": self.truth}
        return {"raw": self.raw, "curated": self.curation.scores} | known

    @cached_property
    def raw(self) -> np.ndarray:
        """(n,) What one rater said, or the mean of several by rank; NaN where unrated."""
        if len(self.ratings.raters) == 1 or self.curation.raw is None:
            return self.ratings.parts[0].scores()
        return self.curation.raw

    @property
    def n_scores(self) -> int:
        """Levels of the scale."""
        return len(self.noise.prior)

    @property
    def n_rated(self) -> int:
        """Examples with a score."""
        return int(np.isfinite(self.raw).sum())

    @property
    def n_outside(self) -> int:
        """Ratings that lie outside the declared scale, where they are too many for slips."""
        given = [one for one in self.ratings.parts if not one.usage]
        outside = sum(one.problems.get("out of range", 0) for one in given)
        rated = sum(int((one.codes == 0).sum()) for one in given)
        return outside if outside > SLIPS * (rated + outside) else 0

    @cached_property
    def first(self) -> TransitionEstimate:
        """The estimate of the only rater, or of the first."""
        return self.noise.rater(0)

    @cached_property
    def known(self) -> np.ndarray:
        """(s, s) True where there is enough data to print a cell of T."""
        noise = self.first
        known = np.isfinite(noise.matrix) & (noise.effective_counts >= MIN_COUNT)[:, None]
        if noise.intervals is not None:
            known = known & np.isfinite(noise.intervals).all(axis=0)
        return np.asarray(known)

    def matrix(self, stack: np.ndarray | None = None) -> np.ndarray:
        """(s, s) T, or one end of a stack of it, NaN where there is not enough data."""
        return np.where(self.known, self.first.matrix if stack is None else stack, np.nan)

    @cached_property
    def error_ends(self) -> tuple[float, float] | None:
        """The least and the largest share of wrong scores over the plausible rho."""
        if self.first.range is None:
            return None
        prior = np.asarray(self.first.prior, dtype=np.float64)
        ends = [1.0 - float((prior * np.diagonal(end)).sum()) for end in self.first.range]
        rates = [min(max(end, 0.0), 1.0) for end in (*ends, float(self.first.error_rate))]
        return (min(rates), max(rates)) if np.isfinite(rates).all() else None

    def half_width(self, stack: np.ndarray | None) -> float | None:
        """Median half width of the cells that matter and rest on enough examples."""
        if stack is None:
            return None
        width = np.abs(stack[1] - stack[0]) / 2.0
        readable = np.isfinite(width) & self.known
        typical = readable & (self.first.matrix >= LEAST_CELL)
        chosen = width[typical if typical.any() else readable]
        return float(np.median(chosen)) if chosen.size else None

    @cached_property
    def real_valued(self) -> bool:
        """Whether curated scores lie between the levels."""
        curated = self.curation.scores
        return bool((curated[np.isfinite(curated)] % 1 != 0).any())

    @property
    def bias_rows(self) -> slice:
        """The examples that are looked at for `bias`."""
        return thinned(len(self.pool))

    @cached_property
    def bias(self) -> tuple[BiasRow, ...]:
        """What scores go with beside quality, before and after curation."""
        some = self.bias_rows
        rows = np.arange(len(self.pool))[some]
        sources, codes = self.pool.coded_sources()
        labels: dict[str, Sequence[str | None] | np.ndarray] = {
            "source": np.array(sources, dtype=object)[codes[some]],
            "language": self._languages(rows),
            "content": content_types(self.pool, some.step),
        }
        return measure_bias(
            self.raw[some],
            self.curation.scores[some],
            {
                LENGTH: self.pool.lengths[some].astype(np.float64),
                "place in the pool": rows.astype(np.float64),
                **{name: of for name, of in labels.items() if len(set(of) - {None}) > 1},
            },
        )

    @cached_property
    def leanings(self) -> tuple[Leaning, ...]:
        """What curated scores go with clearly more than raw ones did."""
        return of_scores(self.bias)

    def _languages(self, rows: np.ndarray) -> list[str | None]:
        """The language of evenly spaced examples among the rows, None for the others."""
        n = len(rows)
        found: list[str | None] = [None] * n
        places = np.unique(np.linspace(0, max(n - 1, 0), min(SAMPLE, n)).astype(int))
        told = identify_languages(self.pool.take(rows[places]).texts())
        for place, language in zip(places.tolist(), told, strict=True):
            found[place] = language
        return found

    @cached_property
    def against_truth(self) -> "Truth | None":
        """What only known true scores can show."""
        return None if self.truth is None else _truth(self, self.truth)


@dataclass(frozen=True, slots=True)
class Truth:
    """The planted matrix against the recovered one, and who was right; NaN where unknown."""

    counts: np.ndarray  #: (s,) examples of each true score
    #: (s, s) what the scores were drawn through, or counted from the known scores
    planted: np.ndarray
    distance: np.ndarray  #: (s,) total variation between the rows of the two matrices
    covered: np.ndarray  #: (s, s) planted cells inside their 95 % interval
    counted: np.ndarray  #: (s, s) cells that have one
    n_known: int  #: examples with a known and an observed score
    right_raw: float  #: share of them whose raw score is right
    right_curated: float  #: the same of the curated score
    n_wrong: int  #: wrong raw scores
    n_flagged: int | None  #: flagged ones; None where nothing was flagged by design
    precision: float  #: share of the flagged that were wrong
    recall: float  #: share of the wrong that were flagged


def _truth(found: Results, truth: np.ndarray) -> Truth:
    n, misrated, planted = found.n_scores, found.curation.misrated, found.planted
    raw, curated = found.raw, found.curation.scores
    true, seen, after = (to_levels(scores, n) for scores in (truth, raw, curated))
    known = (true >= 0) & (seen >= 0)
    counts = moves(true, seen, n)
    totals = counts.sum(axis=1)
    if planted is None:
        planted = counts / np.where(totals > 0, totals, np.nan)[:, None]
    unknown = np.full((2, n, n), np.nan)
    low, high = unknown if found.first.intervals is None else found.first.intervals
    wrong = known & (seen != true)
    flagged = known & (False if misrated is None else misrated)
    return Truth(
        counts=totals,
        planted=planted,
        distance=0.5 * np.abs(planted - found.matrix()).sum(axis=1),
        covered=(planted >= LEAST_CELL) & (low <= planted) & (planted <= high),
        counted=(planted >= LEAST_CELL) & np.isfinite(low) & np.isfinite(high),
        n_known=int(known.sum()),
        right_raw=_ratio((seen == true)[known]),
        right_curated=_ratio((after == true)[known]),
        n_wrong=int(wrong.sum()),
        n_flagged=None if misrated is None else int(flagged.sum()),
        precision=_ratio(wrong[flagged]),
        recall=float("nan") if misrated is None else _ratio(flagged[wrong]),
    )


def _ratio(holds: np.ndarray) -> float:
    return float(holds.mean()) if holds.size else float("nan")


def mean(values: np.ndarray) -> float:
    """The mean of what is there; NaN where nothing is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def to_levels(scores: np.ndarray, n_scores: int) -> np.ndarray:
    """(n,) The nearest level to each score, −1 where there is none."""
    present = np.isfinite(scores)
    nearest = np.clip(nearest_level(np.where(present, scores, 0.0)), 0, n_scores - 1)
    return np.where(present, nearest, -1.0).astype(np.int64)


def moves(before: np.ndarray, after: np.ndarray, n_scores: int) -> np.ndarray:
    """(s, s) How many levels a became b, where both are known."""
    both = (before >= 0) & (after >= 0)
    flat = np.bincount(before[both] * n_scores + after[both], minlength=n_scores**2)
    return np.asarray(flat.reshape(n_scores, n_scores))
