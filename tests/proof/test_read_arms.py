"""Reading evaluations: where runs are, what is joined, and what is said of bad input."""

import json

import numpy as np
import pytest
from evaluations import row, write, write_arm, write_results

from ds2.errors import InputError
from ds2.proof import read_arms
from ds2.proof.arms import overview
from ds2.proof.samples import read_run


def two(folder, rows_a, rows_b, task="t"):
    write(folder / "a", task, rows_a)
    write(folder / "b", task, rows_b)
    return [folder / "a", folder / "b"]


def plain(n=5, **how):
    return [row(i, i % 2, **how) for i in range(n)]


# Where runs are -----------------------------------------------------------------------------------


def test_folders_named_by_seed_are_runs_of_one_arm(tmp_path):
    write_arm(tmp_path, "ds2", n=30)
    write_arm(tmp_path, "random", n=30, seeds=2)
    found = read_arms([str(tmp_path / "ds2-s*"), tmp_path / "random-s1", tmp_path / "random-s0"])
    assert found.seeds == {
        "ds2": ("ds2-s0", "ds2-s1", "ds2-s2"),
        "random": ("random-s0", "random-s1"),
    }
    assert found.values["ds2"]["alpha"].shape == (3, 30)
    assert found.n_missing == {}


@pytest.mark.parametrize("names", [("s0", "s1"), ("seed_1", "seed_10"), ("0", "1"), ("x", "y")])
def test_a_folder_of_runs_is_an_arm(tmp_path, names):
    for arm in ("a", "b"):
        for name in names:
            write(tmp_path / arm / name / "model", "t", plain())
    found = read_arms([tmp_path / "a", tmp_path / "b"])
    assert found.seeds == {"a": names, "b": names}


def test_a_file_a_chain_of_folders_and_parts_of_a_run(tmp_path):
    file = write(tmp_path, "t", plain())
    write(tmp_path / "deep" / "er" / "model", "t", plain())
    write(tmp_path / "parts-s0" / "first" / "model", "t", plain())
    write(tmp_path / "parts-s0" / "second" / "model", "u", plain())
    found = read_arms([f"mine={file}", tmp_path / "deep", tmp_path / "parts-s0"])
    assert {arm: len(seeds) for arm, seeds in found.seeds.items()} == dict.fromkeys(
        ("mine", "deep", "parts"), 1
    )
    assert any("Left out, since some run lacks them: u." in note for note in found.notes)


def test_what_a_killed_evaluation_left_is_not_read(tmp_path):
    paths = two(tmp_path, plain(), plain())
    write(paths[0] / ".partial", "other", plain())
    arms = read_arms(paths)
    assert list(arms.values["a"]) == ["t"]
    assert not arms.notes


def test_paths_given_one_name_are_runs_of_it(tmp_path):
    for name in ("one", "two", "base"):
        write(tmp_path / name, "t", plain())
    found = read_arms([f"x={tmp_path / 'one'}", f"x={tmp_path / 'two'}", tmp_path / "base"])
    assert found.seeds == {"x": ("one", "two"), "base": ("base",)}


def test_a_named_folder_of_runs(tmp_path):
    for name in ("old/s0", "old/s1", "new/s0", "new/s1"):
        write(tmp_path / name, "t", plain())
    found = read_arms([f"x={tmp_path / 'new'}", f"y={tmp_path / 'old'}"])
    assert found.seeds == {"x": ("s0", "s1"), "y": ("s0", "s1")}
    with pytest.raises(InputError, match="Two paths make the arm 'x', with runs of one name"):
        read_arms([f"x={tmp_path / 'new'}", f"x={tmp_path / 'old'}"])


def test_paired_runs_need_the_same_numbers(tmp_path):
    write_arm(tmp_path, "a", n=9)
    write_arm(tmp_path, "b", n=9)
    both = [str(tmp_path / "a-s*"), tmp_path / "b-s2", tmp_path / "b-s0", tmp_path / "b-s1"]
    assert read_arms(both, paired=True).seeds["b"] == ("b-s0", "b-s1", "b-s2")
    with pytest.raises(InputError, match=r"'a' has a-s0, a-s1, a-s2; 'b' has b-s0, b-s2"):
        read_arms(both[:3], paired=True)


def bad_places(tmp_path):
    write(tmp_path / "a", "t", plain())
    write(tmp_path / "mixed", "t", plain())
    write(tmp_path / "mixed" / "more", "u", plain())
    write_arm(tmp_path / "all", "ds2", n=3)
    write_arm(tmp_path / "all", "random", n=3)
    (tmp_path / "empty").mkdir()
    write(tmp_path / "other" / "a", "t", plain())
    return {
        "gone": "gone is not there",
        "empty": "holds no file samples_",
        "mixed": "not clear what one run is",
        "all": r"runs of several arms \(ds2, random\)",
        "other/a": "Two paths make the arm 'a'",
    }


@pytest.mark.parametrize("name", ["gone", "empty", "mixed", "all", "other/a"])
def test_a_place_that_can_be_read_in_two_ways_is_refused(tmp_path, name):
    says = bad_places(tmp_path)[name]
    with pytest.raises(InputError, match=says):
        read_arms([tmp_path / "a", tmp_path / name])
    with pytest.raises(InputError, match="There is one arm, 'a'"):
        read_arms([tmp_path / "a"])


# The join -----------------------------------------------------------------------------------------


def test_items_are_joined_by_document_whatever_their_order(tmp_path):
    rows = plain(6)
    found = read_arms(two(tmp_path, rows, rows[::-1]))
    assert (found.values["a"]["t"] == found.values["b"]["t"]).all()
    assert sorted(found.values["a"]["t"][0]) == [0, 0, 0, 1, 1, 1]


def test_items_that_a_run_lacks_are_counted_and_left_out(tmp_path):
    found = read_arms(two(tmp_path, plain(6), plain(8)[1:]))
    assert found.n_missing == {"t": 3}
    assert found.values["b"]["t"].shape == (1, 5)


def test_copies_of_a_document_are_items_of_one_cluster(tmp_path):
    rows = [*plain(4), {**row(0, 1), "doc_id": 7}]
    found = read_arms(two(tmp_path, rows, rows[::-1]))
    assert found.values["a"]["t"].shape == (1, 5)
    assert (found.values["a"]["t"] == found.values["b"]["t"]).all()
    assert sorted(np.bincount(found.clusters["t"])) == [1, 1, 1, 2]


def test_passages_are_clusters_where_there_are_enough(tmp_path):
    many = [row(i, 0, passage=f"P{i // 2}") for i in range(60)]
    few = [row(i, 0, passage=f"P{i % 2}") for i in range(60)]
    found = read_arms(two(tmp_path / "many", many, many))
    assert found.clusters["t"].max() == 29
    assert any("60 items in 30 clusters by the passage" in note for note in found.notes)
    found = read_arms(two(tmp_path / "few", few, few))
    assert found.clusters["t"].max() == 59
    assert any("2 passages are too few" in note for note in found.notes)
    found = read_arms([tmp_path / "few" / "a", tmp_path / "few" / "b"], cluster="passage")
    assert found.clusters["t"].max() == 1
    found = read_arms([tmp_path / "few" / "a", tmp_path / "few" / "b"], cluster="answer")
    assert any("no two items share a 'answer'" in note for note in found.notes)


def test_filter_and_metric_are_chosen_and_said(tmp_path):
    rows = [
        {**row(i, i % 2, metric="exact_match", kind=kind), "acc": 1 - i % 2,
         "metrics": ["exact_match", "acc"]}
        for kind in ("strict-match", "flexible-extract") for i in range(4)
    ]  # fmt: skip
    both = two(tmp_path, rows, rows)
    assert read_arms(both).measures == {"t": "acc (flexible-extract)"}
    found = read_arms(both, metrics=["exact_match"], filters=["strict-match"])
    assert found.measures == {"t": "exact_match (strict-match)"}
    with pytest.raises(InputError, match="has the metric 'bleu'"):
        read_arms(both, metrics=["bleu"])


def test_groups_are_one_task_as_lm_eval_counts_them(tmp_path):
    said = {
        "group_subtasks": {"all": ["big", "t"], "big": ["part"], "part": ["u", "v"]},
        "groups": {"big": {}, "part": {}},
    }
    for arm in ("a", "b"):
        for task in ("t", "u", "v"):
            write(tmp_path / arm, task, plain(4, prompt=f"{task} {{}}"))
        write_results(tmp_path / arm, **said)
    found = read_arms([tmp_path / "a", tmp_path / "b"])
    assert {task: x.shape for task, x in found.values["a"].items()} == {"big": (1, 8), "t": (1, 4)}
    assert list(read_arms([tmp_path / "a", tmp_path / "b"], tasks=["big"]).values["a"]) == ["big"]
    with pytest.raises(InputError, match="No arm has the task 'mmlu'"):
        read_arms([tmp_path / "a", tmp_path / "b"], tasks=["mmlu"])


def test_lower_is_better_by_results_file_field_or_name(tmp_path):
    rows = plain(metric="odd")
    both = two(tmp_path / "one", rows, rows)
    assert read_arms(both).higher_is_better
    write_results(tmp_path / "one" / "a", higher_is_better={"t": {"odd": False, "none": None}})
    assert not read_arms(both).higher_is_better
    rows = plain(metric="perplexity")  # an item's value is its log-likelihood
    both = two(tmp_path / "two", rows, rows)
    write_results(tmp_path / "two" / "a", higher_is_better={"t": {"perplexity": False}})
    assert read_arms(both).higher_is_better
    write(tmp_path / "one" / "a", "u", plain())
    write(tmp_path / "one" / "b", "u", plain())
    with pytest.raises(InputError, match=r"For t \(odd\) lower is better"):
        read_arms([tmp_path / "one" / "a", tmp_path / "one" / "b"])


def ours(i, value, **more):
    return {
        "task": "pairs", "filter": "none", "doc_hash": f"d{i}", "prompt_hash": "p",
        "target_hash": f"t{i}", "metric": "loss", "value": value, **more,
    }  # fmt: skip


def test_lines_of_our_own(tmp_path):
    for arm, gain in (("a", 0.0), ("b", 0.5)):
        lines = [ours(i, i + gain, cluster=str(i // 2), tokens=9) for i in range(80)]
        (tmp_path / arm).mkdir()
        (tmp_path / arm / "items.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = read_arms([tmp_path / "a", tmp_path / "b"])
    assert not found.higher_is_better
    assert (found.values["b"]["pairs"] - found.values["a"]["pairs"] == 0.5).all()
    assert found.clusters["pairs"].max() == 39
    assert found.measures == {"pairs": "loss (none)"}


def test_a_task_without_numbers_is_left_out_and_said(tmp_path):
    both = two(tmp_path, plain(), plain())
    for path in both:
        write(path, "wiki", [{**row(0, [-3.0, 2], metric="word_perplexity")}])
    assert any(
        "no metric is a number for each item: wiki" in note for note in read_arms(both).notes
    )


# Bad input: what is said of it --------------------------------------------------------------------


def test_items_whose_metric_is_no_number_are_counted(tmp_path):
    rows = [row(i, i % 2, metrics=["acc", "acc_norm"], acc_norm=0.0) for i in range(8)]
    rows[3]["acc_norm"] = None
    rows[4] |= {"acc_norm": None, "acc": None}
    arms = read_arms(two(tmp_path, rows, rows))
    assert arms.values["a"]["t"].shape == (1, 6)
    assert "t: 2 items whose acc_norm is no number are left out." in arms.notes


def test_the_table_of_models_says_what_it_leaves_out(tmp_path):
    files = [
        write(tmp_path, "t", plain()),
        write(tmp_path, "told", [row(i, "a story") for i in range(5)]),
    ]
    notes = []
    scores = overview({"base": read_run("base", files)}, notes)
    assert [score.task for score in scores] == ["t"]
    assert notes == ["Left out, since no metric is a number for each item: told."]


def without(name):
    rows = plain()
    del rows[2][name]
    return rows


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (plain(prompt="Question: {}"), "5 of 5 items had another prompt in 'b'"),
        (
            [*plain(4), row(4, 0, target_hash="x")],
            r"1 of 5 items had another target in 'b' \(.*5\)",
        ),
        ([*plain(), row(2, 1)], r"line 6 holds an item that is in .* line 3 as well \(1 such\)"),
        (without("doc_hash"), "line 3 has no doc_hash, .* an older lm-eval wrote it"),
        (without("prompt_hash"), "line 3 has no prompt_hash"),
        ([{"a": 1}], "line 1 has neither 'metrics'"),
        ([[1]], "line 1 is no JSON object"),
        ([*plain(), row(9, float("nan"))], "line 6 has acc = nan, which is no finite number"),
        ([ours(0, "much")], "line 1 has loss = 'much'"),
        ([row(i, 0) for i in range(9, 12)], "no document is in all runs"),
        ([], "No task is in every run of every arm; in some: t"),
    ],
)
def test_bad_input_is_a_sentence_with_file_line_and_remedy(tmp_path, rows, says):
    with pytest.raises(InputError, match=says) as error:
        read_arms(two(tmp_path, plain(), rows))
    assert str(error.value).endswith(".") or "[]" in str(error.value)


def test_a_last_line_that_is_cut_off_and_one_that_is_no_json(tmp_path):
    both = two(tmp_path, plain(), plain())
    file = next(both[1].iterdir())
    text = file.read_text()
    file.write_text(text[:-20])
    with pytest.raises(InputError, match="line 5, the last one, is cut off"):
        read_arms(both)
    file.write_text("{]\n" + text)
    with pytest.raises(InputError, match="line 1 is no JSON"):
        read_arms(both)
    file.write_text(text.strip() + "\n\n")
    assert read_arms(both).n_missing == {}


def test_other_prompts_name_what_the_results_files_say(tmp_path):
    both = two(tmp_path, plain(), plain(prompt="Q2: {}"))
    for path, version in zip(both, (2.0, 3.0), strict=True):
        write_results(path, versions={"t": version}, **{"n-shot": {"t": 0}})
    with pytest.raises(InputError, match=r"differ in versions: 2\.0 and 3\.0\."):
        read_arms(both)
    write_results(both[0], versions=[1])
    with pytest.raises(InputError, match="is not what lm-eval writes"):
        read_arms(both)


def test_one_model_evaluated_twice_is_no_second_run(tmp_path):
    rows = plain(150)
    for name in ("a/s0", "a/s1", "b"):
        write(tmp_path / name, "t", rows)
    with pytest.raises(InputError, match="s0 and s1 agree on all 150 items"):
        read_arms([tmp_path / "a", tmp_path / "b"])
