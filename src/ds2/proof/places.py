"""Where the runs of an arm are: a path, a pattern, a folder with one sub-folder for each run."""

import re
from collections import defaultdict
from collections.abc import Sequence
from glob import glob
from pathlib import Path

from ds2.errors import InputError

__all__ = ["find_arms"]

#: Files of a folder that are read.
SAMPLES = ("samples_*.jsonl", "items*.jsonl")
_SEED = re.compile(r"(?P<arm>.+?)[-_.](?:s|seed|run)[-_]?\d+")
_BARE_SEED = re.compile(r"(?:s|seed|run)?[-_]?\d+")


def find_arms(specs: Sequence[str], *, paired: bool = False) -> dict[str, dict[str, list[Path]]]:
    """Return arm → run → files, from paths and patterns, each with ``NAME=`` before it or not.

    ``ds2-s0`` and ``ds2-s1`` are runs of the arm ``ds2``, and so are paths that are given one name.
    Runs come in the order of their numbers, which must be the same in all arms where ``paired``.

    Raises:
        InputError: a path is not there or holds no samples, or what it is can be read in two ways.
    """
    arms: dict[str, dict[str, list[Path]]] = defaultdict(dict)
    for spec in specs:
        given, pattern = _split(spec)
        matches = [pattern] if Path(pattern).exists() else sorted(glob(pattern))  # noqa: PTH207
        if not matches:
            raise InputError(
                f"{pattern} is not there. Give a folder that lm-eval wrote, or a file."
            )
        for path in map(Path, matches):
            name, seed = _name(path)
            name = given or name
            runs = _runs(path, seed)
            if (arms[name] and not seed and not given) or runs.keys() & arms[name].keys():
                raise InputError(
                    f"Two paths make the arm '{name}', with runs of one name or none. Name the "
                    f"arms (NAME={path}), and the folders of their runs by number."
                )
            arms[name].update(runs)
    if len(arms) < 2:
        raise InputError(
            f"There is one arm, '{next(iter(arms), '')}'. Give two or more, each a folder or "
            "NAME=PATH; the last is the baseline."
        )
    ordered = {arm: dict(sorted(runs.items(), key=_place)) for arm, runs in arms.items()}
    numbers = {arm: [_place(run)[0] for run in runs.items()] for arm, runs in ordered.items()}
    first = next(iter(numbers))
    for arm, found in numbers.items():
        if paired and (found != numbers[first] or len(set(found)) < len(found)):
            raise InputError(
                f"Runs are paired by the number that their names end in. '{first}' has "
                f"{', '.join(ordered[first])}; '{arm}' has {', '.join(ordered[arm])}. Rename the "
                "folders, or compare unpaired."
            )
    return ordered


def _place(run: tuple[str, list[Path]]) -> tuple[int, str]:
    number = re.search(r"(\d+)\D*$", run[0])
    return (int(number[1]) if number else -1, run[0])


def _split(spec: str) -> tuple[str, str]:
    name, equals, path = spec.partition("=")
    return (name, path) if equals and "/" not in name and not Path(spec).exists() else ("", spec)


def _name(path: Path) -> tuple[str, str]:
    """Name of the arm, and of the run where the path is one of several."""
    name = path.resolve().name if path.is_dir() else path.stem
    if seed := _SEED.fullmatch(name):
        return seed["arm"], name
    return (path.resolve().parent.name, name) if _BARE_SEED.fullmatch(name) else (name, "")


def _runs(path: Path, seed: str) -> dict[str, list[Path]]:
    """Runs of a path: itself, or one for each sub-folder that holds samples."""
    if path.is_file():
        return {seed or path.name: [path]}
    files = sorted({file for pattern in SAMPLES for file in path.rglob(pattern)})
    if not files:
        raise InputError(
            f"{path} holds no file {' or '.join(SAMPLES)}. Evaluate with lm-eval's --log_samples "
            "and --output_path."
        )
    depth = len(path.parts)  # down to where files are, or folders part
    while len({file.parts[depth] for file in files}) == 1 and len(files[0].parts) > depth + 1:
        depth += 1
    folders = {file.parts[depth] if len(file.parts) > depth + 1 else "" for file in files}
    if folders == {""} or (seed and "" not in folders):
        return {seed or path.name: files}
    if "" in folders:
        raise InputError(
            f"{path} holds samples files, and so do folders in it, so it is not clear what one run "
            "is. Give each run a folder of its own."
        )
    named = {match["arm"] for match in map(_SEED.fullmatch, folders) if match}
    if len(named) > 1:
        raise InputError(
            f"{path} holds runs of several arms ({', '.join(sorted(named))}). Give each run a path "
            "of its own; those of one name are put together."
        )
    return {name: [file for file in files if file.parts[depth] == name] for name in sorted(folders)}
