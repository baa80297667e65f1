import dataclasses
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_sample import Stages, build_stages

from ds2.embedding import EmbeddingReport
from ds2.errors import InputError
from ds2.report import ReportNumbers, render_json
from ds2.report.tables import to_levels


def leaves(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        for part in value.values():
            yield from leaves(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from leaves(part)
    else:
        yield value


def test_counts(stages: Stages, numbers: ReportNumbers) -> None:
    assert numbers.pool.n_examples == 400
    assert (numbers.ratings.n_rated, numbers.ratings.n_unrated) == (395, 5)
    assert [(row.label, row.n) for row in numbers.ratings.problems] == [("missing", 5)]
    assert (numbers.duplicates.n_groups, numbers.duplicates.n_rows) == (1, 2)
    assert numbers.duplicates.largest[0].size == 3
    assert numbers.duplicates.largest[0].id == "id-20"
    assert [row.label for row in numbers.selection.by_source] == ["flan", "dolly", "oasst"]
    assert sum(level.raw for level in numbers.scores) == 395
    changed = stages.curation.scores != stages.curation.observed
    assert numbers.curation.n_changed == int(changed[~np.isnan(stages.curation.observed)].sum())
    assert numbers.curation.n_changed == numbers.curation.n_up + numbers.curation.n_down
    off_diagonal = sum(
        n for a, row in enumerate(numbers.curation.moves) for b, n in enumerate(row) if a != b
    )
    assert off_diagonal == numbers.curation.n_changed


def test_only_plain_finite_values(numbers: ReportNumbers) -> None:
    kinds = {type(value) for value in leaves(dataclasses.asdict(numbers))}
    assert kinds <= {str, int, float, bool, type(None)}
    assert json.loads(render_json(numbers))["pool"]["n_examples"] == 400


def test_corrections_are_sorted_real_and_carry_their_neighbours(
    stages: Stages, numbers: ReportNumbers
) -> None:
    shown = numbers.curation.corrections
    assert 0 < len(shown) <= 20
    assert [item.confidence for item in shown] == sorted(
        (item.confidence for item in shown), reverse=True
    )
    for item in shown:
        assert item.observed != item.curated
        assert item.id == f"id-{item.row}"
        assert [near.row for near in item.neighbors] == stages.neighbors.indices[
            item.row, :5
        ].tolist()


def test_duplicates_are_shown_once_among_the_corrections(stages: Stages) -> None:
    observed = stages.curation.observed
    moved = replace(
        stages.curation,
        scores=np.where(np.isnan(observed), np.nan, 5.0 - observed),
        confidence=np.full(400, 0.9),
    )
    rows = [
        item.row
        for item in replace(stages, curation=moved).numbers(n_examples=400).curation.corrections
    ]
    assert 20 in rows
    assert not {21, 22} & set(rows)


def test_duplicates_with_different_scores_are_counted(stages: Stages) -> None:
    scores = stages.ratings.scores()[20:23]
    found = stages.numbers().duplicates
    assert found.n_groups_rated == 1
    assert found.n_rated_apart == int(scores.min() != scores.max())
    assert (found.largest[0].lowest, found.largest[0].highest) == (scores.min(), scores.max())


def test_truth_agrees_with_a_count_by_hand(stages: Stages, numbers: ReportNumbers) -> None:
    truth, observed = stages.simulated.true_scores, stages.curation.observed
    rated = ~np.isnan(observed)
    found = numbers.truth
    assert found is not None
    assert found.accuracy_raw == pytest.approx((truth == observed)[rated].mean())
    assert found.accuracy_curated == pytest.approx((truth == stages.curation.scores)[rated].mean())
    assert stages.curation.misrated is not None
    wrong, flagged = rated & (truth != observed), rated & stages.curation.misrated
    assert found.n_wrong == wrong.sum()
    assert found.recall == pytest.approx((wrong & flagged).sum() / wrong.sum())
    assert found.precision == pytest.approx((wrong & flagged).sum() / flagged.sum())
    planted = stages.simulated.transition
    level = found.levels[2]
    assert level.planted == tuple(planted[2])
    assert level.distance == pytest.approx(np.abs(planted[2] - stages.noise.matrix[2]).sum() / 2)
    assert found.drawn


def test_without_a_planted_matrix_the_known_scores_are_counted(stages: Stages) -> None:
    truth, observed = stages.simulated.true_scores.copy(), stages.curation.observed
    truth[truth == 4] = np.nan
    found = stages.numbers(truth=truth).truth
    assert found is not None
    assert not found.drawn
    mine = (truth == 3) & ~np.isnan(observed)
    assert found.levels[3].planted[3] == pytest.approx((observed[mine] == 3).mean())
    assert found.levels[4].planted == (None,) * 6
    assert found.levels[4].distance is None


def test_rows_without_enough_data_are_not_printed(stages: Stages) -> None:
    few = replace(stages.noise, effective_counts=np.array([3.0, 90, 90, 90, 90, 90]))
    found = replace(stages, noise=few).numbers().noise
    assert found.thin_scores == (0,)
    assert {cell.value for cell in found.matrix[0]} == {None}


def test_error_range_holds_the_error_at_rho(numbers: ReportNumbers) -> None:
    noise = numbers.noise
    assert None not in (noise.error, noise.error_low, noise.error_high)
    assert noise.error_low <= noise.error <= noise.error_high
    for row in noise.matrix:
        for cell in row:
            assert cell.range_low <= cell.value <= cell.range_high


@pytest.mark.parametrize(
    "noise",
    [
        {
            "intervals": None,
            "prior_intervals": None,
            "n_bootstrap": 0,
            "fit_expected": float("nan"),
        },
        {"range": None, "rho_range": (1.0, 1.0)},
    ],
)
def test_missing_intervals_or_range_are_none(stages: Stages, noise: dict[str, object]) -> None:
    found = replace(stages, noise=replace(stages.noise, **noise)).numbers().noise
    assert (found.sampling_error is None) == ("intervals" in noise)
    assert (found.rho_low is None) == (found.range_error is None) == ("range" in noise)


def test_embedding_report_is_taken_over(stages: Stages) -> None:
    report = EmbeddingReport(
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
    found = stages.numbers(embedding=report)
    assert found.embedding is not None
    assert found.embedding.truncated_share is None
    assert found.embedding.unknown_languages[0][0] == "fr"
    assert ("embedding", "A quarter is French.") in {(n.stage, n.sentence) for n in found.warnings}


def test_settings_are_flattened(numbers: ReportNumbers) -> None:
    assert [(item.name, item.value) for item in numbers.settings] == [
        ("seed", "0"), ("select.size", "40"),
    ]  # fmt: skip
    assert "ds2" in {item.name for item in numbers.versions}


def test_results_of_another_pool_are_refused(stages: Stages) -> None:
    with pytest.raises(InputError, match="'tail' must have 400 rows"):
        replace(stages, tail=stages.tail[:-1]).numbers()


def test_texts_are_read_only_where_they_are_shown(
    stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ds2.pool import Example

    read: list[str] = []
    text = Example.text
    monkeypatch.setattr(Example, "text", lambda self: read.append(self.id) or text(self))
    stages.numbers(n_examples=2)
    assert 0 < len(read) <= 2 * 6 + 5 + 10


@pytest.mark.slow
def test_thirty_thousand_examples_take_a_second(tmp_path: Path) -> None:
    large = build_stages(tmp_path / "pool.jsonl", n=30_000)
    start = time.perf_counter()
    numbers = large.numbers(truth=large.simulated.true_scores)
    assert time.perf_counter() - start < 2
    assert len(render_json(numbers)) < 1_000_000
    assert sum(level.curated for level in numbers.scores) == int(
        (to_levels(large.curation.scores, 6) >= 0).sum()
    )
