"""The command ``ds2``: parse, call `ds2.runs`, print. stdout is data, stderr is progress."""

from ds2.cli.app import main

__all__ = ["main"]
