"""Stages whose work is shared out: what workers of an engine do, and how their results are kept.

Workers open the run folder, read, and return arrays. The process that shares the work out keeps
what comes back and writes the artefacts, so nobody else needs to be able to write. A run that was
stopped goes on with what was kept.
"""

import json
import os
import platform
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from ds2.atomic import explain_write_errors, writing
from ds2.embedding import Chunk, Embedder, embed_chunk, index_texts
from ds2.engine import Engine, opened_engine
from ds2.errors import InputError
from ds2.neighbors import (
    CellIndex,
    CellSearch,
    Neighbors,
    joined,
    n_threads,
    prepare_cells,
    search_stretch,
)
from ds2.pool import Pool
from ds2.progress import part, steps
from ds2.runs.embedder import choose_embedder
from ds2.runs.folder import write_json
from ds2.runs.frozen import load_vectors
from ds2.runs.job import Job
from ds2.runs.recipe import EmbedSection, Recipe

__all__ = ["embedders_of", "engine_of", "find_by_cells"]

#: From so many rows on, starting processes is worth it.
WORTH_IT = 50_000
#: Embedders whose work keeps one processor busy; others use all, a GPU or an endpoint.
ONE_CORE = ("wordllama", "model2vec")


def engine_of(recipe: Recipe, n: int | None, *, embeds: bool) -> AbstractContextManager[Engine]:
    """Open the engine of a recipe for work on ``n`` rows, None where nobody knows how many.

    ``embeds`` says whether an embedder is part of it, and not the search for neighbours.
    """
    wanted, workers = recipe.engine, recipe.engine.workers
    on_gpu = recipe.neighbors.device != "cpu"
    if workers == "auto":
        shared = recipe.embed.embedder in ONE_CORE if embeds else not on_gpu
        here = n_threads() if shared and (n is None or n >= WORTH_IT) else 1
        workers = here if wanted.name == "here" else 0
    return opened_engine(
        wanted.name,
        workers=workers,
        address=wanted.address,
        gpus=wanted.gpus if embeds or on_gpu else 0.0,
        memory_gb=wanted.memory_gb,
    )


@contextmanager
def embedders_of(job: Job, n: int) -> Iterator["EmbedWorkers | None"]:
    """Yield who reads and embeds ``n`` texts of a run; None where this process does it alone."""
    if job.recipe.embed.embedder in ("precomputed", "openai"):  # a file; an endpoint
        yield None
        return
    with engine_of(job.recipe, n, embeds=True) as engine:
        yield EmbedWorkers(engine, job.folder, job.recipe.embed) if engine.apart else None


@dataclass(frozen=True, slots=True)
class EmbedWorkers:
    """Workers that read and embed the texts of a run; see `ds2.embedding.Workers`."""

    engine: Engine
    folder: Path
    wanted: EmbedSection

    def index(self, ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield keys and lengths of the texts of each range of rows."""
        return self.engine.map(partial(_indexing, self.folder), ranges, what="stretch of texts")

    def embed(self, chunks: Iterable[Chunk]) -> Iterator[np.ndarray]:
        """Yield the vectors of each chunk, float16 as they are kept."""
        make = partial(_embedding, self.folder, self.wanted)
        return self.engine.map(make, chunks, what="stretch of texts")


def _indexing(folder: Path) -> Callable[[tuple[int, int]], tuple[np.ndarray, np.ndarray]]:
    pool = _pool(folder)
    return lambda rows: index_texts(pool, *rows)


def _embedding(folder: Path, wanted: EmbedSection) -> Callable[[Chunk], np.ndarray]:
    pool, embedder = _pool(folder), choose_embedder(wanted, folder)
    assert isinstance(embedder, Embedder), "vectors that are ready are embedded by nobody"

    def embed(chunk: Chunk) -> np.ndarray:
        found = np.empty((len(chunk.rows), embedder.dimension), dtype=np.float16)
        for rows, vectors in embed_chunk(pool, embedder, chunk, wanted.batch_size):
            found[np.searchsorted(chunk.rows, rows)] = vectors
        return found

    return embed


def _pool(folder: Path) -> Pool:
    return Pool.load(_seen(folder) / "pool.arrow")


def _seen(folder: Path) -> Path:
    if folder.is_dir():
        return folder
    raise InputError(
        f"'{folder}' is not there on {platform.node()}. With engine.name = 'ray' the run folder "
        "must lie on storage that every node sees under the same path."
    )


#: Where a search in cells keeps what it has found so far.
KEPT = "neighbors.partial"
#: The arrays of an index, each a file; the codes are mapped into memory.
INDEX = ("codes", "rows", "centres", "ends")
#: What a search is beside its index.
NUMBERS = ("k", "width", "depth", "recall", "short_of")


def find_by_cells(job: Job, vectors: np.ndarray, groups: np.ndarray, key: str) -> Neighbors:
    """Find neighbours in cells, shared out; what was found before it was stopped is taken over.

    Args:
        job: the run.
        vectors: (n, d) its vectors.
        groups: (n,) labels of exact duplicates.
        key: of the vectors, the groups and the settings: other ones start anew.
    """
    kept = job.folder / KEPT
    with part(0.0, 0.35):
        search = _prepared(job, vectors, groups, key)
    files = {each: kept / f"part-{i:05d}.npz" for i, each in enumerate(search.stretches)}
    left = [each for each, file in files.items() if _kept(file, *each) is None]
    with part(0.35, 1.0), engine_of(job.recipe, len(vectors), embeds=False) as engine:
        make = partial(_searching, job.folder, _numbers(search), job.recipe.neighbors.device)
        found = engine.map(make, left, what="stretch of rows")
        for each in steps(left):
            near, far = next(found)
            with writing(files[each]) as temporary, temporary.open("wb") as file:
                np.savez(file, allow_pickle=False, indices=near, distances=far)
    every = (_kept(file, *each) for each, file in files.items())
    return joined(search, (pair for pair in every if pair is not None), groups)


def _kept(file: Path, start: int, stop: int) -> tuple[np.ndarray, np.ndarray] | None:
    """What was found for a stretch; None where it was not searched, or the file is damaged."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as found:
            near, far = found["indices"], found["distances"]
    except (OSError, ValueError, EOFError, KeyError, BadZipFile, zlib.error):
        return None
    return (near, far) if len(near) == len(far) == stop - start else None


def _prepared(job: Job, vectors: np.ndarray, groups: np.ndarray, key: str) -> CellSearch:
    """The search, as it was prepared before or made now; its arrays are files beside it."""
    kept, wanted = job.folder / KEPT, job.recipe.neighbors
    facts = kept / "search.json"
    try:
        said = json.loads(facts.read_bytes())
        if said["key"] == key:
            return CellSearch(_opened(kept, wanted.device), **said["search"])
    except (OSError, ValueError, EOFError, KeyError, TypeError):
        pass  # there is none, or half of one
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir()

    def empty(shape: tuple[int, int], kind: Any) -> np.ndarray:
        codes = np.lib.format.open_memmap(kept / "codes.npy", "w+", kind, shape)
        if hasattr(os, "posix_fallocate"):  # writing to a map would end the process on a full disk
            with explain_write_errors(kept / "codes.npy"), (kept / "codes.npy").open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, codes.offset + codes.nbytes)
        return codes

    search = prepare_cells(
        vectors,
        wanted.k,
        groups=groups,
        min_recall=wanted.min_recall,
        seed=job.recipe.seed,
        device=wanted.device,
        empty=empty,
    )
    if isinstance(search.index.codes, np.memmap):
        search.index.codes.flush()
    for name in INDEX[1:]:
        with writing(kept / f"{name}.npy") as temporary, temporary.open("wb") as file:
            np.save(file, getattr(search.index, name), allow_pickle=False)
    write_json(facts, {"key": key, "search": _numbers(search)})
    return search


def _numbers(search: CellSearch) -> dict[str, Any]:
    """What a search is beside its index."""
    return {name: getattr(search, name) for name in NUMBERS}


def _opened(kept: Path, device: str) -> CellIndex:
    codes, rows, centres, ends = (
        np.load(kept / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in INDEX
    )
    return CellIndex(codes, rows, centres, ends, device)


def _searching(
    folder: Path, wanted: Mapping[str, Any], device: str
) -> Callable[[tuple[int, int]], tuple[np.ndarray, np.ndarray]]:
    vectors = load_vectors(_seen(folder))
    search = CellSearch(_opened(folder / KEPT, device), **wanted)
    return lambda places: search_stretch(vectors, search, *places)
