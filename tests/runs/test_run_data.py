"""A run on data as people have it: shards, names, roles, tools, scores on any scale."""

import json

import pytest

from ds2.errors import InputError
from ds2.pool import Pool
from ds2.runs import Job, init_run, load_recipe, run, status
from ds2.runs.export import export

WORDS = ["river", "bread", "clock", "map", "tea", "glass", "snow", "coal", "wool", "salt"]
QUICK = {"noise.n_bootstrap": 0, "select.stability_rounds": 0, "select.size": 5}


def talk(n):
    word = WORDS[n % 10]
    function = {"name": "look", "arguments": json.dumps({"q": word})}
    return [
        {"role": "Kunde", "content": f"Tell me about {word} number {n}, {WORDS[n // 10]}."},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function",
         "function": function}]},
        {"role": "tool", "tool_call_id": "c", "content": "42"},
        {"role": "assistant", "content": f"The {word} of {WORDS[n // 7 % 10]} is number {n}."},
    ]  # fmt: skip


def shards(folder, count=60, per=20):
    folder.mkdir()
    for start in range(0, count, per):
        rows = [{"nr": n, "verlauf": talk(n), "tools": [{"name": "look"}], "score": n % 50 / 49}
                for n in range(start, start + per)]  # fmt: skip
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"train-{start}.jsonl").write_text(text)


@pytest.mark.filterwarnings("ignore::ds2.errors.Ds2Warning")
@pytest.mark.parametrize("how", ["folder", "pattern", "list"])
def test_from_shards_to_a_training_tool(tmp_path, how):
    data = tmp_path / "data"
    shards(data)
    pool = {"folder": str(data), "pattern": f"{data}/train-*.jsonl",
            "list": [str(path) for path in sorted(data.iterdir())]}[how]  # fmt: skip
    folder = tmp_path / "RUN"
    init_run(
        folder,
        pool=pool,
        scores="score",
        settings={
            "pool.columns": {"messages": "verlauf", "id": "nr"},
            "pool.roles": {"Kunde": "user"},
            "scores.scale": "0-1",
        },
    )
    recipe = load_recipe(folder)
    assert recipe.pool.columns == {"messages": "verlauf"}
    assert recipe.pool.id_field == "nr"
    run(folder, overrides=QUICK)
    read = Pool.load(folder / "pool.arrow")
    assert len(read) == 60
    assert read[0].messages[1].content == 'call look({"q": "river"})'
    assert all(one.state == "fresh" for one in status(folder, overrides=QUICK).stages)
    done = export(Job.of(folder, QUICK), tool="llama-factory")
    row = json.loads(done.files[0].read_text().splitlines()[0])
    assert row["conversations"][1]["from"] == "function_call"
    assert json.loads(row["tools"]) == [{"type": "function", "function": {"name": "look"}}]
    with pytest.raises(InputError, match="calls of tools"):
        export(Job.of(folder, QUICK), tool="llama-factory", layout="alpaca")
    (data / "train-20.jsonl").write_text((data / "train-20.jsonl").read_text().replace("42", "43"))
    assert status(folder, overrides=QUICK).stages[0].state == "stale"
    selected = json.loads((folder / "selected.jsonl").read_text().splitlines()[0])
    assert "tool_calls" in selected["messages"][1]


def test_bad_names_of_columns_and_roles_are_one_sentence(tmp_path):
    (tmp_path / "p.jsonl").write_text("{}\n")
    with pytest.raises(
        InputError, match=r"'pool.columns': Parts of a conversation are .* Got {'promt'"
    ):
        init_run(
            tmp_path / "A",
            pool=str(tmp_path / "p.jsonl"),
            settings={"pool.columns": {"promt": "x"}},
        )
    with pytest.raises(InputError, match=r"pool.roles"):
        init_run(
            tmp_path / "B", pool=str(tmp_path / "p.jsonl"), settings={"pool.roles": {"x": "boss"}}
        )
    with pytest.raises(InputError, match="does not exist"):
        init_run(tmp_path / "C", pool=str(tmp_path / "q*.jsonl"))
