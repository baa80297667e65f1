"""The planted matrix of a test, and a sentence for every file that holds none."""

import json
from pathlib import Path

import numpy as np
import pytest

from ds2.errors import InputError
from ds2.runs import Recipe, make_recipe
from ds2.runs.planted import load_planted

MATRIX = (0.7 * np.eye(6) + 0.05).tolist()


def recipe(planted: str | None = "planted.json", **scores: object) -> Recipe:
    settings = {"true_column": "true", "scale": "levels:6", "planted": planted, **scores}
    return make_recipe({"pool.path": "p", **{f"scores.{k}": v for k, v in settings.items()}})


@pytest.mark.parametrize("key", ["matrix", "transition"])
def test_the_matrix_is_read_from_beside_the_recipe(tmp_path, key):
    (tmp_path / "planted.json").write_text(json.dumps({"seed": 0, key: MATRIX}))
    np.testing.assert_array_equal(load_planted(recipe(), tmp_path), MATRIX)


def test_without_a_file_there_is_none():
    assert load_planted(recipe(None), Path("nowhere")) is None


def test_a_matrix_of_rounded_numbers_is_one(tmp_path):
    (tmp_path / "planted.json").write_text(json.dumps({"matrix": [[0.333, 0.333, 0.333]] * 3}))
    assert load_planted(recipe(scale="levels:3"), tmp_path) is not None


def test_it_means_nothing_without_the_true_scores(tmp_path):
    with pytest.raises(InputError, match=r"Set 'scores.true_column', or remove 'scores.planted'"):
        load_planted(recipe(true_column=None), tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "no JSON object"),
        ("[" * 100_000, "no JSON object"),
        ("[[1, 0], [0, 1]]", "no JSON object"),
        ('{"prior": [1]}', "6 × 6"),
        ('{"matrix": [[1, 0], [1]]}', "no JSON object with a table of numbers"),
        ('{"matrix": [["a"]]}', "no JSON object with a table of numbers"),
        ('{"matrix": {"a": 1}}', "no JSON object with a table of numbers"),
        (json.dumps({"matrix": np.eye(5).tolist()}), r"shape \(5, 5\)\. With 6 scores"),
        (json.dumps({"matrix": 1}), r"shape \(\)"),
        (json.dumps({"matrix": (np.eye(6) / 2).tolist()}), "row 0 sums to 0.5"),
        (json.dumps({"matrix": [[2, -1, 0, 0, 0, 0], *np.eye(6)[1:].tolist()]}), "0 or more"),
        (json.dumps({"matrix": [[float("nan")] * 6] * 6}), "row 0"),
    ],
)
def test_what_is_no_matrix_is_one_sentence(tmp_path, text, says):
    (tmp_path / "planted.json").write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        load_planted(recipe(), tmp_path)
    assert str(caught.value).startswith(f"'scores.planted' names '{tmp_path / 'planted.json'}', ")


def test_a_file_that_is_not_there_is_named_with_its_neighbour(tmp_path):
    (tmp_path / "planted2.json").write_text("{}")
    with pytest.raises(InputError, match=r"does not exist. Did you mean 'planted2.json'\?"):
        load_planted(recipe(), tmp_path)


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "planted.json").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        load_planted(recipe(), tmp_path)
