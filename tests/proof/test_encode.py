"""Conversations as ids: what is learned, for any turns, and what is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers_made import CHATML, Made, made

from ds2 import InputError
from ds2.proof.encode import (
    Encoded,
    check_mask,
    choose_pad,
    encode,
    load_template,
    marked,
    prompt_ids,
)

MARKS = ["<|", "|>", "<|im_end", "user|>", "\n", "\n\n", " ", "é", "日本", "😀", "a question"]
TEXT = st.lists(st.one_of(st.sampled_from(MARKS), st.text(max_size=6)), max_size=5).map("".join)
TURNS = st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), TEXT), max_size=7)
TEMPLATES = {"chat": Made(CHATML), "tulu": Made()}


def ids_of(text):
    return made().encode(text).ids


def runs(encoded):
    """(start, end) of what is learned."""
    edges = np.flatnonzero(np.diff(np.r_[0, encoded.learned.astype(int), 0])).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


@pytest.mark.parametrize("name", TEMPLATES)
@settings(max_examples=150, deadline=None)
@given(turns=TURNS)
def test_each_answer_and_its_stop_token_are_learned_and_nothing_else(name, turns):
    tokenizer = TEMPLATES[name]
    template = load_template(tokenizer)
    answers = [i for i, (role, text) in enumerate(turns) if i and role == "assistant"]
    answers = [i for i in answers if turns[i][1].strip()]
    found = encode(turns, template, tokenizer, max_length=10**6)
    if not answers or any(mark in text for mark in template.special for _, text in turns):
        assert isinstance(found, str)
        return
    assert len(runs(found)) == len(answers)
    for (start, end), i in zip(runs(found), answers, strict=True):
        assert tokenizer.decode(found.ids[:start]) == template.render(turns[:i], prompt=True)
        assert tokenizer.decode(found.ids[start:end]) == turns[i][1] + template.stop
        assert found.ids[end - 1] == template.stop_id
    assert found.learned[-1]
    assert not found.learned[0]
    first = template.render(turns[: answers[0]], prompt=True)
    assert found.ids[: runs(found)[0][0]].tolist() == ids_of(first)
    check_mask(turns, found, template, tokenizer, pad_id=choose_pad(tokenizer, template))


@settings(max_examples=100, deadline=None)
@given(turns=TURNS, at=st.integers(1, 80))
def test_a_cut_keeps_the_beginning_and_trains_no_false_stop(turns, at):
    tokenizer = TEMPLATES["chat"]
    template = load_template(tokenizer)
    whole = encode(turns, template, tokenizer, max_length=10**6)
    dropped = encode(turns, template, tokenizer, max_length=at)
    cut = encode(turns, template, tokenizer, max_length=at, too_long="cut")
    if isinstance(whole, str):
        assert cut == dropped == whole
    elif len(whole) <= at:
        assert cut.ids.tolist() == dropped.ids.tolist() == whole.ids.tolist()
        assert not cut.cut
    else:
        assert dropped == "too long"
        if not whole.learned[:at].any():
            assert cut == "too long: no answer begins within max_length"
            return
        assert len(cut) <= at
        assert cut.cut
        assert cut.learned[-1]
        assert cut.ids.tolist() == whole.ids[: len(cut)].tolist()
        assert cut.learned.tolist() == whole.learned[: len(cut)].tolist()
        check_mask(turns, cut, template, tokenizer)


@settings(max_examples=60, deadline=None)
@given(turns=TURNS)
def test_evaluation_asks_what_was_trained(turns):
    tokenizer = TEMPLATES["tulu"]
    template = load_template(tokenizer)
    asked = prompt_ids(turns, template, tokenizer, max_length=10**6)
    last = encode(turns, template, tokenizer, max_length=10**6, loss_on="last-answer")
    if isinstance(last, str):
        assert asked == last
        return
    prompt, answer = asked
    assert [*prompt, *answer] == last.ids.tolist()
    assert last.learned.tolist() == [False] * len(prompt) + [True] * len(answer)
    i = max(i for i, (role, _) in enumerate(turns) if role == "assistant")
    assert prompt.tolist() == ids_of(template.render(turns[:i], prompt=True))


def test_an_answer_that_would_merge_with_its_prompt_is_tokenized_apart():
    assert len(ids_of("\n\n")) == 1
    tokenizer = TEMPLATES["tulu"]
    template = load_template(tokenizer)
    turns = [("user", "a"), ("assistant", "\nb")]
    found = encode(turns, template, tokenizer, max_length=99)
    prompt = ids_of("<|user|>\na\n<|assistant|>\n")
    assert found.ids.tolist() == prompt + ids_of("\nb<|endoftext|>")
    assert marked(found, tokenizer) == (
        ("<|user|>\na\n<|assistant|>\n", False),
        ("\nb<|endoftext|>", True),
    )


def test_a_template_is_the_models_own_or_tulu_or_a_file(tmp_path):
    assert load_template(Made(CHATML)).name == "chat"
    assert load_template(Made({"default": CHATML, "tool_use": "x"})).source == CHATML
    assert load_template(Made(CHATML), "tulu").stop == "<|endoftext|>"
    assert load_template(Made()).name == "tulu"
    file = tmp_path / "own.jinja"
    file.write_text(
        "{%- for m in messages %}{{ m.role }}: {% generation %}{{ m.content }}{{ eos_token }}"
        "{% endgeneration %}{%- endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    )
    own = load_template(Made(), str(file))
    assert own.name == "own.jinja"
    assert own.render([("user", "q")], prompt=True) == "user: q<|endoftext|>assistant: "
    with pytest.raises(InputError, match=r"'train.template' is .*none.jinja.* cannot be read"):
        load_template(Made(), str(tmp_path / "none.jinja"))


def test_a_prompt_is_the_same_on_another_day():
    dated = CHATML.replace("{%", "{{ strftime_now('%d %b %Y') }}{%", 1)
    text = load_template(Made(dated)).render((("user", "Hi"),), prompt=True)
    assert text.startswith("26 Jul 2024")


def test_a_tokenizer_that_begins_texts_with_a_token_keeps_it():
    with_start = Made(bos="<|im_start|>")
    assert load_template(with_start).render([("user", "q")]) == "<|im_start|><|user|>\nq\n"


def write(tmp_path, source):
    path = tmp_path / "t.jinja"
    path.write_text(source)
    return str(path)


def test_templates_that_cannot_be_trained_on_are_refused(tmp_path):
    with pytest.raises(InputError, match="would not learn to stop"):
        load_template(Made(), write(tmp_path, "{% for m in messages %}{{m.content}}{% endfor %}"))
    with pytest.raises(InputError, match=r"does not render a question and an answer \(.*no\)"):
        load_template(Made(), write(tmp_path, "{{ raise_exception('no') }}"))
    with pytest.raises(InputError, match="names no eos_token"):
        load_template(Made(eos=None))
    with pytest.raises(InputError, match="does not render"):  # the sandbox
        load_template(Made(), write(tmp_path, "{{ messages.__class__.__mro__[1].__subclasses__ }}"))


def test_rows_that_cannot_be_trained_on_say_why(tmp_path):
    def why(turns, source=None, **how):
        tokenizer = Made()
        template = load_template(tokenizer, write(tmp_path, source) if source else "auto")
        return encode(turns, template, tokenizer, max_length=999, **how)

    ask = [("user", "q"), ("assistant", "a")]
    assert why([("user", "q")]) == why([("assistant", "a")]) == "no answer"
    assert why([("user", "q"), ("assistant", " \n")]) == "no answer"
    assert "holds <|im_end|>" in why([("user", "<|im_end|>"), ("assistant", "a")])
    assert "refuses it: a turn of role tool" in why([("tool", "q"), ("assistant", "a")])
    forgets = (
        "{% for m in messages %}{{ m.role[0] }}{% if m.role == 'user' or loop.last %}"
        "{{ m.content }}{% endif %}{{ eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}a{% endif %}"
    )
    assert "changes earlier turns" in why([*ask, *ask], forgets)
    assert not isinstance(why([*ask, *ask], forgets, loss_on="last-answer"), str)
    other = "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"
    other += "{% if add_generation_prompt %}assistant:{% endif %}"
    assert "is not how the answered conversation begins" in why(ask, other)


def test_masks_that_are_wrong_are_refused():
    tokenizer = TEMPLATES["chat"]
    template = load_template(tokenizer)
    turns = [("user", "a question"), ("assistant", "the answer")]
    right = encode(turns, template, tokenizer, max_length=99)

    def wrong(change, **how):
        mask = right.learned.copy()
        change(mask)
        check_mask(turns, Encoded(right.ids, mask), template, tokenizer, **how)

    start = int(np.argmax(right.learned))
    wrong(lambda mask: None, pad_id=0, n_embeddings=400)
    for change, says in (
        (lambda mask: mask.fill(False), "nothing is learned"),
        (lambda mask: mask.__setitem__(start - 1, True), "not those of a prompt"),
        (lambda mask: mask.__setitem__(start, False), "not those of a prompt"),
        (lambda mask: mask.__setitem__(-1, False), "stop token is not learned"),
    ):
        with pytest.raises(InputError, match=says):
            wrong(change)
    with pytest.raises(InputError, match="padding is the stop token"):
        wrong(lambda mask: None, pad_id=template.stop_id)
    with pytest.raises(InputError, match="added to the vocabulary"):
        wrong(lambda mask: None, n_embeddings=2)


def test_padding_is_never_the_stop_token():
    for tokenizer in (Made(), Made(pad="<|endoftext|>"), Made(CHATML, pad="<|im_end|>")):
        template = load_template(tokenizer)
        assert choose_pad(tokenizer, template) != template.stop_id
    own = Made(CHATML, pad="<|endoftext|>")
    assert choose_pad(own, load_template(own)) == own.pad_token_id
