"""A wrong call is answered with the argument to pass."""

import inspect
import re

import numpy as np
import pandas as pd
import pytest

import ds2
from ds2 import arguments

ROWS = [{"prompt": f"What is {i}?", "response": f"It is {i}.", "score": i % 6} for i in range(60)]
FRAME = pd.DataFrame(ROWS)
POOL = ds2.read_pool(FRAME)
RATINGS = ds2.import_ratings(POOL, column="score", scale="levels:6")
SCORES = RATINGS.scores()
VECTORS = np.random.default_rng(0).standard_normal((60, 8)).astype(np.float32)
NEIGHBORS = ds2.find_neighbors(VECTORS, k=3)
TAIL = ds2.long_tail_scores(NEIGHBORS)
SELECTION = ds2.select(SCORES, TAIL, size=9)

MISTAKES = {
    "no tail": (lambda: ds2.select(SCORES, size=9), "tail=ds2.long_tail_scores(neighbors)"),
    "no size": (lambda: ds2.select(SCORES, TAIL), "'size'. Pass size=1_000 (rows)"),
    "the graph as the tail": (
        lambda: ds2.select(SCORES, NEIGHBORS, size=9),
        "Got Neighbors. Pass tail=ds2.long_tail_scores(neighbors)",
    ),
    "ratings as scores": (
        lambda: ds2.select(RATINGS, TAIL, size=9),
        "Got Ratings. Pass scores=ratings.scores()",
    ),
    "no vectors": (lambda: ds2.select(size=9, method="k-center"), "Pass vectors=ds2.embed(pool)"),
    "vectors as the graph": (
        lambda: ds2.long_tail_scores(VECTORS),
        "Got ndarray of shape (60, 8). Pass neighbors=ds2.find_neighbors(vectors)",
    ),
    "indices as the graph": (
        lambda: ds2.estimate_transition(SCORES, NEIGHBORS.indices, n_scores=6),
        "'neighbors' must be a Neighbors",
    ),
    "no graph, no levels": (
        lambda: ds2.estimate_transition(SCORES),
        "needs 'neighbors' and 'n_scores'. Pass neighbors=ds2.find_neighbors(ds2.embed(pool)), "
        "and n_scores=ratings.n_scores",
    ),
    "ratings that are no scores": (
        lambda: ds2.estimate_transition(FRAME["score"] + 5, NEIGHBORS, n_scores=6),
        "ratings are binned first. Pass scores=ratings.scores()",
    ),
    "a matrix as the noise": (
        lambda: ds2.curate(SCORES, NEIGHBORS, np.eye(6)),
        "Pass noise=ds2.estimate_transition(scores, neighbors, n_scores=6)",
    ),
    "a file of gold": (
        lambda: ds2.curate(SCORES, NEIGHBORS, [], gold="gold.jsonl"),
        "Pass gold=ds2.read_gold(pool, files, scale=ratings.scale).scores",
    ),
    "ids as keys": (
        lambda: ds2.select(SCORES, TAIL, size=9, keys=POOL.ids),
        "Pass keys=pool.keys",
    ),
    "a pool as vectors": (lambda: ds2.find_neighbors(POOL), "Pass vectors=ds2.embed(pool)"),
    "texts as vectors": (lambda: ds2.find_neighbors(["a", "b"]), "Pass vectors=ds2.embed(pool)"),
    "rows of unequal length": (lambda: ds2.find_neighbors([[1.0, 2.0], [3.0]]), "ds2.embed(pool)"),
    "whole numbers": (lambda: ds2.find_neighbors([[1, 2], [3, 4]]), ".astype('float32')"),
    "a path as the pool": (
        lambda: ds2.embed("pool.jsonl"),
        "Got 'pool.jsonl'. Pass pool=ds2.read_pool(\"pool.jsonl\"), or a list of texts",
    ),
    "a frame as the pool": (lambda: ds2.find_duplicates(FRAME), "Pass pool=ds2.read_pool(frame)"),
    "a column as the pool": (lambda: ds2.read_pool(FRAME["score"]), "Got Series of shape (60,)"),
    "a name as the embedder": (lambda: ds2.embed(POOL, "bge"), "ds2.SentenceTransformerEmbedder("),
    "a name as the rater": (lambda: ds2.rate(POOL, "gpt"), 'Pass raters=ds2.ChatRater("gpt-'),
    "a selection as the pool": (
        lambda: ds2.write_pool(SELECTION, "selected.jsonl"),
        "Pass pool=pool.take(selection.rows)",
    ),
    "a selection as rows": (lambda: POOL.take(SELECTION), "Pass rows=selection.rows"),
    "a name by place": (
        lambda: ds2.import_ratings(POOL, "score"),
        "takes pool by place; give the rest by name (column=…",
    ),
    "a name misspelt": (lambda: ds2.select(SCORES, TAIL, sise=9), "Did you mean 'size'?"),
    "a name twice": (lambda: ds2.select(SCORES, scores=SCORES, size=9), "'scores' twice"),
    "levels as the scale": (
        lambda: ds2.import_ratings(POOL, column="score", scale=6),
        "ds2.Scale.levels(6)",
    ),
    "an array as a dict": (
        lambda: ds2.measure_bias(SCORES, SCORES, TAIL),
        'covariates={"length": ds2.count_tokens(pool)}',
    ),
    "a column as its name": (
        lambda: ds2.run(FRAME, scores=FRAME["score"]),
        'Pass scores="score" (the name of a column',
    ),
    "a number among texts": (lambda: ds2.embed(["one", 3]), "must be text. Got 3 at 1"),
    "a result as a number": (
        lambda: ds2.find_swapped_levels(SCORES[:, None], NEIGHBORS),
        "'n_scores' must be a whole number. Got Neighbors.",
    ),
}


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_answered_with_the_argument_to_pass(mistake):
    call, said = MISTAKES[mistake]
    with pytest.raises(ds2.InputError) as found:
        call()
    assert said in str(found.value)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("kind", [list, np.array, pd.Series, tuple])
def test_numbers_are_taken_from_whatever_holds_them(kind):
    chosen = ds2.select(kind(SCORES.tolist()), kind(TAIL.tolist()), size=9)
    assert chosen.rows.tolist() == SELECTION.rows.tolist()


def test_a_pool_in_memory_is_read_again_and_texts_are_embedded():
    again = ds2.read_pool(POOL)
    assert (again.ids, again.column("score")) == (POOL.ids, POOL.column("score"))
    np.testing.assert_array_equal(ds2.embed(POOL.texts()[:5]), ds2.embed(POOL.take(range(5))))


def functions():
    return {name: one for name in ds2.__all__ if inspect.isfunction(one := getattr(ds2, name))}


def test_what_is_named_is_there():
    """Every key of the table is an argument, and every call in it a public name."""
    signatures = {name: inspect.signature(one).parameters for name, one in functions().items()}
    arguments_of = set().union(*signatures.values())
    for key, call in arguments._MADE_BY.items():
        function, _, name = key.rpartition(".")
        assert name in signatures[function] if function else key in arguments_of | {*CLASSES}, key
        assert all(hasattr(ds2, one) for one in re.findall(r"ds2\.(\w+)", call)), call
    assert {name for name, _ in arguments._TAKE} <= arguments_of | {*CLASSES}


CLASSES = (
    "Pool", "TextPool", "TurnPool", "Scorer", "Ratings", "Neighbors", "TransitionEstimate",
    "Constraints", "PlanBetween", "Card", "Rater", "Scale",
)  # fmt: skip


def test_every_argument_that_must_be_made_says_how():
    """No public function needs an argument without a word on how to get it."""
    for name, function in functions().items():
        with pytest.raises(ds2.InputError) as found:
            function()
        lacking = re.findall(r"'(\w+)'", str(found.value).partition(".")[0])
        silent = [one for one in lacking if f"{one}=" not in str(found.value)]
        assert not silent, (name, silent)


def test_a_function_stays_itself():
    assert ds2.select is ds2.select
    assert ds2.select.__doc__.startswith("Select rows")
    assert list(inspect.signature(ds2.select).parameters)[:3] == ["scores", "tail", "size"]
