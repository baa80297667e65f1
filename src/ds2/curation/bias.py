"""What else scores go with: length, source, language, position; and how to take that out.

Everything is measured on ranks, so that the scale of the scores does not matter. A covariate of
numbers is measured by Spearman's correlation; one of labels by the correlation ratio η of the
ranks, with Kelley's correction (1935) for the number of labels:

    η² = 1 − (1 − SSB / SST) · (n − 1) / (n − g)

Partial figures are the same after the linear effect of the other covariates' ranks (labels: one
column each) has been taken out of both. The intervals come from each row's influence on the figure
(the infinitesimal jackknife), which stays right where scores are tied; a change between raw and
curated scores is measured on the same rows, so what they share cancels.

`calibrated` brings all kinds of rows to one scale. Of each label (a source, a type of content) the
offset that evidence shows is taken off the curated scores. Trusted scores g show it: g ≈ a[label] +
b · curated, one b for all, so the offset is a / b (a plain difference of means would fall short by
what curated scores are noisy). Three raters or more show it by how far the mean of their z-scores
in the label lies from the median of theirs, so that a minority that is off is corrected. An offset
is shrunk as far as it is not sure (empirical Bayes, with the variance between labels by moments),
and the mean over all rows stays. Where a kind is rated so low that it lies at the floor of the
scale, an offset of means falls short of its best rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np

from ds2.arrays import Scores, Values
from ds2.checks import check_rows, check_scores
from ds2.errors import InputError
from ds2.labels import each, encode
from ds2.levels import rank_shares
from ds2.measures import Interval, Measured, correlation_ratio, measure, residuals
from ds2.neighbors import Neighbors, row_blocks
from ds2.noise.panel import LEAST_GOLD, mean_z

__all__ = [
    "BiasRow",
    "association",
    "calibrated",
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
    labels as one column each, all but the 50 most frequent together.

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
    near, blocks = neighbors.indices, row_blocks(neighbors.n)
    counts = np.concatenate([usable[near[block]].sum(axis=1) for block in blocks])
    rows = np.flatnonzero(usable & (counts > 0))
    if not basis.shape[1] or len(rows) <= basis.shape[1] + 1:  # one label says nothing
        return scores.copy()

    def departure(column: np.ndarray) -> np.ndarray:
        filled = np.where(usable, column, 0.0)
        around = [
            (filled[of] * usable[of]).sum(axis=1)
            for of in (near[rows[block]] for block in row_blocks(len(rows)))
        ]
        return np.asarray(filled[rows] - np.concatenate(around) / counts[rows])

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
        if not column.missing.all() and not _many_labels(column):
            parts.append(_basis(column))
    return np.column_stack(parts)


def part_of_covariates(
    covariates: Mapping[str, np.ndarray | Sequence[object]], rows: np.ndarray, n: int
) -> dict[str, np.ndarray | Sequence[object]]:
    """The same of some rows."""
    for name, values in covariates.items():
        check_rows(name, values, n)
    return {
        name: values[rows] if isinstance(values, np.ndarray) else [values[i] for i in rows]
        for name, values in covariates.items()
    }


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
    if isinstance(values, np.ndarray):
        array = values
    else:
        plain = all(isinstance(v, Real) and not isinstance(v, bool) for v in values)
        array = np.array(list(values), dtype=np.float64 if plain else object)
    if array.ndim != 1:
        raise InputError(f"The covariate '{name}' must have shape (n,). Got {array.shape}.")
    check_rows(name, array, n)
    if np.issubdtype(array.dtype, np.number):
        numbers = array.astype(np.float64)
        return _Column(numbers, None, ~np.isfinite(numbers))
    places, words = encode(_word(one) for one in each(array))
    of = {word: code for code, word in enumerate(sorted({str(word or "") for word in words}))}
    codes = np.array([-1 if w is None else of[str(w)] for w in words], dtype=np.int64)[places]
    return _Column(None, codes, codes < 0)


def _word(label: object) -> str | None:
    """A label as text; None where it is missing."""
    gap = label is None or (isinstance(label, float) and np.isnan(label))
    return None if gap else str(label)


def _grouped(codes: np.ndarray, most: int | None = None) -> np.ndarray:
    """Codes 0 … g − 1, those on few rows put together, and all but the ``most`` most frequent."""
    counts = np.bincount(codes)
    own = np.zeros(len(counts), dtype=bool)
    own[np.argsort(-counts, kind="stable")[:most]] = True
    merged = np.where((own & (counts >= RARE))[codes], codes, len(counts))
    return np.asarray(np.unique(merged, return_inverse=True)[1].reshape(-1))


def _many_labels(column: _Column) -> bool:
    """Whether a column has more labels, rare ones put together, than are held fixed."""
    if column.codes is None:
        return False
    codes = np.where(column.missing, 0, column.codes)
    return int(_grouped(codes).max(initial=0)) > MOST_LABELS


def _basis(column: _Column, rows: np.ndarray | None = None) -> np.ndarray:
    """(n, b) Columns that stand for a covariate: a cubic of the rank, or one for each label."""
    use = np.ones(len(column.missing), dtype=bool) if rows is None else rows
    if column.numbers is not None:
        there = column.numbers[~column.missing]
        filled = np.where(column.missing, np.median(there) if len(there) else 0.0, column.numbers)
        rank = 2 * rank_shares(filled[use]) - 1
        return np.column_stack([rank, rank**2, rank**3])
    assert column.codes is not None
    codes = np.where(column.missing, 0, column.codes)
    group = _grouped(codes[use], MOST_LABELS)
    return np.asarray(group[:, None] == np.arange(1, group.max(initial=0) + 1), dtype=np.float64)


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


LEAST_RATERS = 3
#: Trusted scores rise by at least so much a level of the curated ones.
LEAST_SLOPE = 0.3


def calibrated(
    values: np.ndarray,
    labels: np.ndarray | Sequence[object],
    ratings: np.ndarray,
    gold: np.ndarray,
    gold_weights: np.ndarray,
) -> np.ndarray:
    """Take off each label's offset.

    Args:
        values: (n,) curated scores in levels, NaN where there is none.
        labels: (n,) one each, None where missing: those rows stay.
        ratings: (n, r) of raters, NaN where missing.
        gold: (n,) trusted scores, NaN where unknown.
        gold_weights: (n,) theirs, 0 where unknown.

    Returns:
        (n,) values of the same mean, not clipped to the scale.

    Raises:
        InputError: neither 20 trusted scores of rows with a label nor three raters.
    """
    codes = label_codes("calibrate", labels, len(values))
    n_labels = int(codes.max()) + 1
    known = ~np.isnan(values) & (codes >= 0)
    if not known.any():
        return values.copy()
    rows = np.flatnonzero(known & (gold_weights > 0))
    if len(rows) >= LEAST_GOLD:
        of, w = codes[rows], gold_weights[rows]  # a / b of each label
        v, g = (one[rows] - _by_label(one[rows], of, w, n_labels)[0][of] for one in (values, gold))
        power = float(w @ v**2)
        slope = max(float(w @ (v * g)) / power, LEAST_SLOPE) if power > 1e-12 else 1.0
        means, errors = _by_label(gold[rows] / slope - values[rows], of, w, n_labels)
    elif ratings.shape[1] >= LEAST_RATERS:
        z = np.column_stack([mean_z(ratings[:, [m]]) for m in range(ratings.shape[1])])
        each = [
            _by_label(z[rows, m], codes[rows], np.ones(len(rows)), n_labels)
            for m in range(z.shape[1])
            if len(rows := np.flatnonzero(known & ~np.isnan(z[:, m])))
        ]
        of, sure = (np.stack(part) for part in zip(*each, strict=True))
        unit = float(np.nanstd(values)) / max(float(np.nanstd(mean_z(ratings))), 1e-12)
        means = (np.median(of, axis=0) - of.mean(axis=0)) * unit
        errors = np.sqrt((sure**2).mean(axis=0) / len(of)) * unit
    else:
        raise InputError(
            f"To calibrate by label takes {LEAST_GOLD} trusted scores of rows with a label, or "
            f"{LEAST_RATERS} raters: one rater, or two who differ, do not say who gives a kind of "
            "row too little."
        )
    moved = np.where(known, _shrunk(means, errors)[codes], 0.0)
    return np.asarray(values + moved - moved[known].mean() * known)


def _by_label(
    values: np.ndarray, codes: np.ndarray, weights: np.ndarray, n_labels: int
) -> tuple[np.ndarray, np.ndarray]:
    """(l,) the mean of each label, and its standard error; endless where it has none or one."""
    mass = np.bincount(codes, weights, n_labels)
    mean = np.bincount(codes, weights * values, n_labels) / np.maximum(mass, 1e-300)
    rows = mass**2 / np.maximum(np.bincount(codes, weights**2, n_labels), 1e-300)
    left = values - mean[codes]
    spread = float(np.average(left**2, weights=weights)) * len(values)
    spread /= max(len(values) - int((mass > 0).sum()), 1)
    error = np.sqrt(spread / np.maximum(rows, 1e-9))
    return mean, np.where(mass > 0, error, np.inf)


def _shrunk(means: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """(l,) offsets, each drawn to their mean as far as its error explains that it differs."""
    seen = np.isfinite(errors)
    if seen.sum() < 2:
        return np.zeros(len(means))
    errors = np.maximum(errors, 1e-9)
    weight = np.where(seen, 1 / errors**2, 0.0)
    centre = float(np.average(means, weights=weight))
    # DerSimonian and Laird (1986)
    excess = float(weight @ (means - centre) ** 2) - (seen.sum() - 1)
    between = max(excess / (weight.sum() - (weight**2).sum() / weight.sum()), 0.0)
    kept = np.divide(between, between + errors**2, out=np.zeros(len(means)), where=seen)
    return np.asarray(kept * (means - centre))
