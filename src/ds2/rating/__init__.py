"""Ratings: asked for here or brought along, what they mean, and why some are missing."""

from ds2.rating.audit import (
    Histogram,
    PairAgreement,
    RaterAudit,
    RatingAudit,
    Retest,
    audit_ratings,
)
from ds2.rating.batch import Batches, BatchProgress, BatchRater
from ds2.rating.chat import ChatRater
from ds2.rating.gold import GoldScores, read_gold, write_gold_sheet
from ds2.rating.imports import (
    guess_scale,
    import_panel,
    import_ratings,
    no_number,
    pool_values,
)
from ds2.rating.local import LocalRater
from ds2.rating.loop import RateProgress
from ds2.rating.prompt import Prompt, PromptBuilder
from ds2.rating.rate import Forecast, rate, reparse
from ds2.rating.rater import Answer, Failure, Limits, Rater
from ds2.rating.ratings import PROBLEMS, Note, Panel, Ratings
from ds2.rating.rubric import Criterion, Rubric
from ds2.rating.scale import Scale
from ds2.rating.store import Store

__all__ = [
    "PROBLEMS",
    "Answer",
    "BatchProgress",
    "BatchRater",
    "Batches",
    "ChatRater",
    "Criterion",
    "Failure",
    "Forecast",
    "GoldScores",
    "Histogram",
    "Limits",
    "LocalRater",
    "Note",
    "PairAgreement",
    "Panel",
    "Prompt",
    "PromptBuilder",
    "RateProgress",
    "Rater",
    "RaterAudit",
    "RatingAudit",
    "Ratings",
    "Retest",
    "Rubric",
    "Scale",
    "Store",
    "audit_ratings",
    "guess_scale",
    "import_panel",
    "import_ratings",
    "no_number",
    "pool_values",
    "rate",
    "read_gold",
    "reparse",
    "write_gold_sheet",
]
