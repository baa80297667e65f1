"""Small files for the tests of the pool."""

import json
from pathlib import Path

ALPACA = {"instruction": "Add.", "input": "1 2", "output": "3"}
SHAREGPT = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes?"}]}
MESSAGES = {
    "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]
}
PROMPT = {"prompt": "Hi", "response": "Yes?"}


def write_lines(path: Path, rows) -> Path:
    """Write rows as JSONL; text stands for itself."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def alpaca_rows(count, **more):
    """Return rows that differ."""
    return [{"instruction": f"Say {n}.", "output": f"It is {n}.", **more} for n in range(count)]
