"""How a result shows itself: one line, and a small table in a notebook."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from html import escape
from typing import Any, ClassVar

import numpy as np

__all__ = ["Shown", "heat_map"]

#: Characters of a text, entries of a small array or list that are shown whole.
_LONG, _FEW = 60, 6


class Shown:
    """A dataclass (declared with ``repr=False``) whose arrays are shown by their shapes.

    What is None or empty is left out. ``seen`` names what is shown, by default all fields.
    """

    __slots__ = ()
    seen: ClassVar[tuple[str, ...]] = ()

    def __repr__(self) -> str:
        parts = [f"{name}={value}" for name, value in self._parts()]
        return f"{type(self).__name__}({', '.join(parts)})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th>"
            f"<td style='text-align:left'>{escape(value)}</td></tr>"
            for name, value in self._parts()
        )
        return f"<b>{type(self).__name__}</b><table>{rows}</table>"

    def _parts(self) -> list[tuple[str, str]]:
        names = self.seen or [one.name for one in fields(self)]  # type: ignore[arg-type]
        found = [(name, getattr(self, name)) for name in names]
        return [(name, brief(value)) for name, value in found if not _empty(value)]


def brief(value: Any) -> str:
    """Return a value in a few words."""
    if isinstance(value, np.ndarray) and (value.ndim > 1 or len(value) > _FEW):
        return f"<{' × '.join(f'{size:,}' for size in value.shape)} {value.dtype}>"
    if isinstance(value, np.ndarray):
        return np.array2string(value, precision=3, separator=", ")
    if isinstance(value, (float, np.floating)):
        return f"{value:.4g}"
    if is_dataclass(value) and not isinstance(value, Shown):
        inner = ((one.name, getattr(value, one.name)) for one in fields(value))
        numbers = [f"{name}={brief(v)}" for name, v in inner if isinstance(v, (int, float))]
        return f"{type(value).__name__}({', '.join(numbers)})"
    text = repr(value)
    if len(text) > _LONG and isinstance(value, str):
        text = f"{text[: _LONG - 1]}…"
    size = f" of {len(value):,}" if isinstance(value, (tuple, list, Mapping)) else ""
    return text if len(text) <= _LONG else f"<{type(value).__name__}{size}>"


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, (str, tuple, list, Mapping)) and not value)


def heat_map(matrix: np.ndarray) -> str:
    """A (s, s) transition matrix as an HTML table, darker where it is larger."""
    levels = range(len(matrix))
    head = "".join(f"<th>{level}</th>" for level in levels)
    rows = "".join(
        f"<tr><th>{level}</th>"
        + "".join(
            f"<td style='background:rgba(37,99,235,{share:.2f});"
            f"color:{'#fff' if share > 0.55 else 'inherit'}'>{share:.2f}</td>"
            for share in np.nan_to_num(matrix[level])
        )
        + "</tr>"
        for level in levels
    )
    return (
        f"<table><caption>P(observed = column | true = row)</caption><tr><th></th>{head}</tr>"
        f"{rows}</table>"
    )
