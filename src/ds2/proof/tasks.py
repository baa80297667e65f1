"""What models can be evaluated on: lm-eval's tasks, and held-out answers of your own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ds2.errors import InputError

__all__ = [
    "PAPER",
    "PAPER_SHOTS",
    "Evaluated",
    "EvaluationSettings",
    "HeldOut",
    "PaperTask",
    "split_tasks",
]

#: What a task of your own begins with.
OWN = ("pairs", "texts")


@dataclass(frozen=True, slots=True)
class PaperTask:
    """One of the paper's five benchmarks as lm-eval has it.

    Attributes:
        shots: examples before an item in the paper; None where the task brings its own.
        items: items of the whole task.
        differs: what is not as in the paper, which used open-instruct's own scripts.
    """

    benchmark: str
    shots: int | None
    items: int
    differs: str


PAPER: Mapping[str, PaperTask] = {
    "mmlu": PaperTask("MMLU", 0, 14_042, "the same items, without examples, as in the paper"),
    "truthfulqa_mc2": PaperTask(
        "TruthfulQA",
        None,
        817,
        "another metric: the weight on true answers of a list, where the paper has two fine-tuned "
        "judges read a generated one",
    ),
    "gsm8k_cot": PaperTask(
        "GSM8K", None, 1_319, "8 worked examples, as in the paper, on all items instead of 200"
    ),
    "bbh_cot_fewshot": PaperTask(
        "BBH",
        None,
        6_511,
        "3 worked examples, as in the paper, on all items instead of 40 of each task; an answer "
        "ends at lm-eval's stop strings, which cut chatty models short",
    ),
    "tydiqa_goldp": PaperTask(
        "TyDi QA",
        1,
        5_077,
        "1 example and the gold passage, as in the paper, on all items instead of 100 a language; "
        "exact match unless F1, the paper's, is asked for (--metric f1)",
    ),
}
#: Examples before an item, where the paper's number is not the task's own.
PAPER_SHOTS = {name: task.shots for name, task in PAPER.items() if task.shots is not None}


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A trusted answer that no model was trained on.

    Attributes:
        turns: (role, content) of what comes before the answer.
        answer: the trusted answer.
        rejected: an answer known to be worse, for `pairs:`.
    """

    turns: tuple[tuple[str, str], ...]
    answer: str
    rejected: str | None = None


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A model to evaluate.

    Attributes:
        name: of its folder.
        model: a name on the hub, or a folder.
        adapter: the folder of its LoRA adapter.
        fingerprint: changes when the model does.
    """

    name: str
    model: str
    adapter: Path | None = None
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """How models are evaluated; the same for all of them.

    Attributes:
        include: folders with lm-eval tasks of your own.
        shots: task → examples before an item; else the task's own number.
        limit: items of each task, of a group of each of its parts; drawn by hash. None: all.
        chat: whether lm-eval wraps prompts in the model's chat template.
        template: how turns of held-out answers become text, as in training.
        max_length: tokens of a held-out conversation at most; longer ones are left out.
        engine: what runs the models: hf, vllm or api.
        base_url: the endpoint, for api.
        batch: items at once, for lm-eval: auto or a number.
        device: "cpu", "cuda"; None takes the fastest there is.
    """

    include: tuple[Path, ...] = ()
    shots: Mapping[str, int] | None = None
    limit: int | None = None
    chat: bool = False
    template: str = "auto"
    max_length: int = 2048
    engine: str = "hf"
    base_url: str | None = None
    batch: str = "auto"
    device: str | None = None


def split_tasks(tasks: Sequence[str]) -> tuple[list[str], dict[str, tuple[str, str]]]:
    """Return lm-eval's tasks, and of your own: name (the file's) → kind and file.

    Raises:
        InputError: no task, a kind without a file, or two of one name.
    """
    names: list[str] = []
    own: dict[str, tuple[str, str]] = {}
    for task in tasks:
        kind, colon, file = task.partition(":")
        if not colon:
            names.append(task)
            continue
        if kind not in OWN or not file:
            raise InputError(
                f"'{task}' is no task. Give one of lm-eval's by name, pairs:FILE or texts:FILE."
            )
        name = Path(file).stem
        if name in own:
            raise InputError(
                f"Two tasks are named '{name}', after their files. Rename one of the files."
            )
        own[name] = (kind, file)
    twice = sorted({name for name in names if names.count(name) > 1} | (set(names) & set(own)))
    if twice:
        raise InputError(f"The task '{twice[0]}' is there twice. Name each task once.")
    if not tasks:
        raise InputError("There is no task. Name some in 'evaluate.tasks'.")
    return names, own
