"""Sentences of functions, put in the words of the recipe."""

import numpy as np
import pytest

from ds2.errors import InputError
from ds2.neighbors import find_neighbors
from ds2.runs.recipe_words import in_recipe_words
from ds2.runs.stages import STAGES
from ds2.selection import select

BY_NAME = {stage.name: stage for stage in STAGES}


@pytest.mark.parametrize(
    ("stage", "said", "shown"),
    [
        ("select", "'size' asks for 9 rows.", "'select.size' asks for 9 rows."),
        ("noise", "Got rho = 2; set rho=1.", "Got noise.rho = 2; set noise.rho=1."),
        ("noise", "set n_bootstrap to 0.", "set noise.n_bootstrap to 0."),
        ("curate", "raise n_draws, min_lift", "raise curate.n_draws, curate.min_lift"),
        ("pool", "'format' and format='alpaca'", "'format' and pool.format='alpaca'"),
        ("rate", "Name it with id_field.", "Name it with pool.id_field."),
        ("rate", "with id_column, or so", "with scores.id_column, or so"),
    ],
)
def test_arguments_become_keys(stage, said, shown):
    assert in_recipe_words(said, BY_NAME[stage]) == shown


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ("select", "Raise 'select.size'. The size of the method is one."),
        ("noise", "'scores' must have one score per example."),
        ("rate", "There is no column 'scale'; there is 'id_field'."),
        ("pool", "/data/id_field.jsonl and id_field/a and x.id_field.y: a split, a format"),
        ("embed", "Column 'column' of batch_sizes"),
        ("report", "'title' and n_examples = 5"),
    ],
)
def test_other_words_stay(stage, said):
    assert in_recipe_words(said, BY_NAME[stage]) == said


def test_real_sentences_of_the_array_functions():
    with pytest.raises(InputError) as caught:
        select(size=9, method="random", keys=np.arange(4))
    assert in_recipe_words(str(caught.value), BY_NAME["select"]).startswith("'select.size' asks")
    with pytest.raises(InputError) as caught:
        find_neighbors(np.eye(2), 5)
    shown = in_recipe_words(str(caught.value), BY_NAME["neighbors"])
    assert shown.startswith("'neighbors.k' must be smaller than")
    assert "Got neighbors.k = 5" in shown
