"""Ratings: numbers that somebody gave the examples, what they mean, and why some are missing."""

from ds2.rating.agreement import RatingAudit, audit_ratings
from ds2.rating.importing import import_panel, import_ratings
from ds2.rating.panel import Panel
from ds2.rating.ratings import PROBLEMS, Ratings
from ds2.rating.scale import Scale

__all__ = [
    "PROBLEMS",
    "Panel",
    "RatingAudit",
    "Ratings",
    "Scale",
    "audit_ratings",
    "import_panel",
    "import_ratings",
]
