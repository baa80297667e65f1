"""Ratings: asked for here or brought along, what they mean, and why some are missing."""

from ds2.rating.agreement import audit_ratings
from ds2.rating.audit import RatingAudit
from ds2.rating.batch import BatchRater
from ds2.rating.batch_job import Batches
from ds2.rating.chat import ChatRater
from ds2.rating.importing import import_panel, import_ratings
from ds2.rating.local import LocalRater
from ds2.rating.panel import Panel
from ds2.rating.rate import rate, reparse
from ds2.rating.rater import Rater
from ds2.rating.ratings import PROBLEMS, Ratings
from ds2.rating.rubric import Criterion, Rubric
from ds2.rating.scale import Scale

__all__ = [
    "PROBLEMS",
    "BatchRater",
    "Batches",
    "ChatRater",
    "Criterion",
    "LocalRater",
    "Panel",
    "Rater",
    "RatingAudit",
    "Ratings",
    "Rubric",
    "Scale",
    "audit_ratings",
    "import_panel",
    "import_ratings",
    "rate",
    "reparse",
]
