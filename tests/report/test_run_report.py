"""The report of a run: its numbers against counts by hand, and what its sentences may say."""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from page_check import check
from report_sample import Stages, build_stages, write_rows

from ds2.embedding import EmbeddingReport
from ds2.errors import Caution
from ds2.pool import Example, read_pool
from ds2.rating import Scale, import_ratings
from ds2.report import Finding, Page, page_html, page_json, page_markdown
from ds2.selection import METHODS

NAN = float("nan")
#: Methods that look at no score.
BLIND = {
    *("random", "random-by-source", "length", "knn-10", "perplexity", "ifd", "k-center"),
    *("facility-location", "rds"),
}
#: The findings, in reading order.
NOISE, BETTER, WOULD_CHANGE, SURE, ASSUMPTION, CHANGES, SELECTED, TRUTH = range(8)


def document(page: Page) -> dict:
    return json.loads(page_json(page))


def rows(page: Page, key: str) -> list[dict]:
    return document(page)["tables"][key]["rows"]


def said(finding: Finding) -> str:
    return " ".join([finding.answer, *finding.detail]).replace("\u00a0", " ")


@pytest.fixture(scope="session")
def found(report: Page) -> dict:
    return document(report)


def test_counts(stages: Stages, found: dict) -> None:
    facts, tables = found["facts"], found["tables"]
    assert facts["pool"]["Examples"] == 400
    assert (facts["pool"]["Rated"], facts["pool"]["Unrated"]) == (395, 5)
    assert tables["unrated"]["rows"] == [{"reason": "missing", "examples": 5}]
    assert facts["duplicates"]["Groups"] == 1
    assert facts["duplicates"]["Examples that repeat another"] == 2
    scores = stages.ratings.scores()[20:23]
    different = facts["duplicates"]["of them with different scores"]
    assert different == int(scores.min() != scores.max())
    (group,) = found["examples"]["duplicates"]
    assert (group["id"], group["times"]) == ("id-20", 3)
    assert (group["lowest score"], group["highest"]) == (scores.min(), scores.max())
    assert [row["group"] for row in tables["by source"]["rows"]] == ["flan", "dolly", "oasst"]
    assert tables["by score"]["rows"][-1]["group"] == "unrated"
    for key in ("by score", "by source", "by length"):
        assert sum(row["pool"] for row in tables[key]["rows"]) == 400
        assert sum(row["selected"] for row in tables[key]["rows"]) == 40
    assert sum(row["raw"] for row in tables["scores"]["rows"]) == 395
    moved = np.array([list(row.values())[1:] for row in tables["moves"]["rows"]])
    changed = stages.curation.scores != stages.curation.observed
    n_changed = int(changed[~np.isnan(stages.curation.observed)].sum())
    assert moved.sum() - moved.trace() == n_changed
    assert f"{n_changed} scores of 395" in found["verdict"][CHANGES]["answer"]
    assert found["facts"]["settings"] == {"seed": "0", "select.size": "40"}
    assert "ds2" in found["facts"]["versions"]


def test_corrections_are_sorted_real_and_carry_their_neighbours(
    stages: Stages, found: dict
) -> None:
    shown = found["examples"]["changes"]
    assert 0 < len(shown) <= 20
    sure = [item["confidence"] for item in shown]
    assert sure == sorted(sure, reverse=True)
    for item in shown:
        assert item["score"] != item["curated"]
        assert item["id"] == f"id-{item['row']}"
        near = stages.neighbors.indices[item["row"], :5].tolist()
        assert [other["row"] for other in item["near"]] == near


def test_duplicates_are_shown_once_among_the_corrections(stages: Stages) -> None:
    observed = stages.curation.observed
    moved = replace(
        stages.curation,
        scores=np.where(np.isnan(observed), np.nan, 5.0 - observed),
        confidence=np.full(400, 0.9),
    )
    page = replace(stages, curation=moved).page(n_examples=400)
    shown = {item["row"] for item in document(page)["examples"]["changes"]}
    assert 20 in shown
    assert not {21, 22} & shown


def test_truth_agrees_with_a_count_by_hand(stages: Stages, found: dict) -> None:
    truth, observed = stages.simulated.true_scores, stages.curation.observed
    rated, facts = ~np.isnan(observed), found["facts"]["truth"]
    wrong, flagged = rated & (truth != observed), rated & stages.curation.misrated
    right = (truth == stages.curation.scores)[rated].mean()
    assert facts["Right scores, raw"] == pytest.approx((truth == observed)[rated].mean())
    assert facts["Right scores, curated"] == pytest.approx(right)
    assert facts["Wrong scores"] == wrong.sum()
    assert facts["of them flagged"] == pytest.approx((wrong & flagged).sum() / wrong.sum())
    assert facts["of them wrong"] == pytest.approx((wrong & flagged).sum() / flagged.sum())
    planted, recovered = found["tables"]["planted"]["rows"][4:6]
    row = stages.simulated.transition[2]
    assert list(planted.values())[3:9] == pytest.approx(list(row))
    distance = np.abs(row - stages.noise.matrix[2]).sum() / 2
    assert planted["distance"] == recovered["distance"] == pytest.approx(distance)


def test_without_a_planted_matrix_the_known_scores_are_counted(stages: Stages) -> None:
    truth, observed = stages.simulated.true_scores.copy(), stages.curation.observed
    truth[truth == 4] = np.nan
    page = stages.page(truth=truth)
    planted = rows(page, "planted")[::2]
    mine = (truth == 3) & ~np.isnan(observed)
    assert planted[3]["observed 3"] == pytest.approx((observed[mine] == 3).mean())
    assert planted[4]["observed 1"] is planted[4]["distance"] is None
    assert "counted from the known scores" in page_html(page)


def test_rows_without_enough_data_are_not_printed(stages: Stages) -> None:
    few = replace(stages.noise, effective_counts=np.array([3.0, 90, 90, 90, 90, 90]))
    page = replace(stages, noise=few).page()
    assert list(rows(page, "matrix")[0].values())[1:] == [[None] * 3] * 6
    assert page_html(page).count('thin">not enough data</td>') == 6
    assert "Not enough data for score 0." in said(page.findings[SURE])


def test_the_range_holds_the_matrix(stages: Stages, report: Page) -> None:
    for level, row in enumerate(rows(report, "range")):
        low, high = row["over plausible ρ"]
        value, at_low, at_high = rows(report, "matrix")[level][f"observed {level}"]
        assert low <= value <= high
        assert at_low <= value <= at_high
    table = page_html(report).partition('<table class="heat">')[2].partition("</table>")[0]
    assert table.count('<th scope="col"') == 7
    assert table.count('<th scope="row">') == 6
    assert f"<b>{stages.noise.matrix[1, 1]:.2f}</b> <small>(" in table


def test_the_embedding_report_is_taken_over(stages: Stages) -> None:
    about = EmbeddingReport(
        embedder="static 256",
        dimension=256,
        n=400,
        n_unique=398,
        n_embedded=398,
        n_reused=0,
        n_sampled=398,
        truncated_share=None,
        unknown_language_share=0.25,
        unknown_languages=(("fr", 0.25),),
        elapsed_s=1.0,
        texts_per_s=398.0,
        warnings=("A quarter is French.",),
    )
    found = document(stages.page(embedding=about))
    assert found["facts"]["pool"]["Texts cut at its limit"] is None
    assert found["facts"]["pool"]["Languages it does not know"] == "fr 25.0%"
    assert {"of": "embedding", "says": "A quarter is French."} in found["notes"]


def test_texts_are_read_only_where_they_are_shown(
    stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    text = Example.text
    monkeypatch.setattr(Example, "text", lambda self: read.append(self.id) or text(self))
    stages.page(n_examples=2)
    assert 0 < len(read) <= 2 * 6 + 5 + 10


def test_trainings_are_a_section_with_their_losses(stages: Stages, report: Page) -> None:
    first, *_ = rows(report, "loss of selection")
    assert (first["run"], first["updates"]) == ("selection-s0", 120)
    assert first["at first"] > first["at last"]
    html = page_html(report)
    assert '<section id="training"' in html
    assert html.count('<polyline class="loss"') == 9
    odd = {
        "a-s0": {"steps": [1, 2, 3], "loss": [2.0, None, 1.0]},
        "a-s1": {"steps": [], "loss": []},
    }
    (only,) = rows(stages.page(losses=odd), "loss of a")
    assert (only["at first"], only["at last"]) == (2.0, 1.0)
    assert 'id="training"' not in page_html(stages.page())


@pytest.mark.slow
def test_thirty_thousand_examples_take_a_second(tmp_path: Path) -> None:
    large = build_stages(tmp_path / "pool.jsonl", n=30_000)
    start = time.process_time()
    page = large.page(truth=large.simulated.true_scores)
    assert time.process_time() - start < 2
    assert len(page_json(page)) < 1_000_000
    assert sum(row["curated"] for row in rows(page, "scores")) == 29_995


@pytest.mark.parametrize(
    "case",
    ["nothing changed", "gate fired", "no intervals", "no range", "empty class", "one", "bare"],
)
def test_every_shape_of_result_is_a_page(stages: Stages, case: str) -> None:
    curation, noise, selection = stages.curation, stages.noise, stages.selection
    if case == "nothing changed":
        curation = replace(curation, scores=curation.observed, misrated=np.zeros(400, dtype=bool))
    elif case == "gate fired":
        curation = replace(
            curation, scores=curation.observed, method="raw", gate="fired",
            misrated=None, confidence=None, suggestion=None,
        )  # fmt: skip
    elif case == "no intervals":
        noise = replace(noise, intervals=None, prior_intervals=None, fit_expected=NAN)
    elif case == "no range":
        noise = replace(noise, range=None, rho_range=(1.0, 1.0))
    elif case == "empty class":
        matrix, prior = noise.matrix.copy(), noise.prior.copy()
        matrix[0], prior[0] = np.nan, 0.0
        noise = replace(noise, matrix=matrix, prior=prior, effective_counts=prior * 400)
    elif case == "one":
        selection = replace(selection, rows=selection.rows[:1], reasons=selection.reasons[:1])
    elif case == "bare":
        lift = replace(noise.lift, value=NAN, low=NAN, high=NAN)
        noise = replace(noise, lift=lift, lifts=(lift, lift))
        selection = replace(selection, rows=selection.rows[:0], reasons=())
    changed = replace(stages, curation=curation, noise=noise, selection=selection)
    changed = replace(changed, noise=replace(noise, warnings=(Caution("misfit", "Mind this."),)))
    page = changed.page(n_examples=3, truth=stages.simulated.true_scores)
    html = page_html(page)
    check(html)
    assert "Mind this." in html
    assert "nan" not in page_markdown(page).split()
    expected = {
        "nothing changed": "No score was changed.",
        "gate fired": "as the rater gave it",
        "no intervals": "no intervals were computed",
        "no range": "No range over ρ was computed",
        "empty class": "Not enough data for score 0.",
        "one": "1 of 400 examples",
        "bare": "Neighbours tell nothing here",
    }
    assert expected[case] in html


def test_a_pool_without_sources_and_with_equal_lengths(stages: Stages, tmp_path: Path) -> None:
    path = tmp_path / "plain.jsonl"
    write_rows(path, [f"q{row}" for row in range(400)], stages.simulated.scores,
               response=["same"] * 400)  # fmt: skip
    page = replace(stages, pool=read_pool(path)).page()
    assert "No example names a source." in page_html(page)
    assert [row["group"] for row in rows(page, "by length")] == ["4"]


def test_sources_are_counted_largest_first_and_small_ones_together(
    stages: Stages, tmp_path: Path
) -> None:
    path = tmp_path / "many.jsonl"
    sources = [f"s{row % 30}" if row < 300 else "big" for row in range(400)]
    write_rows(path, [f"q{row}" for row in range(400)], stages.simulated.scores, source=sources)
    table = rows(replace(stages, pool=read_pool(path)).page(), "by source")
    assert (table[0]["group"], table[0]["pool"]) == ("big", 100)
    assert len(table) == 21
    assert table[-1]["group"] == "(11 smaller sources)"
    assert sum(row["pool"] for row in table) == 400


@pytest.mark.parametrize("n_lengths", [1, 3, 50])
def test_lengths_fall_into_one_fifth_each(stages: Stages, tmp_path: Path, n_lengths: int) -> None:
    path = tmp_path / "lengths.jsonl"
    answers = ["x" * (1 + row % n_lengths) for row in range(400)]
    texts = [f"q{row}" for row in range(400)]
    write_rows(path, texts, stages.simulated.scores, response=answers)
    table = rows(replace(stages, pool=read_pool(path)).page(), "by length")
    assert sum(row["pool"] for row in table) == 400
    assert all(row["pool"] for row in table)
    assert len(table) == min(n_lengths, 5)


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        (Scale.ds2(), ["1 to 4", "5", "6", "7", "8", "9 to 10"]),
        (
            Scale(0.0, 1.0, (0.1, 0.25, 0.5, 0.6, 0.7)),
            ["up to 0.1", "above 0.1, up to 0.25", "above 0.25, up to 0.5"],
        ),
    ],
)
def test_scores_say_which_ratings_they_stand_for(stages, scale, words) -> None:
    values = scale.low + stages.ratings.values / 5 * (scale.high - scale.low)
    ratings = replace(stages.ratings, scale=scale, values=values)
    found = [row["ratings"] for row in rows(replace(stages, ratings=ratings).page(), "scores")]
    assert found[: len(words)] == words


def with_lift(stages: Stages, value: float, width: float = 0.01, **noise: object) -> Stages:
    lift = replace(stages.noise.lifts[0], value=value, low=value - width, high=value + width)
    return replace(stages, noise=replace(stages.noise, lifts=(lift,), **noise))


def with_ends(error: float, low: float, high: float) -> dict[str, object]:
    """A matrix with this share of wrong scores, and a range of it."""

    def matrix(rate: float) -> np.ndarray:
        return np.full((6, 6), rate / 5) + (1 - rate - rate / 5) * np.eye(6)

    return {
        "matrix": matrix(error),
        "prior": np.full(6, 1 / 6),
        "range": np.stack([matrix(high), matrix(low)]),
        "rho_range": (0.3, 1.0),
    }


@pytest.mark.parametrize(
    ("value", "gate", "words", "tone"),
    [
        (NAN, "fired", "Not enough data to tell.", "open"),
        (0.005, "fired", "no more than by chance", "open"),
        (0.08, "off", "little more than by chance", "open"),
        (0.3, "fired", "little more than by chance", "open"),
        (0.3, "passed", "In part", "care"),
        (0.8, "passed", "Well supported", "clear"),
    ],
)
def test_how_far_the_assumption_holds(stages, value, gate, words, tone) -> None:
    changed = replace(with_lift(stages, value), curation=replace(stages.curation, gate=gate))
    finding = changed.page().findings[ASSUMPTION]
    assert words in finding.answer
    assert finding.tone == tone


@pytest.mark.parametrize("value", [NAN, 0.005, 0.08])
def test_low_lift_never_calls_the_matrix_the_raters_error(stages, value) -> None:
    ends = with_ends(0.42, 0.05, 0.45)
    findings = with_lift(stages, value, **ends).page().findings
    assert "alone cannot say" in findings[NOISE].answer
    assert findings[NOISE].tone == findings[ASSUMPTION].tone == "open"
    assert "42 % of the scores are wrong" not in said(findings[NOISE])
    if value == 0.08:
        assert "between 5 % and 45 %" in said(findings[NOISE])
        assert "no single matrix" in said(findings[NOISE])


def test_a_lift_that_may_be_anything_is_not_called_none(stages: Stages) -> None:
    assert "too little data" in with_lift(stages, 0.1, width=0.3).page().findings[ASSUMPTION].answer


@pytest.mark.parametrize(
    ("lift", "noise", "words", "tone"),
    [
        (0.08, with_ends(0.42, 0.05, 0.45) | {"range": None}, ("At most about 42 %",), "open"),
        (
            *(0.3, with_ends(0.3, 0.12, 0.31)),
            *(("Between 12 % and 31 % of the scores are wrong, dep", "ρ = 0.30"), "care"),
        ),
        (0.3, with_ends(0.6, 0.0, 1.0), ("this pool alone cannot say",), "open"),
    ],
)
def test_how_noisy_the_scores_are(stages, lift, noise, words, tone) -> None:
    finding = with_lift(stages, lift, **noise).page().findings[NOISE]
    for each in words:
        assert each in said(finding)
    assert finding.tone == tone


def test_intervals_and_range_are_both_named_in_how_sure(stages: Stages) -> None:
    matrix = stages.noise.matrix
    wide = {
        "intervals": np.stack([matrix - 0.02, matrix + 0.02]),
        "range": np.stack([matrix - 0.13, matrix + 0.13]),
    }
    answer = said(with_lift(stages, 0.3, **wide).page().findings[SURE])
    assert "± 0.02 if neighbours share" in answer
    assert "± 0.13 if that is left open" in answer


def test_no_intervals_thin_scores_and_no_convergence_are_said(stages: Stages) -> None:
    worse = {
        "intervals": None,
        "effective_counts": np.array([3.0, 90, 90, 90, 90, 3.0]),
        "converged": False,
        "iterations": 2000,
        "diagonal_dominant": False,
        "fit": 0.05,
        "fit_expected": 0.02,
    }
    text = said(with_lift(stages, 0.3, **worse).page().findings[SURE])
    for words in (
        "no intervals",
        "scores 0, 5",
        "not converged after 2,000",
        "not certain",
        "does not fit",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("method", "gate", "changed", "words"),
    [
        ("raw", "off", False, "as the rater gave it"),
        ("raw", "fired", False, "too low for neighbours"),
        ("ds2", "passed", False, "No score"),
        ("ds2", "fired", True, "The gate fired"),
        ("ds2", "passed", True, "not a human judgement"),
    ],
)
def test_changes(stages, method, gate, changed, words) -> None:
    scores = stages.curation.scores if changed else stages.curation.observed
    curation = replace(stages.curation, method=method, gate=gate, scores=scores)
    page = replace(with_lift(stages, 0.3), curation=curation).page()
    assert words in said(page.findings[CHANGES])
    html = page_html(page)
    assert ("the gate passed" in html) is (gate == "passed")


def test_a_method_that_goes_by_evidence_names_no_gate(stages: Stages) -> None:
    page = replace(stages, curation=replace(stages.curation, method="soft", gate="unused")).page()
    assert "Method soft, which goes by evidence." in page_html(page)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_the_mean_of_scores_is_called_optimistic_where_they_did_the_choosing(
    stages: Stages, method: str
) -> None:
    page = replace(stages, selection=replace(stages.selection, method=method)).page()
    optimistic = "optimistic" in said(page.findings[SELECTED])
    assert optimistic is (method not in BLIND), "a new method is to be thought about here"


def test_known_scores_say_when_curation_made_it_worse(stages: Stages, report: Page) -> None:
    observed = stages.curation.observed
    worse = replace(stages.curation, scores=np.where(np.isnan(observed), np.nan, 5.0 - observed))
    page = replace(stages, curation=worse).page(truth=stages.simulated.true_scores)
    assert "Right scores fell from 73.4 % to " in said(page.findings[TRUTH])
    assert "Right scores rose" in said(report.findings[TRUTH])
    assert len(stages.page().findings) == TRUTH


def test_what_cannot_be_read_or_believed_comes_first(stages: Stages, tmp_path: Path) -> None:
    path = tmp_path / "outside.jsonl"
    write_rows(path, [f"q{row}" for row in range(400)], np.arange(400) % 8)
    with pytest.warns(match="out of range"):
        ratings = import_ratings(read_pool(path), column="score", scale="levels:6")
    curation = replace(stages.curation, contradiction="Gold runs against the ratings.")
    first, second, *_ = replace(stages, ratings=ratings, curation=curation).page().findings
    assert said(first).startswith("Not all: 100 ratings lie outside the declared scale, 0 to 5")
    assert second.answer == "Gold runs against the ratings."
    assert first.tone == second.tone == "open"


@pytest.mark.parametrize(("outside", "says"), [(4, False), (5, True)])
def test_a_few_ratings_off_the_scale_are_no_verdict(stages, tmp_path, outside, says) -> None:
    path = tmp_path / "slips.jsonl"
    write_rows(path, [f"q{row}" for row in range(400)], np.array([9] * outside + [3, 4] * 200))
    with pytest.warns(match="out of range"):
        ratings = import_ratings(read_pool(path), column="score", scale="levels:6")
    page = replace(stages, ratings=ratings).page()
    assert ("outside" in page.state.reason) is says
    assert ("outside" in said(page.findings[0])) is says
    assert "SCALE" not in page.state.next


@pytest.mark.parametrize(("source", "words"), [("gold", "Trusted"), ("raters", "The raters")])
def test_where_evidence_found_rho_nobody_is_sent_for_a_second_rater(stages, source, words) -> None:
    page = with_lift(stages, 0.3, rho_source=source, matrix_source=source, rho=0.54).page()
    text = said(page.findings[ASSUMPTION])
    assert words in text
    assert "by ρ = 0.54" in text
    assert "A second rater" not in text
    assert "is therefore a range" not in text


def test_a_rho_that_was_given_is_nobodys_finding(stages) -> None:
    page = with_lift(stages, 0.3, rho_source="assumed", matrix_source="raters", rho=0.54).page()
    text = said(page.findings[ASSUMPTION])
    assert "was given: ρ = 0.54" in text
    assert "One rater's scores" not in text
    assert "is therefore a range" not in text


def test_what_curated_scores_lean_on_is_said(stages: Stages) -> None:
    place = np.arange(400) / 400
    scores = np.where(np.isnan(stages.curation.observed), np.nan, 5 * place)
    page = replace(stages, curation=replace(stages.curation, scores=scores)).page()
    assert "go with the place in the pool more than raw ones did" in said(page.findings[CHANGES])
    assert page.findings[CHANGES].tone == "care"
    assert "only trusted scores can tell" in said(page.findings[CHANGES])
    trusted = replace(stages.noise, n_gold=50)
    page = replace(stages, noise=trusted, curation=replace(stages.curation, scores=scores)).page()
    assert "a warning says so" in said(page.findings[CHANGES])
