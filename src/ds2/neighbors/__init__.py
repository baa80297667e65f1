"""Who is near whom: one search over the pool, and the graph it leaves."""

from ds2.neighbors.blocks import in_threads, row_blocks, stretch_of
from ds2.neighbors.find import find_neighbors
from ds2.neighbors.graph import Neighbors
from ds2.neighbors.groups import identical_groups
from ds2.neighbors.neighborhoods import deal, neighborhoods, some_of

__all__ = [
    "Neighbors",
    "deal",
    "find_neighbors",
    "identical_groups",
    "in_threads",
    "neighborhoods",
    "row_blocks",
    "some_of",
    "stretch_of",
]
