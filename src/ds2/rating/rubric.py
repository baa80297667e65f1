"""What a rater is asked: criteria, a scale, which criterion is scored, and instructions."""

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from ds2.atomic import read_toml
from ds2.checks import check_choice
from ds2.errors import InputError
from ds2.pool.wording import kind_of, shown, shown_path
from ds2.rating.scale import Scale

__all__ = ["FORMS", "Criterion", "Rubric", "packaged"]

#: How a rater may reply: an object by JSON schema, an object in JSON mode, an object in free text,
#: or one token whose log-probabilities give the expected rating.
FORMS = ("structured", "json", "text", "expected")

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_MOST_CRITERIA, _MOST_LEVELS, _LONGEST = 20, 1001, 10_000
#: Up to this many levels a schema lists them: every endpoint knows enumerations, not all know ends.
_LISTED = 20
_KEYS = ("name", "scored", "scale", "bins", "form", "instructions", "criteria")


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing to rate: a name, which is the key of the reply, and what it means."""

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Rubric:
    """What a rater is asked, and how the reply becomes a rating.

    Attributes:
        name: what people call it; it is in no prompt.
        criteria: what is rated, in the order of the reply.
        scored: the criterion whose rating becomes the score.
        scale: its ends are whole numbers, and the same for all criteria; the cuts hold for the
            scored one.
        instructions: who the rater is and what counts, for the head of the prompt.
        form: the reply form to ask for, one of `FORMS`, or "auto": the best that the endpoint has.

    Raises:
        InputError: a name is not lower-case letters, digits and ``_``, or is there twice; the
            scored criterion is not there; the scale's ends are no whole numbers.
    """

    name: str
    criteria: tuple[Criterion, ...]
    scored: str
    scale: Scale
    instructions: str
    form: str = "auto"

    def __post_init__(self) -> None:
        names = [criterion.name for criterion in self.criteria]
        if not 1 <= len(names) <= _MOST_CRITERIA:
            raise InputError(f"'criteria' must be 1 to {_MOST_CRITERIA} of them. Got {len(names)}.")
        for criterion in self.criteria:
            _check_criterion(criterion)
        plain = [name.replace("_", "") for name in names]
        if len(set(plain)) < len(plain):
            again = next(name for i, name in enumerate(names) if plain[i] in plain[:i])
            raise InputError(f"'criteria' has {shown(again)} twice (a '_' makes no difference).")
        check_choice("scored", self.scored, names)
        check_choice("form", self.form, ("auto", *FORMS))
        _check_text("instructions", self.instructions)
        low, high = self.scale.low, self.scale.high
        if not (low.is_integer() and high.is_integer() and high - low < _MOST_LEVELS):
            raise InputError(
                f"'scale' of a rubric must have whole numbers as its ends, at most {_MOST_LEVELS} "
                f"levels apart. Got {low:g} to {high:g}."
            )

    @staticmethod
    def ds2() -> "Rubric":
        """Return the rubric of the paper, in our own wording.

        Rarity, complexity, informativeness and overall, each 1–10; the overall rating is scored.
        """
        return _ds2()

    @staticmethod
    def load(path: str | os.PathLike[str]) -> "Rubric":
        """Read a rubric from a TOML file; ``ds2.toml`` beside this module is one to copy.

        Raises:
            InputError: the file cannot be read, is no TOML, or holds something wrong; the message
                names the file and the key.
        """
        raw = read_toml(Path(path), shown_path(path))
        try:
            return _from_toml(raw, Path(path).stem)
        except InputError as error:
            raise InputError(f"{shown_path(path)}: {error}") from None

    @property
    def names(self) -> tuple[str, ...]:
        """The criteria's names, in order."""
        return tuple(criterion.name for criterion in self.criteria)

    @property
    def levels(self) -> range:
        """Every rating that can be given, ascending."""
        return range(int(self.scale.low), int(self.scale.high) + 1)

    @property
    def hash(self) -> str:
        """sha256 (hex) of what a rater sees: instructions, criteria and the scale's ends.

        Name, scored criterion, cuts and form are not in it: they change what is made of a reply,
        not the reply, so changing them asks for nothing again.
        """
        told = [
            self.instructions,
            [[criterion.name, criterion.description] for criterion in self.criteria],
            [self.levels[0], self.levels[-1]],
        ]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def json_schema(self) -> dict[str, object]:
        """Return the JSON schema of a reply: one whole number per criterion, all required."""
        levels = self.levels
        number: dict[str, object] = {"type": "integer"}
        if len(levels) <= _LISTED:
            number["enum"] = list(levels)
        else:
            number |= {"minimum": levels[0], "maximum": levels[-1]}
        return {
            "type": "object",
            "properties": {name: dict(number) for name in self.names},
            "required": list(self.names),
            "additionalProperties": False,
        }


def packaged(name: str) -> dict[str, Any]:
    """Return what a TOML file of this package holds."""
    return tomllib.loads(files("ds2.rating").joinpath(name).read_text("utf-8"))


@cache
def _ds2() -> Rubric:
    return _from_toml(packaged("ds2.toml"), "ds2")


def _from_toml(raw: Mapping[str, Any], stem: str) -> Rubric:
    """Read a rubric; faults name the key, and the caller adds the file."""
    for key in raw:
        if key not in _KEYS:
            check_choice("key", key, _KEYS)
    for key in ("criteria", "scored"):
        if key not in raw:
            raise InputError(f"there is no '{key}'. {_EXPLAINED[key]}")
    criteria = raw["criteria"]
    if not isinstance(criteria, dict):
        raise InputError(f"'criteria' must be a section. {_EXPLAINED['criteria']}")
    for name, description in criteria.items():
        if not isinstance(description, str):
            raise InputError(f"'criteria.{name}' must be text. Got {kind_of(description)}.")
    for key in ("name", "scored", "scale", "form", "instructions"):
        if key in raw and not isinstance(raw[key], str):
            raise InputError(f"'{key}' must be text in quotes. Got {shown(raw[key])}.")
    return Rubric(
        name=raw.get("name", stem),
        criteria=tuple(Criterion(name, text.strip()) for name, text in criteria.items()),
        scored=raw["scored"],
        scale=_scale(raw),
        instructions=(
            raw["instructions"] if "instructions" in raw else _ds2().instructions
        ).strip(),
        form=raw.get("form", "auto"),
    )


_EXPLAINED = {
    "criteria": 'Write a section [criteria] with lines such as: clarity = "How easy to read."',
    "scored": "Name the criterion whose rating becomes the score.",
}


def _scale(raw: Mapping[str, object]) -> Scale:
    bins = raw.get("bins")
    if bins is not None and not (
        isinstance(bins, list)
        and all(isinstance(cut, (int, float)) and not isinstance(cut, bool) for cut in bins)
    ):
        raise InputError(f"'bins' must be a list of numbers, ascending. Got {shown(bins)}.")
    return Scale.parse(str(raw.get("scale", "1-10")), bins)


def _check_criterion(criterion: Criterion) -> None:
    if not _NAME.fullmatch(criterion.name):
        raise InputError(
            "the name of a criterion must be lower-case letters, digits and '_', at most 40, and "
            f"begin with a letter. Got {shown(criterion.name)}."
        )
    _check_text(f"criteria.{criterion.name}", criterion.description)


def _check_text(key: str, text: str) -> None:
    if not text.strip():
        raise InputError(f"'{key}' is empty. Say in a sentence what the rater should look at.")
    if len(text) > _LONGEST:
        raise InputError(f"'{key}' has {len(text):,} characters. At most {_LONGEST:,}.")
