"""``recipe.toml``: written with every default and comment, read with a sentence for every fault.

Relative paths in the file start at the file's own folder; those given with ``--set`` start at the
current folder, as everywhere on a command line.
"""

import difflib
import glob
import json
import os
import re
import shlex
import tomllib
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from ds2.atomic import parse_toml
from ds2.errors import InputError, upgrading
from ds2.pool.remote import is_remote
from ds2.runs.recipe import RECIPE_VERSION, FileIn, PoolSection, RaterSection, Recipe

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = [
    "HUB",
    "RECIPE",
    "at_home",
    "check_exists",
    "choices_of",
    "field_of",
    "file_in",
    "is_elsewhere",
    "load_recipe",
    "make_recipe",
    "parse_overrides",
    "places_of",
    "render_recipe",
    "resolve_name",
    "resolve_path",
    "source_of",
]

RECIPE = "recipe.toml"
HUB = "hf:"

_HEADER = """\
# The recipe of one ds2 run. Change a value, run again: what it touches is redone, the rest is kept.
# A line that starts with "# key =" is a setting that is not given. Relative paths start at this
# file's folder.
"""
#: The one table of tables: [raters.NAME].
RATERS = "raters"


def load_recipe(folder: Path, overrides: Mapping[str, object] | None = None) -> Recipe:
    """Read and check ``folder/recipe.toml``; ``overrides`` (by dotted key) win over the file."""
    path = folder / RECIPE
    try:
        raw = parse_toml(path.read_bytes(), f"'{path}'")
    except FileNotFoundError:
        what = "holds no recipe.toml" if folder.is_dir() else "does not exist"
        raise InputError(
            f"'{folder}' is no run folder: it {what}. Make it one with: "
            f"ds2 init {shlex.quote(str(folder))} --pool FILE"
        ) from None
    except NotADirectoryError:
        raise InputError(f"'{folder}' is a file, not a run folder. Name another folder.") from None
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}.") from None
    version = raw.get("schema_version", RECIPE_VERSION)
    if isinstance(version, int) and version > RECIPE_VERSION:
        raise InputError(
            f"'{path}' was written by a newer ds2 (schema_version {version}, this ds2 knows "
            f"{RECIPE_VERSION}). Upgrade with: {upgrading()}"
        )
    overrides = overrides or {}
    return _validate(_merge(raw, overrides), where=str(path), overrides=overrides)


def make_recipe(settings: Mapping[str, object], base: Recipe | None = None) -> Recipe:
    """Return a recipe with these settings (by dotted key), and those of ``base`` or defaults."""
    raw = {} if base is None else base.model_dump(mode="json")
    return _validate(_merge(raw, settings), where="recipe")


def parse_overrides(items: Sequence[str]) -> dict[str, object]:
    """Turn ``["select.size=5000", …]`` into values by dotted key, typed as in the recipe.

    A value is read as TOML where the setting is not a text; an empty value means "not given".
    """
    overrides: dict[str, object] = {}
    for item in items:
        key, sign, value = (part.strip() for part in item.partition("="))
        if not sign or not key:
            raise InputError(
                f"--set takes KEY=VALUE, for example --set select.size=5000. Got {item!r}."
            )
        field = field_of(key)
        if field is None:
            raise InputError(f"--set: {_explain_unknown_key(key)}")
        overrides[key] = _typed(value, field)
    return overrides


def resolve_path(folder: Path, path: str) -> Path:
    """Return the file that a recipe in ``folder`` means by ``path``, without ``..`` in it."""
    return Path(os.path.normpath(folder.resolve() / at_home(path)))


def resolve_name(folder: Path, name: str) -> str:
    """Return the file that a recipe in ``folder`` means by ``name``, which is none of a model.

    Raises:
        InputError: there is one where the command was given, and libraries would take that.
    """
    path = resolve_path(folder, name)
    if not path.exists() and Path(name).exists():
        raise InputError(
            f"'{name}' is in the current folder. Paths in a recipe start at the run folder, and "
            f"'{path}' does not exist. Write the whole path."
        )
    return str(path) if path.exists() else name


def at_home(path: str) -> Path:
    """Return a path whose ``~`` is the home folder, where somebody has one."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - which raises where nobody has


def source_of(folder: Path, path: str) -> str | Path:
    """Return where a pool is that a recipe in ``folder`` names: a file, or somewhere else."""
    return path if is_elsewhere(path) else resolve_path(folder, path)


def is_elsewhere(path: str) -> bool:
    """Say whether a pool is on the hub or in an object store."""
    return path.startswith(HUB) or is_remote(path)


def places_of(folder: Path, wanted: PoolSection) -> str | Path | list[str | Path]:
    """Return what `ds2.read_pool` is to read for a recipe in ``folder``: one place, or several."""
    places = [source_of(folder, path) for path in wanted.paths]
    return places if len(places) > 1 else places[0]


def check_exists(key: str, path: Path) -> Path:
    """Return ``path`` if there is something, or raise `InputError` naming the nearest name."""
    try:
        pattern = str(path)
        if path.exists() or (glob.has_magic(pattern) and glob.glob(pattern, recursive=True)):  # noqa: PTH207
            return path
    except OSError as error:
        raise InputError(f"{key} names '{path}', which cannot be read: {error.strerror}.") from None
    names = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=1)
    hint = f"Did you mean '{near[0]}'?" if near else "Check the path."
    raise InputError(f"{key} names '{path}', which does not exist. {hint}")


def render_recipe(recipe: Recipe) -> str:
    """Return the recipe as TOML, every key with a comment; keys without a value commented out."""
    lines = [_HEADER]
    for name, field in Recipe.model_fields.items():
        value = getattr(recipe, name)
        if isinstance(value, BaseModel):
            lines += _table(name, value)
        elif isinstance(value, Mapping):
            for key, table in value.items():
                lines += _table(f"{name}.{_key(key)}", table)
            lines += [] if value else ["", *_commented(field.description or "")]
        else:
            lines += _entry(name, value, field)
    return "\n".join(lines) + "\n"


def choices_of(annotation: object) -> tuple[str, ...]:
    """Return the words that a setting allows; none where it is not a choice."""
    literals = [part for part in _members(annotation) if get_origin(part) is Literal]
    return tuple(choice for part in literals for choice in get_args(part))


def _table(name: str, values: BaseModel) -> list[str]:
    lines = [f"\n[{name}]  # {(type(values).__doc__ or '').strip()}"]
    for key, field in type(values).model_fields.items():
        lines += _entry(key, getattr(values, key), field)
    return lines


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)


def _commented(text: str) -> list[str]:
    return [f"# {line}" for line in wrap(text, width=96, break_on_hyphens=False)]


def _entry(key: str, value: object, field: FieldInfo) -> list[str]:
    comment = field.description or ""
    choices = choices_of(field.annotation)
    if len(choices) > 1:
        comment += f" (one of: {', '.join(choices)})"
    return [
        *_commented(comment),
        f"# {key} =" if value is None else f"{key} = {_toml(value)}",
    ]


def _toml(value: object) -> str:
    if isinstance(value, str):  # JSON's escapes are TOML's, but for DEL
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, BaseModel):
        value = value.model_dump(exclude_none=True)
    if isinstance(value, Mapping):
        held = ", ".join(f"{_key(key)} = {_toml(item)}" for key, item in value.items())
        return f"{{ {held} }}" if held else "{}"
    return json.dumps(value)


def _merge(raw: Mapping[str, object], overrides: Mapping[str, object]) -> dict[str, object]:
    merged = deepcopy(dict(raw))
    for key, value in overrides.items():
        *above, name = _path_of(key)
        target: object = merged
        for table in above:
            target = target.setdefault(table, {}) if isinstance(target, dict) else None
        if isinstance(target, dict):
            target[name] = value
    return merged


def _validate(raw: object, *, where: str, overrides: Iterable[str] = ()) -> Recipe:
    from ds2.rating import Scale

    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        given = set(overrides)
        said = _explain_faults(error, lambda key: "--set" if key in given else where)
        raise InputError(said) from None
    try:
        Scale.check(recipe.scores.scale, recipe.scores.bins)
    except InputError as error:
        raise InputError(f"{where}: [scores] {error}") from None
    if recipe.rated:
        _check_meant(recipe, where)
    return recipe


def _check_meant(recipe: Recipe, where: str) -> None:
    """Refuse what would be passed over in silence, by where the scores come from."""
    scores, rate = recipe.scores, recipe.rate
    there = scores.column or scores.file or scores.planted
    usual = type(scores).model_fields["scale"].default
    fixed = {"scores.scale": scores.scale != usual, "scores.bins": scores.bins is not None}
    asked = {"rate.sample": rate.sample is not None, "rate.repeats": rate.repeats > 0}
    if not there and (key := next((key for key, given in fixed.items() if given), None)):
        raise InputError(
            f"{where}: '{key}' is about scores that the examples already have, and here models "
            "rate, on the scale of their rubric. Leave it out; another scale is a rubric with "
            "that scale, a file that 'rate.rubric' names."
        )
    if not recipe.raters and (key := next((key for key, given in asked.items() if given), None)):
        raise InputError(
            f"{where}: '{key}' is about models that rate, and here the scores come from a column "
            "or a file. Leave it out, or name a model in [raters.NAME]."
        )


def _explain_faults(error: ValidationError, where: Callable[[str], str]) -> str:
    """Return what pydantic found, a sentence a key: where it is, its own words, what was got."""
    details: dict[str, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        details.setdefault(_key_of(detail["loc"]), []).append(detail)
    return " ".join(f"{where(key)}: {_explain(key, found)}" for key, found in details.items())


def _key_of(loc: Sequence[int | str]) -> str:
    """The key that a place in the recipe belongs to; behind it are members of a union."""
    depth = 3 if loc[0] == RATERS else 2
    if len(loc) > depth and isinstance(loc[depth], int):  # a place in a list, a key of a table
        depth += 2
    return ".".join(map(str, loc[:depth]))


def _explain(key: str, details: "Sequence[ErrorDetails]") -> str:
    kind, value = details[0]["type"], details[0]["input"]
    if kind == "missing":
        return f"'{key}' is missing. Add it."
    if kind == "extra_forbidden":
        return _explain_unknown_key(key)
    if kind == "value_error":  # of ours: it shows as much of the value as may be shown
        return f"'{key}': {details[0]['ctx']['error']}"
    got = repr(value) if len(repr(value)) <= 80 else repr(value)[:80] + "…"
    if kind == "model_type":
        return f"'{key}' must be a section, written [{key}]. Got {got}."
    field = field_of(key)
    choices = choices_of(field.annotation) if field else ()
    near = difflib.get_close_matches(str(value).lower(), choices, n=1, cutoff=0.4)
    hint = (
        f"Did you mean '{near[0]}'?" if near else f"It means: {field.description}." if field else ""
    )
    words = "; or ".join(dict.fromkeys(detail["msg"] for detail in details))
    return f"'{key}': {words}. Got {got}. {hint}".rstrip()


def _explain_unknown_key(key: str) -> str:
    """Return a sentence that names the key nearest to one that does not exist."""
    section, _, name = key.rpartition(".")
    rater = section if section.startswith(f"{RATERS}.") else f"{RATERS}.NAME"
    known = [other.replace(f"{RATERS}.*", rater) for other in _fields()]
    siblings = [other.rpartition(".")[2] for other in known if other.rpartition(".")[0] == section]
    near = [f"{section}.{other}".strip(".") for other in difflib.get_close_matches(name, siblings)]
    near += [other for other in known if other.rpartition(".")[2] == name]
    if not (section and siblings):
        near += difflib.get_close_matches(section or name, Recipe.model_fields)
    if near:
        return f"there is no key {key!r}. Did you mean '{near[0]}'?"
    if section and siblings:
        return f"there is no key {key!r}. Keys of [{section}]: {', '.join(siblings)}."
    return f"there is no key {key!r}. Keys and sections: {', '.join(Recipe.model_fields)}."


def _fields() -> dict[str, FieldInfo]:
    """Every key of a recipe; those of a rater are raters.*.KEY."""
    keys: dict[str, FieldInfo] = {}
    for name, field in Recipe.model_fields.items():
        section = RaterSection if name == RATERS else field.annotation
        above = f"{RATERS}.*" if name == RATERS else name
        if isinstance(section, type) and issubclass(section, BaseModel):
            keys |= {f"{above}.{key}": value for key, value in section.model_fields.items()}
        else:
            keys[name] = field
    return keys


def field_of(key: str) -> FieldInfo | None:
    """Return the field at a dotted key, or None where there is none (or a section)."""
    *above, name = _path_of(key)
    return _fields().get(".".join((above[0], "*", name) if len(above) == 2 else (*above, name)))


def _path_of(key: str) -> tuple[str, ...]:
    """Take a dotted key apart; the name of a rater may hold dots itself."""
    section, _, name = key.rpartition(".")
    if section.startswith(f"{RATERS}."):
        return (RATERS, section.removeprefix(f"{RATERS}."), name)
    return (section, name) if section else (name,)


def _members(annotation: object) -> list[object]:
    """Take unions and annotations apart: ``str | None`` is [str, NoneType]."""
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [part for member in get_args(annotation) for part in _members(member)]
    return [annotation]


def _typed(value: str, field: FieldInfo) -> object:
    parts = [part for part in _members(field.annotation) if part is not type(None)]
    if not value and len(parts) < len(_members(field.annotation)):
        return None
    texts = all(part is str or get_origin(part) is Literal for part in parts)
    if texts or (str in parts and not value.startswith("[")):  # or a list of texts
        return _located(value, field)
    typed = _from_toml(value)
    if _file_in(field.metadata):  # a list of files; one needs no brackets
        return [
            _located(str(one), field) for one in (typed if isinstance(typed, list) else [typed])
        ]
    return typed


def file_in(key: str) -> FileIn | None:
    """Return what of a setting is a file, by its type; None: nothing is."""
    field = field_of(key)
    return None if field is None else _file_in([*field.metadata, field.annotation])


def _file_in(parts: Iterable[object]) -> FileIn | None:
    for part in parts:
        if found := part if isinstance(part, FileIn) else _file_in(get_args(part)):
            return found
    return None


def _located(text: str, field: FieldInfo) -> str:
    """A setting of the command line: what is a file in it, from the current folder."""
    held = _file_in([*field.metadata, field.annotation])
    if held is None or text in held.words:
        return text
    before, mark, name = text.partition(held.behind) if held.behind else ("", "", text)
    path, end = at_home(name), held.if_there
    if (
        not name
        or is_elsewhere(name)
        or not (end is None or (name.endswith(end) and path.exists()))
    ):
        return text
    return f"{before}{mark}{path.absolute()}"


def _from_toml(value: str) -> object:
    try:
        typed = tomllib.loads(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return value
    return typed["value"] if set(typed) == {"value"} else value
