"""The page of a proof: sentences, missing parts, one seed."""

import copy
import json
import re
from typing import Any

import pytest
from page_check import check
from proof_sample import compared, proof

from ds2.report import Page, page_html, page_json, page_markdown, proof_report


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return proof()


@pytest.fixture
def document(made: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(made)


def words(document: dict[str, Any]) -> str:
    return check(page_html(proof_report(document))).words()


def rows(page: Page, key: str) -> list[dict[str, Any]]:
    return json.loads(page_json(page))["tables"][key]["rows"]


def test_the_verdict_of_the_first_comparison_comes_first(document):
    page = proof_report(document)
    first, second = page.findings
    assert first.answer == "Training on selection gives better models than training on random."
    assert "random-same-length" in second.answer
    assert (first.tone, second.tone) == ("clear", "clear")
    assert re.search(
        r"On average over 5 tasks: 0\.\d{4} against 0\.\d{4}\. .* \+0\.", *first.detail
    )
    html = page_html(page)
    assert html.index(first.answer) < html.index(second.answer) < html.index("<svg")
    assert html.count("<svg") == 2 + 3
    markdown = page_markdown(page)
    assert f"**{first.answer}**" in markdown
    assert "| mean of 5 tasks | 3,000 | 0.4800 |" in markdown


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        ("worse", "Training on selection gives worse models"),
        ("no difference that matters", "makes no difference that matters"),
        ("cannot tell", "cannot tell whether selection or random trains better"),
    ],
)
def test_every_verdict_has_its_sentence(document, verdict, says):
    document["comparisons"][0]["verdict"] = verdict
    assert says in words(document)


def test_one_run_of_an_arm_gives_no_verdict():
    said = words(json.loads(json.dumps(proof(seeds=1), allow_nan=False)))
    assert "No verdict on selection against random: one training says nothing" in said
    assert "the bar is about other items alone" in said
    assert "Train and evaluate each arm twice at least" in said
    assert "from 1 training of each" in said


def test_the_table_has_the_figures_of_the_chart(document):
    page = proof_report(document)
    one = document["comparisons"][0]["tasks"]["gsm8k_cot"]
    row = next(row for row in rows(page, "differences 1") if row["task"] == "gsm8k_cot")
    assert row["A − B"] == [one["value"], one["low"], one["high"]]
    assert row["error of runs"] == one["noise"]["runs"] ** 0.5
    written = f"{one['value']:+.4f}".replace("-", "−")
    assert page_html(page).count(written) >= 2


def test_the_better_side_is_named_where_lower_is_better():
    html = page_html(proof_report(compared(arms=("a", "b"), higher=False)))
    assert html.index("← a better") < html.index("b better →")
    assert "a is worse than b." in html


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "4 times in 5, by 9 runs of each arm with these items."),
        ({"items_needed": 9_000}, "items with these runs"),
        ({"seeds_needed": None}, "more of both"),
        ({"detectable": 0.005}, "These runs and items would find"),
    ],
)
def test_what_would_tell(document, changes, says):
    one = document["comparisons"][0]
    one |= {"verdict": "cannot tell", "detectable": 0.03, "seeds_needed": 9, "items_needed": None}
    one |= changes
    first, *_ = proof_report(document).findings
    assert says in first.detail[-1]


def test_arms_that_were_not_trained_alike_are_a_warning(document):
    assert "were trained alike" in words(document)
    for cost in document["costs"]:
        if cost["arm"] == "random":
            cost |= {"answer_tokens": 9_000, "updates": 121}
    first, second = proof_report(document).findings
    assert (first.tone, second.tone) == ("care", "clear")
    said = first.detail[-1].replace("\xa0", " ")
    assert "random on 9,000 answer tokens, selection on 8,001 (12 % more)" in said
    assert "were not trained alike" in words(document)


@pytest.mark.parametrize("part", ["plan", "base", "planted", "struck", "costs", "losses", "notes"])
def test_any_part_may_be_missing_or_null(document, part):
    without = {key: value for key, value in document.items() if key != part}
    assert proof_report(without) == proof_report({**document, part: None})
    assert words(without)


def test_the_control_is_random_rows_with_answers_exchanged(document):
    said = words(document)
    assert "models were trained on random rows" in said
    assert "on the same rows with 50 % of the answers exchanged among them" in said


def test_what_was_not_done_is_said():
    said = words(compared(arms=("a", "b"), tasks=("mmlu",)))
    assert "Not tried: no model like these was trained on answers that are known to be bad" in said
    assert "No plan came with these evaluations" in said
    assert "On mmlu: " in said


@pytest.mark.parametrize(
    ("state", "says"), [("planned", "Not trained yet."), ("running", "Models are being trained")]
)
def test_a_plan_alone_is_a_page(document, state, says):
    said = words({"title": "Proof", "state": state, "plan": document["plan"]})
    assert says in said
    assert "cdcdcd" in said


def test_null_figures_are_dashes(document):
    for cost in document["costs"]:
        cost |= {"peak_bytes": None, "seconds": None}
    document["comparisons"][0]["tasks"]["mmlu"] |= {"value": None, "low": None, "high": None}
    document["losses"]["random-s0"] = {"steps": [], "loss": []}
    page = proof_report(document)
    assert "not enough data" in page_html(page)
    assert rows(page, "costs")[0]["seconds"] is None
    assert len(rows(page, "loss of random")) == 2


def test_links_lead_to_other_pages(document):
    page = proof_report(document, links=[("../report.html", "Report <of> the run")])
    assert '<li><a href="../report.html">Report &lt;of&gt; the run</a></li>' in page_html(page)
