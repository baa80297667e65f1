"""The second run on the same pool in another folder: seconds with the cache, and without it.

A run goes up to the neighbours, each time in a new process and a new folder, with the default
embedder and a cache of its own. Printed are the seconds of the stages and of the whole process:
with no cache, with an empty one (which is filled), with one that has nine tenths of the pool, and
with one that has all of it. The vectors that come out are compared.

    python benchmarks/cache.py [--quick]

--quick takes the demo pool alone; else 20,000 rows of Alpaca as well, where they are there.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from _common import DATA, alpaca_rows, fresh_process, json_line, table

ROOT = Path(__file__).resolve().parents[1]
RUN = """
import json, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
from ds2.runs import init_run, run
folder = Path(sys.argv[1])
init_run(folder, pool=sys.argv[2])
done = run(folder, until="neighbors")
print(json.dumps({each.stage: each.seconds for each in done.stages}))
"""
#: What a run finds in the cache, in this order.
CASES = ("no cache", "empty cache", "nine tenths in it", "all in it")


def measure(name: str, pool: Path, place: Path) -> list[dict[str, object]]:
    lines = pool.read_text(encoding="utf-8").splitlines(keepends=True)
    part = place / "part.jsonl"
    part.write_text("".join(lines[: len(lines) * 9 // 10]), encoding="utf-8")
    held = {}
    rows = []
    for case in CASES:
        own = place / ("part" if case == "nine tenths in it" else "cache")
        env = {"DS2_CACHE": "off" if case == "no cache" else str(own)}
        if case == "nine tenths in it":
            fresh_process(RUN, str(place / "before"), str(part), env=env)
        folder = place / case.replace(" ", "-")
        took = fresh_process(RUN, str(folder), str(pool), env=env)
        held[case] = (folder / "embeddings.npy").read_bytes()
        rows.append(
            {
                "pool": name,
                "rows": len(lines),
                "cache": case,
                **{f"{stage}_s": took[stage] for stage in ("pool", "embed", "neighbors")},
                "process_s": took["process_s"],
                "same vectors": held[case] == held["no cache"],
            }
        )
    return rows


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        make = ROOT / "examples" / "demo" / "make_pool.py"
        subprocess.run(
            [sys.executable, make, place / "demo"], check=True, stdout=subprocess.DEVNULL
        )
        (place / "d").mkdir()
        rows += measure("demo", place / "demo" / "pool.jsonl", place / "d")
        if "--quick" not in sys.argv and (DATA / "alpaca52k_ds2.jsonl.gz").exists():
            some = alpaca_rows()[:20_000]
            (place / "a").mkdir()
            pool = place / "alpaca.jsonl"
            pool.write_text("".join(json.dumps(row) + "\n" for row in some), encoding="utf-8")
            rows += measure("Alpaca", pool, place / "a")
    table(rows)
    json_line("cache", runs=rows)


if __name__ == "__main__":
    main()
