"""Ratings in the files that other tools write."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rating_fakes import same

from ds2.errors import Ds2Warning, InputError
from ds2.pool import read_pool
from ds2.rating import import_panel, import_ratings

NAN = float("nan")
N = 6


def example(number):
    return {
        "instruction": f"Say {number}.",
        "input": "Loudly,\n please." if number % 2 else "",
        "output": f"{number}!\n",
    }


def write(path, rows, lines=True):
    text = "".join(json.dumps(row) + "\n" for row in rows) if lines else json.dumps(rows, indent=1)
    path.write_text(text)
    return path


@pytest.fixture
def pool(tmp_path):
    return read_pool(write(tmp_path / "pool.jsonl", [example(n) for n in range(N)]))


def said(pool, **arguments):
    with pytest.warns(Ds2Warning):
        ratings = import_ratings(pool, **arguments)
    return ratings, " ".join(ratings.warnings)


def judged(number, seed):
    return {
        "id": number,
        "scores": {
            "Q": {"All": {"Clarity": 1 + number, "Complexity": None}},
            "QA": {"All": {"Clarity": 10 - number, "Correctness": seed}},
        },
    }


def test_what_a_judge_of_opendataarena_wrote_out_of_order(pool, tmp_path):
    order = [3, 0, 5, 1, 4, 2]
    path = write(tmp_path / "scored.jsonl", [judged(n, 5 + n % 3) for n in order])
    ratings, warned = said(pool, file=path, column="QA.Clarity")
    assert ratings.values.tolist() == [10, 9, 8, 7, 6, 5]
    assert "was read as 'opendataarena': 6 ratings, taken in the pool's order." in warned
    with pytest.raises(InputError, match=r"several ratings. Name one .*'Q.Clarity', 'QA.Clar"):
        import_ratings(pool, file=path)
    with pytest.raises(InputError, match="no ratings called 'Clarity'"):
        import_ratings(pool, file=path, column="Clarity")


def test_what_opendataarena_merged_is_joined_on_the_texts(pool, tmp_path):
    rows = [
        {
            "instruction": f"Say {n}." + (" \nLoudly, please." if n % 2 else ""),
            "output": f"{n}!",
            "id": 100 - n,
            "Q_scores": {"Clarity": None},
            "QA_scores": {"Clarity": None, "Correctness": 9 - n},
        }
        for n in (4, 2, 0, 1)
    ]
    path = write(tmp_path / "merged.jsonl", rows)
    ratings, warned = said(pool, file=path)
    assert same(ratings.values, [9, 8, 7, NAN, 5, NAN])
    assert "joined on the texts." in warned


def test_ids_of_the_pool_win_over_the_order(tmp_path):
    rows = [{"id": f"r{n}", **example(n)} for n in range(N)]
    pool = read_pool(write(tmp_path / "pool.jsonl", rows))
    scored = [{**judged(n, 5), "id": f"r{n}"} for n in (5, 1, 3)] + [{**judged(0, 5), "id": "x"}]
    path = write(tmp_path / "scored.jsonl", scored)
    ratings, warned = said(pool, file=path, column="Q.Clarity")
    assert same(ratings.values, [NAN, 2, NAN, 4, NAN, 6])
    assert "joined on the ids; 1 rate no example of the pool." in warned
    write(path, [*scored, {**judged(7, 5), "id": "r1"}])
    with pytest.raises(InputError, match="the id 'r1' is given twice, in line 2 and line 5"):
        import_ratings(pool, file=path, column="Q.Clarity")


REVIEWS = [
    "4.5\nThe response is fine: 2 points.",
    "5",
    "Score: 3.5\nIt lacks 10 things.",
    "I cannot rate 7 of these.",
    "",
    "2/5\nWrong.",
]


def reviewed(number, **more):
    row = example(number)
    triplet = "###Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n{output}\n\n"
    return {"triplet": triplet.format_map(row), "review": REVIEWS[number], **more}


@pytest.mark.parametrize("order", [range(N), (5, 3, 1, 0, 2, 4)])
def test_reviews_of_alpagasus(pool, tmp_path, order):
    path = write(tmp_path / "rated.json", [reviewed(n) for n in order], lines=False)
    ratings, warned = said(pool, file=path, scale="0-5")
    assert same(ratings.values, [4.5, 5, 3.5, NAN, NAN, 2])
    assert ratings.problems == {"missing": 1, "unparsable": 1}
    assert "was read as 'alpagasus': 6 ratings, joined on the texts." in warned


def test_a_score_that_could_not_be_read_is_no_rating(pool, tmp_path):
    scores = [1, 2.5, -1, -1.0, 4, 5]
    rows = [{"review": "?", "score": score} for score in scores]
    path = write(tmp_path / "rated.json", rows, lines=False)
    ratings, warned = said(pool, file=path, scale="0-5")
    assert same(ratings.values, [1, 2.5, NAN, NAN, 4, 5])
    assert ratings.problems == {"unparsable": 2}
    assert "taken in the pool's order" in warned


def test_the_rating_in_a_review(tmp_path):
    rated = [
        ("7", 7),
        (" 8.5 / 10\nGood", 8.5),
        ("9 out of 10.", 9),
        ("Rating: 6, because", 6),
        ("10. First of all, it is 3 lines", NAN),
        ("It is 8 lines long", NAN),
        ("score: 1.2.3", NAN),
        (4, 4),
        (None, NAN),
        ("", NAN),
    ]
    rows = [{**example(n), "review": text} for n, (text, _) in enumerate(rated)]
    path = write(tmp_path / "reviews.jsonl", rows)
    ratings, _ = said(read_pool(path), file=path)
    assert same(ratings.values, [number for _, number in rated])
    assert ratings.problems == {"missing": 2, "unparsable": 3}


@pytest.mark.parametrize("rating", ["3/5", "3 out of 5\nFine.", "I say so. Score: 3/5."])
@pytest.mark.parametrize("name", ["review", "rating"])
def test_a_review_on_another_scale_is_refused(pool, tmp_path, name, rating):
    """As a rating of a column is."""
    rows = [{**example(n), "generation": example(n)["output"], name: rating} for n in range(N)]
    path = write(tmp_path / "reviews.jsonl", rows)
    with pytest.raises(InputError, match="out of 5, as example 1 says"):
        import_ratings(pool, file=path)
    values = said(pool, file=path, scale="1-5")[0].values
    assert set(values[~np.isnan(values)]) == {3.0}


def distilled(number, **more):
    row = example(number)
    return {"instruction": f"{row['instruction']} {row['input']}", "model_name": "m", **more}


def test_ratings_beside_a_list_of_generations(pool, tmp_path):
    rows = [
        distilled(
            n, generations=["Other.", f"{n}!"], ratings=[1, 10 - n], distilabel_metadata={"raw": ""}
        )
        for n in (5, 4, 3)
    ]
    rows.append(distilled(0, generations=["0!", "Other."], ratings=["8", None]))
    rows.append(distilled(1, generations=["1!", "Other."], ratings=[7]))
    rows.append(distilled(2, generations=["2!", "Other."], ratings=None))
    pq.write_table(
        pa.Table.from_pylist(
            [
                row | {"ratings": row["ratings"] and [str(v or "") for v in row["ratings"]]}
                for row in rows
            ]
        ),
        tmp_path / "d.parquet",
    )
    ratings, warned = said(pool, file=tmp_path / "d.parquet")
    assert same(ratings.values, [8, NAN, NAN, 7, 6, 5])
    assert ratings.problems == {"missing": 1, "unparsable": 1}
    assert "'distilabel': 12 ratings, joined on the texts; 6 rate no example" in warned


def test_one_rating_for_one_generation_and_lists_in_lists(pool, tmp_path):
    rows = [distilled(n, generation=f"{n}!", score=n + 1) for n in (3, 1)]
    rows += [distilled(n, generations=[[f"{n}!"], ["x"]], score=[[n + 1], [9]]) for n in (0, 2)]
    path = write(tmp_path / "d.jsonl", rows)
    ratings, _ = said(pool, file=path, layout="distilabel")
    assert same(ratings.values, [1, 2, 3, 4, NAN, NAN])
    with pytest.raises(InputError, match=r"no ratings called 'quality'\. Name one .*'score'"):
        import_ratings(pool, file=path, layout="distilabel", column="quality")


def test_equal_examples_get_their_ratings_in_turn(tmp_path):
    pool = read_pool(write(tmp_path / "pool.jsonl", [example(0), example(0), example(0)]))
    rows = [distilled(0, generation="0!", score=score) for score in (3, 7)]
    ratings, _ = said(pool, file=write(tmp_path / "d.jsonl", rows))
    assert ratings.values.tolist() == [3, 7, 7]


@pytest.mark.parametrize("form", ["json", "jsonl", "npy", "npy32"])
def test_a_list_in_the_order_of_the_pool(pool, tmp_path, form):
    values = [1, 9.5, None, 3, 10, NAN]
    path = tmp_path / f"scores.{form[:5].removesuffix('32')}"
    if form.startswith("npy"):
        numbers = np.array([NAN if v is None else v for v in values])
        np.save(path, numbers.astype(np.float32) if form == "npy32" else numbers)
    else:
        write(path, values, lines=form == "jsonl")
    ratings, warned = said(pool, file=path)
    assert same(ratings.values, [1, 9.5, NAN, 3, 10, NAN])
    assert "was read as 'list': 6 ratings, taken in the pool's order." in warned
    assert ratings.rater == "scores"


def test_lists_of_numbers_want_to_know_which(pool, tmp_path):
    rows = [[1, 2, 3, 10 - n] for n in range(N)]
    np.save(tmp_path / "s.npy", np.array(rows))
    for path in (write(tmp_path / "s.json", rows, lines=False), tmp_path / "s.npy"):
        assert said(pool, file=path, column="3")[0].values.tolist() == [10, 9, 8, 7, 6, 5]
        with pytest.raises(InputError, match=r"has 4 numbers. Name one with column = '0'.*'3'"):
            import_ratings(pool, file=path)
        with pytest.raises(InputError, match="Got '4'"):
            import_ratings(pool, file=path, column="4")


def test_a_list_with_something_else_in_it(pool, tmp_path):
    path = tmp_path / "s.json"
    write(path, [1, "x", "8", True, None, [3]], lines=False)
    ratings, _ = said(pool, file=path, layout="list", scale="1-10")
    assert same(ratings.values, [1, NAN, 8, NAN, NAN, 3])
    assert ratings.problems == {"missing": 1, "not a number": 2}
    write(path, [[1, 5], 7, None, [2], [], [3, 9]], lines=False)
    ratings, _ = said(pool, file=path, column="1")
    assert same(ratings.values, [5, NAN, NAN, NAN, NAN, 9])
    assert ratings.problems == {"missing": 3, "unparsable": 1}


def test_a_table_with_ids_stays_a_table(tmp_path):
    rows = [{"id": f"r{n}", **example(n), "rating": 5 + n, "other": 1} for n in range(3)]
    path = write(tmp_path / "t.jsonl", rows)
    pool = read_pool(path)
    assert import_ratings(pool, file=path, column="rating").warnings == ()
    _, warned = said(pool, file=path, column="rating", id_column="uid")
    assert "was read as 'distilabel': 3 ratings, joined on the texts" in warned
    (tmp_path / "t.csv").write_text("id,score\nr0,5\nr1,6\nr2,7\n")
    assert import_ratings(pool, file=tmp_path / "t.csv").warnings == ()


def test_fields_inside_fields_of_the_pool(tmp_path):
    rows = [
        {**example(n), "QA_scores": {"Clarity": n + 1}, "ratings": [n, 9]} if n else example(n)
        for n in range(3)
    ]
    pool = read_pool(write(tmp_path / "pool.jsonl", rows))
    assert same(said(pool, column="QA_scores.Clarity")[0].values, [NAN, 2, 3])
    assert same(said(pool, column="ratings.0")[0].values, [NAN, 1, 2])
    with pytest.raises(InputError, match="No row of the pool has 'Depth' inside 'QA_scores'"):
        import_ratings(pool, column="QA_scores.Depth")


def test_several_columns_make_a_panel(tmp_path):
    rows = [{**example(n), "a": 4 * n + 1, "b": 10 - n} for n in range(3)]
    pool = read_pool(write(tmp_path / "pool.jsonl", rows))
    panel = import_panel(pool, columns=["a", "b"], raters=["Ann", "Bob"])
    assert panel.raters == ("Ann", "Bob")
    assert [one.values.tolist() for one in panel.parts] == [[1, 5, 9], [10, 9, 8]]
    table = write(
        tmp_path / "t.jsonl", [{"id": i, "x": 5, "y": 6 + n} for n, i in enumerate(pool.ids)]
    )
    with pytest.warns(Ds2Warning, match="one score"):  # all of x are 5
        assert import_panel(pool, columns=["y", "x"], file=table).raters == ("y", "x")
    for columns, raters in (("a", None), ([], None), (["a"], ["x", "y"]), (["a"], "x")):
        with pytest.raises(InputError, match=r"must (be a list of names|have one name)"):
            import_panel(pool, columns=columns, raters=raters)


@pytest.mark.parametrize(
    ("file", "value", "said"),
    [
        ("s.json", [1, 2], "holds 2 ratings and the pool 6 examples"),
        ("s.json", [1, {"a": 1}], "row 2: an object stands where"),
        ("s.json distillabel", [1] * N, r"'layout' must be one of .*mean 'distilabel'"),
        ("s.npy", np.array([1, "x"], dtype=object), "can be read without running code"),
        ("s.npy", np.zeros((2, 2, 2)), r"Got float64 of shape \(2, 2, 2\)"),
        ("s.pt", [1], r"can run code when it is read.*numpy.save"),
    ],
)
def test_what_is_no_list_of_ratings_is_said(pool, tmp_path, file, value, said):
    name, _, layout = file.partition(" ")
    if isinstance(value, np.ndarray):
        np.save(tmp_path / name, value)
    else:
        write(tmp_path / name, value, lines=False)
    with pytest.raises(InputError, match=said):
        import_ratings(pool, file=tmp_path / name, layout=layout or "list")
