"""Datasets of the Hugging Face library: saved folders, and names on the hub."""

import json
import logging

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pool_files import ALPACA, MESSAGES, alpaca_rows

from ds2.errors import Ds2Warning, InputError, RunError
from ds2.pool import read_pool


@pytest.fixture
def both():
    train = datasets.Dataset.from_list(alpaca_rows(20, score=1.5))
    return datasets.DatasetDict({"train": train, "test": train.select(range(3))})


@pytest.fixture
def folder(tmp_path, both):
    both.save_to_disk(str(tmp_path / "saved"))
    return tmp_path / "saved"


def test_a_saved_dataset_dict(folder):
    pool = read_pool(folder)
    assert (len(pool), pool.format, pool.column("score")[0]) == (20, "alpaca", 1.5)
    assert len(read_pool(folder, split="test")) == 3


def test_a_saved_dataset_of_messages(tmp_path):
    datasets.Dataset.from_list([MESSAGES] * 2).save_to_disk(str(tmp_path / "one"))
    pool = read_pool(tmp_path / "one")
    assert pool.format == "messages"
    assert pool[0].messages[1].content == "Yes?"
    with pytest.raises(InputError, match="without splits, so no 'test'"):
        read_pool(tmp_path / "one", split="test")


def test_a_split_that_is_not_there(folder):
    with pytest.raises(InputError, match=r"has no split 'valid'\. It has 'train', 'test'"):
        read_pool(folder, split="valid")
    with pytest.raises(InputError, match="is a file and has no splits"):
        read_pool(folder / "dataset_dict.json", split="test")


def test_a_damaged_folder(folder):
    (folder / "train" / "state.json").write_text("{")
    with pytest.raises(InputError, match="cannot be opened"):
        read_pool(folder)


def test_rows_of_a_dataset_are_numbered(tmp_path):
    rows = [*alpaca_rows(30), {"instruction": "a", "output": None}]
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "one"))
    with pytest.warns(Ds2Warning):
        (reject,) = read_pool(tmp_path / "one").rejects
    assert reject.line == 31
    assert json.loads(reject.text)["output"] is None


def test_a_name_on_the_hub(monkeypatch, both):
    asked = []

    def load(name, config):
        asked.append((name, config))
        return both

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert len(read_pool("hf:org/some-name_1.0", split="test")) == 3
    assert read_pool("hf:org/name:main").origin == "hf:org/name:main"
    assert asked == [("org/some-name_1.0", None), ("org/name", "main")]
    with pytest.raises(InputError, match="hf:org/name has no split 'dev'"):
        read_pool("hf:org/name", split="dev")


@pytest.mark.parametrize("name", ["hf:", "hf:a/b/c", "hf:../x", "hf:a b", "hf:a/b:", "hf:x\x1b"])
def test_what_is_no_name_on_the_hub(name, monkeypatch):
    monkeypatch.setattr(datasets, "load_dataset", None)
    with pytest.raises(InputError, match="is written hf:org/name") as caught:
        read_pool(name)
    assert str(caught.value).isprintable()


def test_a_hub_that_refuses_and_one_that_is_away(monkeypatch):
    def refuse(name, config):
        raise ValueError("Unknown config\n\x1b[31m")

    def away(name, config):
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(InputError, match="Cannot load hf:org/name: 'Unknown config") as caught:
        read_pool("hf:org/name")
    assert str(caught.value).isprintable()
    monkeypatch.setattr(datasets, "load_dataset", away)
    with pytest.raises(RunError, match="hub cannot be reached"):
        read_pool("hf:org/name")


def test_the_hub_client_is_quiet_while_it_tries(monkeypatch, both, caplog):
    def load(name, config):
        logging.getLogger("huggingface_hub.utils._http").warning("Retrying in 1s [Retry 1/5].")
        return both

    monkeypatch.setattr(datasets, "load_dataset", load)
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    read_pool("hf:org/name")
    assert caplog.records == []
    assert logger.level == level


def test_binary_columns_are_left_out_with_a_warning(tmp_path):
    table = pa.table(
        {
            "instruction": ["a"],
            "output": ["b"],
            "when": pa.array([0], pa.timestamp("s")),
            "image": pa.array([{"bytes": b"x", "path": "p"}]),
        }
    )
    pq.write_table(table, tmp_path / "pool.parquet")
    datasets.Dataset(table).save_to_disk(str(tmp_path / "saved"))
    for path in (tmp_path / "pool.parquet", tmp_path / "saved"):
        with pytest.warns(Ds2Warning, match="binary data in 'image'"):
            pool = read_pool(path)
        assert pool[0].extra == {"when": "1970-01-01 00:00:00", "image": [{"bytes": None}]}
        assert len(pool.warnings) == 1


def test_large_and_dictionary_types_are_text(tmp_path):
    columns = {name: pa.array([text], pa.large_string()) for name, text in ALPACA.items()}
    columns["source"] = pa.array(["web"]).dictionary_encode()
    pq.write_table(pa.table(columns), tmp_path / "pool.parquet")
    (example,) = read_pool(tmp_path / "pool.parquet")
    assert (example.source, example.messages[1].content) == ("web", "3")
