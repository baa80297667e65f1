"""The comparison: whether a selection beats random, and what the page says and draws."""

import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from compare_sample import ROWS, comparison, judge, judged
from page_check import check
from report_sample import HOSTILE, Stages

from ds2.errors import InputError, MissingDependencyError
from ds2.report import beats_random, compare_report, lay_out, page_html, page_json, page_markdown


@pytest.fixture
def answers(stages: Stages):
    return lambda *judges: {
        name: each.answer for name, each in beats_random(comparison(stages.pool, *judges)).items()
    }


def test_every_judge_has_to_show_it(answers):
    good, bad, unsure = judged(0.5), judged(-0.5), judged(0.05)
    for first, second, expected in (
        (good, good, "yes"),
        (bad, bad, "no"),
        (good, bad, "not shown"),
        (good, unsure, "not shown"),
    ):
        judges = judge("rater", "a", ds2=first), judge("rater", "b", ds2=second)
        assert answers(*judges)["ds2"] == expected
    found = answers(judge("rater", "a", ds2=good))
    assert found["random"] == "is random"
    assert found["length"] == "not known"


def test_gold_goes_before_raters_where_it_can_say(stages, answers):
    raters = judge("rater", "a", ds2=judged(0.5))
    assert answers(judge("gold", "gold", ds2=judged(-0.5)), raters)["ds2"] == "no"
    few = judge("gold", "gold", ds2=judged(-0.5, half=None, n=3))
    assert answers(few, raters)["ds2"] == "yes"
    assert answers(few)["ds2"] == "not shown"
    assert "only 3 selected rows" in beats_random(comparison(stages.pool, few))["ds2"].says


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.5, "Yes, ds2 does."),
        (-0.5, "No: ds2 is shown to be worse than random."),
        (0.05, "That is not shown for ds2."),
    ],
)
def test_the_runs_own_method_is_answered_first(stages, value, words):
    judges = judge("rater", "a", ds2=judged(value))
    first, *_ = compare_report(comparison(stages.pool, judges)).findings
    assert first.answer == words
    absent = replace(comparison(stages.pool, judges), own="mmr")
    assert "not part of this comparison" in compare_report(absent).findings[0].answer
    assert "ds2" in page_html(compare_report(absent))


def test_a_single_rater_has_no_judge_and_the_page_says_what_would_settle_it(stages):
    own, _, would_change, _, judged_on, _ = compare_report(comparison(stages.pool)).findings
    assert own.answer == "Nothing here can say."
    assert "ds2 gold RUN" in own.detail[0]
    assert "fine-tuned" in would_change.detail[-1]
    assert "one rater, and no gold" in judged_on.answer
    assert "ds2 gold RUN" in judged_on.detail[0]


@pytest.mark.parametrize(("value", "doubted"), [(0.5, True), (-0.5, False)])
def test_length_that_beats_random_is_named_as_a_doubt(stages, value, doubted):
    judges = judge("rater", "a", ds2=judged(0.5), length=judged(value))
    detail = compare_report(comparison(stages.pool, judges)).findings[4].detail
    assert any("likes long answers" in sentence for sentence in detail) is doubted


def test_a_difference_that_sources_or_lengths_explain_is_said(stages):
    judges = judge("rater", "a", ds2=judged(0.15), length=judged(0.5))
    found = comparison(stages.pool, judges)
    own, random, length = beats_random(found).values()
    assert "0.07 (−0.03 to 0.17) from random with the same mix of sources" in own.says
    assert "with the same lengths" in own.says
    assert (own.answer, own.same_mix, own.same_length) == ("yes", "not shown", "not shown")
    assert (length.answer, length.same_length) == ("yes", "yes")
    markdown = page_markdown(compare_report(found))
    assert "| ds2 | yes | not shown | not shown | +0.15 (+0.05 to +0.25) |" in markdown
    assert "| random | is random | – | – | – |" in markdown
    assert random.says == "Nothing to hold it against."


def test_every_method_judge_and_left_out_one_is_on_the_page(stages):
    judges = judge("gold", "gold", ds2=judged(0.5), length=judged(0.2))
    page = compare_report(comparison(stages.pool, judges))
    document = json.loads(page_json(page))
    assert [row["method"] for row in document["tables"]["overlap"]["rows"]] == list(ROWS)
    assert document["tables"]["judged on gold"]["rows"][0]["difference"] == [0.5, 0.4, 0.6]
    assert document["tables"]["left out"]["rows"] == [{"method": "rds", "why": "more"}]
    assert document["notes"] == [{"of": "note", "says": "text"}]
    assert len(document["examples"]["only length"]) == 2
    assert "arXiv 2402.04833" in page_html(page)


def circles(html: str) -> list[tuple[str, str]]:
    drawn = html[html.index("chart map") :]
    return re.findall(r'<circle class="(\w+)"[^>]*><title>(.*?)</title>', drawn, re.DOTALL)


def test_the_map_shows_every_example_with_its_text(stages):
    found = circles(page_html(compare_report(comparison(stages.pool))))
    kinds = [kind for kind, _ in found]
    assert [kinds.count(kind) for kind in ("picked", "other", "rest")] == [40, 70, 290]
    assert "user: question 20 question 20" in " ".join(text for _, text in found)
    assert max(len(text) for _, text in found) <= 160


def test_a_large_pool_shows_what_is_selected_and_a_part_of_the_rest(stages, monkeypatch):
    monkeypatch.setattr(sys.modules["ds2.report.compare_report"], "MOST_POINTS", 40)
    page = compare_report(comparison(stages.pool))
    kinds = [kind for kind, _ in circles(page_html(page))]
    assert [kinds.count(kind) for kind in ("picked", "other", "rest")] == [20, 10, 10]
    drawn = json.loads(page_json(page))["tables"]["map"]["rows"]
    assert [(row["in the pool"], row["drawn"]) for row in drawn] == [(40, 20), (70, 10), (290, 10)]


def test_hostile_texts_on_the_map_are_only_text(hostile):
    html = page_html(hostile["comparison"])
    check(html)
    shown = [text for _, text in circles(html)]
    assert any("&lt;script&gt;" in text for text in shown)
    assert not any(re.search("[<>\x00-\x1f\u202e]", text) for text in shown)
    assert HOSTILE[0] not in html


def test_pca_agrees_with_a_singular_value_decomposition():
    rng = np.random.default_rng(1)
    vectors = (rng.standard_normal((300, 7)) * [5, 3, 1, 1, 0.5, 0.5, 0.1]).astype(np.float32)
    layout = lay_out(vectors, None, rng.permutation(300), method="pca")
    u, s, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    expected = u[:, :2] * s[:2]
    for axis in (0, 1):
        sign = np.sign((layout.places[:, axis] * expected[:, axis]).sum())
        np.testing.assert_allclose(layout.places[:, axis], sign * expected[:, axis], atol=1e-3)
    assert layout.explained == pytest.approx((s[:2] ** 2).sum() / (s**2).sum(), abs=1e-5)
    again = lay_out(vectors, None, rng.permutation(300), method="pca")
    np.testing.assert_allclose(again.places, layout.places, atol=1e-4)


def test_pca_of_one_dimension_and_of_equal_rows():
    flat = lay_out(np.ones((5, 1), np.float32), None, np.arange(5), method="pca")
    assert (flat.places == 0).all()
    assert flat.explained == 0.0
    line = lay_out(np.arange(5.0, dtype=np.float32)[:, None], None, np.arange(5), method="pca")
    assert np.ptp(line.places[:, 0]) == 4
    assert (line.places[:, 1] == 0).all()


@pytest.mark.slow
def test_umap_puts_neighbours_together_and_duplicates_on_one_place(stages: Stages):
    pytest.importorskip("umap")
    order = np.arange(400)
    layout = lay_out(stages.simulated.vectors, stages.neighbors, order, method="umap", seed=3)
    again = lay_out(stages.simulated.vectors, stages.neighbors, order, method="umap", seed=3)
    assert layout.method == "UMAP"
    np.testing.assert_array_equal(layout.places, again.places)
    assert (layout.places[20] == layout.places[21]).all()
    near = np.linalg.norm(
        layout.places[:, None] - layout.places[stages.neighbors.indices[:, :3]], axis=2
    ).mean()
    far = np.linalg.norm(layout.places - layout.places[np.roll(order, 57)], axis=1).mean()
    assert near < far / 3


def test_umap_that_is_not_installed_is_one_sentence_and_auto_takes_pca(stages, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    order = np.arange(400)
    with pytest.raises(MissingDependencyError, match="pip install 'umap-learn"):
        lay_out(stages.simulated.vectors, stages.neighbors, order, method="umap")
    assert lay_out(stages.simulated.vectors, stages.neighbors, order).method == "PCA"
    with pytest.raises(InputError, match="auto, umap or pca"):
        lay_out(stages.simulated.vectors, stages.neighbors, order, method="tsne")
