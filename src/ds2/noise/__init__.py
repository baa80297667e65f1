"""How noisy a rater is: the score transition matrix, its intervals, and its assumption."""

from ds2.noise.estimate import TransitionEstimate
from ds2.noise.findings import LOW_LIFT, MIN_COUNT
from ds2.noise.lift import Lift
from ds2.noise.simulation import SimulatedPool, simulate
from ds2.noise.transition import estimate_transition

__all__ = [
    "LOW_LIFT",
    "MIN_COUNT",
    "Lift",
    "SimulatedPool",
    "TransitionEstimate",
    "estimate_transition",
    "simulate",
]
