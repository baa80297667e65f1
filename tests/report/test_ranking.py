"""Which method to take: paired differences between methods, and what is made of them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from compare_sample import comparison, judge, judged

from ds2.measures import Interval
from ds2.report import Page, State, compare_report, page_json
from ds2.report.ranking import take
from ds2.runs import parse_overrides

GOOD = {"ds2": judged(0.5), "length": judged(0.5)}


def held(value: float, half: float = 0.02) -> dict[str, Interval]:
    """Length against the run's own, ds2."""
    return {"length": Interval(value, value - half, value + half)}


def page_of(stages, *pairs: dict[str, Interval]) -> Page:
    judges = [
        judge("rater", f"rater {place}", pairs=each, **GOOD) for place, each in enumerate(pairs)
    ]
    return compare_report(comparison(stages.pool, *judges))


def state_of(stages, *pairs: dict[str, Interval]) -> State:
    state = page_of(stages, *pairs).state
    assert state is not None
    return state


@pytest.mark.parametrize(
    ("pairs", "standing", "says"),
    [
        ([held(0.1), held(0.2)], "better", "take length"),
        ([held(0.1), held(-0.02)], "as good", "take length"),  # a tenth of 0.5 may be lost
        ([held(0.1), held(-0.04)], "not told apart", "keep ds2"),
        ([held(0.1), held(-0.2)], "not told apart", "keep ds2"),
        ([held(-0.1), held(-0.2)], "worse", "keep ds2"),
        ([held(0.1), held(0.2, np.nan)], "not judged", "keep ds2"),
    ],
)
def test_a_method_that_is_as_good_and_less_redundant_is_taken(stages, pairs, standing, says):
    page = page_of(stages, *pairs)
    rows = {row[0].split()[1]: row for row in page.tables["ranking"].rows}
    assert rows["length"][1] == standing
    assert rows["ds2"][1] == "this run"
    assert page.state.says == says
    document = json.loads(page_json(page))["state"]
    command = "ds2 run RUN --set select.method=length" if says == "take length" else None
    assert document["command"] == (command or "ds2 export RUN --tool trl")


def test_the_ranking_goes_by_the_mean_difference(stages):
    first, second = (page_of(stages, held(value)) for value in (0.1, -0.1))
    order = [[row[0] for row in page.tables["ranking"].rows] for page in (first, second)]
    assert order == [["1 length", "2 ds2"], ["1 ds2", "2 length"]]


def test_a_better_method_that_is_more_redundant_is_not_taken(stages):
    found = comparison(stages.pool, judge("rater", "a", pairs=held(0.2), **GOOD))
    parts = [replace(one, redundancy=0.3 + 0.1 * (one.name == "length")) for one in
             found.found.selections]  # fmt: skip
    found = replace(found, found=replace(found.found, selections=tuple(parts)))
    state = compare_report(found).state
    assert state.says == "keep ds2"
    assert "above random" in state.reason


def test_redundancy_counts_where_it_was_judged(stages):
    """What gold judges was chosen without gold, and can be another selection than the run's."""
    one = judge("gold", "gold", pairs=held(0.0), **GOOD)
    for redundancy, says in ((0.1, "take length"), (0.3, "keep ds2")):
        judges = replace(one, redundancy={"ds2": 0.3, "length": redundancy})
        assert compare_report(comparison(stages.pool, judges)).state.says == says


def test_gold_decides_where_it_can(stages):
    gold = judge("gold", "gold", pairs=held(-0.3), **GOOD)
    rater = judge("rater", "a", pairs=held(0.3), **GOOD)
    rows = compare_report(comparison(stages.pool, gold, rater)).tables["ranking"].rows
    assert rows[1][:2] == ("2 length", "worse")


def test_without_a_judge_trusted_scores_come_first(stages):
    page = compare_report(comparison(stages.pool))
    assert page.state.says == "collect 100 trusted scores first"
    assert page.state.command("my run") == "ds2 gold 'my run'"
    assert "ranking" not in page.tables


@pytest.mark.parametrize("value", [-0.5, 0.05])
def test_a_method_that_does_not_beat_random_is_not_kept(stages, value):
    judges = judge("rater", "a", pairs=held(0.0, 0.9), ds2=judged(value), length=judged(0.5))
    state = compare_report(comparison(stages.pool, judges)).state
    assert state.says == ("take length" if value < 0 else "use it with care")


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("frontier", "select.method=frontier"),
        ("ds2 (doubtful dropped)", "curate.doubtful=drop"),
        ("ds2 (doubtful replaced)", "curate.doubtful=replace"),
    ],
)
def test_the_command_takes_the_method_by_settings_that_there_are(name, setting):
    assert take(name) == f"ds2 run RUN --set {setting}"
    assert parse_overrides([setting])
