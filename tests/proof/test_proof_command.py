"""`ds2 proof --read`: what is printed and written, and the exit codes."""

import json

import numpy as np
import pytest
from evaluations import row, write, write_arm
from typer.testing import CliRunner

from ds2.cli.app import app
from ds2.proof import compare_arms, read_arms
from ds2.proof.words import comparison_lines


def invoke(*words):
    return CliRunner().invoke(app, ["proof", *map(str, words)])


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    write_arm(folder, "ds2", gain=0.3, n=400)
    write_arm(folder, "other", n=400)
    return write_arm(folder, "random", n=400)


def test_the_table_the_noise_and_the_verdict(results):
    done = invoke("--read", f"{results}/ds2-s*", f"{results}/random-s*")
    assert done.exit_code == 0, done.output
    assert "A = ds2 (3 runs), B = random (3 runs); higher is better" in done.stdout
    assert "verdict    ds2 is better than random: +0." in done.stdout
    assert "mean of 2 tasks  800" in done.stdout
    assert "detectable 0." in done.stdout
    assert "Holm" not in done.stdout
    assert "reading    ds2, ds2-s0: 2 files" in done.stderr


def test_json_and_files_say_the_same(results, tmp_path):
    words = ("--read", f"{results}/ds2-s*", f"{results}/other-s*", f"{results}/random-s*")
    done = invoke(*words, "--against", "other", "--json", "--out", tmp_path / "r.json")
    document = json.loads(done.stdout)
    assert document == json.loads((tmp_path / "r.json").read_text())
    first, second = document["comparisons"]
    assert (first["a"], first["b"], second["a"]) == ("ds2", "other", "random")
    assert first["verdict"] == "better"
    assert "2 comparisons" in first["says"]["p"]
    assert invoke(*words, "--out", tmp_path / "r.md").exit_code == 0
    page = (tmp_path / "r.md").read_text()
    assert "| mean of 2 tasks | 800 |" in page
    assert "**ds2 is better than random.**" in page
    assert invoke(*words, "--out", tmp_path / "r.html").exit_code == 0
    assert "ds2 is better than random." in (tmp_path / "r.html").read_text()


def test_one_run_gets_no_verdict(results):
    done = invoke("--read", results / "ds2-s0", results / "random-s0", "--json")
    (found,) = json.loads(done.stdout)["comparisons"]
    assert found["verdict"] == "no verdict"
    assert found["p"] is None
    assert found["overall"]["noise"]["runs"] is None
    assert "ds2 and random have one run" in found["says"]["verdict"]
    assert "says nothing about models of another seed" in found["says"]["verdict"]


def test_missing_items_are_exit_code_1_after_the_result(tmp_path):
    rows = [row(i, i % 2) for i in range(8)]
    write(tmp_path / "a", "t", rows)
    write(tmp_path / "b", "t", rows[:6])
    done = invoke("--read", tmp_path / "a", tmp_path / "b")
    assert done.exit_code == 1
    assert "t: 2 items that some run lacks are left out" in done.stdout
    assert "error: 2 items are not in every run" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["A", "B"], "To compare evaluations: ds2 proof --read A B"),
        (["--read", "A", "B"], "A is not there"),
        (["--read", "A", "B", "--out", "x.txt"], "--out writes .html, .md or .json"),
    ],
)
def test_wrong_input_is_exit_code_2(words, says):
    done = invoke(*words)
    assert done.exit_code == 2
    assert says in done.stderr


def test_a_smallest_of_0_is_refused_and_not_forgotten(results):
    done = invoke("--read", results / "ds2-s*", results / "random-s*", "--smallest", 0)
    assert done.exit_code == 2
    assert "'smallest' must be a finite number above 0. Got 0.0" in done.stderr


def test_an_unknown_baseline_and_marks_of_a_table(results, tmp_path):
    pair = (results / "ds2-s0", results / "random-s0")
    done = invoke("--read", *pair, "--against", "randon")
    assert "Did you mean 'random'?" in done.stderr
    rows = [row(i, i % 2) for i in range(8)]
    for arm in ("a", "b"):
        write(tmp_path / arm, "t|x\x1b[31m", rows)
    done = invoke("--read", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "r.md")
    assert "\x1b" not in done.stdout
    assert "t&#124;x" in (tmp_path / "r.md").read_text()


def test_what_would_tell_is_said(tmp_path):
    write_arm(tmp_path, "a", n=300)
    write_arm(tmp_path, "b", n=300)
    arms = read_arms([tmp_path / "a-s*", tmp_path / "b-s*"])

    def verdict(smallest):
        found = compare_arms(arms.values, clusters=arms.clusters, smallest=smallest)
        return comparison_lines(arms, found)[-3]

    assert "cannot tell" in verdict(1e-6)
    assert "more of both" in verdict(1e-6)
    effects = [compare_arms(arms.values, smallest=x)[0] for x in np.linspace(0.01, 0.2, 8)]
    assert any(one.seeds_needed or one.items_needed for one in effects)
