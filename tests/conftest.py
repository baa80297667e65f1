"""Shared set-up: every array type in ds2 is checked at run time while the tests run."""

from jaxtyping import install_import_hook

with install_import_hook("ds2", "beartype.beartype"):
    import ds2  # noqa: F401
