"""Make a run folder: a recipe with every setting spelled out."""

from pathlib import Path

from ds2.errors import InputError
from ds2.runs.recipe_file import HUB, RECIPE, check_exists, make_recipe, render_recipe
from ds2.runs.store import storage_error, writing

__all__ = ["init_run"]

_TABLES = (".jsonl", ".json", ".csv", ".parquet", ".gz", ".zst")


def init_run(
    folder: Path, *, pool: str, scores: str | None = None, scale: str | None = None
) -> Path:
    """Write ``folder/recipe.toml`` and return its path.

    Args:
        folder: the run folder; made when it is not there.
        pool: a file, a DatasetDict folder or ``hf:org/name``.
        scores: the column of the pool that holds the scores, or a file of scores.
        scale: what the scores mean, as ``scores.scale`` in the recipe.

    Raises:
        InputError: a file is not there, the folder has a recipe already or cannot be written.
    """
    settings: dict[str, object] = {"pool.path": pool}
    if not pool.startswith(HUB):
        settings["pool.path"] = _existing("--pool", pool)
    if scores is not None and _is_file(scores):
        settings["scores.file"] = _existing("--scores", scores)
    elif scores is not None:
        settings["scores.column"] = scores
    if scale is not None:
        settings["scores.scale"] = scale
    text = render_recipe(make_recipe(settings))
    path = folder / RECIPE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            raise InputError(f"'{path}' exists already. Edit it, or name another run folder.")
    except FileExistsError:
        raise InputError(f"'{folder}' is a file, not a folder. Name another run folder.") from None
    except OSError as error:
        raise storage_error(error, folder) from error
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _is_file(scores: str) -> bool:
    path = Path(scores)
    return path.suffix.lower() in _TABLES or path.name != scores or path.is_file()


def _existing(option: str, value: str) -> str:
    return str(check_exists(option, Path(value).expanduser()).absolute())
