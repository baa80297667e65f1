"""Fine-tune a model on conversations: LoRA, loss on the answers alone, resumable at any update.

The folder of a training holds ``config.json`` (settings and hashes, written first), ``log.jsonl``
(a line an update), ``checkpoint-N/`` while it goes on, ``adapter/`` and ``done.json`` (written
last).
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from ds2.atomic import explain_write_errors, writing
from ds2.errors import Ds2Error, InputError
from ds2.proof.checkpoints import drop_checkpoints
from ds2.proof.models import fingerprint
from ds2.proof.templates import Turns
from ds2.proof.train_data import Prepared, Rows, prepare
from ds2.proof.train_loop import Forecast, Loop, n_devices
from ds2.proof.train_plan import Training, plan_updates

__all__ = ["HOW", "Trained", "forecast_training", "launch_command", "loss_curve", "train"]

#: Settings that change no more of what comes out than which numbers the dropout draws, and those
#: that say where something lies that is hashed itself.
HOW = ("processes", "checkpoint_minutes", "device_tokens", "model", "template")
Told = Callable[[dict[str, float], int], None]


def _silent(*_: object) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training.

    Attributes:
        folder: where it lies; ``adapter/`` in it is what PEFT loads.
        digest: hash of the settings and the data.
        figures: what done.json holds: updates, tokens, seconds, peak memory.
        fresh: whether it was done before, and nothing was trained now.
    """

    folder: Path
    digest: str
    figures: Mapping[str, Any]
    fresh: bool


def train(
    conversations: Sequence[Turns],
    training: Training,
    folder: Path,
    *,
    told: Told = _silent,
    say: Callable[[str], None] = _silent,
) -> Trained:
    """Train a model on conversations, or go on where a training in the folder was killed.

    On a CPU a training that was killed ends with the same bytes as one that was not.

    Args:
        conversations: (role, content) turns of each.
        training: the settings.
        folder: of this training alone; what other settings or data left in it goes.
        told: is given each line of the log and the number of updates.
        say: is told what is worth knowing.

    Raises:
        MissingDependencyError: torch, transformers, peft or accelerate is not installed.
        InputError: the model or the template does not fit, or memory does not suffice.
    """
    prepared = prepare(conversations, training)
    rows = Rows.of(prepared.encoded)
    base = fingerprint(training.model)
    digest = _digest(rows, prepared, training, base)
    done = _read(folder / "done.json")
    if done.get("digest") == digest:
        return Trained(folder, digest, done, fresh=True)
    with explain_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if _read(folder / "config.json").get("digest") != digest:
        if (folder / "log.jsonl").exists():
            say("the training that is there had other settings or data: it starts anew")
        drop_checkpoints(folder)
        shutil.rmtree(folder / "adapter", ignore_errors=True)
        for name in ("done.json", "log.jsonl"):
            (folder / name).unlink(missing_ok=True)
    _write(
        folder / "config.json",
        {
            "digest": digest,
            "training": asdict(training),
            "template": prepared.template.name,
            "pad": prepared.pad,
            "special": dict(prepared.special),
            "rows": len(rows),
            "updates": len(plan_updates(rows.n_learned, training)),
        },
    )
    processes = training.processes if training.processes != "auto" else max(1, n_devices())
    rows.save(folder / "rows.npz")
    if processes > 1:
        _launch(processes, folder, told)
    else:
        _fit(folder, told)
    tokenizer: Any = prepared.tokenizer
    tokenizer.chat_template = prepared.template.source
    tokenizer.save_pretrained(folder / "adapter")
    _, losses = loss_curve(folder)
    tenth = max(1, len(losses) // 10)
    figures = {
        "digest": digest,
        "base": base,
        **_read(folder / "figures.json"),
        "first_loss": sum(losses[:tenth]) / tenth,
        "loss": sum(losses[-tenth:]) / tenth,
        "rows": len(rows),
        "left_out": dict(prepared.left_out),
        "cut": prepared.n_cut,
    }
    _write(folder / "done.json", figures)
    drop_checkpoints(folder)
    for name in ("rows.npz", "figures.json"):
        (folder / name).unlink()
    return Trained(folder, digest, figures, fresh=False)


def forecast_training(prepared: Prepared, training: Training) -> Forecast:
    """Say what a training will take, from one real step at its longest batch.

    Raises:
        MissingDependencyError: torch, transformers, peft or accelerate is not installed.
        InputError: the model does not fit the template, or memory does not suffice.
    """
    rows = Rows.of(prepared.encoded)
    return Loop(rows, training, prepared.pad, dict(prepared.special)).forecast()


def loss_curve(folder: Path) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Return the updates and the loss of each, in nats a learned token, from log.jsonl.

    A last line that is still being written is left out.
    """
    whole, _, _ = (folder / "log.jsonl").read_bytes().rpartition(b"\n")
    lines = [json.loads(line) for line in whole.splitlines()]
    return tuple(line["step"] for line in lines), tuple(line["loss"] for line in lines)


def launch_command(processes: int, folder: Path, *, gpus: bool) -> list[str]:
    """Return the command that trains in several processes, one for each GPU."""
    how = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", str(processes),
           "--num_machines", "1", "--main_process_port", "0", "--mixed_precision", "no",
           "--dynamo_backend", "no", "--module"]  # fmt: skip
    if not gpus:  # accelerate starts several on a CPU through MPI alone
        how = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes), "-m"]
    return [sys.executable, "-m", *how, "ds2.proof.train", str(folder)]


def _launch(processes: int, folder: Path, told: Told) -> None:
    """Train in several processes, and pass on what the log says."""
    with (folder / "launch.log").open("wb") as log:
        environment = {"OMP_NUM_THREADS": "1"} | dict(os.environ)
        started = subprocess.Popen(  # noqa: S603
            launch_command(processes, folder, gpus=n_devices() > 0),
            stdout=log,
            stderr=log,
            env=environment,
        )
        seen = len(_lines(folder / "log.jsonl"))
        updates = int(_read(folder / "config.json")["updates"])
        try:
            while started.poll() is None:
                time.sleep(0.5)
                lines = _lines(folder / "log.jsonl")
                for line in lines[seen:]:
                    told(json.loads(line), updates)
                seen = len(lines)
        finally:
            if started.poll() is None:
                started.terminate()
                started.wait()
    if started.returncode:
        said = (folder / "launch.log").read_text(encoding="utf-8", errors="replace").splitlines()
        why = next((line for line in said if line.startswith("error: ")), "").removeprefix(
            "error: "
        )
        raise Ds2Error(
            why
            or f"The training stopped with exit code {started.returncode}: see "
            f"'{folder / 'launch.log'}'. Give the same command again: it goes on from the last "
            "checkpoint."
        )


def _fit(folder: Path, told: Told) -> None:
    """Train what the folder says, in this process; the first one writes what came of it."""
    config = _read(folder / "config.json")
    training = Training(**config["training"])
    loop = Loop(Rows.load(folder / "rows.npz"), training, config["pad"], config["special"])
    figures = loop.run(folder, told)
    if loop.place.is_main_process:
        temporary = folder / ".adapter.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        with explain_write_errors(temporary):
            loop.model.save_pretrained(temporary)
            shutil.rmtree(folder / "adapter", ignore_errors=True)
            temporary.rename(folder / "adapter")
        _write(folder / "figures.json", figures)


def _digest(rows: Rows, prepared: Prepared, training: Training, base: str) -> str:
    """Hash of everything that decides what comes out, wherever the files of it lie."""
    settings = {key: value for key, value in asdict(training).items() if key not in HOW}
    held = [rows.digest(), prepared.template.source, base, settings]
    return sha256(json.dumps(held).encode()).hexdigest()


def _lines(path: Path) -> list[bytes]:
    try:
        return [
            line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")
        ]
    except FileNotFoundError:
        return []


def _read(path: Path) -> dict[str, Any]:
    try:
        held = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError:
        raise InputError(f"'{path}' is damaged. Delete its folder and train again.") from None
    return dict(held)


def _write(path: Path, value: object) -> None:
    with writing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="ascii")


def _main() -> None:
    try:
        _fit(Path(sys.argv[1]), _silent)
    except Ds2Error as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    _main()
