"""From the results of every stage to the numbers of a report."""

import platform
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ds2._version import __version__
from ds2.arrays import Groups, Scores, Transition, Values
from ds2.checks import check_int, check_rows, check_scores
from ds2.curation import Curation, measure_bias
from ds2.embedding import EmbeddingReport
from ds2.neighbors import Neighbors
from ds2.noise import TransitionEstimate
from ds2.pool import Pool
from ds2.rating import Panel, Ratings
from ds2.report import tables
from ds2.report.bias import bias_sheet, leanings, sampled_languages
from ds2.report.examples import corrections, duplicate_numbers, first_picks
from ds2.report.matrix import noise_numbers, prior_estimates
from ds2.report.numbers import (
    Correction,
    Count,
    CurationNumbers,
    NeighborNumbers,
    Note,
    Pick,
    PoolNumbers,
    RatingNumbers,
    ReportNumbers,
    ScoreLevel,
    SelectionNumbers,
    Setting,
)
from ds2.report.raters import rater_sheets
from ds2.report.tables import number
from ds2.report.truth import truth_numbers
from ds2.selection import Selection

__all__ = ["collect_numbers"]

_MOST_VALUE = 200


def collect_numbers(  # noqa: PLR0917 (one result of each stage)
    pool: Pool,
    ratings: Ratings | Panel,
    neighbors: Neighbors,
    noise: TransitionEstimate,
    curation: Curation,
    tail: Values,
    selection: Selection,
    *,
    stability: np.ndarray | None = None,
    embedding: EmbeddingReport | None = None,
    groups: Groups | None = None,
    title: str = "ds2 report",
    n_examples: int = 20,
    n_rejected: int | None = None,
    truth: Scores | None = None,
    planted: Transition | None = None,
    settings: Mapping[str, object] | None = None,
    versions: Mapping[str, str] | None = None,
    gold: Scores | None = None,
    gold_weights: Values | None = None,
) -> ReportNumbers:
    """Work out every number that a report shows.

    Args:
        pool: the n examples; texts are read only for the few that are shown.
        ratings: what the rater said, or several.
        neighbors: the graph.
        noise: the transition matrix.
        curation: the curated scores.
        tail: (n,) long-tail scores.
        selection: the selected rows.
        stability: (m,) how likely each selected row is to be selected again, where measured.
        embedding: what the embedder reported, if it did.
        groups: (n,) duplicate groups of the texts; by default those of the graph.
        title: the report's heading.
        n_examples: how many changed scores to show with their texts.
        n_rejected: rows that could not be read; by default those that the pool itself knows of.
        truth: (n,) known true scores, NaN where unknown: adds "against the known scores".
        planted: the matrix that the scores were drawn through, where it is known.
        settings: the recipe; nested tables are written with dots.
        versions: libraries that matter, by name; by default ds2, Python and numpy.
        gold: (n,) trusted scores, NaN where unknown.
        gold_weights: (n,) their weights.

    Raises:
        InputError: if the results are not about the same n examples.
    """
    n, n_scores = len(pool), len(noise.prior)
    panel = ratings if isinstance(ratings, Panel) else Panel((ratings,))
    scores = _Scores(_raw(panel, curation), curation.scores, n_scores)
    for name, rows in (
        ("ratings", scores.raw),
        ("neighbors", neighbors.indices),
        ("curation", scores.curated),
        ("tail", tail),
    ):
        check_rows(name, rows, n)
    check_int("n_examples", n_examples, low=0)
    known = None if truth is None else check_scores("truth", truth, n_rows=n, n_scores=n_scores)
    traits = _Traits(pool.sources, np.asarray(pool.lengths), sampled_languages(pool))
    same = neighbors.groups if groups is None else groups
    first = noise.rater(0)
    sheets, notes = rater_sheets(
        panel,
        noise,
        lengths=traits.lengths,
        size=len(selection.rows),
        gold=gold,
        gold_weights=gold_weights,
    )
    return ReportNumbers(
        title=title,
        pool=_pool(pool, traits, len(pool.rejects) if n_rejected is None else n_rejected),
        ratings=_ratings(panel, scores.raw),
        duplicates=duplicate_numbers(pool, scores.raw, same),
        embedding=embedding,
        neighbors=_neighbors(neighbors),
        noise=noise_numbers(noise, panel.raters),
        raters=sheets,
        scores=_levels(panel.ratings[0], first, scores),
        curation=_curation(
            curation,
            scores,
            traits,
            corrections(pool, scores.raw, curation, neighbors, truth=known, n_examples=n_examples),
            trusted=noise.n_gold > 0,
        ),
        selection=replace(
            _selection(selection, scores, traits, tail, first_picks(pool, selection)),
            stability=None if stability is None else tables.spread(stability),
        ),
        truth=None
        if known is None
        else truth_numbers(
            known,
            scores.raw,
            scores.curated,
            first,
            misrated=curation.misrated,
            rows=selection.rows,
            planted=planted,
        ),
        warnings=_notes(
            pool=pool.warnings,
            ratings=(*panel.warnings, *notes),
            embedding=() if embedding is None else embedding.warnings,
            noise=noise.warnings,
            curation=curation.warnings,
        ),
        settings=_settings(settings or {}),
        versions=_settings(
            versions
            or {"ds2": __version__, "python": platform.python_version(), "numpy": np.__version__}
        ),
    )


class _Scores(NamedTuple):
    """(n,) raw and curated scores, NaN where unrated, of ``n_scores`` levels."""

    raw: np.ndarray
    curated: np.ndarray
    n_scores: int

    def levels(self) -> tuple[np.ndarray, np.ndarray]:
        return (
            tables.to_levels(self.raw, self.n_scores),
            tables.to_levels(self.curated, self.n_scores),
        )


class _Traits(NamedTuple):
    """What else is known of each example."""

    sources: list[str | None]
    lengths: np.ndarray
    languages: list[str | None]

    def covariates(self) -> dict[str, np.ndarray | list[str | None]]:
        """What scores should not go with, by name."""
        found: dict[str, np.ndarray | list[str | None]] = {
            "length of the answer": self.lengths.astype(np.float64),
            "place in the pool": np.arange(len(self.lengths), dtype=np.float64),
        }
        named = (("source", self.sources), ("language", self.languages))
        return found | {name: labels for name, labels in named if len(set(labels) - {None}) > 1}


def _pool(pool: Pool, traits: _Traits, n_rejected: int) -> PoolNumbers:
    return PoolNumbers(
        format=pool.format,
        origin=pool.origin,
        n_examples=len(pool),
        n_rejected=n_rejected,
        n_sources=len(set(traits.sources) - {None}),
        lengths=tables.spread(traits.lengths.astype(np.float64)),
    )


def _raw(panel: Panel, curation: Curation) -> np.ndarray:
    """(n,) What one rater said, or several on average."""
    if len(panel) == 1 or curation.raw is None:
        return panel.ratings[0].scores()
    return curation.raw


def _ratings(panel: Panel, raw: np.ndarray) -> RatingNumbers:
    scale = panel.ratings[0].scale
    n_rated = int(np.isfinite(raw).sum())
    return RatingNumbers(
        rater=", ".join(panel.raters),
        low=float(scale.low),
        high=float(scale.high),
        cuts=tuple(float(cut) for cut in scale.cuts),
        n_rated=n_rated,
        n_unrated=len(raw) - n_rated,
        problems=_counts(panel.ratings[0].problems) if len(panel) == 1 else (),
        n_outside=sum(
            one.problems.get("out of range", 0) for one in panel.ratings if not one.usage
        ),
    )


def _neighbors(neighbors: Neighbors) -> NeighborNumbers:
    return NeighborNumbers(
        k=neighbors.k,
        method=neighbors.method,
        recall=number(neighbors.recall),
        first_distance=tables.spread(neighbors.distances[:, 0].astype(np.float64)),
    )


def _levels(ratings: Ratings, noise: TransitionEstimate, scores: _Scores) -> tuple[ScoreLevel, ...]:
    scale = ratings.scale
    cuts = tuple(float(cut) for cut in scale.cuts)
    return tables.score_levels(
        *scores.levels(),
        words=tables.rating_words(float(scale.low), float(scale.high), cuts),
        priors=prior_estimates(noise),
        effective=[number(value) for value in noise.effective_counts],
    )


def _curation(
    curation: Curation,
    scores: _Scores,
    traits: _Traits,
    shown: tuple[Correction, ...],
    *,
    trusted: bool,
) -> CurationNumbers:
    raw, curated = scores.raw, scores.curated
    up, down = int((curated > raw).sum()), int((curated < raw).sum())
    biases = measure_bias(raw, curated, traits.covariates())
    return CurationNumbers(
        method=curation.method,
        gate=curation.gate,
        n_changed=up + down,
        n_up=up,
        n_down=down,
        n_misrated=None if curation.misrated is None else int(curation.misrated.sum()),
        moves=tables.moves(*scores.levels(), scores.n_scores),
        real_valued=bool((curated[np.isfinite(curated)] % 1 != 0).any()),
        evidence=curation.evidence,
        next_evidence=curation.next_evidence,
        contradiction=curation.contradiction,
        corrections=shown,
        bias=bias_sheet(biases),
        leanings=leanings(biases, trusted=trusted),
    )


def _selection(
    selection: Selection,
    scores: _Scores,
    traits: _Traits,
    tail: np.ndarray,
    first: tuple[Pick, ...],
) -> SelectionNumbers:
    rows = selection.rows
    return SelectionNumbers(
        method=selection.method,
        n_selected=len(rows),
        dropped=_counts(selection.dropped),
        by_score=tables.by_score(scores.levels()[1], rows, scores.n_scores),
        by_source=tables.by_source(traits.sources, rows),
        by_length=tables.by_length(traits.lengths, rows),
        pool_score=tables.mean(scores.curated),
        selected_score=tables.mean(scores.curated[rows]),
        stability=None,
        tail=tables.tail_numbers(tail, rows),
        first=first,
    )


def _counts(named: Mapping[str, int]) -> tuple[Count, ...]:
    largest = sorted(named.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Count(label, int(n)) for label, n in largest if n)


def _notes(**stages: Iterable[str]) -> tuple[Note, ...]:
    said: dict[str, Note] = {}
    for stage, sentences in stages.items():
        for sentence in sentences:
            said.setdefault(sentence, Note(stage, sentence))
    return tuple(said.values())


def _settings(values: Mapping[str, object], prefix: str = "") -> tuple[Setting, ...]:
    flat: list[Setting] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat += _settings(value, f"{prefix}{name}.")
        else:
            text = str(value)
            short = text if len(text) <= _MOST_VALUE else f"{text[: _MOST_VALUE - 1]}…"
            flat.append(Setting(f"{prefix}{name}", short))
    return tuple(flat)
