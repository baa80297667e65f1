"""One plain sentence in place of 300,000 failures."""

from ds2.rating.rater import Failure

__all__ = ["LONGEST_WAIT_S", "Breaker"]

#: So many examples that fail one after the other, with no reply between, stop a rater.
IN_A_ROW = 25
#: An endpoint that asks to wait longer than this is asked again in a later run.
LONGEST_WAIT_S = 900.0


class Breaker:
    """Opens when no further request of a rater can be expected to succeed.

    That is: a failure that holds for all requests (no access, no such model, quota); a wait of
    more than `LONGEST_WAIT_S`; or `IN_A_ROW` examples in a row that failed for good.

    Attributes:
        sentence: why it is open; None while it is closed.
    """

    def __init__(self, rater: str) -> None:
        self._rater = rater
        self._in_a_row = 0
        self.sentence: str | None = None

    def replied(self) -> None:
        """A request was answered."""
        self._in_a_row = 0

    def failed(self, failure: Failure, *, for_good: bool) -> None:
        """A request failed; ``for_good`` when it is not sent again in this run."""
        if self.sentence is not None:
            return
        if failure.fatal:
            self.sentence = f"{failure.sentence} {self._stopped}"
        elif (failure.retry_after_s or 0.0) > LONGEST_WAIT_S:
            hours = (failure.retry_after_s or 0.0) / 3600
            self.sentence = (
                f"{failure.sentence} It asks to wait {hours:.1f} hours, so '{self._rater}' was "
                "stopped. Run the same again after that: what was rated is kept."
            )
        elif for_good:
            self._in_a_row += 1
            if self._in_a_row >= IN_A_ROW:
                self.sentence = (
                    f"The last {IN_A_ROW} examples in a row failed. {failure.sentence} "
                    f"{self._stopped}"
                )

    @property
    def _stopped(self) -> str:
        return (
            f"'{self._rater}' was stopped. When that is put right, run the same again: what was "
            "rated is kept."
        )
