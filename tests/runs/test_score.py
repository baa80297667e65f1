"""A pool rated in part, and a scorer on another pool."""

import json
import random

import numpy as np
import pyarrow.parquet as pq
import pytest
from llm_server import Endpoint
from small_pool import write_rows
from typer.testing import CliRunner

import ds2
from ds2.cli.app import app
from ds2.pool import Pool, read_parts
from ds2.rating import Panel
from ds2.runs import Job, init_run, load, plan_run_rerating, run
from ds2.runs.score import score_pool

pytestmark = pytest.mark.filterwarnings("ignore::ds2.errors.Ds2Warning")

GOOD = ["because", "therefore", "precisely", "measure", "evidence", "compare", "estimate", "derive"]
BAD = ["stuff", "thing", "okay", "whatever", "maybe", "lol", "nice", "cool"]


def rows(n=400, rated=160, seed=0):
    """Answers of better and worse words; those who rate them are right but for chance."""
    rng = random.Random(seed)
    found = []
    for i in range(n):
        quality = rng.random()
        words = [rng.choice(GOOD if rng.random() < quality else BAD) for _ in range(25)]
        score = max(0, min(5, round(5 * quality + rng.gauss(0, 0.8))))
        found.append(
            {
                "id": f"s{i}",
                "instruction": f"Question {i % 40} about {rng.choice(GOOD)}?",
                "output": " ".join(words),
                "score": score if i % n < rated else None,
                "quality": quality,
            }
        )
    rng.shuffle(found)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("part")
    pool = write_rows(place / "pool.jsonl", rows())
    settings = {
        "scores.column": "score",
        "scores.scale": "levels:6",
        "select.size": 40,
        "noise.n_bootstrap": 0,
        "select.stability_rounds": 0,
    }
    init_run(place / "run", pool=str(pool), settings=settings)
    run(place / "run")
    return place / "run"


def test_the_rest_is_scored_and_every_row_says_how(folder):
    curation = load(ds2.Curation, folder)
    pool = ds2.read_pool(folder.parent / "pool.jsonl")
    quality = np.array(pool.column("quality"))
    unrated = np.array([score is None for score in pool.column("score")])
    assert curation.method == "scorer"
    assert (curation.scored == unrated).all()
    chosen = pq.read_table(folder / "selection.parquet").to_pydict()
    assert set(chosen["basis"]) == {"rated", "scored"}
    basis = np.where(unrated, "scored", "rated")[chosen["row"]]
    assert chosen["basis"] == basis.tolist()
    assert all(se > 0 for se in chosen["se"])
    assert quality[chosen["row"]].mean() > quality.mean() + 0.2
    line = json.loads((folder / "selected.jsonl").read_text().splitlines()[0])
    assert {"ds2_score", "ds2_se", "ds2_basis"} <= set(line)


def test_the_report_says_what_the_scorer_is_worth(folder):
    report = json.loads((folder / "report.json").read_text())
    assert {"by basis", "learning curve", "scorer goes with"} <= set(report["tables"])
    assert report["tables"]["by basis"]["rows"][0]["pool"] == 160
    page = (folder / "report.md").read_text()
    assert "more ratings would add" in page


def test_another_pool_is_scored_from_file_to_parquet(folder, tmp_path):
    new = write_rows(tmp_path / "new.jsonl", rows(300, 0, seed=1))
    out = tmp_path / "scores.parquet"
    done = CliRunner().invoke(app, ["score", str(new), "--with", str(folder), "--out", str(out)])
    assert done.exit_code == 0, done.output
    found = pq.read_table(out).to_pydict()
    assert found["position"] == list(range(300))
    quality = [row["quality"] for row in rows(300, 0, seed=1)]
    assert np.corrcoef(found["score"], quality)[0, 1] > 0.7
    again = score_pool(
        str(new), Job.of(folder, {"engine.workers": 2}), out=tmp_path / "two.parquet"
    )
    assert again.warnings == ()
    assert pq.read_table(tmp_path / "two.parquet").to_pydict() == found


@pytest.mark.parametrize(
    ("new", "out", "says"),
    [
        ("nowhere.jsonl", "s.parquet", "nowhere.jsonl does not exist"),
        ("new.jsonl", "nowhere/s.parquet", "nowhere' does not exist"),
        ("new.jsonl", "folder.parquet", "it is a folder"),
        ("new.jsonl", "s.jsonl", "Scores are written as Parquet, and .*s.jsonl is named otherwise"),
        ("new.jsonl", "s.txt", "its suffix must be one of"),
    ],
)
def test_what_cannot_be_read_or_written_is_said_before_the_stages(tmp_path, new, out, says):
    write_rows(tmp_path / "new.jsonl", rows(20, 0))
    (tmp_path / "folder.parquet").mkdir()
    pool = write_rows(tmp_path / "pool.jsonl", rows(40))
    settings = {"scores.column": "score", "scores.scale": "levels:6"}
    init_run(tmp_path / "run", pool=str(pool), settings=settings)
    files = sorted(tmp_path.rglob("*"))
    with pytest.raises(ds2.InputError, match=says):
        score_pool(str(tmp_path / new), Job.of(tmp_path / "run"), out=tmp_path / out)
    assert sorted(tmp_path.rglob("*")) == files


def test_a_pool_that_is_unlike_the_run_s_is_called_so(folder, tmp_path):
    german = [
        {"instruction": f"Frage {i}?", "output": "Das ist ein ziemlich langer deutscher Satz. " * 9}
        for i in range(120)
    ]
    new = write_rows(tmp_path / "german.jsonl", german)
    found = score_pool(str(new), Job.of(folder, {"engine.workers": 1}), out=tmp_path / "s.parquet")
    said = " ".join(found.warnings)
    assert "'de'" in said
    assert "times as long" in said
    assert "farther" in said


def test_a_scorer_is_fitted_once_and_anew_when_the_ratings_change(folder, tmp_path):
    new = write_rows(tmp_path / "new.jsonl", rows(50, 0, seed=2))
    score_pool(str(new), Job.of(folder, {"engine.workers": 1}), out=tmp_path / "a.parquet")
    file = folder / "scorer" / "scorer.safetensors"
    before = file.stat().st_mtime_ns
    score_pool(str(new), Job.of(folder, {"engine.workers": 1}), out=tmp_path / "b.parquet")
    assert file.stat().st_mtime_ns == before


def test_ready_made_vectors_cannot_score_another_pool(tmp_path):
    pool = write_rows(tmp_path / "pool.jsonl", rows(200, 200))
    np.save(tmp_path / "v.npy", np.random.default_rng(0).standard_normal((200, 8)).astype("f4"))
    settings = {"embed.embedder": "precomputed", "embed.path": str(tmp_path / "v.npy")}
    settings |= {"scores.column": "score", "scores.scale": "levels:6", "noise.n_bootstrap": 0}
    init_run(tmp_path / "run", pool=str(pool), settings=settings)
    with pytest.raises(ds2.InputError, match="ready-made"):
        score_pool(str(pool), Job.of(tmp_path / "run"), out=tmp_path / "s.parquet")


def test_a_random_part_is_asked_about_and_all_raters_see_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("RATER_KEY", "k")
    write_rows(tmp_path / "pool.jsonl", rows(90, 0))
    with Endpoint() as server:
        raters = "".join(
            f"[raters.{name}]\nmodel='m-{name}'\nbase_url='{server.url}'\n"
            "api_key_env='RATER_KEY'\nform='structured'\n"
            for name in "ab"
        )
        (tmp_path / "run").mkdir()
        recipe = f"[pool]\npath='../pool.jsonl'\n[rate]\nsample=30\n{raters}"
        (tmp_path / "run" / "recipe.toml").write_text(recipe)
        found = run(tmp_path / "run", until="rate").summary["rate"]
        assert found["n_rated"] == 30
        known = ~np.isnan(Panel.load(tmp_path / "run" / "ratings.parquet").scores())
        assert (known[:, 0] == known[:, 1]).all()
        assert not known[:30, 0].all()  # not the first ones
        asked = server.n
        larger = {"rate.sample": 40}
        assert (
            run(tmp_path / "run", until="rate", overrides=larger).summary["rate"]["n_rated"] == 40
        )
        assert server.n == asked + 20  # those of before are among them


def test_parts_of_a_pool_are_the_pool(tmp_path):
    path = write_rows(tmp_path / "pool.jsonl", [*rows(100, 50), {"nothing": 1}])
    parts = list(read_parts(path, rows=30))
    assert [len(part) for part in parts] == [30, 30, 30, 10]
    whole = ds2.read_pool(path)
    assert [one for part in parts for one in part.ids] == whole.ids
    np.testing.assert_array_equal(
        np.concatenate([part.positions for part in parts]), whole.positions
    )
    assert parts[-1].n_read == 101


def test_first_ratings_are_among_what_rerate_asks_for_and_a_part_is_random(folder):
    found = plan_run_rerating(Job.of(folder), budget=50)
    lines = [json.loads(line) for line in found.path.read_text().splitlines()]
    scored = set(np.array(Pool.load(folder / "pool.arrow").ids)[load(ds2.Curation, folder).scored])
    assert found.n_random == 10
    assert sum(line["gain"] is None for line in lines) == 10
    assert all(line["id"] in scored for line in lines if line["gain"] is None)
    assert found.n_first == sum(line["id"] in scored for line in lines) >= 10
    assert len({line["id"] for line in lines}) == len(lines)


def test_what_rerate_wrote_is_rated_besides_the_sample(tmp_path, monkeypatch):
    monkeypatch.setenv("RATER_KEY", "k")
    write_rows(tmp_path / "pool.jsonl", rows(90, 0))
    with Endpoint() as server:
        (tmp_path / "run").mkdir()
        recipe = (
            "[pool]\npath='../pool.jsonl'\n[rate]\nsample=30\nalso='rerate.jsonl'\n"
            f"[raters.a]\nmodel='m'\nbase_url='{server.url}'\n"
            "api_key_env='RATER_KEY'\nform='structured'\n"
        )
        (tmp_path / "run" / "recipe.toml").write_text(recipe)
        assert run(tmp_path / "run", until="rate").summary["rate"]["n_rated"] == 30
        known = ~np.isnan(Panel.load(tmp_path / "run" / "ratings.parquet").scores())
        pool = Pool.load(tmp_path / "run" / "pool.arrow")
        more = np.array(pool.ids)[np.flatnonzero(~known)[:4]]
        write_rows(tmp_path / "run" / "rerate.jsonl", [{"id": ident} for ident in more])
        asked = server.n
        assert run(tmp_path / "run", until="rate").summary["rate"]["n_rated"] == 34
        assert server.n == asked + 4


def test_scores_are_calibrated_by_source(tmp_path):
    rng = random.Random(3)
    found = rows(240, 240)
    for number, row in enumerate(found):
        row["source"] = "short" if number % 2 else "long"
        for name in ("a", "b", "c"):
            low = 2 if name == "b" and number % 2 else 0
            row[name] = max(0, min(9, round(2 + 7 * row["quality"] + rng.gauss(0, 0.7) - low)))
    pool = write_rows(tmp_path / "pool.jsonl", found)
    settings = {"scores.column": ["a", "b", "c"], "scores.scale": "levels:10"}
    settings |= {"noise.n_bootstrap": 0, "curate.method": "raw", "select.stability_rounds": 0}
    init_run(tmp_path / "run", pool=str(pool), settings=settings)
    short = np.arange(240) % 2 == 1
    gaps = []
    for how in ({}, {"curate.calibrate": ("source",)}):
        run(tmp_path / "run", until="curate", overrides=how)
        scores = load(ds2.Curation, tmp_path / "run").scores
        gaps.append(scores[~short].mean() - scores[short].mean())
    true = 7 * np.array([row["quality"] for row in found])
    gap = true[~short].mean() - true[short].mean()
    assert gaps[0] > gap + 0.4
    assert abs(gaps[1] - gap) < 0.25
