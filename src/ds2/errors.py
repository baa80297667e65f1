"""Every error that ds2 raises on purpose.

    Ds2Error                     exit code 1: the run needs you
    ├── InputError               exit code 2: a value, file or setting is wrong (also a ValueError)
    │   └── MissingDependencyError   an optional package is not installed (also an ImportError)
    └── RunError                 exit code 1: a run folder cannot go on
        └── RunBusyError             another process works on this run

A message says what is wrong, where, what was found, and what to do about it. The command line
catches `Ds2Error` in one place and prints the message without a traceback.
"""

__all__ = [
    "Ds2Error",
    "Ds2Warning",
    "InputError",
    "MissingDependencyError",
    "RunBusyError",
    "RunError",
]


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
        install: the line to paste, when it is not ``pip install`` and the package.
    """

    def __init__(self, package: str, purpose: str, install: str | None = None) -> None:
        line = install or f"pip install {package}"
        super().__init__(f"{purpose} needs the package '{package}'. Install it with: {line}")


class RunError(Ds2Error):
    """A run folder cannot go on as it is."""


class RunBusyError(RunError):
    """Another process is working on this run."""


class Ds2Warning(UserWarning):
    """Something that the user should know and that does not stop the work."""
