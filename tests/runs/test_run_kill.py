"""Real processes: killed, interrupted, started twice. What is left is never half believed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_pool import make_rows, write_rows

from ds2.runs import init_run, lock_holder, read_manifest, run, status
from ds2.runs.folder import hash_file
from ds2.runs.stages import STAGES

pytestmark = pytest.mark.filterwarnings("ignore::ds2.errors.Ds2Warning")

#: embeddings.json tells how long the embedding took.
FILES = sorted({name for stage in STAGES for name in stage.writes} - {"embeddings.json"})


def ds2(*words: object) -> list[str]:
    return [sys.executable, "-c", "from ds2.cli import main; main()", *map(str, words)]


def start(*words: object) -> "subprocess.Popen[str]":
    command = ["env", "--default-signal=INT", *ds2(*words)]  # a background job ignores interrupts
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def copy_recipe(source: Path, folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_bytes((source / "recipe.toml").read_bytes())
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, float]:
    """An uninterrupted run, and the seconds it took."""
    place = tmp_path_factory.mktemp("whole")
    write_rows(place / "pool.jsonl", make_rows())
    init_run(
        place / "run",
        pool=str(place / "pool.jsonl"),
        scores="score",
        settings={"scores.scale": "0-5"},
    )
    recipe = place / "run" / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("n_bootstrap = 200", "n_bootstrap = 20"))
    begin = time.monotonic()
    subprocess.run(ds2("run", place / "run"), check=True, capture_output=True)
    return place / "run", time.monotonic() - begin


def kill_somewhere(whole: tuple[Path, float], tmp_path: Path, moments: list[float]) -> list[int]:
    """Kill a run of its own at each moment, check what is left, finish it; count its stages."""
    expected = contents(whole[0])
    finished = []
    for number, moment in enumerate(moments):
        folder = copy_recipe(whole[0], tmp_path / str(number) / "run")
        process = start("run", folder)
        time.sleep(moment)
        process.kill()
        process.communicate()
        assert lock_holder(folder) is None
        stages = read_manifest(folder).stages
        for record in stages.values():  # whatever is vouched for is whole
            for name, known in record.writes.items():
                assert hash_file(folder / name).sha256 == known.sha256
        finished.append(len(stages))
        redone = [outcome.stage for outcome in run(folder).stages if outcome.state == "done"]
        assert not set(redone) & set(stages)
        assert contents(folder) == expected, moment
        assert {path.name for path in folder.iterdir() if ".tmp" in path.name} == set()
    return finished


def test_a_killed_run_resumes_to_the_same_bytes(whole, tmp_path):
    kill_somewhere(whole, tmp_path, [whole[1] * share for share in (0.55, 0.8)])


@pytest.mark.slow
def test_a_run_killed_at_twenty_four_random_moments_resumes_to_the_same_bytes(whole, tmp_path):
    rng = random.Random(0)
    moments = [rng.uniform(0.3, 1.0) * whole[1] for _ in range(24)]
    finished = kill_somewhere(whole, tmp_path, moments)
    assert len(set(finished)) >= 3, finished  # the moments did hit different stages


def wait_for_reader(fifo: Path) -> int:
    """Wait until the run reads, so that nothing but the reading is interrupted."""
    for _ in range(600):
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(fifo)


def test_an_interrupt_says_how_to_go_on_and_a_second_process_is_told(whole, tmp_path):
    folder = copy_recipe(whole[0], tmp_path / "run")
    os.mkfifo(tmp_path / "pool.jsonl")  # a pool that never comes: the first stage waits for it
    process = start("run", folder, "--set", f"pool.path={tmp_path / 'pool.jsonl'}")
    assert process.stderr is not None
    assert process.stderr.readline().startswith("pool ")
    shown = json.loads(subprocess.check_output(ds2("status", folder, "--json")))
    assert shown["pid"] == process.pid
    second = subprocess.run(ds2("run", folder), capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert f"(pid {process.pid}) is working on" in second.stderr
    writer = wait_for_reader(tmp_path / "pool.jsonl")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    os.close(writer)
    assert process.returncode == 130
    assert (out, err.count("Traceback")) == ("", 0)
    assert "The same command goes on behind them." in err
    assert status(folder).pid is None


def test_a_folder_without_write_permission_is_one_sentence(whole, tmp_path):
    folder = copy_recipe(whole[0], tmp_path / "run")
    folder.chmod(0o555)
    command = ds2("run", folder)
    if os.geteuid() == 0:  # root ignores permissions, unless it gives that up
        capabilities = "-dac_override,-dac_read_search"
        command = ["setpriv", f"--bounding-set={capabilities}", f"--inh-caps={capabilities}"]
        command += ds2("run", folder)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("root without setpriv cannot give up its permissions")
    finally:
        folder.chmod(0o755)
    assert done.returncode == 2
    assert "is read-only for you" in done.stderr
    assert done.stderr.count("\n") == 1
