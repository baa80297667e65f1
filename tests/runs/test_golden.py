"""Whole runs give the figures that they gave: what is not meant to change a number must not.

`DS2_GOLDEN=write pytest tests/runs/test_golden.py` writes the files anew; their difference is then
read like that of code. Figures are compared to 0.002, since processors differ in last digits.
"""

import json
import os
import random
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from small_pool import make_rows, put_run, write_rows

from ds2.curation import Curation
from ds2.noise import TransitionEstimate
from ds2.runs import load, run
from ds2.runs.frozen import thawed
from ds2.selection import Selection

pytestmark = pytest.mark.filterwarnings("ignore::ds2.errors.Ds2Warning")

KEPT = Path(__file__).parent / "golden"
RECIPE = """\
[pool]
path = '../pool.jsonl'
[scores]
{scores}
scale = '0-5'
[noise]
n_bootstrap = 30
[select]
size = 60
{more}
"""
THREE = "column = ['score', 'second', 'third']"
CASES = {
    "one-rater": RECIPE.format(scores="column = 'score'", more=""),
    "three-raters": RECIPE.format(scores=THREE, more="method = 'frontier'"),
    "gold": RECIPE.format(scores="column = 'score'", more="") + "[gold]\npath = '../gold.jsonl'\n",
    "constraints": RECIPE.format(
        scores="column = 'score'",
        more="near_duplicate = 0.95\nquotas = [{by = 'source', label = 's0', min = 0.5}]",
    ),
    "part-rated": RECIPE.format(scores="column = 'part'", more=""),
}


def make(place: Path, case: str) -> Path:
    rng, rows = random.Random(1), make_rows(400)
    for number, row in enumerate(rows):
        true = int(str(row["true"]))
        row["second"] = max(0, min(5, true + rng.choice([0, 0, 0, 1, -1, 2])))
        row["third"] = rng.choice([true, true, rng.randrange(6)])
        row["part"] = row["score"] if number % 2 else None
    gold = [{"id": row["id"], "score": row["true"]} for row in rows[40:400:6]]
    write_rows(place / "gold.jsonl", gold)
    return put_run(place, rows, CASES[case])


def figures_of(folder: Path) -> dict[str, object]:
    """What a run came to, small enough to be read."""
    noise, curation = load(TransitionEstimate, folder), load(Curation, folder)
    some = curation.scores[::20]
    report = json.loads((folder / "report.json").read_text())
    return {
        "matrix": np.round(noise.matrix, 4).tolist(),
        "prior": np.round(noise.prior, 4).tolist(),
        "lift": [round(one, 4) for one in (noise.lift.value, noise.lift.low, noise.lift.high)],
        "rho": round(noise.rho, 4),
        "sources": [noise.rho_source, noise.matrix_source],
        "said": sorted({one.code for one in (*noise.warnings, *curation.warnings)}),
        "method": curation.method,
        "evidence": [
            [one.candidate, one.measure, round(one.value, 4)] for one in curation.evidence
        ],
        "scores": [None if np.isnan(one) else round(one, 3) for one in some.tolist()],
        "mean": round(float(np.nanmean(curation.scores)), 4),
        "selected": load(Selection, folder).rows.tolist(),
        "left": load(Selection, folder).dropped,
        "columns": pq.read_schema(folder / "curation.parquet").names,
        "report": sorted([*report["facts"], *report["tables"]]),
    }


def flat(value: object, name: str = "") -> dict[str, object]:
    """The leaves of a JSON value, by place."""
    if isinstance(value, (dict, list)):
        each = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for key, one in each for k, v in flat(one, f"{name}.{key}").items()}
    return {name: value}


@pytest.mark.parametrize("case", CASES)
def test_a_run_gives_the_figures_that_it_gave(case, tmp_path):
    folder = make(tmp_path, case)
    run(folder)
    found, path = figures_of(folder), KEPT / f"{case}.json"
    if os.environ.get("DS2_GOLDEN") == "write":
        lines = (f"{json.dumps(name)}: {json.dumps(one)}" for name, one in found.items())
        path.write_text("{" + ",\n".join(lines) + "}\n", encoding="utf-8")
    kept = json.loads(path.read_text(encoding="utf-8"))
    now, then = found.pop("selected"), kept.pop("selected")
    assert len(now) == len(then)
    assert len(set(now) & set(then)) >= 0.97 * len(then)
    assert flat(found) == pytest.approx(flat(kept), abs=0.002)


def test_a_warning_of_an_older_folder_is_its_sentence(tmp_path):
    noise = {"warnings": ["Mind this.", {"code": "misfit", "says": "That.", "figures": {"x": 1}}]}
    hint = TransitionEstimate.__annotations__["warnings"]
    older, newer = thawed(hint, noise["warnings"])
    assert (older, older.code, newer, newer.code) == ("Mind this.", "", "That.", "misfit")
