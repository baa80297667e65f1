"""Sheets for trusted scores: written, filled in by people and spreadsheets, read back."""

import csv
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ds2.errors import InputError
from ds2.levels import nearest_level
from ds2.pool import read_pool
from ds2.pool.rows import read_file
from ds2.rating import GoldScores, Scale, read_gold, write_gold_sheet

IDS = [
    "plain",
    "=1+1",
    "+49",
    "-7",
    "@home",
    "'=quoted",
    "'=1+1",
    "'fine",
    "\tx",
    "0012",
    "ü",
    "a,b",
]
SCALE = Scale.levels(6)


@pytest.fixture
def pool(tmp_path):
    path = tmp_path / "pool.jsonl"
    rows = [
        {"id": ident, "prompt": f'=HYPERLINK("http://x/{n}")\nline "two"', "response": f"r{n}"}
        for n, ident in enumerate(IDS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read_pool(path)


def sheet(pool, path, rows=None):
    rows = np.arange(len(pool)) if rows is None else np.asarray(rows)
    write_gold_sheet(
        pool,
        rows,
        path,
        strata=rows % 3,
        stratum_rows=100 + rows % 3,
        probabilities=np.full(len(rows), 0.04),
    )
    return path


def fill(path, scores, *, notes=None):
    """Fill a CSV sheet in, as a person with a spreadsheet does."""
    text = path.read_bytes().decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    for number, row in enumerate(rows):
        row["score"] = scores.get(number, "")
        row["note"] = (notes or {}).get(number, "")
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(out.getvalue(), encoding="utf-8", newline="")
    return path


def lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_no_cell_of_a_csv_sheet_is_a_formula_and_every_id_comes_back(pool, tmp_path):
    path = sheet(pool, tmp_path / "gold.csv")
    raw = path.read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    cells = [cell for row in csv.reader(io.StringIO(raw.decode("utf-8-sig"))) for cell in row]
    assert not [cell for cell in cells if cell[:1] in set("=+-@\t\r\n")]
    assert "conversation" in cells
    found = read_gold(pool, fill(path, {n: f"{n % 6}" for n in range(len(IDS))}), scale=SCALE)
    np.testing.assert_array_equal(found.values, np.arange(len(IDS)) % 6)
    np.testing.assert_array_equal(found.stratum, np.arange(len(IDS)) % 3)
    assert found.faults == found.warnings == ()


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12))
def test_any_cell_is_read_back_intact(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("cells")
    path = folder / "pool.jsonl"
    path.write_text(json.dumps({"id": text, "prompt": text, "response": "r"}) + "\n")
    pool = read_pool(path)
    out = sheet(pool, folder / "gold.csv")
    assert read_gold(pool, fill(out, {0: 2}), scale=SCALE).values.tolist() == [2.0]
    values = np.array([2.0])
    gold = GoldScores(values, SCALE, np.array([-1]), np.array([0]), {0: text})
    for name in ("again.csv", "again.jsonl"):
        gold.save(folder / name, pool)
        back = read_gold(pool, folder / name, scale=SCALE)
        assert back.values.tolist() == [2.0]
        assert back.notes == {0: text}


def test_an_id_whose_apostrophe_a_spreadsheet_took_off_is_found(pool, tmp_path):
    path = tmp_path / "gold.csv"
    path.write_text("id,score\n+49,3\n'-7,4\n")
    found = read_gold(pool, path, scale=SCALE)
    assert found.values[[2, 3]].tolist() == [3.0, 4.0]
    assert found.weights() is None


def test_an_apostrophe_in_jsonl_is_part_of_the_id(pool, tmp_path):
    path = lines(tmp_path / "gold.jsonl", {"id": "'=1+1", "score": 5}, {"id": "=1+1", "score": 1})
    found = read_gold(pool, path, scale=SCALE)
    assert found.values[[6, 1]].tolist() == [5.0, 1.0]


def test_each_fault_is_a_sentence_with_file_and_line_and_the_rest_counts(pool, tmp_path):
    path = tmp_path / "gold.jsonl"
    rows = [
        {"id": "plain", "score": 3},
        {"id": "nobody", "score": 3},
        {"id": "a,b", "score": "good"},
        {"id": "ü", "score": 9},
        {"score": 3},
        {"id": "0012", "score": "3,5"},
        {"id": "0012", "score": None},
        {"id": "@home", "score": 4, "stratum": -2, "stratum_rows": 7},
        {"id": "-7", "score": True},
        {"id": "-7", "score": float("inf")},
        [1],
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{oops\n")
    found = read_gold(pool, path, scale=SCALE)
    assert found.n_scored == 1
    said = [fault.split(": ", 1) for fault in found.faults]
    assert [where.rsplit(", ", 1)[1] for where, _ in said] == [
        f"line {n}" for n in (2, 3, 4, 5, 6, 8, 9, 10, 11, 12)
    ]
    words = [
        "'nobody' is not in the pool",
        "'good' is not a number",
        "9 is outside 0 to 5",
        "no id",
        "with a point",
        "stratum",
        "True is not a number",
        "inf is outside",
        "not an object",
        "not valid JSON",
    ]
    for (where, what), word in zip(said, words, strict=True):
        assert str(path) in where
        assert word in what
        assert what.endswith(".")


def test_the_last_score_wins_and_says_so(pool, tmp_path):
    first = lines(
        tmp_path / "a.jsonl",
        {"id": "plain", "score": 3, "note": "once", "stratum": 1, "stratum_rows": 50},
        {"id": "ü", "score": 2},
    )
    second = lines(tmp_path / "b.jsonl", {"id": "plain", "score": 4}, {"id": "ü", "score": 2})
    found = read_gold(pool, [first, second], scale=SCALE)
    assert found.values[[0, 10]].tolist() == [4.0, 2.0]
    assert found.notes == {0: "once"}
    assert found.stratum[0] == 1
    said, plans = found.warnings
    assert "not come from one plan of strata" in plans
    assert found.weights() is None
    assert "for 1 example: 'plain' from 3 to 4 in" in said
    assert "b.jsonl, line 1" in said
    assert read_gold(pool, [second, first], scale=SCALE).values[0] == 3.0


def test_what_was_saved_is_read_again(pool, tmp_path):
    path = fill(sheet(pool, tmp_path / "gold.csv"), {0: 1, 4: 2.5, 7: 5}, notes={4: "so so"})
    found = read_gold(pool, path, scale=SCALE)
    found.save(tmp_path / "gold.jsonl", pool)
    again = read_gold(pool, tmp_path / "gold.jsonl", scale=SCALE)
    np.testing.assert_array_equal(again.values, found.values)
    np.testing.assert_array_equal(again.stratum, found.stratum)
    np.testing.assert_array_equal(again.weights(), found.weights())
    assert again.notes == {4: "so so"}
    assert again.n_scored == 3


def test_weights_are_stratum_over_scored_and_refuse_mixed_plans(pool, tmp_path):
    path = fill(sheet(pool, tmp_path / "gold.csv"), {0: 1, 3: 2, 4: 5})
    found = read_gold(pool, path, scale=SCALE)
    weights = found.weights()
    assert weights[[0, 3, 4]].tolist() == [50.0, 50.0, 101.0]
    assert np.isnan(weights[[1, 2]]).all()
    another = lines(
        tmp_path / "y.jsonl", {"id": "0012", "score": 1, "stratum": 0, "stratum_rows": 90}
    )
    mixed = read_gold(pool, [path, another], scale=SCALE)
    assert mixed.weights() is None
    assert "one plan of strata" in mixed.warnings[0]


def test_gold_between_two_ratings_has_the_level_that_the_scale_gives():
    values, unknown = np.array([5.5, 7.5, np.nan, 4.5, 8.5]), np.full(5, -1)
    levels = GoldScores(values, Scale.ds2(), stratum=unknown, stratum_rows=unknown).levels()
    np.testing.assert_array_equal(nearest_level(levels), [1, 3, np.nan, 0, 4])
    np.testing.assert_array_equal(nearest_level(levels), Scale.ds2().to_scores(values))


def test_values_on_levels_are_levels():
    values = np.array([0, 2.5, np.nan, 5])
    gold = GoldScores(values, Scale.levels(6), np.full(4, -1), np.zeros(4, dtype=int))
    np.testing.assert_array_equal(gold.levels(), values)


@pytest.mark.parametrize(
    "name", ["gold.jsonl", "gold.json", "gold.parquet", "gold.tsv", "g.csv.gz"]
)
def test_a_sheet_can_be_any_table(pool, tmp_path, name):
    path = sheet(pool, tmp_path / name, rows=[3, 1])
    with pytest.raises(InputError, match="No example has a score in"):
        read_gold(pool, path, scale=SCALE)
    found = [row["id"].lstrip("'") for _, row in read_file(path).rows]
    assert found == ["-7", "=1+1"]


def test_a_long_conversation_is_shortened_in_csv_only(tmp_path):
    path = lines(tmp_path / "p.jsonl", {"id": "a", "prompt": "x" * 50_000, "response": "end\0"})
    pool = read_pool(path)
    text = sheet(pool, tmp_path / "gold.csv").read_text(encoding="utf-8")
    assert len(text) < 32_000
    assert "characters left out" in text
    assert "end\u2400" in text
    assert json.loads(sheet(pool, tmp_path / "gold.jsonl").read_text())["conversation"].endswith(
        "end\0"
    )


def test_files_that_are_no_sheet_say_why(pool, tmp_path):
    other = lines(tmp_path / "o.jsonl", {"name": "plain", "score": 3})
    with pytest.raises(InputError, match=r"no column 'id'\. It has 'name', 'score'"):
        read_gold(pool, other, scale=SCALE)
    (tmp_path / "s.csv").write_text("id;score\nplain;3\n")
    found = read_gold(pool, tmp_path / "s.csv", scale=SCALE)  # as a spreadsheet may save it
    assert np.isfinite(found.values).sum() == 1
    with pytest.raises(InputError, match="does not exist"):
        read_gold(pool, tmp_path / "none.csv", scale=SCALE)
    with pytest.raises(InputError, match="at least one file"):
        read_gold(pool, [], scale=SCALE)
    with pytest.raises(InputError, match="'strata' must have 2 rows"):
        write_gold_sheet(
            pool,
            np.array([0, 1]),
            tmp_path / "x.csv",
            strata=np.zeros(3, dtype=int),
            stratum_rows=np.ones(2, dtype=int),
            probabilities=np.ones(2),
        )
