"""The pages of a proof in a run folder, and the links to and from it."""

import json

import pytest

from ds2.report import Page, page_html
from ds2.runs import read_manifest
from ds2.runs.folder import Manifest, StageRecord, hash_file
from ds2.runs.proof_page import with_proof_link, write_proof_pages

PAGE = "<header><nav>\n<ul>\n<li>x</li>\n</ul>\n</nav></header><ul>\n</ul>\n</nav>"
LINK = '<li><a href="proof/proof.html">'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "proof").mkdir()
    document = {"title": "Proof", "state": "planned", "plan": {"model": "tiny"}}
    (tmp_path / "proof" / "result.json").write_text(json.dumps(document))
    for name in ("report.html", "compare.html"):
        (tmp_path / name).write_text(PAGE)
    record = StageRecord(
        settings={}, inputs={}, reads={}, versions={}, seconds=0.0, warnings=(), summary={},
        writes={"report.html": hash_file(tmp_path / "report.html")},
    )  # fmt: skip
    Manifest({"report": record}).write(tmp_path)
    return tmp_path


def test_pages_link_to_each_other_and_the_manifest_still_vouches(folder):
    write_proof_pages(folder)
    page = (folder / "proof" / "proof.html").read_text()
    assert 'href="../report.html"' in page
    assert 'href="../compare.html"' in page
    assert "Not trained yet" in (folder / "proof" / "proof.md").read_text()
    for name in ("report.html", "compare.html"):
        assert (folder / name).read_text().count(LINK) == 1
        assert (folder / name).read_text().index(LINK) < (folder / name).read_text().index("</nav>")
    writes = read_manifest(folder).stages["report"].writes
    assert writes["report.html"].sha256 == hash_file(folder / "report.html").sha256
    write_proof_pages(folder)
    assert (folder / "report.html").read_text().count(LINK) == 1


def test_a_report_that_was_changed_is_left_alone_and_a_missing_page_is_no_link(folder):
    (folder / "report.html").write_text(PAGE + "changed")
    (folder / "compare.html").unlink()
    write_proof_pages(folder)
    assert (folder / "report.html").read_text() == PAGE + "changed"
    assert "compare.html" not in (folder / "proof" / "proof.html").read_text()


def test_no_link_without_a_proof(folder):
    assert with_proof_link(PAGE, folder) == PAGE


def test_a_page_of_a_run_has_the_place_for_the_link_once():
    assert page_html(Page("t", "", (), (), ())).count("</ul>\n</nav>") == 1
