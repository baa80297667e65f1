"""Every package says what it exports, and exports what it says."""

import ast
import importlib
import pkgutil
from pathlib import Path

import pytest

import ds2

PACKAGES = [f"ds2.{module.name}" for module in pkgutil.iter_modules(ds2.__path__) if module.ispkg]
#: What a user who types `ds2.` may count on.
PROMISED = {
    "read_pool",
    "import_ratings",
    "embed",
    "find_neighbors",
    "estimate_transition",
    "curate",
    "long_tail_scores",
    "select",
    "write_pool",
    "simulate",
    "Neighbors",
    "TransitionEstimate",
    "Curation",
    "Selection",
    "Ratings",
    "Scale",
}


def test_the_promised_names_are_there():
    assert set(ds2.__all__) >= PROMISED


def test_every_public_name_loads_and_is_documented():
    for name in ds2.__all__:
        value = getattr(ds2, name)
        assert name.startswith("__") or value.__doc__, name
        assert name in dir(ds2)


def test_all_is_sorted_and_without_repeats():
    for name in ["ds2", *PACKAGES]:
        exported = importlib.import_module(name).__all__
        assert len(set(exported)) == len(exported)
        assert exported == sorted(exported, key=lambda n: (not n.isupper(), not n[:1].isupper(), n))


@pytest.mark.parametrize("name", PACKAGES)
def test_packages_export_what_they_say(name):
    package = importlib.import_module(name)
    assert package.__doc__
    assert package.__doc__.strip() != "."
    for exported in package.__all__:
        assert hasattr(package, exported)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="No ds2 attribute rate_everything"):
        ds2.rate_everything  # noqa: B018


def test_no_function_shadows_a_package():
    assert not set(ds2.__all__) & {name.split(".")[1] for name in PACKAGES}


def test_the_stub_that_type_checkers_read_hands_every_name_on():
    """Only ``import A as A`` is a re-export in a stub; that the names are there, mypy checks."""
    stub = ast.parse(Path(ds2.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imported = [alias for node in stub.body[1:] for alias in node.names]
    assert {alias.name for alias in imported} == set(ds2.__all__)
    assert all(alias.asname == alias.name for alias in imported)
