"""What else scores go with: length, source, language, position; and how to take that out.

Everything is measured on ranks, so that the scale of the scores does not matter. A covariate of
numbers is measured by Spearman's correlation; one of labels by the correlation ratio η of the
ranks, with Kelley's correction (1935) for the number of labels:

    η² = 1 − (1 − SSB / SST) · (n − 1) / (n − g)

Partial figures are the same after the linear effect of the other covariates' ranks (labels: one
column each) has been taken out of both. The intervals come from each row's influence on the figure
(the infinitesimal jackknife), which stays right where scores are tied; a change between raw and
curated scores is measured on the same rows, so what they share cancels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ds2.arrays import Scores, Values
from ds2.checks import check_rows, check_scores
from ds2.errors import InputError
from ds2.levels import rank_shares
from ds2.measures import Interval, Measured, correlation_ratio, measure, residuals
from ds2.neighbors import Neighbors

__all__ = [
    "BiasRow",
    "association",
    "covariate_columns",
    "is_number",
    "label_codes",
    "measure_bias",
    "remove_covariate",
]

#: Fewer rows than this are not measured.
LEAST = 30
#: Labels on fewer rows than this are measured together, as one.
RARE = 5
#: More labels than this are too many to take out of other covariates.
MOST_LABELS = 50


@dataclass(frozen=True, slots=True)
class BiasRow:
    """How much scores go with one covariate, before and after curation.

    Every figure is an `Interval`: value, low and high of 95 %. NaN is "not measured".

    Attributes:
        covariate: its name.
        measure: "spearman" (in [−1, 1]) or "eta" (in [0, 1]).
        raw: of the raw scores.
        curated: of the curated scores.
        change: curated less raw, on the same rows.
        raw_partial: of the raw scores, the other covariates held fixed.
        curated_partial: likewise of the curated ones.
        n: rows that have both scores and the covariate.
        n_labels: how many labels there are; 0 for numbers.
        note: why something was not measured; empty where all was.
    """

    covariate: str
    measure: str
    raw: Interval
    curated: Interval
    change: Interval
    raw_partial: Interval
    curated_partial: Interval
    n: int
    n_labels: int
    note: str


def measure_bias(
    raw: Scores, curated: Scores, covariates: Mapping[str, np.ndarray | Sequence[object]]
) -> tuple[BiasRow, ...]:
    """How much raw and curated scores go with each covariate, alone and with the others fixed.

    Args:
        raw: (n,) scores before curation, NaN where unrated.
        curated: (n,) scores after it.
        covariates: by name, one value for each row: numbers (NaN where missing) or labels (None
            where missing). A label on fewer than five rows counts as "other".

    Returns:
        One `BiasRow` for each covariate, in the order given.

    Raises:
        InputError: lengths that differ, or a covariate of another shape.
    """
    before = check_scores("raw", raw)
    after = check_scores("curated", curated, n_rows=len(before))
    columns = {name: _column(name, values, len(before)) for name, values in covariates.items()}
    rated = ~np.isnan(before) & ~np.isnan(after)
    return tuple(_row(name, before, after, rated, columns) for name in columns)


def remove_covariate(
    values: Values, covariate: np.ndarray | Sequence[object], neighbors: Neighbors
) -> Values:
    """Take out of ``values`` what a covariate explains within neighbourhoods.

    A value's departure from the mean of its neighbours' values is regressed on the covariate's
    departure from theirs, and the fitted part is taken off. What the covariate explains *between*
    neighbourhoods stays: topics that call for long answers may keep their scores, an answer that
    is long for its topic loses what that length brought. Numbers enter as a cubic of their rank,
    labels as one column each.

    Args:
        values: (n,) curated scores, NaN where unrated.
        covariate: (n,) numbers (NaN where missing) or labels (None where missing).
        neighbors: the pool's neighbour graph.

    Returns:
        (n,) values of the same mean; unchanged where the covariate or all neighbours are missing.
    """
    scores = check_scores("values", values, n_rows=neighbors.n)
    column = _column("covariate", covariate, len(scores))
    basis = _basis(column)
    usable = ~np.isnan(scores) & ~column.missing
    near = neighbors.indices
    known = usable[near]
    counts = known.sum(axis=1)
    rows = np.flatnonzero(usable & (counts > 0))
    if not basis.shape[1] or len(rows) <= basis.shape[1] + 1:  # one label says nothing
        return scores.copy()

    def departure(column: np.ndarray) -> np.ndarray:
        filled = np.where(usable, column, 0.0)
        around = (filled[near[rows]] * known[rows]).sum(axis=1) / counts[rows]
        return np.asarray(filled[rows] - around)

    inside = np.column_stack([departure(one) for one in basis.T])
    slope, *_ = np.linalg.lstsq(inside, departure(scores), rcond=1e-9)
    fitted = inside @ slope
    cleaned = scores.copy()
    cleaned[rows] -= fitted - fitted.mean()
    return cleaned


def is_number(covariate: np.ndarray | Sequence[object]) -> bool:
    """Whether a covariate holds numbers; otherwise labels."""
    return _column("covariate", covariate, len(covariate)).numbers is not None


def association(
    scores: Scores,
    covariate: np.ndarray | Sequence[object],
    blocks: np.ndarray | None,
    weights: np.ndarray | None = None,
) -> Measured | None:
    """How scores go with one covariate: Spearman, or η of labels; None where it is not measured.

    Args:
        scores: (n,) NaN where missing.
        covariate: (n,) numbers or labels.
        blocks: (n,) rows of one block count as one; None: each row counts.
        weights: (n,) of the rows, for numbers.
    """
    column = _column("covariate", covariate, len(scores))
    use = ~np.isnan(scores) & ~column.missing
    if use.sum() < LEAST:
        return None
    if column.numbers is not None:
        w = None if weights is None else weights[use]
        found = measure("spearman", column.numbers[use], scores[use], w)
    else:
        assert column.codes is not None
        group = _grouped(column.codes[use])
        if not 2 <= group.max() + 1 <= use.sum() / RARE:
            return None
        found = correlation_ratio(group, rank_shares(scores[use]))[0]
    if np.isnan(found.value):
        return None
    return found if blocks is None else found.by_block(blocks[use])


def covariate_columns(
    covariates: Mapping[str, np.ndarray | Sequence[object]], n: int
) -> np.ndarray:
    """(n, c) columns that stand for the covariates; labels that are too many are left out."""
    parts = [np.empty((n, 0))]
    for name, values in covariates.items():
        column = _column(name, values, n)
        basis = np.empty((n, 0)) if column.missing.all() else _basis(column)
        if basis.shape[1] <= MOST_LABELS:
            parts.append(basis)
    return np.column_stack(parts)


def label_codes(name: str, labels: np.ndarray | Sequence[object], n: int) -> np.ndarray:
    """(n,) a code 0 … l − 1 for each label, −1 where it is missing."""
    codes = _column(name, labels, n).codes
    if codes is None:
        raise InputError(f"'{name}' must hold labels (texts), not numbers.")
    return codes


@dataclass(frozen=True, slots=True)
class _Column:
    """A covariate: numbers, or codes of labels (−1 where missing)."""

    numbers: np.ndarray | None
    codes: np.ndarray | None
    missing: np.ndarray


def _column(name: str, values: np.ndarray | Sequence[object], n: int) -> _Column:
    array = values if isinstance(values, np.ndarray) else _array(values)
    if array.ndim != 1:
        raise InputError(f"The covariate '{name}' must have shape (n,). Got {array.shape}.")
    check_rows(name, array, n)
    if np.issubdtype(array.dtype, np.number):
        numbers = array.astype(np.float64)
        return _Column(numbers, None, ~np.isfinite(numbers))
    missing = np.array([_is_missing(value) for value in array.tolist()], dtype=bool)
    words = np.array(["" if gap else str(v) for v, gap in zip(array, missing, strict=True)])
    _, codes = np.unique(words, return_inverse=True)
    codes = codes.reshape(-1).astype(np.int64)
    codes[missing] = -1
    return _Column(None, codes, missing)


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def _array(values: Sequence[object]) -> np.ndarray:
    plain = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    return np.array(list(values), dtype=np.float64 if plain else object)


def _grouped(codes: np.ndarray) -> np.ndarray:
    """Codes 0 … g − 1, those on few rows put together."""
    counts = np.bincount(codes)
    rare = counts[codes] < RARE
    merged = np.where(rare, len(counts), codes)
    return np.asarray(np.unique(merged, return_inverse=True)[1].reshape(-1))


def _basis(column: _Column, rows: np.ndarray | None = None) -> np.ndarray:
    """(n, b) Columns that stand for a covariate: a cubic of the rank, or one for each label."""
    use = np.ones(len(column.missing), dtype=bool) if rows is None else rows
    if column.numbers is not None:
        filled = np.where(column.missing, np.nanmedian(_finite(column.numbers)), column.numbers)
        rank = 2 * rank_shares(filled[use]) - 1
        return np.column_stack([rank, rank**2, rank**3])
    assert column.codes is not None
    codes = np.where(column.missing, 0, column.codes)
    group = _grouped(codes[use])
    return np.asarray(group[:, None] == np.arange(1, group.max(initial=0) + 1), dtype=np.float64)


def _finite(numbers: np.ndarray) -> np.ndarray:
    finite = numbers[np.isfinite(numbers)]
    return finite if len(finite) else np.zeros(1)


def _row(
    name: str,
    before: np.ndarray,
    after: np.ndarray,
    rated: np.ndarray,
    columns: Mapping[str, _Column],
) -> BiasRow:
    column = columns[name]
    use = rated & ~column.missing
    n = int(use.sum())
    figure = "spearman" if column.numbers is not None else "eta"
    none = Interval(float("nan"))
    if n < LEAST:
        note = f"Only {n} rows have both scores and this covariate; {LEAST} are needed."
        return BiasRow(name, figure, none, none, none, none, none, n, 0, note)
    scores = [rank_shares(before[use]), rank_shares(after[use])]
    others = {other: one for other, one in columns.items() if other != name}
    controls, note = _controls(others, use)
    if column.numbers is not None:
        x = column.numbers[use]
        each = [measure("spearman", x, y) for y in scores]
        plain = [one.interval() for one in each]
        left = residuals(rank_shares(x), controls)
        partial = [measure("pearson", left, residuals(y, controls)).interval() for y in scores]
        n_labels = 0
    else:
        assert column.codes is not None
        group = _grouped(column.codes[use])
        n_labels = int(group.max()) + 1
        if n_labels > n / RARE or n_labels < 2:
            note = f"{n_labels} labels on {n} rows say nothing about labels."
            return BiasRow(name, figure, none, none, none, none, none, n, n_labels, note)
        found = [correlation_ratio(group, y) for y in scores]
        each, plain = [one for one, _ in found], [ends for _, ends in found]
        partial = [correlation_ratio(group, y, controls)[1] for y in scores]
    shown = partial if controls.shape[1] else plain
    return BiasRow(
        covariate=name,
        measure=figure,
        raw=plain[0],
        curated=plain[1],
        change=(each[1] - each[0]).interval(),
        raw_partial=shown[0],
        curated_partial=shown[1],
        n=n,
        n_labels=n_labels,
        note=note,
    )


def _controls(others: Mapping[str, _Column], use: np.ndarray) -> tuple[np.ndarray, str]:
    """(rows, c) The other covariates as columns, and which of them could not be used."""
    parts, dropped = [np.empty((int(use.sum()), 0))], []
    for name, column in others.items():
        gaps = column.missing[use]
        wide = column.codes is not None and len(np.unique(column.codes[use])) > MOST_LABELS
        if gaps.all() or wide:
            dropped.append(name)
            continue
        part = _basis(column, use)[:, : 1 if column.numbers is not None else None]
        parts.append(np.column_stack([part, gaps]) if gaps.any() else part)
    note = f"Not held fixed (too many labels, or missing): {', '.join(dropped)}." if dropped else ""
    return np.column_stack(parts), note
