"""Exact duplicates after normalisation, and contamination against a plain search for runs."""

import json
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pool_files import alpaca_rows, write_lines

from ds2.errors import InputError
from ds2.pool import find_contaminated, find_duplicates, read_pool

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


@settings(max_examples=100, deadline=None)
@given(
    st.lists(words.filter(len), min_size=1, max_size=6),
    st.lists(words, min_size=1, max_size=5),
    st.integers(3, 6),
)
def test_what_is_found_is_what_a_plain_search_finds(tmp_path_factory, texts, items, n):
    folder = tmp_path_factory.mktemp("runs")
    wanted = naive([["it", "is", "so"], *texts], items, n, 3)
    rows = [{"prompt": " ".join(text), "response": "It is so."} for text in texts]
    named = {str(i): evaluation(folder, " ".join(item), name=f"{i}.jsonl")
             for i, item in enumerate(items) if len(item) >= 3}  # fmt: skip
    if not named:
        return
    found = find_contaminated(read_pool(rows), named, n=n, shortest=3)
    assert {(match.row + 1, int(match.evaluation)) for match in found.matches} == wanted
    for match in found.matches:
        assert f" {match.words} " in f" {' '.join(texts[match.row])} "
        assert f" {match.words} " in f" {' '.join(items[int(match.evaluation)])} "


def test_case_space_and_marks_do_not_hide_a_match(tmp_path):
    hidden = QUESTION.upper().replace(" ", ",\n ")
    pool = pool_of(tmp_path, f"So: {hidden}?!", "Something else.", QUESTION[:60])
    found = find_contaminated(pool, [evaluation(tmp_path, "short", QUESTION)])
    assert found.rows.tolist() == [0]
    (match,) = found.matches
    assert (match.row, match.evaluation, match.line) == (0, "eval.jsonl", 2)
    assert match.words == " ".join(QUESTION.lower().split()[:13])
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
    mixed = evaluation(tmp_path, "Ab1 日本_x", name="mixed.jsonl")
    pool = pool_of(tmp_path, "so: ab1日本 x.", "ab1 日 本x2")
    assert find_contaminated(pool, [mixed], n=4, shortest=4).rows.tolist() == [0]


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


def groups(tmp_path, *pairs):
    rows = [
        {"prompt": prompt, "response": response, "n": n}
        for n, (prompt, response) in enumerate(pairs)
    ]
    return find_duplicates(read_pool(write_lines(tmp_path / "pool.jsonl", rows))).tolist()


def test_the_label_is_the_first_row_with_the_same_text(tmp_path):
    found = groups(
        tmp_path,
        ("Straße  1", "Yes"),
        ("Other", "Yes"),
        (" STRASSE\t１\n", "yes"),
        ("strasse 1", "no"),
        ("strasse\u00a01", "YES"),
    )
    assert found == [0, 1, 0, 3, 0]


def test_text_does_not_move_between_turns_or_words(tmp_path):
    assert groups(tmp_path, ("a b", "c"), ("a", "b c"), ("ab", "c"), ("c", "a b")) == [0, 1, 2, 3]


def test_the_same_text_in_other_roles_is_no_duplicate(tmp_path):
    rows = [
        {"messages": [{"role": role, "content": "a"}, {"role": "assistant", "content": "b"}]}
        for role in ("user", "system", "human")
    ]
    pool = read_pool(write_lines(tmp_path / "pool.jsonl", rows))
    assert find_duplicates(pool).tolist() == [0, 1, 0]


def test_a_pool_without_duplicates_has_every_row_as_its_own_group(tmp_path):
    pool = read_pool(write_lines(tmp_path / "pool.jsonl", alpaca_rows(3000)))
    found = find_duplicates(pool)
    assert found.dtype == np.int64
    assert np.array_equal(found, np.arange(3000))
    assert find_duplicates(pool.take([])).tolist() == []


@given(st.text(min_size=1).filter(lambda text: text.strip() and text.isprintable()))
def test_form_case_and_space_do_not_count(text):
    same = [text, unicodedata.normalize("NFD", text), f" {text}\n", text.casefold()]
    pool = read_pool([{"prompt": each, "response": "yes"} for each in same])
    assert find_duplicates(pool).tolist() == [0, 0, 0, 0]
