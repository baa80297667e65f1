"""What is wrong in a recipe, as a sentence: the key, what was got, what is allowed or near."""

import difflib
import re
import types
from typing import TYPE_CHECKING, Annotated, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ds2.runs.recipe import Recipe
from ds2.runs.recipe_rating import RaterSection

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = [
    "choices_of",
    "explain_fault",
    "explain_unknown_key",
    "field_of",
    "keys_of_sections",
    "members_of",
    "path_of",
]

#: The one table of tables: [raters.NAME].
RATERS = "raters"


def explain_fault(key: str, detail: "ErrorDetails") -> str:
    """Return one fault that pydantic found at the dotted ``key`` as a sentence."""
    if detail["type"] == "missing":
        return f"'{key}' is missing. Add it."
    if detail["type"] == "extra_forbidden":
        return explain_unknown_key(key)
    value = detail["input"]
    got = repr(value) if len(repr(value)) <= 80 else repr(value)[:80] + "…"
    if detail["type"] == "string_unicode":
        return f"'{key}' must be UTF-8 text. Got {got}. Rename it."
    if detail["type"] == "model_type":
        return f"'{key}' must be a section, written [{key}]. Got {got}."
    field = field_of(key)
    choices = choices_of(field.annotation) if field else ()
    if len(choices) > 1 and detail["type"] == "literal_error":
        near = difflib.get_close_matches(str(value).lower(), choices, n=1, cutoff=0.4)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        return f"'{key}' must be one of {', '.join(choices)}. Got {got}.{hint}"
    must = re.sub(r"^(\w+) should (be|have) ", r"must \2 ", detail["msg"])
    must = must.removeprefix("Value error, ").replace("valid string", "text in quotes")
    must = must.replace("valid integer", "whole number").replace("valid boolean", "true or false")
    must = must.replace("greater than or equal to", "at least")
    must = must.replace("less than or equal to", "at most")
    return f"'{key}' {must.replace('a true', 'true')}. Got {got}."


def explain_unknown_key(key: str) -> str:
    """Return a sentence that names the key nearest to one that does not exist."""
    section, _, name = key.rpartition(".")
    known = [other.replace(f"{RATERS}.*", _above(section)) for other in _keys()]
    siblings = [other.rpartition(".")[2] for other in known if other.rpartition(".")[0] == section]
    near = [f"{section}.{other}".strip(".") for other in difflib.get_close_matches(name, siblings)]
    near += [other for other in known if other.rpartition(".")[2] == name]
    known_section = bool(section and siblings)
    if not known_section:
        near += difflib.get_close_matches(section or name, Recipe.model_fields)
    if near:
        return f"there is no key {key!r}. Did you mean '{near[0]}'?"
    if known_section:
        return f"there is no key {key!r}. Keys of [{section}]: {', '.join(siblings)}."
    return f"there is no key {key!r}. Keys and sections: {', '.join(Recipe.model_fields)}."


def _keys() -> dict[str, FieldInfo]:
    keys: dict[str, FieldInfo] = {}
    for name, field in Recipe.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            inner = field.annotation.model_fields
            keys |= {f"{name}.{key}": value for key, value in inner.items()}
        elif name == RATERS:
            inner = RaterSection.model_fields
            keys |= {f"{name}.*.{key}": value for key, value in inner.items()}
        else:
            keys[name] = field
    return keys


def keys_of_sections() -> dict[str, tuple[str, ...]]:
    """Return the names of the keys in each section of a recipe."""
    sections: dict[str, tuple[str, ...]] = {}
    for key in _keys():
        section, _, name = key.rpartition(".")
        if section:
            sections[section] = (*sections.get(section, ()), name)
    return sections


def field_of(key: str) -> FieldInfo | None:
    """Return the field at a dotted key, or None where there is none (or a section)."""
    *above, name = path_of(key)
    return _keys().get(".".join((above[0], "*", name) if len(above) == 2 else (*above, name)))


def path_of(key: str) -> tuple[str, ...]:
    """Take a dotted key apart; the name of a rater may hold dots itself."""
    section, _, name = key.rpartition(".")
    if section.startswith(f"{RATERS}."):
        return (RATERS, section.removeprefix(f"{RATERS}."), name)
    return (section, name) if section else (name,)


def _above(section: str) -> str:
    return section if section.startswith(f"{RATERS}.") else f"{RATERS}.NAME"


def members_of(annotation: object) -> list[object]:
    """Take unions and annotations apart: ``str | None`` is [str, NoneType]."""
    if get_origin(annotation) is Annotated:
        return members_of(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [part for member in get_args(annotation) for part in members_of(member)]
    return [annotation]


def choices_of(annotation: object) -> tuple[str, ...]:
    """Return the words that a setting allows; none where it is not a choice."""
    return tuple(
        choice
        for part in members_of(annotation)
        if get_origin(part) is Literal
        for choice in get_args(part)
    )
