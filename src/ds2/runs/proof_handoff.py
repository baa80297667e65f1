"""A proof for those who train on a cluster: data and scripts out, results in.

DIR/plan.json          what was fixed, and of each training: rows an update, updates, seed
DIR/data/NAME/         token ids and labels, which TRL, Axolotl and LLaMA-Factory read as they are
DIR/train.py           TRL; axolotl/NAME.yaml and llamafactory/NAME.yaml do the same elsewhere
DIR/evaluate.sh        lm-eval, into results/NAME; tasks/ has tasks of your own; sbatch.sh runs both
DIR/SHA256SUMS         of all that was written
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from ds2.atomic import explain_write_errors, sweep
from ds2.errors import InputError
from ds2.proof.tasks import PAPER_SHOTS, split_tasks
from ds2.proof.train_data import Prepared, prepare
from ds2.proof.train_plan import Training
from ds2.runs.evaluate_step import BASE
from ds2.runs.folder import hash_file, write_json, write_text
from ds2.runs.job import Job
from ds2.runs.proof_plan import make_plan

__all__ = ["read_plan", "write_proof"]

SUMS = "SHA256SUMS"
#: A cluster's own: its partition, account and time change nothing of what comes out.
_FREE = "sbatch.sh"
#: Arms whose answer tokens differ by more are said to.
_SPREAD = 0.02
#: Folders that the scripts make.
_MADE = ("results/", "partial/", "adapters/")
_STATIC = ("train.py", "evaluate.sh", _FREE)


def write_proof(job: Job, out: Path) -> tuple[int, tuple[str, ...]]:
    """Write everything that a cluster needs, the plan first and the hashes last.

    What was killed in between is written again by the same call.

    Returns:
        How many models are to be evaluated, and what is to be known of it.

    Raises:
        InputError: the plan is wrong, or the folder holds another proof.
    """
    from datasets import Dataset, DatasetDict

    plan = make_plan(job)
    with explain_write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    sweep(out)
    if not (out / "plan.json").exists():
        if any(out.iterdir()):
            raise InputError(f"'{out}' holds other files. Give a new folder.")
        write_json(out / "plan.json", plan.document)
    elif _read(out).get("sha256") != plan.document["sha256"]:
        raise InputError(f"'{out}' holds another proof. Give a new folder.")
    (out / SUMS).unlink(missing_ok=True)
    names, own = split_tasks(job.recipe.evaluate.tasks)
    runs = {}
    for done, arm in enumerate(plan.arms):
        job.listener.progress(done, len(plan.arms), arm.name)
        training = plan.training_for(arm)
        prepared = prepare(arm.turns, training)
        data = Dataset.from_list([
            {
                "input_ids": row.ids.tolist(),
                "attention_mask": [1] * len(row),
                "labels": np.where(row.learned, row.ids, -100).tolist(),
            }
            for row in prepared.encoded
        ])  # fmt: skip
        with explain_write_errors(out):
            DatasetDict({"train": data}).save_to_disk(str(out / "data" / arm.name))
        runs[arm.name] = _run(prepared, training)
    document = {
        **plan.document,
        "model": plan.training.model,  # found from anywhere, where it is a folder
        "runs": runs,
        "lm_eval": names,
        "shots": {**PAPER_SHOTS, **job.recipe.evaluate.shots},
    }
    write_json(out / "plan.json", document)
    _text(out / "names.txt", "".join(f"{name}\n" for name in (BASE, *runs)))
    for name in _STATIC:
        _text(
            out / name, (files("ds2.proof") / "handoff" / f"{name}.txt").read_text(encoding="utf-8")
        )
    for path in job.recipe.evaluate.include:
        source = job.path(path)
        shutil.copytree(source, out / "tasks" / source.name, dirs_exist_ok=True)
    whole = plan.training.lora_layers == "all"
    for name, run in runs.items() if whole else ():
        for tool, values in _configurations(document, name, run):  # JSON values are YAML
            lines = (f"{key}: {json.dumps(value)}\n" for key, value in values.items())
            _text(out / tool / f"{name}.yaml", "".join(lines))
    _text(out / SUMS, "".join(f"{digest}  {name}\n" for name, digest in _sums(out)))
    notes = [
        "An update of TRL, Axolotl and LLaMA-Factory is so many rows: each arm has as many as give "
        "it the same answer tokens on average."
    ]
    sizes = [run["batch"] * run["answer_tokens"] / run["rows"] for run in runs.values()]
    spread = max(sizes) / min(sizes) - 1
    if plan.training.batch_tokens and spread > _SPREAD:
        notes.append(
            f"Answer tokens of an update differ by {spread:.0%} between trainings, since an update "
            "has whole rows: a larger 'train.batch' brings them together."
        )
    if not whole:
        notes.append(
            "LLaMA-Factory cannot train some layers alone (train.lora_layers): there is a script "
            "for TRL and no other."
        )
    if names and job.recipe.evaluate.limit:
        notes.append(
            f"evaluate.sh takes the first {job.recipe.evaluate.limit:,} items of each task "
            "(evaluate.limit), ds2 evaluate draws as many by hash: compare results of one of them."
        )
    if own:
        notes.append(
            f"{', '.join(own)}: held-out answers are evaluated where the run is. Bring adapters/ "
            "back: ds2 evaluate RUN --model NAME=adapters/NAME."
        )
    return len(runs) + 1, tuple(notes)


def read_plan(folder: Path) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """Read what came back: the plan, training → folder of its results, and what is missing.

    Raises:
        InputError: what was written has been changed, or no result is there.
    """
    document = _read(folder)
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except OSError:
        raise InputError(
            f"'{folder / SUMS}' is missing. Bring the folder back whole, or, where --write was "
            "stopped, give that command again."
        ) from None
    now = dict(_sums(folder))
    for line in lines:
        digest, _, name = line.partition("  ")
        if name == _FREE or (name not in now and name.startswith("data/")):
            continue  # the data may stay where it was trained on
        if now.get(name) != digest:
            raise InputError(
                f"'{folder / name}' is not what was written there: its hash differs from that in "
                f"{SUMS}. Results of another plan cannot be compared by this one."
            )
    there, missing = {}, []
    for name in document["runs"]:
        place = folder / "results" / name
        if any(place.rglob("samples_*.jsonl")):
            there[name] = str(place)
        else:
            missing.append(name)
    if not there:
        raise InputError(
            f"No results are in '{folder / 'results'}'. Train (python train.py NAME) and evaluate "
            "(bash evaluate.sh NAME) first."
        )
    return document, there, missing


def _read(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / "plan.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        raise InputError(
            f"'{folder / 'plan.json'}' cannot be read: no proof was written there."
        ) from None


def _run(prepared: Prepared, training: Training) -> dict[str, Any]:
    """Rows an update, updates, padding and seed of one training."""
    learned = np.array([row.n_learned for row in prepared.encoded])
    tokens = training.batch_tokens
    batch = max(1, round(tokens / learned.mean())) if tokens else training.batch
    updates = training.max_steps or max(1, round(training.epochs * len(learned) / batch))
    return {
        "rows": len(learned),
        "answer_tokens": int(learned.sum()),
        "batch": batch,
        "updates": updates,
        "pad_id": prepared.pad,
        "seed": training.seed,
    }


def _configurations(
    plan: Mapping[str, Any], name: str, run: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """One training for Axolotl and for LLaMA-Factory, by the folder of its file."""
    setting = {key.removeprefix("train."): value for key, value in plan["settings"].items()}
    at_once = next(n for n in (4, 3, 2, 1) if run["batch"] % n == 0)  # on a device
    schedule = setting["schedule"]
    if schedule == "constant":  # which has no warmup in transformers
        schedule = "constant_with_warmup"
    shared = {
        "output_dir": f"adapters/{name}",
        "lora_alpha": setting["lora_alpha"],
        "lora_dropout": setting["lora_dropout"],
        "gradient_accumulation_steps": run["batch"] // at_once,
        "max_steps": run["updates"],
        "learning_rate": setting["learning_rate"],
        "warmup_ratio": setting["warmup"],
        "seed": run["seed"],
    }
    axolotl = {
        "base_model": plan["model"],
        "datasets": [{"path": f"data/{name}", "split": "train", "type": None}],
        "adapter": "lora",
        "lora_r": setting["lora_rank"],
        "lora_target_linear": True,
        "sequence_len": setting["max_length"],
        "sample_packing": False,
        "micro_batch_size": at_once,
        "optimizer": "adamw_torch",
        "weight_decay": 0.0,
        "lr_scheduler": schedule,
        "bf16": "auto",
        "gradient_checkpointing": True,
    }
    yield "axolotl", axolotl | shared
    llama_factory = {
        "model_name_or_path": plan["model"],
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "template": "empty",  # applied already: the data are token ids
        "tokenized_path": f"data/{name}",
        "lora_rank": setting["lora_rank"],
        "lora_target": "all",
        "cutoff_len": setting["max_length"],
        "per_device_train_batch_size": at_once,
        "lr_scheduler_type": schedule,
        "bf16": True,
        "report_to": "none",
    }
    yield "llamafactory", llama_factory | shared


def _sums(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != SUMS and not name.startswith(_MADE):
            yield name, hash_file(path).sha256


def _text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
