"""From an answer or a failure to the row that the store keeps."""

import json
import time
from collections.abc import Callable

from ds2.rating.jobs import Job
from ds2.rating.progress import Tally
from ds2.rating.rater import Answer, Failure
from ds2.rating.reply import read_answer
from ds2.rating.rows import FAILED, REPLIED, UNANSWERED, Row
from ds2.rating.rubric import Rubric

__all__ = ["Outcomes"]


class Outcomes:
    """Makes the rows of one rater and counts them.

    A request that the endpoint calls wrong stays unanswered for good only when the endpoint takes
    others: until the next reply its row is held back. So a wrong setting, which fails every
    request, leaves nothing that a later run would not ask again.

    Args:
        rubric: what is asked.
        form: the reply form.
        keep: is given every row, and the number of the reservation that it settles.
        tally: counts.
    """

    def __init__(
        self, rubric: Rubric, form: str, *, keep: Callable[[Row, int | None], None], tally: Tally
    ) -> None:
        self._rubric, self._form, self._keep, self._tally = rubric, form, keep, tally
        self._doubtful: list[tuple[Job, str]] = []
        self._any_reply = False

    def answered(self, job: Job, answer: Answer, number: int | None = None) -> float | None:
        """Keep a reply; return its cost, None where unknown.

        Args:
            job: what was asked.
            answer: what came.
            number: of the reservation that the row settles; None where it stays.
        """
        text = _storable(answer.text)
        reading = read_answer(
            text,
            answer.finish_reason,
            answer.top_logprobs,
            rubric=self._rubric,
            form=self._form,
        )
        cost_usd = self._tally.answered(answer, reading.problem)
        logprobs = None if answer.top_logprobs is None else json.dumps(dict(answer.top_logprobs))
        self._keep(
            Row(
                example=job.example,
                repeat=job.repeat,
                state=REPLIED,
                problem=reading.problem,
                reply=text,
                finish_reason=answer.finish_reason,
                n_input=answer.n_input,
                n_output=answer.n_output,
                n_cached=answer.n_cached,
                latency_s=answer.latency_s,
                cost_usd=cost_usd,
                logprobs=logprobs,
                model=answer.model,
                tries=job.tries,
                at=time.time(),
            ),
            number,
        )
        self._any_reply = True
        self._settle(FAILED)
        return cost_usd

    def failed(self, job: Job, failure: Failure) -> None:
        """Keep a failure that is not tried again in this run."""
        self._tally.failed(failure.reason)
        if failure.retryable or failure.fatal:
            self._keep_failure(job, failure.reason, UNANSWERED)
        else:
            self._doubtful.append((job, failure.reason))

    def finish(self, *, endpoint_works: bool) -> None:
        """Keep what is still held back."""
        self._settle(FAILED if endpoint_works and self._any_reply else UNANSWERED)

    def _settle(self, state: int) -> None:
        for job, reason in self._doubtful:
            self._keep_failure(job, reason, state)
        self._doubtful.clear()

    def _keep_failure(self, job: Job, reason: str, state: int) -> None:
        row = Row(job.example, job.repeat, state, reason, tries=job.tries, at=time.time())
        self._keep(row, None)


def _storable(text: str) -> str:
    """Return ``text`` with lone halves of surrogate pairs, which no file can hold, as '?'."""
    return text.encode("utf-8", "replace").decode("utf-8")
