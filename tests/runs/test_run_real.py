"""The real stages, from a file of rows to a selection and a report."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from small_pool import Heard, make_rows, write_rows

from ds2.curation import Curation
from ds2.errors import InputError, MissingDependencyError
from ds2.noise import TransitionEstimate
from ds2.pool import read_pool
from ds2.runs import RunOutcome, load, parse_overrides, read_manifest, run, save, status
from ds2.runs.stages import STAGES
from ds2.selection import Selection

pytestmark = pytest.mark.filterwarnings("ignore::ds2.errors.Ds2Warning")

FILES = {name for stage in STAGES for name in stage.writes}


def go(folder: Path, *settings: str, until: str = "report") -> RunOutcome:
    return run(folder, until=until, overrides=parse_overrides(settings))


def done(result: RunOutcome) -> list[str]:
    return [outcome.stage for outcome in result.stages if outcome.state == "done"]


def test_a_run_leaves_the_files_that_it_promises(folder):
    go(folder, "scores.true_column=true", "report.title=A run")
    left = {path.name for path in folder.iterdir()}
    assert left == FILES | {"recipe.toml", "manifest.json", ".lock.pid"}
    assert set(read_manifest(folder).stages) == {stage.name for stage in STAGES}

    noise = json.loads((folder / "noise.json").read_text())
    assert {
        "matrix",
        "prior",
        "intervals",
        "prior_intervals",
        "range",
        "lift",
        "lifts",
        "warnings",
    } <= set(noise)
    assert np.allclose(np.array(noise["matrix"]).sum(axis=1), 1.0)

    ratings = pq.read_table(folder / "ratings.parquet").to_pylist()
    assert ratings[12]["score"] is None
    assert ratings[12]["problem"] == "missing"

    curation = pq.read_table(folder / "curation.parquet")
    assert set(curation.column_names) == {
        *(
            "id",
            "row",
            "observed",
            "raw",
            "score",
            "se",
            "scored",
            "misrated",
            "confidence",
            "suggestion",
        )
    }
    assert curation["id"].to_pylist() == [f"r{number}" for number in range(160)]
    assert curation["observed"].to_pylist()[12] is None

    report = json.loads((folder / "report.json").read_text())
    assert report["title"] == "A run"
    assert report["facts"]["truth"]["Rated examples with a known score"] > 100
    assert "A run" in (folder / "report.html").read_text()
    assert "A run" in (folder / "report.md").read_text()


def test_the_report_counts_the_rejected_rows_of_a_pool_that_was_read_before(folder):
    pool = folder.parent / "pool.jsonl"
    pool.write_text(pool.read_text() + '{"instruction": "x", "output": null}\n' * 3)
    go(folder)
    assert "report" in done(go(folder, "report.title=Again"))
    report = json.loads((folder / "report.json").read_text())
    assert report["facts"]["pool"]["Rows set aside"] == 3


def test_the_report_compares_with_the_planted_matrix(folder):
    planted = folder.parent / "planted.json"
    settings = ("scores.true_column=true", f"scores.planted={planted}")
    planted.write_text(json.dumps({"matrix": (0.7 * np.eye(6) + 0.05).tolist()}))
    assert done(go(folder, *settings)) == ["report"]
    table = json.loads((folder / "report.json").read_text())["tables"]["planted"]
    assert "The planted matrix is given." in table["says"]
    third = [table["rows"][4][f"observed {level}"] for level in range(6)]
    assert third == pytest.approx([0.05, 0.05, 0.75, 0.05, 0.05, 0.05])
    assert done(go(folder, *settings)) == []
    planted.write_text(json.dumps({"matrix": np.eye(6).tolist()}))
    assert done(go(folder, *settings)) == ["report"]


def test_a_training_makes_the_report_stale_and_is_in_it(folder):
    go(folder)
    training = folder / "proof" / "runs" / "selection-s0"
    training.mkdir(parents=True)
    lines = [json.dumps({"step": step, "loss": 2.0 - step / 10}) for step in (1, 2, 3)]
    (training / "log.jsonl").write_text("\n".join(lines) + '\n{"step": 4, "lo')
    assert done(go(folder)) == ["report"]
    assert done(go(folder)) == []
    (row,) = json.loads((folder / "report.json").read_text())["tables"]["loss of selection"]["rows"]
    assert (row["updates"], row["at first"], row["at last"]) == (3, 1.9, 1.7)
    assert '<section id="training"' in (folder / "report.html").read_text()


def test_a_planted_matrix_that_is_none_is_said_before_anything_runs(folder):
    planted = folder.parent / "planted.json"
    planted.write_text("{}")
    with pytest.raises(InputError, match=r"'scores\.planted' names"):
        go(folder, "scores.true_column=true", f"scores.planted={planted}", "neighbors.k=5")
    assert read_manifest(folder).failures == {}
    assert read_manifest(folder).stages["neighbors"].summary["k"] == 10
    go(folder, "scores.true_column=true", f"scores.planted={planted}", until="select")


def test_equal_scores_are_said_once_and_a_better_scale_is_named(folder):
    write_rows(folder.parent / "pool.jsonl", [{**row, "score": 3} for row in make_rows()])
    ear = Heard()
    with pytest.raises(InputError, match=r"Every rating of 'score' \(160 in all\)"):
        run(folder, listener=ear)
    assert ear.warnings == []
    with pytest.raises(InputError, match="Every rating"):
        run(folder, overrides={"scores.scale": "1-10"}, listener=ear)
    (hint,) = ear.warnings
    assert "set scale = " in hint


def test_a_scale_that_many_ratings_miss_stops_the_run_and_few_are_in_the_verdict(folder):
    with pytest.raises(InputError) as error:
        go(folder, "scores.scale=1-10", until="rate")
    for words in (
        "of the ratings of 'score'",
        "of 159) lie outside the declared scale, 1 to 10",
        "All of them lie in 0 to 5",
        'scale = "levels:6"',
        "raise scores.max_outside, which is 0.05",
    ):
        assert words in str(error.value)

    result = go(folder, "scores.scale=1-10", "scores.max_outside=0.3")
    first = result.summary["report"]["verdict"][0]
    assert "lie outside the declared scale, 1 to 10, counted as missing" in first


def test_the_selection_is_written_in_pick_order(folder):
    go(folder, "select.size=20")
    table = pq.read_table(folder / "selection.parquet")
    assert set(table.column_names) == {
        *("rank", "row", "id", "score", "observed", "confidence", "stability", "long_tail"),
        "reason",
    }
    picks = table.to_pylist()
    assert [pick["rank"] for pick in picks] == list(range(1, 21))
    scores = [pick["score"] for pick in picks]
    assert scores == sorted(scores, reverse=True)
    chosen = read_pool(folder / "selected.jsonl")
    assert chosen.format == "messages"
    assert chosen.ids == [pick["id"] for pick in picks]
    assert chosen.column("ds2_score") == scores
    assert chosen.column("ds2_long_tail") == [pick["long_tail"] for pick in picks]
    assert chosen.column("ds2_reason") == [pick["reason"] for pick in picks]
    assert chosen.column("score") == [pick["observed"] for pick in picks]
    assert '"ds2_score": 5,' in (folder / "selected.jsonl").read_text()


def test_a_large_selection_is_a_folder_of_parts_that_the_manifest_vouches_for(folder):
    import datasets

    go(folder, "select.size=25")
    (folder / "selected").mkdir()
    (folder / "selected" / "own.txt").write_text("somebody's own")
    (folder / "selected" / "part-00007.parquet").write_text("of an earlier run")
    (folder / "selected" / ".part-00000.parquet.01234567.tmp").write_text("of one that was killed")
    rows = [json.loads(line) for line in (folder / "selected.jsonl").read_text().splitlines()]
    parts = ("select.size=25", "output.rows_per_file=10")
    assert done(go(folder, *parts)) == ["select", "report"]
    names = [path.name for path in sorted((folder / "selected").glob("*.parquet"))]
    assert names == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    assert not (folder / "selected.jsonl").exists()
    read = datasets.load_dataset(
        "parquet",
        data_files=str(folder / "selected" / "*.parquet"),
        streaming=True,
        split="train",
        cache_dir=str(folder.parent / "cache"),
    )
    assert [{k: v for k, v in row.items() if v is not None} for row in read] == [
        {k: v for k, v in row.items() if v is not None} for row in rows
    ]
    assert done(go(folder, *parts)) == []
    last = folder / "selected" / "part-00002.parquet"
    data = last.read_bytes()
    last.write_bytes(data[:-1] + b"!")
    assert done(go(folder, *parts)) == ["select"]
    last.unlink()
    assert done(go(folder, *parts)) == ["select"]
    assert last.read_bytes() == data
    go(folder, "select.size=25")
    assert [
        json.loads(line) for line in (folder / "selected.jsonl").read_text().splitlines()
    ] == rows
    assert [path.name for path in (folder / "selected").iterdir()] == ["own.txt"]


def test_a_selection_can_be_the_pool_of_another_run(folder):
    go(folder, "select.size=60")
    shutil.copy(folder / "selected.jsonl", folder.parent / "again.jsonl")
    pool = f"pool.path={folder.parent / 'again.jsonl'}"
    go(folder, pool, "neighbors.k=5", "curate.method=raw", "select.size=5")
    chosen = read_pool(folder / "selected.jsonl")
    assert chosen.column("ds2_score") == chosen.column("score")  # not what the first run wrote


def test_the_same_run_gives_the_same_bytes(folder):
    second = folder.parent / "second"
    second.mkdir()
    shutil.copy(folder / "recipe.toml", second)
    (folder / "pool.arrow").unlink()  # it names the file that the original was read from
    go(folder)
    go(second)
    for name in FILES - {"embeddings.json"}:  # which tells how long it took
        made = (second / name).read_bytes()
        if name.startswith("report."):  # its commands name the folder
            made = re.sub(rb"(ds2 \w+) second\b", rb"\1 run", made)
        assert (folder / name).read_bytes() == made, name


def test_a_grown_pool_embeds_only_what_is_new(folder):
    write_rows(folder.parent / "pool.jsonl", make_rows(170))
    result = go(folder, until="embed")
    assert done(result) == ["pool", "embed"]
    assert result.summary["embed"]["n_embedded"] == 10
    assert result.summary["embed"]["n_reused"] == 159


def test_a_new_score_column_embeds_nothing_again(folder):
    rows = [{**row, "other": row["true"]} for row in make_rows()]
    write_rows(folder.parent / "pool.jsonl", rows)
    result = go(folder, "scores.column=other")
    assert result.summary["embed"]["n_embedded"] == 0
    assert set(done(result)) >= {"pool", "rate", "embed", "noise"}


def test_scores_from_a_file(folder, tmp_path):
    with (tmp_path / "scores.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "overall"])
        writer.writerows([row["id"], row["true"]] for row in make_rows()[10:])
    go(
        folder,
        f"scores.file={tmp_path / 'scores.csv'}",
        "scores.column=overall",
        "scores.id_column=name",
        until="rate",
    )
    assert read_manifest(folder).stages["rate"].summary["n_rated"] == 150


def test_vectors_from_a_file(folder, tmp_path):
    np.save(tmp_path / "v.npy", np.random.default_rng(0).normal(size=(160, 4)).astype("f4"))
    settings = ("embed.embedder=precomputed", f"embed.path={tmp_path / 'v.npy'}")
    go(folder, *settings, until="neighbors")
    assert np.load(folder / "embeddings.npy").shape == (160, 4)
    np.save(tmp_path / "v.npy", np.random.default_rng(1).normal(size=(160, 4)).astype("f4"))
    assert done(go(folder, *settings, until="neighbors")) == ["embed", "neighbors"]


def test_every_method_and_no_curation(folder):
    go(folder, "curate.method=raw", "select.size=5")
    curation = load(Curation, folder)
    assert (curation.misrated, curation.confidence, curation.suggestion) == (None, None, None)
    for method in ("top-score", "random", "length", "knn-10"):
        settings = ("curate.method=raw", "select.size=5", f"select.method={method}")
        go(folder, *settings, until="select")
        assert load(Selection, folder).method == method


def test_results_come_back_as_they_were(folder, tmp_path):
    go(folder, "curate.method=ds2")
    noise = load(TransitionEstimate, folder)
    save(tmp_path, noise)
    assert (tmp_path / "noise.json").read_bytes() == (folder / "noise.json").read_bytes()
    assert noise.intervals is not None
    assert noise.intervals.shape == (2, 6, 6)
    curation = load(Curation, folder)
    assert np.isnan(curation.scores[12])
    assert curation.misrated is not None
    assert curation.misrated.dtype == np.bool_
    selection = load(Selection, folder)
    assert dict(selection.dropped) == {"unrated": 1, "duplicate": 1}


def test_a_failed_stage_is_mended_without_redoing_the_others(folder):
    with pytest.raises(InputError, match="asks for 1000 rows"):
        go(folder, "select.size=1000")
    assert done(go(folder, "select.size=10")) == ["select", "report"]
    found = status(folder, overrides=parse_overrides(["select.size=10"]))
    assert {verdict.state for verdict in found.stages} == {"fresh"}


@pytest.mark.parametrize(
    ("change", "settings", "says"),
    [
        ({}, ("scores.column=scor",), "Did you mean 'score'?"),
        ({}, ("scores.column=",), "the recipe names none and nobody who rates"),
        ({}, ("scores.true_column=tru",), "Did you mean 'true'?"),
        ({}, ("scores.scale=5-1",), "lower end must be below"),
        ({}, ("scores.scale=good",), "must be a range such as"),
        ({"score": 3}, (), "falls into one score, 3"),
        ({"score": None}, (), "160 missing"),
        ({"score": "good"}, (), "160 not a number"),
        ({}, ("neighbors.k=159",), "[neighbors] 'k' must be smaller than the number of distinct"),
        ({}, ("select.size=1000",), "[select] 'size' asks for 1000 rows"),
        ({}, ("noise.n_neighbors=50",), "[noise] 'n_neighbors' must be a whole number in [2, 10]"),
        ({}, ("embed.embedder=precomputed",), "Set one of them"),
        ({}, ("embed.model=x",), "means nothing to the embedder 'wordllama'"),
        ({}, ("embed.embedder=openai",), "Set 'embed.model'"),
        ({}, ("pool.format=sharegpt",), "field missing"),
    ],
)
def test_wrong_input_is_one_sentence(folder, change, settings, says):
    if change:
        rows = [{**row, **change} for row in make_rows()]
        write_rows(folder.parent / "pool.jsonl", rows)
    with pytest.raises(InputError) as caught:
        go(folder, *settings)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("vectors", "says"),
    [(np.ones((100, 4)), "must have 160 rows"), (np.full((160, 4), np.nan), "NaN or infinity")],
)
def test_wrong_vectors_are_one_sentence(folder, tmp_path, vectors, says):
    np.save(tmp_path / "v.npy", vectors.astype("f4"))
    with pytest.raises(InputError, match=says):
        go(folder, "embed.embedder=precomputed", f"embed.path={tmp_path / 'v.npy'}")


def test_an_absent_package_is_named_with_the_line_to_paste(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "model2vec", None)
    with pytest.raises(MissingDependencyError, match="pip install model2vec"):
        go(folder, "embed.embedder=model2vec", "embed.model=x")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "empty"),
        (bytes(range(256)), "binary"),
        ('{"instruction": "\u00e9", "output": "x"}\n'.encode("latin-1"), "not UTF-8"),
        (b'{"instruction": "a", "output": "b", "score": 1}\n' * 70 + b'{"instr', "cut off"),
        (b'{"id": "a", "instruction": "x", "output": "y"}\n' * 2, "given twice"),
        (b'{"foo": 1}\n' * 9, "cannot tell the format"),
    ],
)
def test_a_faulty_pool_is_one_sentence_and_leaves_no_artefact(tmp_path, text, says):
    (tmp_path / "pool.jsonl").write_bytes(text)
    recipe = "[pool]\npath = 'pool.jsonl'\n[scores]\ncolumn = 'score'\n"
    (tmp_path / "recipe.toml").write_text(recipe)
    with pytest.raises(InputError, match=says):
        go(tmp_path)
    assert read_manifest(tmp_path).stages == {}
    assert not (tmp_path / "pool.arrow").exists()
