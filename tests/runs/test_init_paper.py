"""``ds2 init --paper``: the settings of the paper, what is said about them, and a run with them."""

import json
import sys
from pathlib import Path

import pytest
from small_pool import Heard, make_rows, write_rows

from ds2.errors import InputError
from ds2.runs import Job, compare_run, init_run, load_recipe, make_recipe, parse_overrides, run
from ds2.selection import METHODS

#: What arXiv 2410.10877 states, by the recipe's keys.
PAPER = {
    "scores.scale": "1-10",
    "scores.bins": None,
    "rate.rubric": None,
    "neighbors.k": 10,
    "noise.rho": 1.0,
    "noise.n_neighbors": 2,
    "noise.ordinal_prior": 0.0,
    "curate.method": "ds2",
    "curate.n_draws": 51,
    "curate.draw_share": 0.8,
    "curate.min_confidence": 0.5,
    "curate.gate": "warn",
    "curate.paper_floor": False,
    "select.method": "ds2",
    "select.size": 10000,
}
METHODS_OF_THE_PAPER = {
    *("ds2", "ds2-no-curation", "ds2-no-diversity"),
    *("random", "length", "knn-10", "alpagasus", "deita"),
}


@pytest.fixture
def pool(tmp_path) -> str:
    return str(write_rows(tmp_path / "pool.jsonl", make_rows()))


@pytest.fixture
def without(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)


@pytest.fixture
def installed(monkeypatch, tmp_path) -> None:
    package = tmp_path / "site" / "sentence_transformers"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('init imports nothing heavy')")
    monkeypatch.delitem(sys.modules, "sentence_transformers", raising=False)
    monkeypatch.syspath_prepend(tmp_path / "site")


def settings_of_paper(tmp_path: Path, pool: str, **given: object) -> tuple[dict, list[str]]:
    heard = Heard()
    init_run(tmp_path / "run", pool=pool, paper=True, listener=heard, **given)
    return load_recipe(tmp_path / "run").flat(), heard.warnings


@pytest.mark.usefixtures("installed")
def test_the_recipe_holds_the_settings_of_the_paper_and_defaults_for_the_rest(tmp_path, pool):
    settings, warnings = settings_of_paper(tmp_path, pool)
    embedder = {"embedder": "sentence-transformers", "model": "BAAI/bge-large-en-v1.5"}
    paper = {**PAPER, **{f"embed.{key}": value for key, value in embedder.items()}}
    assert {key: settings[key] for key in paper} == paper
    methods = settings["compare.methods"]
    assert set(methods) == METHODS_OF_THE_PAPER <= set(METHODS)
    assert len(methods) == len(set(methods))
    defaults = make_recipe({"pool.path": pool}).flat()
    assert settings == {**defaults, **paper, "compare.methods": methods}
    assert warnings == []
    init_run(tmp_path / "plain", pool=pool, scores="score", settings={"scores.scale": "0-5"})
    scores = {"scores.column": "score", "scores.scale": "0-5"}
    assert load_recipe(tmp_path / "plain").flat() == {**defaults, **scores}


@pytest.mark.usefixtures("without")
def test_without_sentence_transformers_the_embedder_is_the_default_and_that_is_said(tmp_path, pool):
    settings, [warning] = settings_of_paper(tmp_path, pool)
    default = make_recipe({"pool.path": pool}).embed
    assert (settings["embed.embedder"], settings["embed.model"]) == (default.embedder, None)
    assert f"'{default.embedder}' where the paper has BAAI/bge-large-en-v1.5" in warning
    assert "pip install sentence-transformers" in warning
    for line in ('embedder = "sentence-transformers"', 'model = "BAAI/bge-large-en-v1.5"'):
        assert line in warning


@pytest.mark.usefixtures("without")
def test_what_is_given_wins_over_the_paper(tmp_path, pool):
    given = {"scores": "score", "settings": {"scores.scale": "0-5"}, "raters": ["gpt-4o-mini"]}
    settings, _ = settings_of_paper(tmp_path, pool, **given)
    assert settings["scores.column"] == "score"
    assert settings["raters.gpt-4o-mini.model"] == "gpt-4o-mini"
    paper = {**PAPER, "scores.scale": "0-5"}
    assert {key: settings[key] for key in paper} == paper


@pytest.mark.usefixtures("without")
def test_twice_is_once_and_another_recipe_is_kept(tmp_path, pool):
    settings_of_paper(tmp_path, pool)
    path = tmp_path / "run" / "recipe.toml"
    path.write_text(path.read_text() + "\n# a note of mine\n")
    noted = path.read_text()
    settings_of_paper(tmp_path, pool)
    assert path.read_text() == noted
    with pytest.raises(InputError, match="says something else"):
        init_run(tmp_path / "run", pool=pool)
    init_run(tmp_path / "plain", pool=pool)
    with pytest.raises(InputError, match="says something else"):
        init_run(tmp_path / "plain", pool=pool, paper=True)


@pytest.mark.usefixtures("without")
@pytest.mark.filterwarnings("ignore::ds2.errors.Ds2Warning")
def test_a_run_and_a_comparison_with_the_recipe_of_the_paper(tmp_path, pool):
    folder = tmp_path / "run"
    settings_of_paper(tmp_path, pool, scores="score", settings={"scores.scale": "0-5"})
    with pytest.raises(InputError, match="asks for 10000 rows, and the pool has 160"):
        run(folder)
    fast = ["select.size=16", "compare.map=pca", "compare.n_draws=20", "noise.n_bootstrap=10"]
    overrides = parse_overrides(fast)
    done = run(folder, overrides=overrides)
    assert done.summary["curate"]["method"] == "ds2"
    assert (done.summary["select"]["method"], done.summary["select"]["n_selected"]) == ("ds2", 16)
    noise = json.loads((folder / "noise.json").read_text())
    assert (noise["rho"], noise["n_neighbors"]) == (1.0, 2)
    compared = compare_run(Job.of(folder, overrides))
    assert compared.left_out == {}
    beats = json.loads(compared.document)["tables"]["beats random"]["rows"]
    assert {row["method"] for row in beats} == METHODS_OF_THE_PAPER
