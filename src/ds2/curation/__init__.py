"""Better scores in the place of wrong ones, and never silently worse ones."""

from ds2.curation.curate import curate
from ds2.curation.gold import GoldPlan, plan_gold
from ds2.curation.result import Curation, Evidence

__all__ = ["Curation", "Evidence", "GoldPlan", "curate", "plan_gold"]
