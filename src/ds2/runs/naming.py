"""Array functions number the raters; a person with a recipe knows their names."""

import re
from collections.abc import Sequence
from dataclasses import replace

from ds2.curation import Curation

__all__ = ["named", "with_names"]

_NUMBERED = re.compile(r"\b([Rr])ater (\d+)\b")


def with_names(sentences: Sequence[str], raters: Sequence[str]) -> tuple[str, ...]:
    """Put the names of raters where sentences number them, from 1; one rater has no number."""

    def name(found: re.Match[str]) -> str:
        number = int(found[2])
        return f"{found[1]}ater '{raters[number - 1]}'" if number <= len(raters) else found[0]

    return tuple(_NUMBERED.sub(name, sentence) for sentence in sentences)


def named(curation: Curation, raters: Sequence[str]) -> Curation:
    """Return the curation with names in its evidence and its sentences."""
    (last,) = with_names([curation.next_evidence], raters)
    return replace(
        curation,
        evidence=tuple(
            replace(row, measure=with_names([row.measure], raters)[0]) for row in curation.evidence
        ),
        warnings=with_names(curation.warnings, raters),
        next_evidence=last,
    )
