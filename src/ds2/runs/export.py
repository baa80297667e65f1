"""Hand the selection of a run over: to a training tool, or to the hub."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ds2.noise import TransitionEstimate
from ds2.pool import Card, Handoff, Pool, hand_off, push_to_hub
from ds2.runs.folder import read_manifest
from ds2.runs.frozen import load, read_table
from ds2.runs.job import Job, unheard
from ds2.runs.loop import bring_up
from ds2.runs.proof_arms import random_like
from ds2.runs.stages import stages_of
from ds2.selection import Selection

__all__ = ["COLUMNS", "export", "publish"]

#: Columns of selection.parquet that a row can carry, as ds2_NAME, and what each means.
COLUMNS = {
    "score": "curated score",
    "observed": "score as the rater gave it (several raters: the mean of their z-scores, by rank)",
    "long_tail": "long-tail score: how far the example lies from its neighbours",
    "reason": "why it was selected",
    "confidence": "confidence that the observed score was wrong; not a probability",
}


def export(
    job: Job,
    *,
    tool: str,
    layout: str | None = None,
    out: Path | None = None,
    name: str = "selected",
    plain: bool = False,
    lossy: bool = False,
    control: bool = False,
) -> Handoff:
    """Write the selection in the files that a training tool reads, as ``ds2 export`` says."""
    chosen, columns = _selected(job, plain)
    target = job.folder / tool if out is None else out.absolute() if out.name == "" else out

    def write(pool: Pool, place: Path, more: dict[str, np.ndarray] | None = None) -> Handoff:
        return unheard(
            hand_off, pool, place, tool=tool, layout=layout, name=name, columns=more, lossy=lossy
        )

    made = write(chosen, target, columns)
    if not control:
        return made
    beside = write(random_like(job), target.with_name(f"{target.name}-control"))
    return replace(made, files=(*made.files, *beside.files))


def publish(
    job: Job,
    repo: str,
    *,
    private: bool = True,
    replace: bool = False,
    licence: str | None = None,
    licences: Mapping[str, str] | None = None,
    plain: bool = False,
    lossy: bool = False,
) -> str:
    """Publish the selection as a dataset on the hub, with a card; return its address.

    The token comes from the environment variable HF_TOKEN.
    """
    chosen, columns = _selected(job, plain)
    folder, recipe = job.folder, job.recipe
    about: dict[str, Any] = {}
    chosen_by: tuple[str, ...] = ("select.",)
    if recipe.rated:
        chosen_by = ("noise.", "curate.", "select.")
        noise = load(TransitionEstimate, folder)
        raters = job.ratings.raters
        about = {"raters": raters, "transition": noise.matrix, "prior": noise.prior}
    stages = {stage.name for stage in stages_of(rated=recipe.rated)}
    selection = load(Selection, folder)
    made = read_manifest(folder).stages
    folders = f"{Path(recipe.pool.paths[0]).parent}/"
    warned = [text for name, one in made.items() if name in stages for text in one.warnings]
    settings = {
        key: _without_folders(value)
        for key, value in recipe.flat().items()
        if key.startswith(chosen_by) and value not in (None, [], {})
    }
    card = Card(
        title=repo.rpartition("/")[2],
        method=selection.method,
        pool=", ".join(Path(path).name for path in recipe.pool.paths),
        pool_size=len(job.pool),
        settings=settings,
        warnings=tuple(dict.fromkeys(text.replace(folders, "") for text in warned)),
        licences=dict(licences or {}),
        licence=licence,
        columns={key: COLUMNS[key.removeprefix("ds2_")] for key in columns},
        **about,
    )
    return push_to_hub(
        chosen, repo, card, columns=columns, private=private, replace=replace, lossy=lossy
    )


def _without_folders(value: object) -> object:
    """A setting as it may be shown in public: of a path on this machine, the name alone."""
    if isinstance(value, str):
        return Path(value).name if Path(value).is_absolute() else value
    if isinstance(value, (list, tuple)):
        return [_without_folders(each) for each in value]
    return value


def _selected(job: Job, plain: bool) -> tuple[Pool, dict[str, np.ndarray]]:
    bring_up(job, "select")
    table, _ = read_table(job.folder / "selection.parquet")
    known = [name for name in COLUMNS if table[name].null_count < len(table)]
    columns = {f"ds2_{name}": table[name].to_numpy() for name in known}
    chosen = job.pool.take(table["row"].to_numpy())
    return chosen, {} if plain else columns
