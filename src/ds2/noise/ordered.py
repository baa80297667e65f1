"""The order of the classes, which no likelihood knows."""

import numpy as np

__all__ = ["in_order"]


def in_order(matrices: np.ndarray, prior: np.ndarray) -> np.ndarray | None:
    """The order of the classes that puts most examples on the raters' diagonals.

    Args:
        matrices: (r, s, s).
        prior: (s,).

    Returns:
        (s,) for each level its class; None where they are in order already.
    """
    from scipy.optimize import linear_sum_assignment

    classes, levels = linear_sum_assignment(-prior[:, None] * matrices.sum(axis=0))
    if (classes == levels).all():
        return None
    return np.asarray(classes[np.argsort(levels)])
