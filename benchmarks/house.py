"""How large the house is: lines, code, docstrings, functions and frozen values of every room.

python benchmarks/house.py [src/ds2 of another checkout] [--walk]

--walk also says how much of it a run of the demo enters, how many files one other file alone
imports, and how many parameters the ten widest functions have.
"""

import ast
import io
import json
import os
import re
import subprocess
import sys
import tempfile
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


#: Runs a command in this process and prints the functions that were entered: file and first line.
WALK = """
import json, sys, threading
from pathlib import Path
import ds2.cli.app
home, entered, seen = str(Path(ds2.__file__).parent), set(), set()
def note(frame, event, argument):
    code = frame.f_code
    if event != "call" or code in seen or not code.co_filename.startswith(home):
        return
    while frame is not None:  # what a module does while it is imported is no part of the run
        if frame.f_code.co_name == "<module>" and frame.f_code.co_filename.startswith(home):
            return
        frame = frame.f_back
    seen.add(code)
    entered.add((code.co_filename, code.co_firstlineno))
threading.setprofile(note)
sys.setprofile(note)
try:
    ds2.cli.app.app(sys.argv[1:])
except SystemExit as end:
    assert not end.code
sys.setprofile(None)
print(json.dumps(sorted(entered)))
"""


def walked(source: Path) -> dict[str, int]:
    """How many files, and lines of functions, a run of the demo (800 rows) enters."""
    root = source.parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "DS2_CACHE": "off"}

    def python(*words: str) -> str:
        line = [sys.executable, *words]
        done = subprocess.run(line, env=environment, check=True, capture_output=True, text=True)
        return done.stdout

    with tempfile.TemporaryDirectory() as place:
        run, scores = f"{place}/run", ("--scores", "score", "--scale", "levels:6")
        python(str(root / "examples" / "demo" / "make_pool.py"), place, "--size", "800")
        python("-c", WALK, "init", run, "--pool", f"{place}/pool.jsonl", *scores)
        said = python("-c", WALK, "run", run)
    entered = [(Path(name), first) for name, first in json.loads(said.splitlines()[-1])]
    lines = sum(functions_of(path).get(first, 0) for path, first in entered)
    return {"files entered": len({path for path, _ in entered}), "lines entered": lines}


def functions_of(path: Path) -> dict[int, int]:
    """How long each function of a file is without docstring and inner ones, by first line."""
    found: dict[int, int] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, FUNCTIONS):
            inner = [
                one for one in ast.walk(node) if isinstance(one, FUNCTIONS) and one is not node
            ]
            taken = docstring(node).union(*(range(o.lineno, o.end_lineno + 1) for o in inner))
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            found[first] = len(set(range(node.lineno, node.end_lineno + 1)) - taken)
    return found


def imported_once(source: Path) -> int:
    """Files that exactly one other file imports; faces (`__init__.py`) neither import nor count."""
    importers: dict[str, set[Path]] = {}
    for path in source.rglob("*.py"):
        if path.name != "__init__.py":
            names = re.findall(r"(?:from|import) (ds2[.\w]*)", path.read_text(encoding="utf-8"))
            for name in names:
                importers.setdefault(name, set()).add(path)
    inside = [path for path in source.rglob("*.py") if path.name != "__init__.py"]
    names = (".".join(("ds2", *path.relative_to(source).with_suffix("").parts)) for path in inside)
    return sum(len(importers.get(name, ())) == 1 for name in names)


def widest(source: Path) -> list[int]:
    """Parameters of the ten functions that have most."""
    found = [
        len([*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs])
        for path in source.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, FUNCTIONS)
    ]
    return sorted(found, reverse=True)[:10]


def main() -> None:
    given = [argument for argument in sys.argv[1:] if argument != "--walk"]
    source = Path(given[0]).resolve() if given else SOURCE
    rooms: dict[str, Counter[str]] = {}
    for path in sorted(source.rglob("*.py")):
        inside = path.relative_to(source).parts
        room = inside[0] if len(inside) > 1 else "(base)"
        rooms[room] = rooms.get(room, Counter()) + measure(path)
    rooms["all"] = sum(rooms.values(), Counter())
    table([{"room": room, **{of: counts[of] for of in COUNTED}} for room, counts in rooms.items()])
    more: dict[str, object] = {}
    if "--walk" in sys.argv:
        once = imported_once(source)
        more = {**walked(source), "imported once": once, "parameters of the widest": widest(source)}
        for name, figure in more.items():
            print(f"{name}: {figure}")
    json_line("house", rooms={room: dict(counts) for room, counts in rooms.items()}, **more)


if __name__ == "__main__":
    main()
