"""The arms of a proof: which rows each training takes, in which order."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from ds2.errors import InputError
from ds2.pool import Pool, read_pool
from ds2.proof.encode import encode
from ds2.proof.models import load_tokenizer
from ds2.proof.templates import Template, Tokenizer, Turns, load_template
from ds2.proof.train_plan import Training
from ds2.runs.frozen import load
from ds2.runs.job import Job
from ds2.runs.recipe_file import source_of
from ds2.runs.select import Materials, load_materials
from ds2.runs.unrated import required
from ds2.selection import Selection

__all__ = [
    "FULL",
    "FULL_EPOCHS",
    "WHOLE",
    "Arm",
    "Counter",
    "draw_arms",
    "random_like",
    "split_arms",
]

#: Every row of the pool, in as many updates as the others have.
FULL = "full"
#: Every row of the pool, as many times as the settings say: far more updates than the others.
FULL_EPOCHS = "full-epochs"
#: Arms whose size is the pool's, whatever the selection has.
WHOLE = (FULL, FULL_EPOCHS)
#: Arms that are a method of `ds2.select`.
_METHODS = {
    "length": "length",
    "top-score": "top-score",
    "mean": "top-score",
    "no-curation": "ds2-no-curation",
    "no-diversity": "ds2-no-diversity",
}
_DRAWN = ("random", "random-same-length")
#: Rows are matched by length in so many classes.
_CLASSES = 20
#: Rows whose answers are counted for what an update is to hold.
_SAMPLE = 500


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """One training's rows."""

    arm: str  #: its name
    seed: int  #: of the draw and of the training
    pool: Pool  #: where the rows are
    rows: np.ndarray  #: (m,) their numbers
    answer_tokens: int  #: that are learned in one pass; of the whole pool about as many
    tokens: int  #: of one pass

    @property
    def name(self) -> str:
        """Of the training's folder."""
        return f"{self.arm}-s{self.seed}"

    @property
    def turns(self) -> list[Turns]:
        """The conversations."""
        return [example.turns for example in self.pool.take(self.rows)]


@dataclass(slots=True)
class Counter:
    """Counts what a training would learn of each row, once."""

    training: Training  #: the settings
    _tokenizer: Tokenizer = field(init=False)
    _template: Template = field(init=False)
    _known: dict[int, dict[int, tuple[int, int]]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._tokenizer = load_tokenizer(self.training.model)
        self._template = load_template(self._tokenizer, self.training.template)

    @property
    def template(self) -> str:
        """Name of the template."""
        return self._template.name

    def of(self, pool: Pool, row: int) -> tuple[int, int]:
        """Learned tokens and tokens of a row; 0 and 0 where it cannot be trained on."""
        known = self._known.setdefault(id(pool), {})
        if row not in known:
            found = encode(
                pool[row].turns,
                self._template,
                self._tokenizer,
                max_length=self.training.max_length,
                too_long=self.training.too_long,
                loss_on=self.training.loss_on,
            )
            known[row] = (0, 0) if isinstance(found, str) else (found.n_learned, len(found))
        return known[row]

    def prefix(self, pool: Pool, order: Sequence[int] | np.ndarray, limit: float) -> np.ndarray:
        """First rows of an order whose answers have ``limit`` tokens, to within half a row."""
        taken, have = [], 0
        for row in map(int, order):
            n = self.of(pool, row)[0]
            if n == 0:
                continue
            if have + n / 2 > limit:
                break
            taken.append(row)
            have += n
        return np.array(taken, dtype=np.int64)

    def sums(self, pool: Pool, rows: np.ndarray) -> tuple[int, int]:
        """Learned tokens and tokens of some rows."""
        counts = np.array([self.of(pool, int(row)) for row in rows]).reshape(-1, 2)
        return int(counts[:, 0].sum()), int(counts[:, 1].sum())

    def mean(self, pool: Pool) -> float:
        """Learned tokens of a row of the pool on average, by a sample spread over it."""
        counts = [n for n in (self.of(pool, int(row))[0] for row in _spread(len(pool))) if n]
        if not counts:
            raise InputError("No row of the pool has an answer that could be trained on.")
        return float(np.mean(counts))


def _spread(n: int) -> np.ndarray:
    """Some of n places, evenly spread."""
    return np.asarray(np.unique(np.linspace(0, n - 1, _SAMPLE).astype(int)))


def draw_arms(
    job: Job, counter: Counter, blocked: Callable[[Pool], np.ndarray]
) -> tuple[int, tuple[Arm, ...]]:
    """Draw every arm for every seed; the seeds of one after another, all arms of a seed together.

    Args:
        job: of the run, whose stages are done.
        counter: for this training.
        blocked: pool → (n,) rows that no arm may take.

    Returns:
        Answer tokens that an arm is to have, and the arms.

    Raises:
        InputError: an unknown arm, or one without rows.
    """
    wanted = job.recipe.proof
    named = split_arms(wanted.arms)
    material = load_materials(job, {_METHODS[name] for name in named if name in _METHODS})
    pool = material.pool
    pools = dict.fromkeys(named, pool) | {
        name: read_pool(source_of(job.folder, path)) for name, path in named.items() if path
    }
    left_out = {name: blocked(own) for name, own in pools.items() if own is not pool}
    free = ~blocked(pool)
    rows_of = load(Selection, job.folder).rows
    chosen = np.array([r for r in rows_of if free[r] and counter.of(pool, int(r))[0]], np.int64)
    if not len(chosen):
        raise InputError("No row of the selection can be trained on: there is nothing to prove.")
    has, _ = counter.sums(pool, chosen)
    limit = has
    if wanted.equal == "tokens":
        limit = min(wanted.tokens or has, has)
        chosen = counter.prefix(pool, chosen, limit)
    fixed: dict[str, np.ndarray] = {}
    arms = []
    for seed in range(wanted.seeds):
        for name, own in pools.items():
            rows = fixed.get(name)
            if rows is None:
                order = (
                    np.flatnonzero(~left_out[name]) if name in left_out
                    else _order(name, material, chosen, free, seed)
                )  # fmt: skip
                if name in WHOLE:
                    rows = order
                elif wanted.equal == "rows":
                    usable = (row for row in order if counter.of(own, int(row))[0])
                    rows = np.fromiter(islice(usable, len(chosen)), np.int64)
                else:
                    rows = counter.prefix(own, order, limit)
                if name not in _DRAWN:
                    fixed[name] = rows
            if not len(rows):
                raise InputError(f"The arm '{name}' has no row that can be trained on.")
            few = rows
            if name in WHOLE:  # nobody waits for 300,000 rows to be encoded
                few = rows[_spread(len(rows))]
            times = len(rows) / len(few)
            learned, tokens = (round(n * times) for n in counter.sums(own, few))
            arms.append(Arm(name, seed, own, rows, learned, tokens))
    return limit, tuple(arms)


def random_like(job: Job) -> Pool:
    """Return as many random examples as were selected, with answers as long as theirs."""
    material = load_materials(job, ())
    chosen = load(Selection, job.folder).rows
    free = np.ones(len(material.pool), dtype=bool)
    rows = _order("random-same-length", material, chosen, free, 0)[: len(chosen)]
    return material.pool.take(rows)


def split_arms(names: Sequence[str]) -> dict[str, str]:
    """Return the arms of a recipe: name → its file, "" where it has none.

    Raises:
        InputError: an unknown arm, or a name that stands for something else.
    """
    known, found = ("selection", *WHOLE, *_DRAWN, *_METHODS), {}
    for name in names:
        arm, _, path = name.partition("=")
        if not path and arm not in known:
            raise InputError(
                f"'{arm}' is no arm. Choose among {', '.join(known)}, or give NAME=FILE "
                "(proof.arms)."
            )
        if path and (arm in known or not arm.replace("-", "").replace("_", "").isalnum()):
            raise InputError(f"'{name}': an arm of your own needs a name of its own, as lima=FILE.")
        found[arm] = path
    return found


def _order(
    name: str, material: Materials, chosen: np.ndarray, free: np.ndarray, seed: int
) -> np.ndarray:
    """Rows of an arm, first to last; more than it will take."""
    if name == "selection":
        return chosen
    if name in WHOLE:
        return np.flatnonzero(free)
    method = "random" if name in _DRAWN else _METHODS[name]
    raw, groups = material.observed, material.neighbors.groups
    other: dict[str, Any] = {}
    if name in _DRAWN:
        drawn = np.random.SeedSequence([material.seed, seed, _DRAWN.index(name)])
        other["seed"] = int(drawn.generate_state(1)[0])
    if name == "top-score" and required(material.curated).observed.ndim == 2:
        raw = other["raw"] = required(material.curated).observed[:, 0]
    has_score = raw
    if name in _DRAWN and material.curated is not None:
        has_score = material.curated.scores  # a random row may be one that a scorer scored
    rated = np.ones(len(material.pool), bool) if has_score is None else ~np.isnan(has_score)
    size = int(rated.sum()) if groups is None else len(np.unique(groups[rated]))
    rows = material.select(method, size, **other).rows
    rows = np.asarray(rows[free[rows]])
    if name != "random-same-length":
        return rows
    lengths = material.pool.lengths  # an order in which every beginning has those of the chosen
    ends = np.unique(np.quantile(lengths[chosen], np.linspace(0, 1, _CLASSES + 1)[1:-1]))
    mine, theirs = (np.searchsorted(ends, lengths[some]) for some in (chosen, rows))
    shares = np.bincount(mine, minlength=len(ends) + 1) / len(chosen)
    place = np.empty(len(rows))
    for c, share in enumerate(shares):
        here = np.flatnonzero(theirs == c)
        place[here] = (np.arange(len(here)) + 0.5) / share if share else np.inf
    order = np.argsort(place, kind="stable")
    return np.asarray(rows[order[np.isfinite(place[order])]])
