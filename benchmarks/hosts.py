"""A run on three hosts, of which one is cut off the network in the middle: bytes and seconds.

The hosts are network namespaces of this machine (Linux, root, iproute2, util-linux): each has an
address, a name and a /tmp of its own, and they share the folder that the run folder lies in. The
first has no processors for work and starts the run; the others have one each.

    python benchmarks/hosts.py [--quick] [--rows 100000]
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from _common import json_line, table, watched
from parts import RUN, make_run

HOSTS = ("ds2a", "ds2b", "ds2c")
SWITCH = "ds2switch"
HEAD = "10.99.0.1:6379"
RAY = str(Path(sys.executable).parent / "ray")
MADE = ("embeddings.npy", "neighbors.npz")
#: The kept piece of the graph after which the last host is cut off.
CUT_AFTER = 2


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def on(host: str, place: Path, *words: str) -> list[str]:
    """What runs a program on a host."""
    own = place / f"tmp-{host}"
    own.mkdir(exist_ok=True)
    script = f'hostname {host}; mount --bind "{own}" /tmp; exec "$@"'
    return [*f"ip netns exec {host} unshare -m -u bash -c".split(), script, "x", *words]


@contextmanager
def hosts(place: Path) -> Iterator[None]:
    """Hosts on one switch, and a cluster of Ray on them."""
    try:
        ip("netns", "add", SWITCH)
        ip("-n", SWITCH, "link", "add", "br0", "type", "bridge")
        ip("-n", SWITCH, "link", "set", "br0", "up")
        for number, host in enumerate(HOSTS, 1):
            ip("netns", "add", host)
            ip(*f"link add eth0 netns {host} type veth peer name {host} netns {SWITCH}".split())
            ip("-n", SWITCH, "link", "set", host, "master", "br0", "up")
            ip("-n", host, "addr", "add", f"10.99.0.{number}/24", "dev", "eth0")
            ip("-n", host, "link", "set", "eth0", "up")
            ip("-n", host, "link", "set", "lo", "up")
            words = [RAY, "start", "--node-ip-address", f"10.99.0.{number}"]
            words += ["--address", HEAD] if number > 1 else ["--head", "--port", "6379"]
            words += ["--num-cpus", str(int(number > 1)), "--disable-usage-stats"]
            subprocess.run(on(host, place, *words), check=True, capture_output=True)
        yield
    finally:
        for host in (*HOSTS, SWITCH):
            pids = subprocess.run(
                ["ip", "netns", "pids", host], capture_output=True, text=True, check=False
            ).stdout.split()
            subprocess.run(["kill", "-9", *pids], capture_output=True, check=False)
            subprocess.run(["ip", "netns", "del", host], capture_output=True, check=False)


def made(run: Path, place: Path, *settings: str, host: str = "") -> dict:
    """Embed and search, from nothing; seconds, memory, and a hash of what came out."""
    for artefact in (*MADE, "embeddings.json", "embeddings.keys.npy"):
        (run / artefact).unlink(missing_ok=True)
    words = [sys.executable, "-c", RUN, str(run), "neighbors", "small", *settings]
    found = watched(on(host, place, *words) if host else words)
    digests = [hashlib.sha256((run / one).read_bytes()).hexdigest()[:12] for one in MADE]
    return {"wall s": found["wall s"], "sha256": " ".join(digests)}


def cut_off(run: Path, host: str, kept: list[float]) -> None:
    """Take a host off the network once so many pieces of the graph are kept."""
    while len(list(run.glob("neighbors.partial/part-*"))) < CUT_AFTER:
        time.sleep(0.1)
    ip("-n", SWITCH, "link", "set", host, "down")
    kept.append(time.monotonic())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="40,000 rows")
    parser.add_argument("--rows", type=int)
    asked = parser.parse_args()
    rows = asked.rows or (40_000 if asked.quick else 100_000)
    if os.geteuid():
        sys.exit("Network namespaces need root. Nothing measured.")
    ray = ("engine.name=ray", f"engine.address={HEAD}")
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory(dir="/var") as shared:
        place = Path(folder)
        run = make_run(Path(shared), rows)
        found = [{"engine": "here", **made(run, place)}]
        with hosts(place):
            found.append({"engine": "three hosts", **made(run, place, *ray, host=HOSTS[0])})
            kept: list[float] = []
            cutter = threading.Thread(target=cut_off, args=(run, HOSTS[-1], kept), daemon=True)
            cutter.start()
            one = made(run, place, *ray, host=HOSTS[0])
            assert kept, "the host was not cut off before the end: use more rows"
            found.append({"engine": "one of them cut off", **one})
    table(found)
    assert len({one["sha256"] for one in found}) == 1, "a host changed the result"
    json_line("hosts", rows=rows, engines=found)


if __name__ == "__main__":
    main()
