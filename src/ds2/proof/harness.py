"""lm-eval: its tasks, on a model with an adapter or without, each item's result kept."""

import difflib
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ds2.errors import InputError, MissingDependencyError
from ds2.proof.tasks import PAPER, Evaluated, EvaluationSettings

__all__ = ["Harness", "model_arguments"]

_ENGINES = {"hf": "hf", "vllm": "vllm", "api": "local-completions"}
#: Items at once where lm-eval's search for the largest number would take longer than the task.
_CPU_BATCH = "8"


def model_arguments(
    model: Evaluated, settings: EvaluationSettings, device: str
) -> tuple[str, dict[str, Any]]:
    """The name of lm-eval's model, and what it is made with."""
    arguments: dict[str, Any]
    if settings.engine == "api":
        if settings.base_url is None:
            raise InputError(
                "engine = \"api\" needs 'evaluate.base_url', the address of the endpoint, such as "
                "http://127.0.0.1:8000/v1/completions."
            )
        served = model.model if model.adapter is None else model.name
        arguments = {"model": served, "tokenizer": model.model, "base_url": settings.base_url}
        return _ENGINES["api"], {**arguments, "num_concurrent": 8}
    arguments = {"pretrained": model.model}
    if settings.engine == "vllm":
        if model.adapter is not None:
            arguments |= {"lora_local_path": str(model.adapter), "max_lora_rank": _rank(model)}
        return _ENGINES["vllm"], arguments
    arguments |= {"dtype": "float32" if device == "cpu" else "auto"}
    if model.adapter is not None:
        arguments["peft"] = str(model.adapter)
    return _ENGINES["hf"], arguments


def _rank(model: Evaluated) -> int:
    """The rank of an adapter, which vLLM must know: it takes 16 unasked."""
    path = Path(model.adapter or "") / "adapter_config.json"
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["r"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{path} cannot be read, or names no rank 'r'. Give the folder of a LoRA adapter that "
            "peft wrote."
        ) from None


@dataclass(slots=True)
class Harness:
    """lm-eval with its tasks, loaded once for all models.

    Attributes:
        settings: how models are evaluated.
        manager: lm-eval's index of tasks.
        device: where models run.
    """

    settings: EvaluationSettings
    manager: Any
    device: str
    _tasks: dict[str, tuple[list[Any], dict[str, list[int]] | None]] = field(default_factory=dict)

    @classmethod
    def load(cls, settings: EvaluationSettings, device: str) -> "Harness":
        """Import lm-eval and read its index of tasks: some 20 seconds.

        Raises:
            MissingDependencyError: lm-eval is not installed.
        """
        try:
            from lm_eval.tasks import TaskManager
        except ImportError as error:
            raise MissingDependencyError(
                error.name if error.name and error.name != "lm_eval" else "lm-eval",
                "evaluating on tasks of lm-eval",
                "evaluate",
            ) from None
        logging.getLogger("lm_eval").setLevel(logging.ERROR)
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # one sentence says it all
        missing = [str(path) for path in settings.include if not path.is_dir()]
        if missing:
            raise InputError(f"{missing[0]} is no folder. 'evaluate.include' names folders.")
        return cls(settings, TaskManager(include_path=list(settings.include) or None), device)

    def load_tasks(self, names: Sequence[str]) -> None:
        """Load the data of tasks, before any model is.

        Raises:
            InputError: lm-eval has no task of that name, or its data cannot be had.
        """
        for name in names:
            if name not in self.manager.all_tasks:
                near = difflib.get_close_matches(name, self.manager.all_tasks, n=1)
                hint = f"Did you mean '{near[0]}'? " if near else ""
                raise InputError(
                    f"lm-eval has no task '{name}'. {hint}'lm-eval ls tasks' lists them; "
                    "'evaluate.include' names folders with your own."
                )
        for name in names:
            self._load(name)

    def model(self, model: Evaluated) -> Any:
        """Load a model as lm-eval wants it."""
        from lm_eval.api.registry import get_model

        engine, arguments = model_arguments(model, self.settings, self.device)
        batch = self.settings.batch
        if batch == "auto" and engine != "vllm" and self.device == "cpu":
            batch = _CPU_BATCH
        more = {"batch_size": batch, "device": self.device if engine == "hf" else None}
        try:
            return get_model(engine).create_from_arg_obj(arguments, more)
        except (ImportError, OSError, ValueError, RuntimeError) as error:
            raise InputError(
                f"lm-eval could not load the model '{model.name}' ({model.model}) with the engine "
                f"{self.settings.engine}: {_first(error)} Give a folder or a name that this "
                "machine can download, and an engine that is installed."
            ) from error

    def evaluate(self, lm: Any, model: Evaluated, task: str, folder: Path) -> list[Path]:
        """Evaluate a loaded model on one task or group, and write what lm-eval writes.

        Args:
            lm: what `model` returned.
            model: what it is.
            task: one that `load_tasks` has loaded.
            folder: gets ``samples_*.jsonl`` and ``results_*.json``; it must be empty.

        Raises:
            InputError: lm-eval refuses the task, or cannot write.
        """
        from lm_eval.evaluator import simple_evaluate
        from lm_eval.loggers import EvaluationTracker

        specs, samples = self._tasks[task]
        tracker = EvaluationTracker(output_path=str(folder / "results.json"))
        try:
            found = simple_evaluate(
                lm,
                model_args=model_arguments(model, self.settings, self.device)[1],
                tasks=specs,
                num_fewshot=(self.settings.shots or {}).get(task),
                samples=samples,
                bootstrap_iters=0,
                log_samples=True,
                apply_chat_template=self.settings.chat,
                task_manager=self.manager,
                evaluation_tracker=tracker,
            )
        except Exception as error:  # of lm-eval, the model, the task's own code or the endpoint
            said = f"lm-eval could not evaluate '{model.name}' on '{task}': {_first(error)}"
            if "out of memory" in str(error):
                raise InputError(f"{said} Set 'evaluate.batch' to a smaller number.") from error
            raise InputError(
                f"{said} What is finished is kept. Put it right and do the same again, or leave "
                "the task out."
            ) from error
        kept = found.pop("samples")
        found["ds2"] = {"limit": self.settings.limit}
        if task in PAPER:
            found["ds2"]["differs_from_the_paper"] = PAPER[task].differs
        tracker.save_results_aggregated(results=found, samples=kept)
        for name, rows in kept.items():
            tracker.save_results_samples(task_name=name, samples=rows)
        files = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".jsonl"))
        if len(files) != len(kept) + 1:  # lm-eval logs a failure to write and goes on
            raise InputError(
                f"lm-eval could not write its results to {folder}. Look at the disk and the "
                "folder's permissions, then do the same again."
            )
        return files

    def _load(self, task: str) -> None:
        """Load a task, or the parts of a tag, and draw items of each; once for all models."""
        if task in self._tasks:
            return
        try:
            loaded = self.manager.load([task])
            drawn = self._drawn(loaded["tasks"])
        except Exception as error:  # every library below has errors of its own
            raise _explained(task, error) from error
        whole = loaded["groups"].get(task)
        specs = [whole] if whole is not None else list(loaded["tasks"].values())
        self._tasks[task] = specs, drawn

    def _drawn(self, parts: Mapping[str, Any]) -> dict[str, list[int]] | None:
        """The items of each part whose hash is smallest, in order; of small parts all."""
        limit = self.settings.limit
        if limit is None:
            return None
        drawn = {}
        for name, part in parts.items():
            hashes = [_hash(doc) for doc in part.eval_docs]
            if len(hashes) > limit:
                order = sorted(range(len(hashes)), key=hashes.__getitem__)
                drawn[name] = sorted(order[:limit])  # lm-eval wants them in order
        return drawn


def _hash(doc: object) -> str:
    return hashlib.sha256(json.dumps(doc, sort_keys=True, default=str).encode()).hexdigest()


def _explained(task: str, error: Exception) -> InputError:
    """Say in one sentence why a task's data could not be loaded, and what to do."""
    said = f"{type(error).__name__} {error}".lower()
    if "gated" in said or "401" in said or "403" in said:
        remedy = "Ask for access on the data set's page, then set HF_TOKEN."
    elif any(word in said for word in ("connect", "offline", "resolve", "timed out", "hub")):
        remedy = (
            "Its data come from the hub, once: give this command where there is a network, or copy "
            "that machine's cache (HF_HOME) here."
        )
    else:
        remedy = "Look at the task's YAML and the files that it names."
    return InputError(f"The data of task '{task}' could not be loaded: {_first(error)} {remedy}")


def _first(error: BaseException) -> str:
    """The first line of what an error says, as a sentence."""
    line = (str(error).strip().splitlines() or [""])[0].strip() or type(error).__name__
    return line if line.endswith((".", "!", "?")) else f"{line}."
