"""A scorer as files: its arrays (safetensors) and everything else (JSON). Nothing is pickled."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from ds2.atomic import writing
from ds2.curation import Scorer
from ds2.embedding import FIGURES
from ds2.errors import InputError
from ds2.pool.wording import shown_path
from ds2.runs.folder import write_json
from ds2.runs.frozen import plain, thawed

__all__ = ["load_scorer", "read_about", "save_scorer"]

ARRAYS, REST = "scorer.safetensors", "scorer.json"
VERSION = 1


def save_scorer(
    scorer: Scorer, folder: str | Path, *, about: Mapping[str, object] | None = None
) -> None:
    """Write a scorer into a folder, as two files; the JSON comes last and vouches for the other.

    Args:
        scorer: what `ds2.fit_scorer` gave.
        folder: is made where it is not there.
        about: what else should be known of it, as JSON values: embedder, raters, rubric.
    """
    from safetensors.numpy import save

    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, np.ndarray] = {}
    rest = _apart(scorer, "", arrays)
    with writing(place / ARRAYS) as temporary:
        temporary.write_bytes(
            save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
        )
    write_json(
        place / REST,
        {"version": VERSION, "about": dict(about or {}), "figures": FIGURES, "scorer": rest},
    )


def load_scorer(folder: str | Path) -> Scorer:
    """Read what `save_scorer` wrote.

    Raises:
        InputError: there is none, it is damaged, or another version of ds2 wrote it.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    place, said = Path(folder), _read(folder)
    try:
        arrays = load((place / ARRAYS).read_bytes())
        return Scorer(**_together(Scorer, said["scorer"], "", arrays))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        raise InputError(f"{shown_path(place / ARRAYS)} is missing or damaged.") from None


def read_about(folder: str | Path) -> Mapping[str, Any]:
    """What was said about a scorer when it was saved."""
    about: Mapping[str, Any] = _read(folder)["about"]
    return about


def _read(folder: str | Path) -> Mapping[str, Any]:
    path = Path(folder) / REST
    try:
        said: Mapping[str, Any] = json.loads(path.read_bytes())
        version, figures = said["version"], tuple(said["figures"])
    except FileNotFoundError:
        raise InputError(f"There is no scorer in {shown_path(folder)}.") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{shown_path(path)} is damaged.") from None
    if version != VERSION or figures != FIGURES:
        raise InputError(
            f"{shown_path(folder)} was written by another version of ds2, whose features are "
            "others. Fit the scorer anew."
        )
    return said


def _apart(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """JSON values of a dataclass; its arrays go into ``arrays`` by dotted name."""
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return None
    if is_dataclass(value) and any(
        isinstance(getattr(value, one.name), np.ndarray) or is_dataclass(getattr(value, one.name))
        for one in fields(value)
    ):
        return {
            one.name: _apart(getattr(value, one.name), f"{name}.{one.name}".strip("."), arrays)
            for one in fields(value)
        }
    return plain(value)


def _together(kind: Any, raw: Mapping[str, Any], name: str, arrays: Any) -> dict[str, Any]:
    """The fields of a dataclass from what `_apart` made of it."""
    hints, found = get_type_hints(kind), {}
    for key, value in raw.items():
        dotted = f"{name}.{key}".strip(".")
        if dotted in arrays:
            found[key] = arrays[dotted]
        elif is_dataclass(hints[key]) and any(one.startswith(f"{dotted}.") for one in arrays):
            found[key] = hints[key](**_together(hints[key], value, dotted, arrays))
        else:
            found[key] = thawed(hints[key], value)
    return found
