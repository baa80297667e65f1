"""Gold drawn between two selections, in a run: plan, sheet, scores back, comparison."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from small_pool import RECIPE, lines_of, make_rows, put_run, score
from typer.testing import CliRunner

from ds2.cli.app import app
from ds2.errors import InputError
from ds2.pool import Pool
from ds2.rating import Scale
from ds2.runs import (
    Job,
    add_gold,
    compare_run,
    plan_run_between,
    run,
    status,
    write_gold_sheets,
)
from ds2.runs.ask import found_between

pytestmark = pytest.mark.filterwarnings("ignore::ds2.errors.Ds2Warning")
N, SIZE, MINE = 400, 60, range(100, 200)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    more = f"[select]\nsize = {SIZE}\n[compare]\nmap = 'pca'\n"
    place = tmp_path_factory.mktemp("between")
    folder = put_run(place, make_rows(N), RECIPE.format(n_bootstrap=0) + more)
    (place / "mine.txt").write_text("".join(f"r{row}\n" for row in MINE))
    run(folder)
    return place


def pair_of(folder: Path) -> tuple[str, str]:
    return "run", str(folder.parent / "mine.txt")


def truth() -> dict[str, float]:
    return {str(row["id"]): float(str(row["true"])) for row in make_rows(N)}


def filled(folder: Path, columns=("id", "score", "stratum", "stratum_rows")) -> Path:
    return score(folder / "gold-sheet.jsonl", folder / "filled.jsonl", truth(), columns)


def fresh(folder: Path) -> list[str]:
    return [one.stage for one in status(folder).stages if one.state == "fresh"]


def test_a_plan_comes_back_as_a_difference_and_teaches_nothing(folder):
    sheets = plan_run_between(Job.of(folder), [pair_of(folder)], size=50)
    (pair,) = sheets.pairs
    assert sheets.n_new == pair.n == 50
    assert pair.a.startswith("the run's selection")
    widths = [believed for believed, _ in pair.expected.values()]
    assert widths == sorted(widths, reverse=True)
    assert all(believed <= nothing for believed, nothing in pair.expected.values())
    assert "r1" in (folder / "gold-sheet.html").read_text()
    stages = fresh(folder)
    added = add_gold(Job.of(folder), [filled(folder, ("id", "score"))])  # also without its strata
    assert (added.n_added, added.n_judging) == (50, 50)
    assert added.path.name == "gold-between.jsonl"
    assert not (folder / "gold.jsonl").exists()
    assert fresh(folder) == stages, "no stage reads what judges"
    compared = compare_run(Job.of(folder), methods=["ds2", "length", "random"])
    row = json.loads(compared.document)["tables"]["between"]["rows"][0]
    assert (row["scores"], row["as planned"]) == (50, "yes")
    value, low, high = row["difference"]
    assert low < value < high
    scores = truth()
    own = pq.read_table(folder / "selection.parquet")["id"].to_pylist()
    means = [np.mean([scores[name] for name in ids]) for ids in (own, [f"r{i}" for i in MINE])]
    assert low <= means[0] - means[1] <= high
    assert any(question.startswith("Which has the higher mean") for question, _ in compared.verdict)
    for name in ("compare.md", "compare.html"):
        assert "Horvitz" in (folder / name).read_text(encoding="utf-8")


def test_a_score_that_judges_is_kept_from_curation_wherever_it_is_written(folder):
    plan_run_between(Job.of(folder), [pair_of(folder)], size=50)
    shutil.copy(filled(folder), folder / "gold.jsonl")  # by hand, past --add
    run(folder)
    assert not any("gold" in row for row in evidence(folder))
    write_gold_sheets(Job.of(folder), size=60)
    asked = {line["id"] for line in lines_of(folder / "gold-sheet.jsonl")}
    assert not asked & {line["id"] for line in lines_of(folder / "gold.jsonl")}
    add_gold(Job.of(folder), [filled(folder)])
    run(folder)
    assert any("gold" in row for row in evidence(folder)), "and gold that teaches does"
    judges = {line["id"] for line in lines_of(folder / "gold-between.jsonl")}
    assert len(judges) == 50
    assert not judges & {line["id"] for line in lines_of(folder / "gold.jsonl")}


def evidence(folder: Path) -> list[str]:
    from ds2.curation import Curation
    from ds2.runs import load

    return [row.measure for row in load(Curation, folder).evidence]


def test_what_taught_counts_with_certainty_and_is_not_asked_again(folder):
    write_gold_sheets(Job.of(folder), size=80)
    add_gold(Job.of(folder), [filled(folder)])
    taught = {line["id"] for line in lines_of(folder / "gold.jsonl")}
    (pair,) = plan_run_between(Job.of(folder), [("run", "random")], size=60).pairs
    assert "the mean of the" in pair.b
    assert pair.n_known == len(taught)
    assert not taught & {line["id"] for line in lines_of(folder / "gold-sheet.jsonl")}


def test_a_larger_plan_asks_only_for_the_rest_and_a_change_is_named(folder):
    plan_run_between(Job.of(folder), [pair_of(folder)], size=40)
    add_gold(Job.of(folder), [filled(folder)])
    sheets = plan_run_between(Job.of(folder), [pair_of(folder)], size=60)
    assert (sheets.n_examples, sheets.n_new) == (60, 20)
    add_gold(Job.of(folder), [filled(folder)])
    with pytest.raises(InputError, match="larger --size"):
        plan_run_between(Job.of(folder), [pair_of(folder)], size=60)
    smaller = {"select.size": 30}
    compared = compare_run(Job.of(folder, smaller), methods=["ds2", "length"])
    (row,) = json.loads(compared.document)["tables"]["between"]["rows"]
    assert row["as planned"] == "changed since"
    assert row["scores"] == 60


def test_several_pairs_share_a_plan_and_each_is_told_what_it_gets(folder, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(folder.parent, other)
    run(other / "run", overrides={"select.method": "random"})
    pairs = [
        ("ds2", "length"),
        ("ds2", str(folder.parent / "mine.txt")),
        ("run", str(other / "run")),
    ]
    sheets = plan_run_between(Job.of(folder), pairs, size=100)
    assert sheets.n_new == 100
    assert all(0 < pair.n <= 100 for pair in sheets.pairs)
    assert sum(pair.n for pair in sheets.pairs) > 100, "rows of one selection serve all its pairs"
    assert sheets.pairs[2].b.endswith("(random, this draw)")
    add_gold(Job.of(folder), [filled(folder)])
    found = found_between(folder, Pool.load(folder / "pool.arrow"), Scale.parse("0-5"))
    assert [difference.n for _, difference in found] == [pair.n for pair in sheets.pairs]
    assert all(np.isfinite(difference.low) for _, difference in found)


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (("ds2", "lenght"), "Did you mean 'length'"),
        (("ds2", "run"), "the same rows"),
        (("ds2", "rds"), "select.targets"),
    ],
)
def test_bad_pairs_are_one_sentence(folder, pair, words):
    with pytest.raises(InputError, match=words):
        plan_run_between(Job.of(folder), [pair], size=50)
    with pytest.raises(InputError, match=r"no selection\.parquet"):
        plan_run_between(Job.of(folder), [("run", str(folder.parent))], size=50)


def test_the_command_says_the_width_before_anybody_scores(folder):
    done = CliRunner().invoke(
        app, ["gold", str(folder), "--between", ",".join(pair_of(folder)), "--size", "50"]
    )
    assert done.exit_code == 0, done.output
    assert " 50 scores  ± " in done.output
    assert "100 scores  ± " in done.output
    done = CliRunner().invoke(app, ["gold", str(folder), "--between", "ds2", "--json"])
    assert done.exit_code == 2
    done = CliRunner().invoke(app, ["gold", str(folder), "--add", str(filled(folder)), "--json"])
    assert json.loads(done.stdout)["n_judging"] == 50
