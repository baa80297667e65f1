"""Plans of gold that decides between selections, as a run keeps them, and what they found.

What a plan asked for judges and never teaches: its scores have a file of their own, which no stage
reads, and a row that a plan ever asked for is taken out of what curation is given.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ds2.curation import GoldDifference, PlanBetween, gold_between
from ds2.pool import Pool
from ds2.rating import GoldScores, Scale, read_gold
from ds2.runs.frozen import read_table, write_table

__all__ = ["JUDGES", "OWN", "Side", "StoredPlan", "asked_rows", "found_between", "load_judging"]

#: The folder of the plans, and the scores that came back.
PLANS, JUDGES = "gold-between", "gold-between.jsonl"
#: What the run's own selection is called.
OWN = "run"


@dataclass(frozen=True, slots=True)
class Side:
    """One of two selections.

    Attributes:
        name: as the user gave it.
        rows: its rows; of a random selection those that it is drawn from.
        words: what it is called in sentences.
        chosen: whether a method chose them; False for what random draws from.
    """

    name: str
    rows: np.ndarray
    words: str
    chosen: bool = True


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """A plan, the selections that it was made for, and every row that it ever asked for.

    Attributes:
        pairs: A and B of each pair.
        plan: the plan.
        asked: (n,) rows that it asks for, or that an earlier plan for these pairs asked for.
    """

    pairs: tuple[tuple[Side, Side], ...]
    plan: PlanBetween
    asked: np.ndarray

    @staticmethod
    def path(folder: Path, pairs: Sequence[tuple[str, str]]) -> Path:
        """Where the plan for pairs of these names is kept."""
        names = json.dumps([list(pair) for pair in pairs])
        plain = re.sub(r"[^A-Za-z0-9.]+", "-", names).strip("-.")[:60]
        digest = hashlib.sha256(names.encode()).hexdigest()[:8]
        return folder / PLANS / f"{plain}-{digest}.parquet"

    def save(self, folder: Path, pool: Pool) -> None:
        """Write it in the place of an earlier plan for the same pairs."""
        n, plan = len(pool), self.plan
        seat = np.full(n, -1)
        seat[plan.rows] = np.arange(len(plan.rows))
        sides = [side for pair in self.pairs for side in pair]
        members = np.zeros((n, len(sides)), dtype=bool)
        for place, side in enumerate(sides):
            members[side.rows, place] = True
        columns = {
            "id": pool.table["id"].combine_chunks(),
            "seat": seat,
            "stratum": plan.stratum,
            "prediction": plan.predictions,
            "known": plan.known,
            "asked": pa.array(self.asked),
            "weight": plan.contrasts,
            "member": members,
        }
        facts = {
            "pool": _digest(pool),
            "pairs": [[[s.name, s.words, s.chosen] for s in pair] for pair in self.pairs],
        }
        path = self.path(folder, [(a.name, b.name) for a, b in self.pairs])
        path.parent.mkdir(exist_ok=True)
        write_table(path, columns, facts)

    @classmethod
    def load(cls, path: Path, pool: Pool) -> "StoredPlan | None":
        """Read a plan; None where there is none, or where it was made for another pool."""
        if not path.exists():
            return None
        table, facts = read_table(path)
        if facts["pool"] != _digest(pool):
            return None
        columns = {name: np.array(table[name].to_numpy()) for name in table.schema.names[1:]}

        def matrix(name: str) -> np.ndarray:
            parts = [one for key, one in columns.items() if key.startswith(f"{name}@")]
            return np.stack(parts, axis=1)

        seat, stratum = columns["seat"], columns["stratum"]
        rows = np.flatnonzero(seat >= 0)[np.argsort(seat[seat >= 0])]
        sizes = np.bincount(stratum[stratum >= 0])
        counts = np.bincount(stratum[rows], minlength=len(sizes))
        plan = PlanBetween(
            rows=rows,
            strata=stratum[rows],
            probabilities=(counts / sizes)[stratum[rows]],
            stratum=stratum,
            sizes=sizes,
            contrasts=matrix("weight"),
            predictions=columns["prediction"],
            known=columns["known"].astype(np.float64),
        )
        members = iter(matrix("member").T)
        pairs = [
            tuple(Side(s[0], np.flatnonzero(next(members)), *s[1:]) for s in pair)
            for pair in facts["pairs"]
        ]
        return cls(tuple((a, b) for a, b in pairs), plan, columns["asked"].astype(bool))


def _digest(pool: Pool) -> str:
    return hashlib.sha256(pool.keys.tobytes()).hexdigest()


def stored_plans(folder: Path, pool: Pool) -> list[StoredPlan]:
    """Every plan that a run has for this pool."""
    found = (StoredPlan.load(path, pool) for path in sorted((folder / PLANS).glob("*.parquet")))
    return [one for one in found if one is not None]


def asked_rows(folder: Path, pool: Pool) -> np.ndarray:
    """(n,) True for every row that was asked for to judge selections."""
    asked = np.zeros(len(pool), dtype=bool)
    for one in stored_plans(folder, pool):
        asked |= one.asked
    return asked


def load_judging(folder: Path, pool: Pool, scale: Scale) -> GoldScores | None:
    """The scores that judge selections, None where there are none."""
    path = folder / JUDGES
    return read_gold(pool, path, scale=scale, strata=False) if path.exists() else None


def found_between(
    folder: Path, pool: Pool, scale: Scale
) -> list[tuple[tuple[Side, Side], GoldDifference]]:
    """What the scores that came back say of every pair that was planned."""
    gold = load_judging(folder, pool, scale)
    if gold is None:
        return []
    values = gold.levels()
    return [
        (pair, difference)
        for one in stored_plans(folder, pool)
        for pair, difference in zip(one.pairs, gold_between(one.plan, values), strict=True)
        if difference.n
    ]
