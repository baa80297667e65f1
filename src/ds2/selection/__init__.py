"""Which examples to train on: the long-tail score, and methods that order the pool."""

from ds2.selection.compare import (
    AgainstRandom,
    ComparedSelection,
    Comparison,
    against_random,
    compare_selections,
)
from ds2.selection.constraints import Constraints, Quota
from ds2.selection.curves import (
    FrontierCurve,
    FrontierPoint,
    SizeCurve,
    frontier_curve,
    size_curve,
)
from ds2.selection.methods import METHODS, VARIANT, long_tail_scores, rule_of
from ds2.selection.near import find_near, find_near_duplicates
from ds2.selection.select import Selection, check_size, select
from ds2.selection.stability import Stability, selection_stability

__all__ = [
    "METHODS",
    "VARIANT",
    "AgainstRandom",
    "ComparedSelection",
    "Comparison",
    "Constraints",
    "FrontierCurve",
    "FrontierPoint",
    "Quota",
    "Selection",
    "SizeCurve",
    "Stability",
    "against_random",
    "check_size",
    "compare_selections",
    "find_near",
    "find_near_duplicates",
    "frontier_curve",
    "long_tail_scores",
    "rule_of",
    "select",
    "selection_stability",
    "size_curve",
]
