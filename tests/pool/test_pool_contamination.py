"""Contamination against a plain search for runs of words."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pool_files import write_lines

from ds2.errors import InputError
from ds2.pool import read_pool
from ds2.pool.contamination import find_contaminated, words_of
from ds2.pool.runs_of_words import RunIndex

QUESTION = "Which of the following planets has the largest number of known moons in our system"


def pool_of(tmp_path, *contents):
    rows = [{"prompt": text, "response": "It is so."} for text in contents]
    return read_pool(write_lines(tmp_path / "pool.jsonl", rows))


def evaluation(tmp_path, *rows, name="eval.jsonl"):
    return write_lines(
        tmp_path / name, [row if isinstance(row, dict) else {"q": row} for row in rows]
    )


def naive(texts, items, n, shortest):
    """(text, item) pairs that share a run, by a loop over all runs."""
    pairs = set()
    for i, item in enumerate(items):
        length = min(n, len(item))
        if length < shortest:
            continue
        runs = {tuple(item[j : j + length]) for j in range(len(item) - length + 1)}
        for t, text in enumerate(texts):
            if runs & {tuple(text[j : j + length]) for j in range(len(text) - length + 1)}:
                pairs.add((t, i))
    return pairs


words = st.lists(st.sampled_from("abc"), max_size=14)


@settings(max_examples=150, deadline=None)
@given(st.lists(words, max_size=6), st.lists(words, min_size=1, max_size=5), st.integers(3, 6))
def test_the_index_is_the_plain_search(texts, items, n):
    index = RunIndex(n, 3)
    added = [index.add(item, (i, 1)) for i, item in enumerate(items)]
    assert added == [len(item) >= 3 for item in items]
    if not any(added):
        return
    text, run = index.finish().search(texts)
    found = set()
    for one, which in zip(text.tolist(), run.tolist(), strict=True):
        run_words = index.words(which)
        assert any(texts[one][j : j + len(run_words)] == run_words for j in range(len(texts[one])))
        found.update((one, i) for i, _ in index.places(which))
    assert found == naive(texts, items, n, 3)


def test_hash_collisions_do_not_match(monkeypatch):
    monkeypatch.setattr(
        "ds2.pool.runs_of_words._hashes",
        lambda values, length: np.zeros(len(values) - length + 1, dtype=np.uint64),
    )
    index = RunIndex(3, 3)
    for i, item in enumerate(["abcd", "dcba", "bbbb"]):
        index.add(list(item), (i, 1))
    text, run = index.finish().search([list("xdcbx"), list("abb"), list("bcd")])
    found = {(t, i) for t, r in zip(text.tolist(), run.tolist(), strict=True)
             for i, _ in index.places(r)}  # fmt: skip
    assert found == {(0, 1), (2, 0)}


def test_case_space_and_marks_do_not_hide_a_match(tmp_path):
    hidden = QUESTION.upper().replace(" ", ",\n ")
    pool = pool_of(tmp_path, f"So: {hidden}?!", "Something else.", QUESTION[:60])
    found = find_contaminated(pool, [evaluation(tmp_path, "short", QUESTION)])
    assert found.rows.tolist() == [0]
    (match,) = found.matches
    assert (match.row, match.evaluation, match.line) == (0, "eval.jsonl", 2)
    assert match.words == " ".join(words_of(QUESTION)[:13])
    assert (dict(found.checked), dict(found.unchecked)) == ({"eval.jsonl": 1}, {"eval.jsonl": 1})
    assert "1 of 2 rows of the evaluation set eval.jsonl have no text" in found.warnings[0]
    assert {why: rows.tolist() for why, rows in found.by_reason().items()} == {
        "in the evaluation set eval.jsonl": [0]
    }


def test_a_short_item_must_stand_whole(tmp_path):
    item = "one two three four five six seven eight nine"
    pool = pool_of(tmp_path, f"zero {item} ten", item.replace("nine", "ten"), "eight nine " * 9)
    assert find_contaminated(pool, [evaluation(tmp_path, item)]).rows.tolist() == [0]


def test_runs_do_not_cross_turns(tmp_path):
    half = QUESTION.split()
    rows = [{"prompt": " ".join(half[:7]), "response": " ".join(half[7:])}]
    pool = read_pool(write_lines(tmp_path / "pool.jsonl", rows))
    assert find_contaminated(pool, [evaluation(tmp_path, QUESTION)]).rows.tolist() == []


def test_texts_are_found_at_any_depth_and_fields_narrow_that(tmp_path):
    row = {"a": "x", "choices": {"text": [QUESTION, "no"]}, "n": 3}
    pool, path = pool_of(tmp_path, QUESTION), evaluation(tmp_path, row)
    assert len(find_contaminated(pool, {"deep": path}).rows) == 1
    with pytest.raises(InputError, match="no text of 8 words or more"):
        find_contaminated(pool, [path], fields=["a"])
    with pytest.raises(InputError, match=r"has the field 'b'. There are: 'a', 'choices', 'n'"):
        find_contaminated(pool, [path], fields=["b"])


def test_each_character_of_an_eastern_text_is_a_word(tmp_path):
    text = "太阳系中哪一颗行星的已知卫星数量最多"
    pool = pool_of(tmp_path, f"请回答：{text}？", text[:10])
    assert find_contaminated(pool, [evaluation(tmp_path, text)]).rows.tolist() == [0]
    assert words_of("Ab1 日本_x") == ["ab1", "日", "本", "x"]


def test_common_phrases_can_be_left_out(tmp_path):
    pool = pool_of(tmp_path, *[f"{n} {QUESTION} {n}" for n in range(4)])
    path = evaluation(tmp_path, QUESTION)
    assert len(find_contaminated(pool, [path]).rows) == 4
    assert len(find_contaminated(pool, [path], ignore_above=4).rows) == 4
    assert len(find_contaminated(pool, [path], ignore_above=3).rows) == 0


def test_a_match_is_named_once_for_each_set(tmp_path):
    pool = pool_of(tmp_path, QUESTION)
    one, two = (evaluation(tmp_path, QUESTION, QUESTION, name=f"{n}.jsonl") for n in "ab")
    matches = find_contaminated(pool, {"one\x1b": one, "two": two}).matches
    assert [(match.evaluation, match.line) for match in matches] == [("one\\x1b", 1), ("two", 1)]


def test_what_is_no_evaluation_set_is_named(tmp_path):
    pool, path = pool_of(tmp_path, QUESTION), evaluation(tmp_path, QUESTION)
    with pytest.raises(InputError, match="must be a list of files"):
        find_contaminated(pool, str(path))
    with pytest.raises(InputError, match="files with different names"):
        find_contaminated(pool, [path, path])
    with pytest.raises(InputError, match="does not exist"):
        find_contaminated(pool, [tmp_path / "no.jsonl"])
    with pytest.raises(InputError, match=r"'shortest' must be a whole number in \[1, 5\]"):
        find_contaminated(pool, [path], n=5)
    (tmp_path / "bad.jsonl").write_text(json.dumps({"q": QUESTION}) + "\n[1]\n")
    with pytest.raises(InputError, match="row 2: not an object"):
        find_contaminated(pool, [tmp_path / "bad.jsonl"])
