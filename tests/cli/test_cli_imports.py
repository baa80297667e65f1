"""The command line starts fast: nothing heavy is imported before it is needed."""

import subprocess
import sys

import pytest

HEAVY = {
    "datasets",
    "faiss",
    "jinja2",
    "openai",
    "pandas",
    "pyarrow",
    "rich",
    "scipy",
    "tokenizers",
    "torch",
    "wordllama",
}

SHOW_HELP = """
import sys
sys.argv = ["ds2", {words}]
from ds2.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(*sys.modules, file=sys.stderr)
"""


def modules_after(words: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", SHOW_HELP.format(words=words)],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.split(".")[0] for name in done.stderr.split()}


@pytest.mark.parametrize(
    "words", ["'--help'", "'--version'", "'run', '--help'", "'doctor', '--json'"]
)
def test_help_and_doctor_import_nothing_heavy(words):
    loaded = modules_after(words)
    assert "ds2" in loaded
    assert loaded & HEAVY == set()
