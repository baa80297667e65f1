"""``manifest.json``: what each stage was made from.

It is written last, so it never promises what is not there; an artefact that it does not vouch for
is not believed.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ds2.errors import InputError
from ds2.runs.store import FileHash, write_json

__all__ = ["MANIFEST", "MANIFEST_VERSION", "Manifest", "StageRecord", "read_manifest"]

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1


@dataclass(frozen=True, slots=True)
class StageRecord:
    """One finished stage.

    Attributes:
        settings: the settings that mattered, by dotted key.
        inputs: files outside the run folder, by dotted key of the recipe.
        reads: hash of each artefact of an earlier stage that it read.
        writes: its own artefacts.
        versions: packages that can change the outcome; a change of ds2's own makes it stale.
        seconds: how long it took.
        warnings: what the user should know.
        summary: a few numbers, as JSON.
    """

    settings: Mapping[str, object]
    inputs: Mapping[str, FileHash]
    reads: Mapping[str, str]
    writes: Mapping[str, FileHash]
    versions: Mapping[str, str]
    seconds: float
    warnings: tuple[str, ...]
    summary: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The finished stages of a run, and why the last try of a stage failed, by stage name."""

    stages: Mapping[str, StageRecord] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)

    def with_stage(self, name: str, record: StageRecord) -> "Manifest":
        """Return a manifest in which the stage is finished."""
        failures = {key: value for key, value in self.failures.items() if key != name}
        return Manifest(stages={**self.stages, name: record}, failures=failures)

    def with_failure(self, name: str, sentence: str) -> "Manifest":
        """Return a manifest in which the last try of the stage failed."""
        return replace(self, failures={**self.failures, name: sentence})

    def write(self, folder: Path) -> None:
        """Write ``manifest.json``, whole or not at all."""
        write_json(folder / MANIFEST, {"schema_version": MANIFEST_VERSION, **asdict(self)})


def read_manifest(folder: Path) -> Manifest:
    """Read ``manifest.json``; a folder without one has no finished stage."""
    path = folder / MANIFEST
    try:
        raw = json.loads(path.read_bytes())
        version = raw["schema_version"]
        if version > MANIFEST_VERSION:
            raise InputError(
                f"'{folder}' was made by a newer ds2 (manifest schema_version {version}, this ds2 "
                f"knows {MANIFEST_VERSION}). Upgrade with: pip install --upgrade ds2-select"
            )
        stages = {name: _record(value) for name, value in raw["stages"].items()}
        return Manifest(stages=stages, failures={**raw["failures"]})
    except FileNotFoundError:
        return Manifest()
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(
            f"'{path}' is damaged. Delete it and run again: every stage is then redone."
        ) from None


def _record(raw: dict[str, object]) -> StageRecord:
    fields: dict[str, object] = dict(raw)
    fields["inputs"] = _hashes(raw["inputs"])
    fields["writes"] = _hashes(raw["writes"])
    fields["warnings"] = tuple(raw["warnings"])  # type: ignore[arg-type]
    return StageRecord(**fields)  # type: ignore[arg-type]


def _hashes(raw: object) -> dict[str, FileHash]:
    assert isinstance(raw, dict)
    return {name: FileHash(**value) for name, value in raw.items()}
