"""What a report says to do, from the evidence that a run has."""

from dataclasses import replace

import pytest
from report_sample import Stages

from ds2.curation import Evidence
from ds2.measures import Interval
from ds2.report import Page, State
from ds2.selection import Curves, FrontierCurve, FrontierPoint, frontier_curve, size_curve

GOLD = Evidence(
    0.6,
    0.4,
    0.8,
    "soft",
    "gold: Spearman",
    chosen=True,
    difference=Interval(0.1, 0.02, 0.2),
    n=90,
    judge="gold",
)
HELD_OUT = replace(GOLD, measure="rater 'b' held out: Spearman", judge="rater")


def state_of(stages: Stages, n_gold: int = 0, **changed) -> State:
    curation = replace(stages.curation, warnings=(), gold_needed=120, method="soft", **changed)
    noise = replace(stages.noise, n_gold=n_gold)
    state = replace(stages, curation=curation, noise=noise).page().state
    assert state is not None
    return state


@pytest.mark.parametrize(
    ("n_gold", "evidence", "says", "following"),
    [
        (0, (), "collect 120 trusted scores first", "ds2 gold RUN"),
        (0, (HELD_OUT,), "use it with care", "ds2 compare RUN"),
        (0, (replace(HELD_OUT, low=-0.1),), "collect 120 trusted scores first", "ds2 gold RUN"),
        (90, (GOLD,), "use it", "ds2 export RUN --tool trl"),
        (90, (replace(GOLD, low=-0.1),), "collect 120 trusted scores first", "ds2 gold RUN"),
        (
            *(90, (replace(GOLD, difference=Interval(0.1, -0.02, 0.2)),)),
            *("use it with care", "ds2 compare RUN"),
        ),
        (90, (), "use it with care", "ds2 compare RUN"),
    ],
)
def test_the_state_follows_from_the_evidence(stages, n_gold, evidence, says, following):
    state = state_of(stages, n_gold, evidence=evidence)
    assert (state.says, state.next) == (says, following)
    assert state.reason.endswith(".")


def test_gold_that_contradicts_the_ratings_comes_before_all_else(stages):
    state = state_of(stages, 90, evidence=(GOLD,), contradiction="They run against each other.")
    assert state.says == "collect 120 trusted scores first"
    assert state.reason == "They run against each other."


def with_curves(stages: Stages) -> Page:
    given = {"vectors": stages.simulated.vectors, "neighbors": stages.neighbors}
    rows, scores = stages.selection.rows, stages.curation.scores
    by_dial = frontier_curve(scores, size=40, selections={"ds2": rows}, **given)
    by_size = size_curve({20: rows[:20], 40: rows}, scores, **given)
    return stages.page(curves=Curves(by_size, by_dial))


def test_raw_is_not_said_to_lack_data_above_raw(stages):
    raw = replace(GOLD, candidate="raw", chosen=False, difference=Interval(float("nan")))
    curation = replace(stages.curation, evidence=(raw, GOLD))
    rows = replace(stages, curation=curation).page().tables["evidence"].rows
    assert [row[3] for row in rows] == [None, (0.1, 0.02, 0.2)]


def test_the_plane_and_the_sizes_are_on_the_page(stages):
    page = with_curves(stages)
    own, random, *frontier = page.tables["plane"].rows
    assert (own[0], random[:3]) == ("ds2 (this run)", ("random rows", 0.0, 1.0))
    assert own[2] == pytest.approx(own[3] / random[3])
    assert len({row[1:] for row in frontier}) == len(frontier), "each point once"
    assert page.main == "plane"
    assert [row[0] for row in page.tables["sizes"].rows] == ["20", "40 (this run)"]
    assert "standard errors that this curation does not give" in page.tables["sizes"].says


def point(kept: float, coverage: float) -> FrontierPoint:
    return FrontierPoint(kept, coverage, 0.1)


@pytest.mark.parametrize(
    ("curve", "begins", "keep"),
    [
        ({1.0: point(0.9, 0.5), 0.9: point(0.8, 0.9)}, "It seems so", "1"),
        ({1.0: point(0.9, 0.31), 0.9: point(0.8, 0.9)}, "Perhaps", "0.9"),
        ({1.0: point(0.9, 0.31), 0.9: point(0.9, 0.31)}, "None that is broader", None),
    ],
)
def test_a_better_method_is_one_that_covers_more(stages, curve, begins, keep):
    dial = FrontierCurve(40, curve, {"ds2": point(0.9, 0.3)}, point(0.0, 1.0))
    by_size = size_curve({40: stages.selection.rows}, stages.curation.scores)
    finding = stages.page(curves=Curves(by_size, dial)).findings[1]
    assert finding.question == "Is there a better method?"
    assert finding.answer.startswith(begins)
    assert keep is None or f"frontier (keep {keep})" in finding.answer
    assert keep is None or finding.detail[-1].endswith(f"select.keep={keep}.")


@pytest.mark.parametrize(("coverage", "says"), [(0.4, "use it with care"), (0.6, "use it")])
def test_trusted_scores_do_not_excuse_a_narrow_selection(stages, coverage, says):
    dial = FrontierCurve(40, {1.0: point(0.9, 1.0)}, {"ds2": point(1.0, coverage)}, point(0.0, 1.0))
    by_size = size_curve({40: stages.selection.rows}, stages.curation.scores)
    curation = replace(stages.curation, warnings=(), evidence=(GOLD,), method="soft")
    noise = replace(stages.noise, n_gold=90)
    run = replace(stages, curation=curation, noise=noise)
    state = run.page(curves=Curves(by_size, dial)).state
    assert state.says == says
    assert ("it covers 0.40 of what random rows do" in state.reason) == (says != "use it")


def test_the_rows_to_look_at_are_those_of_the_run(stages):
    part = with_curves(stages).tables["rows"]
    kinds = [row[1] for row in part.rows]
    assert kinds.count("at the cut, selected") == kinds.count("random, not selected") == 25
    ids = dict(zip(stages.pool.ids, range(400), strict=True))
    chosen = set(stages.selection.rows.tolist())
    for name, kind, _, raw, curated, length, text in part.rows:
        row = ids[name]
        assert (row in chosen) is not kind.endswith("not selected")
        assert raw is None or raw == stages.ratings.scores()[row]
        assert curated == pytest.approx(stages.curation.scores[row])
        assert kind.split(",")[0] != "changed" or curated != raw
        assert (length, text[:5]) == (stages.pool.lengths[row], "user:")
