"""The matrix that the scores of a test were drawn through, from the file that the recipe names."""

import json
from pathlib import Path

import numpy as np

from ds2.arrays import Transition
from ds2.errors import InputError
from ds2.rating import Scale
from ds2.runs.recipe import Recipe
from ds2.runs.recipe_file import check_exists, resolve_path

__all__ = ["load_planted"]

_KEYS = ("matrix", "transition")
_TOLERANCE = 0.01


def load_planted(recipe: Recipe, folder: Path) -> Transition | None:
    """Return the matrix of ``scores.planted``, or None where the recipe names no file.

    The file is a JSON object whose key "matrix" (or "transition") holds one row per true score:
    the probabilities of the observed scores.

    Raises:
        InputError: the file cannot be read or holds no such matrix, or the recipe does not say
            where the true scores are.
    """
    wanted = recipe.scores
    if wanted.planted is None:
        return None
    if wanted.true_column is None:
        raise InputError(
            "'scores.planted' means nothing without the true scores. Set 'scores.true_column', or "
            "remove 'scores.planted'."
        )
    path = check_exists("'scores.planted'", resolve_path(folder, wanted.planted))
    named = f"'scores.planted' names '{path}', "
    matrix = _read(path, named)
    n_scores = Scale.parse(wanted.scale, bins=wanted.bins).n_scores
    if matrix.shape != (n_scores, n_scores):
        shape = " × ".join(str(size) for size in matrix.shape) or "a single number"
        raise InputError(
            f"{named}whose matrix is {shape}. With {n_scores} scores it must be "
            f"{n_scores} × {n_scores}."
        )
    sums = matrix.sum(axis=1)
    wrong = (matrix < 0).any(axis=1) | ~(np.abs(sums - 1) <= _TOLERANCE)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(
            f"{named}where row {row} of the matrix is no distribution: its entries must be 0 or "
            f"more and sum to 1. They sum to {sums[row]:g}."
        )
    return matrix


def _read(path: Path, named: str) -> np.ndarray:
    try:
        document = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{named}which cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise InputError(f"{named}which is not valid JSON.") from None
    held = document if isinstance(document, dict) else {}
    key = next((key for key in _KEYS if key in held), None)
    if key is None:
        raise InputError(
            f'{named}which has no key "matrix". It must be a JSON object with one row of '
            "probabilities for each true score."
        )
    try:
        return np.array(held[key], dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(
            f'{named}whose "{key}" is no table of numbers, every row of one length.'
        ) from None
