"""The exact prompt that a model of the recipe gets for an example."""

import secrets
from collections.abc import Mapping
from pathlib import Path

from ds2.errors import InputError
from ds2.pool import Pool
from ds2.pool.wording import shown
from ds2.rating import PromptBuilder, Store
from ds2.runs.loop import run
from ds2.runs.raters import STORE, load_rubric
from ds2.runs.recipe_file import load_recipe

__all__ = ["prompt_of"]


def prompt_of(
    folder: Path,
    *,
    example: str | None = None,
    form: str | None = None,
    overrides: Mapping[str, object] | None = None,
) -> tuple[Mapping[str, str], ...]:
    """Return the messages of the prompt for the example with this id, by default the first one.

    The fence around the example is that of this run: its nonce is drawn when it is first needed.
    Without a ``form`` it is that of the recipe's first rater; the prompt is one and the same for
    all that ask for an object.

    Raises:
        InputError: there is no such example or form, or the rubric is wrong.
    """
    run(folder, until="pool", overrides=overrides)
    recipe = load_recipe(folder, overrides)
    settings = recipe.rate
    rubric = load_rubric(folder, settings.rubric)
    asked = form or next((one.form for one in recipe.raters.values()), "auto")
    asked = rubric.form if asked == "auto" else asked
    pool = Pool.load(folder / "pool.arrow")
    row = 0
    if example is not None:
        if example not in (ids := pool.ids):
            raise InputError(
                f"No example has the id {shown(example)}. The first is {shown(ids[0])}."
            )
        row = ids.index(example)
    with Store(folder / STORE) as store:
        nonce = store.fact("nonce", secrets.token_hex(16))
    builder = PromptBuilder(
        rubric,
        nonce,
        "structured" if asked == "auto" else asked,
        max_tokens=settings.max_prompt_tokens,
    )
    return builder.build(pool[row].messages).messages
