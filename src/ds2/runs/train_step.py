"""Fine-tune the recipe's model on the run's selection."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ds2.errors import InputError
from ds2.proof.encode import marked
from ds2.proof.templates import Turns
from ds2.proof.train import Trained, forecast_training, train
from ds2.proof.train_data import prepare
from ds2.proof.train_loop import Forecast
from ds2.proof.train_plan import Training
from ds2.runs.folder import locked
from ds2.runs.frozen import load
from ds2.runs.job import Job, Listener
from ds2.runs.loop import bring_up
from ds2.selection import Selection

__all__ = [
    "Outlook",
    "Shown",
    "forecast_run",
    "model_of",
    "show_loss",
    "template_of",
    "train_into",
    "train_run",
    "training_of",
]

#: The name of the arm that is the run's selection.
SELECTION = "selection"
PLACE = "proof/runs"


@dataclass(frozen=True, slots=True)
class Shown:
    """Rows with what is learned of them."""

    template: str  #: the name of the template
    stop: str  #: the token that ends an answer
    #: id and pieces of each: a text, and whether it is learned
    rows: tuple[tuple[str, tuple[tuple[str, bool], ...]], ...]
    left_out: Mapping[str, int]  #: how many rows are not trained on, by the reason


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a training will take: so many rows trained on and left out, by the reason."""

    rows: int
    left_out: Mapping[str, int]
    forecast: Forecast


def train_run(job: Job, *, seed: int | None = None) -> Trained:
    """Train on the run's selection, into ``RUN/proof/runs/selection-sSEED``.

    The stages are brought up to date; the seed is the recipe's by default.

    Raises:
        MissingDependencyError: a package of the extra ``train`` is not installed.
        InputError: a setting is wrong, or memory does not suffice.
        RunBusyError: another process trains here.
    """
    training, _, rows = _selected(job, seed)
    name = f"{SELECTION}-s{training.seed}"
    return train_into(job, name, rows, training, f"fine-tune {Path(training.model).name}")


def train_into(
    job: Job, name: str, rows: Sequence[Turns], training: Training, title: str
) -> Trained:
    """Train on conversations into ``RUN/proof/runs/NAME``, alone in it, and tell the listener."""
    listener, place = job.listener, job.folder / PLACE / name
    place.mkdir(parents=True, exist_ok=True)
    with locked(place):
        listener.started("train", title)
        trained = train(rows, training, place, told=_telling(listener), say=listener.said)
        seconds = 0.0 if trained.fresh else float(trained.figures["seconds"])
        state = "fresh" if trained.fresh else "done"
        listener.finished("train", state, seconds, trained.figures)
    return trained


def show_loss(job: Job, n_rows: int = 3) -> Shown:
    """Return the first rows of the selection with what is learned of them; nothing is trained."""
    training, ids, rows = _selected(job)
    prepared = prepare(rows, training)
    shown = tuple(
        (ids[place], marked(row, prepared.tokenizer))
        for place, row in list(zip(prepared.kept, prepared.encoded, strict=True))[:n_rows]
    )
    template = prepared.template
    return Shown(template.name, template.stop, shown, prepared.left_out)


def forecast_run(job: Job) -> Outlook:
    """Measure one real step at the longest batch, and say what the training will take."""
    training, _, rows = _selected(job)
    prepared = prepare(rows, training)
    return Outlook(len(prepared.kept), prepared.left_out, forecast_training(prepared, training))


def training_of(job: Job, seed: int | None = None) -> Training:
    """Return the recipe's settings of a training, its files found from the run folder.

    Raises:
        InputError: the recipe names no model.
    """
    section = job.recipe.train.model_dump()
    section |= {"model": model_of(job), "template": template_of(job)}
    return Training(**section, seed=job.recipe.seed if seed is None else seed)


def model_of(job: Job) -> str:
    """Return the base model of the recipe; one that is a folder, from the run folder.

    Raises:
        InputError: the recipe names no model.
    """
    if job.recipe.train.model is None:
        raise InputError(
            "There is no base model: 'train.model' names none. Set it to a folder or to a name on "
            "the hub, such as --set train.model=meta-llama/Llama-3.1-8B."
        )
    return job.named("train.model")


def template_of(job: Job) -> str:
    """Return the template of the recipe; one that is a file, from the run folder."""
    name = job.recipe.train.template
    return name if name in ("auto", "tulu") else str(job.path(name))


def _selected(job: Job, seed: int | None = None) -> tuple[Training, tuple[str, ...], list[Turns]]:
    """The settings, and the rows of the selection in its order: their ids, their turns."""
    training = training_of(job, seed)  # a fault is better said before the stages run
    bring_up(job, "select")
    chosen = list(job.pool.take(load(Selection, job.folder).rows))
    turns: list[Turns] = [example.turns for example in chosen]
    return training, tuple(example.id for example in chosen), turns


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
