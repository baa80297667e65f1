"""Ratings that exist already, from the pool or from a table."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rating_fakes import same

from ds2.errors import Ds2Warning, InputError
from ds2.pool import read_pool
from ds2.rating import Ratings, Scale, import_ratings

NAN = float("nan")


def pool_of(tmp_path, values, ids=True):
    path = tmp_path / "pool.jsonl"
    rows = [{"prompt": f"Say {n}.", "response": "Yes."} for n in range(len(values))]
    for number, (row, value) in enumerate(zip(rows, values, strict=True)):
        if value != "absent":
            row["score"] = value
        if ids:
            row["id"] = f"r{number}"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_pool(path)


def test_a_column_of_the_pool(tmp_path):
    ratings = import_ratings(pool_of(tmp_path, [1, 5, 6.6, 10]), column="score")
    assert same(ratings.values, [1, 5, 6.6, 10])
    assert same(ratings.scores(), [0, 1, 3, 5])
    assert (ratings.scale, ratings.rater) == (Scale.ds2(), "score")
    assert (dict(ratings.problems), ratings.warnings) == ({}, ())


def test_missing_is_missing_and_has_a_name(tmp_path):
    values = [
        7,
        " 8.0 ",
        None,
        "absent",
        "",
        NAN,
        "nan",
        "good",
        True,
        [7],
        0,
        "0",
        "1e400",
        "1_0",
    ]
    with pytest.warns(Ds2Warning, match="12 of 14 examples have no rating") as caught:
        ratings = import_ratings(pool_of(tmp_path, values), column="score")
    assert same(ratings.values, [7, 8, *[NAN] * 12])
    assert [ratings.problem_of_row(row) for row in range(14)] == [
        *[None] * 2,
        *["missing"] * 5,
        *["not a number"] * 3,
        *["out of range"] * 3,
        "not a number",
    ]
    assert ratings.problems == {"missing": 5, "not a number": 4, "out of range": 3}
    assert "5 missing, 4 not a number, 3 out of range" in str(caught[0].message)
    assert same(ratings.scores(), [3, 4, *[NAN] * 12])


def test_a_scale_may_be_given_as_text(tmp_path):
    pool = pool_of(tmp_path, [0, 5, 3])
    ratings = import_ratings(pool, column="score", scale="levels:6", rater="Anna")
    assert ratings.scores().tolist() == [0, 5, 3]
    assert ratings.rater == "Anna"


@pytest.mark.parametrize("values", [[7, 7, 7], [1, 2, 3, 4, 4.5]])
def test_ratings_of_one_score_are_a_warning(tmp_path, values):
    with pytest.warns(Ds2Warning, match="All ratings fall into one score"):
        ratings = import_ratings(pool_of(tmp_path, values), column="score")
    assert len(ratings.warnings) == 1


def noted(tmp_path, values, scale=None):
    with pytest.warns(Ds2Warning):
        ratings = import_ratings(pool_of(tmp_path, values), column="score", scale=scale)
    return " ".join(ratings.warnings)


def test_scores_taken_for_ratings_are_told_the_setting(tmp_path):
    said = noted(tmp_path, [0, 1, 2, 3, 4, 5] * 3)
    assert 'all of them lie in 0 to 5. If that is their scale, set scale = "levels:6".' in said


def test_ratings_taken_for_scores_are_told_the_setting(tmp_path):
    assert 'set scale = "1-10".' in noted(tmp_path, [1, 2, 5, 7, 8, 9], "levels:6")


def test_fractions_are_told_the_setting_with_bins(tmp_path):
    said = noted(tmp_path, [0.1, 0.5, 0.93, 1.0], "1-10")
    assert "3 of 4 ratings are outside the declared scale, 1 to 10" in said
    assert 'scale = "0-1" and bins = [0.1667, 0.3333, 0.5, 0.6667, 0.8333].' in said


def test_the_suggested_setting_works(tmp_path):
    pool = pool_of(tmp_path, [-300.5, 2000, 90])
    with pytest.raises(InputError, match=r'scale = "-301-2000" and bins = (.*)\.$') as caught:
        import_ratings(pool, column="score")
    bins = json.loads(str(caught.value).partition("bins = ")[2].rstrip("."))
    scale = Scale.parse("-301-2000", bins)
    assert import_ratings(pool, column="score", scale=scale).scores().tolist() == [0, 5, 1]


def test_an_unused_upper_half_is_noticed_when_there_are_many_ratings(tmp_path):
    assert 'set scale = "1-5".' in noted(tmp_path, [1, 2, 3, 4, 5] * 20)
    assert import_ratings(pool_of(tmp_path, [2, 5]), column="score").warnings == ()


def test_a_single_value_for_unrated_is_no_other_scale(tmp_path):
    assert "set scale" not in noted(tmp_path, [0, 0, 3, 5, 7, 9, 10])


TABLES = [".jsonl", ".csv", ".tsv", ".parquet", ".json", ".jsonl.gz", ".csv.zst"]


def write_table(path, rows):
    name = path.name.removesuffix(".gz").removesuffix(".zst")
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
        return
    if name.endswith("sv"):
        tab = "," if name.endswith("csv") else "\t"
        lines = [list(rows[0]), *([str(v) for v in row.values()] for row in rows)]
        text = "".join(tab.join(line) + "\n" for line in lines)
    elif name.endswith("jsonl"):
        text = "".join(json.dumps(row) + "\n" for row in rows)
    else:
        text = json.dumps(rows)
    data = text.encode()
    if path.suffix == ".gz":
        data = gzip.compress(data)
    path.write_bytes(pa.compress(data, "zstd", asbytes=True) if path.suffix == ".zst" else data)


@pytest.mark.parametrize("suffix", TABLES)
def test_a_table_is_joined_on_the_id(tmp_path, suffix):
    path = tmp_path / f"gpt-4.1{suffix}"
    write_table(
        path, [{"id": "r2", "score": 9}, {"id": "r0", "score": 5}, {"id": "r1", "score": 1}]
    )
    ratings = import_ratings(pool_of(tmp_path, ["absent"] * 3), file=path)
    assert ratings.values.tolist() == [5, 1, 9]
    assert ratings.rater == "gpt-4.1"


def test_names_of_columns_and_numbers_as_ids(tmp_path):
    path = tmp_path / "pool.jsonl"
    path.write_text(
        "".join(json.dumps({"prompt": "a", "response": "b", "id": n}) + "\n" for n in range(3))
    )
    rows = [{"uid": n, "overall": 5 + n, "other": 1} for n in range(3)]
    write_table(tmp_path / "t.jsonl", rows)
    pool = read_pool(path)
    ratings = import_ratings(pool, file=tmp_path / "t.jsonl", column="overall", id_column="uid")
    assert ratings.values.tolist() == [5, 6, 7]
    assert ratings.rater == "overall"
    with pytest.raises(InputError, match=r"Name the column of .* It has 'overall', 'other'"):
        import_ratings(pool, file=tmp_path / "t.jsonl", id_column="uid")
    with pytest.raises(InputError, match=r"no column 'overal'.*Did you mean 'overall'"):
        import_ratings(pool, file=tmp_path / "t.jsonl", id_column="uid", column="overal")
    with pytest.raises(InputError, match=r"line 1: no id in the column 'id' \(it has 'uid'"):
        import_ratings(pool, file=tmp_path / "t.jsonl", column="overall")


def test_unknown_ids_are_counted_and_absent_ones_unrated(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,rating\nr1,7\nx,3\ny,4\nr0,\n")
    with pytest.warns(Ds2Warning):
        ratings = import_ratings(pool_of(tmp_path, ["absent"] * 3), file=path)
    assert same(ratings.values, [NAN, 7, NAN])
    assert ratings.problems == {"missing": 2}
    assert ratings.warnings[0] == f"2 of 4 ids in {path} are not in the pool."


@pytest.mark.parametrize(
    ("given", "scale", "values"),
    [
        (["3.5/5", "4 / 5", "4,5 out of 5 stars", "five"], "1-5", [3.5, 4, 4.5, NAN]),
        (["★★★½", "★★☆☆☆", "⭐⭐⭐⭐⭐", "½"], "0-5", [3.5, 2, 5, NAN]),
        (["85 %", "7%", 20, "1_0"], "0-100", [85, 7, 20, NAN]),
    ],
)
def test_a_number_is_read_as_people_write_it(tmp_path, given, scale, values):
    with pytest.warns(Ds2Warning):
        ratings = import_ratings(pool_of(tmp_path, given), column="score", scale=scale)
    assert same(ratings.values, values)


def test_many_rows_are_joined_on_their_ids(tmp_path):
    order = np.random.default_rng(0).permutation(50)
    rows = [{"id": f"r{n}", "score": 1 + int(n) % 10} for n in order]
    write_table(tmp_path / "t.parquet", rows)
    ratings = import_ratings(pool_of(tmp_path, ["absent"] * 50), file=tmp_path / "t.parquet")
    assert ratings.values.tolist() == [1 + n % 10 for n in range(50)]


def test_saved_ratings_are_the_same_ratings(tmp_path):
    pool = pool_of(tmp_path, [7, None, "x", 99, 3.5])
    with pytest.warns(Ds2Warning):
        ratings = import_ratings(pool, column="score", rater="Ann")
    ratings.save(tmp_path / "ratings.parquet", ids=pool.ids)
    table = pq.read_table(tmp_path / "ratings.parquet")
    assert table.column_names == ["id", "rating", "score", "problem"]
    assert table["score"].to_pylist() == [3, None, None, None, 0]
    assert table["problem"].to_pylist() == [None, "missing", "not a number", "out of range", None]
    loaded = Ratings.load(tmp_path / "ratings.parquet")
    assert same(loaded.values, ratings.values)
    assert loaded.problems == ratings.problems
    assert (loaded.scale, loaded.rater, loaded.warnings) == (Scale.ds2(), "Ann", ratings.warnings)


def test_what_is_no_table_of_ratings_cannot_be_loaded(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        Ratings.load(tmp_path / "none.parquet")
    pq.write_table(pa.table({"rating": [1.0]}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match="no table of ratings"):
        Ratings.load(tmp_path / "other.parquet")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="no whole Parquet file"):
        Ratings.load(tmp_path / "cut.parquet")


def test_ratings_must_agree_with_their_problems():
    values = np.array([1.0, NAN])
    with pytest.raises(InputError, match="'codes' must be 0 exactly where"):
        Ratings(values, np.array([0, 0], np.int8), Scale.ds2(), "a")
    with pytest.raises(InputError, match="one entry per example"):
        Ratings(values, np.array([0], np.int8), Scale.ds2(), "a")


#: What stands in the pool's field, what is asked for, and what is said.
REFUSED = [
    ([1, 2], "scores", "Did you mean 'score'"),
    ([1, 2], None, "Name the 'column'"),
    ([None, None], "score", r"No example has a rating from 'score': \d"),
    (["a", ""], "score", r"No example has a rating from 'score': \d"),
    ([0, 99], "score", r"No example has a rating from 'score': \d"),
    ([None, "good", True], "score", "Example 2 has 'good': a rating is a number"),
    ([40, 55, 93], "score", r'scale = "0-100" and bins = \[16.67, .*83.33\]'),
    ([7, "3/5"], "score", r"out of 5, as example 2 says .*3/5.* 1 to 10"),
]


@pytest.mark.parametrize(("values", "column", "said"), REFUSED)
def test_what_a_field_cannot_hold_is_said(tmp_path, values, column, said):
    with pytest.raises(InputError, match=said):
        import_ratings(pool_of(tmp_path, values), column=column)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"id": "r0", "score": 5}\n{]\n', "line 2: not valid JSON"),
        ('{"id": "r0", "score": 5}\n{"id": "r1", "sc', "cut off: line 2"),
        ("\n", "holds no rows"),
        ("", "is empty"),
        ('{"id": null, "score": 5}\n', "no id in the column 'id'"),
        ('{"id": "a", "score": 5}\n', r"None of the 1 ids .* first is 'a', .*'r0'"),
        *(
            (
                f'{{"id": "{a}", "score": 5}}\n{{"id": "{b}", "score": 5}}\n' * 2,
                "is given twice, in",
            )
            for a, b in (("r0", "r1"), ("x", "x"))
        ),
    ],
)
def test_a_table_that_cannot_be_used(tmp_path, text, said):
    (tmp_path / "t.jsonl").write_text(text)
    with pytest.raises(InputError, match=said):
        import_ratings(pool_of(tmp_path, ["absent"] * 3), file=tmp_path / "t.jsonl")
