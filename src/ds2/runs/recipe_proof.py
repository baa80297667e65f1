"""The sections of a recipe that say how models are trained, evaluated and compared."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from ds2.runs.recipe_base import Fraction, Section, Text, as_tuple
from ds2.runs.recipe_selecting import Texts

__all__ = ["EvaluateSection", "ProofSection", "TrainSection"]


class TrainSection(Section):
    """How a model is fine-tuned on a selection. The defaults are the paper's."""

    model: Text | None = Field(
        default=None,
        description="the base model: a name on the hub or a folder; ds2 train needs it",
    )
    template: Text = Field(
        default="auto",
        description="how turns become text: auto (a chat model's own, else tulu), tulu "
        "(<|user|>, <|assistant|> as plain text), or a .jinja file",
    )
    lora_rank: int = Field(default=64, ge=1, description="rank of the LoRA matrices")
    lora_alpha: int = Field(default=16, ge=1, description="their scale is alpha / rank")
    lora_dropout: Fraction = Field(default=0.1, description="dropout before them")
    lora_layers: Annotated[str, Field(pattern=r"^(all|last:[1-9]\d*)$")] = Field(
        default="all", description='"last:8" trains the top eight layers alone (for a CPU)'
    )
    learning_rate: float = Field(default=1e-4, gt=0.0, description="at its highest")
    schedule: Literal["linear", "cosine", "constant"] = Field(
        default="linear", description="how it falls after the warmup"
    )
    warmup: Fraction = Field(default=0.03, description="share of the updates in which it rises")
    epochs: int = Field(default=5, ge=1, description="passes over the selection")
    max_steps: int = Field(
        default=0, ge=0, description="updates in all, in place of epochs; 0: off"
    )
    batch: int = Field(default=128, ge=1, description="rows an update, whatever the number of GPUs")
    batch_tokens: int = Field(
        default=0, ge=0, description="answer tokens an update, in place of rows; 0: off"
    )
    device_tokens: int = Field(
        default=8192, ge=1, description="tokens, with padding, that a device takes at once"
    )
    max_length: int = Field(default=2048, ge=8, description="tokens of a conversation at most")
    too_long: Literal["drop", "cut"] = Field(
        default="drop", description="what happens to a longer one; counted either way"
    )
    loss_on: Literal["assistant", "last-answer"] = Field(
        default="assistant", description="whose tokens are learned: every answer's, or the last's"
    )
    dtype: Literal["auto", "bf16", "fp32"] = Field(
        default="auto", description="bf16 where a GPU has it, else fp32"
    )
    processes: Annotated[int | Literal["auto"], Field(union_mode="left_to_right")] = Field(
        default="auto", description="one for each GPU that is visible"
    )
    checkpoint_minutes: float = Field(
        default=15.0, gt=0.0, description="a killed training goes on from the last checkpoint"
    )


class EvaluateSection(Section):
    """What models are measured on."""

    tasks: Texts = Field(
        default=("mmlu", "truthfulqa_mc2", "gsm8k_cot", "bbh_cot_fewshot", "tydiqa_goldp"),
        description="tasks of lm-eval, pairs:FILE or texts:FILE (held-out answers, by log-loss)",
    )
    include: Texts = Field(default=(), description="folders with tasks of your own, as YAML")
    shots: Mapping[Text, Annotated[int, Field(ge=0)]] = Field(
        default={},
        description="examples shown before an item, by task: { gsm8k_cot = 4 }; default the "
        "paper's number, or the task's own",
    )
    limit: int | None = Field(
        default=None,
        ge=1,
        description="so many items of each task, drawn by hash, for all models; of a group, of "
        "each of its parts",
    )
    template: Literal["none", "chat"] = Field(
        default="none", description="whether lm-eval wraps prompts in the chat template"
    )
    engine: Literal["hf", "vllm", "api"] = Field(
        default="hf", description="what runs the models: transformers, vLLM, or an endpoint"
    )
    base_url: Text | None = Field(default=None, description="api: the endpoint of the model")
    batch: Text = Field(default="auto", description="items at once: auto, or a number")


class ProofSection(Section):
    """Which arms are trained, on what, and what is asked of them; fixed before the first run."""

    arms: Texts = Field(
        default=("selection", "random", "random-same-length", "length", "top-score"),
        description="selection (the run's), random (a new draw for each seed), random-same-length, "
        "length, top-score (the first rater's raw score), mean (of the raters), no-curation, "
        "no-diversity, full (the pool, at equal steps), full-epochs (the pool, train.epochs "
        "times), or NAME=FILE (a file of your own)",
    )
    seeds: int = Field(default=3, ge=1, description="trainings of each arm")
    equal: Literal["tokens", "rows"] = Field(
        default="tokens",
        description="what arms have in common: answer tokens and updates, or rows",
    )
    tokens: int = Field(
        default=0, ge=0, description="answer tokens an arm; 0: as many as the selection has"
    )
    compare: Annotated[
        tuple[Annotated[tuple[Text, Text], BeforeValidator(as_tuple)], ...],
        BeforeValidator(as_tuple),
    ] = Field(
        default=(("selection", "random"), ("selection", "random-same-length")),
        description="the pairs that are judged, by the mean over tasks, after Holm",
    )
    smallest: float = Field(
        default=0.01, gt=0.0, description="the smallest difference of means that would matter"
    )
    planted_share: float = Field(
        default=0.5,
        gt=0.0,
        le=1.0,
        description="ds2 proof --planted: the share of the answers that are swapped",
    )
    budget_hours: float = Field(
        default=0.0, ge=0.0, description="hours at most: the plan is cut by seeds; 0: no limit"
    )
