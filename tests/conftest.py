"""Shared set-up: every array type in ds2 is checked at run time while the tests run."""

import jaxtyping
import pytest

jaxtyping.install_import_hook("ds2", "beartype.beartype")


@pytest.fixture
def untyped():
    """Switch the array types off, so that a test sees what a user with bad input sees."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
