"""What is asked in batches, the files of requests that it makes, and what is known of each."""

import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ds2.atomic import explain_write_errors, sweep, writing
from ds2.errors import InputError
from ds2.pool import Pool
from ds2.pool.wording import shown_path
from ds2.rating.account import request_tokens
from ds2.rating.batch_files import request_id, request_line, setup_tag
from ds2.rating.jobs import Job, iter_jobs
from ds2.rating.money import Budget, Price
from ds2.rating.prompt import PromptBuilder
from ds2.rating.rows import Reserved, Setup
from ds2.rating.store import Store

__all__ = ["Batch", "BatchFolder", "BatchPlan", "Shape", "write_batches", "write_files"]

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch.

    Attributes:
        token: random text that the batch carries as metadata, so that it can be found again.
        tag: of the setup, see `setup_tag`.
        n: requests in it.
        most_usd: what it can cost at most, 0 where no price is known.
        batch_id: as the endpoint calls it; None until it said so.
        file_id: of the requests, as the endpoint calls them.
        collected: every result is in the store.
        at: when it was sent, seconds since 1970.
    """

    token: str
    tag: str
    n: int
    most_usd: float = 0.0
    batch_id: str | None = None
    file_id: str | None = None
    collected: bool = False
    at: float = 0.0

    def reserved(self, model: str) -> Reserved:
        """Return what is set aside for it in the store."""
        return Reserved(int(self.token, 16) >> 2, model, 0, 0, self.most_usd)


class BatchFolder:
    """The folder of one store's batches: ``batches.json`` and the requests of those not collected.

    Use it while the store is locked: two processes that send batches would send everything twice.
    """

    def __init__(self, store: Path) -> None:
        self.path = store.with_name(f"{store.name}.batches")
        with explain_write_errors(self.path):
            self.path.mkdir(exist_ok=True)
        sweep(self.path)
        self._state = self.path / "batches.json"

    def requests(self, batch: Batch) -> Path:
        """Return the file of a batch's requests."""
        return self.path / f"requests-{batch.token}.jsonl"

    def load(self) -> tuple[Batch, ...]:
        """Return every batch, oldest first.

        Raises:
            InputError: the file was changed by hand, or written by a later version of ds2.
        """
        try:
            raw = json.loads(self._state.read_text("utf-8"))
            if raw["version"] != _VERSION:
                raise ValueError(raw["version"])
            return tuple(Batch(**one) for one in raw["batches"])
        except FileNotFoundError:
            return ()
        except (KeyError, TypeError, ValueError):
            raise InputError(
                f"{shown_path(self._state)} is no list of batches of this version of ds2. If it "
                "was changed by hand, restore it: it knows what was sent and is paid for."
            ) from None

    def save(self, batches: Sequence[Batch]) -> None:
        """Write the list of batches, complete or not at all."""
        raw = {"version": _VERSION, "batches": [asdict(batch) for batch in batches]}
        with writing(self._state) as temporary:
            temporary.write_text(json.dumps(raw, indent=1), "utf-8")

    def update(self, batch: Batch, **changes: object) -> Batch:
        """Write a batch with some attributes changed, or a new one, and return it."""
        changed = replace(batch, **changes)  # type: ignore[arg-type]
        others = [one for one in self.load() if one.token != batch.token]
        self.save(sorted([*others, changed], key=lambda one: (one.at, one.token)))
        return changed

    @staticmethod
    def new_token() -> str:
        """Return a token that no other batch has."""
        return secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What is asked, of whom, and where the replies go.

    Attributes:
        pool: the examples.
        builder: makes the prompts.
        setup: who is asked, and how.
        store: an open store.
        number: of the setup, in the store.
        price: of the model in batches; None where unknown.
        body: job → the body of its request.
        missing: what the store has no outcome for yet, as `plan_jobs` numbers it.
        spent_usd: what all requests of the store have cost, or may have.
    """

    pool: Pool
    builder: PromptBuilder
    setup: Setup
    store: Store
    number: int
    price: Price | None
    body: Callable[[Job], dict[str, object]]
    missing: Callable[[], np.ndarray]
    spent_usd: Callable[[], float] = lambda: 0.0


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a batch may be, and what a request can cost.

    Attributes:
        max_requests: requests in one batch.
        max_bytes: of one file.
        max_output_tokens: the most that a reply can have.
    """

    max_requests: int
    max_bytes: int
    max_output_tokens: int


def write_files(plan: BatchPlan, shape: Shape, path: Path) -> list[Path]:
    """Write the missing requests for somebody else to run, to NAME-1.jsonl, NAME-2.jsonl and on."""
    written: list[Path] = []
    lines = _lines(plan, Budget(None), plan.missing())
    line = next(lines, None)
    while line is not None:
        place = path.with_name(f"{path.name}-{len(written) + 1}.jsonl")
        line, _, _ = _write_one(place, line, lines, shape)
        written.append(place)
    return written


def _lines(plan: BatchPlan, budget: Budget, codes: np.ndarray) -> Iterator[tuple[bytes, float]]:
    """Yield requests and the most that each can cost, until the budget ends."""
    tag, settings = setup_tag(plan.setup), plan.setup.settings
    factor, schema = plan.store.factor(plan.setup.model), plan.builder.rubric.json_schema()
    for jobs in iter_jobs(codes, plan.pool, plan.builder):
        for job in jobs:
            most_usd = 0.0
            if plan.price is not None:
                tokens = request_tokens(job.prompt.messages, settings, schema)
                most_usd = factor * (plan.price.cost_usd(*tokens) or 0.0)
            if not budget.reserve(most_usd):
                budget.exhausted = True
                return
            name = request_id(tag, job.repeat, job.example)
            yield request_line(name, plan.body(job)), most_usd


def write_batches(
    plan: BatchPlan, folder: BatchFolder, shape: Shape, budget: Budget, codes: np.ndarray
) -> Iterator[Batch]:
    """Write the requests of one batch after the other, each known before it can be sent."""
    lines = _lines(plan, budget, codes)
    line = next(lines, None)
    while line is not None:
        batch = Batch(folder.new_token(), setup_tag(plan.setup), 0, at=time.time())
        line, n, most_usd = _write_one(folder.requests(batch), line, lines, shape)
        yield folder.update(batch, n=n, most_usd=most_usd)


def _write_one(
    path: Path, line: tuple[bytes, float] | None, lines: Iterator[tuple[bytes, float]], shape: Shape
) -> tuple[tuple[bytes, float] | None, int, float]:
    """Write as many lines as a file may hold; return the next line, the count and the cost."""
    n = size = 0
    most_usd = 0.0
    with writing(path) as temporary, temporary.open("wb") as file:
        while line is not None and n < shape.max_requests:
            if size + len(line[0]) > shape.max_bytes:
                if n:
                    break
                raise InputError(
                    f"A request for {shown_path(path)} has {len(line[0]):,} bytes, more than a "
                    f"batch may hold ({shape.max_bytes:,}). Shorten the prompts with max_tokens."
                )
            file.write(line[0])
            n, size, most_usd = n + 1, size + len(line[0]), most_usd + line[1]
            line = next(lines, None)
    return line, n, most_usd
