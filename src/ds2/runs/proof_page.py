"""The pages of a proof, and the links between them and those of the run."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ds2.report import page_html, page_markdown, proof_report
from ds2.runs.folder import hash_file, read_manifest, write_text

__all__ = ["link_to_proof", "proof_text", "with_proof_link", "write_proof_pages"]

PAGE = "proof/proof.html"
_PAGES = {"report.html": "Report of the run", "compare.html": "Methods compared"}
_NAVIGATION = "</ul>\n</nav>"  # escaped wherever a text of somebody else has it
_LINK = f'<li><a href="{PAGE}">Proof by training</a></li>\n'


def proof_text(
    document: Mapping[str, Any], suffix: str, *, links: Sequence[tuple[str, str]] = ()
) -> str:
    """Return a proof as the text of a .html, .md or .json file."""
    if suffix == ".json":
        return json.dumps(document, indent=2, allow_nan=False) + "\n"
    page = proof_report(document, links=links)
    return page_markdown(page) if suffix == ".md" else page_html(page)


def write_proof_pages(folder: Path) -> None:
    """Write ``proof.html`` and ``proof.md`` of a run from its ``proof/result.json``.

    The pages of the run that are there link to it from now on. The caller holds the folder's lock.
    """
    document = json.loads((folder / "proof" / "result.json").read_bytes())
    links = [(f"../{name}", words) for name, words in _PAGES.items() if (folder / name).is_file()]
    for suffix in (".md", ".html"):
        write_text(folder / "proof" / f"proof{suffix}", proof_text(document, suffix, links=links))
    link_to_proof(folder)


def with_proof_link(page: str, folder: Path) -> str:
    """Return a page of the run, with a link to its proof where there is one."""
    if _LINK in page or not (folder / PAGE).is_file():
        return page
    return page.replace(_NAVIGATION, _LINK + _NAVIGATION, 1)


def link_to_proof(folder: Path) -> None:
    """Link the pages of the run that are there to its proof; the manifest vouches for them still.

    A page that is not what the manifest vouches for is left as it is.
    """
    manifest = read_manifest(folder)
    record = manifest.stages.get("report")
    for name in _PAGES:
        path = folder / name
        vouched = None if record is None else record.writes.get(name)
        if not path.is_file() or (vouched and hash_file(path).sha256 != vouched.sha256):
            continue
        page = path.read_text(encoding="utf-8")
        linked = with_proof_link(page, folder)
        if linked == page:
            continue
        write_text(path, linked)
        if record is not None and vouched:
            record = replace(record, writes={**record.writes, name: hash_file(path)})
            manifest.with_stage("report", record).write(folder)
