"""What was read and written unchanged is equal: every format in every container."""

import csv
import gzip
import io
import json
import tempfile
import warnings
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ds2.errors import InputError
from ds2.pool import hand_off, layout, read_pool, write_pool
from ds2.pool.carried import Opened
from ds2.pool.pool import lines_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*without an answer to learn are kept"),
    pytest.mark.filterwarnings("ignore:.*are the word NaN, None or null"),  # which may be drawn
]

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
WORDS = TEXT.filter(lambda text: text.strip() != "")
CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
NAMES = st.sampled_from(["score", "meta", "é", "a b", "ds2_score"])
FINITE = st.floats(allow_nan=False, allow_infinity=False)
SCALAR = st.none() | st.booleans() | st.integers() | FINITE | TEXT
JSON = st.recursive(
    SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
SOURCE = st.none() | TEXT
ANY_SOURCE = SOURCE | st.integers() | st.lists(TEXT, max_size=1)
ROLES = ["system", "user", "human", "assistant", "tool", "observation", "developer", "USER"]
QUICK = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def conversations(draw, role_key, content_key, more):
    turn = st.tuples(st.sampled_from(ROLES), TEXT)
    turns = [*draw(st.lists(turn, max_size=3)), (draw(st.sampled_from(["assistant", "gpt"])), "x")]
    built = []
    for role, content in turns:
        keys = st.dictionaries(st.sampled_from(["weight", "name"]), SCALAR)
        built.append({role_key: role, content_key: content, **(draw(keys) if more else {})})
    return built


@st.composite
def single(draw, role_key, content_key):
    """A conversation that every format can express."""
    system = draw(st.none() | WORDS)
    turns = [("user", draw(TEXT)), ("assistant", draw(WORDS))]
    turns = turns if system is None else [("system", system), *turns]
    return [{role_key: role, content_key: content} for role, content in turns]


@st.composite
def rows(draw, form, *, extra=JSON, source=ANY_SOURCE, more=True, turns=None):
    """One row as it may stand in a JSON file."""
    if form == "alpaca":
        fields = {"instruction": draw(TEXT), "output": draw(WORDS)}
        fields |= draw(st.fixed_dictionaries({}, optional={"input": SOURCE, "system": SOURCE}))
        if turns is None and draw(st.booleans()):
            pair = st.lists(TEXT, min_size=2, max_size=2)
            fields["history"] = draw(st.none() | st.lists(pair, max_size=2))
    elif form == "prompt-response":
        prompt = draw(st.sampled_from(["prompt", "question", "query", "problem", "input"]))
        answer = draw(st.sampled_from(["response", "completion", "answer", "output"]))
        fields = {prompt: draw(TEXT), answer: draw(WORDS)}
        fields |= draw(st.fixed_dictionaries({}, optional={"system_prompt": SOURCE}))
    else:
        name, *keys = LISTS[form]
        fields = {name: draw((turns or conversations)(*keys, *([] if turns else [more])))}
        if turns is None:
            fields |= draw(st.fixed_dictionaries({}, optional={"system": SOURCE}))
    fields |= draw(st.fixed_dictionaries({}, optional={"source": source}))
    if extra is not None:
        fields |= draw(st.dictionaries(NAMES, extra, max_size=3))
    names = draw(st.permutations(list(fields)))
    return {name: fields[name] for name in names}


@st.composite
def files(draw, form):
    found = draw(st.lists(rows(form), min_size=1, max_size=4))
    if draw(st.booleans()):
        for number, row in enumerate(found):
            row["id"] = draw(st.sampled_from([number, f"é-{number}", None, ""]))
    return found


LISTS = {
    "sharegpt": ("conversations", "from", "value"),
    "messages": ("messages", "role", "content"),
}
FORMATS = ["alpaca", "sharegpt", "messages", "prompt-response"]
JSON_SUFFIXES = [".jsonl", ".json", ".jsonl.gz", ".json.zst"]


def as_read(value):
    """JSON with the order of fields and the kinds of numbers visible."""
    return json.dumps(value)


def there_and_back(path, form):
    pool = read_pool(path, max_bad_share=0.0, no_answer="keep")
    assert pool.format == form
    again = path.with_name("again-" + path.name)
    write_pool(pool, again, format=form)
    return again


def write_json(path, found):
    text = (
        json.dumps(found, ensure_ascii=False)
        if ".json" in path.suffixes
        else "\n".join(json.dumps(row, ensure_ascii=False) for row in found)
    ).encode()
    if path.suffix == ".zst":
        with pa.CompressedOutputStream(str(path), "zstd") as stream:
            stream.write(text)
    else:
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def read_json(path):
    if path.suffix == ".zst":
        with pa.CompressedInputStream(str(path), "zstd") as stream:
            data = stream.read()
    else:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
    if ".json" in path.suffixes:
        return json.loads(data)
    return [json.loads(line) for line in data.decode().split("\n") if line]


@pytest.mark.parametrize("form", FORMATS)
@QUICK
@given(suffix=st.sampled_from(JSON_SUFFIXES), data=st.data())
def test_json_rows_come_back_equal_and_in_order(form, suffix, data):
    found = data.draw(files(form))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"pool{suffix}"
        write_json(path, found)
        assert as_read(read_json(there_and_back(path, form))) == as_read(found)


TYPED = {
    "score": st.none() | st.integers(-(2**63), 2**63 - 1),
    "meta": st.none() | st.fixed_dictionaries({"a": TEXT, "b": st.lists(FINITE, max_size=2)}),
    "share": st.none() | FINITE,
    "yes": st.none() | st.booleans(),
}


@pytest.mark.parametrize("form", FORMATS)
@QUICK
@given(suffix=st.sampled_from([".parquet", ".parquet.gz", ".parquet.zst"]), data=st.data())
def test_parquet_rows_come_back_equal(form, suffix, data):
    row = rows(form, extra=None, source=SOURCE, more=False)
    first = data.draw(row)
    found = [first, *data.draw(st.lists(row, max_size=3))]
    found = [{name: row.get(name) for name in first} for row in found if {*row} >= {*first}]
    for row in found:
        row |= {name: data.draw(kind) for name, kind in TYPED.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "first.parquet"
        pq.write_table(pa.Table.from_pylist(found), path)
        pool = read_pool(path, max_bad_share=0.0, no_answer="keep")
        packed = Path(folder) / f"pool{suffix}"
        write_pool(pool, packed, format=form)
        plain = Path(folder) / "plain.parquet"
        write_pool(read_pool(packed, max_bad_share=0.0, no_answer="keep"), plain, format=form)
        assert pool.format == form
        assert pq.read_table(plain).to_pylist() == pq.read_table(path).to_pylist() == found


def csv_bytes(found, delimiter):
    text = io.StringIO(newline="")
    out = csv.DictWriter(text, list(found[0]), delimiter=delimiter)
    out.writeheader()
    out.writerows(found)
    return text.getvalue().encode()


@pytest.mark.parametrize(("suffix", "delimiter"), [(".csv", ","), (".tsv", "\t")])
@QUICK
@given(form=st.sampled_from(["alpaca", "prompt-response"]), data=st.data())
def test_csv_rows_come_back_equal(form, suffix, delimiter, data):
    other = st.fixed_dictionaries({"id": st.just(""), "source": CELL, "a b": CELL, "é": CELL})
    words = CELL.filter(lambda text: text.strip() != "")
    fields = {
        "alpaca": {"instruction": CELL, "input": CELL, "output": words},
        "prompt-response": {"question": CELL, "answer": words},
    }[form]
    count = data.draw(st.integers(1, 4))
    found = [data.draw(st.fixed_dictionaries(fields)) | data.draw(other) for _ in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"pool{suffix}"
        path.write_bytes(csv_bytes(found, delimiter))
        again = there_and_back(path, form)
        with again.open(encoding="utf-8", newline="") as file:
            assert list(csv.DictReader(file, delimiter=delimiter)) == found


@pytest.mark.parametrize("form", ["sharegpt", "messages"])
@QUICK
@given(data=st.data())
def test_csv_holds_turns_as_json(form, data):
    found = data.draw(st.lists(rows(form, extra=CELL, source=CELL), min_size=1, max_size=3))
    found = json.loads(json.dumps(found).replace("\\u0000", "?"))
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / "pool.jsonl"
        write_json(first, found)
        pool = read_pool(first, max_bad_share=0.0, no_answer="keep")
        write_pool(pool, Path(folder) / "pool.csv.gz", format=form)
        again = read_pool(Path(folder) / "pool.csv.gz", max_bad_share=0.0, no_answer="keep")
    assert again.format == form
    assert [example.messages for example in again] == [example.messages for example in pool]
    assert (again.keys == pool.keys).all()


@pytest.mark.parametrize("form", FORMATS)
@QUICK
@given(target=st.sampled_from(FORMATS), data=st.data())
def test_converting_keeps_the_conversation_the_id_and_other_fields(form, target, data):
    found = data.draw(st.lists(rows(form, turns=single), min_size=1, max_size=3))
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder) / "pool.jsonl", Path(folder) / "converted.jsonl"
        write_json(first, found)
        pool = read_pool(first, max_bad_share=0.0, no_answer="keep")
        write_pool(pool, second, format=target)
        again = read_pool(second, max_bad_share=0.0, no_answer="keep")
    assert (again.keys == pool.keys).all()
    assert again.ids == pool.ids
    assert again.sources == pool.sources
    assert [e.extra for e in again] == [e.extra for e in pool]


#: Few texts, so that some are equal to each other, to a role or to a part of another one.
FEW = st.sampled_from(["", "x", "y", "x\n\ny", "user", "gpt", "2", "<image>", "an <image>"])


@st.composite
def alike(draw):
    """Rows of one format and shape, most of which are roles and texts alone."""
    form = draw(st.sampled_from(FORMATS))
    if form in LISTS:
        name, *keys = LISTS[form]
        roles = st.sampled_from(
            ["user", "assistant", "human", "gpt", "system", "tool", "developer"]
        )
        shapes = st.tuples(st.permutations(keys), roles)
        turns = [
            st.fixed_dictionaries({key: FEW if key == keys[1] else st.just(role) for key in order})
            for order, role in draw(st.lists(shapes, min_size=1, max_size=4))
        ]
        row = {name: st.tuples(*turns).map(list)}
    else:
        names = {"alpaca": ["instruction", "output", "input", "system"]}
        held = names.get(form, ["prompt", "response", "system"])
        row = dict.fromkeys(held[: draw(st.integers(2, len(held)))], FEW)
    rows = st.fixed_dictionaries(row) | st.fixed_dictionaries({**row, "tools": st.just("[{}]")})
    return draw(st.lists(rows, min_size=2, max_size=9))


def handed(pool, folder, tool):
    """What is written for a tool, or said."""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        try:
            done = hand_off(pool, folder, tool=tool, lossy=True)
        except InputError as error:
            return str(error)
    return done.files[0].read_bytes(), done.warnings, done.usage


@pytest.mark.filterwarnings("ignore:.*rows were rejected")
@QUICK
@given(found=alike(), tool=st.sampled_from(["trl", "axolotl", "llama-factory", "unsloth"]))
def test_what_is_quick_for_plain_rows_gives_what_any_row_gets(found, tool):
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        write_json(folder / "pool.jsonl", [row | {"id": f"r{at}"} for at, row in enumerate(found)])
        settings = {"max_bad_share": 1.0, "no_answer": "keep"}
        try:
            quick = read_pool(folder / "pool.jsonl", **settings)
        except InputError:
            return
        written = handed(quick, folder, tool)
        patch.setattr(layout, "_piece", lambda *_: None)
        slow = read_pool(folder / "pool.jsonl", **settings)
        both = [pool.table.drop_columns(["layout"]) for pool in (quick, slow)]
        assert both[0].equals(both[1])
        rows = [
            [layout.original_row(line, json.loads(line["extra"]), "id") for line in lines_of(batch)]
            for pool in (quick, slow)
            for batch in pool.table.to_batches()
        ]
        assert rows[0] == rows[1]
        patch.setattr(Opened, "_plain", lambda *_: False)
        (folder / "dataset_info.json").unlink(missing_ok=True)
        assert handed(slow, folder, tool) == written
