"""Make the pool of the DS² paper (arXiv 2410.10877): five sources from the hub, 300,932 rows.

    python examples/paper/make_pool.py pool.jsonl [--small DIR]

Three sources are read from Tülu's mixture, which holds them with as many rows as the paper has.
--small DIR takes DIR/flan_v2.jsonl … DIR/alpaca.jsonl instead, for a trial without a network.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets import load_dataset

TULU = "allenai/tulu-v1-sft-mixture"
#: Source: its name on the hub, the part of it that is meant, rows in the paper.
SOURCES = {
    "flan_v2": (TULU, "flan_v2", 100_000),
    "oasst1": (TULU, "oasst1", 33_919),
    "wizardlm": ("WizardLMTeam/WizardLM_evol_instruct_V2_196k", None, 100_000),
    "dolly": (TULU, "dolly", 15_011),
    "alpaca": ("tatsu-lab/alpaca", None, 52_002),
}
ROLES = {"human": "user", "gpt": "assistant"}


def rows_of(name: str, part: str | None, small: Path | None, source: str) -> Any:
    if small is not None:
        return load_dataset("json", data_files=str(small / f"{source}.jsonl"), split="train")
    rows = load_dataset(name, split="train")
    return rows if part is None else rows.filter(lambda of: of == part, input_columns="dataset")


def messages(row: dict[str, Any]) -> Iterator[dict[str, str]]:
    for turn in row.get("messages") or row.get("conversations") or ():
        role = turn.get("role") or turn["from"]
        yield {"role": ROLES.get(role, role), "content": turn.get("content") or turn.get("value")}
    if "instruction" in row:
        asked = f"{row['instruction']}\n\n{row['input']}" if row["input"] else row["instruction"]
        yield {"role": "user", "content": asked}
        yield {"role": "assistant", "content": row["output"]}


parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
parser.add_argument("out", type=Path)
parser.add_argument("--small", type=Path, metavar="DIR")
options = parser.parse_args()
with Path(f"{options.out}.part").open("w", encoding="utf-8") as file:
    for source, (name, part, wanted) in SOURCES.items():
        rows = rows_of(name, part, options.small, source)
        print(f"{source:9} {min(len(rows), wanted):7,} of {len(rows):7,}, paper {wanted:7,}")
        for i, row in enumerate(rows.shuffle(seed=42).select(range(min(len(rows), wanted)))):
            more = {"score": row["score"]} if "score" in row else {}
            line = {"id": f"{source}-{i}", "source": source, "messages": list(messages(row))}
            file.write(json.dumps(line | more) + "\n")
Path(f"{options.out}.part").replace(options.out)
