"""What all sections of a recipe share: strict models, and the types of their settings."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Fraction", "Section", "Text", "as_tuple"]

Text = Annotated[str, Field(min_length=1)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """A table of the recipe: unknown keys are faults, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def as_tuple(value: object) -> object:
    """A TOML list as a tuple, which a frozen model keeps; anything else as it is."""
    return tuple(value) if isinstance(value, list) else value
