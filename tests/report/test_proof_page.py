"""The proof page: sentences, missing parts, one seed, and texts of users that stay texts."""

import copy
import itertools
import json
import re
from typing import Any

import pytest
from markdown_it import MarkdownIt
from proof_sample import compared, proof
from report_sample import HOSTILE
from test_report_html import Page, check

from ds2.report import proof_markdown, render_proof
from ds2.report.proof_charts import stretches
from ds2.report.proof_words import needs, proof_findings, unequal


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return proof()


@pytest.fixture
def document(made: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy(made)


def words(html: str) -> str:
    return " ".join("".join(check(html).text).split())


def test_the_page_is_whole_and_its_headings_and_ids_are_in_order(document):
    page = check(render_proof(document))
    levels = [int(tag[1]) for tag in page.names() if re.fullmatch("h[1-6]", tag)]
    assert (levels[0], levels.count(1)) == (1, 1)
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = {a["href"][1:] for tag, a in page.tags if tag == "a"}
    named |= {n for _, a in page.tags for n in (a.get("aria-labelledby") or "").split()}
    assert named <= set(ids)
    assert page.names().count("svg") == 2 + 3


def test_the_verdict_of_the_first_comparison_comes_first(document):
    first, second = proof_findings(document)
    assert first.answer == "Training on selection gives better models than training on random."
    assert "random-same-length" in second.answer
    assert (first.tone, second.tone) == ("clear", "clear")
    assert re.search(
        r"On average over 5 tasks: 0\.\d{4} against 0\.\d{4}\. .* \+0\.", *first.detail
    )
    html = render_proof(document)
    assert html.index(first.answer) < html.index(second.answer) < html.index("<svg")


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
    assert says in words(render_proof(document))


def test_one_run_of_an_arm_gives_no_verdict():
    document = json.loads(json.dumps(proof(seeds=1), allow_nan=False))
    said = words(render_proof(document))
    assert "No verdict on selection against random: one training says nothing" in said
    assert "the bar is about other items alone" in said
    assert "Train and evaluate each arm twice at least" in said
    assert "from 1 training of each" in said


def test_the_table_has_the_figures_of_the_chart(document):
    html = render_proof(document)
    one = document["comparisons"][0]["tasks"]["gsm8k_cot"]
    difference = f"{one['value']:+.4f}".replace("-", "−")
    chart = html[html.index('id="forest-0-d"') :]
    assert f"gsm8k_cot: {difference}, 95 % interval" in chart[: chart.index("</desc>")]
    assert f"<td>{difference}</td>" in html
    assert f"<td>{one['noise']['runs'] ** 0.5:.4f}</td>" in html


def test_the_better_side_is_named_where_lower_is_better():
    html = render_proof(compared(arms=("a", "b"), higher=False))
    assert html.index("← a better") < html.index("b better →")
    assert "a is worse than b." in html


def test_what_would_tell(document):
    one = document["comparisons"][0]
    one |= {"verdict": "cannot tell", "detectable": 0.03, "seeds_needed": 9, "items_needed": None}
    assert "4 times in 5, by 9 runs of each arm with these items." in needs(one)
    assert "items with these runs" in needs(one | {"items_needed": 9_000})
    assert "more of both" in needs(one | {"seeds_needed": None})
    assert "These runs and items would find" in needs(one | {"detectable": 0.005})


def test_arms_that_were_not_trained_alike_are_a_warning(document):
    assert unequal(document) == []
    for cost in document["costs"]:
        if cost["arm"] == "random":
            cost |= {"answer_tokens": 9_000, "updates": 121}
    (said,) = unequal(document)
    assert "random on 9,000 answer tokens, selection on 8,001 (12 % more)" in said.replace(
        "\xa0", " "
    )
    first, second = proof_findings(document)
    assert (first.tone, second.tone) == ("care", "clear")
    assert said in first.detail
    assert "were not trained alike" in words(render_proof(document))


@pytest.mark.parametrize("part", ["plan", "base", "planted", "struck", "costs", "losses", "notes"])
def test_any_part_may_be_missing_or_null(document, part):
    without = {key: value for key, value in document.items() if key != part}
    assert render_proof(without) == render_proof({**document, part: None})
    check(render_proof(without))


def test_what_was_not_done_is_said():
    said = words(render_proof(compared(arms=("a", "b"), tasks=("mmlu",))))
    assert "Not tried: no model was trained on answers that are known to be bad" in said
    assert "No plan came with these evaluations" in said
    assert "On mmlu: " in said


@pytest.mark.parametrize(
    ("state", "says"), [("planned", "Not trained yet."), ("running", "Models are being trained")]
)
def test_a_plan_alone_is_a_page(document, state, says):
    said = words(render_proof({"title": "Proof", "state": state, "plan": document["plan"]}))
    assert says in said
    assert "cdcdcd" in said


def test_null_figures_are_dashes(document):
    for cost in document["costs"]:
        cost |= {"peak_bytes": None, "seconds": None}
    document["comparisons"][0]["tasks"]["mmlu"] |= {"value": None, "low": None, "high": None}
    document["losses"]["selection-s0"] = {"steps": [1, 2, 3], "loss": [2.0, None, 1.0]}
    document["losses"]["random-s0"] = {"steps": [], "loss": []}
    assert "not enough data" in render_proof(document)
    assert stretches(document["losses"]["selection-s0"]) == [(1, 2.0), (3, 1.0)]


def test_hostile_names_are_only_text():
    document = proof(tasks=tuple(HOSTILE[:4]), arms=tuple(HOSTILE[4:7]))
    document |= {"title": HOSTILE[0], "notes": list(HOSTILE), "struck": [HOSTILE[8]]}
    document["plan"] |= {"model": HOSTILE[1], "settings": {HOSTILE[2]: HOSTILE[3]}}
    html = render_proof(document)
    page, shown = check(html), "".join(Page(html).text)
    assert page.names().count("h1") == 1
    for text in HOSTILE[:7]:
        assert text in shown
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", html)
    markdown = MarkdownIt("commonmark").enable("table").render(proof_markdown(document))
    assert not re.search(r"<(script|img|svg|h1>owned)", markdown)


def test_links_lead_to_other_pages(document):
    html = render_proof(document, links=[("../report.html", "Report <of> the run")])
    assert '<li><a href="../report.html">Report &lt;of&gt; the run</a></li>' in html


def test_markdown_is_made_of_the_page(document):
    markdown = proof_markdown(document)
    assert "**Training on selection gives better models than training on random.**" in markdown
    assert "| mean of 5 tasks | 3,000 | 0.4800 |" in markdown
    assert "selection, seed 0" not in markdown, "folded away"
