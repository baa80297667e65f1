"""Numbers, or lists of numbers, in the pool's order: JSON, one a line, or an .npy array."""

import json
from pathlib import Path

import numpy as np

from ds2.errors import InputError
from ds2.pool.files import check_readable
from ds2.pool.rows import Fault, read_file
from ds2.pool.wording import shown, shown_path

__all__ = ["ARRAYS", "UNPARSABLE", "UNSAFE", "read_list"]

#: Files of arrays, and files that can run code when they are read.
ARRAYS, UNSAFE = (".npy",), (".pt", ".pth", ".pkl", ".pickle")

#: What stands where something else than a rating was given.
UNPARSABLE = object()


def read_list(path: Path, column: str | None) -> list[object]:
    """Return one number per example as it was read.

    Args:
        path: the file.
        column: in a file of lists, which number of each, from 0.

    Raises:
        InputError: the file holds something else, or could run code.
    """
    values = _array_values(path) if path.suffix.lower() in ARRAYS else _listed_values(path)
    if not values:
        raise InputError(f"{shown_path(path)} holds no ratings.")
    width = max((len(value) for value in values if isinstance(value, list)), default=0)
    if width:
        place = _place(path, column, width)
        values = [_taken(value, place, alone=width == 1) for value in values]
    return values


def _taken(value: object, place: int, *, alone: bool) -> object:
    """Return one number of a row; a number where a list is expected says nothing."""
    if isinstance(value, list):
        return value[place] if place < len(value) else None
    return value if alone or value is None else UNPARSABLE


def _place(path: Path, column: str | None, width: int) -> int:
    """Return which number of each row to take."""
    if column is None and width == 1:
        return 0
    if column is None or not column.isdecimal() or int(column) >= width:
        raise InputError(
            f"Each row of {shown_path(path)} has {width} numbers. Name one with column = '0' (the "
            f"first) to '{width - 1}'." + (f" Got {shown(column)}." if column is not None else "")
        )
    return int(column)


def _array_values(path: Path) -> list[object]:
    check_readable(path)
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError):
        raise InputError(
            f"{shown_path(path)} is no array of numbers that can be read without running code. "
            "Save it again with numpy.save from an array of numbers."
        ) from None
    if array.ndim not in (1, 2) or array.dtype.kind not in "iufb":
        raise InputError(
            f"{shown_path(path)} must hold one number per example, or one row of numbers. Got "
            f"{array.dtype} of shape {array.shape}."
        )
    return list(array.tolist())


def _listed_values(path: Path) -> list[object]:
    if path.suffix.lower() in UNSAFE:
        raise InputError(
            f"{shown_path(path)} can run code when it is read, so ds2 does not read it. Convert it "
            'with: python -c "import sys, numpy, torch; numpy.save(sys.argv[2], '
            'numpy.asarray(torch.load(sys.argv[1])))" OLD.pt NEW.npy'
        )
    source = read_file(path)
    values: list[object] = []
    for line, row in source.rows:
        if not isinstance(row, Fault):
            raise InputError(
                f"{source.name}, {source.unit} {line:,}: an object stands where a number or a list "
                "of numbers is expected."
            )
        if not row.reason.startswith("not an object"):
            raise InputError(f"{source.name}, {source.unit} {line:,}: {row.reason}.")
        values.append(json.loads(row.text))
    return values
