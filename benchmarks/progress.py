"""When each stage first shows that it works, and whether the time left can be believed.

A simulated pool goes through every stage of a run, and through compare, in this process. A stage
that takes five seconds or more passes where its first sign of progress comes within a second, and
where the time left that the command line would show at a third of the way is within a factor of
two of the truth.

    python benchmarks/progress.py [--quick] [--rows N] [--raters R] [--method METHOD]
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from _common import json_line, table

import ds2
from ds2.cli.progress import Pace
from ds2.runs.compare import compare_run
from ds2.runs.init import init_run
from ds2.runs.job import Job, Listener
from ds2.runs.loop import run

#: A stage that takes less needs no progress.
LONG_S = 5.0


class Recorded(Listener):
    """Keeps what a stage said and when, and the time left that was shown with it."""

    def __init__(self) -> None:
        self.found: list[dict] = []
        self._open: dict | None = None

    def started(self, stage: str, title: str) -> None:  # noqa: ARG002
        """Begin a stage."""
        self.close()
        self._pace = Pace()
        self._open = {"stage": stage, "start": time.monotonic(), "said": []}

    def finished(self, stage: str, *_: object) -> None:  # noqa: ARG002
        """End it."""
        self.close()

    def progress(self, done: int, total: int, note: str = "") -> None:  # noqa: ARG002
        """Note the time left that is shown with it."""
        if self._open is not None:
            at, left = time.monotonic() - self._open["start"], self._pace.left_s(done, total)
            self._open["said"].append((at, done / max(total, 1), left))

    def reached(self, share: float) -> None:
        """Note it likewise."""
        self.progress(share, 1.0)

    def close(self) -> None:
        """End what is open."""
        if self._open is not None:
            self._open["seconds"] = time.monotonic() - self._open["start"]
            self.found.append(self._open)
        self._open = None


def pool_of(folder: Path, n: int, n_raters: int, seed: int = 0) -> Path:
    """Write a pool of n rows, whose neighbours share a score, with its vectors beside it."""
    made = ds2.simulate(n, clusterability=0.8, dim=64, seed=seed)
    rng = np.random.default_rng(seed)
    scores = [made.scores]
    for _ in range(n_raters - 1):
        slip = rng.random(n) < 0.4
        scores.append(np.where(slip, rng.integers(0, 6, n), made.true_scores))
    words = np.array([f"word{i}" for i in range(5000)])
    lengths = rng.integers(5, 60, n)
    np.save(folder / "vectors.npy", made.vectors.astype(np.float32))
    with (folder / "pool.jsonl").open("w", encoding="utf-8") as file:
        for i in range(n):
            text = " ".join(words[rng.integers(0, len(words), lengths[i])])
            row = {"prompt": f"question {i}", "response": text}
            row |= {f"score{m}": int(one[i]) for m, one in enumerate(scores)}
            file.write(json.dumps(row) + "\n")
    return folder / "pool.jsonl"


def measured(heard: Recorded) -> list[dict]:
    """One row a stage: seconds, first sign, the time left at a third of the way against truth."""
    rows = []
    for stage in heard.found:
        said, took = stage["said"], stage["seconds"]
        row = {"stage": stage["stage"], "seconds": took, "signs": len(said)}
        row["first sign s"] = said[0][0] if said else took
        shown = [(at, left) for at, _, left in said if at >= took / 3 and left is not None]
        at, left = shown[0] if shown else (took / 3, float("nan"))
        row["left shown s"], row["left true s"] = left, took - at
        ratio = left / (took - at) if took > at else 1.0
        good = row["first sign s"] <= 1.0 and 0.5 <= ratio <= 2.0
        row["verdict"] = "short" if took < LONG_S else "good" if good else "BAD"
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--raters", type=int, default=1)
    parser.add_argument("--method", default="ds2")
    parser.add_argument("--no-compare", action="store_true")
    parser.add_argument("--path", action="store_true", help="print how each stage went")
    given = parser.parse_args()
    n = given.rows or (3_000 if given.quick else 30_000)
    heard = Recorded()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pool = pool_of(folder, n, given.raters)
        init_run(
            folder / "run",
            pool=str(pool),
            scores=[f"score{m}" for m in range(given.raters)],
            settings={
                "scores.scale": "levels:6",
                "embed.embedder": "precomputed",
                "embed.path": str(folder / "vectors.npy"),
                "select.size": 0.1,
                "select.method": given.method,
            },
        )
        run(folder / "run", listener=heard)
        if not given.no_compare:
            compare_run(Job.of(folder / "run", None, heard))
            heard.close()
    rows = measured(heard)
    table(rows)
    for stage in heard.found if given.path else ():
        ticks = np.linspace(0, 1, 11)[1:-1] * stage["seconds"]
        said = [(0.0, 0.0, None), *stage["said"]]
        shares = [max(share for at, share, _ in said if at <= tick) for tick in ticks]
        print(stage["stage"].rjust(10), *(f"{share:.2f}" for share in shares))
    bad = [row["stage"] for row in rows if row["verdict"] == "BAD"]
    json_line("progress", rows=n, raters=given.raters, stages=rows, bad=bad)


if __name__ == "__main__":
    main()
