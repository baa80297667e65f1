"""Where a training is, on disk: weights and moments as safetensors, the rest as JSON.

Nothing is pickled. Order, learning rate and dropout follow from the number of the update, so this
is all that a killed training needs to end with the same bytes.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ds2.atomic import explain_write_errors, writing

__all__ = ["Progress", "drop_checkpoints", "newest_checkpoint", "save_checkpoint"]

_NAME = re.compile(r"checkpoint-(\d+)")
_ADAM = ("exp_avg", "exp_avg_sq", "step")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training is: updates, tokens without padding, learned tokens, seconds."""

    update: int = 0
    tokens: int = 0
    answer_tokens: int = 0
    seconds: float = 0.0

    def after(self, tokens: int, answer_tokens: int, seconds: float) -> "Progress":
        """One update further."""
        return Progress(
            self.update + 1,
            self.tokens + tokens,
            self.answer_tokens + answer_tokens,
            self.seconds + seconds,
        )


def save_checkpoint(
    folder: Path, at: Progress, trained: Sequence[tuple[str, Any]], optimizer: Any
) -> None:
    """Write ``checkpoint-N``, whole or not at all, and remove the one before it.

    Args:
        folder: of the training.
        at: how far it is.
        trained: name and parameter of everything that is trained.
        optimizer: AdamW over them.
    """
    from safetensors.torch import save_file

    values = {}
    for name, parameter in trained:
        values[f"weight:{name}"] = parameter.detach()
        for kind in _ADAM:
            values[f"{kind}:{name}"] = optimizer.state[parameter][kind].detach()
    temporary = folder / ".checkpoint.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    with explain_write_errors(temporary):
        temporary.mkdir()
        with writing(temporary / "state.safetensors") as state:
            save_file({k: v.contiguous().cpu() for k, v in values.items()}, state)
            held = {"sha256": _sha256(state), **asdict(at)}
        with writing(temporary / "state.json") as state:
            state.write_text(json.dumps(held), encoding="ascii")
        whole = folder / f"checkpoint-{at.update}"
        shutil.rmtree(whole, ignore_errors=True)  # one that is damaged, or nobody would be here
        temporary.rename(whole)
    drop_checkpoints(folder, but=at.update)


def newest_checkpoint(
    folder: Path, trained: Sequence[tuple[str, Any]], optimizer: Any, device: Any
) -> Progress:
    """Load the newest checkpoint that is whole, and return how far the training was."""
    from safetensors.torch import load_file

    for path in sorted(_found(folder), key=_number, reverse=True):
        try:
            held = json.loads((path / "state.json").read_bytes())
            if held.pop("sha256") != _sha256(path / "state.safetensors"):
                continue
        except (OSError, ValueError, KeyError):
            continue
        values = load_file(path / "state.safetensors")
        for name, parameter in trained:
            parameter.data.copy_(values[f"weight:{name}"])
            optimizer.state[parameter] = {
                kind: values[f"{kind}:{name}"].to("cpu" if kind == "step" else device)
                for kind in _ADAM
            }
        return Progress(**held)
    return Progress()


def drop_checkpoints(folder: Path, *, but: int | None = None) -> None:
    """Remove checkpoints, except the one of an update."""
    for path in _found(folder):
        if _number(path) != but:
            shutil.rmtree(path, ignore_errors=True)


def _found(folder: Path) -> list[Path]:
    return [path for path in folder.glob("checkpoint-*") if _NAME.fullmatch(path.name)]


def _number(path: Path) -> int:
    return int(path.name.partition("-")[2])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
