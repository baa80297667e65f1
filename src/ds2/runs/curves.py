"""`ds2 select --curve`: what another size, or more or less breadth, would bring."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ds2.errors import InputError
from ds2.runs.job import Listener
from ds2.runs.loop import opened
from ds2.runs.select import Materials, constraints_of, load_materials
from ds2.selection import (
    Constraints,
    FrontierCurve,
    SizeCurve,
    check_size,
    frontier_curve,
    select,
    size_curve,
)

__all__ = ["curves_of"]

#: Sizes that are looked at, in shares of the run's own.
SHARES = (0.25, 0.5, 1, 2, 4)


def curves_of(
    folder: Path,
    *,
    overrides: Mapping[str, object] | None = None,
    listener: Listener | None = None,
) -> tuple[SizeCurve, FrontierCurve]:
    """Bring the run up to date, and draw both curves around its selection.

    Raises:
        InputError: the size is what a budget allows, so that there is no other.
    """
    with opened(folder, until="select", overrides=overrides, listener=listener) as job:
        wanted = job.recipe.select
        if wanted.size == "all":
            raise InputError("'select.size' is \"all\": give a number of rows to draw curves.")
        material = load_materials(job, {wanted.method})
        limits = constraints_of(job, material)
        own = check_size(wanted.size, len(material.pool))
        chosen = {
            size: rows
            for size in sorted({min(round(s * own), len(material.pool)) for s in SHARES} - {0})
            if (rows := _rows(material, wanted.method, size, limits, must=size == own)) is not None
        }
        given: dict[str, Any] = {
            "vectors": material.vectors,
            "neighbors": material.neighbors,
            "keys": material.pool.keys,
            "seed": material.seed,
        }
        scores, se = material.curation.scores, material.curation.se
        by_size = size_curve(chosen, scores, se=se, **given)
        by_dial = frontier_curve(scores, size=own, selections={wanted.method: chosen[own]}, **given)
    return by_size, by_dial


def _rows(
    material: Materials, method: str, size: int, limits: Constraints | None, *, must: bool
) -> np.ndarray | None:
    """What the run's method selects at some size; None where it cannot."""
    arguments = material.arguments(method)
    try:
        return select(method=method, size=size, constraints=limits, **arguments).rows
    except InputError:
        if must:
            raise
        return None
