"""The stage "select": what the method needs, the constraints, the files that are left."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ds2.embedding import identify_languages
from ds2.errors import InputError
from ds2.pool import Pool, write_pool
from ds2.runs.job import Job, Made
from ds2.runs.materials import Materials, load_materials
from ds2.runs.recipe_selecting import Quota as QuotaSetting
from ds2.runs.recipe_selecting import SelectSection
from ds2.runs.selecting_files import contaminated, listed_rows, near_evaluation, token_counts
from ds2.runs.tables import observed_of, save_dropped, save_selection
from ds2.selection import (
    Constraints,
    Quota,
    Selection,
    Stability,
    select,
    selection_stability,
)

__all__ = ["constraints_of", "select_subset"]


def select_subset(job: Job) -> Made:
    """Write selection.parquet, dropped.parquet and selected.jsonl."""
    wanted = job.recipe.select
    material = load_materials(job, {wanted.method})
    pool, curation = material.pool, material.curation
    selection = select(
        method=wanted.method,
        size=None if wanted.size == "all" else wanted.size,
        constraints=constraints_of(job, material),
        **material.arguments(wanted.method),
    )
    stability = _stability(job, material, selection)
    ids = pool.table["id"].combine_chunks()
    save_selection(
        job.folder / "selection.parquet",
        selection,
        ids,
        curation,
        material.tail,
        stability=None if stability is None else stability.probability,
    )
    save_dropped(job.folder / "dropped.parquet", selection, ids)
    _write_selected(job, material, selection)
    summary = {
        "method": selection.method,
        "n_selected": len(selection.rows),
        "dropped": dict(selection.dropped),
        "kept": None if stability is None else stability.kept,
    }
    return Made(summary)


def _stability(job: Job, material: Materials, selection: Selection) -> Stability | None:
    """How often each row is selected when the evidence is drawn again; None where not measured.

    Constraints are not made anew in each draw, so a constrained selection has none.
    """
    wanted = job.recipe.select
    simple = set(selection.dropped) <= {"unrated", "duplicate"}
    if not wanted.stability_rounds or wanted.method not in ("ds2", "top-score") or not simple:
        return None
    curation = material.curation
    several = curation.observed.ndim == 2 and curation.se is None
    by_curation = wanted.method == "ds2"
    return selection_stability(
        curation.scores if by_curation else observed_of(curation),
        material.tail,
        size=len(selection.rows),
        method=wanted.method,
        raters=curation.observed if several and by_curation else None,
        se=curation.se if by_curation else None,
        neighbors=material.neighbors,
        keys=material.pool.keys,
        prior=material.prior,
        n_draws=wanted.stability_rounds,
        seed=job.recipe.seed,
    )


def _write_selected(job: Job, material: Materials, selection: Selection) -> None:
    rows, curation = selection.rows, material.curation
    write_pool(
        material.pool.take(rows),
        job.folder / "selected.jsonl",
        format=job.recipe.output.format,
        columns={
            "ds2_score": _scores(curation.scores[rows]),
            "ds2_observed": _scores(observed_of(curation)[rows]),
            "ds2_long_tail": material.tail[rows],
            "ds2_reason": selection.reasons,
        },
    )


def constraints_of(job: Job, material: Materials) -> Constraints | None:
    """Return what [select] asks of the selection beside the method; None where it asks nothing."""
    wanted, pool = job.recipe.select, material.pool
    _check_pairs(wanted)
    found = Constraints()
    if wanted.max_tokens is not None:
        found = replace(
            found, max_tokens=wanted.max_tokens, tokens=token_counts(job, pool, wanted.tokenizer)
        )
    if wanted.quotas:
        found = replace(found, quotas=_quotas(wanted, material))
    if wanted.near_duplicate is not None:
        found = replace(found, near_duplicate=wanted.near_duplicate)
    if wanted.min_score is not None:
        found = replace(found, min_score=wanted.min_score)
    if wanted.must_have is not None:
        found = replace(found, must_have=listed_rows(job, pool, wanted.must_have))
    if wanted.must_not is not None:
        found = replace(found, must_not=listed_rows(job, pool, wanted.must_not))
    if wanted.decontaminate:
        blocked = contaminated(job, pool)
        if wanted.decontaminate_similarity is not None:
            blocked |= near_evaluation(job, material.vectors)
        found = replace(found, blocked=blocked)
    asked = wanted.quotas or wanted.decontaminate or wanted.max_tokens is not None
    simple = (wanted.near_duplicate, wanted.min_score, wanted.must_have, wanted.must_not)
    return found if asked or any(setting is not None for setting in simple) else None


def _check_pairs(wanted: SelectSection) -> None:
    """Raise `InputError` where a setting says nothing without another one."""
    if wanted.size == "all" and wanted.max_tokens is None:
        raise InputError(
            "'select.size' is \"all\", which means all that a budget allows: set "
            "'select.max_tokens', or give a number of rows or a fraction."
        )
    if wanted.decontaminate_similarity is not None and not wanted.decontaminate:
        raise InputError(
            "'select.decontaminate_similarity' looks for what is near to evaluation sets: name "
            "them in 'select.decontaminate', or leave it out."
        )


def _quotas(wanted: SelectSection, material: Materials) -> tuple[Quota, ...]:
    labels = {quota.by: _labels(quota.by, material) for quota in wanted.quotas}
    return tuple(part for quota in wanted.quotas for part in _quota(quota, labels[quota.by]))


def _quota(quota: QuotaSetting, labels: np.ndarray) -> Iterator[Quota]:
    """One quota, or two where one end is in rows and the other a share."""
    rows, shares = (
        [end if isinstance(end, kind) else None for end in (quota.min, quota.max)]
        for kind in (int, float)
    )
    for unit, (low, high) in (("rows", rows), ("share", shares)):
        if low is not None or high is not None:
            yield Quota(labels, quota.label, low, high, of=unit, name=quota.by)
    if quota.min is None and quota.max is None:
        raise InputError(
            f"The quota for {quota.by} '{quota.label}' in select.quotas has neither min nor max. "
            "Give one."
        )


def _labels(by: str, material: Materials) -> np.ndarray:
    if by == "source":
        return np.array(material.pool.sources, dtype=object)
    if by == "language":
        return _languages(material.pool)
    values = material.pool.column(by)
    return np.array([None if value is None else str(value) for value in values], dtype=object)


def _languages(pool: Pool) -> np.ndarray:
    found: list[str | None] = []
    for start in range(0, len(pool), 1024):
        found += identify_languages(pool.texts(start, start + 1024))
    return np.array(found, dtype=object)


def _scores(values: np.ndarray) -> list[Any]:
    """Return whole scores as ints (3, not 3.0), and what is missing as None."""
    return [
        None if np.isnan(value) else int(value) if value.is_integer() else value
        for value in values.tolist()
    ]
