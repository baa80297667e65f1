"""A finished run of the small pool, made once."""

import shutil
import warnings
from pathlib import Path

import pytest
from small_pool import RECIPE, make_rows, put_run

from ds2.errors import Ds2Warning
from ds2.runs import run


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    folder = put_run(
        tmp_path_factory.mktemp("finished"), make_rows(), RECIPE.format(n_bootstrap=10)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Ds2Warning)
        run(folder)
    return folder.parent


@pytest.fixture
def folder(finished, tmp_path) -> Path:
    """A finished run of one's own, with its pool beside it."""
    shutil.copytree(finished, tmp_path / "own")
    return tmp_path / "own" / "run"
