"""The sections of a recipe that say which examples to keep, and what selections to compare."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainValidator

from ds2.runs.recipe_base import Fraction, Section, Text, as_tuple

__all__ = ["CompareSection", "Method", "Quota", "SelectSection"]

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
]
Texts = Annotated[
    tuple[Text, ...],
    BeforeValidator(lambda given: (given,) if isinstance(given, str) else as_tuple(given)),
]


def _size(value: object) -> int | float | Literal["all"]:
    if value == "all":
        return "all"
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    if isinstance(value, float) and 0.0 < value < 1.0:
        return value
    raise ValueError(
        "must be a number of rows (a whole number, 1 or more), a fraction of the pool "
        '(above 0 and below 1), or "all" under a budget in tokens'
    )


def _limit(value: object) -> int | float | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    if isinstance(value, float) and 0.0 <= value <= 1.0:
        return value
    raise ValueError("must be a number of rows (5000) or a share of the selection (0.3)")


Limit = Annotated[int | float | None, PlainValidator(_limit)]


class Quota(Section):
    """How much of the selection may or must carry a label."""

    by: Text = Field(description="source, language, or a column of the pool")
    label: Text = Field(description="the label that is counted")
    min: Limit = Field(default=None, description="at least: rows (500) or a share (0.1)")
    max: Limit = Field(default=None, description="at most: rows (5000) or a share (0.3)")


class SelectSection(Section):
    """Which examples to keep."""

    method: Method = Field(
        default="ds2", description="ds2 takes the highest score first, then the most diverse"
    )
    size: Annotated[int | float | Literal["all"], PlainValidator(_size)] = Field(
        default=0.1,
        description='rows (10000), a fraction of the pool (0.1), or "all" that a budget in tokens '
        "allows",
    )
    max_tokens: int | None = Field(
        default=None, ge=1, description="a budget: the selection has at most so many tokens"
    )
    tokenizer: Text = Field(
        default="characters",
        description="what counts tokens: characters, a tokenizer.json, org/name on the hub, or "
        "tiktoken:NAME",
    )
    near_duplicate: float | None = Field(
        default=None,
        gt=0.0,
        le=1.0,
        description="of examples with this cosine similarity or more, keep the best-scored",
    )
    min_score: float | None = Field(
        default=None, description="leave out what has a lower curated score, or none"
    )
    must_have: Text | None = Field(
        default=None, description="a file of ids, one a line, that are selected in any case"
    )
    must_not: Text | None = Field(
        default=None, description="a file of ids, one a line, that are never selected"
    )
    quotas: Annotated[tuple[Quota, ...], BeforeValidator(as_tuple)] = Field(
        default=(),
        description='limits by label: [{ by = "source", label = "flan", min = 0.1, max = 0.5 }]',
    )
    decontaminate: Texts = Field(
        default=(),
        description="evaluation sets (any format of a pool): examples that share a long word "
        "sequence with one are left out",
    )
    decontaminate_similarity: float | None = Field(
        default=None,
        gt=0.0,
        le=1.0,
        description="also leave out examples with this cosine similarity to an evaluation example",
    )
    values: Text | None = Field(
        default=None, description="perplexity, ifd: the column of the pool that holds it"
    )
    likelihood_model: Text | None = Field(
        default=None,
        description="perplexity, ifd: without such a column, the causal model that measures it "
        "(a name on the hub or a folder)",
    )
    targets: Text | None = Field(
        default=None, description="rds: a file of examples that the selection should be like"
    )
    diversity: Fraction = Field(
        default=0.5, description="mmr: 0 looks at the score alone, 1 at the distance alone"
    )
    threshold: float | None = Field(
        default=None, description="deita: the least cosine distance; alpagasus: the lowest score"
    )
    stability_rounds: int = Field(
        default=50,
        ge=0,
        description="how often the selection is made anew from resampled evidence, to say how "
        "stable each pick is; 0 is never",
    )


class CompareSection(Section):
    """What ds2 compare puts side by side, at the size of [select]."""

    methods: Texts = Field(
        default=(), description="names of methods; without any, all whose inputs are there"
    )
    n_draws: int = Field(
        default=100, ge=20, description="random selections that each method is held against"
    )
    map: Literal["auto", "umap", "pca"] = Field(
        default="auto",
        description="how the map of the pool is laid out; auto takes UMAP where it is installed",
    )
