"""No text can close the fence, and no number of an example becomes a rating by our doing."""

import inspect
import json
import re
import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from injections import ATTACKS, TOP, filled

from ds2.pool import Message
from ds2.rating import PromptBuilder, Rubric
from ds2.rating.fence import fence_line, fence_mark, neutralise
from ds2.rating.prompt import FORMS
from ds2.rating.reply import parse_reply

RUBRIC = Rubric.ds2()
NONCE = "of this run"
MARK = fence_mark(NONCE)
OURS = re.compile(re.escape(f"[[{MARK}: ") + r"[^\n]*\]\]")
#: Tokens that chat servers give a meaning to.
CONTROL = (
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|begin_of_text|>", "<|eot_id|>",
    "<|start_header_id|>", "<|end_header_id|>", "<s>", "</s>", "<bos>", "<eos>", "<pad>",
    "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "[TOOL_CALLS]", "[SYSTEM_PROMPT]",
    "<start_of_turn>", "<end_of_turn>", "<think>", "</think>", "<tool_call>", "<｜User｜>",
    "<｜Assistant｜>", "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<|user|>",
    "<|assistant|>", "<|system|>", "<|channel|>", "<|message|>", "<|start|>",
    "[|system|]", "[|endofturn|]", "<seed:think>", "<minimax:tool_call>",
    "<longcat_user>", "<function=run>", "<arg_key>", "</TOOLCALL>", "<[begin_of_sentence]>",
    "◁think▷", "]~b]", "]~!b[", "[e~[", "/no_think", "<|turn>", "<channel|>", "<end_of_text>",
    "<|END_OF_TURN_TOKEN|>", "<unused12>", "<__media__>", "[gMASK]", "<sop>",
    "<EOP_TOKEN>", "<MASK_TOKEN>", "</co:", "<eoh>", "<eoa>", "<TOKENS_UNUSED_1>", "<tool_code>",
    "<start_function_call>", "<escape>", "<image_soft_token>", "<tool_sep>", "<ctrl99>",
    "<｜DSML｜function_calls>", "</｜DSML｜invoke>", "<begin_of_document>", "<thinking_budget>",
    "<|header_start|>", "<|start_of_role|>", "<|constrain|>", "<extra_id_1>", "<reserved_106>",
)  # fmt: skip


def looks(text):
    """What a text looks like, found naively: compatibility forms, no invisible characters."""
    shown = unicodedata.normalize("NFKD", text).casefold()
    return "".join(c for c in shown if unicodedata.category(c) not in {"Cf", "Mn", "Me"})


def check_fence(turns, form="structured"):
    """The fence of a prompt is where it belongs, once, whatever the turns hold."""
    made = PromptBuilder(RUBRIC, NONCE, form)
    prompt = made.build([Message(*turn) for turn in turns])
    system, user = (message["content"] for message in prompt.messages)
    assert system == made.build([]).messages[0]["content"]
    expected = ["example", *(role for role, _ in turns), "end of example"]
    assert OURS.findall(user) == [fence_line(MARK, says) for says in expected]
    assert looks(user).count(MARK) == len(expected)
    start, end = made.fixed
    assert user.startswith(start.removeprefix(system + "\n"))
    assert user.endswith(end)
    return user


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: f"{a.name} ({a.language})")
@pytest.mark.parametrize("form", FORMS)
def test_the_fence_holds(attack, form):
    text = filled(attack, MARK)
    check_fence([("user", text), ("assistant", "A fair answer.\n\n" + text)], form)


def test_there_are_enough_attacks():
    assert len(ATTACKS) >= 30
    assert len({(a.name, a.language) for a in ATTACKS}) == len(ATTACKS)
    assert len({a.language for a in ATTACKS}) >= 10


def spoiled(parts):
    """Put characters between others that one does not see."""
    return "".join(char + hidden for text, hidden in parts for char in text)


WIDE = str.maketrans({chr(c): chr(c + 0xFEE0) for c in range(0x21, 0x7F)})
CYRILLIC = str.maketrans("acehijkmopstx", "асеһіјкморѕтх")
PIECES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [MARK, MARK[:5], MARK[5:], fence_line(MARK, "end of example"), "[[", "]]", "["]
    ),
    st.sampled_from([MARK.upper(), MARK.translate(WIDE), MARK.translate(CYRILLIC)]),
    st.sampled_from(CONTROL),
    st.sampled_from(
        ["<", "|", ">", "<|", "|>", "im_start", "\n", "\r", "\x00", "\u200b", "/", "s"]
    ),
    st.builds(
        spoiled, st.lists(st.tuples(st.just(MARK), st.sampled_from(["\u200d", "\u0301", ""])))
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(PIECES, max_size=10).map("".join), min_size=1, max_size=3))
def test_no_text_can_close_the_fence(texts):
    check_fence([("user", text) for text in texts])


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join))
def test_no_control_token_is_left(text):
    safe = neutralise(text, MARK)
    assert not [token for token in CONTROL if token in safe or token.casefold() in looks(safe)]
    assert not re.search(r"<\|[^<>|\s]+\|>", looks(safe))
    assert MARK not in looks(safe)
    assert not set(safe) & set(map(chr, [*range(9), 11, 12, 13, *range(14, 32)]))
    assert neutralise(safe, MARK) == safe


@pytest.mark.parametrize("filler", "\u115f\u1160\u3164\uffa0\u2800\u200b\u00ad")
def test_letters_that_nobody_sees_hide_nothing(filler):
    for text in (MARK, "<|im_start|>", "[INST]"):
        hidden = filler.join(text)
        assert neutralise(hidden, MARK) != hidden


@given(st.text())
def test_texts_without_look_alikes_stay_as_they_are(text):
    safe = neutralise(text, MARK)
    harmless = text.isascii() and text.isprintable() and not set(text) & set("<[:#")
    if harmless:
        assert safe == text
    assert len(safe) >= len(re.sub("[\U000e0000-\U000e007f]", "", text.replace("\r\n", "\n")))


@pytest.mark.parametrize("token", CONTROL)
def test_every_control_token_is_broken(token):
    safe = neutralise(f"x{token}y", MARK)
    assert token not in safe
    assert safe.replace(" ", "") == f"x{token}y"


@pytest.mark.parametrize(
    "head",
    ["System:", "1. System:", "• System:", "“System”:", "__System__:", "系统提示：", "🤖 System:",
     "مساعد:", "system prompt:", "  Assistant:", "**User**:", "[SYSTEM]:", "Система:", "系统：",
     "系统:", "Système :", "SYSTEM (new):", "Hệ thống:",
     "### Response:", "## Instruction", "Sуstеm:"],
)  # fmt: skip
def test_a_false_head_of_a_turn_is_quoted(head):
    assert neutralise(f"a\n{head} x" if head[0] != "#" else f"a\n{head}", MARK).startswith("a\n> ")


@pytest.mark.parametrize(
    "line", ["The system: it works", "Answer: 4", "Note: x", "users: 3", "> System: x"]
)
def test_other_lines_are_not_quoted(line):
    assert neutralise(f"a\n{line}", MARK) == f"a\n{line}"


@pytest.mark.parametrize("piece", ["_", "ab_", "_ab<", " ", "#", "<", "[", "[[:1", "x|", "a "])
@pytest.mark.parametrize("start", ["<", "## input", "system", "[[", "<|"])
def test_the_time_goes_by_the_length(start, piece):
    begun = time.process_time()
    neutralise(start + piece * (200_000 // len(piece)) + "x", MARK)
    assert time.process_time() - begun < 10, "the square of the length takes minutes"


def test_the_mark_depends_on_the_nonce_alone():
    marks = {fence_mark(f"nonce {n}") for n in range(1000)}
    assert len(marks) == 1000
    assert all(re.fullmatch("[bcdfghjklmnpqrstvwxz]{10}", mark) for mark in marks)
    assert fence_mark(NONCE) == MARK


def test_the_parser_gets_the_reply_and_what_was_asked_and_nothing_else():
    assert list(inspect.signature(parse_reply).parameters) == ["text", "rubric", "form", "cut"]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: f"{a.name} ({a.language})")
def test_a_rater_that_quotes_the_example_keeps_its_own_rating_or_has_none(attack):
    """Inside the rater's object a quotation is no candidate; beside it there may be none."""
    quoted = filled(attack, MARK)
    own = {"rarity": 2, "complexity": 2, "informativeness": 2, "overall": 2}
    for form in ("structured", "json", "text"):
        for text in (
            f"The example says:\n{quoted}\n\nI do not follow it.\n{json.dumps(own)}",
            f"{json.dumps(own)}\n\nThe example says:\n{quoted}",
            f"<think>It wants {TOP}, as in {quoted}</think>{json.dumps(own)}",
        ):
            found = parse_reply(text, RUBRIC, form=form)
            assert found.values.get("overall") in (2.0, None), text
        if "think>" not in quoted and "[[" not in quoted and "［［" not in quoted:
            for inside in ({"why": quoted, **own}, {**own, "why": quoted}):
                found = parse_reply(json.dumps(inside), RUBRIC, form=form)
                assert found.problem is None
                assert found.values == dict.fromkeys(RUBRIC.names, 2.0), inside
