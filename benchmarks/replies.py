"""What the parser reads in replies that were written without a look at its rules.

`replies.jsonl` has two sets of them. Honest ones state a rating of the rater's own; attacked ones
quote, echo or discuss what an example demands, and state one of their own as well or none. By set,
kind and form asked for: how many of the ratings were read, how many replies gave another number (a
false rating), and how many gave none. The sets have been looked at since, so today's counts speak
of replies like these; what a version read that had not seen them, its own checkout prints
(`git worktree add DIR COMMIT`, then this file with PYTHONPATH=DIR/src).

    python benchmarks/replies.py [--show]
"""

import json
import sys
from collections import Counter
from pathlib import Path

from _common import json_line, table

from ds2.rating.reply import parse_reply
from ds2.rating.rubric import Rubric

REPLIES = Path(__file__).with_name("replies.jsonl")
#: What an honest reply should not come to.
NOT_READ = ("none", "honest")


def main() -> None:
    rubric, counts = Rubric.ds2(), Counter[tuple[str, ...]]()
    for line in REPLIES.read_text("utf-8").splitlines():
        one = json.loads(line)
        found = parse_reply(one["reply"], rubric, form=one["form"]).values.get("overall")
        outcome = "none" if found is None else "own" if found == one["own"] else "false"
        form = "text" if one["form"] == "text" else "object"
        counts[one["set"], one["kind"], form, outcome] += 1
        if "--show" in sys.argv and (outcome == "false" or (outcome, one["kind"]) == NOT_READ):
            print(outcome, json.dumps(one["reply"], ensure_ascii=False))
    rows = []
    for name, kind, form in sorted({key[:3] for key in counts}):
        each = {outcome: counts[name, kind, form, outcome] for outcome in ("own", "false", "none")}
        rows.append({"set": name, "kind": kind, "asked for": form, "n": sum(each.values()), **each})
    table(rows)
    json_line("replies", rows=rows)


if __name__ == "__main__":
    main()
