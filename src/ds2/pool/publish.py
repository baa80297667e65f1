"""Publish a selection on the Hugging Face hub: one Parquet file and a card, in one commit.

The card says what was chosen from what, how, and how far to trust it.
"""

import os
import re
import string
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ds2.checks import check_int
from ds2.errors import InputError, RunError
from ds2.pool.pool import Pool
from ds2.pool.wording import shown
from ds2.pool.write import hand_off

__all__ = ["Card", "card_text", "push_to_hub"]

#: The environment variable that holds the hub's token; it is read from nowhere else.
TOKEN = "HF_TOKEN"  # noqa: S105
_REPO = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
_DATA = "data/train-00000-of-00001.parquet"
#: The hub's classes of size, by their upper ends.
_SIZES = {10**3: "n<1K", 10**4: "1K<n<10K", 10**5: "10K<n<100K", 10**6: "100K<n<1M"}


@dataclass(frozen=True, slots=True)
class Card:
    """What a selection's card states. Texts are data: none of them becomes markup.

    Attributes:
        title: the name of the dataset.
        method: how the rows were chosen.
        pool: what they were chosen from, as it is to be named in public.
        pool_size: how many examples that had.
        settings: the settings of the method, by name.
        raters: who rated.
        transition: (s, s) T[i, j] = P(observed = j given true = i), or (r, s, s) with one for each
            of ``raters``, or None.
        prior: (s,) shares of the true scores, or None.
        warnings: what the user should know, as the run says it.
        licences: the licence of each source, as the user gives it. Nothing is guessed.
        licence: the hub's name of the licence of the whole (``cc-by-4.0``), or None.
        languages: the hub's codes of the languages.
        columns: what each added column means, by its name.
    """

    title: str
    method: str
    pool: str
    pool_size: int
    settings: Mapping[str, object] = field(default_factory=dict)
    raters: Sequence[str] = ()
    transition: np.ndarray | None = None
    prior: np.ndarray | None = None
    warnings: Sequence[str] = ()
    licences: Mapping[str, str] = field(default_factory=dict)
    licence: str | None = None
    languages: Sequence[str] = ()
    columns: Mapping[str, str] = field(default_factory=dict)


def push_to_hub(
    pool: Pool,
    repo: str,
    card: Card,
    *,
    columns: Mapping[str, Sequence[object] | np.ndarray] | None = None,
    private: bool = True,
    replace: bool = False,
    lossy: bool = False,
) -> str:
    """Publish every example of a pool as a dataset, with a card that says how it was chosen.

    The data are `hand_off`'s Parquet: id, messages, source and the columns given. They go to the
    hub with the token in the environment variable HF_TOKEN.

    Args:
        pool: the selected examples, in pick order.
        repo: the dataset's name on the hub, ``org/name``.
        card: what its card states.
        columns: fields to add, each with one value per example.
        private: whether only its owner sees a dataset that is made now.
        replace: put the data and the card of a dataset that is there already into a new commit.
            Otherwise it is left alone.
        lossy: leave out what the layout cannot hold of the examples.

    Returns:
        The address of the dataset.

    Raises:
        InputError: no token, a token that may not write there, a name that is taken or is none.
        RunError: the hub cannot be reached.
    """
    if not _REPO.fullmatch(repo):
        raise InputError(f"A dataset on the hub is named org/name. Got {shown(repo, 80)}.")
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise InputError(
            f"Publishing needs a token that may write to the hub in the environment variable "
            f"{TOKEN}. Make one at huggingface.co/settings/tokens."
        )
    text = card_text(card, len(pool), data_files="data/train-*")
    with tempfile.TemporaryDirectory() as folder:
        data = hand_off(pool, folder, tool="parquet", columns=columns, lossy=lossy).files[0]
        return _upload(repo, token, data, text, private=private, replace=replace)


def _upload(repo: str, token: str, data: Path, card: str, *, private: bool, replace: bool) -> str:
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi(token=token)
    with _explained(repo, token):
        if not replace and api.repo_exists(repo, repo_type="dataset"):
            raise InputError(
                f"The dataset {repo} is on the hub already, and was left alone. Choose another "
                "name, or publish with --replace (replace=True) to add a commit to it."
            )
        made = api.create_repo(repo, repo_type="dataset", private=private, exist_ok=replace)
        api.create_commit(
            repo,
            [
                CommitOperationAdd(_DATA, str(data)),
                CommitOperationAdd("README.md", card.encode("utf-8")),
            ],
            repo_type="dataset",
            commit_message="Selection by ds2",
        )
    return str(made)


@contextmanager
def _explained(repo: str, token: str) -> Iterator[None]:
    """Say in one sentence what the hub refuses; the token never stands in it."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # the client's errors and its network library's share no base
        status = getattr(getattr(error, "response", None), "status_code", None)
        lines = str(error).replace(token, "…").strip().splitlines()
        reason = shown(lines[0] if lines else type(error).__name__, 200)
        if status in {401, 403}:
            raise InputError(
                f"The hub does not let the token in {TOKEN} write to {repo} ({status}). Use one "
                "that may."
            ) from None
        if status is not None and 400 <= status < 500:
            raise InputError(f"The hub refuses {repo} ({status}): {reason}.") from None
        raise RunError(
            f"The hub could not be reached for {repo}: {reason}. Nothing is lost: publish again, "
            "with --replace (replace=True) where the dataset has been made."
        ) from None


def card_text(card: Card, n: int, *, data_files: str) -> str:
    """The card as Markdown behind a head in YAML.

    Args:
        card: what to state.
        n: how many rows the selection has.
        data_files: the pattern of the data files in the repository.

    Raises:
        InputError: the matrix is none.
    """
    from huggingface_hub import DatasetCardData

    check_int("pool_size", card.pool_size, low=n)
    parts = [
        f"# {_text(card.title)}",
        f"{n:,} of {card.pool_size:,} examples of {_text(card.pool)}, chosen with ds2 by the "
        f"method {_text(card.method)}. The rows stand in the order in which they were chosen.",
        _section("Settings", _table(("setting", "value"), card.settings.items())),
        _section("Raters", _bullets(card.raters) or "None: the method does not look at ratings."),
        _section("How noisy the ratings are", _matrix(card)),
        _section("Warnings", _bullets(card.warnings) or "None."),
        _section("Licences", _licences(card)),
        _section("Columns", _table(("column", "meaning"), card.columns.items())),
    ]
    head = DatasetCardData(
        pretty_name=" ".join(card.title.split()),
        license=card.licence,
        language=list(card.languages) or None,
        task_categories=["text-generation"],
        size_categories=[next((name for end, name in _SIZES.items() if n < end), "n>1M")],
        tags=["ds2", "instruction-tuning"],
        configs=[
            {"config_name": "default", "data_files": [{"split": "train", "path": data_files}]}
        ],
    )
    body = "\n\n".join(part for part in parts if part)
    return f"---\n{head.to_yaml()}\n---\n\n{body}\n"


def _section(title: str, body: str) -> str:
    return f"## {title}\n\n{body}" if body else ""


def _bullets(texts: Sequence[str]) -> str:
    return "\n".join(f"- {_text(text)}" for text in texts)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    cells = [[_text(str(cell)) for cell in row] for row in rows]
    if not cells:
        return ""
    lines = [head, ["---"] * len(head), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _matrix(card: Card) -> str:
    if card.transition is None:
        return "Not estimated."
    found = np.asarray(card.transition, dtype=float)
    s = found.shape[-1] if found.ndim else 0
    if found.shape not in ((s, s), (len(card.raters), s, s)):
        raise InputError(
            "'transition' must be of shape (s, s), or (r, s, s) with one matrix a rater. "
            f"Got {found.shape}."
        )
    if card.prior is not None and np.shape(card.prior) != (s,):
        raise InputError(f"'prior' must be of shape ({s},). Got {np.shape(card.prior)}.")
    parts = [
        "Each row is a true score, each column the chance that the rater gives that score "
        "instead, estimated without ground truth."
    ]
    for number, matrix in enumerate(found.reshape(-1, s, s)):
        if found.ndim == 3:
            parts.append(f"### {_text(card.raters[number])}")
        head = ["true score", *map(str, range(s))]
        rows = [[str(i), *(f"{value:.3f}" for value in row)] for i, row in enumerate(matrix)]
        if card.prior is not None:
            head.append("share")
            rows = [[*row, f"{p:.3f}"] for row, p in zip(rows, card.prior, strict=True)]
        parts.append(_table(head, rows))
    return "\n\n".join(parts)


def _licences(card: Card) -> str:
    stated = (
        f"Of the whole, as stated by the publisher: {_text(card.licence)}." if card.licence else ""
    )
    table = _table(("source", "licence, as stated by the publisher"), card.licences.items())
    missing = "The publisher stated none. The licences of the pool's sources hold."
    return "\n\n".join(part for part in (stated, table) if part) or missing


_PUNCTUATION = frozenset(string.punctuation) - set(".,;'\"()%/?=")
_LIST_NUMBER = re.compile(r"(\d+)([.)])(?=\s|$)")
_WEB = re.compile(r"(?i)www\.")


def _text(text: str) -> str:
    """A text as Markdown shows it letter by letter, on one line: no link, no tag, no table."""
    plain = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))
    escaped = "".join("\\" + c if c in _PUNCTUATION else c for c in plain)
    escaped = _WEB.sub(lambda found: found[0][:-1] + "\\.", escaped)
    if (number := _LIST_NUMBER.match(escaped)) is not None:
        escaped = f"{number[1]}\\{escaped[number.start(2) :]}"
    return escaped or "(empty)"
