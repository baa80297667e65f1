"""Shared set-up: every named array type in ds2 is checked at run time while the tests run."""

import os
import signal
from pathlib import Path

import jaxtyping
import pytest

os.environ["DS2_CACHE"] = "off"  # nobody's own cache is read or changed; a test names one
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # run in the background: tests press Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)

SOURCE = Path(__file__).parents[1] / "src"
TYPED = [
    ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    for path in SOURCE.rglob("*.py")
    if "from ds2.arrays import" in path.read_text(encoding="utf-8")
]

jaxtyping.install_import_hook(TYPED, "beartype.beartype")


@pytest.fixture
def untyped():
    """Switch the array types off, so that a test sees what a user with bad input sees."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
