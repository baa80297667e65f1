"""What every benchmark shares: real data, a table, a JSON line, fresh processes."""

import contextlib
import gzip
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

os.environ.setdefault("DS2_CACHE", "off")  # what was made before is not what is measured

DATA = Path(os.environ.get("DS2_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def data_file(name: str) -> Path:
    """A file of the real data, or an exit that says it is not there."""
    path = DATA / name
    if not path.exists():
        sys.exit(
            f"{name} is not there: set DS2_DATA to the folder that holds it. Nothing measured."
        )
    return path


def alpaca_vectors() -> np.ndarray:
    """(52,002, 384) float16 MiniLM embeddings of Alpaca."""
    return np.load(data_file("alpaca52k_minilm.f16.npy"))


def alpaca_rows() -> list[dict]:
    """The rows of Alpaca with the published scores."""
    with gzip.open(data_file("alpaca52k_ds2.jsonl.gz"), "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def alpaca(n: int | None) -> tuple[list[dict], np.ndarray]:
    """The rows and their vectors; of a random ``n`` of them, in order, where it is given."""
    rows, vectors = alpaca_rows(), alpaca_vectors()
    if n is None:
        return rows, vectors
    some = np.sort(np.random.default_rng(0).choice(len(rows), n, replace=False))
    return [rows[i] for i in some], vectors[some]


def table(rows: Iterable[dict]) -> None:
    """Print rows of equal keys as a table."""
    rows = [{key: _cell(value) for key, value in row.items()} for row in rows]
    if not rows:
        return
    widths = {key: max(len(key), *(len(row[key]) for row in rows)) for key in rows[0]}
    print("  ".join(key.rjust(width) for key, width in widths.items()))
    for row in rows:
        print("  ".join(row[key].rjust(width) for key, width in widths.items()))


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def json_line(benchmark: str, **figures: object) -> None:
    """Print the figures as one JSON line, the last of the output."""
    print(json.dumps({"benchmark": benchmark, **figures}, default=float))


#: Defines peak_mb(), the peak resident memory of a process since its program started (Linux);
#: ru_maxrss would count what the parent held when it forked.
PEAK = """
def peak_mb():
    from pathlib import Path
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
"""


def fresh_process(code: str, *arguments: str, env: dict[str, str] | None = None) -> dict:
    """Run Python code in a new process; its last line of output is JSON; wall time is added."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(env or {})},
    )
    if done.returncode:
        sys.exit(done.stderr)
    lines = done.stdout.strip().splitlines()
    return {**(json.loads(lines[-1]) if lines else {}), "process_s": time.perf_counter() - start}


def watched(words: list[str]) -> dict:
    """Run a program; its CPU seconds and peak memory with all it starts, and its wall time (Linux).

    "own MB" is what the processes hold of their own, "peak MB" that and the pages of files that
    are mapped into memory, which the system takes back when it needs them.
    """
    start = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    stop, seconds, peak = threading.Event(), dict[str, float](), {"Pss_Anon": 0.0, "Pss": 0.0}
    watch = threading.Thread(target=_watch, args=(process.pid, stop, seconds, peak))
    watch.start()
    fault = process.stderr.read().decode()
    status = process.wait()
    stop.set(), watch.join()
    if status:
        sys.exit(f"{words[-1]}: {fault[-2000:]}")
    wall = time.perf_counter() - start
    memory = {"own MB": peak["Pss_Anon"], "peak MB": peak["Pss"]}
    return {"CPU s": sum(seconds.values()), "wall s": wall, **memory}


def _watch(pid: int, stop: threading.Event, seconds: dict, peak: dict) -> None:
    """Keep the CPU seconds of a process and all below it, and the largest sum of their memory."""
    tick, took = os.sysconf("SC_CLK_TCK"), 0.0
    while not stop.wait(max(0.25, 20 * took)):  # a look at gigabytes in memory takes a while
        began = time.perf_counter()
        parents, used = {}, {}
        for place in Path("/proc").glob("[0-9]*"):
            try:
                words = (place / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[place.name] = words[1]
            used[place.name] = (int(words[11]) + int(words[12])) / tick
        family, grown = {str(pid)}, True
        while grown:
            more = {one for one, parent in parents.items() if parent in family} - family
            family, grown = family | more, bool(more)
        total = dict.fromkeys(peak, 0.0)
        for one in family & used.keys():
            seconds[one] = used[one]
            with contextlib.suppress(OSError):
                lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()[1:]
                held = dict(line.split(":") for line in lines)
                for name in total:
                    total[name] += int(held[name].split()[0]) / 1024
        peak.update({name: max(peak[name], total[name]) for name in peak})
        took = time.perf_counter() - began


def total_variation(a: np.ndarray, b: np.ndarray) -> float:
    """Mean total variation between the rows of two matrices."""
    return float(0.5 * np.abs(a - b).sum(axis=1).mean())
