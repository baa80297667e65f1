"""Who is near whom: one search over the pool, and the graph it leaves."""

from ds2.neighbors.blocks import in_threads, n_threads, row_blocks, stretch_of
from ds2.neighbors.cells import CellIndex
from ds2.neighbors.find import (
    CellSearch,
    find_neighbors,
    joined,
    prepare_cells,
    search_stretch,
)
from ds2.neighbors.graph import Neighbors
from ds2.neighbors.groups import identical_groups
from ds2.neighbors.neighborhoods import deal, neighborhoods, some_of

__all__ = [
    "CellIndex",
    "CellSearch",
    "Neighbors",
    "deal",
    "find_neighbors",
    "identical_groups",
    "in_threads",
    "joined",
    "n_threads",
    "neighborhoods",
    "prepare_cells",
    "row_blocks",
    "search_stretch",
    "some_of",
    "stretch_of",
]
