"""`ds2 compare` on all of Alpaca-52k: three raters, M = 1,700 (3.3 %), every method that can run.

Text and the published scores of three raters go through the command line with the default embedder;
twenty of the pool's own programming tasks are the targets of `rds`. Printed are what each method
selects, whether it beats random on each held-out rater, how far methods overlap, time, peak memory,
and the page: its size, its points, and what a real Chromium says about it (requests, messages of
the console, serious findings of axe-core), which needs chromium-driver and npm.

    python benchmarks/compare.py [--quick] [FOLDER for the run folder]
"""

import gzip
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np
from _common import alpaca_rows, data_file, json_line, table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "report"))

from axe_core import fetch_axe, serious_findings
from chromium import CHROMEDRIVER, CHROMIUM, open_page

RATERS = ("score_gpt_4o_mini", "score_llama_3_1_8b", "score_mistral_7b_v0_3")
SIZE, QUICK_ROWS = 1_700, 3_000
CODE = re.compile(r"\b(python|javascript|sql|html|css|c\+\+)\b", re.IGNORECASE)


def ds2(*words: str) -> str:
    command = [str(Path(sys.executable).parent / "ds2"), *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def compared(place: Path, quick: bool) -> tuple[dict, float]:
    """The numbers of a comparison by the command line, and its wall seconds."""
    place.mkdir(parents=True, exist_ok=True)
    rows = alpaca_rows()
    pool = data_file("alpaca52k_ds2.jsonl.gz")
    if quick:
        pool = place / "pool.jsonl.gz"
        with gzip.open(pool, "wt", encoding="utf-8") as lines:
            lines.writelines(json.dumps(row) + "\n" for row in rows[:QUICK_ROWS])
    wanted = islice((row for row in rows if CODE.search(row["instruction"])), 20)
    text = ("instruction", "input", "output")
    targets = "".join(json.dumps({key: row[key] for key in text}) + "\n" for row in wanted)
    (place / "targets.jsonl").write_text(targets, encoding="utf-8")
    run = str(place / "run")
    columns = [word for rater in RATERS for word in ("--scores", rater)]
    ds2("init", run, "--pool", str(pool), *columns, "--scale", "levels:6")
    settings = (
        f"select.targets={place / 'targets.jsonl'}",
        f"select.size={100 if quick else SIZE}",
    )
    start = time.perf_counter()
    document = ds2("compare", run, "--json", *(word for s in settings for word in ("--set", s)))
    return json.loads(document), time.perf_counter() - start


def rows_of(numbers: dict, key: str) -> list[dict]:
    return numbers["tables"][key]["rows"]


def method_rows(numbers: dict) -> list[dict]:
    """What each method selects."""
    heads = {
        "mean scores": ("raw", "curated"),
        "diversity": ("long-tail score", "coverage", "redundancy"),
        "costs": ("characters of a completion", "seconds"),
    }
    parts = zip(*(rows_of(numbers, key) for key in heads), strict=True)
    return [
        {"method": each[0]["method"]}
        | {
            name: row[name]
            for row, names in zip(each, heads.values(), strict=True)
            for name in names
        }
        for each in parts
    ]


def judged_rows(numbers: dict, against: str) -> list[dict]:
    """Each method's difference from random and its interval, by every held-out rater."""
    found: dict[str, dict] = {}
    for rater in RATERS:
        for judged in rows_of(numbers, f"judged on {rater}"):
            value, low, high = judged[against]
            row = found.setdefault(judged["method"], {"method": judged["method"]})
            row[rater.removeprefix("score_")] = f"{value:+.2f} [{low:+.2f}, {high:+.2f}]"
    return list(found.values())


def overlaps(numbers: dict) -> np.ndarray:
    return np.array([list(row.values())[1:] for row in rows_of(numbers, "overlap")])


def overlap_rows(numbers: dict) -> list[dict]:
    names = [row["method"] for row in rows_of(numbers, "overlap")]
    return [
        {"% in common": name, **{f"{j + 1}": round(100 * value) for j, value in enumerate(row)}}
        for name, row in zip(
            [f"{i + 1} {n}" for i, n in enumerate(names)], overlaps(numbers).tolist(), strict=True
        )
    ]


def page_figures(page: Path) -> dict:
    """What a real browser says about the page, in a window and on a phone."""
    points = page.read_text(encoding="utf-8").count("</title></circle>")
    figures = {"MB": page.stat().st_size / 1e6, "points": points}
    if not (CHROMIUM and CHROMEDRIVER):
        print("No chromium and chromedriver here: the page was not opened.")
        return figures
    axe = fetch_axe(Path(tempfile.mkdtemp()))
    for name, width, dark in (("desktop", 1200, False), ("phone, dark", 390, True)):
        start = time.perf_counter()
        with open_page(page, width=width, dark=dark) as opened:
            drawn = time.perf_counter() - start
            serious = serious_findings(opened, axe)
            figures[name] = {
                "requests": len(opened.requests()),
                "messages": len(opened.messages()),
                "serious": len(serious),
                "open s": drawn,
            }
    return figures


def main() -> None:
    names = [word for word in sys.argv[1:] if not word.startswith("--")]
    place = Path(names[0]) if names else Path(tempfile.mkdtemp())
    numbers, seconds = compared(place, "--quick" in sys.argv)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    methods = method_rows(numbers)
    table(methods)
    judged = {name: judged_rows(numbers, name) for name in ("difference", "with the same lengths")}
    print("levels above random, each rater held out")
    table(judged["difference"])
    print("levels above random selections with the same lengths")
    table(judged["with the same lengths"])
    table(overlap_rows(numbers))
    page = page_figures(place / "run" / "compare.html")
    opened = [{"page": n, **f} for n, f in page.items() if isinstance(f, dict)]
    print(f"page: {page['MB']:.2f} MB, {page['points']} points")
    table(opened)
    middle = np.median(overlaps(numbers)[np.triu_indices(len(methods), 1)])
    print(f"all stages and {len(methods)} methods: {seconds:.0f} s, peak {peak:.0f} MB")
    print(f"half of the pairs share under {middle:.1%} of their rows")
    print(f"the page: {place / 'run' / 'compare.html'}")
    json_line("compare", methods=methods, judged=judged, page=page, seconds=seconds, peak_mb=peak)
    wrong = page["MB"] >= 5 or any(
        f[k] for f in opened for k in ("requests", "messages", "serious")
    )
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
