"""How values and paths that others wrote may appear in a sentence: short, and escaped."""

import os

__all__ = ["kind_of", "shown", "shown_names", "shown_path"]

_KINDS = {dict: "an object", list: "a list", bool: "true/false", str: "text"}


def shown(value: object, limit: int = 40) -> str:
    """Return at most ``limit`` characters of ``value`` as a repr, so nothing in it can act."""
    if isinstance(value, str):
        return repr(value) if len(value) <= limit else f"{value[:limit]!r}…"
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)[:limit]
    return kind_of(value)


def kind_of(value: object) -> str:
    """Return what kind of JSON value this is, in words."""
    if value is None:
        return "null"
    return _KINDS.get(type(value), "a number" if isinstance(value, (int, float)) else "a value")


def shown_names(names: list[str], limit: int = 8) -> str:
    """Return up to ``limit`` names of fields as a list for a sentence."""
    if not names:
        return "(none)"
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(shown(name) for name in names[:limit]) + more


def shown_path(path: str | os.PathLike[str]) -> str:
    """Return a path with every character that a terminal might act on escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in os.fspath(path))
