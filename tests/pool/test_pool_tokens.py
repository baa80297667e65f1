"""Token counts by characters, a tokenizer.json and tiktoken."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from pool_files import MESSAGES, PROMPT, alpaca_rows, write_lines

from ds2.errors import Ds2Warning, InputError, MissingDependencyError
from ds2.pool import count_tokens, read_pool


@pytest.fixture
def pool(tmp_path, monkeypatch):
    monkeypatch.setattr("ds2.pool.tokens._BATCH", 3)
    rows = [*alpaca_rows(6), {"instruction": "Gr\u00fc\u00df \U0001f600", "output": ""}]
    with pytest.warns(Ds2Warning, match="without an answer to learn are kept"):
        return read_pool(write_lines(tmp_path / "pool.jsonl", rows), no_answer="keep")


@pytest.fixture
def tokenizer(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    made = Tokenizer(models.WordLevel({"[UNK]": 0, "[CLS]": 1, "It": 2}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing("[CLS] $A", None, [("[CLS]", 1)])
    made.enable_truncation(2)
    made.enable_padding(length=9)
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def test_characters_are_counted_over_all_turns(pool):
    expected = [sum(len(m.content) for m in example.messages) for example in pool]
    counted = count_tokens(pool)
    assert counted.tolist() == expected
    assert counted.dtype == np.int64
    assert count_tokens(pool, per_turn=3).tolist() == [
        count + 3 * len(example.messages) for count, example in zip(expected, pool, strict=True)
    ]
    assert count_tokens(pool.take([])).tolist() == []


def test_rows_that_were_taken_are_counted_right(pool):
    rows = [5, 0, 6, 2]
    taken = pool.take(rows)
    assert count_tokens(taken).tolist() == count_tokens(pool)[rows].tolist()
    assert count_tokens(taken.take([2, 3])).tolist() == count_tokens(pool)[[6, 2]].tolist()


def test_a_tokenizer_counts_without_special_tokens_padding_or_a_limit(pool, tokenizer):
    expected = [sum(len(m.content.replace(".", " .").split()) for m in e.messages) for e in pool]
    assert count_tokens(pool, tokenizer).tolist() == expected
    assert count_tokens(pool, str(tokenizer.parent)).tolist() == expected


def test_a_name_goes_to_the_hub(pool, tokenizer, monkeypatch):
    import tokenizers
    from tokenizers import Tokenizer

    asked = []

    class Hub:
        from_file = Tokenizer.from_file

        @staticmethod
        def from_pretrained(name):
            asked.append(name)
            if name == "org/none":
                raise OSError("404\nnot found \x1b[31m")
            return Tokenizer.from_file(str(tokenizer))

    monkeypatch.setattr(tokenizers, "Tokenizer", Hub)
    assert count_tokens(pool, "org/name").sum() == count_tokens(pool, tokenizer).sum()
    with pytest.raises(InputError, match="'org/none' could not be loaded: '404'"):
        count_tokens(pool, "org/none")
    assert asked == ["org/name", "org/none"]


def test_tiktoken_counts_text_that_looks_special(pool, monkeypatch):
    def get_encoding(name):
        if name != "words":
            raise ValueError(name)
        encode = lambda texts, disallowed_special: [text.split() for text in texts]  # noqa: E731
        return SimpleNamespace(encode_batch=encode)

    fake = SimpleNamespace(get_encoding=get_encoding, list_encoding_names=lambda: ["words"])
    monkeypatch.setitem(sys.modules, "tiktoken", fake)
    expected = [sum(len(m.content.split()) for m in example.messages) for example in pool]
    assert count_tokens(pool, "tiktoken:words").tolist() == expected
    with pytest.raises(InputError, match=r"encoding 'wrods' of tiktoken.*It knows words"):
        count_tokens(pool, "tiktoken:wrods")
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    with pytest.raises(MissingDependencyError, match="pip install tiktoken"):
        count_tokens(pool, "tiktoken:words")


def test_what_is_no_tokenizer_is_named(pool, tmp_path):
    (tmp_path / "bad.json").write_text("{}")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"bad\.json could not be loaded"):
        count_tokens(pool, tmp_path / "bad.json")
    with pytest.raises(InputError, match=r"holds no tokenizer\.json"):
        count_tokens(pool, tmp_path / "folder")
    with pytest.raises(InputError, match="does not exist"):
        count_tokens(pool, tmp_path / "none.json")
    with pytest.raises(InputError, match="'per_turn' must be a whole number"):
        count_tokens(pool, per_turn=-1)


def test_every_format_counts_the_same_turns(tmp_path):
    one = read_pool(write_lines(tmp_path / "a.jsonl", [MESSAGES]))
    two = read_pool(write_lines(tmp_path / "b.jsonl", [PROMPT]))
    assert count_tokens(one).tolist() == count_tokens(two).tolist() == [6]
