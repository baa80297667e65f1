"""Which examples to train on: the long-tail score, and methods that order the pool."""

from ds2.selection.against_random import AgainstRandom, against_random
from ds2.selection.compare import ComparedSelection, Comparison, compare_selections
from ds2.selection.constraints import Constraints, Quota
from ds2.selection.long_tail import long_tail_scores
from ds2.selection.near_duplicates import find_near, find_near_duplicates
from ds2.selection.result import Selection
from ds2.selection.select import check_size, select
from ds2.selection.stability import Stability, selection_stability
from ds2.selection.strategies import METHODS, looks_at_scores

__all__ = [
    "METHODS",
    "AgainstRandom",
    "ComparedSelection",
    "Comparison",
    "Constraints",
    "Quota",
    "Selection",
    "Stability",
    "against_random",
    "check_size",
    "compare_selections",
    "find_near",
    "find_near_duplicates",
    "long_tail_scores",
    "looks_at_scores",
    "select",
    "selection_stability",
]
