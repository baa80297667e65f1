import asyncio
import json
import re
import sqlite3
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rating_fakes import ScriptedRater, joined, make_pool, rating

from ds2.errors import Ds2Warning, InputError, RunBusyError, RunError
from ds2.pool import read_pool
from ds2.rating import Answer, Failure, Limits, PromptBuilder, Rubric, Scale, rate, reparse
from ds2.rating.loop import BLANK_TRIES, plan_jobs

FAST = Limits(concurrency=8, tries=3, timeout_s=1.0)


def passing(reason="server error", **how):
    return Failure(reason, "It broke.", retryable=True, **how)


def raised(failure):
    raise failure


def expected_values(pool, store, form="structured"):
    """What `ScriptedRater` says of every example, by a plain loop."""
    with sqlite3.connect(store) as db:
        nonce = db.execute("SELECT value FROM facts WHERE name = 'nonce'").fetchone()[0]
    db.close()
    builder = PromptBuilder(Rubric.ds2(), nonce, form)
    return [float(rating(builder.build(example.messages))) for example in pool]


def test_every_example_is_rated_once_and_in_its_place(tmp_path):
    pool, rater = make_pool(tmp_path, 700), ScriptedRater()
    result = rate(pool, rater, store=tmp_path / "s.sqlite")
    assert result.values.tolist() == expected_values(pool, tmp_path / "s.sqlite")
    assert len(rater.prompts) == 700
    assert result.usage["requests"] == 700
    assert result.usage["n_input"] == 70_000
    assert result.usage["cost_usd"] is None
    assert set(result.criteria) == set(Rubric.ds2().names)
    assert rater.closed >= 1


def test_a_second_run_asks_only_for_what_is_new(tmp_path):
    store, pool = tmp_path / "s.sqlite", make_pool(tmp_path, 60)
    first = rate(pool, ScriptedRater(), store=store)
    again = ScriptedRater()
    same = rate(pool, again, store=store)
    assert again.prompts == []
    assert again.opened == 0, "nothing to ask: not even a probe"
    assert same.values.tolist() == first.values.tolist()
    grown, third = joined(make_pool(tmp_path, 15, start=60), pool), ScriptedRater()
    result = rate(grown, third, store=store)
    assert len(third.prompts) == 15
    assert result.values[15:].tolist() == first.values.tolist()


def test_equal_examples_are_asked_once(tmp_path):
    pool, rater = make_pool(tmp_path, 20), ScriptedRater()
    doubled = joined(pool, pool)
    result = rate(doubled, rater)
    assert len(rater.prompts) == 20
    assert result.values[:20].tolist() == result.values[20:].tolist()


def test_another_setting_or_rubric_asks_anew_and_deletes_nothing(tmp_path):
    store, pool = tmp_path / "s.sqlite", make_pool(tmp_path, 10)
    rate(pool, ScriptedRater(), store=store)
    warm = ScriptedRater(settings={"temperature": 1.0})
    rate(pool, warm, store=store)
    assert len(warm.prompts) == 10
    back = ScriptedRater()
    rate(pool, back, store=store)
    assert back.prompts == []


@pytest.mark.filterwarnings("ignore:.* have no reply:ds2.errors.Ds2Warning")
def test_what_can_pass_is_tried_again_and_what_cannot_is_not(tmp_path):
    tries: dict[str, int] = {}

    def answer(prompt, number):
        text = prompt.messages[-1]["content"]
        tries[text] = tries.get(text, 0) + 1
        if "question 3\n" in text and tries[text] < 3:
            raise passing()
        if "question 5\n" in text:
            raise Failure("bad request", "This example is wrong.")
        if "question 7\n" in text:
            raise passing("connection lost")
        return Answer('{"overall": 6}', "stop")

    rater = ScriptedRater(answer, limits=FAST)
    result = rate(make_pool(tmp_path, 10), rater, store=tmp_path / "s.sqlite")
    asked = {i: next((n for t, n in tries.items() if f"question {i}\n" in t), 0) for i in range(10)}
    assert asked == {**dict.fromkeys(range(10), 1), 3: 3, 7: 3}
    assert result.problems == {"bad request": 1, "connection lost": 1}
    assert result.problem_of_row(5) == "bad request"
    tries.clear()
    rate(make_pool(tmp_path, 10), rater, store=tmp_path / "s.sqlite")
    assert len(tries) == 1, "the one that could pass is asked again, the wrong one is not"
    assert "question 7\n" in next(iter(tries))
    tries.clear()
    rate(make_pool(tmp_path, 10), rater, store=tmp_path / "s.sqlite", retry_failed=True)
    assert len(tries) == 2


@pytest.mark.filterwarnings("ignore:.* have no reply:ds2.errors.Ds2Warning")
def test_unusable_replies_are_missing_with_a_reason_and_kept(tmp_path):
    texts = ["", "I'm sorry, but I can't help with that.", "no number here", '{"overall": 11}']

    def answer(prompt, number):
        return texts[int(re.search(r"question (\d+)", prompt.messages[-1]["content"])[1]) % 4]

    rater = ScriptedRater(answer, limits=FAST)
    result = rate(make_pool(tmp_path, 40), rater, store=tmp_path / "s.sqlite")
    assert np.isnan(result.values).all()
    assert result.problems == {"empty": 10, "refused": 10, "unparsable": 10, "out of range": 10}
    assert len(rater.prompts) == 30 + 10 * BLANK_TRIES, "only nothing at all may pass"
    rate(make_pool(tmp_path, 40), rater, store=tmp_path / "s.sqlite")
    assert len(rater.prompts) == 30 + 20 * BLANK_TRIES


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (Answer("", "stop"), "content is null or empty"),
        (Answer("", "length", n_output=512), "thinking used them up"),
        (Answer("", "stop", reasoned=True), "reasoning_content"),
    ],
)
@pytest.mark.parametrize("n", [60, 3])
def test_a_rater_that_never_says_anything_stops_with_the_likely_cause(tmp_path, answer, cause, n):
    rater = ScriptedRater(lambda prompt, number: answer, limits=FAST)
    with pytest.raises(RunError, match=cause) as caught:
        rate(make_pool(tmp_path, n), rater, store=tmp_path / "s.sqlite")
    assert "'fake' was stopped" in str(caught.value)
    assert len(rater.prompts) < 60
    right = ScriptedRater()
    if answer.finish_reason != "length":  # asking again would not change a reply that was cut
        assert not np.isnan(
            rate(make_pool(tmp_path, n), right, store=tmp_path / "s.sqlite").values
        ).any()


@pytest.mark.filterwarnings("ignore:.* have no reply:ds2.errors.Ds2Warning")
@pytest.mark.parametrize(
    "failure",
    [
        Failure("no access", "A firewall says no.", fatal=True),
        Failure("rate limited", "Tomorrow.", retryable=True, retry_after_s=86_400.0),
        Failure("quota", "Nothing left, it says.", fatal=True),
    ],
    ids=lambda failure: failure.reason,
)
@pytest.mark.parametrize("concurrency", [1, 8])
def test_one_request_cannot_stop_a_rater(tmp_path, failure, concurrency):
    """It is set aside with its reason, and the next run does not meet it first."""
    store, pool, asked = tmp_path / "s.sqlite", make_pool(tmp_path, 60), []

    def answer(prompt, number):
        asked.append("question 7\n" in prompt.messages[-1]["content"])
        return raised(failure) if asked[-1] else '{"overall": 6}'

    rater = ScriptedRater(answer, limits=Limits(concurrency=concurrency, tries=2))
    result = rate(pool, rater, store=store)
    assert result.problems == {failure.reason: 1}
    asked.clear()
    more = joined(pool, make_pool(tmp_path, 30, start=100))
    rate(more, rater, store=store)
    assert asked == [False] * 30 + [True]


@pytest.mark.parametrize(
    "answer",
    [
        Answer('{"overall": 6}', "st\ud800op", n_input=2**63, n_output=2**63, model="m\ud800\0"),
        Answer('{"overall": 6}', n_input=-1, latency_s=float("nan"), top_logprobs={"\udfff": 0.0}),
        Answer('{"overall": 6, "why": "\ud800\0\x1b"}', "\0", n_cached=10**30),
    ],
)
def test_a_poisoned_reply_is_kept_like_any_other(tmp_path, answer):
    rater = ScriptedRater(lambda prompt, number: answer if number == 3 else '{"overall": 6}')
    result = rate(make_pool(tmp_path, 20), rater, store=tmp_path / "s.sqlite")
    assert result.values.tolist() == [6.0] * 20


def test_an_endpoint_that_is_away_for_two_minutes_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("ds2.rating.loop.AWAY_S", 1.0)
    monkeypatch.setattr("ds2.rating.loop.KNOCK_S", 0.05)
    gone = [None]

    def answer(prompt, number):
        now = time.monotonic()
        if number >= 20 and gone[0] is None:
            gone[0] = now
        if gone[0] is not None and now < gone[0] + 0.4:
            raise Failure("connection lost", "Not there.", retryable=True, away=True)
        return '{"overall": 6}'

    rater = ScriptedRater(answer, limits=Limits(concurrency=8, tries=2))
    assert not np.isnan(rate(make_pool(tmp_path, 60), rater).values).any()


def test_a_fatal_failure_stops_a_rater_with_one_sentence(tmp_path):
    rater = ScriptedRater(lambda p, n: raised(Failure("quota", "No quota left.", fatal=True)))
    with pytest.raises(RunError, match=r"No quota left\. 'fake' was stopped"):
        rate(make_pool(tmp_path, 500), rater, store=tmp_path / "s.sqlite")
    assert len(rater.prompts) <= rater.limits.concurrency


def test_a_rater_that_stops_midway_leaves_a_partial_result(tmp_path):
    def answer(prompt, number):
        if number >= 50:
            raise Failure("quota", "No quota left.", fatal=True)
        return '{"overall": 6}'

    with pytest.warns(UserWarning, match="No quota left"):
        result = rate(make_pool(tmp_path, 500), ScriptedRater(answer), store=tmp_path / "s.sqlite")
    assert (result.codes == 0).sum() == 50
    assert result.problems["not asked"] >= 440
    assert "No quota left" in result.warnings[0]


def test_a_wrong_setting_stops_early_and_poisons_nothing(tmp_path):
    store, pool = tmp_path / "s.sqlite", make_pool(tmp_path, 200)
    wrong = ScriptedRater(lambda p, n: raised(Failure("bad request", "Unknown field.")))
    with pytest.raises(RunError, match=r"25 examples in a row failed\. Unknown field"):
        rate(pool, wrong, store=store)
    assert len(wrong.prompts) < 60
    right = ScriptedRater()
    assert not np.isnan(rate(pool, right, store=store).values).any()
    assert len(right.prompts) == 200


def test_a_fault_in_a_rater_is_raised_as_it_is(tmp_path):
    rater = ScriptedRater(lambda p, n: raised(ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError, match="a bug") as caught:
        rate(make_pool(tmp_path, 20), rater)
    assert "goes on from them" in caught.value.__notes__[0]
    assert rater.closed >= 1


def test_a_slow_reply_never_stalls_the_others(tmp_path):
    order = []

    class Slow(ScriptedRater):
        async def ask(self, prompt, *, rubric, seed):
            number = len(self.prompts)
            answer = await super().ask(prompt, rubric=rubric, seed=seed)
            if number == 0:
                while len(self.prompts) < 299:
                    await asyncio.sleep(0.001)
            order.append(number)
            return answer

    rate(make_pool(tmp_path, 300), Slow())
    assert order.index(0) >= 290, "the first request ended last and held up nobody"


def test_a_rater_that_hangs_times_out(tmp_path):
    class Hanging(ScriptedRater):
        async def ask(self, prompt, *, rubric, seed):
            if "question 4\n" in prompt.messages[-1]["content"]:
                await asyncio.sleep(60)
            return await super().ask(prompt, rubric=rubric, seed=seed)

    rater = Hanging(limits=Limits(concurrency=8, tries=2, timeout_s=0.1))
    with pytest.warns(Ds2Warning, match="1 requests to 'fake' have no reply"):
        result = rate(make_pool(tmp_path, 30), rater)
    assert (result.usage["unanswered"], result.usage["stopped"]) == (1, None)
    assert result.problems == {"timed out": 1}
    assert result.problem_of_row(4) == "timed out"


def test_repeats_are_a_random_part_asked_afresh(tmp_path):
    seeds = []

    class Seeded(ScriptedRater):
        async def ask(self, prompt, *, rubric, seed):
            seeds.append(seed)
            return await super().ask(prompt, rubric=rubric, seed=seed)

    rater, store = Seeded(), tmp_path / "s.sqlite"
    result = rate(make_pool(tmp_path, 200), rater, store=store, repeats=30, seed=5)
    repeated = ~np.isnan(result.repeats)
    assert repeated.sum() == 30
    assert len(rater.prompts) == 230
    assert (result.repeats[repeated] == result.values[repeated]).all()
    assert sorted(set(seeds)) == [5, 6]
    more = Seeded()
    rate(make_pool(tmp_path, 200), more, store=store, repeats=50, seed=5)
    assert len(more.prompts) == 20, "more repeats hold the earlier ones"


def test_several_raters_are_stored_apart_and_one_may_fail(tmp_path):
    good = ScriptedRater(name="good")
    bad = ScriptedRater(
        lambda p, n: raised(Failure("no access", "The key is wrong.", fatal=True)),
        name="bad",
        settings={"variant": "b"},
    )
    with pytest.warns(UserWarning, match="The key is wrong"):
        both = rate(make_pool(tmp_path, 40), [good, bad], store=tmp_path / "s.sqlite")
    first, second = both.parts
    assert (first.rater, second.rater) == ("good", "bad")
    assert not np.isnan(first.values).any()
    assert np.isnan(second.values).all()
    assert set(second.problems) <= {"no access", "not asked"}


def test_raters_that_the_store_cannot_tell_apart_are_refused(tmp_path):
    pool = make_pool(tmp_path, 3)
    with pytest.raises(InputError, match="same settings"):
        rate(pool, [ScriptedRater(name="a"), ScriptedRater(name="b")])
    with pytest.raises(InputError, match="Two raters are called 'a'"):
        rate(pool, [ScriptedRater(name="a"), ScriptedRater(name="a", settings={"x": 1})])
    with pytest.raises(InputError, match="at least one rater"):
        rate(pool, [])


def test_reparse_reads_the_store_alone(tmp_path):
    store, pool = tmp_path / "s.sqlite", make_pool(tmp_path, 30)
    first = rate(pool, ScriptedRater(), store=store)
    again = reparse(pool, store)
    assert again.values.tolist() == first.values.tolist()
    other = reparse(joined(make_pool(tmp_path, 5, start=900), pool), store, raters=["fake"])
    assert other.problems == {"not asked": 5}
    from dataclasses import replace

    rarity = replace(Rubric.ds2(), scored="rarity")
    assert reparse(pool, store, rarity).values.tolist() == first.criteria["rarity"].tolist()
    with pytest.raises(InputError, match="no replies of 'nobody'"):
        reparse(pool, store, raters=["nobody"])
    lower = replace(Rubric.ds2(), scale=Scale.parse("1-5"))
    with pytest.raises(
        InputError, match=r"'ds2', 1 to 5\. It holds those of 'fake' to other instr"
    ):
        reparse(pool, store, lower, raters=["fake"])
    with pytest.raises(InputError, match="Rate first"):
        reparse(pool, tmp_path / "none.sqlite")


def test_only_one_process_rates_into_a_store(tmp_path):
    from ds2.rating.rate import writable_store

    store = tmp_path / "s.sqlite"
    with writable_store(store), pytest.raises(RunBusyError, match="Another process"):
        rate(make_pool(tmp_path, 3), ScriptedRater(), store=store)


def test_it_works_inside_a_running_event_loop(tmp_path):
    pool = make_pool(tmp_path, 5)

    async def notebook():
        return rate(pool, ScriptedRater())

    assert not np.isnan(asyncio.run(notebook()).values).any()


def test_progress_adds_up(tmp_path):
    told = []
    rater = ScriptedRater(lambda p, n: "hm" if n % 10 == 0 else '{"overall": 5}')
    rate(make_pool(tmp_path, 100), rater, progress=told.append)
    last = told[-1]
    assert (last.total, last.done, last.rated) == (100, 100, 90)
    assert last.failed == {"unparsable": 10}
    assert (last.n_input, last.n_output) == (10_000, 2_000)


@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=60),
    st.integers(0, 80),
    st.randoms(use_true_random=False),
)
def test_the_plan_holds_every_example_once_and_follows_content(values, repeats, rng):
    keys = np.array(values, dtype=np.uint64)
    codes = plan_jobs(keys, seed=3, repeats=repeats)
    asked = [(int(keys[code // 2]), int(code % 2)) for code in codes]
    assert len(set(asked)) == len(asked)
    assert {key for key, repeat in asked if repeat == 0} == set(values)
    assert sum(repeat for _, repeat in asked) == min(repeats, len(set(values)))
    shuffled = list(values)
    rng.shuffle(shuffled)
    other = np.array(shuffled, dtype=np.uint64)
    moved = plan_jobs(other, seed=3, repeats=repeats)
    assert [(int(other[code // 2]), int(code % 2)) for code in moved] == asked


def test_an_interrupted_run_is_a_random_sample(tmp_path):
    """The first tenth of the plan holds its share of every tenth of the pool."""
    keys = make_pool(tmp_path, 5000).keys
    codes = plan_jobs(keys, seed=0, repeats=0)
    tenths = np.bincount(codes[:500] // 2 * 10 // 5000, minlength=10)
    assert tenths.min() > 25
    assert tenths.max() < 80


def test_prompts_are_no_longer_than_a_rater_can_read(tmp_path):
    turns = [{"role": role, "content": "word " * 5000} for role in ("user", "assistant")]
    (tmp_path / "long.jsonl").write_text(json.dumps({"messages": turns}), encoding="utf-8")
    pool = read_pool(tmp_path / "long.jsonl")
    sizes = {}
    for own, asked in ((None, None), (3000, None), (None, 2000), (3000, 2000), (2000, 3000)):
        rater = ScriptedRater()
        if own is not None:
            rater.max_prompt_tokens = own
        rate(pool, rater, max_prompt_tokens=asked)
        sizes[own, asked] = sum(len(message["content"]) for message in rater.prompts[0].messages)
    assert sizes[None, None] > 50_000
    assert sizes[3000, None] < 5 * 3000
    assert sizes[None, 2000] == sizes[3000, 2000] == sizes[2000, 3000] < sizes[3000, None]
