"""Figures and hashed words of conversations."""

import numpy as np
import pytest

import ds2
from ds2.arrays import N_WORDS
from ds2.embedding import FIGURES, content_types


def rows(*pairs):
    return ds2.read_pool([{"prompt": one, "response": two} for one, two in pairs])


def figure(table, name):
    return table.toarray()[:, FIGURES.index(name)]


def test_figures_are_those_of_the_text():
    answer = "1. First\n2. Second\n```python\nx = 10\n```"
    table = ds2.surface_features(rows(("Why? Say WHY.", answer), ("List them", "a b a")))
    assert table.shape == (2, len(FIGURES) + N_WORDS)
    assert figure(table, "characters answered")[0] == pytest.approx(np.log1p(len(answer)))
    assert figure(table, "list items answered")[0] == pytest.approx(np.log(3))
    assert figure(table, "code blocks answered")[0] == pytest.approx(np.log(3))
    assert figure(table, "questions asked").tolist() == pytest.approx([np.log(2), 0])
    assert figure(table, "capitals asked")[0] == pytest.approx(5 / 13)
    assert figure(table, "different words answered")[1] == pytest.approx(2 / np.sqrt(3))
    assert table[:, len(FIGURES) :].sum(axis=1).tolist() == [10, 5]


def test_equal_words_share_a_column_and_case_is_no_difference():
    table = ds2.surface_features(rows(("x", "Apple apple"), ("x", "apple"), ("x", "pear")))
    words = table[:, len(FIGURES) :].toarray()
    assert words[0].max() == 2
    assert words[0].argmax() in np.flatnonzero(words[1])
    assert not set(np.flatnonzero(words[2])) >= set(np.flatnonzero(words[1]))


def test_scripts_without_spaces_count_by_character():
    table = ds2.surface_features(rows(("问", "苹果很好"), ("ask", "ein guter Apfel")))
    assert figure(table, "words answered").tolist() == pytest.approx([np.log(5), np.log(4)])


def test_rows_do_not_depend_on_what_is_beside_them():
    pairs = [(f"question {i}", f"answer {i} " * (i % 7)) for i in range(1, 40) if i % 7]
    whole = ds2.surface_features(rows(*pairs))
    np.testing.assert_array_equal(
        whole[5:6].toarray(), ds2.surface_features(rows(pairs[5])).toarray()
    )


def test_no_pool_is_said(untyped):
    with pytest.raises(ds2.InputError, match="read_pool"):
        ds2.surface_features(["a text"])


def test_what_an_answer_mostly_is():
    pool = rows(
        ("a", "```python\nprint(1)\n```"),
        ("b", "1. one\n2. two\n3. three"),
        ("c", "So $x^2$ is 4"),
        ("d", "12 + 30 = 42, 7, 19"),
        ("e", "A plain sentence; nothing more."),
        ("f", "def f(x):\n    return x"),
    )
    assert content_types(pool) == ["code", "list", "maths", "maths", "text", "code"]
