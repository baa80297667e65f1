"""The vectors computed so far, in one file that only grows and checks itself.

A header names the embedder; then one record per text: key, float16 vector, CRC-32 of both. A
process that is killed leaves whole records and at most one torn one, which is cut off when the
file is opened again. Nothing in it depends on the order or the number of the pool's rows.
"""

import json
import os
import zlib
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from ds2.atomic import explain_write_errors
from ds2.errors import RunBusyError

__all__ = ["Journal"]

_MAGIC = b"ds2 embedding journal 1\n"
_CHECK_ROWS = 4096


class Journal:
    """An open journal; a context manager that closes it and leaves the file.

    A file that was written by another embedder, or is not a journal, is started anew. One process
    at a time writes it; a second one gets a `RunBusyError`.

    Attributes:
        path: the file.
        keys: (m,) uint64 keys of the records, in the order they were written.
    """

    def __init__(self, path: Path, *, embedder: str, dimension: int) -> None:
        self.path = path
        facts = {"embedder": embedder, "dimension": dimension}
        self._header = _MAGIC + json.dumps(facts).encode() + b"\n"
        self._dtype = np.dtype([("key", "<u8"), ("vector", "<f2", (dimension,)), ("crc", "<u4")])
        with explain_write_errors(path):
            # Unbuffered: what a full disk refused is not tried again when the file is closed.
            self._file = open(path, "ab", buffering=0, opener=_no_link)  # noqa: SIM115
        try:
            self._lock()
            with explain_write_errors(path):
                self._keys = self._take_over()
        except BaseException:
            self._file.close()
            raise

    def _lock(self) -> None:
        """Keep the file for this process; the system lets go of it when the process ends."""
        import fcntl

        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunBusyError(
                f"Another process is embedding into '{self.path}'. Wait until it has ended, or "
                "choose another 'out'."
            ) from None

    def _take_over(self) -> list[np.ndarray]:
        """Return the keys of the sound records and cut off what follows them."""
        with self.path.open("rb") as file:
            if file.read(len(self._header)) != self._header:
                self._file.truncate(0)
                self._file.write(self._header)
                return []
            keys = self._read_keys(file)
        end = len(self._header) + sum(map(len, keys)) * self._dtype.itemsize
        self._file.truncate(end)
        return keys

    @property
    def _n(self) -> int:
        return sum(map(len, self._keys))

    def _read_keys(self, file: BinaryIO) -> list[np.ndarray]:
        """Read records up to the first that is torn or damaged."""
        size = self._dtype.itemsize
        keys: list[np.ndarray] = []
        while data := file.read(_CHECK_ROWS * size):
            records = np.frombuffer(data, self._dtype, len(data) // size)
            sound = records["crc"] == self._crc(records)
            n_sound = len(records) if sound.all() else int(np.argmin(sound))
            keys.append(records["key"][:n_sound].astype(np.uint64))
            if n_sound < len(records):
                break
        return keys

    def _crc(self, records: np.ndarray) -> np.ndarray:
        checked = self._dtype.itemsize - 4
        data = records.tobytes()
        starts = range(0, len(data), self._dtype.itemsize)
        return np.array([zlib.crc32(data[at : at + checked]) for at in starts], dtype=np.uint32)

    @property
    def keys(self) -> np.ndarray:
        """Keys of all records, oldest first."""
        return np.concatenate(self._keys) if self._keys else np.empty(0, dtype=np.uint64)

    def append(self, keys: np.ndarray, vectors: np.ndarray) -> None:
        """Write one batch; once this returns, killing the process does not lose it."""
        records = np.zeros(len(keys), dtype=self._dtype)
        records["key"] = keys
        records["vector"] = vectors
        records["crc"] = self._crc(records)
        data = memoryview(records.tobytes())
        with explain_write_errors(self.path):
            while data:
                data = data[self._file.write(data) :]
        self._keys.append(np.asarray(keys, dtype=np.uint64))

    def vectors(self) -> np.ndarray:
        """Return the (m, d) float16 vectors of all records as a memory map."""
        if self._n == 0:
            return np.empty((0, self._dtype["vector"].shape[0]), dtype=np.float16)
        offset = len(self._header)
        records = np.memmap(self.path, self._dtype, mode="r", offset=offset, shape=(self._n,))
        vectors: np.ndarray = records["vector"]
        return vectors

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()


def _no_link(path: str, flags: int) -> int:
    """Open a file that is also a lock: never through a link."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o644)
