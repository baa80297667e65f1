"""Publish a selection on the Hugging Face hub: one Parquet file and a card, in one commit."""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ds2.errors import InputError, RunError
from ds2.pool.handoff import hand_off
from ds2.pool.handoff_card import Card, card_text
from ds2.pool.pool import Pool
from ds2.pool.wording import shown

__all__ = ["TOKEN", "push_to_hub"]

#: The environment variable that holds the hub's token; it is read from nowhere else.
TOKEN = "HF_TOKEN"  # noqa: S105
_REPO = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
_DATA = "data/train-00000-of-00001.parquet"


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
