"""Select the instruction data that trains best, and say how far to trust the selection."""

from ds2._version import __version__

__all__ = ["__version__"]
