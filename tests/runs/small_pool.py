"""A small pool that looks like a real one: clusters of alike texts, scores that mostly agree."""

import json
import random
from pathlib import Path

from ds2.runs import Listener

TOPICS = (
    "cats purr and sleep all day on the sofa",
    "stock markets fall when interest rates rise",
    "boil the pasta in salted water and drain it",
    "integrate by parts to solve the integral",
    "the roman empire fell in the west",
    "lists and dictionaries are containers in python",
    "football teams score goals in the league",
    "paint the wall with two coats of white",
)
WORDS = ("alpha", "beta", "gamma", "delta", "zeta", "eta", "theta", "iota", "kappa", "rho", "pi")


def make_rows(n: int = 160) -> list[dict[str, object]]:
    rng = random.Random(0)
    rows: list[dict[str, object]] = []
    for number in range(n):
        topic = TOPICS[number % 8]
        true = number % 8 % 6
        rows.append(
            {
                "id": f"r{number}",
                "instruction": f"{topic} {' '.join(rng.sample(WORDS, 3))}",
                "output": f"{topic} {' '.join(rng.sample(WORDS, 6))}",
                "source": f"s{number % 3}",
                "score": max(0, min(5, true + rng.choice([0, 0, 0, 0, 1, -1]))),
                "true": true,
            }
        )
    rows[11] = {**rows[3], "id": "r11"}  # an exact duplicate
    rows[12]["score"] = None
    return rows


def write_rows(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


#: Of a run folder that lies beside its pool.
RECIPE = """\
[pool]
path = '../pool.jsonl'
[scores]
column = 'score'
scale = '0-5'
[noise]
n_bootstrap = {n_bootstrap}
"""


def put_run(place: Path, rows: list[dict[str, object]], recipe: str) -> Path:
    """Write a pool, and a run folder beside it."""
    write_rows(place / "pool.jsonl", rows)
    (place / "run").mkdir()
    (place / "run" / "recipe.toml").write_text(recipe, encoding="utf-8")
    return place / "run"


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def score(sheet: Path, out: Path, truth: dict[str, object], columns: tuple[str, ...] = ()) -> Path:
    """Fill a sheet in as a person who knows the truth would; keep these columns, or all."""
    lines = [{**line, "score": truth[line["id"]]} for line in lines_of(sheet)]
    kept = [{name: line[name] for name in columns or line} for line in lines]
    return write_rows(out, kept)


class Heard(Listener):
    """Keeps what is said, and what is warned of."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.warnings: list[str] = []

    def said(self, sentence: str) -> None:
        self.sentences.append(sentence)

    def warning(self, sentence: str) -> None:
        self.warnings.append(sentence)
