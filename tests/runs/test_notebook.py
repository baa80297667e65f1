"""The README's Python in a real Jupyter kernel: what the cells show."""

import re
from pathlib import Path

import pytest
from small_pool import make_rows, write_rows

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

README = Path(__file__).parents[2] / "README.md"
FRAME = """import pandas as pd
frame = pd.read_json("pool.jsonl", lines=True)
frame["second"] = frame["score"].sample(frac=1, random_state=0).to_numpy()
frame["third"] = frame["score"]
ds2.run(frame, scores=["score", "second", "third"], size=16)"""

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


def test_the_readme_runs_in_a_notebook_and_its_results_are_seen(tmp_path):
    whole, steps = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)[:2]
    write_rows(tmp_path / "pool.jsonl", make_rows())
    cells = [whole, "result", steps, "noise", "curation", "chosen", "pool", FRAME]
    cells.append("ds2.select(curation.scores, size=5)")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(
        book, timeout=300, allow_errors=True, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    shown = [cell.outputs for cell in book.cells]
    failed = [out.evalue for outs in shown[:-1] for out in outs if out.output_type == "error"]
    assert failed == []
    assert "tail=ds2.long_tail_scores(neighbors)" in shown[-1][0].evalue
    pages = {
        cell.source: out.data["text/html"]
        for cell in book.cells
        for out in cell.outputs
        if out.output_type == "execute_result" and "text/html" in out.data
    }
    assert "P(observed = column | true = row)" in pages["result"]
    assert "What was selected?" in pages["result"]
    lines = [out for out in shown[0] if out.output_type == "display_data"]
    assert [out.data["text/plain"] for out in lines] == [""], "one line of progress, wiped"
    assert {"noise", "curation", "chosen", FRAME} <= set(pages)
    warned = "".join(
        out.text for out in shown[2] if out.output_type == "stream" and out.name == "stderr"
    )
    assert "Ds2Warning" in warned
    assert "/ds2/" not in warned, "a warning stands at the line of the cell"
