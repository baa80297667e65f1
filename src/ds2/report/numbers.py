"""Every number that a report shows, as frozen values that JSON can hold.

The HTML, Markdown and JSON reports are three ways to write one `ReportNumbers`, so they cannot
disagree. None means "not enough data" or "does not apply", and so does NaN in what other packages
measured (lift, evidence); JSON has null for both. Shares are fractions. Texts are kept as they are
(shortened): each format escapes them in its own way.
"""

from dataclasses import dataclass

from ds2.curation import Evidence
from ds2.embedding import EmbeddingReport
from ds2.noise import Lift
from ds2.report.sheets import Sheet

__all__ = [
    "Cell",
    "Correction",
    "Count",
    "CurationNumbers",
    "DuplicateGroup",
    "DuplicateNumbers",
    "Estimate",
    "Excerpt",
    "LevelTruth",
    "NearText",
    "NeighborNumbers",
    "NoiseNumbers",
    "Note",
    "Pick",
    "PoolNumbers",
    "RatingNumbers",
    "ReportNumbers",
    "ScoreLevel",
    "SelectionNumbers",
    "Setting",
    "Share",
    "SharedBy",
    "Spread",
    "TailNumbers",
    "TruthNumbers",
]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its 95 % interval."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A text, shortened in its middle: ``left_out`` characters are missing before ``tail``."""

    head: str
    left_out: int
    tail: str


@dataclass(frozen=True, slots=True)
class Count:
    """How many there are of something that has a name."""

    label: str
    n: int


@dataclass(frozen=True, slots=True)
class Share:
    """The share of something that has a name."""

    label: str
    share: float


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting or a version, written out."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Note:
    """A warning and the stage that gave it."""

    stage: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Spread:
    """Five points of a distribution, and its mean."""

    low: float
    lower: float
    median: float
    upper: float
    high: float
    mean: float


@dataclass(frozen=True, slots=True)
class PoolNumbers:
    """The examples, before anything was done with them."""

    format: str
    origin: str
    n_examples: int
    n_rejected: int
    n_sources: int
    lengths: Spread | None


@dataclass(frozen=True, slots=True)
class RatingNumbers:
    """Who rated, on which scale, and which examples have no rating, by reason.

    ``n_outside`` counts the ratings of all raters that the scale does not hold.
    """

    rater: str
    low: float
    high: float
    cuts: tuple[float, ...]
    n_rated: int
    n_unrated: int
    problems: tuple[Count, ...]
    n_outside: int


@dataclass(frozen=True, slots=True)
class NeighborNumbers:
    """How the neighbours were found."""

    k: int
    method: str
    recall: float | None
    first_distance: Spread | None


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Examples with one text: how many, the scores they got, and the text."""

    row: int
    id: str
    size: int
    lowest: float | None
    highest: float | None
    text: Excerpt


@dataclass(frozen=True, slots=True)
class DuplicateNumbers:
    """Exact duplicates. ``n_rows`` counts the examples beyond the first of their group."""

    n_groups: int
    n_rows: int
    n_rated_apart: int
    n_groups_rated: int
    largest: tuple[DuplicateGroup, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One entry of T at ``rho``, its interval, and its range over plausible rho."""

    value: float | None
    low: float | None
    high: float | None
    range_low: float | None
    range_high: float | None


@dataclass(frozen=True, slots=True)
class NoiseNumbers:
    """The transition matrix and how far to trust it.

    ``by_rater`` is the share of wrong scores of each rater, where there are several; all else is
    then the first one's.
    """

    n_scores: int
    matrix: tuple[tuple[Cell, ...], ...]
    rho: float
    rho_low: float | None
    rho_high: float | None
    error: float | None
    error_low: float | None
    error_high: float | None
    sampling_error: float | None
    range_error: float | None
    lifts: tuple[Lift, ...]
    n_neighbors: int
    n_examples: int
    n_missing: int
    n_bootstrap: int
    has_intervals: bool
    thin_scores: tuple[int, ...]
    diagonal_dominant: bool
    converged: bool
    iterations: int
    fit: float | None
    fit_expected: float | None
    rho_source: str
    by_rater: tuple[Share, ...] = ()


@dataclass(frozen=True, slots=True)
class ScoreLevel:
    """One score: the ratings it stands for, how many examples have it, and its prior."""

    score: int
    ratings: str
    raw: int
    curated: int
    prior: Estimate
    effective_count: float | None


@dataclass(frozen=True, slots=True)
class NearText:
    """A neighbour of a shown example."""

    row: int
    id: str
    score: float | None
    distance: float
    text: Excerpt


@dataclass(frozen=True, slots=True)
class Correction:
    """A changed score, and the neighbours that changed it."""

    row: int
    id: str
    source: str | None
    observed: float | None
    curated: float | None
    confidence: float | None
    true: float | None
    text: Excerpt
    neighbors: tuple[NearText, ...]


@dataclass(frozen=True, slots=True)
class CurationNumbers:
    """What was flagged and what was changed. ``moves[a][b]`` counts scores a that became b."""

    method: str
    gate: str
    n_changed: int
    n_up: int
    n_down: int
    n_misrated: int | None
    moves: tuple[tuple[int, ...], ...]
    real_valued: bool
    evidence: tuple[Evidence, ...]
    next_evidence: str
    contradiction: str
    corrections: tuple[Correction, ...]
    bias: Sheet
    leanings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TailNumbers:
    """The long-tail score over the pool and over the selection, in equal bins."""

    edges: tuple[float, ...]
    pool: tuple[int, ...]
    selected: tuple[int, ...]
    pool_spread: Spread
    selected_spread: Spread | None


@dataclass(frozen=True, slots=True)
class SharedBy:
    """How many examples of the pool and of the selection have one property."""

    label: str
    pool: int
    selected: int


@dataclass(frozen=True, slots=True)
class Pick:
    """One of the first rows in pick order."""

    rank: int
    row: int
    id: str
    source: str | None
    reason: str
    text: Excerpt


@dataclass(frozen=True, slots=True)
class SelectionNumbers:
    """Which examples were selected, against the pool they came from."""

    method: str
    n_selected: int
    dropped: tuple[Count, ...]
    by_score: tuple[SharedBy, ...]
    by_source: tuple[SharedBy, ...]
    by_length: tuple[SharedBy, ...]
    pool_score: float | None
    selected_score: float | None
    stability: Spread | None
    tail: TailNumbers | None
    first: tuple[Pick, ...]


@dataclass(frozen=True, slots=True)
class LevelTruth:
    """One row of the planted matrix beside the recovered one; None where not enough data."""

    score: int
    n: int
    planted: tuple[float | None, ...]
    recovered: tuple[float | None, ...]
    distance: float | None


@dataclass(frozen=True, slots=True)
class TruthNumbers:
    """What only known true scores can show."""

    n_known: int
    drawn: bool
    levels: tuple[LevelTruth, ...]
    distance: float | None
    accuracy_raw: float | None
    accuracy_curated: float | None
    n_wrong: int
    n_flagged: int | None
    precision: float | None
    recall: float | None
    n_covered: int
    n_cells: int
    pool_score: float | None
    selected_score: float | None


@dataclass(frozen=True, slots=True)
class ReportNumbers:
    """Everything a report says, in the order in which it says it."""

    title: str
    pool: PoolNumbers
    ratings: RatingNumbers
    duplicates: DuplicateNumbers
    embedding: EmbeddingReport | None
    neighbors: NeighborNumbers
    noise: NoiseNumbers
    raters: tuple[Sheet, ...]
    scores: tuple[ScoreLevel, ...]
    curation: CurationNumbers
    selection: SelectionNumbers
    truth: TruthNumbers | None
    warnings: tuple[Note, ...]
    settings: tuple[Setting, ...]
    versions: tuple[Setting, ...]
