"""Every error that ds2 raises on purpose.

    Ds2Error                     exit code 1: the run needs you
    ├── InputError               exit code 2: a value, file or setting is wrong (also a ValueError)
    │   └── MissingDependencyError   an optional package is not installed (also an ImportError)
    └── RunError                 exit code 1: a run folder cannot go on
        └── RunBusyError             another process works on this run

A message says what is wrong, where, what was found, and what to do about it. The command line
catches `Ds2Error` in one place and prints the message without a traceback.
"""

import sys
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from shlex import quote
from typing import Any

__all__ = [
    "Caution",
    "Ds2Error",
    "Ds2Warning",
    "InputError",
    "MissingDependencyError",
    "RunBusyError",
    "RunError",
    "installing",
    "upgrading",
    "warn",
]

_OURS = "ds2-select"
_HERE = __file__.removesuffix("errors.py")


class Ds2Error(Exception):
    """Base of every error that ds2 raises on purpose."""

    exit_code = 1


class InputError(Ds2Error, ValueError):
    """A value, a file or a setting that the caller gave is wrong."""

    exit_code = 2


class MissingDependencyError(InputError, ImportError):
    """An optional package is needed and not installed.

    Args:
        package: the distribution that is missing, as pip knows it.
        purpose: what needs it, as the subject of a sentence.
        extra: the extra of ds2 that brings it and what it needs beside it.
    """

    def __init__(self, package: str, purpose: str, extra: str | None = None) -> None:
        line = installing(package, extra=extra)
        super().__init__(f"{purpose} needs the package '{package}'. Install it with: {line}")

    def __reduce__(self) -> tuple[Any, ...]:  # from a worker: its sentence is what it is
        return InputError, (str(self),)


class RunError(Ds2Error):
    """A run folder cannot go on as it is."""


class RunBusyError(RunError):
    """Another process is working on this run."""


class Ds2Warning(UserWarning):
    """Something that the user should know and that does not stop the work."""


class Caution(str):
    """Such a thing as a value: the sentence, and what a program can go by in its place.

    Attributes:
        code: what is the matter; it stays when the wording changes.
        figures: the numbers and names in the sentence, JSON values.
    """

    code: str
    figures: Mapping[str, Any]

    def __new__(cls, code: str, says: str, **figures: Any) -> "Caution":
        """Make the sentence, with its code and figures beside it."""
        self = super().__new__(cls, says)
        self.code, self.figures = code, figures
        return self

    def __getnewargs_ex__(
        self,
    ) -> tuple[tuple[str, str], dict[str, Any]]:  # copies, other processes
        return (self.code, str(self)), dict(self.figures)


def installing(*packages: str, extra: str | None = None) -> str:
    """Return the line to paste that installs packages, or what an extra of ds2 brings.

    An extra is spelled out, so that the line is right however ds2 itself was installed: from an
    index, from a clone or by conda. Where the environment has no pip, it is uv's.
    """
    if extra is not None:
        marked = (line.partition(";") for line in _metadata().requires or ())
        brought = [name.strip() for name, _, when in marked if f"'{extra}'" in when]
        packages = tuple(brought) or packages
    return f"{_installer()} {' '.join(map(quote, packages))}"


def upgrading() -> str:
    """Return the line to paste that brings a newer ds2, from where this one came."""
    import json

    came = json.loads(_metadata().read_text("direct_url.json") or "{}")
    if "dir_info" not in came:
        vcs = f"{came['vcs_info']['vcs']}+{came['url']}" if "vcs_info" in came else _OURS
        return f"{_installer()} --upgrade {quote(vcs)}"
    clone = quote(str(came["url"]).removeprefix("file://"))
    editable = "-e " if came["dir_info"].get("editable") else ""
    return f"git -C {clone} pull && {_installer()} {editable}{clone}"


def _metadata() -> Any:
    """Return what is known of the installed ds2: an empty one where it was not installed."""
    from importlib.metadata import Distribution, PackageNotFoundError, PathDistribution
    from pathlib import Path

    try:
        return Distribution.from_name(_OURS)
    except PackageNotFoundError:
        return PathDistribution(Path())


def _installer() -> str:
    return "pip install" if find_spec("pip") else "uv pip install"


def warn(sentence: str) -> None:
    """Warn whoever called ds2, at the line of theirs, whatever of ds2 stands in between."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        level, frame = level + 1, frame.f_back
    warnings.warn(sentence, Ds2Warning, stacklevel=level)
