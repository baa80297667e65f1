"""A run without scores: it does all that needs none, says what it skips, and takes scores later."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from small_pool import make_rows, write_rows
from typer.testing import CliRunner

import ds2
from ds2.cli.app import app
from ds2.errors import InputError
from ds2.report.breadth import breadth_findings, methods_by_breadth, methods_state
from ds2.runs import (
    Job,
    compare_run,
    init_run,
    load,
    load_recipe,
    parse_overrides,
    plan_run_between,
    plan_run_rerating,
    run,
    status,
    write_gold_sheets,
)
from ds2.runs import export as export_module
from ds2.runs.export import export, publish
from ds2.runs.unrated import methods_without_scores
from ds2.selection import ComparedSelection, Selection

pytestmark = pytest.mark.filterwarnings("ignore::ds2.errors.Ds2Warning")
SKIPPED = ["rate", "noise", "curate"]
SCORE_FILES = ("ratings.parquet", "noise.json", "curation.parquet")


@pytest.fixture(scope="module")
def pool(tmp_path_factory) -> str:
    rows = [{key: row[key] for key in ("id", "instruction", "output", "source", "score")}
            for row in make_rows()]  # fmt: skip
    for number, row in enumerate(rows):
        row["ppl"] = number
    return str(write_rows(tmp_path_factory.mktemp("unrated") / "pool.jsonl", rows))


@pytest.fixture(scope="module")
def folder(pool) -> Path:
    place = Path(pool).with_name("run")
    init_run(place, pool=pool, settings={"select.size": 16, "compare.map": "pca"})
    return place


def command(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_pool_alone_is_enough(folder):
    recipe = load_recipe(folder)
    assert not recipe.rated
    assert recipe.select.method == "facility-location"
    assert "top-score" not in recipe.proof.arms
    found = run(folder)
    assert [one.stage for one in found.stages if one.state == "skipped"] == SKIPPED
    assert len(load(Selection, folder).rows) == 16
    assert not any((folder / name).exists() for name in SCORE_FILES)
    first = json.loads((folder / "selected.jsonl").read_text().splitlines()[0])
    assert "ds2_score" not in first
    assert "ds2_reason" in first
    again = run(folder)
    assert {one.state for one in again.stages} == {"fresh", "skipped"}


def test_status_says_what_is_skipped_and_why(folder):
    run(folder)
    lines = command("status", str(folder)).splitlines()
    for name in SKIPPED:
        assert any(line.startswith(f"{name:<10} skipped  the recipe names no") for line in lines)
    assert not any(line.startswith("next") for line in lines)
    stages = json.loads(command("status", str(folder), "--json"))["stages"]
    assert [one["stage"] for one in stages if one["state"] == "skipped"] == SKIPPED
    stages = json.loads(command("run", str(folder), "--json"))["stages"]
    assert [one["stage"] for one in stages if one["state"] == "skipped"] == SKIPPED


def test_the_report_says_what_was_selected_and_what_it_covers(folder, tmp_path):
    asked = tmp_path / "eval.jsonl"
    asked.write_text(json.dumps({"question": make_rows()[30]["output"]}), encoding="utf-8")
    constraints = {"select.near_duplicate": 0.95, "select.decontaminate": [str(asked)]}
    found = run(folder, overrides=constraints)
    tables = json.loads((folder / "report.json").read_text())["tables"]
    rows = {row["rows"]: row for row in tables["breadth"]["rows"]}
    assert rows["selected"]["coverage"] > rows["random"]["coverage"]
    own = next(row for row in tables["sizes"]["rows"] if "this run" in row["rows"])
    assert own["coverage"] == rows["selected"]["coverage"]
    assert not {"scores", "matrix", "by score", "raters", "moves", "bias"} & set(tables)
    assert {"by source", "by length", "long tail", "rows"} <= set(tables)
    dropped = {row["reason"]: row["examples"] for row in tables["not eligible"]["rows"]}
    assert len(dropped) == 3
    said = " ".join(found.summary["report"]["verdict"])
    for why, n in dropped.items():
        assert f"{n} {why}" in said
    assert found.summary["report"]["next"] == "ds2 export RUN --tool trl --control"
    page = (folder / "report.md").read_text()
    assert "near\\_duplicate" in page
    for word in ("curated", "ρ", "lift", "true score", "the rater"):
        assert word not in page


@pytest.mark.parametrize("method", [m for m in methods_without_scores() if m != "rds"])
def test_each_method_that_needs_none_selects(folder, method):
    wanted: dict[str, object] = {"select.method": method}
    if method in ("perplexity", "ifd"):
        wanted["select.values"] = "ppl"
    if method == "ifd":
        wanted["select.size"] = 2  # two have no value above 1
    found = run(folder, overrides=wanted)
    assert found.summary["select"]["method"] == method
    assert found.summary["report"]["state"] == "use it with care"


@pytest.mark.parametrize(
    ("settings", "until", "named"),
    [
        (["select.method=ds2"], "report", "The method ds2 goes by scores"),
        (["select.min_score=1"], "select", "'select.min_score' goes by scores"),
        (["curate.doubtful=drop"], "report", "curate.doubtful = drop goes by scores"),
        ([], "noise", "The stage 'noise' goes by scores"),
    ],
)
def test_what_goes_by_scores_is_refused_before_any_work(pool, tmp_path, settings, until, named):
    init_run(tmp_path / "run", pool=pool)
    overrides = parse_overrides(settings)
    with pytest.raises(InputError, match=named) as refused:
        run(tmp_path / "run", until=until, overrides=overrides)
    for remedy in ("facility-location", "random", "scores.column", "[raters.NAME]"):
        assert remedy in str(refused.value)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["recipe.toml"]
    if settings:
        found = {one.stage: one for one in status(tmp_path / "run", overrides=overrides).stages}
        assert found["select"].state == "failed"
        assert named in found["select"].reasons[0]
    assert run(tmp_path / "run", until="neighbors", overrides=overrides).summary["embed"]


def test_trusted_scores_need_a_scale_so_they_are_refused(folder):
    run(folder)
    for asked in (
        lambda: write_gold_sheets(Job.of(folder)),
        lambda: plan_run_rerating(Job.of(folder), budget=5),
        lambda: plan_run_between(Job.of(folder), [("run", "random")]),
    ):
        with pytest.raises(InputError, match="goes by scores"):
            asked()


def test_methods_are_compared_by_what_they_cover(folder):
    found = compare_run(Job.of(folder))
    page = json.loads(found.document)
    names = [row["method"] for row in page["tables"]["diversity"]["rows"]]
    assert "random" in names
    assert "facility-location" in names
    assert "ds2" not in names
    assert set(page["tables"]) >= {"ranking", "diversity", "costs", "overlap"}
    assert not {"mean scores", "beats random", "plane"} & set(page["tables"])
    ranking = page["tables"]["ranking"]["rows"]
    coverage = [row["coverage"] for row in ranking]
    assert coverage == sorted(coverage, reverse=True)
    assert found.ranking[0].startswith("1 ")
    assert found.state.says in ("keep facility-location", f"take {ranking[0]['method'][2:]}")
    named = compare_run(Job.of(folder), methods=["ds2", "random", "facility-location"])
    assert named.left_out == {"ds2": "The method ds2 goes by scores, and the run has none."}
    alone = compare_run(Job.of(folder), methods=["length", "random"])
    assert alone.state.says == "no verdict"


@pytest.mark.parametrize(
    ("coverage", "redundancy", "says", "next_one"),
    [
        (0.6, 0.3, "take other", "ds2 run RUN --set select.method=other"),
        (0.6, 0.4, "keep own", "ds2 export RUN --tool trl --control"),
        (0.51, 0.1, "keep own", "ds2 export RUN --tool trl --control"),
    ],
)
def test_another_method_is_taken_where_it_is_broader_at_no_cost(
    coverage, redundancy, says, next_one
):
    def one(name: str, coverage: float, redundancy: float) -> ComparedSelection:
        return ComparedSelection(name, 9, {}, 0.1, coverage, redundancy, 0.1, 50.0, {})

    selections = (one("own", 0.5, 0.3), one("other", coverage, redundancy))
    found = SimpleNamespace(own="own", found=SimpleNamespace(selections=selections))
    state = methods_state(found)
    assert (state.says, state.next) == (says, next_one)
    assert (
        f"covers {coverage if 'take' in says else 0.5:.0%}".replace("%", "\u00a0%") in state.reason
    )
    (ranking,) = methods_by_breadth(found)
    assert len(ranking.rows) == 2
    assert says.split()[1] in breadth_findings(found)[0].answer


def test_it_is_handed_over_with_a_control(folder, monkeypatch):
    done = export(Job.of(folder), tool="trl", control=True)
    first, second = (path.read_text().splitlines() for path in done.files[:2])
    assert len(first) == len(second) == 16
    cards = []
    monkeypatch.setattr(
        export_module, "push_to_hub", lambda pool, repo, card, **more: cards.append(card)
    )
    publish(Job.of(folder), "someone/some")
    (card,) = cards
    assert card.raters == ()
    assert card.transition is None
    assert set(card.columns) == {"ds2_long_tail", "ds2_reason"}
    assert not any(key.startswith(("noise", "curate")) for key in card.settings)


def test_scores_that_come_later_are_used_and_those_that_go_are_not(pool, tmp_path):
    folder = tmp_path / "run"
    init_run(folder, pool=pool, settings={"select.size": 16, "noise.n_bootstrap": 0})
    run(folder)
    before = load(Selection, folder).rows
    scored = {"scores.column": "score", "scores.scale": "0-5", "select.method": "top-score"}
    found = run(folder, overrides=scored)
    states = {one.stage: one.state for one in found.stages}
    assert states["embed"] == states["neighbors"] == "fresh"
    assert {states[name] for name in (*SKIPPED, "select", "report")} == {"done"}
    assert "matrix" in json.loads((folder / "report.json").read_text())["tables"]
    assert "score" in json.loads((folder / "selected.jsonl").read_text().splitlines()[0])
    with_scores = {**scored, "select.method": "facility-location"}
    run(folder, overrides=with_scores)
    found = {one.stage: one for one in status(folder).stages}
    assert "made with curation.parquet" in found["select"].reasons
    assert found["noise"].state == "skipped"
    run(folder)
    np.testing.assert_array_equal(load(Selection, folder).rows, before)


def test_python_does_without_scores(pool):
    result = ds2.run(pool, size=16)
    assert len(result.selected) == 16
    assert result.noise is result.curation is result.ratings is None
    assert result.selection.method == "facility-location"
    assert len(repr(result)) < 500
    page = result._repr_html_()
    assert result.verdict[0] in page.replace("&#x27;", "'")
    assert "background" not in page  # no heat map
    length = ds2.run(pool, size=16, settings={"select.method": "length"})
    assert length.selection.method == "length"
    with pytest.raises(InputError, match="The method ds2 goes by scores"):
        ds2.run(pool, size=16, settings={"select.method": "ds2"})
