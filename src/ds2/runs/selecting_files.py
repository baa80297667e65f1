"""The files that [select] names: ids, evaluation sets, examples to be like, tokenizers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ds2.embedding import embed_with_report
from ds2.errors import InputError
from ds2.pool import Pool, count_tokens, find_contaminated, read_pool
from ds2.pool.rows import Fault, read_file
from ds2.pool.wording import shown_path
from ds2.runs.embedder import choose_embedder
from ds2.runs.ids import rows_of_ids
from ds2.runs.job import Job
from ds2.runs.recipe_file import HUB, resolve_path
from ds2.selection import find_near

__all__ = ["contaminated", "embed_targets", "listed_rows", "near_evaluation", "token_counts"]


def listed_rows(job: Job, pool: Pool, path: str) -> np.ndarray:
    """Rows of the pool whose ids a file lists."""
    return rows_of_ids(pool, resolve_path(job.folder, path))


def token_counts(job: Job, pool: Pool, tokenizer: str) -> np.ndarray:
    """(n,) What every example costs."""
    local = tokenizer.endswith(".json")
    return count_tokens(pool, resolve_path(job.folder, tokenizer) if local else tokenizer)


def contaminated(job: Job, pool: Pool) -> dict[str, np.ndarray]:
    """Rows that share a long word sequence with an evaluation set, by reason."""
    found = find_contaminated(pool, _evaluation_files(job))
    for sentence in found.warnings:
        job.say(sentence)
    return found.by_reason()


def near_evaluation(job: Job, vectors: np.ndarray) -> dict[str, np.ndarray]:
    """Rows whose vector is near to that of an evaluation example, by reason."""
    similarity = job.recipe.select.decontaminate_similarity
    assert similarity is not None, "asked only where it is set"
    reasons = {}
    for path in _evaluation_files(job):
        near = find_near(vectors, _embed(job, _texts_of(path)), similarity=similarity)
        reasons[f"near to the evaluation set {shown_path(path.name)}"] = near.rows
    return reasons


def embed_targets(job: Job) -> np.ndarray:
    """(t, d) Vectors of the examples that the selection should be like."""
    path = str(job.recipe.select.targets)
    pool = read_pool(path if path.startswith(HUB) else resolve_path(job.folder, path))
    return _embed(job, pool.texts())


class _Texts:
    """Texts as what the embedder reads."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts

    def __len__(self) -> int:
        return len(self._texts)

    def texts(self, start: int = 0, stop: int | None = None) -> list[str]:
        return list(self._texts[start:stop])

    def column(self, name: str) -> list[object]:
        raise InputError(f"Plain texts have no column '{name}'.")


def _embed(job: Job, texts: Sequence[str]) -> np.ndarray:
    wanted = job.recipe.embed
    if wanted.embedder == "precomputed":
        raise InputError(
            "The vectors of this run are ready-made ('embed.embedder' is 'precomputed'), so "
            "nothing else can be embedded like them: leave out select.targets and "
            "select.decontaminate_similarity, or choose another embedder."
        )
    embedder = choose_embedder(wanted, job.folder)
    vectors, _ = embed_with_report(_Texts(texts), embedder, batch_size=wanted.batch_size)
    return np.asarray(vectors)


def _evaluation_files(job: Job) -> list[Path]:
    return [resolve_path(job.folder, path) for path in job.recipe.select.decontaminate]


def _texts_of(path: Path) -> list[str]:
    """One text for each row of an evaluation set: all of its texts, a line each."""
    texts = []
    for line, row in read_file(path, headless=True).rows:
        if isinstance(row, Fault):
            raise InputError(f"{shown_path(path)}, row {line:,}: {row.reason}. Correct it.")
        texts.append("\n".join(_strings(row)))
    return texts


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for part in parts for text in _strings(part)]
