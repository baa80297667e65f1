"""`embed`: a pool's conversations → unit vectors, each different text once, resumable."""

import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np

from ds2.arrays import Vectors
from ds2.checks import check_int
from ds2.embedding.assemble import Assembled, in_file, in_memory, partial_name
from ds2.embedding.audit import audit_texts
from ds2.embedding.embedder import Embedder, unit_rows
from ds2.embedding.loop import Progress, embed_rows
from ds2.embedding.precomputed import PrecomputedEmbedder
from ds2.embedding.report import EmbeddingReport
from ds2.embedding.stored import StoredVectors, read_stored, write_report, write_vectors
from ds2.embedding.texts import TextIndex, TextPool, index_texts
from ds2.embedding.wordllama import WordLlamaEmbedder
from ds2.errors import Ds2Warning, InputError

__all__ = ["embed", "embed_with_report"]

BATCH_SIZE = 128
#: Rows of ready vectors that are scaled at once.
READY_ROWS = 16_384


def embed(
    pool: TextPool,
    embedder: Embedder | PrecomputedEmbedder | None = None,
    *,
    out: str | Path | None = None,
    batch_size: int = BATCH_SIZE,
    reuse: str | Path | None = None,
    progress: Progress | None = None,
) -> Vectors:
    """Return the (n, d) unit vectors of the pool's conversations, in pool order.

    The warnings of `embed_with_report`, which takes the same arguments, are raised as
    `Ds2Warning`. Without ``out`` the vectors are float32 in memory; with it a float16 memory map.
    """
    vectors, report = embed_with_report(
        pool, embedder, out=out, batch_size=batch_size, reuse=reuse, progress=progress
    )
    for sentence in report.warnings:
        warnings.warn(sentence, Ds2Warning, stacklevel=2)
    return vectors


def embed_with_report(
    pool: TextPool,
    embedder: Embedder | PrecomputedEmbedder | None = None,
    *,
    out: str | Path | None = None,
    batch_size: int = BATCH_SIZE,
    reuse: str | Path | None = None,
    progress: Progress | None = None,
) -> tuple[Vectors, EmbeddingReport]:
    """Embed a pool and say what was done.

    A text that occurs several times is embedded once. With ``out``, finished batches are kept in
    ``out`` + ".partial"; a process killed at any moment loses at most the batch it was at, and the
    same call goes on from there. ``out`` itself appears only when it is whole, followed by a .json
    beside it with the report and the keys by which a later run finds its vectors again.

    Args:
        pool: the texts, read in slices.
        embedder: None is `WordLlamaEmbedder`.
        out: the .npy to write.
        batch_size: texts given to the embedder at once.
        reuse: a .npy of an earlier run whose vectors are taken over where the text and the
            embedder are the same; by default ``out``, when it is there.
        progress: called after each batch with the different texts done, their total, texts per
            second and seconds left (infinite before the first batch).

    Raises:
        InputError: the pool is empty, a file cannot be read or written, or vectors are unsound.
        RunBusyError: another process is writing the same ``out``.
    """
    started_s = time.perf_counter()
    check_int("batch_size", batch_size, low=1)
    path = _npy(out)
    if len(pool) == 0:
        raise InputError("The pool is empty: there is nothing to embed.")
    if isinstance(embedder, PrecomputedEmbedder):
        return _take_ready(pool, embedder, path, started_s)
    embedder = WordLlamaEmbedder() if embedder is None else embedder
    index = index_texts(pool)
    earlier, notes = _open_earlier(reuse, path, embedder)
    batches = partial(embed_rows, pool, index, embedder, batch_size=batch_size, progress=progress)
    if path is None:
        made = in_memory(index, earlier, embedder, batches)
    else:
        made = in_file(path, index, earlier, embedder, batches)
    report = _report(pool, index, embedder, made, notes=notes, started_s=started_s)
    if path is not None:
        write_report(path, made.digest, index.keys, report)
        partial_name(path).unlink(missing_ok=True)
    return made.vectors, report


def _npy(out: str | Path | None) -> Path | None:
    if out is None:
        return None
    path = Path(out)
    if path.suffix != ".npy":
        raise InputError(f"'out' must be the name of a .npy file. Got '{path}'.")
    if not path.parent.is_dir():
        raise InputError(f"The folder '{path.parent}' for the vectors does not exist. Make it.")
    return path


def _open_earlier(
    reuse: str | Path | None, out: Path | None, embedder: Embedder
) -> tuple[StoredVectors, tuple[str, ...]]:
    """Open the vectors that may be taken over, and say so where those asked for may not."""
    no_rows = np.empty((0, embedder.dimension), dtype=np.float16)
    nothing = StoredVectors(no_rows, np.empty(0, dtype=np.uint64), embedder.name)
    if reuse is not None:
        earlier = read_stored(Path(reuse))
        if earlier.embedder == embedder.name:
            return earlier, ()
        return nothing, (
            f"No vectors of '{reuse}' were taken over: they were made by '{earlier.embedder}', "
            f"and these by '{embedder.name}'.",
        )
    try:
        earlier = nothing if out is None else read_stored(out)
    except InputError:  # absent or damaged: it is about to be replaced
        earlier = nothing
    return (earlier if earlier.embedder == embedder.name else nothing), ()


def _report(
    pool: TextPool,
    index: TextIndex,
    embedder: Embedder,
    made: Assembled,
    *,
    notes: tuple[str, ...],
    started_s: float,
) -> EmbeddingReport:
    audit = audit_texts(pool, index, embedder)
    n_unique = len(index.unique)
    return EmbeddingReport(
        embedder=embedder.name,
        dimension=embedder.dimension,
        n=index.n,
        n_unique=n_unique,
        n_embedded=made.n_embedded,
        n_reused=n_unique - made.n_embedded,
        n_sampled=audit.n_sampled,
        truncated_share=audit.truncated_share,
        unknown_language_share=audit.unknown_language_share,
        unknown_languages=audit.unknown_languages,
        elapsed_s=time.perf_counter() - started_s,
        texts_per_s=made.n_embedded / made.loop_s if made.n_embedded else 0.0,
        warnings=notes + audit.warnings,
    )


def _take_ready(
    pool: TextPool, ready: PrecomputedEmbedder, path: Path | None, started_s: float
) -> tuple[np.ndarray, EmbeddingReport]:
    """Scale ready vectors to unit length; nothing is embedded and no text is read."""
    given = ready.read(pool)
    n, dimension = given.shape
    digest = ""
    if path is None:
        vectors = np.empty((n, dimension), dtype=np.float32)
        for start in range(0, n, READY_ROWS):
            vectors[start : start + READY_ROWS] = unit_rows(given[start : start + READY_ROWS])
    else:
        digest = write_vectors(path, n, dimension, lambda a, b: unit_rows(given[a:b]))
        vectors = np.load(path, mmap_mode="r")
    report = EmbeddingReport(
        embedder=ready.name,
        dimension=dimension,
        n=n,
        n_unique=n,
        n_embedded=0,
        n_reused=n,
        elapsed_s=time.perf_counter() - started_s,
    )
    if path is not None:
        write_report(path, digest, None, report)
    return vectors, report
