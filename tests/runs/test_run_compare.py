"""`ds2 compare` and `ds2 explore` on a real run folder: what is shown is what was selected."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from small_pool import make_rows, put_run, write_rows
from typer.testing import CliRunner

from ds2.cli.app import app
from ds2.curation import Curation
from ds2.errors import InputError, MissingDependencyError
from ds2.runs import Job, compare_run, load, parse_overrides, run
from ds2.runs.compare import curves_of
from ds2.runs.contest import Contest, made_without, open_contest
from ds2.runs.explore import FILE, prepare_explorer
from ds2.selection import Selection

pytestmark = pytest.mark.filterwarnings("ignore::ds2.errors.Ds2Warning")
SIZE = 30
RATERS = ("good", "fair", "noise")
DS2 = str(Path(sys.executable).parent / "ds2")


def make_run(place: Path, columns: list[str], more: str = "") -> Path:
    """160 rows; two raters see the true score, one draws at random."""
    rng = random.Random(1)
    rows = make_rows()
    for row in rows:
        true = int(str(row["true"]))
        row["good"] = max(0, min(5, true + rng.choice([0, 0, 0, 1, -1])))
        row["fair"] = max(0, min(5, true + rng.choice([0, 1, -1, 2, -2])))
        row["noise"] = rng.randrange(6)
    method = "fused" if columns[1:] else "ds2"
    recipe = (
        "[pool]\npath = '../pool.jsonl'\n"
        f"[scores]\ncolumn = {json.dumps(columns)}\nscale = '0-5'\n"
        f"[noise]\nn_bootstrap = 0\n[curate]\nmethod = '{method}'\n"
        f"[select]\nsize = {SIZE}\n[compare]\nmap = 'pca'\n{more}"
    )
    return put_run(place, rows, recipe)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("compare"), list(RATERS))


@pytest.fixture(scope="module")
def numbers(folder) -> dict:
    found = compare_run(Job.of(folder))
    assert [path.name for path in found.files] == ["compare.html", "compare.md", "compare.json"]
    assert (folder / "compare.json").read_text() == found.document
    return json.loads(found.document)


def rows(document: dict, key: str, name: str = "method") -> dict[str, dict]:
    """The rows of a table by their first column."""
    return {row[name]: row for row in document["tables"][key]["rows"]}


def test_a_page_names_the_run_from_wherever_it_was_made(folder, monkeypatch):
    monkeypatch.chdir(folder)
    run(Path(), overrides={"report.title": "t"})
    assert "ds2 gold run\n" in (folder / "report.md").read_text(encoding="utf-8")
    compare_run(Job.of(Path()), methods=["ds2", "random"])
    assert "''" not in json.loads((folder / "compare.json").read_text())["state"]["command"]


def test_every_method_takes_part_or_says_why_not(numbers):
    left_out = {name: row["why"] for name, row in rows(numbers, "left out").items()}
    assert set(left_out) == {"rds", "perplexity", "ifd", "deita"}
    assert "Method 'deita' stops after" in left_out["deita"]
    assert "needs 'select.targets'" in left_out["rds"]
    assert "select.values" in left_out["ifd"]
    methods = rows(numbers, "costs")
    assert len(methods) == 15
    assert all(method["rows"] == SIZE for method in methods.values())


def test_the_overlap_and_the_rows_alone_are_those_of_the_selections(folder, numbers):
    overlap = rows(numbers, "overlap")

    job = Job.of(folder)
    contest = open_contest(job, list(overlap))
    chosen = {name: set(contest.select(name).rows.tolist()) for name in overlap}
    for name, row in overlap.items():
        for other, value in list(row.items())[1:]:
            assert value == len(chosen[name] & chosen[other]) / SIZE
        others = set().union(*(part for other, part in chosen.items() if other != name))
        alone = numbers["examples"][f"only {name}"]
        assert {each["row"] for each in alone} <= chosen[name] - others
        assert len(alone) == min(3, len(chosen[name] - others))
    own = load(Selection, folder).rows
    assert set(own.tolist()) == chosen["ds2"]


def test_doubtful_rows_are_left_out_where_the_recipe_says_so(tmp_path):
    folder = make_run(tmp_path, list(RATERS))
    overrides = parse_overrides(["curate.doubtful=drop", "select.size=90", "compare.n_draws=20"])
    numbers = json.loads(compare_run(Job.of(folder, overrides)).document)
    doubtful = np.flatnonzero(load(Curation, folder).doubtful(6))
    assert len(doubtful) > 5
    assert not np.isin(load(Selection, folder).rows, doubtful).any()
    dropped = pq.read_table(folder / "dropped.parquet").to_pylist()
    assert [row["row"] for row in dropped if row["reason"] == "doubtful"] == doubtful.tolist()
    judged = rows(numbers, "judged on good")
    assert {"ds2", "ds2 (doubtful replaced)"} <= set(judged)


def test_no_method_is_judged_on_what_it_maximised(numbers):
    for name in RATERS:
        judged = rows(numbers, f"judged on {name}")
        low = judged["top-score"]["difference"][1]
        # a selection that had seen the random rater's scores would stand far above random on them
        assert low < 0.5 if name == "noise" else low > 0.5
        assert "random" not in judged
        for row in judged.values():
            value, low, high = row["difference"]
            assert low < value < high
            for same in ("with the same sources", "with the same lengths"):
                assert row[same][1] <= row[same][2]
    assert rows(numbers, "mean scores")["top-score"]["goes by"] == "raw scores"
    answers = {name: row["answer"] for name, row in rows(numbers, "beats random").items()}
    assert answers["random"] == answers["random-by-source"] == "is random"


def test_a_judge_is_curated_without_as_the_run_curates(tmp_path, monkeypatch):
    from ds2.runs import steps

    calls = {"estimate_transition": [], "curate": []}

    def heard(name):
        real = getattr(steps, name)

        def call(*values, **settings):
            calls[name].append(settings)
            return real(*values, **settings)

        return call

    for name in calls:
        monkeypatch.setattr(steps, name, heard(name))
    folder = make_run(tmp_path, ["good", "fair"])
    compare_run(Job.of(folder), methods=["ds2", "random"])
    # the run's, and one a judge; what "fused" refuses of one rater "auto" takes
    assert [len(each) for each in calls.values()] == [3, 5]
    for (own, *others), but in zip(calls.values(), ({"n_bootstrap"}, {"method"}), strict=True):
        data = {"expected", "spread", "repeats", "covariates", "control", "keys", "names"}
        for other in others:
            assert set(other) == set(own)
            for name in set(own) - data - but:
                assert other[name] == own[name], name


def test_the_same_seed_gives_the_same_numbers_and_page(folder, numbers):
    def timeless(document):
        for row in document["tables"]["costs"]["rows"]:
            del row["seconds"]
        return document

    again = json.loads(compare_run(Job.of(folder)).document)
    assert timeless(again) == timeless(json.loads(json.dumps(numbers)))


def test_methods_can_be_named_and_must_exist(folder):
    found = compare_run(Job.of(folder), methods=["knn-10", "random"])
    assert list(rows(json.loads(found.document), "overlap")) == ["knn-10", "random"]
    assert found.verdict[0][1].startswith("Its method, ds2, is not part of this comparison.")
    assert (found.state.says, found.ranking) == ("no verdict", ())
    with pytest.raises(InputError, match=r"'compare\.methods' must be one of"):
        compare_run(Job.of(folder), methods=["knn-11"])
    with pytest.raises(InputError, match=r"No method can be compared\. rds: The method rds needs"):
        compare_run(Job.of(folder), methods=["rds"])


def test_every_selection_meets_the_constraints(folder):
    quota = 'select.quotas=[{by="source", label="s1", max=0}]'
    document = json.loads(compare_run(Job.of(folder, parse_overrides([quota]))).document)
    assert "s1" not in rows(document, "sources", "source")
    assert "meets the constraints" in document["notes"][0]["says"]


def test_one_rater_without_gold_says_nothing_about_random(tmp_path):
    found = compare_run(Job.of(make_run(tmp_path, ["good"])), methods=["ds2", "random"])
    beats = rows(json.loads(found.document), "beats random")
    assert [row["answer"] for row in beats.values()] == ["not known", "is random"]
    assert found.verdict[0][1].startswith("Nothing here can say.")
    assert found.state.says.endswith("trusted scores first")


def test_gold_judges_before_raters(tmp_path):
    folder = make_run(tmp_path, ["good", "fair"], "[gold]\npath = '../gold.jsonl'\n")
    gold = [{"id": row["id"], "score": row["true"]} for row in make_rows()]
    (tmp_path / "gold.jsonl").write_text("".join(json.dumps(row) + "\n" for row in gold))
    document = json.loads(compare_run(Job.of(folder), methods=["top-score", "random"]).document)
    assert [key for key in document["tables"] if "judged on" in key] == ["judged on gold"]
    judged = rows(document, "judged on gold")["top-score"]
    assert judged["rows judged"] == SIZE
    assert judged["difference"][1] > 0.5


def test_what_a_rater_judges_is_said_to_be_curated_otherwise(folder):
    run(folder)
    contest = open_contest(Job.of(folder, parse_overrides(["curate.method=auto"])), ["ds2"])

    def judged(method):
        curated = replace(contest.materials.curated, method=method)
        return replace(contest, materials=replace(contest.materials, curated=curated)).without(0)

    other = judged("as no other")
    taken = other.materials.curated.method
    assert f"takes {taken}, where the run has as no other" in other.note
    assert judged(taken).note == ""


def test_gold_of_a_row_never_says_whether_it_is_selected(tmp_path, monkeypatch):
    folder = make_run(tmp_path, ["good", "fair"], "[gold]\npath = '../gold.jsonl'\n")
    gold = [{"id": row["id"], "score": row["true"]} for row in make_rows()[::2]]
    write_rows(tmp_path / "gold.jsonl", gold)
    auto = parse_overrides(["curate.method=auto"])
    run(folder, overrides=auto)
    contest = open_contest(Job.of(folder, auto), ["ds2"])
    asked = []
    monkeypatch.setattr(Contest, "without", lambda self, rater, held: asked.append(held) or contest)
    chosen = {"ds2": np.arange(SIZE)}
    made, failed, notes = made_without(contest, chosen, None)
    known = ~np.isnan(contest.gold.values)
    assert (np.sum(asked, axis=0) == known).all()  # every row with gold is held out once
    assert all(np.sum(held) >= known.sum() / 6 for held in asked)
    own = np.isin(np.arange(160), contest.select("ds2").rows)
    now = np.isin(np.arange(160), made["ds2"])
    assert (now[known] == own[known]).all()  # selected anew
    assert (np.flatnonzero(now & ~known) == np.flatnonzero(~known[:SIZE])).all()  # as it was
    assert (failed, notes) == ((), ())


def test_the_command_prints_the_verdict(folder):
    command = [DS2, "compare", str(folder), "--methods", "ds2,random"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Does the run's selection beat random?" in done.stdout
    assert "levels above random (" in done.stdout.replace("\n", " ")
    assert str(folder / "compare.html") in done.stdout


@pytest.mark.parametrize(("command", "page"), [("run", "report"), ("compare", "compare")])
def test_the_command_line_says_what_the_page_says(folder, command, page):
    done = CliRunner().invoke(app, [command, str(folder)])
    assert done.exit_code == 0, done.output
    lines = [line.partition(" ")[::2] for line in done.stdout.splitlines()]
    said = {key: words.strip() for key, words in lines}
    document = json.loads((folder / f"{page}.json").read_text())
    state = {key: text.replace("\u00a0", " ") for key, text in document["state"].items()}
    assert (said["state"], said["reason"]) == (state["says"], state["reason"])
    assert said["next"] == state["next"].replace("RUN", str(folder))
    if command == "run":
        warnings = [words.strip() for key, words in lines if key == "warning"]
        assert warnings == [f"{each['of']}: {each['says']}" for each in document["notes"]]
        return
    ranking = [words.strip() for key, words in lines if key == "rank"]
    best = document["tables"]["ranking"]["rows"][:5]
    assert len(ranking) == 5
    assert [line.partition(" (")[0] for line in ranking[:4]] == [row["method"] for row in best[:4]]
    assert sum("(this run)" in line for line in ranking) == 1
    value, low, high = best[0]["by good, held out"]
    assert f"by good, held out {value:+.2f} ({low:+.2f} to {high:+.2f})" in (
        ranking[0].replace("\u2212", "-")
    )


def test_the_curves_show_other_sizes_and_other_trades(tmp_path):
    folder = make_run(tmp_path, list(RATERS[:1]))
    shown = CliRunner().invoke(app, ["select", str(folder), "--curve", "--json"])
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    by_size = {row["sizes"]: row for row in found["by_size"]}
    assert set(by_size) == {8, 15, SIZE, 60, 120}
    assert by_size[120]["coverage"] > by_size[8]["coverage"]
    by_dial = {row["selection"]: row for row in found["by_dial"]}
    assert {"keep 1", "keep 0.9", "ds2 (this run)", "random rows"} < set(by_dial)
    assert by_dial["random rows"]["kept"] == 0
    chosen = pq.read_table(folder / "selection.parquet").num_rows
    assert by_size[SIZE]["kept"] == pytest.approx(by_dial["ds2 (this run)"]["kept"])
    assert chosen == SIZE
    lines = CliRunner().invoke(app, ["select", str(folder), "--curve"]).stdout.splitlines()
    assert lines[0].split() == [
        *("rows", "score", "kept", "coverage", "(random)", "redundant", "precision"),
    ]
    everything = ["select", str(folder), "--curve", "--set", "select.size=all"]
    assert CliRunner().invoke(app, everything).exit_code == 2


def test_the_frontier_that_is_drawn_meets_the_constraints(tmp_path):
    quota = 'select.quotas=[{by="source", label="s1", max=0}]'
    asked = [quota, "select.method=frontier", "select.keep=0.8"]
    curves = curves_of(Job.of(make_run(tmp_path, list(RATERS[:1])), parse_overrides(asked)))
    assert curves.by_dial.curve[0.8] == curves.by_dial.methods["frontier"]


def test_the_explorer_gets_places_neighbours_and_scores(folder, monkeypatch):
    monkeypatch.setattr("ds2.runs.explore.find_spec", lambda _: object())
    path = prepare_explorer(Job.of(folder))
    table = pq.read_table(path)
    assert path == folder / FILE
    assert table.num_rows == 160
    assert table["selected"].to_pylist().count("yes") == SIZE
    assert sorted(rank for rank in table["rank"].to_pylist() if rank) == list(range(1, SIZE + 1))
    assert {"x", "y", "raw score", "curated score", *(f"score by {r}" for r in RATERS)} < {
        *table.column_names
    }
    first = table["neighbors"][0].as_py()
    assert len(first["ids"]) == len(first["distances"]) == 10
    assert 0 not in first["ids"]


def test_an_explorer_that_is_not_installed_is_one_sentence(folder, monkeypatch):
    monkeypatch.setattr("ds2.runs.explore.find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match="pip install 'embedding-atlas"):
        prepare_explorer(Job.of(folder))


@pytest.mark.slow
def test_the_explorer_serves_this_machine_alone(folder):
    pytest.importorskip("embedding_atlas")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [DS2, "explore", str(folder), "--port", str(port)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        page = b""
        for _ in range(240):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
                    page = answer.read()
                break
            except OSError:
                time.sleep(0.5)
        assert b"<!doctype html>" in page
        listening = [
            line.split()[1]
            for line in Path("/proc/net/tcp").read_text().splitlines()
            if line.split()[3] == "0A" and line.split()[1].endswith(f":{port:04X}")
        ]
        assert listening == [f"0100007F:{port:04X}"]
    finally:
        os.killpg(running.pid, signal.SIGINT)
        running.wait(30)


def test_real_scores_select_from_the_best_twice_as_many(tmp_path):
    folder = make_run(tmp_path, list(RATERS))
    curves_of(Job.of(folder, parse_overrides(["select.size=6"])))
    rows, scores = load(Selection, folder).rows, load(Curation, folder).scores
    assert not (scores == np.floor(scores)).all()
    assert scores[rows].min() >= np.sort(scores)[::-1][11]


def test_raters_may_be_called_as_anything_else_is(tmp_path):
    rows = make_rows()
    for row, more in zip(rows, random.Random(1).choices([-1, 0, 0, 1], k=len(rows)), strict=True):
        row |= {"rater": row["true"], "gold": max(0, min(5, int(str(row["true"])) + more))}
    gold = [{"id": row["id"], "score": row["true"]} for row in rows[::16]]
    (tmp_path / "gold.jsonl").write_text("".join(json.dumps(row) + "\n" for row in gold))
    recipe = (
        "[pool]\npath = '../pool.jsonl'\n[scores]\ncolumn = ['rater', 'gold']\nscale = '0-5'\n"
        "[gold]\npath = '../gold.jsonl'\n[noise]\nn_bootstrap = 0\n[curate]\nmethod = 'raw'\n"
        f"control = ['length']\n[select]\nsize = {SIZE}\n[compare]\nmap = 'pca'\n"
    )
    folder = put_run(tmp_path, rows, recipe)
    run(folder)
    report = json.loads((folder / "report.json").read_text())
    first, second = report["tables"]["agreement of raters"]["rows"]
    assert (first["rater"], first["rater (2)"], second["gold"]) == ("rater", 1.0, 1.0)
    assert first["gold"] == second["rater (2)"]
    tables = json.loads(compare_run(Job.of(folder), methods=["ds2", "random"]).document)["tables"]
    assert {"judged on rater", "judged on gold", "judged on gold (2)"} <= set(tables)
    answers = {one["question"]: one["answer"] for one in report["verdict"]}
    assert answers["What did curation change?"] == (
        "Every score is the mean of the raters' z-scores, put on the levels by rank, without what "
        "length explains."
    )
    assert "put on the levels by rank" in report["tables"]["scores"]["says"]
