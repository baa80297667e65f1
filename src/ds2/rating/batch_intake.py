"""Results of batches, from files into the store."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ds2.rating.batch_files import read_request_id, read_results, setup_tag
from ds2.rating.batch_plan import BatchPlan
from ds2.rating.jobs import Job
from ds2.rating.outcomes import Outcomes
from ds2.rating.progress import Tally
from ds2.rating.prompt import Prompt
from ds2.rating.rater import Answer
from ds2.rating.rows import Row

__all__ = ["Intake", "ingest"]

#: Rows of one commit.
_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Intake:
    """What came of files of results.

    Attributes:
        n_replies: replies that came into the store.
        n_failed: requests of this setup that have no reply.
        n_foreign: results of other setups, which were left alone.
        cost_usd: of the replies; None where unknown.
        said: what the last failure said; None where there was none.
    """

    n_replies: int
    n_failed: int
    n_foreign: int
    cost_usd: float | None
    said: str | None


def ingest(plan: BatchPlan, paths: Iterable[Path], *, endpoint: str) -> Intake:
    """Read files of results into the store.

    Raises:
        InputError: a file cannot be read, or a line is no result; what stands before is kept.
    """
    tag, rows = setup_tag(plan.setup), list[Row]()
    tally = Tally(plan.setup.rater, total=0, earlier=0, price=plan.price, now=time.monotonic)
    rubric, form = plan.builder.rubric, plan.setup.form
    outcomes = Outcomes(rubric, form, keep=rows.append, tally=tally)
    n_replies = n_failed = n_foreign = 0
    said = None
    for path in paths:
        for name, outcome in read_results(path, model=plan.setup.model, endpoint=endpoint):
            key = read_request_id(name)
            if key is None or key[0] != tag:
                n_foreign += 1
                continue
            job = Job(key[2], key[1], Prompt(()), tries=1)
            if isinstance(outcome, Answer):
                outcomes.answered(job, outcome)
                n_replies += 1
            else:
                outcomes.failed(job, outcome)
                n_failed, said = n_failed + 1, outcome.sentence
            if len(rows) >= _ROWS:
                _commit(plan, rows)
    outcomes.finish(endpoint_works=True)
    _commit(plan, rows)
    return Intake(n_replies, n_failed, n_foreign, tally.read().cost_usd, said)


def _commit(plan: BatchPlan, rows: list[Row]) -> None:
    plan.store.add([(plan.number, row) for row in rows])
    rows.clear()
