"""The graph as npz, the noise estimate as JSON, and back.

Missing numbers are null in JSON and NaN in memory. Nothing is pickled.
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from ds2.atomic import writing
from ds2.neighbors import Neighbors
from ds2.noise import Lift, TransitionEstimate
from ds2.runs.store import write_json

__all__ = [
    "load_neighbors",
    "load_noise",
    "plain",
    "save_neighbors",
    "save_noise",
]

_ARRAYS = (
    "matrix",
    "prior",
    "observed",
    "range",
    "intervals",
    "prior_intervals",
    "effective_counts",
)


def save_neighbors(path: Path, neighbors: Neighbors) -> None:
    """Write the graph as npz: indices, distances, recall, method and, where there are, groups."""
    arrays: dict[str, Any] = {
        "indices": neighbors.indices,
        "distances": neighbors.distances,
        "recall": np.float64(neighbors.recall),
        "method": np.str_(neighbors.method),
    }
    if neighbors.groups is not None:
        arrays["groups"] = neighbors.groups
    with writing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_neighbors(path: Path) -> Neighbors:
    """Read what `save_neighbors` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return Neighbors(
            indices=arrays["indices"],
            distances=arrays["distances"],
            recall=float(arrays["recall"]),
            method=str(arrays["method"]),
            groups=arrays.get("groups"),
        )


def save_noise(path: Path, noise: TransitionEstimate) -> None:
    """Write every field of the estimate as JSON, NaN as null."""
    write_json(path, plain(noise))


def load_noise(path: Path) -> TransitionEstimate:
    """Read what `save_noise` wrote."""
    return _estimate(json.loads(path.read_bytes()))


def _estimate(raw: Mapping[str, Any]) -> TransitionEstimate:
    values: dict[str, Any] = {}
    for name in (field.name for field in fields(TransitionEstimate)):
        value = raw[name]
        if name in _ARRAYS:
            values[name] = None if value is None else np.array(value, dtype=np.float64)
        elif isinstance(value, list):
            values[name] = tuple(_number(item) for item in value)
        else:
            values[name] = _number(value)
    values["lift"] = _lift(raw["lift"])
    values["lifts"] = tuple(_lift(lift) for lift in raw["lifts"])
    values["raters"] = tuple(None if one is None else _estimate(one) for one in raw["raters"])
    return TransitionEstimate(**values)


def _lift(raw: Mapping[str, Any]) -> Lift:
    return Lift(**{name: _number(value) for name, value in raw.items()})


def _number(value: Any) -> Any:
    return float("nan") if value is None else value


def plain(value: Any) -> Any:
    """Return JSON values: arrays as lists, NaN as null, frozen dataclasses as objects."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if hasattr(value, "__dataclass_fields__"):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
