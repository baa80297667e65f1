"""Select the instruction data that trains best, and say how far to trust the selection.

The public names, in the order of a run: `read_pool`, `import_ratings`, `embed`, `find_neighbors`,
`estimate_transition`, `curate`, `long_tail_scores`, `select`, `write_pool`. All of them are in
`__init__.pyi`, each with its module, and each is loaded when it is first used, so that `import ds2`
is fast.
"""

from types import FunctionType

import lazy_loader

from ds2._version import __version__ as __version__

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    """Load a public name; a function says which argument it lacks, and the call that makes it."""
    found = _load(name)
    if isinstance(found, FunctionType):
        from ds2.arguments import guarded

        found = globals()[name] = guarded(found)
    return found
