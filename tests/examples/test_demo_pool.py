"""The demo pool: plausible texts, planted truth, and the assumption that the method rests on."""

import ast
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ds2.embedding import WordLlamaEmbedder
from ds2.neighbors import find_neighbors

DEMO = Path(__file__).parents[2] / "examples" / "demo"
N_SCORES = 6


def call(script, *arguments):
    command = [sys.executable, str(DEMO / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)


def make(folder, *arguments):
    done = call("make_pool.py", folder, *arguments)
    assert done.returncode == 0, done.stderr
    with (folder / "pool.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def text_of(row):
    return "\n".join(f"{m['role']}: {m['content']}" for m in row["messages"])


def answers_of(row):
    return [m["content"] for m in row["messages"] if m["role"] == "assistant"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo") / "made"


@pytest.fixture(scope="module")
def rows(folder):
    return make(folder)


@pytest.fixture(scope="module")
def distinct(rows):
    return list({text_of(row): row for row in rows}.values())


@pytest.fixture(scope="module")
def planted(folder, rows):
    return json.loads((folder / "planted.json").read_text(encoding="utf-8"))


def test_rows_have_the_promised_fields(rows):
    assert len(rows) == 2400
    assert len({row["id"] for row in rows}) == 2400
    for row in rows:
        assert set(row) == {"id", "messages", "source", "true_score", "score"}
        assert row["true_score"] in range(N_SCORES)
        assert row["score"] is None or row["score"] in range(N_SCORES)
        roles = [message["role"] for message in row["messages"]]
        turns = roles[1:] if roles[0] == "system" else roles
        assert turns == ["user", "assistant"] * (len(turns) // 2)


def test_no_template_is_left_in_a_text(rows):
    for row in rows:
        for message in row["messages"]:
            assert not re.search(r"\{[a-z][a-z_0-9]*\}", message["content"]), message
            assert not re.search(r"<[^<>|]*\|[^<>]*>", message["content"]), message


def test_the_awkward_kinds_are_there(rows, distinct):
    assert 40 <= len(rows) - len(distinct) <= 100
    assert sum(len(row["messages"]) > 3 for row in distinct) >= 50
    assert sum(row["source"] == "multilingual" for row in distinct) >= 100
    assert sum(bool(re.search(r"[\u4e00-\u9fff]", text_of(row))) for row in distinct) >= 20
    assert sum(len(text_of(row).split()) > 2000 for row in distinct) >= 8
    assert sum(answers_of(row) == ["ok"] for row in distinct) >= 8
    assert 0.003 <= np.mean([row["score"] is None for row in rows]) <= 0.025


def test_trusted_scores_are_the_true_ones_of_rated_rows(folder, rows):
    with (folder / "gold.jsonl").open(encoding="utf-8") as lines:
        gold = [json.loads(line) for line in lines]
    by_id = {row["id"]: row for row in rows}
    assert len({line["id"] for line in gold}) == len(gold) == 200
    for line in gold:
        assert set(line) == {"id", "score"}
        assert by_id[line["id"]]["score"] is not None
        assert line["score"] == by_id[line["id"]]["true_score"]
    drawn, prior = (
        np.bincount([line["score"] for line in gold], minlength=N_SCORES),
        [np.mean([row["true_score"] == level for row in rows]) for level in range(N_SCORES)],
    )
    assert_within_sampling_error(drawn, np.array(prior))


def test_duplicates_share_their_scores(rows):
    seen: dict[str, dict] = {}
    for row in rows:
        first = seen.setdefault(text_of(row), row)
        assert row["true_score"] == first["true_score"]
        assert None in (row["score"], first["score"]) or row["score"] == first["score"]


def test_better_examples_are_longer_and_right(distinct):
    lengths = [
        np.median(
            [sum(map(len, answers_of(row))) for row in distinct if row["true_score"] == level]
        )
        for level in range(N_SCORES)
    ]
    assert np.all(np.diff(lengths) > 0)
    sums = {"good": [], "poor": []}
    for row in distinct:
        for answer in answers_of(row):
            kind = "good" if row["true_score"] >= 3 else "poor"
            pattern = r"(\d+) (?:×|times) (\d+) (?:=|is) (\d+)(?: dollars|,)"
            sums[kind] += [int(a) * int(b) == int(c) for a, b, c in re.findall(pattern, answer)]
    assert len(sums["good"]) >= 10
    assert all(sums["good"])
    assert len(sums["poor"]) >= 10
    assert not any(sums["poor"])


def test_code_in_good_answers_can_be_read(distinct):
    blocks = [
        (language, code)
        for row in distinct
        if row["true_score"] >= 3
        for answer in answers_of(row)
        for language, code in re.findall(r"```(python|json)\n(.*?)```", answer, re.DOTALL)
    ]
    assert {language for language, _ in blocks} == {"python", "json"}
    for language, code in blocks:
        ast.parse(code) if language == "python" else json.loads(code)


def test_planted_matrix_is_a_dominant_ordinal_rater(planted):
    matrix, prior = np.array(planted["matrix"]), np.array(planted["prior"])
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    np.testing.assert_allclose(prior.sum(), 1)
    assert np.all(matrix.diagonal() > 0.5)
    assert planted["error_rate"] == pytest.approx(1 - prior @ matrix.diagonal())
    assert 0.3 <= planted["error_rate"] <= 0.4
    means = matrix @ np.arange(N_SCORES)
    assert np.all(means[:3] > np.arange(3))
    assert means[5] < 4.5


def test_scores_are_drawn_as_planted(distinct, planted):
    matrix, prior = np.array(planted["matrix"]), np.array(planted["prior"])
    true = np.array([row["true_score"] for row in distinct])
    counts = np.bincount(true, minlength=N_SCORES)
    assert_within_sampling_error(counts, prior)
    for level in range(N_SCORES):
        scores = [row["score"] for row in distinct if row["true_score"] == level]
        observed = np.array([score for score in scores if score is not None])
        assert_within_sampling_error(np.bincount(observed, minlength=N_SCORES), matrix[level])


def assert_within_sampling_error(counts, shares):
    n = counts.sum()
    error = np.sqrt(n * shares * (1 - shares))
    assert np.all(np.abs(counts - n * shares) <= 4 * error + 1), (counts, n * shares)


def test_neighbours_share_their_true_score(distinct):
    vectors = WordLlamaEmbedder().embed([text_of(row) for row in distinct])
    neighbors = find_neighbors(vectors, k=10)
    true = np.array([row["true_score"] for row in distinct])
    same = (true[neighbors.indices] == true[:, None]).mean(axis=0)
    chance = float(((np.bincount(true) / len(true)) ** 2).sum())
    lift = (same - chance) / (1 - chance)
    assert np.all(same[:2] >= 0.95)
    assert np.all(lift[:2] >= 0.9)
    assert same.mean() >= 0.85
    assert len(np.unique(vectors, axis=0)) >= 0.99 * len(distinct)
    nearest = neighbors.distances[:, 0]
    assert np.mean(nearest < 0.02) < 0.1
    assert np.quantile(nearest, 0.9) > 2 * np.median(nearest)


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    hashes = []
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        make(tmp_path / folder, "--size", 200, "--seed", seed)
        content = (tmp_path / folder / "pool.jsonl").read_bytes()
        trusted = (tmp_path / folder / "gold.jsonl").read_bytes()
        hashes.append(hashlib.sha256(content + trusted).hexdigest())
        assert content.count(b"\n") == 200
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("arguments", [("--size", 199), ("--size", 5001), ("--seed", -1)])
def test_make_pool_names_a_wrong_option(tmp_path, arguments):
    done = call("make_pool.py", tmp_path / "made", *arguments)
    assert done.returncode == 2
    assert f"{arguments[0]} must" in done.stderr
    assert not (tmp_path / "made").exists()


@pytest.fixture
def run(tmp_path, rows, planted):
    """A run that recovered T exactly, misses one interval and knows half of the wrong scores."""
    matrix = np.array(planted["matrix"])
    low, high = np.maximum(matrix - 0.01, 0), matrix + 0.01
    intervals = np.where(np.arange(N_SCORES)[:, None] == 0, np.nan, np.stack([low, high]))
    intervals[:, 1, 1] = 0.9
    as_json = [[[None if np.isnan(v) else v for v in row] for row in part] for part in intervals]
    noise = {"matrix": planted["matrix"], "intervals": as_json, "prior": planted["prior"]}
    (tmp_path / "noise.json").write_text(json.dumps(noise), encoding="utf-8")
    wrong = [row["score"] is not None and row["score"] != row["true_score"] for row in rows]
    found = np.array(wrong) & (np.cumsum(wrong) % 2 == 0)
    scores = [
        row["true_score"] if hit else row["score"] for row, hit in zip(rows, found, strict=True)
    ]
    table = {
        "id": [row["id"] for row in rows],
        "observed": pa.array([row["score"] for row in rows], pa.float64()),
        "score": pa.array(scores, pa.float64()),
        "misrated": found.tolist(),
        "confidence": found.astype(float).tolist(),
    }
    pq.write_table(pa.table(table), tmp_path / "curation.parquet")
    best = np.argsort([-row["true_score"] for row in rows], kind="stable")[:100]
    pq.write_table(pa.table({"row": best}), tmp_path / "selection.parquet")
    return tmp_path


def test_compare_prints_what_was_recovered(run, folder, rows):
    done = call("compare_with_planted.py", run, folder / "planted.json")
    assert done.returncode == 0, done.stderr
    rated = [row for row in rows if row["score"] is not None]
    wrong = sum(row["score"] != row["true_score"] for row in rated)
    after = 1 - (wrong - wrong // 2) / len(rated)
    assert "Mean total variation of the rows: 0.000" in done.stdout
    assert "hold the planted value: 29 of 30 cells" in done.stdout
    assert f"{len(rated)}, of which {wrong} have a wrong one" in done.stdout
    assert f"precision 1.000, recall {wrong // 2 / wrong:.3f}" in done.stdout
    assert f"right before {1 - wrong / len(rated):.3f}, after {after:.3f}" in done.stdout
    top = [row["true_score"] for row in rated if row["score"] == N_SCORES - 1]
    assert len(top) >= 100  # so the highest raw scores are all 5
    means = f"{np.mean(top):.2f}, random {np.mean([row['true_score'] for row in rows]):.2f}"
    assert f"100 rows: selected 5.00, highest raw scores {means}" in done.stdout
    assert "Curation made the order of the scores better." in done.stdout


def test_compare_says_when_curation_did_harm(run, folder, rows):
    table = pq.read_table(run / "curation.parquet")
    worse = [None if s is None else 5 - s for s in table["score"].to_pylist()]
    worse = table.drop_columns(["score"]).append_column("score", pa.array(worse, pa.float64()))
    pq.write_table(worse, run / "curation.parquet")
    done = call("compare_with_planted.py", run, folder / "planted.json")
    assert done.returncode == 0, done.stderr
    assert "Curation made the order of the scores worse." in done.stdout


def test_compare_takes_scores_between_levels(run, folder, rows):
    """A score half-way between two levels belongs to the lower one."""
    table = pq.read_table(run / "curation.parquet")
    half = [None if s is None else s + 0.5 for s in table["observed"].to_pylist()]
    half = table.drop_columns(["score"]).append_column("score", pa.array(half, pa.float64()))
    pq.write_table(half, run / "curation.parquet")
    done = call("compare_with_planted.py", run, folder / "planted.json")
    assert "Scores changed: 0;" in done.stdout
    assert "Curation left the order of the scores as it was." in done.stdout


def test_compare_without_intervals_and_curation(run, folder):
    noise = json.loads((run / "noise.json").read_text(encoding="utf-8"))
    noise["matrix"][0] = [None] * N_SCORES
    (run / "noise.json").write_text(json.dumps(noise | {"intervals": None}), encoding="utf-8")
    table = pq.read_table(run / "curation.parquet").drop_columns(["misrated"])
    nothing = pa.nulls(len(table), pa.bool_())
    pq.write_table(table.append_column("misrated", nothing), run / "curation.parquet")
    done = call("compare_with_planted.py", run, folder / "planted.json")
    assert done.returncode == 0, done.stderr
    assert "0 of 0 cells" in done.stdout
    assert "flagged nothing" in done.stdout
    assert done.stderr == ""


def test_compare_names_a_missing_file(tmp_path, folder, rows):
    done = call("compare_with_planted.py", tmp_path, folder / "planted.json")
    assert done.returncode == 2
    assert str(tmp_path / "noise.json") in done.stderr
