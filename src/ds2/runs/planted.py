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
    n_scores = Scale.parse(wanted.scale, bins=wanted.bins).n_scores
    try:
        held = json.loads(path.read_bytes())
        matrix = np.array(held.get("matrix", held.get("transition")), dtype=np.float64)
        why = f"a matrix of the shape {matrix.shape}"
    except OSError as error:
        why = f"a file that cannot be read ({error.strerror})"
    except (ValueError, TypeError, AttributeError, RecursionError):
        why = 'no JSON object with a table of numbers under "matrix"'
    else:
        if matrix.shape == (n_scores, n_scores):
            sums = matrix.sum(axis=1)
            wrong = np.flatnonzero((matrix < 0).any(axis=1) | ~(abs(sums - 1) <= _TOLERANCE))
            if not len(wrong):
                return matrix
            why = f"a matrix whose row {wrong[0]} sums to {sums[wrong[0]]:g}, or is not 0 or more"
    raise InputError(
        f"'scores.planted' names '{path}', {why}. With {n_scores} scores it must be {n_scores} × "
        f"{n_scores}: one row of probabilities, which sum to 1, for each true score."
    )
