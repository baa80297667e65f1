"""`ds2.run`: the whole job in one call, and how its results show themselves."""

import json
import sys

import numpy as np
import pytest
from small_pool import make_rows, write_rows

import ds2

pytestmark = pytest.mark.filterwarnings("ignore::ds2.errors.Ds2Warning")


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return [{**row, "html": "<script>alert(1)</script>"} for row in make_rows()]


@pytest.fixture(scope="module")
def result(rows):
    import pandas as pd

    return ds2.run(pd.DataFrame(rows), scores="score", size=16)


def test_a_frame_becomes_a_selection_and_a_report(result, rows):
    assert len(result.selected) == 16
    assert result.report().read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    chosen = result.selection.rows
    assert result.selected.ids == [rows[i]["id"] for i in chosen]
    frame = result.selected.to_pandas()
    assert list(frame["id"]) == result.selected.ids
    assert frame["messages"].iloc[0][-1]["content"] == rows[chosen[0]]["output"]
    dataset = result.selected.to_dataset("alpaca")
    assert dataset["output"] == [rows[i]["output"] for i in chosen]
    assert result.pool.n_read == len(rows)
    assert not np.isnan(result.ratings.values).all()
    assert result.noise.matrix.shape == (6, 6)


def test_a_folder_is_kept_and_gone_on_with(tmp_path, rows):
    path = write_rows(tmp_path / "pool.jsonl", rows)
    shards = (path, write_rows(tmp_path / "more.jsonl", [{**rows[0], "id": "one more"}]))
    assert len(ds2.run(shards, scores="score", size=0.1).pool) == len(rows) + 1
    first = ds2.run(path, scores="score", size=0.1, folder=tmp_path / "run")
    again = ds2.run(path, scores="score", size=0.1, folder=tmp_path / "run")
    assert again.folder == tmp_path / "run"
    np.testing.assert_array_equal(first.selection.rows, again.selection.rows)
    gold = tmp_path / "gold.jsonl"
    lines = [json.dumps({"id": row["id"], "score": row["true"]}) for row in rows[20:60]]
    gold.write_text("\n".join(lines), encoding="utf-8")
    judged = ds2.run(path, scores="score", size=0.1, folder=tmp_path / "run", gold=gold)
    assert judged.noise.n_gold == 40
    with pytest.raises(ds2.InputError, match="says something else"):
        ds2.run(path, scores="score", size=0.2, folder=tmp_path / "run")
    with pytest.raises(ds2.InputError, match="row 2: "):
        ds2.run([rows[0], 3], scores="score")


def test_a_call_that_is_refused_changes_nothing(tmp_path, rows):
    folder = tmp_path / "run"
    with pytest.raises(ds2.InputError, match="row 2: "):
        ds2.run([rows[0], 3], scores="score", folder=folder)
    assert not folder.exists()
    folder.mkdir()
    with pytest.raises(ds2.InputError, match=r"select\.method"):
        ds2.run(rows, scores="score", settings={"select.method": "none"}, folder=folder)
    assert not list(folder.iterdir())
    own = write_rows(folder / "rows.jsonl", rows[:3])
    before = own.read_bytes()
    with pytest.raises(ds2.InputError, match=r"holds 'rows\.jsonl', which a run would replace"):
        ds2.run(rows, scores="score", folder=folder)
    assert own.read_bytes() == before
    own.unlink()
    ds2.run(rows, scores="score", size=0.1, folder=folder)
    files = {path: path.stat() for path in folder.iterdir()}
    for refused in ({"size": 0.2}, {"size": 0.1, "raters": ["m"]}):
        with pytest.raises(ds2.InputError, match="says something else"):
            ds2.run(rows[:100], scores="score", folder=folder, **refused)
    after = {path: path.stat() for path in folder.iterdir()}
    assert {p: (s.st_size, s.st_mtime_ns) for p, s in after.items()} == {
        p: (s.st_size, s.st_mtime_ns) for p, s in files.items()
    }
    assert len(ds2.run(rows[:100], scores="score", size=0.1, folder=folder).pool) == 100


def test_warnings_are_warned_at_the_line_that_called(rows):
    with pytest.warns(ds2.Ds2Warning) as warned:
        found = ds2.run(rows, scores="score", size=16)
    assert found.warnings
    assert {str(one.message) for one in warned} >= set(found.warnings)
    assert {one.filename for one in warned} == {__file__}
    assert f"<summary>{len(found.warnings)} warnings</summary>" in found._repr_html_()


def test_on_a_terminal_one_line_says_how_far_the_run_is(rows, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    ds2.run(rows, scores="score", size=16)
    seen = capsys.readouterr().err.split("\r")
    assert any(line.startswith("noise: ") and "%" in line for line in seen)
    assert seen[-1] == ""
    assert not seen[-2].strip()


def test_results_are_one_line_and_a_small_table(result):
    for one in (
        *(result, result.noise, result.curation, result.selection),
        *(result.neighbors, result.ratings),
    ):
        assert len(repr(one)) < 500, repr(one)
        assert "\n" not in repr(one)
        page = one._repr_html_()
        assert "<script" not in page
        assert len(page) < 8000
    assert "<160 float64>" in repr(result.curation)
    assert result.verdict[0] in result._repr_html_().replace("&#x27;", "'")
    assert result.noise._repr_html_().count("<td style='background") == 36
