"""Where the examples of a run lie on its map."""

import numpy as np

from ds2.keys import random_order_keys
from ds2.report import Layout, lay_out
from ds2.runs.materials import Materials
from ds2.runs.recipe import Recipe

__all__ = ["lay_out_run"]


def lay_out_run(materials: Materials, recipe: Recipe) -> tuple[np.ndarray, Layout]:
    """The rows in the random order that decides which are shown, and the map of all."""
    order = np.argsort(random_order_keys(materials.pool.keys, recipe.seed), kind="stable")
    layout = lay_out(
        materials.vectors,
        materials.neighbors,
        order,
        method=recipe.compare.map,
        seed=recipe.seed,
    )
    return order, layout
