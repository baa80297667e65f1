"""How noisy raters are: transition matrices, reliability, agreement with gold, how sure it is."""

from ds2.noise.estimate import LOW_LIFT, MIN_COUNT, TransitionEstimate
from ds2.noise.order import SwappedLevels, find_swapped_levels
from ds2.noise.reliability import (
    Agreement,
    Reliability,
    agreement,
    agreement_difference,
    measure_reliability,
)
from ds2.noise.several import RaterFit, fit_raters
from ds2.noise.simulation import SimulatedPool, simulate
from ds2.noise.transition import estimate_transition
from ds2.noise.triples import Lift

__all__ = [
    "LOW_LIFT",
    "MIN_COUNT",
    "Agreement",
    "Lift",
    "RaterFit",
    "Reliability",
    "SimulatedPool",
    "SwappedLevels",
    "TransitionEstimate",
    "agreement",
    "agreement_difference",
    "estimate_transition",
    "find_swapped_levels",
    "fit_raters",
    "measure_reliability",
    "simulate",
]
