"""Select the instruction data that trains best, and say how far to trust the selection.

The public names, in the order of a run: `read_pool`, `import_ratings`, `embed`, `find_neighbors`,
`estimate_transition`, `curate`, `long_tail_scores`, `select`, `write_pool`. All of them are in
`__init__.pyi`, each with its module, and each is loaded when it is first used, so that `import ds2`
is fast.
"""

import ast
from importlib import import_module
from pathlib import Path

from ds2._version import __version__ as __version__

_HOME = {
    alias.name: str(node.module)
    for node in ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")).body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}
__all__ = sorted(_HOME, key=lambda name: (not name.isupper(), not name[:1].isupper(), name))  # noqa: PLE0605


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'ds2' has no attribute '{name}'")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
