"""The training loop: one process's part of it. The only file that imports torch and accelerate.

The loss of an update is the mean over all its learned tokens, whatever the number of
micro-batches and devices:

    loss = Σ_micro-batches Σ_learned −log P(token | what precedes it) / learned tokens of the update

A causal model does not look to the right, so rows that are padded there need no mask. The head is
asked for the learned positions alone.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from ds2.atomic import writing
from ds2.errors import Ds2Error, InputError, MissingDependencyError
from ds2.proof.checkpoints import newest_checkpoint, save_checkpoint
from ds2.proof.memory import Memory, Shape, estimate_memory, free, held_at_most, held_now
from ds2.proof.models import (
    check_marks,
    empty_model,
    load_model,
    shape_of,
    with_lora,
)
from ds2.proof.train_data import Rows
from ds2.proof.train_plan import Training, learning_rate, micro_batches, plan_updates

__all__ = ["Forecast", "Loop", "n_devices", "shape_without_weights"]

#: Gradients are cut to this length, as everywhere in fine-tuning.
_LONGEST_GRADIENT = 1.0
#: Share of the free memory that activations may take before they are made again instead.
_ROOM = 0.8


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a training will take, from one real step at the longest batch.

    Attributes:
        updates: of the whole training.
        tokens: of it, without padding.
        answer_tokens: of it, learned.
        memory: the estimate, bytes by part.
        peak: bytes that the step took at most.
        available: bytes there are for it; 0 where that is unknown.
        tokens_per_s: of the step, with padding.
        seconds: that the training will take.
    """

    updates: int
    tokens: int
    answer_tokens: int
    memory: Memory
    peak: int
    available: int
    tokens_per_s: float
    seconds: float


def n_devices() -> int:
    """How many GPUs are visible."""
    return int(_torch().cuda.device_count())


def shape_without_weights(model: str, training: Training) -> Shape:
    """Return the shape of a model of which only config.json need be there.

    Raises:
        MissingDependencyError: torch, transformers or peft is not installed.
        InputError: it cannot be loaded.
    """
    with _torch().device("meta"):
        return shape_of(empty_model(model, training))


def _torch() -> Any:
    try:
        import accelerate  # noqa: F401
        import torch
    except ImportError as error:
        raise MissingDependencyError(error.name or "torch", "Training", "train") from None
    return torch


class Loop:
    """A model with its optimizer, the plan, and where the training is.

    Args:
        rows: the conversations.
        training: the settings.
        pad: the id that rows are padded with.
        special: the special tokens that rows hold.
    """

    def __init__(self, rows: Rows, training: Training, pad: int, special: dict[str, int]) -> None:
        torch = _torch()
        from accelerate import PartialState

        self.rows, self.training, self.pad = rows, training, pad
        self.place = PartialState(
            cpu=not (torch.cuda.is_available() or torch.backends.mps.is_available())
        )
        self.device = self.place.device
        bf16 = training.dtype == "bf16" or (
            training.dtype == "auto"
            and self.device.type == "cuda"
            and torch.cuda.is_bf16_supported()
        )
        self.dtype = torch.bfloat16 if bf16 else torch.float32
        self.base, self.available = _memory_now(self.device), _available(self.device)
        torch.manual_seed(training.seed)
        model = load_model(training.model, "bfloat16" if bf16 else "float32")
        if int(rows.ids.max()) >= (n := model.get_input_embeddings().weight.shape[0]):
            raise InputError(
                f"The tokenizer of '{training.model}' has tokens that were added to it and that "
                f"its model has no embedding for (it has {n:,}); LoRA trains none. Set "
                "'train.template' to tulu, or 'train.model' to a model that has them."
            )
        check_marks(model, special)
        self.model = with_lora(model, training).to(self.device).train()
        self.trained = [(n, p) for n, p in self.model.named_parameters() if p.requires_grad]
        if self.device.type != "cuda":  # what was imported to load the model is no part of it
            held = sum(p.nbytes for p in self.model.parameters())
            self.base = max(self.base, _memory_now(self.device) - held)
        self.updates = plan_updates(rows.n_learned, training)
        self.batches = [
            micro_batches(update, rows.lengths, training.device_tokens) for update in self.updates
        ]
        self.memory = self._estimate(recompute=False)
        if self.device.type == "cuda" and self.memory.total - self.base > _ROOM * self.available:
            self.memory = self._estimate(recompute=True)
            model.gradient_checkpointing_enable({"use_reentrant": False})
        self.optimizer = self._optimizer()

    def _optimizer(self) -> Any:
        return _torch().optim.AdamW([p for _, p in self.trained], weight_decay=0.0)

    def _largest(self) -> np.ndarray:
        """The batch with the most tokens, with padding and what the head makes of it."""
        lengths, learned = self.rows.lengths, self.rows.n_learned
        every = (batch for batches in self.batches for batch in batches)
        return max(every, key=lambda b: (len(b) * int(lengths[b].max()), int(learned[b].sum())))

    def _estimate(self, *, recompute: bool) -> Memory:
        batch = self._largest()
        return estimate_memory(
            shape_of(self.model),
            tokens=len(batch) * int(self.rows.lengths[batch].max()),
            learned=int(self.rows.n_learned[batch].sum()),
            width=self.dtype.itemsize,
            base=self.base,
            dropout=self.training.lora_dropout > 0,
            gpu=self.device.type == "cuda",
            recompute=recompute,
        )

    def forecast(self) -> Forecast:
        """Take one real step at the longest batch, with a learning rate of 0, and measure it.

        Raises:
            InputError: it does not fit into memory.
        """
        torch = _torch()
        needed = self.memory.total - self.memory.base
        if self.available and needed > self.available:
            raise self._too_big(f"about {needed / 2**30:.1f} GiB")
        batch = self._largest()
        try:
            self._step([batch[-1:]], 0.0, 0)  # the first step of a process is slower
            start = time.perf_counter()
            self._step([batch], 0.0, 0)
        except torch.OutOfMemoryError:
            raise self._too_big("more") from None
        took = time.perf_counter() - start
        self.optimizer = self._optimizer()
        padded = [
            len(batch) * int(self.rows.lengths[batch].max())
            for batches in self.batches for batch in batches
        ]  # fmt: skip
        speed = len(batch) * int(self.rows.lengths[batch].max()) / took
        every = np.concatenate(self.updates)
        return Forecast(
            updates=len(self.updates),
            tokens=int(self.rows.lengths[every].sum()),
            answer_tokens=int(self.rows.n_learned[every].sum()),
            memory=self.memory,
            peak=_peak(self.device),
            available=self.available,
            tokens_per_s=speed,
            seconds=sum(padded) / speed / self.place.num_processes,
        )

    def _too_big(self, needed: str) -> InputError:
        return InputError(
            f"This training needs {needed} of memory and {self.available / 2**30:.1f} GiB are "
            "free. Lower 'train.device_tokens' (now "
            f"{self.training.device_tokens:,}), 'train.max_length' or 'train.lora_rank', or train "
            'fewer layers (train.lora_layers = "last:8"); none but device_tokens leaves the '
            "outcome as it is."
        )

    def _diverged(self, update: int, loss: float) -> Ds2Error:
        return Ds2Error(
            f"The training stopped at update {update:,} of {len(self.updates):,}: its loss or its "
            f"gradient is no finite number any more (loss {loss}). Lower 'train.learning_rate' "
            f"(now {self.training.learning_rate:g}), raise 'train.warmup', or take 32 bits "
            '(train.dtype = "fp32"). The training then starts anew.'
        )

    def run(self, folder: Path, told: Callable[[dict[str, float], int], None]) -> dict[str, Any]:
        """Train from the last checkpoint in the folder, or from the start, to the end.

        Args:
            folder: holds the checkpoints and log.jsonl.
            told: is given each line of the log, and the number of updates.

        Returns:
            Figures of the training, as JSON values.

        Raises:
            InputError: memory does not suffice.
            Ds2Error: the loss is no number any more.
        """
        at = newest_checkpoint(folder, self.trained, self.optimizer, self.device)
        forecast = self.forecast() if at.update == 0 else None
        main = bool(self.place.is_main_process)
        saved = time.monotonic()
        lengths, learned = self.rows.lengths, self.rows.n_learned
        with _open_log(folder / "log.jsonl", at.update) if main else nullcontext() as log:
            while at.update < len(self.updates):
                start = time.perf_counter()
                rows = self.updates[at.update]
                rate = learning_rate(at.update, len(self.updates), self.training)
                mine = self.batches[at.update][self.place.process_index :: self.place.num_processes]
                loss = self._step(mine, rate, at.update, int(learned[rows].sum()))
                if not isfinite(loss):
                    raise self._diverged(at.update + 1, loss)
                seconds = time.perf_counter() - start
                at = at.after(int(lengths[rows].sum()), int(learned[rows].sum()), seconds)
                line = {
                    "step": at.update,
                    "loss": loss,
                    "learning_rate": rate,
                    "answer_tokens": int(learned[rows].sum()),
                    "tokens": int(lengths[rows].sum()),
                    "seconds": seconds,
                }
                if log is not None:
                    log.write(json.dumps(line) + "\n")
                    log.flush()
                    told(line, len(self.updates))
                    if time.monotonic() - saved >= 60 * self.training.checkpoint_minutes:
                        os.fsync(log.fileno())  # a checkpoint has its lines
                        save_checkpoint(folder, at, self.trained, self.optimizer)
                        saved = time.monotonic()
        return {
            **asdict(at),
            "peak_bytes": _peak(self.device),
            "estimated_bytes": self.memory.total,
            "device": str(self.device),
            "dtype": str(self.dtype).removeprefix("torch."),
            "processes": self.place.num_processes,
            "forecast_s": None if forecast is None else forecast.seconds,
        }

    def _step(
        self, batches: list[np.ndarray], rate: float, update: int, n_learned: int | None = None
    ) -> float:
        """One update from this process's micro-batches; the loss over all processes' tokens."""
        torch = _torch()
        # the dropout's numbers follow from the update, so no state of a generator is kept
        torch.manual_seed(
            int(np.random.SeedSequence(
                [self.training.seed, update, self.place.process_index]
            ).generate_state(1)[0])
        )  # fmt: skip
        total = torch.zeros((), device=self.device)
        count = n_learned or int(self.rows.n_learned[np.concatenate(batches)].sum())
        for batch in batches:
            loss = self._loss(batch) / count
            loss.backward()
            total += loss.detach()
        parameters = [p for _, p in self.trained]
        if self.place.num_processes > 1:
            for p in parameters:
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
                torch.distributed.all_reduce(p.grad)
            torch.distributed.all_reduce(total)
        length = torch.nn.utils.clip_grad_norm_(parameters, _LONGEST_GRADIENT)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(total) if isfinite(length) else float("nan")

    def _loss(self, batch: np.ndarray) -> Any:
        """Sum over a micro-batch's learned tokens, in nats."""
        torch = _torch()
        padded, mask = self.rows.padded(batch, self.pad)
        ids = torch.from_numpy(padded).to(self.device)
        learned = torch.from_numpy(mask).to(self.device)
        before = learned.roll(-1, dims=1)  # no row's first token is learned
        mixed = self.dtype == torch.bfloat16
        with (
            torch.autocast(self.device.type, torch.bfloat16, enabled=mixed),
            _head_of(self.model, before),
        ):
            logits = self.model(input_ids=ids, use_cache=False).logits
        return torch.nn.functional.cross_entropy(logits.float(), ids[learned], reduction="sum")


@contextmanager
def _head_of(model: Any, where: Any) -> Iterator[None]:
    """The head is given the hidden states of these positions alone: (positions, hidden)."""
    head = model.get_base_model().get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda _, given: (given[0][where],))
    try:
        yield
    finally:
        hook.remove()


def _open_log(path: Path, updates: int) -> Any:
    """Open the log for further lines, after those of so many updates."""
    held = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    with writing(path) as temporary:
        temporary.write_bytes(b"".join(held[:updates]))
    return path.open("a", encoding="ascii")


def _memory_now(device: Any) -> int:
    """Bytes that the process holds, or 0 on a GPU, which holds nothing yet."""
    return 0 if device.type == "cuda" else held_now()


def _peak(device: Any) -> int:
    """Bytes that were held at most."""
    if device.type == "cuda":
        return int(_torch().cuda.max_memory_allocated(device))
    return held_at_most()


def _available(device: Any) -> int:
    """Bytes that are free for weights and training; 0 where that is unknown."""
    if device.type == "cuda":
        return int(_torch().cuda.mem_get_info(device)[0])
    return free()
