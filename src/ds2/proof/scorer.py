"""A causal language model that says how likely an answer is after a prompt."""

import gc
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from ds2.errors import InputError, MissingDependencyError

__all__ = ["Scorer", "fastest_device", "free_memory", "load_scorer"]

#: The tokens before an answer, and its own.
Text = tuple[Sequence[int], Sequence[int]]


@dataclass(frozen=True, slots=True, eq=False)
class Scorer:
    """A causal model with its tokenizer.

    Attributes:
        model: of transformers, or of peft where it has an adapter.
        tokenizer: the model's own.
        start: the token that a text without a prompt follows.
    """

    model: Any
    tokenizer: Any
    start: list[int]

    def losses(self, texts: Sequence[Text], *, batch_tokens: int = 4096) -> np.ndarray:
        """Sum of the negative log-likelihood of each answer's tokens after what precedes it.

            loss = −Σ_t log P(a_t | before, a_<t)

        Args:
            texts: (before, answer) ids of tokens; ``before`` holds one at least.
            batch_tokens: tokens, with padding, in one forward pass.

        Returns:
            (n,) in nats. In other batches a value may differ by the rounding of float sums.
        """
        losses = np.full(len(texts), np.nan)
        for rows in _batches([len(before) + len(answer) for before, answer in texts], batch_tokens):
            losses[rows] = self._forward([texts[row] for row in rows])
        return losses

    def _forward(self, texts: Sequence[Text]) -> list[float]:
        import torch

        width = max(len(before) + len(answer) for before, answer in texts)
        ids = torch.full((len(texts), width), self.start[0])
        mask = torch.zeros((len(texts), width), dtype=torch.long)
        for i, (before, answer) in enumerate(texts):
            ids[i, : len(before) + len(answer)] = torch.tensor([*before, *answer])
            mask[i, : len(before) + len(answer)] = 1
        device = self.model.device
        losses = []
        with torch.inference_mode():
            logits = self.model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
            for i, (before, answer) in enumerate(texts):
                said = logits[i, len(before) - 1 : len(before) + len(answer) - 1].float()
                wanted = ids[i, len(before) : len(before) + len(answer)].to(device)
                loss = torch.nn.functional.cross_entropy(said, wanted, reduction="sum")
                losses.append(float(loss))
        return losses


def load_scorer(
    name: str,
    *,
    adapter: str | PathLike[str] | None = None,
    device: str | None = None,
    revision: str | None = None,
    purpose: str = "measuring log-loss",
    extra: str = "likelihood",
) -> Scorer:
    """Load a causal model, with a LoRA adapter or without.

    Args:
        name: a name on the hub, or a folder, that transformers can load.
        adapter: the folder of an adapter that peft can load.
        device: "cpu", "cuda", "mps"; None takes the fastest one there is. On a CPU numbers have
            32 bits, elsewhere as many as the model's file.
        revision: a commit of the model on the hub.
        purpose: what needs it, where a package is missing.
        extra: the extra of ds2 that has the package.

    Raises:
        MissingDependencyError: torch, transformers or (with an adapter) peft is not installed.
        InputError: the model cannot be loaded, or has no token to start from.
    """
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar

        if adapter is not None:
            from peft import PeftModel
    except ImportError as error:
        package = error.name if error.name in ("torch", "peft") else "transformers"
        raise MissingDependencyError(package, purpose, extra) from None
    device = device or fastest_device(extra)
    disable_progress_bar()
    what = f"The language model '{name}'"
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision)
        dtype = torch.float32 if device == "cpu" else "auto"
        model: Any = AutoModelForCausalLM.from_pretrained(name, revision=revision, dtype=dtype)
        if adapter is not None:
            what = f"The adapter '{adapter}'"
            with warnings.catch_warnings():  # PEFT asks by a name that transformers gives up
                warnings.simplefilter("ignore", FutureWarning)
                model = PeftModel.from_pretrained(model, str(adapter))
    except (OSError, ValueError, RuntimeError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f"{what} could not be loaded: {lines[0]} "
            "Give a folder, or a name that this machine can download."
        ) from error
    start = tokenizer.bos_token_id
    start = tokenizer.eos_token_id if start is None else start
    if start is None:
        raise InputError(
            f"The tokenizer of '{name}' has no token for the start or the end of a text. Give "
            "a model whose tokenizer has one."
        )
    return Scorer(model.to(device).eval(), tokenizer, [int(start)])


def fastest_device(extra: str) -> str:
    """Return "cuda", "mps" or "cpu": the fastest that is there.

    Raises:
        MissingDependencyError: torch, of that extra of ds2, is not installed.
    """
    try:
        import torch
    except ImportError:
        raise MissingDependencyError("torch", "running a language model", extra) from None
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def free_memory() -> None:
    """Give back the memory of models that nothing holds any longer."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Rows of like length together, so that little is padded; the longest first."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda row: (-lengths[row], row)):
        if batch and lengths[batch[0]] * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
