"""Better scores in the place of wrong ones, and never silently worse ones."""

from ds2.curation.between import (
    GoldDifference,
    PlanBetween,
    gold_between,
    plan_gold_between,
)
from ds2.curation.bias import BiasRow, measure_bias, remove_covariate
from ds2.curation.curate import curate
from ds2.curation.gold import GoldPlan, plan_gold
from ds2.curation.rerate import ReratePlan, combine_ratings, normal_posterior, plan_rerating
from ds2.curation.result import Curation, Evidence
from ds2.curation.scorer import Scored, Scorer, Skill, fit_scorer

__all__ = [
    "BiasRow",
    "Curation",
    "Evidence",
    "GoldDifference",
    "GoldPlan",
    "PlanBetween",
    "ReratePlan",
    "Scored",
    "Scorer",
    "Skill",
    "combine_ratings",
    "curate",
    "fit_scorer",
    "gold_between",
    "measure_bias",
    "normal_posterior",
    "plan_gold",
    "plan_gold_between",
    "plan_rerating",
    "remove_covariate",
]
