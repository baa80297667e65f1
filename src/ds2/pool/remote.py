"""Pools in an object store, s3:// or gs://, through Arrow's file systems.

Credentials are those that Arrow finds: of S3 the environment (AWS_ACCESS_KEY_ID and the others,
AWS_PROFILE, the machine's role), of GCS the application default ones. They are never part of an
address. What follows a ``?`` in one (``region``, ``endpoint_override``, ``scheme``) goes to Arrow.
"""

import difflib
import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from ds2.errors import Ds2Error, InputError, RunError
from ds2.pool.wording import shown, shown_path
from ds2.progress import counter

__all__ = ["RemoteFile", "fingerprint", "is_remote", "listed"]

_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
#: What an address holds before its bucket, and the one such word that is no secret. A secret may
#: hold a slash; no bucket holds a colon.
_USER = re.compile(r"://(?:[^/?]*|[^/?:]*:[^?]*)@")
_ANYBODY = "://anonymous@"
_MAGIC = re.compile(r"[*?\[]")
_QUERY = re.compile(r"\?[^?/]+=[^?]*$")  # a pattern may hold a question mark, too
#: Seconds that Arrow goes on trying where a GCS address names none; it would try for 15 minutes.
_PATIENCE = "retry_limit_seconds"
_DENIED = re.compile(
    r"ACCESS_DENIED|FORBIDDEN|HTTP status (400|401|403)|INVALID_ACCESS_KEY|SIGNATURE|TOKEN|"
    r"UNAUTH|[Cc]redential|PERMISSION_DENIED"
)
_AWAY = re.compile(r"NETWORK_CONNECTION|curlCode|TIMEOUT|[Tt]imed? ?out|UNAVAILABLE|SLOW_DOWN")
_KEYS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or gcloud auth application-default login",
}


def is_remote(place: object) -> bool:
    """Say whether a place is an address, as those in an object store are, and no path."""
    return isinstance(place, str) and _REMOTE.match(place) is not None


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One object; as a path it is its address, without what follows a ``?``."""

    system: Any = field(repr=False)  #: the ``pyarrow.fs.FileSystem``
    key: str  #: bucket and key
    address: str  #: what to call it
    size: int  #: bytes
    mtime_ns: int  #: when it was written

    def __fspath__(self) -> str:
        return self.address

    @property
    def name(self) -> str:
        """The last part of its key."""
        return PurePosixPath(self.key).name

    @property
    def suffix(self) -> str:
        """What its name ends in."""
        return PurePosixPath(self.key).suffix

    def open(self) -> "_Stream":
        """Open it for reading, at any place; each read is a request."""
        return _Stream(self)


class _Stream(io.RawIOBase):
    """An object as a file that says which share of it has been read."""

    def __init__(self, file: RemoteFile) -> None:
        self._address, self._count = file.address, counter(max(1, file.size))
        with _explained(file.address):
            self._inside = file.system.open_input_file(file.key)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return int(self._inside.seek(offset, whence))

    def tell(self) -> int:
        return int(self._inside.tell())

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer, and count it."""
        with _explained(self._address):
            n = int(self._inside.readinto(buffer))
        self._count(n)
        return n

    def close(self) -> None:
        if not self.closed:
            self._inside.close()
        super().close()


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """Turn what a file system refuses into one sentence. It never holds what is in the environment.

    Raises:
        InputError: there is no such bucket or key, or no permission.
        RunError: the store cannot be reached.
    """
    import pyarrow as pa

    name = shown_path(address)
    try:
        yield
    except Ds2Error:
        raise
    except FileNotFoundError:
        raise InputError(f"{name} does not exist.") from None
    except (OSError, pa.ArrowException) as error:
        said = str(error)
        scheme = "s3" if address.lower().startswith("s3") else "gs"
        if "NO_SUCH_BUCKET" in said or "bucket does not exist" in said:
            raise InputError(f"{name} cannot be read: {_no_bucket(address)}") from None
        if _AWAY.search(said):
            raise RunError(
                f"The store of {name} cannot be reached. Check the network, and the endpoint if "
                "one is set, then do the same again."
            ) from None
        if _DENIED.search(said):
            raise InputError(
                f"{name} cannot be read: permission denied. Keys come from the environment, never "
                f"from the address: {_KEYS[scheme]}."
            ) from None
        reason = shown(said.partition(" (Request")[0], 200)
        raise InputError(f"{name} cannot be read: {reason}.") from None


def _no_bucket(address: str) -> str:
    bucket = address.partition("://")[2].partition("/")[0]
    return f"there is no bucket {shown(bucket)}. Check its name and its region."


def _opened(place: str) -> tuple[Any, str, str]:
    """Return an address's file system, its bucket and key, and the address without its query."""
    from pyarrow.fs import FileSystem

    bare, _, query = place.rpartition("?") if _QUERY.search(place) else (place, "", "")
    if _USER.search(bare) and _ANYBODY not in bare:
        raise InputError(
            "An address of a pool holds a name or a key before its '@'. Keys come from the "
            f"environment, never from the address: {_KEYS['s3']}; {_KEYS['gs']}."
        )
    scheme, _, rest = bare.partition("://")
    scheme = scheme.lower()
    if scheme not in ("s3", "gs", "gcs"):
        raise InputError(
            f"{shown_path(bare)} cannot be read: of addresses ds2 knows s3://, gs:// and "
            "hf:org/name. Download the file first."
        )
    bucket, _, key = rest.partition("/")
    if not bucket.removeprefix("anonymous@"):
        raise InputError(f"{shown_path(bare)} names no bucket. Write {scheme}://BUCKET/KEY.")
    if scheme != "s3" and _PATIENCE not in query:
        query += f"{'&' if query else ''}{_PATIENCE}=30"
    with _explained(bare):  # a key may hold what a URI may not
        system, root = FileSystem.from_uri(f"{scheme}://{bucket}{'?' if query else ''}{query}")
    return system, f"{root.strip('/')}/{key}".rstrip("/"), bare.rstrip("/")


def listed(place: str) -> tuple[str, list[RemoteFile], str | None]:
    """Return what to call an address, the objects that it names, and its key if it is a folder's.

    Raises:
        InputError: there are none, or they may not be read.
        RunError: the store cannot be reached.
    """
    from pyarrow.fs import FileSelector, FileType

    system, path, address = _opened(place)
    start = address[: len(address) - len(path)]
    bucket = path.partition("/")[0]
    if pattern := _MAGIC.search(path):
        top = path[: pattern.start()].rpartition("/")[0]
        with _explained(address):
            found = system.get_file_info(FileSelector(top, recursive=True, allow_not_found=True))
        parts = path.split("/")
        found = [one for one in found if _matches(parts, one.path.split("/"))]
        folder = None
    else:
        with _explained(address):
            (info,) = found = [system.get_file_info(path)]
            folder = path if info.type == FileType.Directory else None
            if info.type == FileType.NotFound:
                raise InputError(f"{shown_path(address)} does not exist. {_near(system, path)}")
            if folder is not None:
                found = system.get_file_info(FileSelector(path, recursive=True))
    if not found and bucket:
        with _explained(address):
            if system.get_file_info(bucket).type == FileType.NotFound:
                raise InputError(f"{shown_path(address)} matches nothing: {_no_bucket(address)}")
    files = [
        RemoteFile(system, one.path, start + one.path, one.size, one.mtime_ns)
        for one in found
        if one.type == FileType.File
    ]
    return address, files, folder


def _matches(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    """As ``glob`` does, part by part; ``**`` stands for any number of parts."""
    if not pattern or not parts:
        return not parts and all(part == "**" for part in pattern)
    if pattern[0] == "**":
        return _matches(pattern[1:], parts) or _matches(pattern, parts[1:])
    return fnmatchcase(parts[0], pattern[0]) and _matches(pattern[1:], parts[1:])


def _near(system: Any, path: str) -> str:
    """Name what comes nearest to a key that is not there, or say that its bucket is not."""
    from pyarrow.fs import FileSelector, FileType

    bucket, _, key = path.partition("/")
    if system.get_file_info(bucket).type == FileType.NotFound:
        return _no_bucket(f"://{bucket}").replace("there", "There", 1)
    above = path.rpartition("/")[0] if key else bucket
    beside = system.get_file_info(FileSelector(above, allow_not_found=True))
    near = difflib.get_close_matches(path.rpartition("/")[2], [one.base_name for one in beside], 1)
    return f"Did you mean {shown_path(near[0])}?" if near else "Check the key."


def fingerprint(place: str) -> tuple[str, int, int]:
    """Return a digest of the names, sizes and times of what an address names, and size and time.

    Nothing is downloaded: an object that is written anew has another time.
    """
    files = sorted(listed(place)[1], key=lambda file: file.key)
    lines = [f"{file.key}\0{file.size}\0{file.mtime_ns}\n" for file in files]
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    newest = max((file.mtime_ns for file in files), default=0)
    return digest, sum(file.size for file in files), newest
