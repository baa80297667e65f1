"""What must hold from text to selection, whatever the data."""

import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ds2


def select_rows(vectors, scores, keys, size):
    """The main job on arrays: scores and vectors in, rows out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds2.Ds2Warning)
        neighbors = ds2.find_neighbors(vectors)
        noise = ds2.estimate_transition(scores, neighbors, n_scores=6, n_bootstrap=0, n_starts=2)
        curation = ds2.curate(scores, neighbors, noise, keys=keys, n_draws=11)
    tail = ds2.long_tail_scores(neighbors)
    return ds2.select(curation.scores, tail, size=size, neighbors=neighbors, keys=keys).rows


@pytest.fixture(scope="module")
def pool():
    simulated = ds2.simulate(400, seed=0)
    keys = np.random.default_rng(0).integers(0, 2**63, 400)
    return simulated.vectors, simulated.scores, keys


@pytest.fixture(scope="module")
def whole(pool):
    """All rows, in the order in which they are selected."""
    return select_rows(*pool, len(pool[1]))


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**31))
def test_permuting_the_pool_permutes_the_selection(pool, whole, seed):
    vectors, scores, keys = pool
    order = np.random.default_rng(seed).permutation(len(scores))
    permuted = select_rows(vectors[order], scores[order], keys[order], len(scores))
    np.testing.assert_array_equal(order[permuted], whole)


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(size=st.integers(1, 399))
def test_a_prefix_is_the_smaller_selection(pool, whole, size):
    np.testing.assert_array_equal(select_rows(*pool, size), whole[:size])


def test_an_added_exact_duplicate_changes_nothing_but_itself(pool):
    vectors, scores, keys = pool
    again = [np.concatenate([array, array[:7]]) for array in (vectors, scores, keys)]
    straight, doubled = select_rows(*pool, 100), select_rows(*again, 100)
    np.testing.assert_array_equal(keys[straight], again[2][doubled])


def test_relabelling_ids_with_unchanged_text_changes_nothing(tmp_path):
    import json

    def write(path, name):
        lines = (
            {
                "id": f"{name}{i}",
                "instruction": f"Add {i} and {i % 7}.",
                "output": f"It is {i + i % 7}.",
            }
            for i in range(60)
        )
        path.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
        return ds2.read_pool(path)

    one, two = write(tmp_path / "a.jsonl", "a"), write(tmp_path / "b.jsonl", "example-")
    assert one.ids != two.ids
    np.testing.assert_array_equal(one.keys, two.keys)
    np.testing.assert_array_equal(ds2.embed(one), ds2.embed(two))
