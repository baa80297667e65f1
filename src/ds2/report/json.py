"""The report as JSON: the numbers as they are, and the verdict's sentences."""

import dataclasses
import json

from ds2.report.numbers import ReportNumbers
from ds2.report.verdict import verdict

__all__ = ["render_json"]

#: Raised when a field is renamed, removed, or changes its meaning.
_LAYOUT = 1


def render_json(numbers: ReportNumbers) -> str:
    """Return the numbers as a JSON object; what is missing is null, and all text is ASCII."""
    document = {
        "layout": _LAYOUT,
        "verdict": [dataclasses.asdict(finding) for finding in verdict(numbers)],
        **dataclasses.asdict(numbers),
    }
    return json.dumps(document, indent=1, allow_nan=False) + "\n"
