"""What is known of the batches that were sent, kept beside the store, so that days may pass."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ds2.atomic import explain_write_errors, sweep, writing
from ds2.errors import InputError
from ds2.pool.wording import shown_path

__all__ = ["Batch", "BatchFolder"]

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch.

    Attributes:
        token: random text that the batch carries as metadata, so that it can be found again.
        tag: of the setup, see `setup_tag`.
        n: requests in it.
        most_usd: what it can cost at most, 0 where no limit is set.
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
