"""The recipe of a run: every setting, its default, its allowed values and what it does.

The file ``recipe.toml`` is generated from these models, comments included, so the two cannot
drift apart.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator

from ds2.pool.formats import PARTS
from ds2.runs.recipe_base import Fraction, Section, Text, as_tuple
from ds2.runs.recipe_proof import EvaluateSection, ProofSection, TrainSection
from ds2.runs.recipe_rating import GoldSection, RaterSection, RateSection
from ds2.runs.recipe_selecting import CompareSection, SelectSection

__all__ = [
    "RECIPE_VERSION",
    "CurateSection",
    "EmbedSection",
    "NeighborsSection",
    "NoiseSection",
    "OutputSection",
    "PoolSection",
    "Recipe",
    "ReportSection",
    "ScoresSection",
    "SelectSection",
]

RECIPE_VERSION = 1


def _neighbors_counted(value: object) -> int | Literal["auto"]:
    if value == "auto":
        return "auto"
    if isinstance(value, int) and not isinstance(value, bool) and value >= 2:
        return value
    raise ValueError('must be "auto" or a whole number, 2 or more')


def _rho(value: object) -> float | Literal["auto"]:
    if value == "auto":
        return "auto"
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0.0 < value <= 1.0:
        return float(value)
    raise ValueError('must be "auto" or a number above 0 and up to 1')


def _columns(value: object) -> str | tuple[str, ...] | None:
    names = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    if value is None or (len(names) > 0 and all(isinstance(name, str) and name for name in names)):
        if len(set(names)) < len(names):
            raise ValueError("must name each column once")
        return value if value is None or isinstance(value, str) else tuple(map(str, names))
    raise ValueError('must be a column, "score", or a list of columns, ["score_a", "score_b"]')


def _paths(value: object) -> str | tuple[str, ...]:
    many = isinstance(value, (list, tuple)) and len(value) > 0
    listed = tuple(value) if many and isinstance(value, (list, tuple)) else (value,)
    texts = tuple(path for path in listed if isinstance(path, str))
    if len(texts) < len(listed):
        raise ValueError("must be a text in quotes" + (", each of them" if many else ""))
    if any("\ud800" <= c <= "\udfff" for path in texts for c in path):
        raise ValueError("must be UTF-8 text; rename the file")
    if "" in texts:
        raise ValueError("must have at least 1 character")
    return texts if len(texts) > 1 else texts[0]


def _parts(value: Mapping[str, str]) -> Mapping[str, str]:
    if unknown := [part for part in value if part not in PARTS]:
        known = ", ".join(PARTS)
        raise ValueError(f"must name parts of a conversation ({known}), not {unknown[0]!r}")
    return value


class PoolSection(Section):
    """Where the examples come from."""

    path: Annotated[str | tuple[str, ...], BeforeValidator(_paths)] = Field(
        description="the pool: a file (.jsonl, .json, .parquet, .csv), a folder of such files or "
        'a pattern, "data/*.jsonl", a list of them, a saved DatasetDict folder, or hf:org/name'
    )
    format: Literal["auto", "alpaca", "sharegpt", "messages", "prompt-response"] = Field(
        default="auto", description="how a row is laid out; auto detects it and says what it found"
    )
    columns: Annotated[Mapping[str, Text], AfterValidator(_parts)] = Field(
        default={},
        description="the column of a part of the conversation that has no usual name: "
        '{ prompt = "frage", response = "antwort" }; also messages, input, system, history, '
        "chosen, rejected, label, tools, images, videos, audios",
    )
    roles: Mapping[str, Literal["system", "user", "assistant", "tool"]] = Field(
        default={}, description='roles with names of their own: { "agent 7" = "assistant" }'
    )
    id_field: Text = Field(default="id", description="the field that holds an example's id")
    source_field: Text = Field(
        default="source", description="the field that says where an example comes from"
    )
    split: Text = Field(
        default="train",
        description="which split of a DatasetDict, an hf: data set or a folder of files",
    )
    no_answer: Literal["reject", "keep"] = Field(
        default="reject",
        description="a row without an answer to learn (an empty one, a conversation that ends "
        "with the user, a call of a tool alone) is set aside in rejects.jsonl, or kept",
    )
    on_bad_row: Literal["reject", "stop"] = Field(
        default="reject", description="a malformed row is set aside in rejects.jsonl, or stops"
    )
    max_bad_share: Fraction = Field(
        default=0.05, description="stop when more than this share of the rows is malformed"
    )

    @property
    def paths(self) -> tuple[str, ...]:
        """What is read, in order."""
        return (self.path,) if isinstance(self.path, str) else self.path


class ScoresSection(Section):
    """The scores that the examples already have."""

    column: Annotated[str | tuple[str, ...] | None, BeforeValidator(_columns)] = Field(
        default=None,
        description="the column that holds the scores, in the pool or in the file; a list of "
        "columns where several raters gave scores",
    )
    file: Text | None = Field(
        default=None, description="a separate table of scores (.jsonl, .csv, .parquet)"
    )
    id_column: Text = Field(
        default="id", description="the column of that file that holds the example's id"
    )
    scale: Text = Field(
        default="1-10",
        description="what the scores mean: 1-10 (binned as in the paper), 0-5 or levels:6 "
        "(already whole scores), or any LOW-HIGH: 0-1, -1-1, 0-100",
    )
    bins: Annotated[tuple[float, ...] | None, BeforeValidator(as_tuple)] = Field(
        default=None,
        description="the cuts between scores, ascending: a score is the number of cuts below "
        "the rating; without them ratings that are no levels are cut by their quantiles",
    )
    max_outside: Fraction = Field(
        default=0.05,
        description="stop when more than this share of a rater's ratings lies outside the scale; "
        "fewer count as missing",
    )
    true_column: Text | None = Field(
        default=None,
        description="the pool's column of true scores, where they are known (in a test): the "
        "report compares",
    )
    planted: Text | None = Field(
        default=None,
        description="the matrix that the scores were drawn through, where it is known (in a "
        'test), for that comparison: a JSON file with the key "matrix"',
    )


class EmbedSection(Section):
    """How a conversation becomes a vector."""

    embedder: Literal[
        "wordllama", "sentence-transformers", "model2vec", "openai", "precomputed"
    ] = Field(default="wordllama", description="wordllama ships with ds2 and needs no network")
    model: Text | None = Field(
        default=None, description="the model's name, where there is a choice"
    )
    base_url: Text | None = Field(
        default=None, description="openai: the endpoint, when it is not api.openai.com"
    )
    api_key_env: Text | None = Field(
        default=None,
        description="openai: the environment variable that holds the endpoint's key; OpenAI's own: "
        "OPENAI_API_KEY",
    )
    path: Text | None = Field(
        default=None, description="precomputed: a .npy or .npz file, one row per row of the pool"
    )
    column: Text | None = Field(
        default=None, description="precomputed: the pool's column that holds the vectors"
    )
    batch_size: int = Field(default=256, ge=1, description="texts per batch")


class NeighborsSection(Section):
    """Which examples lie close to each other."""

    k: int = Field(default=10, ge=2, description="neighbours of each example")
    method: Literal["auto", "exact", "approximate"] = Field(
        default="auto", description="auto takes the approximate index where it pays"
    )
    min_recall: float = Field(
        default=0.99, gt=0.0, le=1.0, description="measured recall that approximate search reaches"
    )


class NoiseSection(Section):
    """The transition matrix of the scores. The number of scores follows from scores.scale."""

    rho: Annotated[float | Literal["auto"], PlainValidator(_rho)] = Field(
        default="auto",
        description="how far neighbours share the true score beyond chance, above 0 and up to 1; "
        "auto takes what gold, other raters or repeats say, and without them 1, as the paper does",
    )
    n_neighbors: Annotated[int | Literal["auto"], PlainValidator(_neighbors_counted)] = Field(
        default="auto", description="neighbours that are counted; auto takes as many as lift allows"
    )
    ordinal_prior: float = Field(
        default=0.0,
        ge=0.0,
        description="how many examples per score a prior weighs that a near score is a likelier "
        "error than a far one; 0 is off, a few tens steady a small pool",
    )
    n_bootstrap: int = Field(
        default=200, ge=0, description="rounds behind the intervals; 0 is none"
    )


class CurateSection(Section):
    """Which scores to correct."""

    method: Literal["auto", "ds2", "soft", "fused", "fused+neighbors", "raw"] = Field(
        default="auto",
        description="auto keeps raw unless evidence (other raters, gold) shows another to be "
        "better; ds2 is the paper's way, which one rater cannot test; raw keeps the scores "
        "(several raters: their mean)",
    )
    objective: Literal["rank", "level"] = Field(
        default="rank",
        description="what a curated score is for: the order of the examples, or its own level",
    )
    control: Annotated[tuple[Literal["length", "source"], ...], BeforeValidator(as_tuple)] = Field(
        default=(),
        description="remove what these explain within neighbourhoods from the curated scores",
    )
    n_draws: int = Field(default=51, ge=1, description="random draws of the pool")
    draw_share: float = Field(
        default=0.8, gt=0.0, le=1.0, description="share of the rows in each draw"
    )
    min_confidence: Fraction = Field(
        default=0.5, description="a score is replaced from this confidence on"
    )
    gate: Literal["warn", "refuse", "off"] = Field(
        default="warn", description="what to do when the neighbours hardly agree"
    )
    min_lift: Fraction = Field(
        default=0.1, description="the gate fires when the lower end of lift lies below this"
    )
    paper_floor: bool = Field(
        default=False, description="flag at least 0.05 of every score, as the published code does"
    )


class OutputSection(Section):
    """The file to train on."""

    format: Literal["messages", "alpaca", "sharegpt", "prompt-response"] = Field(
        default="messages", description="the layout of selected.jsonl"
    )


class ReportSection(Section):
    """The report."""

    title: Text = Field(default="ds2 report", description="its heading")
    n_examples: int = Field(default=20, ge=0, description="corrections that are shown in full")


class Recipe(Section):
    """Everything that decides the outcome of a run."""

    schema_version: int = Field(
        default=RECIPE_VERSION, ge=1, description="the layout of this file; leave it as it is"
    )
    seed: int = Field(default=0, ge=0, description="the same seed gives the same bytes")
    pool: PoolSection
    scores: ScoresSection = ScoresSection()
    rate: RateSection = RateSection()
    raters: Mapping[Text, RaterSection] = Field(
        default={}, description="the models that rate, each in a table of its own: [raters.NAME]"
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

    def n_raters(self) -> int:
        """How many raters the recipe names: columns of scores, and models that rate."""
        column = self.scores.column
        columns = len(column) if isinstance(column, tuple) else int(column is not None)
        return max(columns, int(self.scores.file is not None)) + len(self.raters)

    def flat(self) -> dict[str, object]:
        """Return every setting by dotted key, as JSON values."""
        return dict(_flat(self.model_dump(mode="json"), ""))


def _flat(table: Mapping[str, object], above: str) -> Iterator[tuple[str, object]]:
    for key, value in table.items():
        if isinstance(value, Mapping) and (value or not above):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
