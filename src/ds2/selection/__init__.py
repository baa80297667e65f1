"""Which examples to train on: the long-tail score, and methods that order the pool."""

from ds2.selection.compare import (
    AgainstRandom,
    ComparedSelection,
    Comparison,
    against_random,
    against_selection,
    compare_selections,
)
from ds2.selection.constraints import Constraints, Quota
from ds2.selection.curves import (
    Curves,
    FrontierCurve,
    FrontierPoint,
    SizeCurve,
    frontier_curve,
    share_kept,
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
    "Curves",
    "FrontierCurve",
    "FrontierPoint",
    "Quota",
    "Selection",
    "SizeCurve",
    "Stability",
    "against_random",
    "against_selection",
    "check_size",
    "compare_selections",
    "find_near",
    "find_near_duplicates",
    "frontier_curve",
    "long_tail_scores",
    "rule_of",
    "select",
    "selection_stability",
    "share_kept",
    "size_curve",
]
