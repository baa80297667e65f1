"""How many ratings a second one process gets out of a slow endpoint, and what that costs it.

The server answers after 200 ± 100 ms, in a process of its own; 256 requests may be in flight, so at
best 1,280 ratings come a second. Beside ds2 the same run measures the openai client alone in its
fastest way (aiohttp, replies as bytes), aiohttp with nothing around it, which is what the machine
and the server allow, and 16 threads in rounds of 1,024 that end when the slowest has ended. Each
has the CPU time of both processes: "cores" is how many the client and the server kept busy.
Then a pool of a million examples is queued, 5,000 of them are rated, and the peak of the process's
own memory is read; the pages of the pool's file, which the system maps and takes back as it likes,
are counted apart.

    python benchmarks/rating_throughput.py [--quick] [--profile]

`--profile` prints where the client's process spends its time. The server shares the machine's
cores with what is measured.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from _common import PEAK, fresh_process, json_line, table

HERE = Path(__file__).parent
CONCURRENCY, LATENCY_S = 256, 0.2
IDEAL = CONCURRENCY / LATENCY_S
#: The process of each server, by its address.
SERVERS: dict[str, int] = {}


@contextmanager
def server(**settings: object) -> Iterator[str]:
    command = [sys.executable, str(HERE / "_rating_server.py"), json.dumps(settings)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        url = process.stdout.readline().strip()
        SERVERS[url] = process.pid
        yield url
        process.stdin.close()


def cpu_s_of(url: str) -> float:
    """CPU seconds that the server at this address has taken (Linux)."""
    fields = Path(f"/proc/{SERVERS[url]}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def make_pool(path: Path, n: int) -> None:
    """Save n conversations of about a hundred words, no two alike."""
    import hashlib

    import pyarrow as pa

    from ds2 import Pool
    from ds2.pool import table_schema

    texts, layout = ("what is asked of it " * 5, "what it has to say " * 20), "{}"
    blocks = []
    for start in range(0, n, 50_000):
        rows = range(start, min(n, start + 50_000))
        column = {
            "id": [str(i) for i in rows],
            "messages": [
                [
                    {"role": "user", "content": f"{i} {texts[0]}"},
                    {"role": "assistant", "content": f"{i} {texts[1]}"},
                ]
                for i in rows
            ],
            "source": [None for _ in rows],
            "extra": ["{}" for _ in rows],
            "key": [
                int.from_bytes(hashlib.blake2b(str(i).encode(), digest_size=8).digest(), "little")
                for i in rows
            ],
            "position": rows,
            "layout": [layout for _ in rows],
            "cut": [None for _ in rows],
        }
        blocks.append(pa.table(column, schema=table_schema()))
    Pool(pa.concat_tables(blocks), "messages", "benchmark").save(path)


class Anonymous:
    """The peak of a process's own memory: without the pages of files that are mapped (Linux)."""

    def __init__(self) -> None:
        self.peak_mb = 0.0
        self._done = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            lines = Path("/proc/self/status").read_text().splitlines()
            now = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
            self.peak_mb = max(self.peak_mb, now / 1024)

    def stop(self) -> float:
        """Stop watching; return the peak."""
        self._done.set()
        return self.peak_mb


def run_ds2(url: str, pool_path: str, most: str, profile: str) -> None:
    """Rate a pool, at most so many of it, and print what it took as JSON."""
    import cProfile
    import pstats

    from ds2 import Pool
    from ds2.rating import ChatRater, rate

    exec(PEAK, globals())
    warnings.simplefilter("ignore")
    marks: list[tuple[float, int]] = []
    pool = Pool.load(pool_path)
    budget = {}
    if int(most) < len(pool):
        each_usd = (400 * 1.0 + 30 * 1.0) / 1e6
        budget = {"prices": {"bench": {"input": 1.0, "output": 1.0}}}
        budget["max_cost_usd"] = int(most) * each_usd
    rater = ChatRater("bench", base_url=url, concurrency=CONCURRENCY, form="json")
    profiler = cProfile.Profile() if profile else None
    if profiler:
        profiler.enable()
    own = Anonymous()
    with tempfile.TemporaryDirectory() as folder:
        start_s, cpu_s = time.perf_counter(), time.process_time()
        result = rate(
            pool,
            rater,
            store=Path(folder) / "s.sqlite",
            progress=lambda p: marks.append((time.perf_counter(), p.done)),
            **budget,
        )
        out = {
            "wall s": time.perf_counter() - start_s,
            "CPU s": time.process_time() - cpu_s,
            "rated": int((result.codes == 0).sum()),
            "own MB": own.stop(),
            "peak MB": peak_mb(),
        }
    if profiler:
        profiler.disable()
        table(by_package(pstats.Stats(profiler)))
    print(json.dumps(out | {"sustained/s": sustained(marks)}))


def by_package(stats: object) -> list[dict]:
    """Time of the thread that asks, by the package whose code ran; waiting is left out."""
    seconds: dict[str, float] = {}
    for (file, _, name), (_, _, own_s, _, _) in stats.stats.items():
        parts = Path(file).parts
        if "site-packages" in parts:
            package = parts[parts.index("site-packages") + 1]
        elif "ds2" in parts:
            package = "ds2"
        else:
            package = "built in" if file == "~" else f"Python's {Path(file).parent.name}"
        if "poll" not in name and "acquire" not in name:
            seconds[package] = seconds.get(package, 0.0) + own_s
    total_s, most = sum(seconds.values()), sorted(seconds, key=seconds.get, reverse=True)[:12]
    return [{"package": p, "s": seconds[p], "share": seconds[p] / total_s} for p in most]


def sustained(marks: list[tuple[float, int]]) -> float:
    """Ratings a second between the first tenth and the last: without start and end."""
    total = max(done for _, done in marks)
    inner = [mark for mark in marks if 0.1 * total < mark[1] < 0.9 * total]
    return (inner[-1][1] - inner[0][1]) / (inner[-1][0] - inner[0][0])


def run_client(url: str, n: str, way: str) -> None:
    """A client alone, openai's or bare aiohttp: 256 tasks that ask in turn, nothing kept."""
    import aiohttp
    import httpx2
    import openai

    limits = httpx2.Limits(max_connections=CONCURRENCY, max_keepalive_connections=CONCURRENCY)
    body = {"model": "bench", "temperature": 0.0, "max_tokens": 512}
    body["messages"] = [
        {"role": "system", "content": "x" * 2000},
        {"role": "user", "content": "y" * 900},
    ]

    async def ask_all() -> list[tuple[float, int]]:
        if way == "bare":
            client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        else:
            http_client = openai.DefaultAioHttpClient(timeout=60.0, limits=limits)
            client = openai.AsyncOpenAI(
                api_key="none", base_url=url, max_retries=0, http_client=http_client
            )
        left, marks = int(n), [(time.perf_counter(), 0)]

        async def work() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                if way == "bare":
                    async with client.post(f"{url}/chat/completions", json=body) as reply:
                        await reply.read()
                else:
                    json.loads(await client.post("/chat/completions", cast_to=bytes, body=body))
                marks.append((time.perf_counter(), len(marks)))

        await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
        await client.close()
        return marks

    cpu_s = time.process_time()
    marks = asyncio.run(ask_all())
    cpu_s = time.process_time() - cpu_s
    out = {"wall s": marks[-1][0] - marks[0][0], "CPU s": cpu_s, "rated": int(n)}
    print(json.dumps(out | {"sustained/s": sustained(marks)}))


def run_threads(url: str, n: str) -> None:
    """16 threads in rounds of 1,024, each round as slow as its slowest thread."""
    from concurrent.futures import ThreadPoolExecutor

    import openai

    client = openai.OpenAI(api_key="none", base_url=url, max_retries=0)
    messages = [{"role": "system", "content": "x" * 2000}, {"role": "user", "content": "y" * 900}]

    def ask(_: int) -> None:
        client.chat.completions.create(model="bench", messages=messages, temperature=0.0)

    start_s, cpu_s = time.perf_counter(), time.process_time()
    for at in range(0, int(n), 1024):
        with ThreadPoolExecutor(16) as threads:
            list(threads.map(ask, range(at, min(at + 1024, int(n)))))
    wall_s = time.perf_counter() - start_s
    out = {"wall s": wall_s, "CPU s": time.process_time() - cpu_s, "rated": int(n)}
    print(json.dumps(out | {"sustained/s": int(n) / wall_s}))


def measured(name: str, function: str, *arguments: object) -> dict:
    code = f"import sys; from rating_throughput import {function}; {function}(*sys.argv[1:])"
    before_s = cpu_s_of(str(arguments[0]))
    found = fresh_process(code, *map(str, arguments), env={"PYTHONPATH": paths()})
    server_s = cpu_s_of(str(arguments[0])) - before_s
    return {
        "way": name,
        "rated": found["rated"],
        "overall/s": found["rated"] / found["wall s"],
        "sustained/s": found["sustained/s"],
        "of ideal": found["sustained/s"] / IDEAL,
        "CPU ms each": 1000 * found["CPU s"] / found["rated"],
        "cores": found["CPU s"] / found["wall s"],
        "server's cores": server_s / found["wall s"],
        "own MB": found.get("own MB", float("nan")),
        "with the pool's file MB": found.get("peak MB", float("nan")),
    }


def paths() -> str:
    return os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])


def main() -> None:
    quick, profile = "--quick" in sys.argv, "--profile" in sys.argv
    n, many = (3000, 100_000) if quick else (20_000, 1_000_000)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, server(latency_s=LATENCY_S, spread_s=0.1) as url:
        pool, large = Path(folder) / "pool.arrow", Path(folder) / "large.arrow"
        make_pool(pool, n)
        if profile:
            code = "import sys; from rating_throughput import run_ds2; run_ds2(*sys.argv[1:])"
            subprocess.run(
                [sys.executable, "-c", code, url, str(pool), str(n), "1"],
                check=True,
                env={**os.environ, "PYTHONPATH": paths()},
            )
            return
        make_pool(large, many)
        rows = [
            measured("ds2", "run_ds2", url, pool, n, ""),
            measured("openai client alone, fastest", "run_client", url, n, "fastest"),
            measured("aiohttp alone", "run_client", url, n, "bare"),
            measured("16 threads, rounds of 1,024", "run_threads", url, min(n, 4096)),
            measured(f"ds2, {many:,} queued", "run_ds2", url, large, 5000, ""),
        ]
    table(rows)
    ours, alone, bare, threads, queued = rows
    json_line(
        "rating_throughput",
        ideal_per_s=IDEAL,
        of_ideal=ours["of ideal"],
        of_client=ours["sustained/s"] / alone["sustained/s"],
        of_bare=ours["sustained/s"] / bare["sustained/s"],
        times_threads=ours["sustained/s"] / threads["sustained/s"],
        cpu_s_per_1000=ours["CPU ms each"],
        load_before=load,
        own_mb=ours["own MB"],
        own_mb_queued=queued["own MB"],
        queued=many,
    )


if __name__ == "__main__":
    main()
