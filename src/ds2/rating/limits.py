"""How many requests may be in flight, how fast they may follow each other, and when to stop.

Nothing here waits or reads a clock: times come in as arguments, so that tests need no sleep.
"""

import math

from ds2.rating.rater import Answer, Failure

__all__ = ["LONGEST_WAIT_S", "Breaker", "Gate", "Pace"]

#: Requests in flight at the start; from there they double until something says stop.
START = 32
#: Growth pauses while replies take this many times as long as they did at best.
SLOWER = 3.0
#: The gate closes down when this share of the latest replies were 429, 5xx or timeouts.
TOO_MANY = 0.1
#: The latest replies: as many as are in flight, and at least this many.
LATEST = 64
#: Weight of the newest value in the moving averages of latency and tokens.
_NEWEST = 0.05


class Gate:
    """Additive increase, multiplicative decrease of the requests in flight.

    It begins with doubling; after the first halving, or once replies are slow, a 64th of ``most``
    (at least one) is added per round of replies. It halves, at most once a round, while a tenth or
    more of the latest requests are refused (429, 5xx, timeouts), and waits as long as the endpoint
    asks. A single error among many replies costs nothing but its own repetition.

    Attributes:
        limit: how many requests may be in flight now; a real number from 1 to ``most``.
        in_flight: how many are.
        closed_until_s: no request may start before.
    """

    def __init__(self, most: int) -> None:
        self._most = float(most)
        self._step = max(1.0, most / 64.0)
        self.limit = float(min(most, START))
        self.in_flight = 0
        self.closed_until_s = -math.inf
        self._doubling = True
        self._refused = 0.0
        self._halved_s = -math.inf
        self._latency_s = math.nan
        self._best_s = math.inf
        self._n_replies = 0

    def opens_in_s(self, now_s: float) -> float:
        """Return the seconds until a request may start; infinite until one in flight has ended."""
        if self.in_flight >= int(self.limit):
            return math.inf
        return max(0.0, self.closed_until_s - now_s)

    def replied(self, latency_s: float) -> None:
        """A request was answered, ``latency_s`` after it was sent."""
        self._refused -= self._refused / max(self.limit, LATEST)
        if self._too_slow(latency_s):
            self._doubling = False
        elif self.in_flight + 1 >= int(self.limit):  # no growth that nobody uses
            self.limit += 1.0 if self._doubling else self._step / self.limit
            self.limit = min(self.limit, self._most)

    def refused(self, now_s: float, started_s: float, retry_after_s: float | None) -> None:
        """A request that started at ``started_s`` got 429, 5xx or no answer in time."""
        self._refused += (1.0 - self._refused) / max(self.limit, LATEST)
        if self._refused < TOO_MANY:
            return
        if retry_after_s is not None:
            self.closed_until_s = max(self.closed_until_s, now_s + retry_after_s)
        if started_s >= self._halved_s:  # what was in flight before the halving says nothing new
            self.limit = max(1.0, self.limit / 2.0)
            self._halved_s = now_s
            self._doubling = False

    def _too_slow(self, latency_s: float) -> bool:
        self._n_replies += 1
        weight = max(_NEWEST, 1.0 / self._n_replies)
        before_s = 0.0 if self._n_replies == 1 else self._latency_s
        self._latency_s = before_s + weight * (latency_s - before_s)
        if self._n_replies * _NEWEST >= 1.0:
            self._best_s = min(self._best_s, self._latency_s)
        return self._latency_s > SLOWER * self._best_s


class Pace:
    """Keeps requests and tokens per minute below their limits, evenly, without a burst.

    Every request moves the time of the next one by its share of a minute. Its tokens are known
    only afterwards: it is charged with a guess, and `settle` corrects that.
    """

    def __init__(
        self, requests_per_minute: float | None, tokens_per_minute: float | None, guess: float
    ) -> None:
        self._request_s = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._token_s = 60.0 / tokens_per_minute if tokens_per_minute else 0.0
        self._next_request_s = self._next_token_s = -math.inf
        self._guess = guess

    def opens_in_s(self, now_s: float) -> float:
        """Return the seconds until the next request may start."""
        return max(0.0, self._next_request_s - now_s, self._next_token_s - now_s)

    def start(self, now_s: float) -> float:
        """Charge a request that starts now; return the guess of its tokens, for `settle`."""
        self._next_request_s = max(self._next_request_s, now_s) + self._request_s
        self._next_token_s = max(self._next_token_s, now_s) + self._guess * self._token_s
        return self._guess

    def settle(self, guess: float, tokens: float | None) -> None:
        """Put the tokens that a request took in place of its guess."""
        if tokens is not None:
            self._next_token_s += (tokens - guess) * self._token_s
            self._guess += _NEWEST * (tokens - self._guess)


#: So many examples that fail one after the other, with no reply between, stop a rater.
IN_A_ROW = 25
#: So many are enough where each failure says that it holds for all: one alone may be a firewall's.
FOR_ALL = 3
#: A reply without a text that took more tokens than this was thought about.
_A_FEW = 64
#: An endpoint that asks to wait longer than this is asked again in a later run.
LONGEST_WAIT_S = 900.0


class Breaker:
    """Opens when no further request of a rater can be expected to succeed.

    That is, with no reply between: `FOR_ALL` failures that say that they hold for all requests (no
    access, no such model, quota) or ask to wait more than `LONGEST_WAIT_S`; `IN_A_ROW` examples
    that failed for good; or as many first examples that came back empty.

    Attributes:
        sentence: why it is open; None while it is closed.
    """

    def __init__(self, rater: str) -> None:
        self._rater = rater
        self._in_a_row = self._for_all = self._blank = 0
        self._any_text = False
        self._last_blank: Answer | None = None
        self.sentence: str | None = None

    def replied(self) -> None:
        """A request was answered with a text."""
        self._in_a_row = self._for_all = 0
        self._any_text = True

    def blank(self, answer: Answer) -> None:
        """An example was answered with nothing, for the first time."""
        self._blank, self._last_blank = self._blank + 1, answer
        if self._blank >= IN_A_ROW and not self._any_text:
            self.sentence = f"The first {self._blank:,} replies are all empty. {self._nothing}"

    def ended(self) -> None:
        """Everything was asked."""
        if self._blank and not self._any_text and not self._in_a_row and self.sentence is None:
            self.sentence = f"All {self._blank:,} replies are empty. {self._nothing}"

    def failed(self, failure: Failure, *, for_good: bool) -> None:
        """A request failed; ``for_good`` when it is not sent again in this run."""
        if self.sentence is not None:
            return
        wait_s = failure.retry_after_s or 0.0
        self._in_a_row += for_good
        self._for_all += failure.fatal or wait_s > LONGEST_WAIT_S
        if self._for_all >= FOR_ALL and wait_s > LONGEST_WAIT_S:
            self.sentence = (
                f"{failure.sentence} It asks to wait {wait_s / 3600:.1f} hours, so '{self._rater}' "
                "was stopped. Run the same again after that: what was rated is kept."
            )
        elif self._for_all >= FOR_ALL:
            self.sentence = f"{failure.sentence} {self._stopped}"
        elif self._in_a_row >= IN_A_ROW:
            self.sentence = (
                f"The last {IN_A_ROW} examples in a row failed. {failure.sentence} {self._stopped}"
            )

    @property
    def _nothing(self) -> str:
        """Why replies are empty, as far as the last one says, and what to do."""
        answer = self._last_blank
        if answer is not None and answer.reasoned:
            why = (
                "The text is in the field of the reasoning (reasoning_content), where no rating is "
                "read: switch the model's thinking off (extra), or the server's reasoning parser."
            )
        elif answer is not None and (
            answer.finish_reason == "length" or (answer.n_output or 0) > _A_FEW
        ):
            why = (
                f"Each took {answer.n_output or 0:,} tokens: most likely the model's thinking used "
                "them up. Raise max_output_tokens, or switch its thinking off (extra)."
            )
        else:
            why = (
                "The endpoint sends no text (content is null or empty): check the model's name, "
                "its chat template, and whether it can answer at all."
            )
        return f"{why} {self._stopped}"

    @property
    def _stopped(self) -> str:
        return (
            f"'{self._rater}' was stopped. When that is put right, run the same again: what was "
            "rated is kept."
        )
