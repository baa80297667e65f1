"""The sections of a recipe that say who rates, and whose scores are trusted."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from ds2.runs.recipe_base import Section, Text

__all__ = ["GoldSection", "RateSection", "RaterSection"]


class RateSection(Section):
    """How the models of [raters.NAME] rate."""

    rubric: Text | None = Field(
        default=None,
        description="a rubric of your own (.toml); without it the criteria of the paper, 1 to 10",
    )
    repeats: int = Field(
        default=0, ge=0, description="examples that are rated twice, to measure a rater's own noise"
    )
    max_cost_usd: float | None = Field(
        default=None, gt=0.0, description="stop asking at this cost and go on with what is there"
    )
    prices: Text | None = Field(
        default=None, description="a table of prices (.toml) that goes before the one in ds2"
    )
    max_prompt_tokens: int = Field(
        default=4096,
        ge=512,
        description="an example that would make a longer prompt is shortened in its middle, with "
        "a mark",
    )


class RaterSection(Section):
    """One model that rates."""

    kind: Literal["chat", "local", "batch"] = Field(
        default="chat",
        description="chat asks an OpenAI-compatible endpoint, local a GGUF model on this machine, "
        "batch hands files to a batch API",
    )
    model: Text | None = Field(
        default=None, description="the model's name at the endpoint; local: a .gguf file"
    )
    base_url: Text | None = Field(
        default=None, description="the endpoint, when it is not api.openai.com"
    )
    api_key_env: Text | None = Field(
        default=None,
        description="the environment variable that holds the endpoint's key; OpenAI's own: "
        "OPENAI_API_KEY",
    )
    api_version: Text | None = Field(default=None, description="Azure: its API version")
    form: Literal["auto", "structured", "json", "text", "expected"] = Field(
        default="auto",
        description="what a reply looks like: JSON by a schema, JSON, text, or one token with "
        "log-probabilities; auto takes the best that the endpoint can",
    )
    temperature: float | None = Field(
        default=0.0, ge=0.0, le=2.0, description="0 is the likeliest reply; none: the endpoint's"
    )
    max_output_tokens: int = Field(
        default=512, ge=1, description="a longer reply is cut; a model that reasons needs thousands"
    )
    extra: Mapping[str, str | int | float | bool] = Field(
        default={}, description='further fields of a request: { reasoning_effort = "low" }'
    )
    variant: Text | None = Field(
        default=None,
        description="text that tells replies apart which are alike by all of this: a "
        "quantisation, a second rating by the same model",
    )
    only: Text | None = Field(
        default=None,
        description="a file of ids (what ds2 rerate writes, or one a line): rate these alone",
    )
    concurrency: int = Field(
        default=64, ge=1, description="requests in flight at most; fewer when the endpoint is busy"
    )
    requests_per_minute: int | None = Field(default=None, ge=1, description="a limit, if any")
    tokens_per_minute: int | None = Field(default=None, ge=1, description="a limit, if any")
    timeout_s: float = Field(default=120.0, gt=0.0, description="seconds that one reply may take")
    processes: int = Field(default=1, ge=1, description="local: servers side by side, a core each")


class GoldSection(Section):
    """Trusted scores of a few examples."""

    path: Text = Field(
        default="gold.jsonl",
        description="the file that ds2 gold --add writes; without it there is no gold",
    )
