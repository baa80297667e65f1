"""The recipe of a run: every setting, its default, its allowed values and what it does.

The file ``recipe.toml``, the options of the command line and docs/recipe.md are made from these
models, so that none of them can drift apart.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from ds2.endpoints import address_of

__all__ = [
    "RECIPE_VERSION",
    "EmbedSection",
    "EvaluateSection",
    "FileIn",
    "PoolSection",
    "Quota",
    "RaterSection",
    "Recipe",
    "ScoresSection",
    "SelectSection",
]

Text = Annotated[str, Field(min_length=1)]


def _address(value: str) -> str:
    """Refuse a secret before it is written anywhere."""
    address_of(value)
    return value


@dataclass(frozen=True, slots=True)
class FileIn:
    """What of a text is a file: all of it, or less."""

    behind: str = ""  #: what stands behind this mark: pairs:FILE, lima=FILE
    if_there: str | None = None  #: all of it, where there is such a file that ends so
    optional: bool = False  #: the file need not be there
    words: tuple[str, ...] = ()  #: never a file, whatever is there


Address = Annotated[Text, AfterValidator(_address)]
File = Annotated[Text, FileIn()]
OptionalFile = Annotated[Text, FileIn(optional=True)]
#: A file or a folder where there is one, and else a name: of a model on the hub.
FileOrName = Annotated[Text, FileIn(if_there="")]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0.0)]


class Section(BaseModel):
    """A table of the recipe: unknown keys are faults, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def key(default: Any, says: str, **bounds: Any) -> Any:
    """Return a key of the recipe: its default (``...``: it is needed), its words, its bounds."""
    return Field(default, description=says, **bounds)


def as_tuple(value: object) -> object:
    """A TOML list as a tuple, which a frozen model keeps; anything else as it is."""
    return tuple(value) if isinstance(value, list) else value


def one_or_more(value: object) -> object:
    """The same, and one text as a tuple of it: ``--set curate.control=length``."""
    return (value,) if isinstance(value, str) else as_tuple(value)


Auto = Literal["auto"]
Texts = Annotated[tuple[Text, ...], BeforeValidator(one_or_more)]
Files = Annotated[Texts, FileIn()]
#: One text, or a list of them.
Several = Annotated[
    Text | Annotated[tuple[Text, ...], Field(min_length=1)], BeforeValidator(as_tuple)
]


class RateSection(Section):
    """How the models of [raters.NAME] rate."""

    rubric: File | None = key(
        None, "a rubric of your own (.toml); without it the criteria of the paper, 1 to 10"
    )
    sample: Count | None = key(
        None,
        "rate so many examples, a random part of the pool, and let a scorer learned "
        "from them score the rest (5000); without it every example is rated",
    )
    also: OptionalFile | None = key(
        None, "with sample: a file of ids that are rated besides it (what ds2 rerate writes)"
    )
    repeats: Natural = key(0, "examples that are rated twice, to measure a rater's own noise")
    max_cost_usd: Positive | None = key(
        None, "stop asking at this cost and go on with what is there"
    )
    prices: File | None = key(None, "a table of prices (.toml) that goes before the one in ds2")
    max_prompt_tokens: int = key(
        4096,
        "an example that would make a longer prompt is shortened in its middle, with a mark",
        ge=512,
    )


class RaterSection(Section):
    """One model that rates."""

    kind: Literal["chat", "local", "batch"] = key(
        "chat",
        "chat asks an OpenAI-compatible endpoint, local a GGUF model on this machine, "
        "batch hands files to a batch API",
    )
    model: Annotated[Text, FileIn(if_there=".gguf")] | None = key(
        None, "the model's name at the endpoint; local: a .gguf file"
    )
    base_url: Address | None = key(None, "the endpoint, when it is not api.openai.com")
    api_key_env: Text | None = key(
        None, "the environment variable that holds the endpoint's key; OpenAI's own: OPENAI_API_KEY"
    )
    api_version: Text | None = key(None, "Azure: its API version")
    form: Literal["auto", "structured", "json", "text", "expected"] = key(
        "auto",
        "what a reply looks like: JSON by a schema, JSON, text, or one token with "
        "log-probabilities; auto takes the best that the endpoint can",
    )
    temperature: float | None = key(
        0.0, "0 is the likeliest reply; none: the endpoint's", ge=0.0, le=2.0
    )
    max_output_tokens: Count = key(
        512, "a longer reply is cut; a model that reasons needs thousands"
    )
    extra: Mapping[str, str | int | float | bool] = key(
        {}, 'further fields of a request: { reasoning_effort = "low" }'
    )
    variant: Text | None = key(
        None,
        "text that tells replies apart which are alike by all of this: a "
        "quantisation, a second rating by the same model",
    )
    only: OptionalFile | None = key(
        None, "a file of ids (what ds2 rerate writes, or one a line): rate these alone"
    )
    concurrency: Count = key(64, "requests in flight at most; fewer when the endpoint is busy")
    requests_per_minute: Count | None = key(None, "a limit, if any")
    tokens_per_minute: Count | None = key(None, "a limit, if any")
    timeout_s: Positive = key(120.0, "seconds that one reply may take")
    threads: Count | None = key(None, "local: threads that compute; one for each processor")


class GoldSection(Section):
    """Trusted scores of a few examples."""

    path: OptionalFile = key(
        "gold.jsonl", "the file that ds2 gold --add writes; without it there is no gold"
    )


Method = Literal[
    "ds2",
    "ds2-no-curation",
    "ds2-no-diversity",
    "top-score",
    "random",
    "random-by-source",
    "length",
    "perplexity",
    "ifd",
    "knn-10",
    "alpagasus",
    "deita",
    "k-center",
    "facility-location",
    "mmr",
    "rds",
    "cluster-balanced",
    "frontier",
]


#: Rows (a whole number), a share of the pool, or all that a budget allows.
Size = Literal["all"] | Count | Annotated[float, Field(gt=0.0, lt=1.0)]
#: Rows (a whole number), or a share of the selection.
Limit = Natural | Fraction | None


class Quota(Section):
    """How much of the selection may or must carry a label."""

    by: Text = key(..., "source, language, or a column of the pool")
    label: Text = key(..., "the label that is counted")
    min: Limit = key(None, "at least: rows (500) or a share (0.1)")
    max: Limit = key(None, "at most: rows (5000) or a share (0.3)")


class SelectSection(Section):
    """Which examples to keep."""

    method: Method = key("ds2", "ds2 takes the highest score first, then the most diverse")
    size: Size = key(
        0.1, 'rows (10000), a fraction of the pool (0.1), or "all" that a budget in tokens allows'
    )
    max_tokens: Count | None = key(None, "a budget: the selection has at most so many tokens")
    tokenizer: Annotated[Text, FileIn(if_there="", words=("characters",))] = key(
        "characters",
        "what counts tokens: characters, a tokenizer.json or its folder, org/name on the hub, or "
        "tiktoken:NAME",
    )
    near_duplicate: float | None = key(
        None,
        "of examples with this cosine similarity or more, keep the best-scored",
        gt=0.0,
        le=1.0,
    )
    min_score: float | None = key(None, "leave out what has a lower curated score, or none")
    must_have: File | None = key(None, "a file of ids, one a line, that are selected in any case")
    must_not: File | None = key(None, "a file of ids, one a line, that are never selected")
    quotas: Annotated[tuple[Quota, ...], BeforeValidator(as_tuple)] = key(
        (), 'limits by label: [{ by = "source", label = "flan", min = 0.1, max = 0.5 }]'
    )
    decontaminate: Files = key(
        (),
        "evaluation sets (any format of a pool): examples that share a long word "
        "sequence with one are left out",
    )
    decontaminate_similarity: float | None = key(
        None,
        "also leave out examples with this cosine similarity to an evaluation example",
        gt=0.0,
        le=1.0,
    )
    values: Text | None = key(None, "perplexity, ifd: the column of the pool that holds it")
    likelihood_model: FileOrName | None = key(
        None,
        "perplexity, ifd: without such a column, the causal model that measures it "
        "(a name on the hub or a folder)",
    )
    targets: File | None = key(None, "rds: a file of examples that the selection should be like")
    diversity: Fraction = key(0.5, "mmr: 0 looks at the score alone, 1 at the distance alone")
    threshold: float | None = key(
        None, "deita: the least cosine distance; alpagasus: the lowest score"
    )
    keep: Fraction = key(
        0.9,
        "frontier: the share of the attainable score above random's that is kept, "
        "however narrow the selection then is",
    )
    stability_rounds: Natural = key(
        50,
        "how often the selection is made anew from resampled evidence, to say how "
        "stable each pick is; 0 is never",
    )


class CompareSection(Section):
    """What ds2 compare puts side by side, at the size of [select]."""

    methods: Texts = key((), "names of methods; without any, all whose inputs are there")
    n_draws: int = key(100, "random selections that each method is held against", ge=20)
    map: Literal["auto", "umap", "pca"] = key(
        "auto", "how the map of the pool is laid out; auto takes UMAP where it is installed"
    )


class TrainSection(Section):
    """How a model is fine-tuned on a selection. The defaults are the paper's."""

    model: FileOrName | None = key(
        None, "the base model: a name on the hub or a folder; ds2 train needs it"
    )
    template: Annotated[Text, FileIn(if_there="", words=("auto", "tulu"))] = key(
        "auto",
        "how turns become text: auto (a chat model's own, else tulu), tulu "
        "(<|user|>, <|assistant|> as plain text), or a .jinja file",
    )
    lora_rank: Count = key(64, "rank of the LoRA matrices")
    lora_alpha: Count = key(16, "their scale is alpha / rank")
    lora_dropout: Fraction = key(0.1, "dropout before them")
    lora_layers: Annotated[str, Field(pattern=r"^(all|last:[1-9]\d*)$")] = key(
        "all", '"last:8" trains the top eight layers alone (for a CPU)'
    )
    learning_rate: Positive = key(1e-4, "at its highest")
    schedule: Literal["linear", "cosine", "constant"] = key(
        "linear", "how it falls after the warmup"
    )
    warmup: Fraction = key(0.03, "share of the updates in which it rises")
    epochs: Count = key(5, "passes over the selection")
    max_steps: Natural = key(0, "updates in all, in place of epochs; 0: off")
    batch: Count = key(128, "rows an update, whatever the number of GPUs")
    batch_tokens: Natural = key(0, "answer tokens an update, in place of rows; 0: off")
    device_tokens: Count = key(8192, "tokens, with padding, that a device takes at once")
    max_length: int = key(2048, "tokens of a conversation at most", ge=8)
    too_long: Literal["drop", "cut"] = key(
        "drop", "what happens to a longer one; counted either way"
    )
    loss_on: Literal["assistant", "last-answer"] = key(
        "assistant", "whose tokens are learned: every answer's, or the last's"
    )
    dtype: Literal["auto", "bf16", "fp32"] = key("auto", "bf16 where a GPU has it, else fp32")
    processes: Auto | Count = key("auto", "one for each GPU that is visible")
    checkpoint_minutes: Positive = key(15.0, "a killed training goes on from the last checkpoint")


class EvaluateSection(Section):
    """What models are measured on."""

    tasks: Annotated[Texts, FileIn(behind=":")] = key(
        ("mmlu", "truthfulqa_mc2", "gsm8k_cot", "bbh_cot_fewshot", "tydiqa_goldp"),
        "tasks of lm-eval, pairs:FILE or texts:FILE (held-out answers, by log-loss)",
    )
    include: Files = key((), "folders with tasks of your own, as YAML")
    shots: Mapping[Text, Natural] = key(
        {},
        "examples shown before an item, by task: { gsm8k_cot = 4 }; default the "
        "paper's number, or the task's own",
    )
    limit: Count | None = key(
        None,
        "so many items of each task, drawn by hash, for all models; of a group, of "
        "each of its parts",
    )
    template: Literal["none", "chat"] = key(
        "none", "whether lm-eval wraps prompts in the chat template"
    )
    engine: Literal["hf", "vllm", "api"] = key(
        "hf", "what runs the models: transformers, vLLM, or an endpoint"
    )
    base_url: Address | None = key(None, "api: the endpoint of the model")
    batch: Text = key("auto", "items at once: auto, or a number")


class ProofSection(Section):
    """Which arms are trained, on what, and what is asked of them; fixed before the first run."""

    arms: Annotated[Texts, FileIn(behind="=")] = key(
        ("selection", "random", "random-same-length", "length", "top-score"),
        "selection (the run's), random (a new draw for each seed), random-same-length, "
        "length, top-score (the first rater's raw score), mean (of the raters), no-curation, "
        "no-diversity, full (the pool, at equal steps), full-epochs (the pool, train.epochs "
        "times), or NAME=FILE (a file of your own)",
    )
    seeds: Count = key(3, "trainings of each arm")
    equal: Literal["tokens", "rows"] = key(
        "tokens", "what arms have in common: answer tokens and updates, or rows"
    )
    tokens: Natural = key(0, "answer tokens an arm; 0: as many as the selection has")
    compare: Annotated[
        tuple[Annotated[tuple[Text, Text], BeforeValidator(as_tuple)], ...],
        BeforeValidator(as_tuple),
    ] = key(
        (("selection", "random"), ("selection", "random-same-length")),
        "the pairs that are judged, by the mean over tasks, after Holm",
    )
    smallest: Positive = key(0.01, "the smallest difference of means that would matter")
    planted_share: float = key(
        0.5, "ds2 proof --planted: the share of the answers that are swapped", gt=0.0, le=1.0
    )
    budget_hours: float = key(0.0, "hours at most: the plan is cut by seeds; 0: no limit", ge=0.0)


RECIPE_VERSION = 1


def _each_once(value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
    if isinstance(value, tuple) and len(set(value)) < len(value):
        raise PydanticCustomError("each_once", "Each must be named once")
    return value


def _parts(value: Mapping[str, str]) -> Mapping[str, str]:
    from ds2.pool.formats import PARTS  # which loads pyarrow

    if set(value) - set(PARTS):
        known = ", ".join(PARTS)
        raise PydanticCustomError("parts", f"Parts of a conversation are {known}")
    return value


class PoolSection(Section):
    """Where the examples come from."""

    path: Annotated[Several, FileIn()] = key(
        ...,
        "the pool: a file (.jsonl, .json, .parquet, .csv), a folder of such files or "
        'a pattern, "data/*.jsonl", also in a store (s3://bucket/key, gs://bucket/key), a list of '
        "them, a saved DatasetDict folder, or hf:org/name",
    )
    format: Literal["auto", "alpaca", "sharegpt", "messages", "prompt-response"] = key(
        "auto", "how a row is laid out; auto detects it and says what it found"
    )
    columns: Annotated[Mapping[str, Text], AfterValidator(_parts)] = key(
        {},
        "the column of a part of the conversation that has no usual name: "
        '{ prompt = "frage", response = "antwort" }; also messages, input, system, history, '
        "chosen, rejected, label, tools, images, videos, audios",
    )
    roles: Mapping[str, Literal["system", "user", "assistant", "tool"]] = key(
        {}, 'roles with names of their own: { "agent 7" = "assistant" }'
    )
    id_field: Text = key("id", "the field that holds an example's id")
    source_field: Text = key("source", "the field that says where an example comes from")
    split: Text = key("train", "which split of a DatasetDict, an hf: data set or a folder of files")
    no_answer: Literal["reject", "keep"] = key(
        "reject",
        "a row without an answer to learn (an empty one, a conversation that ends "
        "with the user, a call of a tool alone) is set aside in rejects.jsonl, or kept",
    )
    on_bad_row: Literal["reject", "stop"] = key(
        "reject", "a malformed row is set aside in rejects.jsonl, or stops"
    )
    max_bad_share: Fraction = key(0.05, "stop when more than this share of the rows is malformed")

    @property
    def paths(self) -> tuple[str, ...]:
        """What is read, in order."""
        return (self.path,) if isinstance(self.path, str) else self.path


class ScoresSection(Section):
    """The scores that the examples already have."""

    column: Annotated[Several | None, AfterValidator(_each_once)] = key(
        None,
        "the column that holds the scores, in the pool or in the file; a list of "
        "columns where several raters gave scores",
    )
    file: File | None = key(None, "a separate table of scores (.jsonl, .csv, .parquet)")
    id_column: Text = key("id", "the column of that file that holds the example's id")
    scale: Text = key(
        "1-10",
        "what the scores mean: 1-10 (binned as in the paper), 0-5 or levels:6 "
        "(already whole scores), or any LOW-HIGH: 0-1, -1-1, 0-100",
    )
    bins: Annotated[tuple[float, ...] | None, BeforeValidator(as_tuple)] = key(
        None,
        "the cuts between scores, ascending: a score is the number of cuts below "
        "the rating; without them ratings that are no levels are cut by their quantiles",
    )
    max_outside: Fraction = key(
        0.05,
        "stop when more than this share of a rater's ratings lies outside the scale; "
        "fewer count as missing",
    )
    true_column: Text | None = key(
        None,
        "the pool's column of true scores, where they are known (in a test): the report compares",
    )
    planted: File | None = key(
        None,
        "the matrix that the scores were drawn through, where it is known (in a "
        'test), for that comparison: a JSON file with the key "matrix"',
    )


class EmbedSection(Section):
    """How a conversation becomes a vector."""

    embedder: Literal[
        "wordllama", "multilingual", "sentence-transformers", "model2vec", "openai", "precomputed"
    ] = key(
        "wordllama",
        "wordllama ships with ds2, needs no network and reads English; multilingual "
        "reads sixteen languages, needs a small package and is slower",
    )
    model: FileOrName | None = key(None, "the model's name, where there is a choice")
    base_url: Address | None = key(None, "openai: the endpoint, when it is not api.openai.com")
    api_key_env: Text | None = key(
        None,
        "openai: the environment variable that holds the endpoint's key; OpenAI's own: "
        "OPENAI_API_KEY",
    )
    path: File | None = key(None, "precomputed: a .npy or .npz file, one row per row of the pool")
    column: Text | None = key(None, "precomputed: the pool's column that holds the vectors")
    batch_size: Count = key(256, "texts per batch")


class NeighborsSection(Section):
    """Which examples lie close to each other."""

    k: int = key(10, "neighbours of each example", ge=2)
    method: Literal["auto", "exact", "approximate", "cells"] = key(
        "auto", "auto takes the approximate index where it pays; cells is for many cores"
    )
    min_recall: float = key(0.99, "measured recall that approximate search reaches", gt=0.0, le=1.0)
    device: str = key("cpu", "what searches cells: cpu, or a device of PyTorch, such as cuda")


class NoiseSection(Section):
    """The transition matrix of the scores. The number of scores follows from scores.scale."""

    rho: Auto | Annotated[float, Field(gt=0.0, le=1.0)] = key(
        "auto",
        "how far neighbours share the true score beyond chance, above 0 and up to 1; "
        "auto takes what gold, other raters or repeats say, and without them 1, as the paper does",
    )
    n_neighbors: Auto | Annotated[int, Field(ge=2)] = key(
        "auto", "neighbours that are counted; auto takes as many as lift allows"
    )
    ordinal_prior: Auto | Annotated[float, Field(ge=0.0)] = key(
        "auto",
        "how many examples per score a prior weighs that a near score is a likelier "
        "error than a far one; 0 is none, a few tens steady a small pool; auto is 0 for one rater "
        "and 4 for several",
    )
    n_bootstrap: Natural = key(200, "rounds behind the intervals; 0 is none")


def _renamed(value: object) -> object:
    if value == "none":
        raise ValueError("'none' is now 'raw'. Write that.")
    return value


class CurateSection(Section):
    """Which scores to correct."""

    method: Annotated[
        Literal["auto", "ds2", "soft", "fused", "fused+neighbors", "scorer", "raw"],
        BeforeValidator(_renamed),
    ] = key(
        "auto",
        "auto keeps raw unless evidence (other raters, gold) shows another to be "
        "better; ds2 is the paper's way, which one rater cannot test; raw keeps the scores "
        "(several raters: the mean of their z-scores, put on the levels by rank)",
    )
    unrated: Literal["auto", "score", "leave"] = key(
        "auto",
        "examples without any rating are scored by a scorer learned from the others, "
        "or left out; auto scores them where they are a tenth of the pool or more",
    )
    fit_rows: int = key(
        1_000_000,
        "weights are learned on so many rated examples at most, in whole "
        "neighbourhoods, and applied to all",
        ge=100,
    )
    doubtful: Literal["replace", "drop"] = key(
        "replace",
        "a rating that curation puts in the other half of the scale is replaced, or "
        "the example is left out",
    )
    objective: Literal["rank", "level"] = key(
        "rank", "what a curated score is for: the order of the examples, or its own level"
    )
    control: Annotated[tuple[Literal["length", "source"], ...], BeforeValidator(one_or_more)] = key(
        (), "remove what these explain within neighbourhoods from the curated scores"
    )
    calibrate: Annotated[tuple[Literal["source", "content"], ...], BeforeValidator(one_or_more)] = (
        key(
            (),
            "take off what raters give a source, or a content (code, list, maths, "
            "text), too much or too little, as 20 trusted scores or three raters show it",
        )
    )
    n_draws: Count = key(51, "random draws of the pool")
    draw_share: float = key(0.8, "share of the rows in each draw", gt=0.0, le=1.0)
    min_confidence: Fraction = key(0.5, "a score is replaced from this confidence on")
    gate: Literal["warn", "refuse", "off"] = key(
        "warn", "what to do when the neighbours hardly agree"
    )
    min_lift: Fraction = key(0.1, "the gate fires when the lower end of lift lies below this")
    paper_floor: bool = key(False, "flag at least 0.05 of every score, as the published code does")


class EngineSection(Section):
    """Where embedding, the search in cells and ds2 score work. No result depends on it."""

    name: Literal["here", "ray"] = key(
        "here", "here: on this machine; ray: on the nodes of a Ray cluster"
    )
    workers: Auto | Count = key(
        "auto", "pieces of work at once; auto: one for each processor, where that pays"
    )
    address: Text = key(
        "local",
        "ray: host:port of the cluster, auto for the one that this machine belongs to, or "
        "local for one that is started on this machine",
    )
    gpus: float = key(
        0.0, "ray: GPUs of a worker that embeds, or searches on one (0.5: two share one)", ge=0.0
    )
    memory_gb: float = key(0.0, "ray: memory that is set aside for a worker", ge=0.0)


class OutputSection(Section):
    """The file to train on."""

    format: Literal["messages", "alpaca", "sharegpt", "prompt-response"] = key(
        "messages", "the layout of selected.jsonl"
    )
    rows_per_file: Natural = key(
        0,
        "for a large selection: a folder selected/ of Parquet files of so many rows in the place "
        "of selected.jsonl; 0 is selected.jsonl",
    )


class ReportSection(Section):
    """The report."""

    title: Text = key("ds2 report", "its heading")
    n_examples: Natural = key(20, "corrections that are shown in full")


class Recipe(Section):
    """Everything that decides the outcome of a run."""

    schema_version: Count = key(RECIPE_VERSION, "the layout of this file; leave it as it is")
    seed: Natural = key(0, "the same seed gives the same bytes")
    pool: PoolSection
    scores: ScoresSection = ScoresSection()
    rate: RateSection = RateSection()
    raters: Mapping[Text, RaterSection] = key(
        {}, "the models that rate, each in a table of its own: [raters.NAME]"
    )
    gold: GoldSection = GoldSection()
    embed: EmbedSection = EmbedSection()
    neighbors: NeighborsSection = NeighborsSection()
    noise: NoiseSection = NoiseSection()
    curate: CurateSection = CurateSection()
    select: SelectSection = SelectSection()
    compare: CompareSection = CompareSection()
    output: OutputSection = OutputSection()
    report: ReportSection = ReportSection()
    train: TrainSection = TrainSection()
    evaluate: EvaluateSection = EvaluateSection()
    proof: ProofSection = ProofSection()
    engine: EngineSection = EngineSection()

    @property
    def rated(self) -> bool:
        """Whether it names scores, or somebody who rates."""
        return bool(self.scores.column or self.scores.file or self.raters)

    def flat(self) -> dict[str, object]:
        """Return every setting by dotted key, as JSON values."""
        return dict(_flat(self.model_dump(mode="json"), ""))


def _flat(table: Mapping[str, object], above: str) -> Iterator[tuple[str, object]]:
    for key, value in table.items():
        if isinstance(value, Mapping) and (value or not above):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
