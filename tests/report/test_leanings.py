"""Length has a say where it should not: found as numbers, said with what to add to the command."""

import numpy as np
import pytest

from ds2.curation import measure_bias
from ds2.report import LENGTH, in_words, of_scores, of_selection

COMMAND = "--set curate.control=length takes"


@pytest.fixture(scope="module")
def lengths():
    return np.random.default_rng(0).lognormal(6, 1, 400)


def test_curated_scores_that_go_with_length_more_than_raw_ones_did(lengths):
    noise = np.random.default_rng(1).standard_normal(400)
    raw, curated = np.log(lengths) + 2 * noise, np.log(lengths) + noise / 2
    (leaning,) = of_scores(measure_bias(raw, curated, {LENGTH: lengths}))
    assert (leaning.before < 0.55, leaning.after > 0.8) == (True, True)
    (said,) = in_words([leaning], control=())
    assert f"(Spearman {leaning.after:.2f}, before {leaning.before:.2f})" in said
    assert "only trusted scores can tell" in said
    assert COMMAND in said
    (said,) = in_words([leaning], control=("length",), gold=True)
    assert "a warning says so where the trusted scores do not bear it out" in said
    assert COMMAND not in said
    assert of_scores(measure_bias(curated, raw, {LENGTH: lengths})) == ()
    assert of_scores(measure_bias(raw, raw, {LENGTH: lengths})) == ()


def test_a_selection_of_much_longer_answers(lengths):
    order = np.argsort(-lengths)
    (leaning,) = of_selection(lengths, order[:100])
    (said,) = in_words([leaning], control=())
    ratio = np.median(lengths[order[:100]]) / np.median(lengths)
    assert f"{ratio:.1f} times as long as the pool's" in said
    assert COMMAND in said
    (said,) = in_words([leaning], control=(), curated=False)
    assert COMMAND not in said
    assert "ds2 export --control" in said
    assert of_selection(lengths, np.arange(100)) == ()
    assert of_selection(lengths, order[:10]) == (), "too few rows to tell"
    assert of_selection(np.zeros(400), order[:100]) == ()
