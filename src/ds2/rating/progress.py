"""How far the rating is: counted as replies come in, shown a few times a second."""

import math
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ds2.rating.money import Price
from ds2.rating.rater import Answer

__all__ = ["RateProgress", "Tally"]

#: The rate is that of the last so many seconds.
WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class RateProgress:
    """How far one rater is.

    Attributes:
        rater: who.
        total: requests that the whole pool takes, those of earlier runs included.
        earlier: how many of those the store had an outcome for at the start.
        rated: replies of this run that hold a rating.
        failed: why there is none, and how often, in this run.
        n_input: tokens of the prompts of this run, as far as the endpoint said.
        n_output: tokens of the replies.
        cost_usd: cost of this run so far; None while a price or a count is unknown.
        rate_per_s: examples finished per second, of late.
        left_s: seconds left at that rate; infinite while it is 0.
        in_flight: requests that wait for a reply now.
    """

    rater: str
    total: int
    earlier: int
    rated: int
    failed: Mapping[str, int]
    n_input: int
    n_output: int
    cost_usd: float | None
    rate_per_s: float
    left_s: float
    in_flight: int

    @property
    def done(self) -> int:
        """Requests that have an outcome, those of earlier runs included."""
        return self.earlier + self.rated + sum(self.failed.values())


class Tally:
    """Counts for `RateProgress`."""

    def __init__(
        self, rater: str, *, total: int, earlier: int, price: Price | None, now: Callable[[], float]
    ) -> None:
        self._rater, self._total, self._earlier = rater, total, earlier
        self._price, self._now = price, now
        self._rated = 0
        self._failed: Counter[str] = Counter()
        self._n_input = self._n_output = 0
        self._cost_usd: float | None = 0.0 if price is not None else None
        self._marks: deque[tuple[float, int]] = deque([(now(), 0)])
        self.in_flight = 0

    def answered(self, answer: Answer, problem: str | None) -> float | None:
        """Count a reply; return its cost."""
        cost = self.bill(answer)
        if problem is None:
            self._rated += 1
        else:
            self._failed[problem] += 1
        return cost

    def bill(self, answer: Answer) -> float | None:
        """Count what a reply took, and return its cost."""
        self._n_input += answer.n_input or 0
        self._n_output += answer.n_output or 0
        cost = None
        if self._price is not None:
            cost = self._price.cost_usd(answer.n_input, answer.n_output, answer.n_cached)
        if cost is None or self._cost_usd is None:
            self._cost_usd = None
        else:
            self._cost_usd += cost
        return cost

    def failed(self, reason: str) -> None:
        """Count an example that stays without a reply."""
        self._failed[reason] += 1

    def read(self) -> RateProgress:
        """Return the state now."""
        now, done = self._now(), self._rated + self._failed.total()
        while len(self._marks) > 1 and self._marks[1][0] < now - WINDOW_S:
            self._marks.popleft()
        since, before = self._marks[0]
        rate = (done - before) / (now - since) if now > since else 0.0
        self._marks.append((now, done))
        left = self._total - self._earlier - done
        left_s = 0.0 if left <= 0 else left / rate if rate > 0 else math.inf
        return RateProgress(
            rater=self._rater,
            total=self._total,
            earlier=self._earlier,
            rated=self._rated,
            failed=dict(self._failed),
            n_input=self._n_input,
            n_output=self._n_output,
            cost_usd=self._cost_usd,
            rate_per_s=rate,
            left_s=left_s,
            in_flight=self.in_flight,
        )
