"""Fine-tune the recipe's model on the run's selection."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ds2.errors import InputError
from ds2.pool import Pool
from ds2.proof.encode import marked
from ds2.proof.memory import Memory
from ds2.proof.templates import Turns
from ds2.proof.train import Trained, forecast_training, train
from ds2.proof.train_data import Prepared, prepare
from ds2.proof.train_plan import Training
from ds2.runs.folder import locked
from ds2.runs.frozen import load
from ds2.runs.job import Listener
from ds2.runs.loop import run
from ds2.runs.recipe import Recipe
from ds2.runs.recipe_file import load_recipe, resolve_path
from ds2.selection import Selection

__all__ = [
    "Outlook",
    "Shown",
    "forecast_run",
    "show_loss",
    "train_into",
    "train_run",
    "training_of",
]

#: The name of the arm that is the run's selection.
SELECTION = "selection"
PLACE = "proof/runs"


@dataclass(frozen=True, slots=True)
class Shown:
    """Rows with what is learned of them.

    Attributes:
        template: the name of the template.
        stop: the token that ends an answer.
        rows: id and pieces of each: a text, and whether it is learned.
        left_out: how many rows are not trained on, by the reason.
    """

    template: str
    stop: str
    rows: tuple[tuple[str, tuple[tuple[str, bool], ...]], ...]
    left_out: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a training will take.

    Attributes:
        rows: trained on.
        left_out: not trained on, by the reason.
        figures: the fields of `Forecast`, as JSON values.
        memory: the estimate.
    """

    rows: int
    left_out: Mapping[str, int]
    figures: Mapping[str, Any]
    memory: Memory


def train_run(
    folder: Path,
    *,
    seed: int | None = None,
    overrides: Mapping[str, object] | None = None,
    listener: Listener | None = None,
) -> Trained:
    """Train on the run's selection, into ``RUN/proof/runs/selection-sSEED``.

    Args:
        folder: the run folder; its stages are brought up to date.
        seed: of the training; default the recipe's.
        overrides: settings that win over the recipe.
        listener: is told what happens.

    Raises:
        MissingDependencyError: a package of the extra ``train`` is not installed.
        InputError: a setting is wrong, or memory does not suffice.
        RunBusyError: another process trains here.
    """
    listener = listener or Listener()
    recipe, _, rows = _selected(folder, overrides, listener)
    training = training_of(folder, recipe, seed)
    name = f"{SELECTION}-s{training.seed}"
    title = f"fine-tune {Path(training.model).name}"
    return train_into(folder, name, rows, training, title, listener)


def train_into(  # noqa: PLR0917
    folder: Path,
    name: str,
    rows: Sequence[Turns],
    training: Training,
    title: str,
    listener: Listener,
) -> Trained:
    """Train on conversations into ``RUN/proof/runs/NAME``, alone in it, and tell the listener."""
    place = folder / PLACE / name
    place.mkdir(parents=True, exist_ok=True)
    with locked(place):
        listener.started("train", title)
        trained = train(rows, training, place, told=_telling(listener), say=listener.said)
        seconds = 0.0 if trained.fresh else float(trained.figures["seconds"])
        state = "fresh" if trained.fresh else "done"
        listener.finished("train", state, seconds, trained.figures)
    return trained


def show_loss(
    folder: Path,
    *,
    overrides: Mapping[str, object] | None = None,
    listener: Listener | None = None,
    n_rows: int = 3,
) -> Shown:
    """Return the first rows of the selection with what is learned of them; nothing is trained."""
    recipe, ids, rows = _selected(folder, overrides, listener or Listener())
    prepared = prepare(rows, training_of(folder, recipe, None))
    shown = tuple(
        (ids[place], marked(row, prepared.tokenizer))
        for place, row in list(zip(prepared.kept, prepared.encoded, strict=True))[:n_rows]
    )
    template = prepared.template
    return Shown(template.name, template.stop, shown, prepared.left_out)


def forecast_run(
    folder: Path,
    *,
    overrides: Mapping[str, object] | None = None,
    listener: Listener | None = None,
) -> Outlook:
    """Measure one real step at the longest batch, and say what the training will take."""
    recipe, _, rows = _selected(folder, overrides, listener or Listener())
    training = training_of(folder, recipe, None)
    prepared: Prepared = prepare(rows, training)
    forecast = forecast_training(prepared, training)
    return Outlook(len(prepared.kept), prepared.left_out, asdict(forecast), forecast.memory)


def training_of(folder: Path, recipe: Recipe, seed: int | None) -> Training:
    """Return the recipe's settings of a training, its files found from the run folder.

    Raises:
        InputError: the recipe names no model.
    """
    section = recipe.train.model_dump()
    if recipe.train.model is None:
        raise InputError(
            "There is no model to train: 'train.model' names none. Set it to a folder or to a name "
            "on the hub, such as --set train.model=meta-llama/Llama-3.1-8B."
        )
    model, template = resolve_path(folder, recipe.train.model), recipe.train.template
    if model.exists():
        section["model"] = str(model)
    if template not in ("auto", "tulu"):
        section["template"] = str(resolve_path(folder, template))
    return Training(**section, seed=recipe.seed if seed is None else seed)


def _selected(
    folder: Path, overrides: Mapping[str, object] | None, listener: Listener
) -> tuple[Recipe, tuple[str, ...], list[Turns]]:
    """The recipe, and the rows of the selection in its order: their ids, their turns."""
    recipe = load_recipe(folder, overrides)
    training_of(folder, recipe, None)  # a fault is better said before the stages run
    run(folder, until="select", overrides=overrides, listener=listener)
    pool = Pool.load(folder / "pool.arrow")
    rows = load(Selection, folder).rows
    chosen = list(pool.take(rows))
    turns: list[Turns] = [example.turns for example in chosen]
    return recipe, tuple(example.id for example in chosen), turns


def _telling(listener: Listener) -> Callable[[dict[str, float], int], None]:
    """Pass lines of the log on; what was done before a kill does not count in the speed."""
    before: list[int] = []

    def told(line: dict[str, float], updates: int) -> None:
        step = int(line["step"])
        if not before:
            before.append(step - 1)
            if step > 1:
                listener.said(f"goes on behind update {step - 1:,} of {updates:,}")
        speed = line["tokens"] / max(line["seconds"], 1e-9)
        note = f"update {step:,}, loss {line['loss']:.3f}, {speed:,.0f} tokens/s"
        listener.progress(step - before[0], updates - before[0], note)

    return told
