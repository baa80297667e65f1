"""Every script in examples/ runs without a network, says something, and stays short."""

import json
import runpy
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import ds2
from test_docs import PAGES, assert_same_output, blocks

EXAMPLES = Path(__file__).parents[1] / "examples"
GRADES = ("good", "middling", "careless")
SCRIPTS = sorted(EXAMPLES.glob("*.py"))


#: What pages show of scripts.
SHOWN = {
    block.title: block.text
    for page in PAGES
    for block in blocks(page)
    if (block.title or "").endswith(".py")
}


@pytest.fixture(scope="module")
def printed():
    """What scripts without arguments have printed."""
    return {}


@pytest.fixture
def run(printed, monkeypatch, capsys):
    """Run a script in this process, as `python script arguments…` would, and return its output."""

    def call(name, *arguments):
        if not arguments and name in printed:
            return printed[name]
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ds2.Ds2Warning)
            runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        said = capsys.readouterr().out
        if not arguments:
            printed[name] = said
        return said

    return call


def test_pages_show_scripts():
    assert SHOWN


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_a_script_prints_what_the_page_says(run, name):
    assert_same_output(run(name), SHOWN[name])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_has_at_most_60_lines_and_a_command_in_its_docstring(script):
    lines = script.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 60
    assert any(line.strip().startswith(f"python examples/{script.name}") for line in lines)


def test_arrays_only(run):
    said = run("arrays_only.py")
    assert "auto took: raw; scores changed: 0" in said
    assert "trusted scores of this pool would show a gain" in said
    assert "selected: 200 rows, left out: {'unrated': 40}" in said
    assert "score 5, long-tail score" in said


def test_arrays_only_takes_files(run, tmp_path):
    pool = ds2.simulate(400, n_scores=3, seed=1)
    np.save(tmp_path / "vectors.npy", pool.vectors)
    np.save(tmp_path / "scores.npy", pool.scores.astype(int))
    said = run("arrays_only.py", tmp_path / "vectors.npy", tmp_path / "scores.npy")
    assert "selected: 40 rows, left out: {}" in said


@pytest.mark.slow
def test_how_many_rows_shows_what_the_assumption_is_worth(run):
    lines = run("how_many_rows.py", 600, "--pools", 1).splitlines()[1:]
    distance = {line.split()[0]: float(line.split()[2]) for line in lines}
    assert list(distance) == ["1.0", "0.7", "0.4"]
    assert distance["0.4"] > 2 * distance["1.0"]


def test_compare_selections_shows_shares_from_0_to_1(run):
    lines = run("compare_selections.py").splitlines()
    names = lines[0].split()[:4]
    table = np.array([[float(cell) for cell in line.split()[1:5]] for line in lines[1:5]])
    assert (np.diag(table) == 1).all()
    np.testing.assert_array_equal(table, table.T)
    random = names.index("random")
    assert (np.delete(table[random], random) < 0.2).all()
    quality = dict(zip(names, (float(line.split()[5]) for line in lines[1:5]), strict=True))
    assert quality["ds2"] > quality["uncurated"] > quality["random"] + 1


def test_several_raters_are_told_apart(run):
    said = run("several_raters.py")
    reliability = [float(said.partition(f"  {name}")[2].split()[0]) for name in GRADES]
    assert reliability == sorted(reliability, reverse=True)
    table = dict(line.split() for line in said.splitlines()[-6:])
    assert said.partition("auto took: ")[2].split()[0] != "raw"
    assert float(table["auto"]) > float(table["raw"]) + 0.05


def test_several_raters_alone_where_neighbours_say_nothing(run):
    table = dict(line.split() for line in run("several_raters.py", 0).splitlines()[-6:])
    assert float(table["ds2"]) < float(table["raw"]) - 0.1
    assert float(table["auto"]) >= float(table["raw"]) - 0.01


def test_gold_finds_the_pool_that_curation_harms(run):
    helped, harmed = run("gold_decides.py").split("rater right")[1:]
    for pool in (helped, harmed):  # one rater, no gold: nothing can show that a correction helps
        blind = pool.partition("with 100 gold")[0]
        before = blind.partition("would give Spearman ")[2].split()[0]
        assert f"auto takes raw, {before} -> {before}" in blind
    assert "auto takes ds2, 0.70 -> 0.98" in helped.partition("with 100 gold")[2]
    blind, sure = harmed.partition("with 100 gold")[::2]
    assert "would give Spearman 0.88 -> 0.62" in blind
    assert "auto takes raw, 0.88 -> 0.88" in sure


def test_constraints_are_met_or_named(run):
    said = run("constraints.py").splitlines()
    assert "maths 40" in said[3]
    assert "chat 100" in said[3]
    assert said[4] == "  row 7: must be chosen"
    assert int(said[9].split()[2].replace(",", "")) <= 40_000
    assert "cannot be met. The largest feasible size is" in said[-1]


def test_custom_embedder_finds_what_is_written_alike(run):
    said = run("custom_embedder.py")
    assert "'a red house' is nearest to 'a red horse'" in said
    assert "'the sum of 4' is nearest to 'the sum of 2 and 3'" in said


def test_rater_noise_prints_the_matrix_and_what_it_rests_on(run):
    said = run("rater_noise.py")
    assert len([line for line in said.splitlines() if line[:4].strip().isdigit()]) == 6
    assert "lift 0." in said
    assert "diagonal for rho from 0." in said


def test_rater_noise_reads_a_pool(run, tmp_path):
    rng = np.random.default_rng(0)
    subjects = ["onions", "maps", "rivers", "poems", "bread", "loops"]
    rows = [
        {
            "prompt": f"Tell me about {subjects[i % 6]}, part {i}.",
            "response": f"{subjects[i % 6]} " * (5 + i % 6),
            "grade": int(rng.choice([i % 3, 0])),
        }
        for i in range(120)
    ]
    path = tmp_path / "pool.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    said = run("rater_noise.py", path, "grade", "levels:3")
    assert "share of wrong scores at rho = 1" in said
