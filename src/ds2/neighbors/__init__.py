"""Who is near whom: one search over the pool, and the graph it leaves."""

from ds2.neighbors.blocks import n_threads
from ds2.neighbors.find import find_neighbors
from ds2.neighbors.graph import Neighbors
from ds2.neighbors.groups import identical_groups

__all__ = ["Neighbors", "find_neighbors", "identical_groups", "n_threads"]
