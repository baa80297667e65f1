"""Array functions number the raters; a person with a recipe knows their names."""

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ParamSpec, TypeVar

from ds2.curation import Curation
from ds2.errors import Ds2Warning

__all__ = ["named", "unheard", "with_names"]

P = ParamSpec("P")
R = TypeVar("R")

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


def unheard(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function whose warnings are in its result: they are said from there, with names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ds2Warning)
        return function(*args, **kwargs)
