"""Which examples to train on: the long-tail score, and methods that order the pool."""

from ds2.selection.long_tail import long_tail_scores
from ds2.selection.result import Selection
from ds2.selection.select import check_size, select
from ds2.selection.strategies import METHODS

__all__ = ["METHODS", "Selection", "check_size", "long_tail_scores", "select"]
