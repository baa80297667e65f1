"""What run folders share: vectors and neighbours, found again by their content.

An entry is a folder ``KIND/KEY`` with its files and ``entry.json``, which has their SHA-256. It is
written under another name and renamed when it is whole; what is read is hashed on the way, and an
entry that is not what was written is dropped. Above the limit the entry goes first that was not
used for longest (the modification time of its ``entry.json``). Nothing in a run depends on it:
where it cannot be used, a stage does its work itself.

DS2_CACHE names the folder ("off": there is none), DS2_CACHE_LIMIT its size ("10GB").
"""

import hashlib
import json
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ds2.atomic import writing
from ds2.errors import InputError
from ds2.runs.job import Listener
from ds2.runs.recipe_file import at_home

__all__ = ["Cache", "Entry", "find_cache", "key_of", "open_cache"]

FOLDER, LIMIT, OFF = "DS2_CACHE", "DS2_CACHE_LIMIT", "off"
USUAL_LIMIT = "10GB"
#: The layout: entries of another one are never read.
LAYOUT = "v1"
FACTS = "entry.json"
_BLOCK = 2**20
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
#: Seconds after which a half-written entry is nobody's any more.
_ABANDONED_S = 86_400.0
#: Seconds to wait for others who keep something.
_WAIT_S = 10.0


class _DamagedError(Exception):
    """An entry is not what was written."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry."""

    path: Path  #: its folder
    #: what it is of, in a few words by name; no secret and no text of an example
    about: Mapping[str, str]
    files: Mapping[str, tuple[str, int]]  #: by name, the SHA-256 and the bytes
    used_s: float  #: when it was used last, in seconds since the epoch

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(size for _, size in self.files.values())


@dataclass(frozen=True, slots=True)
class Cache:
    """A cache."""

    root: Path  #: its folder
    limit: int  #: bytes that it may hold

    def entries(self, kind: str = "*") -> list[Entry]:
        """Return the entries of a kind, or all, the last used first."""
        found = map(_read, self.root.glob(f"{kind}/[!.]*"))
        return sorted((one for one in found if one is not None), key=lambda one: -one.used_s)

    def fetch(self, kind: str, key: str, folder: Path) -> bool:
        """Copy the files of an entry into ``folder``; False where there is none that is sound."""
        entry = _read(self.root / kind / key)
        if entry is None:
            return False
        try:
            for name, known in entry.files.items():
                with writing(folder / name) as temporary:
                    if _copy(entry.path / name, temporary) != known:
                        raise _DamagedError
        except _DamagedError:
            _drop(entry.path)
            return False
        with suppress(OSError):
            os.utime(entry.path / FACTS)
        return True

    def keep(
        self, kind: str, key: str, files: Sequence[Path], about: Mapping[str, str] | None = None
    ) -> str | None:
        """Copy files into an entry, then drop what is too much; return what went wrong, if it did.

        An entry that is there already was not of use: it is replaced. Files that are larger than
        the whole cache may be are not kept.
        """
        place = self.root / kind / key
        temporary = place.with_name(f".{key[:16]}.{secrets.token_hex(4)}.tmp")
        try:
            if sum(path.stat().st_size for path in files) > self.limit:
                return None
            temporary.mkdir(mode=0o700, parents=True)
            held = {path.name: _copy(path, temporary / path.name) for path in files}
            facts = json.dumps({"about": dict(about or {}), "files": held})
            (temporary / FACTS).write_text(facts, encoding="utf-8")
            with self._alone():
                _drop(place)
                temporary.rename(place)
                self._trim()
        except Timeout:  # somebody keeps something else for long: this is not kept
            return None
        except (OSError, _DamagedError) as error:
            reason = getattr(error, "strerror", None) or "a file changed"
            return f"the cache at '{self.root}' could not be written ({reason}): {OFF_WITH}"
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return None

    def clear(self) -> None:
        """Drop every entry."""
        for path in self.root.glob("*/[!.]*"):
            _drop(path)

    def _alone(self) -> FileLock:
        """A lock that one process has at a time; those who only read need none."""
        return FileLock(self.root / ".lock", timeout=_WAIT_S)

    def _trim(self) -> None:
        """Drop what was abandoned, and the entries used longest ago until the rest is within."""
        for path in self.root.glob("*/.*.tmp"):
            with suppress(OSError):
                if path.stat().st_mtime < time.time() - _ABANDONED_S:
                    shutil.rmtree(path, ignore_errors=True)
        total = 0
        for entry in self.entries():
            total += entry.size
            if total > self.limit:
                _drop(entry.path)


OFF_WITH = f"{FOLDER}=PATH names another, {FOLDER}={OFF} does without"


def open_cache(listener: Listener) -> Cache | None:
    """Return the cache to use, its folder made; None, said where it is news, where there is none.

    Raises:
        InputError: DS2_CACHE_LIMIT is no size.
    """
    cache = find_cache()
    if cache is None:
        return None
    try:
        cache.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = cache.root.stat().st_uid
    except OSError as error:
        listener.said(f"no cache at '{cache.root}' ({error.strerror}): {OFF_WITH}")
        return None
    if hasattr(os, "getuid") and owner != os.getuid():  # whoever owns it could change what is read
        listener.said(f"the cache at '{cache.root}' belongs to somebody else: {OFF_WITH}")
        return None
    return cache


def find_cache() -> Cache | None:
    """Return the cache that the environment names, None where it is off; nothing is made."""
    wanted = os.environ.get(FOLDER, "")
    if wanted.lower() == OFF:
        return None
    root = at_home(wanted).absolute() if wanted else _usual()
    return Cache(root / LAYOUT, _bytes(os.environ.get(LIMIT) or USUAL_LIMIT))


def key_of(*parts: object) -> str:
    """Return the key of an entry that rests on these JSON values and nothing else."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _usual() -> Path:
    """Where this system keeps what can be made again."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
        return Path(base) / "ds2" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "ds2"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ds2"


def _bytes(text: str) -> int:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?\s*", text, re.IGNORECASE)
    if found is None:
        raise InputError(f"{LIMIT} must be a size such as 500MB or 10GB. Got {text!r}.")
    return round(float(found[1]) * _UNITS[found[2].upper()])


def _read(path: Path) -> Entry | None:
    """An entry from its folder; None, and it is dropped, where it cannot be understood."""
    facts = path / FACTS
    try:
        held = json.loads(facts.read_bytes())
        about = {str(key): str(value) for key, value in held["about"].items()}
        files = {Path(name).name: (str(of[0]), int(of[1])) for name, of in held["files"].items()}
        return Entry(path, about, files, facts.stat().st_mtime)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        _drop(path)
        return None


def _copy(source: Path, target: Path) -> tuple[str, int]:
    """Copy a file; return the SHA-256 and the bytes of what was copied."""
    digest, size = hashlib.sha256(), 0
    try:
        file = source.open("rb")
    except FileNotFoundError:
        raise _DamagedError from None
    with file, target.open("wb") as copy:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += copy.write(block)
    return digest.hexdigest(), size


def _drop(path: Path) -> None:
    """Remove an entry: out of sight first, so that nobody finds the half of it."""
    gone = path.with_name(f".{secrets.token_hex(4)}.tmp")
    with suppress(OSError):
        path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
