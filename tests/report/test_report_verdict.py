"""The sentences are tested for what they must and must not say."""

from dataclasses import replace

import numpy as np
import pytest

from ds2.curation import measure_bias
from ds2.report import ReportNumbers
from ds2.report.bias import leanings
from ds2.report.numbers import NoiseNumbers, Share
from ds2.report.verdict import Finding, how_curated, standing, verdict


def with_lift(
    numbers: ReportNumbers, value: float | None, width: float = 0.01, **noise: object
) -> ReportNumbers:
    middle = float("nan") if value is None else value
    lift = replace(numbers.noise.lifts[0], value=middle, low=middle - width, high=middle + width)
    return replace(numbers, noise=replace(numbers.noise, lifts=(lift,), **noise))


def said(findings: tuple[Finding, ...], place: int) -> str:
    return " ".join([findings[place].answer, *findings[place].detail])


@pytest.mark.parametrize(
    ("value", "gate", "expected"),
    [
        (None, "fired", "unknown"),
        (0.005, "fired", "absent"),
        (0.08, "off", "weak"),
        (0.3, "fired", "weak"),
        (0.3, "passed", "partial"),
        (0.8, "passed", "strong"),
    ],
)
def test_standing(numbers: ReportNumbers, value: float | None, gate: str, expected: str) -> None:
    noise: NoiseNumbers = with_lift(numbers, value).noise
    assert standing(noise, gate) == expected


@pytest.mark.parametrize("value", [None, 0.005, 0.08])
def test_low_lift_never_calls_the_matrix_the_raters_error(
    numbers: ReportNumbers, value: float | None
) -> None:
    findings = verdict(with_lift(numbers, value, error=0.42, error_low=0.05, error_high=0.45))
    assert "alone cannot say" in findings[0].answer
    assert findings[0].tone == "open"
    assert findings[2].tone == "open"
    assert "42\u00a0% of the scores are wrong" not in said(findings, 0)
    if value == 0.08:
        assert "between 5\u00a0% and 45\u00a0%" in findings[0].answer
        assert "no single matrix" in said(findings, 0)


def test_a_lift_that_may_be_anything_is_not_called_none(numbers: ReportNumbers) -> None:
    assert "no more than by chance" in verdict(with_lift(numbers, 0.005))[2].answer
    assert "too little data" in verdict(with_lift(numbers, 0.1, width=0.3))[2].answer


def test_low_lift_without_a_range_gives_an_upper_end_only(numbers: ReportNumbers) -> None:
    none = {"rho_low": None, "rho_high": None, "error_low": None, "error_high": None}
    findings = verdict(with_lift(numbers, 0.08, error=0.42, range_error=None, **none))
    assert findings[0].answer.startswith("At most about 42\u00a0%")


def test_supported_assumption_gives_the_range_and_names_both_ends(numbers: ReportNumbers) -> None:
    ends = {"rho_low": 0.3, "rho_high": 1.0, "error_low": 0.12, "error_high": 0.31}
    findings = verdict(with_lift(numbers, 0.3, error=0.3, **ends))
    assert findings[0].answer.startswith(
        "Between 12\u00a0% and 31\u00a0% of the scores are wrong, dep"
    )
    assert "ρ\u00a0=\u00a00.30" in said(findings, 0)
    assert findings[0].tone == "care"


def test_intervals_and_range_are_both_named_in_how_sure(numbers: ReportNumbers) -> None:
    changed = with_lift(numbers, 0.3, sampling_error=0.02, range_error=0.13)
    answer = verdict(changed)[1].answer
    assert "±\u00a00.02" in answer
    assert "±\u00a00.13" in answer


def test_no_intervals_thin_scores_and_no_convergence_are_said(numbers: ReportNumbers) -> None:
    worse = {
        "has_intervals": False,
        "sampling_error": None,
        "thin_scores": (0, 5),
        "converged": False,
        "iterations": 2000,
        "diagonal_dominant": False,
        "fit": 0.05,
        "fit_expected": 0.02,
    }
    text = said(verdict(with_lift(numbers, 0.3, **worse)), 1)
    for words in (
        "no intervals",
        "scores 0, 5",
        "not converged after 2,000",
        "not certain",
        "does not fit",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("method", "gate", "n_changed", "words"),
    [
        ("raw", "off", 0, "as the rater gave it"),
        ("raw", "fired", 0, "too low for neighbours"),
        ("ds2", "passed", 0, "No score"),
        ("ds2", "fired", 7, "The gate fired"),
        ("ds2", "passed", 7, "not a human judgement"),
    ],
)
def test_changes(
    numbers: ReportNumbers, method: str, gate: str, n_changed: int, words: str
) -> None:
    curation = replace(numbers.curation, method=method, gate=gate, n_changed=n_changed)
    assert words in said(verdict(replace(with_lift(numbers, 0.3), curation=curation)), 3)


def test_the_mean_of_what_scores_chose_is_called_optimistic(numbers: ReportNumbers) -> None:
    assert "optimistic" in said(verdict(numbers), 4)
    blind = replace(numbers, selection=replace(numbers.selection, method="random"))
    assert "optimistic" not in said(verdict(blind), 4)


def test_known_scores_say_when_curation_made_it_worse(numbers: ReportNumbers) -> None:
    assert numbers.truth is not None
    worse = replace(numbers.truth, accuracy_raw=0.8, accuracy_curated=0.7)
    assert (
        "fell from 80.0\u00a0% to 70.0\u00a0%" in verdict(replace(numbers, truth=worse))[5].answer
    )
    assert len(verdict(replace(numbers, truth=None))) == 5


def test_ratings_off_the_scale_come_first(numbers: ReportNumbers) -> None:
    changed = replace(numbers, ratings=replace(numbers.ratings, n_outside=3))
    first = verdict(changed)[0]
    assert first.answer.startswith("Not all: 3 ratings lie outside the declared scale, 0 to 5")
    assert first.tone == "open"


def test_a_range_from_nothing_to_all_is_no_answer(numbers: ReportNumbers) -> None:
    ends = {"rho_low": 0.1, "rho_high": 1.0, "error_low": 0.0, "error_high": 1.0}
    first = verdict(with_lift(numbers, 0.3, error=0.6, **ends))[0]
    assert "this pool alone cannot say" in first.answer
    assert first.tone == "open"


@pytest.mark.parametrize(("source", "words"), [("gold", "Trusted"), ("raters", "The raters")])
def test_where_evidence_found_rho_nobody_is_sent_for_a_second_rater(
    numbers: ReportNumbers, source: str, words: str
) -> None:
    text = said(verdict(with_lift(numbers, 0.3, rho_source=source, rho=0.54)), 2)
    assert words in text
    assert "by ρ\u00a0=\u00a00.54" in text
    assert "A second rater" not in text
    assert "is therefore a range" not in text


def test_levels_that_are_out_of_order_make_each_raters_share_a_rough_one(
    numbers: ReportNumbers,
) -> None:
    each = {"by_rater": (Share("a", 0.4), Share("b", 0.7)), "rho_source": "raters"}
    for in_order, tone, rough in ((True, "care", False), (False, "open", True)):
        first = verdict(with_lift(numbers, 0.3, diagonal_dominant=in_order, **each))[0]
        assert first.tone == tone
        assert ("very roughly" in first.answer) is rough


@pytest.mark.parametrize(
    ("method", "gate", "words"),
    [("ds2", "passed", "the gate passed"), ("soft", "off", "goes by evidence")],
)
def test_the_gate_is_named_where_it_decides(
    numbers: ReportNumbers, method: str, gate: str, words: str
) -> None:
    said_of = how_curated(replace(numbers.curation, method=method, gate=gate))
    assert words in said_of
    assert ("gate" in said_of) is (method == "ds2")


def test_what_curated_scores_lean_on_is_said(numbers: ReportNumbers) -> None:
    rng = np.random.default_rng(0)
    length, truth = rng.standard_normal((2, 1000))
    raw, curated = truth + 0.3 * length, truth + 2 * length
    place = np.arange(1000.0)
    measured = measure_bias(raw, curated, {"length": length, "place": place})
    (sentence,) = leanings(measured, trusted=False)
    assert "go with the length more" in sentence
    assert leanings(measure_bias(curated, raw, {"length": length}), trusted=True) == ()
    leaning = replace(numbers, curation=replace(numbers.curation, leanings=(sentence,)))
    finding = verdict(leaning)[3]
    assert sentence in finding.detail
    assert finding.tone != "plain"
