"""Gold, rerating and hand-over in a real run folder."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from small_pool import lines_of, make_rows, score, write_rows
from typer.testing import CliRunner

from ds2.cli.app import app
from ds2.curation import Curation
from ds2.errors import InputError
from ds2.pool import Pool
from ds2.proof import Likelihoods
from ds2.runs import (
    Job,
    add_gold,
    load,
    parse_overrides,
    plan_run_between,
    plan_run_rerating,
    run,
    status,
    write_gold_sheets,
)
from ds2.runs.compare import curves_of
from ds2.runs.export import export, publish
from ds2.selection import Selection

pytestmark = pytest.mark.filterwarnings("ignore::ds2.errors.Ds2Warning")


def true_scores() -> dict[str, object]:
    return {str(row["id"]): row["true"] for row in make_rows()}


def fill(sheet: Path, out: Path) -> Path:
    return score(sheet, out, true_scores())


def test_gold_is_asked_for_read_back_and_decides(folder, tmp_path):
    sheets = write_gold_sheets(Job.of(folder), size=40)
    assert sheets.n_new == 40
    text = (folder / "gold-sheet.csv").read_text(encoding="utf-8-sig")
    table = list(csv.DictReader(io.StringIO(text)))
    assert len(table) == 40
    assert all(row["score"] == "" for row in table)
    assert not {"observed", "curated"} & set(table[0])  # whoever scores is blind
    page = (folder / "gold-sheet.html").read_text()
    assert table[0]["id"] in page
    added = add_gold(Job.of(folder), [fill(folder / "gold-sheet.jsonl", tmp_path / "filled.jsonl")])
    assert (added.n_scored, added.n_added) == (40, 40)
    run(folder)
    evidence = load(Curation, folder).evidence
    assert {row.n for row in evidence if row.measure == "gold: Spearman"} == {40}
    assert sum(row.chosen for row in evidence if row.measure == "gold: Spearman") == 1


def test_a_larger_plan_extends_a_smaller_one_and_asks_for_nothing_twice(folder, tmp_path):
    write_gold_sheets(Job.of(folder), size=30)
    first = fill(folder / "gold-sheet.jsonl", tmp_path / "first.jsonl")
    asked = {row["id"] for row in lines_of(first)}
    add_gold(Job.of(folder), [first])
    run(folder)  # the curated scores may change: the plan must not
    second = write_gold_sheets(Job.of(folder), size=50)
    again = {row["id"] for row in lines_of(folder / "gold-sheet.jsonl")}
    assert (second.n_examples, second.n_new) == (50, 20)
    assert not asked & again
    add_gold(Job.of(folder), [fill(folder / "gold-sheet.jsonl", tmp_path / "second.jsonl")])
    with pytest.raises(InputError, match="Ask for a larger --size"):
        write_gold_sheets(Job.of(folder), size=50)


@pytest.mark.parametrize("name", ["gold-sheet.csv", "gold-sheet.jsonl"])
def test_a_sheet_that_somebody_has_filled_in_is_not_written_over(folder, name):
    write_gold_sheets(Job.of(folder), size=30)
    write_gold_sheets(Job.of(folder), size=30)  # an empty one is
    sheet = folder / name
    text = sheet.read_text(encoding="utf-8")
    filled = text.replace('"score": null', '"score": 3', 4).replace(",,,", ",4,,", 4)
    assert filled != text
    sheet.write_text(filled, encoding="utf-8")
    before = {path: path.read_bytes() for path in folder.glob("gold-*")}
    for ask in (
        lambda: write_gold_sheets(Job.of(folder), size=40),
        lambda: plan_run_between(Job.of(folder), [("run", "random")]),
    ):
        with pytest.raises(InputError, match=rf"{name}' holds 4 scores .* --add .*{name}"):
            ask()
    assert {path: path.read_bytes() for path in folder.glob("gold-*")} == before
    add_gold(Job.of(folder), [sheet])
    assert write_gold_sheets(Job.of(folder), size=40).n_new == 36


@pytest.mark.parametrize(
    ("line", "lost"),
    [
        ({"id": "r2", "score": 2, "annotator": "ann"}, "the columns 'annotator' would be lost"),
        ({"id": "elsewhere", "score": 2}, "1 lines that are not the one score of an example"),
        ({"id": "r1", "score": 2}, "1 lines that are not"),
    ],
)
def test_a_file_of_trusted_scores_of_the_users_own_loses_nothing(folder, tmp_path, line, lost):
    own = write_rows(tmp_path / "own.jsonl", [{"id": "r1", "score": 1}, line])
    before = own.read_bytes()
    more = write_rows(tmp_path / "more.jsonl", [{"id": "r3", "score": 3}])
    with pytest.raises(InputError, match=f"own.jsonl' would be written anew, and {lost}"):
        add_gold(Job.of(folder, {"gold.path": str(own)}), [more])
    assert own.read_bytes() == before
    added = add_gold(Job.of(folder), [own, more])  # what the sentence says
    assert added.n_scored >= 2
    assert own.read_bytes() == before


def test_a_sheet_without_a_usable_score_is_an_error_and_changes_nothing(folder, tmp_path):
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"id": "r1", "score": 17}\n')
    with pytest.raises(InputError, match=r"bad.jsonl.*17"):
        add_gold(Job.of(folder), [bad])
    assert not (folder / "gold.jsonl").exists()


def test_rerating_lists_examples_of_the_pool_and_a_small_budget_is_a_prefix(folder):
    large = plan_run_rerating(Job.of(folder), budget=40)
    ids = [row["id"] for row in lines_of(large.path)]
    assert 0 < len(ids) <= 40
    assert set(ids) <= set(true_scores())
    assert large.precision_after >= large.precision
    assert large.gained[1] <= large.gained[0] <= large.gained[2]
    said = CliRunner().invoke(app, ["rerate", str(folder), "--budget", "2", "--noise", "9"]).stdout
    assert "Not worth it: chance can take away as much as these ratings bring." in said
    assert "Rate them" not in said
    plan_run_rerating(Job.of(folder), budget=10)
    assert [row["id"] for row in lines_of(large.path)] == ids[:10]
    with pytest.raises(InputError, match="no cut"):
        plan_run_rerating(Job.of(folder, parse_overrides(["select.size=all"])), budget=5)


@pytest.mark.parametrize("tool", ["trl", "axolotl", "llama-factory", "unsloth", "parquet"])
def test_a_selection_is_handed_over_in_pick_order(folder, tool):
    made = export(Job.of(folder), tool=tool)
    chosen = load(Selection, folder).rows
    data = made.files[0]
    assert data.parent == folder / tool
    rows = pq.read_table(data).to_pylist() if tool == "parquet" else lines_of(data)
    assert [row["id"] for row in rows] == [f"r{row}" for row in chosen]
    assert rows[0]["ds2_reason"].startswith("score ")
    assert str(data) in made.usage or tool == "llama-factory"
    bare = export(Job.of(folder), tool="trl", plain=True)
    assert not any(key.startswith("ds2_") for key in lines_of(bare.files[0])[0])
    assert bare.command.startswith(f"trl sft --model_name_or_path MODEL --dataset_name {folder}")


def test_a_control_has_random_examples_of_the_same_lengths(folder):
    made = export(Job.of(folder), tool="trl", plain=True, control=True)
    own, control = (lines_of(path) for path in made.files)
    assert made.files[1] == folder / "trl-control" / "selected.jsonl"
    assert len(control) == len(own)
    assert {row["id"] for row in control} != {row["id"] for row in own}
    lengths = [
        sorted(len(row["messages"][-1]["content"]) for row in rows) for rows in (own, control)
    ]
    assert np.abs(np.mean(lengths[0]) - np.mean(lengths[1])) < 5


def test_a_run_that_cannot_be_written_can_be_read(folder, tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    files = sorted(folder.rglob("*"))
    made = export(Job.of(folder), tool="trl", out=tmp_path / "out")
    assert made.n == len(load(Selection, folder).rows)
    assert curves_of(Job.of(folder)).by_size.sizes.tolist()
    assert {one.state for one in status(folder).stages} == {"fresh"}
    assert {one.state for one in run(folder).stages} == {"fresh"}
    with pytest.raises(InputError, match=r"lock.* cannot be written"):
        run(folder, overrides={"select.size": 5})
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(InputError, match=r"lock.* cannot be written"):
        plan_run_between(Job.of(folder), [("run", "length")])
    assert sorted(folder.rglob("*")) == files


def test_publishing_needs_a_token_from_the_environment(folder, monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(InputError, match="HF_TOKEN"):
        publish(Job.of(folder), "org/name")


def selected(folder: Path, *settings: str) -> list[str]:
    run(folder, until="select", overrides=parse_overrides(list(settings)))
    return pq.read_table(folder / "selection.parquet")["id"].to_pylist()


def test_constraints_of_the_recipe_hold(folder, tmp_path):
    rows = {str(row["id"]): row for row in make_rows()}
    (tmp_path / "must.txt").write_text("r5\nr12\n")
    (tmp_path / "never.txt").write_text("r4\n")
    ids = selected(
        folder,
        "select.size=30",
        f"select.must_have={tmp_path / 'must.txt'}",
        f"select.must_not={tmp_path / 'never.txt'}",
        'select.quotas=[{by="source", label="s0", max=5}, {by="source", label="s1", min=0.5}]',
        "select.near_duplicate=0.999",
    )
    sources = [rows[name]["source"] for name in ids]
    assert len(ids) == 30
    assert {"r5", "r12"} <= set(ids)
    assert "r4" not in ids
    assert sources.count("s0") <= 5
    assert sources.count("s1") >= 15
    left = pq.read_table(folder / "dropped.parquet").to_pylist()
    assert not {row["id"] for row in left} & set(ids)
    assert all(row["reason"] for row in left)


def test_a_budget_in_characters_is_kept(folder):
    rows = {str(row["id"]): row for row in make_rows()}
    ids = selected(folder, "select.size=all", "select.max_tokens=1500")
    total = sum(len(f"{rows[name]['instruction']}{rows[name]['output']}") for name in ids)
    assert 0 < total <= 1500
    assert total > 1300


def test_constraints_that_clash_are_named(folder):
    with pytest.raises(InputError, match="s1"):
        selected(
            folder,
            "select.size=60",
            'select.quotas=[{by="source", label="s1", min=58}, {by="source", label="s0", min=5}]',
        )


def test_examples_of_an_evaluation_set_are_left_out(folder, tmp_path):
    plain = selected(folder, "select.size=100")
    row = next(row for row in make_rows() if row["id"] == plain[0])
    leaked = f"{row['instruction']} {row['output']}"
    (tmp_path / "eval.jsonl").write_text(json.dumps({"question": leaked}) + "\n")
    clean = selected(folder, "select.size=100", f'select.decontaminate=["{tmp_path}/eval.jsonl"]')
    assert (
        selected(folder, "select.size=100", f"select.decontaminate={tmp_path}/eval.jsonl") == clean
    )
    left = {r["id"]: r["reason"] for r in pq.read_table(folder / "dropped.parquet").to_pylist()}
    assert plain[0] not in clean
    assert "eval.jsonl" in left[plain[0]]


def test_a_column_of_the_pool_orders_the_selection(folder):
    rows = make_rows()
    for number, row in enumerate(rows):
        row["ppl"] = None if number == 3 else float((number * 37) % 160)
    write_rows(folder.parent / "pool.jsonl", rows)
    ids = selected(folder, "select.method=perplexity", "select.values=ppl", "select.size=10")
    values = [rows[int(name[1:])]["ppl"] for name in ids]
    assert values == sorted(values, reverse=True)
    assert max(values) == max(v["ppl"] for v in rows if v["ppl"] is not None)
    with pytest.raises(InputError, match=r"select\.values"):
        selected(folder, "select.method=ifd")


def test_likelihoods_are_those_of_the_model_that_is_there_now(folder, monkeypatch):
    measured = []

    def measure(pool: Pool, model: str, **_: object) -> Likelihoods:
        measured.append(model)
        values = np.arange(len(pool)) * 1.0
        return Likelihoods(values, values, {}, model)

    monkeypatch.setattr("ds2.runs.select.measure_likelihoods", measure)
    (folder / "model").mkdir()
    (folder / "model" / "weights.bin").write_text("1")
    asked = ("select.method=perplexity", "select.likelihood_model=model")
    selected(folder, *asked)
    selected(folder, *asked, "select.size=5")
    assert measured == [str(folder / "model")]  # which is in the recipe's folder
    (folder / "model" / "weights.bin").write_text("2")
    selected(folder, *asked, "select.size=5")
    assert len(measured) == 2


def test_curation_controls_for_length_when_asked(folder):
    run(folder, overrides=parse_overrides(["curate.method=ds2", "curate.control=length"]))
    controlled = load(Curation, folder).scores
    run(folder, overrides=parse_overrides(["curate.method=ds2"]))
    plain = load(Curation, folder).scores
    assert not np.array_equal(controlled, plain, equal_nan=True)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("select.size=all", r"'select.size' is \"all\".* set 'select.max_tokens'"),
        ("select.decontaminate_similarity=0.9", r"name them in 'select.decontaminate'"),
        ("select.method=deita select.threshold=1.9", r"Method 'deita' stops after \d+ of \d+ rows"),
    ],
)
def test_settings_that_cannot_be_met_are_one_sentence(folder, setting, sentence):
    with pytest.raises(InputError, match=sentence):
        run(folder, until="select", overrides=parse_overrides(setting.split()))


def test_a_card_names_no_folder_of_this_machine(folder, tmp_path, monkeypatch):
    ids = tmp_path / "secret folder" / "ids.txt"
    ids.parent.mkdir()
    ids.write_text("r1\n")
    cards = []
    monkeypatch.setattr("ds2.runs.export.push_to_hub", lambda *given, **_: cards.append(given[2]))
    publish(Job.of(folder, {"select.must_have": str(ids)}), "org/name")
    assert cards[0].settings["select.must_have"] == "ids.txt"
    assert str(tmp_path) not in repr(cards[0])
