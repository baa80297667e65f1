"""`embed`: a pool's conversations → unit vectors, each different text once, resumable.

Finished vectors are ``x.npy`` and, beside it, ``x.keys.npy`` with one key per row, and ``x.json``:
the embedder's name, a digest of both (what does not belong together is never believed) and the
report. While they are made, ``x.npy.partial`` grows by one record per text: its key, mixed with the
embedder's name, and its float16 vector. A killed process leaves whole records and at most one torn
one.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from ds2.arguments import got
from ds2.arrays import Vectors
from ds2.atomic import explain_write_errors, locked, writing
from ds2.checks import check_int
from ds2.embedding.audit import SAMPLE, EmbeddingReport, audited, sentences
from ds2.embedding.embedder import Embedder, TextPool, unit_rows
from ds2.embedding.precomputed import PrecomputedEmbedder
from ds2.embedding.wordllama import WordLlamaEmbedder
from ds2.errors import InputError, warn

__all__ = [
    "Chunk",
    "Progress",
    "Workers",
    "embed",
    "embed_chunk",
    "embed_with_report",
    "index_texts",
    "read_report",
    "sample_keys",
    "share_held",
    "vectors_digest",
    "vectors_of",
]

#: Called after each batch with: texts done, texts in all, texts per second, seconds left.
Progress = Callable[[int, int, float, float], None]

BATCH_SIZE = 128
FORMAT = 2
#: Rows whose texts are held at once while they are indexed, and that one worker indexes at once.
INDEX_ROWS, INDEX_RANGE = 1024, 65_536
#: Rows of vectors that are copied, scaled or checked at once.
BLOCK_ROWS = 16_384
#: Texts are sorted by length within slices of at most this many rows and characters.
SLICE_ROWS = 16_384
SLICE_CHARS = 2**25


class Chunk(NamedTuple):
    """Some rows to embed."""

    start: int  #: they lie in a stretch of the pool that begins here
    stop: int  #: and ends before this row
    rows: np.ndarray  #: (m,) ascending


@runtime_checkable
class Workers(Protocol):
    """Who reads and embeds the texts of a pool, where that is not this process."""

    def index(self, ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield what `index_texts` finds in each range of rows, in their order."""

    def embed(self, chunks: Iterable[Chunk]) -> Iterator[np.ndarray]:
        """Yield the vectors of the rows of each chunk, in their order, as `embed_chunk` does."""


def embed(
    pool: TextPool | Sequence[str],
    embedder: Embedder | PrecomputedEmbedder | None = None,
    *,
    out: str | Path | None = None,
    batch_size: int = BATCH_SIZE,
    reuse: str | Path | None = None,
    progress: Progress | None = None,
) -> Vectors:
    """Return the (n, d) unit vectors of the pool's conversations, or of texts, in their order.

    The warnings of `embed_with_report`, which takes the same arguments, are raised as
    `Ds2Warning`. Without ``out`` the vectors are float32 in memory; with it a float16 memory map.
    """
    vectors, report = embed_with_report(
        pool, embedder, out=out, batch_size=batch_size, reuse=reuse, progress=progress
    )
    for sentence in report.warnings:
        warn(sentence)
    return vectors


def embed_with_report(
    pool: TextPool | Sequence[str],
    embedder: Embedder | PrecomputedEmbedder | None = None,
    *,
    out: str | Path | None = None,
    batch_size: int = BATCH_SIZE,
    reuse: str | Path | None = None,
    progress: Progress | None = None,
    workers: Workers | None = None,
) -> tuple[Vectors, EmbeddingReport]:
    """Embed a pool and say what was done.

    A text that occurs several times is embedded once. With ``out``, finished batches are kept in
    ``out`` + ".partial"; a process killed at any moment loses at most the batch it was at, and the
    same call goes on from there. ``out`` itself appears only when it is whole, followed by a
    .keys.npy beside it with the keys by which a later run finds its vectors again, and a .json with
    the report.

    Args:
        pool: the texts, read in slices; a pool, or texts themselves.
        embedder: None is `WordLlamaEmbedder`.
        out: the .npy to write.
        batch_size: texts given to the embedder at once.
        reuse: a .npy of an earlier run whose vectors are taken over where the text and the
            embedder are the same; by default ``out``, when it is there.
        progress: called after each batch with the different texts done, their total, texts per
            second and seconds left (infinite before the first batch).
        workers: who reads and embeds; by default this process.

    Raises:
        InputError: the pool is empty, a file cannot be read or written, or vectors are unsound.
        RunBusyError: another process is writing the same ``out``.
    """
    started_s = time.perf_counter()
    check_int("batch_size", batch_size, low=1)
    path = _npy(out)
    if not isinstance(pool, TextPool):
        pool = _Texts(pool)
    if len(pool) == 0:
        raise InputError("The pool is empty: there is nothing to embed.")
    if isinstance(embedder, PrecomputedEmbedder):
        return _take_ready(pool, embedder, path, started_s)
    embedder = WordLlamaEmbedder() if embedder is None else embedder
    work = _work(pool, embedder, batch_size, progress, workers)
    earlier, notes = _open_earlier(reuse, path, embedder)
    if path is not None and reuse is None and np.array_equal(earlier.keys, work.keys):
        return earlier.vectors, _as_it_was(path, work, started_s)
    made = _in_memory(work, earlier) if path is None else _in_file(path, work, earlier)
    unique = work.unique
    report = EmbeddingReport(
        embedder=embedder.name,
        dimension=embedder.dimension,
        n=len(pool),
        n_unique=len(unique),
        n_embedded=made.n_embedded,
        n_reused=len(unique) - made.n_embedded,
        texts_per_s=made.n_embedded / made.loop_s if made.n_embedded else 0.0,
        warnings=notes,
    )
    # The texts with the smallest keys: random with respect to content, the same in every run.
    rows = np.sort(unique[np.argsort(work.keys[unique])[:SAMPLE]]).tolist()
    texts = [text for row in rows for text in pool.texts(row, row + 1)]
    report = audited(report, texts, embedder)
    report = replace(report, elapsed_s=time.perf_counter() - started_s)
    if path is not None:
        _write_report(path, made.digest, report, work.keys)
        _partial(path).unlink(missing_ok=True)
    return made.vectors, report


def _as_it_was(path: Path, work: "_Work", started_s: float) -> EmbeddingReport:
    """The report on vectors that are all there already, in the words of today."""
    _partial(path).unlink(missing_ok=True)
    held = read_report(path)
    report = replace(held, warnings=sentences(held, work.embedder))
    if report != held:
        _write_facts(path, _read_sidecar(path) | {"report": asdict(report)})
    elapsed_s = time.perf_counter() - started_s
    report = replace(report, n_embedded=0, n_reused=len(work.unique))
    return replace(report, texts_per_s=0.0, elapsed_s=elapsed_s)


class _Texts:
    """Texts in place of a pool."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = list(texts)
        for at, text in enumerate(self._texts):
            if not isinstance(text, str):
                raise InputError(f"Texts to embed must be text. Got {got(text)} at {at}.")

    def __len__(self) -> int:
        return len(self._texts)

    def texts(self, start: int = 0, stop: int | None = None) -> list[str]:
        """Return texts ``start`` to ``stop``."""
        return self._texts[start:stop]

    def column(self, name: str) -> list[object]:
        """Raise: texts have no columns."""
        raise InputError(f"Texts have no column '{name}'. Give a pool: ds2.read_pool(…).")


def vectors_of(pool: TextPool, embedder: Embedder) -> Vectors:
    """(n, d) The unit vectors of a pool that fits into memory, and nothing about them."""
    return _in_memory(_work(pool, embedder), _open_earlier(None, None, embedder)[0]).vectors


def read_report(path: str | Path) -> EmbeddingReport:
    """Return the report that was written with the vectors at ``path`` (the .npy).

    Raises:
        InputError: there is none, or it cannot be read.
    """
    report = _read_sidecar(Path(path))["report"]
    try:
        languages = tuple((str(name), float(share)) for name, share in report["unknown_languages"])
        warned = tuple(report["warnings"])
        return EmbeddingReport(**{**report, "unknown_languages": languages, "warnings": warned})
    except (TypeError, KeyError, ValueError) as error:
        raise _damaged(_sidecar(Path(path))) from error


def vectors_digest(path: str | Path) -> str:
    """Return the digest of the vectors at ``path`` (the .npy), as it was written with them.

    Raises:
        InputError: as `read_report`.
    """
    return str(_read_sidecar(Path(path))["vectors_blake2b"])


def sample_keys(pool: TextPool, most: int = 1000) -> np.ndarray:
    """(s,) Keys of evenly spaced texts of a pool, for `share_held`."""
    rows = np.unique(np.linspace(0, len(pool) - 1, most).astype(int)).tolist()
    texts = (text for row in rows for text in pool.texts(row, row + 1))
    return np.array([_key(text.encode()) for text in texts], dtype=np.uint64)


def share_held(path: Path, embedder: str, keys: np.ndarray) -> float:
    """Share of the keys that the file written with the vectors (.npy) at ``path`` has.

    0 where there is none, it cannot be read, or another embedder made it.
    """
    try:
        facts = _read_sidecar(path)
        held = np.load(_keys(path), allow_pickle=False)
    except (InputError, OSError, ValueError, EOFError):
        return 0.0
    return float(np.isin(keys, held).mean()) if facts["embedder"] == embedder else 0.0


def _npy(out: str | Path | None) -> Path | None:
    if out is None:
        return None
    path = Path(out)
    if path.suffix != ".npy":
        raise InputError(f"'out' must be the name of a .npy file. Got '{path}'.")
    if not path.parent.is_dir():
        raise InputError(f"The folder '{path.parent}' for the vectors does not exist. Make it.")
    return path


@dataclass(frozen=True, slots=True)
class _Work:
    """What to embed, with what is known of every text without holding it.

    Attributes:
        keys: (n,) uint64, a hash of each text. Two texts among a million share one by chance
            with probability 3e-8.
        sizes: (n,) characters.
        first: (n,) the smallest row with the same text.
        unique: (u,) rows whose text occurs in no earlier row, ascending.
        workers: who embeds, where it is not this process.
    """

    pool: TextPool
    embedder: Embedder
    batch_size: int
    progress: Progress | None
    workers: Workers | None
    keys: np.ndarray
    sizes: np.ndarray
    first: np.ndarray
    unique: np.ndarray

    def embed(self, rows: np.ndarray, sink: Callable[[np.ndarray, np.ndarray], object]) -> float:
        """Embed ``rows`` (ascending) in batches of similar length; return the seconds it took.

        Args:
            rows: of different texts.
            sink: takes the rows and the unit vectors of each batch.
        """
        started_s, done, chars = time.perf_counter(), 0, 0
        total, total_chars = len(self.unique), int(self.sizes[rows].sum())

        def tell() -> None:
            if self.progress is not None:
                took_s, left = max(time.perf_counter() - started_s, 1e-9), total_chars - chars
                left_s = left * took_s / chars if chars else math.inf if left else 0.0
                self.progress(total - len(rows) + done, total, done / took_s, left_s)

        tell()
        for batch, vectors in self._batches(rows):
            sink(batch, vectors)
            done += len(batch)
            chars += int(self.sizes[batch].sum())
            tell()
        return time.perf_counter() - started_s

    def _batches(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The rows and vectors of each batch, or of each chunk that workers return."""
        chunks = [
            Chunk(start, stop, todo)
            for start, stop in _slices(self.sizes)
            if len(todo := rows[slice(*np.searchsorted(rows, (start, stop)))])
        ]
        if self.workers is not None:
            for chunk, vectors in zip(chunks, self.workers.embed(chunks), strict=True):
                yield chunk.rows, _checked(vectors, len(chunk.rows), self.embedder)
            return
        for chunk in chunks:
            yield from embed_chunk(self.pool, self.embedder, chunk, self.batch_size)


def _work(
    pool: TextPool,
    embedder: Embedder,
    batch_size: int = BATCH_SIZE,
    progress: Progress | None = None,
    workers: Workers | None = None,
) -> _Work:
    """Read every text once, a slice at a time."""
    n = len(pool)
    ranges = [(start, min(start + INDEX_RANGE, n)) for start in range(0, n, INDEX_RANGE)]
    found = workers.index(ranges) if workers else (index_texts(pool, *each) for each in ranges)
    keys, sizes = np.empty(n, dtype=np.uint64), np.empty(n, dtype=np.int64)
    for (start, stop), (some, lengths) in zip(ranges, found, strict=True):
        keys[start:stop], sizes[start:stop] = some, lengths
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    first = first[inverse].astype(np.int64)
    unique = np.flatnonzero(first == np.arange(n))
    return _Work(pool, embedder, batch_size, progress, workers, keys, sizes, first, unique)


def index_texts(pool: TextPool, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """(m,) uint64 keys and (m,) lengths in characters of the texts of some rows."""
    keys = np.empty(stop - start, dtype=np.uint64)
    sizes = np.empty(stop - start, dtype=np.int64)
    for at in range(start, stop, INDEX_ROWS):
        for row, text in enumerate(pool.texts(at, min(at + INDEX_ROWS, stop)), at - start):
            keys[row], sizes[row] = _key(text.encode()), len(text)
    return keys, sizes


def embed_chunk(
    pool: TextPool, embedder: Embedder, chunk: Chunk, batch_size: int = BATCH_SIZE
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows and their (m, d) unit vectors, in batches of similar length, longest first."""
    texts = pool.texts(chunk.start, chunk.stop)
    sizes = np.array([len(texts[row - chunk.start]) for row in chunk.rows])
    rows = chunk.rows[np.argsort(-sizes, kind="stable")]
    for at in range(0, len(rows), batch_size):
        batch = rows[at : at + batch_size]
        vectors = embedder.embed([texts[row - chunk.start] for row in batch])
        yield batch, _checked(vectors, len(batch), embedder)


def _key(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def _find(keys: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return for each key its position in ``among``, −1 where it is not there."""
    if len(among) == 0:
        return np.full(len(keys), -1, dtype=np.int64)
    order = np.argsort(among, kind="stable")
    found = np.searchsorted(among, keys, sorter=order)
    positions = order[np.minimum(found, len(among) - 1)]
    return np.where(among[positions] == keys, positions, -1).astype(np.int64)


def _slices(sizes: np.ndarray) -> Iterator[tuple[int, int]]:
    """Cut the pool into ranges of rows within both limits (or of one row above the second)."""
    ends = np.concatenate([[0], np.cumsum(sizes)])
    start = 0
    while start < len(sizes):
        fits = int(np.searchsorted(ends, ends[start] + SLICE_CHARS, side="right")) - 1
        stop = min(max(fits, start + 1), start + SLICE_ROWS)
        yield start, stop
        start = stop


def _checked(vectors: np.ndarray, n: int, embedder: Embedder) -> np.ndarray:
    wanted = (n, embedder.dimension)
    if not isinstance(vectors, np.ndarray) or vectors.shape != wanted:
        got = getattr(vectors, "shape", type(vectors).__name__)
        raise InputError(
            f"The embedder '{embedder.name}' must return an array of shape {wanted}. Got {got}."
        )
    if not np.isfinite(vectors).all():
        raise InputError(
            f"The embedder '{embedder.name}' returned NaN or infinity for one of {n} texts."
        )
    return unit_rows(vectors)


@dataclass(frozen=True, slots=True)
class _Made:
    """All vectors in pool order, the file's digest, the texts embedded now and their seconds."""

    vectors: np.ndarray
    digest: str
    n_embedded: int
    loop_s: float


@dataclass(frozen=True, slots=True)
class _Stored:
    """Vectors of an earlier run: (m, d) float16, (m,) uint64 keys."""

    vectors: np.ndarray
    keys: np.ndarray


def _in_memory(work: _Work, earlier: _Stored) -> _Made:
    """Assemble float32 vectors in memory."""
    vectors = np.empty((len(work.keys), work.embedder.dimension), dtype=np.float32)
    at = _find(work.keys[work.unique], earlier.keys)
    known, todo = work.unique[at >= 0], work.unique[at < 0]
    at = at[at >= 0]
    for block in _blocks(len(known)):
        vectors[known[block]] = unit_rows(earlier.vectors[at[block]])
    loop_s = work.embed(todo, vectors.__setitem__)
    repeated = np.flatnonzero(work.first != np.arange(len(vectors)))
    vectors[repeated] = vectors[work.first[repeated]]
    return _Made(vectors, "", len(todo), loop_s)


def _in_file(path: Path, work: _Work, earlier: _Stored) -> _Made:
    """Assemble a float16 .npy, keeping every finished batch in the file that grows beside it.

    That file stays: the caller removes it once nothing is missing any more.
    """
    partial, dimension = _partial(path), work.embedder.dimension
    record = np.dtype([("key", "<u8"), ("vector", "<f2", (dimension,))])
    mine = work.keys ^ np.uint64(_key(f"{work.embedder.name}\0{dimension}".encode()))
    lock = path.with_name(f".{path.name[:40]}.lock")
    busy = (
        f"Another process is embedding into '{path}'. Wait until it has ended, or choose another "
        "'out'."
    )
    with locked(lock, busy):
        kept = _take_over(partial, record)
        old_at = _find(work.keys, earlier.keys)
        todo = work.unique[((old_at < 0) & ~np.isin(mine, kept))[work.unique]]
        with explain_write_errors(partial), partial.open("ab", buffering=0) as file:
            # Unbuffered: what a full disk refused is not tried again when the file is closed.

            def append(rows: np.ndarray, found: np.ndarray) -> None:
                records = np.empty(len(rows), dtype=record)
                records["key"], records["vector"] = mine[rows], found
                data = memoryview(records.tobytes())
                while data:
                    data = data[file.write(data) :]

            loop_s = work.embed(todo, append)
        size = partial.stat().st_size
        records = np.memmap(partial, record, mode="r") if size else np.empty(0, record)
        new_at = _find(mine, records["key"])

        def block(rows: slice) -> np.ndarray:
            old = old_at[rows]
            found = np.empty((len(old), dimension), dtype=np.float16)
            found[old >= 0] = earlier.vectors[old[old >= 0]]
            found[old < 0] = records["vector"][new_at[rows][old < 0]]
            return found

        digest = _write_vectors(path, len(work.keys), dimension, block)
    return _Made(np.load(path, mmap_mode="r"), digest, len(todo), loop_s)


def _partial(path: Path) -> Path:
    """Return the name of the file that grows while ``path`` is made."""
    return path.with_name(path.name + ".partial")


def _take_over(partial: Path, record: np.dtype[Any]) -> np.ndarray:
    """Return the keys of what a killed run has done, and cut off what follows its whole records.

    Vectors have unit length; what a file system had not yet written, or anybody else's, has not.
    """
    keys = [np.empty(0, dtype=np.uint64)]
    if not partial.is_file():
        return keys[0]
    with explain_write_errors(partial), partial.open("r+b") as file:
        while len(found := np.fromfile(file, record, BLOCK_ROWS)):
            lengths = np.linalg.norm(found["vector"].astype(np.float32), axis=1)
            sound = np.append(np.abs(lengths - 1) < 0.01, False)
            keys.append(found["key"][: int(np.argmin(sound))])
            if len(keys[-1]) < BLOCK_ROWS:
                break
        file.truncate(sum(map(len, keys)) * record.itemsize)
    return np.concatenate(keys)


def _blocks(n: int) -> Iterator[slice]:
    return (slice(at, min(at + BLOCK_ROWS, n)) for at in range(0, n, BLOCK_ROWS))


def _sidecar(path: Path) -> Path:
    return path.with_suffix(".json")


def _keys(path: Path) -> Path:
    return path.with_suffix(".keys.npy")


def _write_vectors(path: Path, n: int, dimension: int, block: Callable[[slice], np.ndarray]) -> str:
    """Write (n, dimension) float16 as a .npy, whole or not at all, and return its digest."""
    digest = hashlib.blake2b(digest_size=16)
    with writing(path) as temporary, temporary.open("wb") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": (n, dimension)}
        np.lib.format.write_array_header_1_0(file, header)
        for rows in _blocks(n):
            data = block(rows).astype("<f2").tobytes()
            digest.update(data)
            file.write(data)
    return digest.hexdigest()


def _write_report(path: Path, digest: str, report: EmbeddingReport, keys: np.ndarray) -> None:
    """Write what lies beside ``path``: the keys, then what vouches for both."""
    data = keys.astype("<u8")
    with writing(_keys(path)) as temporary, temporary.open("wb") as file:
        np.save(file, data, allow_pickle=False)
    facts = {
        "format": FORMAT,
        "embedder": report.embedder,
        "vectors_blake2b": digest,
        "keys_blake2b": hashlib.blake2b(data.tobytes(), digest_size=16).hexdigest(),
        "report": asdict(report),
    }
    _write_facts(path, facts)


def _write_facts(path: Path, facts: Mapping[str, object]) -> None:
    with writing(_sidecar(path)) as temporary:
        temporary.write_text(json.dumps(facts, indent=1), encoding="ascii")


def _open_earlier(
    reuse: str | Path | None, out: Path | None, embedder: Embedder
) -> tuple[_Stored, tuple[str, ...]]:
    """Open the vectors that may be taken over, and say so where those asked for may not."""
    nothing = _Stored(np.empty((0, embedder.dimension), np.float16), np.empty(0, np.uint64))
    if reuse is not None:
        earlier, made_by = _read_stored(Path(reuse))
        if made_by == embedder.name:
            return earlier, ()
        return nothing, (
            f"No vectors of '{reuse}' were taken over: they were made by '{made_by}', "
            f"and these by '{embedder.name}'.",
        )
    try:
        earlier, made_by = (nothing, "") if out is None else _read_stored(out)
    except InputError:  # absent or damaged: it is about to be replaced
        return nothing, ()
    return (earlier if made_by == embedder.name else nothing), ()


def _read_stored(path: Path) -> tuple[_Stored, str]:
    """Open the vectors of an earlier run; return them and the name of their embedder.

    Raises:
        InputError: a file is missing or damaged, or the two do not belong together.
    """
    facts = _read_sidecar(path)
    try:
        vectors: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        keys = np.load(_keys(path), allow_pickle=False).astype(np.uint64)
        whole = vectors.ndim == 2 and vectors.dtype == np.float16 and len(keys) == len(vectors)
    except (OSError, ValueError, EOFError) as error:  # EOFError: an empty file
        raise _damaged(path) from error
    digest = hashlib.blake2b(digest_size=16)
    for rows in _blocks(len(vectors) if whole else 0):
        digest.update(vectors[rows].tobytes())
    whole = whole and digest.hexdigest() == facts.get("vectors_blake2b")
    digest = hashlib.blake2b(keys.astype("<u8").tobytes(), digest_size=16)
    if not whole or digest.hexdigest() != facts.get("keys_blake2b"):
        raise _damaged(path)
    return _Stored(vectors, keys), str(facts["embedder"])


def _read_sidecar(path: Path) -> dict[str, Any]:
    described = _sidecar(path)
    for needed in (path, described, _keys(path)):
        if not needed.is_file():
            raise InputError(
                f"There are no vectors to take over at '{path}': '{needed.name}' is missing. "
                "Embedding with out= writes all three files."
            )
    try:
        facts = json.loads(described.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(described) from error
    if not isinstance(facts, dict) or not {"format", "embedder", "report"} <= facts.keys():
        raise _damaged(described)
    if facts["format"] != FORMAT:
        raise InputError(
            f"'{described}' was written by another version of ds2 (format {facts['format']}, "
            f"this one reads {FORMAT}). Embed again."
        )
    return facts


def _damaged(path: Path) -> InputError:
    return InputError(
        f"'{path}' is damaged, or does not belong to the files beside it. Remove them and embed "
        "again."
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
        for rows in _blocks(n):
            vectors[rows] = unit_rows(given[rows])
    else:
        digest = _write_vectors(path, n, dimension, lambda rows: unit_rows(given[rows]))
        vectors = np.load(path, mmap_mode="r")
    elapsed_s = time.perf_counter() - started_s
    report = EmbeddingReport(ready.name, dimension, n, n, 0, n, elapsed_s=elapsed_s)
    if path is not None:
        _write_report(path, digest, report, np.empty(0))  # rows do not belong to texts
    return vectors, report
