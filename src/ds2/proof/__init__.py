"""Proof by training: is a model that was trained on one arm better than one trained on another?"""

from ds2.proof.arms import Arms, read_arms
from ds2.proof.compare import ArmComparison, compare_arms
from ds2.proof.items import Difference
from ds2.proof.likelihood import Likelihoods, measure_likelihoods
from ds2.proof.power import Noise, detectable_effect

__all__ = [
    "ArmComparison",
    "Arms",
    "Difference",
    "Likelihoods",
    "Noise",
    "compare_arms",
    "detectable_effect",
    "measure_likelihoods",
    "read_arms",
]
