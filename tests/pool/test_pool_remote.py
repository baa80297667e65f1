"""Pools in an object store: a real S3 server on the loopback interface."""

import gzip
import json
import os
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, HTTPServer

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer
from pool_files import alpaca_rows
from pyarrow.fs import FileSystem

from ds2.errors import InputError, RunError
from ds2.pool import read_parts, read_pool
from ds2.runs import init_run, read_manifest, run, status

SECRET = "not-to-be-shown-anywhere"


@pytest.fixture(scope="module")
def endpoint():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def store(endpoint, monkeypatch):
    """An empty bucket "data"; what it returns writes an object."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{endpoint}")
    system, _ = FileSystem.from_uri("s3://data?allow_bucket_creation=true")
    system.create_dir("data")
    system.delete_dir_contents("data")

    def put(key: str, data: bytes) -> None:
        with system.open_output_stream(f"data/{key}", compression=None) as out:
            out.write(data)

    return put


def _lines(rows) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _parquet(rows) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes()


def test_files_folders_and_patterns_are_read_as_those_of_a_disk(store, tmp_path):
    rows = alpaca_rows(30, source="é")
    parts = {"2": rows[10:20], "10": rows[20:], "1": rows[:10]}
    for name, some in parts.items():
        store(f"pools/part-{name}.jsonl", _lines(some))
    store("pools/.hidden.jsonl", _lines(alpaca_rows(1)))
    store("deep/a/x.jsonl.gz", gzip.compress(_lines(rows)))
    store("deep/b/c/x.parquet", _parquet(rows))
    (tmp_path / "pool.jsonl").write_bytes(_lines(rows))
    wanted = read_pool(tmp_path / "pool.jsonl")
    for place in (
        "s3://data/pools",
        "s3://data/pools/",
        "s3://data/pools/part-*.jsonl",
        ["s3://data/pools/part-1.jsonl", "s3://data/pools/part-[2-9].jsonl",
         "s3://data/pools/part-??.jsonl"],
        "s3://data/deep/*/x.jsonl.gz",
        "s3://data/deep/**/*.parquet",
        "S3://data/pools",
    ):  # fmt: skip
        pool = read_pool(place, out=tmp_path / "pool.arrow")
        assert pool.table.equals(wanted.table), place
        assert [one.ids for one in read_parts(place, rows=30)] == [wanted.ids]


def test_an_endpoint_can_stand_in_the_address_and_is_no_part_of_the_name(
    store, endpoint, monkeypatch
):
    store("a.jsonl", _lines(alpaca_rows(3)) + b"{]\n")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    place = f"s3://data/a.jsonl?endpoint_override={endpoint}&scheme=http&region=us-east-1"
    with pytest.warns(match=r"^s3://data/a\.jsonl: 1 of 4 rows were rejected"):
        pool = read_pool(place, max_bad_share=0.5)
    assert (len(pool), pool.origin) == (3, "s3://data/a.jsonl")
    assert pool.rejects[0].file == "s3://data/a.jsonl"


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("s3://data/pol.jsonl", "s3://data/pol.jsonl does not exist. Did you mean pool.jsonl?"),
        ("s3://data/no/x.jsonl", "s3://data/no/x.jsonl does not exist. Check the key."),
        ("s3://dota/pool.jsonl", "does not exist. There is no bucket 'dota'."),
        ("s3://dota/*.jsonl", "there is no bucket 'dota'"),
        ("s3://data/*.csv", "s3://data/*.csv matches no file that ds2 reads."),
        ("s3://data/odd", "s3://data/odd is a folder and .* no file in it is one that ds2 reads."),
        (
            "s3://data/mixed",
            "s3://data/mixed holds files of several kinds .* s3://data/mixed/*.csv",
        ),
        ("s3://data/empty.jsonl", "s3://data/empty.jsonl is empty (0 bytes)."),
        ("s3://data/no.parquet", "s3://data/no.parquet is no Parquet file"),
        ("s3://data/cut.parquet", "s3://data/cut.parquet is no whole Parquet file"),
        ("s3://data/cut.jsonl.gz", "s3://data/cut.jsonl.gz is cut off"),
        ("s3://data/pool.jsonl?foo=1", "s3://data/pool.jsonl cannot be read: .*foo"),
        (f"s3://AKIA:{SECRET}@data/pool.jsonl", "holds a name or a key before its '@'"),
        (f"s3://AKIA:a/b{SECRET}@data/pool.jsonl", "holds a name or a key before its '@'"),
        ("s3://data/a:b@c.jsonl", "s3://data/a:b@c.jsonl does not exist."),
        ("s3:///pool.jsonl", "names no bucket. Write s3://BUCKET/KEY."),
    ],
)
def test_what_cannot_be_read_is_said_in_one_sentence(store, place, says):
    store("pool.jsonl", _lines(alpaca_rows(3)))
    store("odd/data.bin", b"x")
    store("mixed/a.jsonl", b"x")
    store("mixed/b.csv", b"x")
    store("empty.jsonl", b"")
    store("no.parquet", b"nothing")
    store("cut.parquet", _parquet(alpaca_rows(9))[:-9])
    store("cut.jsonl.gz", gzip.compress(_lines(alpaca_rows(99)))[:-20])
    with pytest.raises(InputError) as raised:
        read_pool(place)
    for part in says.split(".*"):
        assert part.strip() in str(raised.value)
    assert SECRET not in str(raised.value)


class _Refusing(BaseHTTPRequestHandler):
    """Answers everything with 403."""

    def do_GET(self) -> None:
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


def test_a_store_that_refuses_is_told_from_one_that_is_not_there(store, monkeypatch):
    server = HTTPServer(("127.0.0.1", 0), _Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(InputError, match=r"permission denied.*AWS_ACCESS_KEY_ID") as raised:
            read_pool("s3://data/a.jsonl")
        assert SECRET not in str(raised.value)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.slow  # Arrow tries again for some seconds
@pytest.mark.parametrize(
    "place",
    ["s3://data/a.jsonl", "gs://anonymous@data/a?endpoint_override=127.0.0.1:9&scheme=http"],
)
def test_a_store_that_cannot_be_reached_is_no_fault_of_the_address(store, monkeypatch, place):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(RunError, match=r"cannot be reached\. Check the network"):
        read_pool(place + ("&retry_limit_seconds=1" if place.startswith("gs") else ""))


@pytest.mark.slow  # likewise
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.zst", "a.parquet"])
def test_a_store_that_goes_away_is_no_fault_of_the_file(store, monkeypatch, name):
    """It would be, were the rest of the file taken for one that is not there."""
    monkeypatch.setattr("ds2.pool.files._PER_REQUEST", 1 << 16)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*server.get_host_and_port()))
    rows = [{"prompt": f"{n}", "response": os.urandom(500).hex()} for n in range(12_000)]
    lines = _lines(rows)
    if name.endswith("parquet"):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows), sink, row_group_size=500)
        data = sink.getvalue().to_pybytes()
    else:
        data = pa.compress(lines, "zstd", asbytes=True) if name.endswith("zst") else lines
    store(name, data)
    parts = read_parts(f"s3://data/{name}", rows=100)
    next(parts)
    server.stop()
    with pytest.raises(RunError, match=f"The store of s3://data/{name} cannot be reached"):
        deque(parts, maxlen=0)


@pytest.mark.parametrize("place", [f"s3://someone:{SECRET}@data/a.jsonl", f"gs://{SECRET}@data/a"])
def test_keys_do_not_belong_into_an_address(place):
    with pytest.raises(InputError, match="never from the address") as raised:
        read_pool(place)
    assert SECRET not in str(raised.value)


def test_a_run_reads_a_store_and_sees_what_changes_there_without_reading(
    store, tmp_path, monkeypatch
):
    store("pools/a.jsonl", _lines(alpaca_rows(20, score=3)))
    folder = tmp_path / "run"
    init_run(folder, pool="s3://data/pools/*.jsonl", settings={"scores.scale": "levels:6"})
    assert 'path = "s3://data/pools/*.jsonl"' in (folder / "recipe.toml").read_text()
    run(folder, until="pool")
    assert read_manifest(folder).stages["pool"].summary["n_examples"] == 20
    assert status(folder).stages[0].state == "fresh"
    for path in folder.iterdir():
        assert SECRET.encode() not in path.read_bytes()
    time.sleep(1.1)  # the times of a store are in seconds
    store("pools/a.jsonl", _lines(alpaca_rows(20, score=4)))
    (pool, *_) = status(folder).stages
    assert (pool.state, pool.reasons) == ("stale", ("the file that pool.path names has changed",))
    store("pools/b.jsonl", _lines(alpaca_rows(5, input="b")))
    run(folder, until="pool", overrides={"pool.path": "s3://data/pools"})
    assert read_manifest(folder).stages["pool"].summary["n_examples"] == 25
    with monkeypatch.context() as away:
        away.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        pool, *rest = status(folder).stages
        assert (pool.state, "cannot be reached" in pool.reasons[0]) == ("unknown", True)
        assert len(rest) == 7
        with pytest.raises(RunError, match="cannot be reached"):
            run(folder, until="pool")
    with pytest.raises(InputError, match=r"'dota'"):
        init_run(tmp_path / "other", pool="s3://dota/a.jsonl")


@pytest.mark.parametrize("address", ["https://example.org/pool.jsonl", "s3a://b/pool.jsonl"])
def test_an_address_of_another_kind_says_which_are_read(address):
    with pytest.raises(InputError, match=r"ds2 knows s3://, gs:// and hf:org/name. Download"):
        read_pool(address)
