"""How large the house is: lines, code, docstrings, functions and frozen values of every room.

python benchmarks/house.py [src/ds2 of another checkout]
"""

import ast
import io
import sys
import tokenize
from collections import Counter
from pathlib import Path

from _common import json_line, table

COUNTED = ("files", "lines", "code", "docstrings", "functions", "dataclasses")
SOURCE = Path(__file__).parents[1] / "src" / "ds2"
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
NO_CODE = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENDMARKER,
}  # fmt: skip


def docstring(node: ast.AST) -> set[int]:
    """The lines of a node's docstring."""
    if not isinstance(node, ast.Module | ast.ClassDef | FUNCTIONS):
        return set()
    if ast.get_docstring(node, clean=False) is None:
        return set()
    return set(range(node.body[0].lineno, node.body[0].end_lineno + 1))


def measure(path: Path) -> Counter[str]:
    """Count one file."""
    text = path.read_text(encoding="utf-8")
    nodes = list(ast.walk(ast.parse(text)))
    words = set().union(*map(docstring, nodes))
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    code = {
        line
        for token in tokens
        if token.type not in NO_CODE
        for line in range(token.start[0], token.end[0] + 1)
    }
    frozen = [
        node
        for node in nodes
        if isinstance(node, ast.ClassDef)
        and any("dataclass" in ast.dump(each) for each in node.decorator_list)
    ]
    return Counter({
        "files": 1,
        "lines": len(text.splitlines()),
        "code": len(code - words),
        "docstrings": len(words),
        "functions": sum(isinstance(node, FUNCTIONS) for node in nodes),
        "dataclasses": len(frozen),
    })  # fmt: skip


def main() -> None:
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCE
    rooms: dict[str, Counter[str]] = {}
    for path in sorted(source.rglob("*.py")):
        inside = path.relative_to(source).parts
        room = inside[0] if len(inside) > 1 else "(base)"
        rooms[room] = rooms.get(room, Counter()) + measure(path)
    rooms["all"] = sum(rooms.values(), Counter())
    table([{"room": room, **{of: counts[of] for of in COUNTED}} for room, counts in rooms.items()])
    json_line("house", rooms={room: dict(counts) for room, counts in rooms.items()})


if __name__ == "__main__":
    main()
