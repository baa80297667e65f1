"""The report as JSON: the numbers as they are, and the verdict's sentences."""

import dataclasses
import json
import math

from ds2.report.numbers import ReportNumbers
from ds2.report.verdict import verdict

__all__ = ["render_json"]

#: Raised when a field is renamed, removed, or changes its meaning.
_LAYOUT = 2


def render_json(numbers: ReportNumbers) -> str:
    """Return the numbers as a JSON object; what is missing is null, and all text is ASCII."""
    document = {
        "layout": _LAYOUT,
        "verdict": [dataclasses.asdict(finding) for finding in verdict(numbers)],
        **dataclasses.asdict(numbers),
    }
    return json.dumps(_known(document), indent=1, allow_nan=False) + "\n"


def _known(value: object) -> object:
    """The same with None in place of NaN."""
    if isinstance(value, dict):
        return {key: _known(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_known(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
