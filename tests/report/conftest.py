"""One simulated pool for all tests of the report."""

from dataclasses import replace

import numpy as np
import pytest
from report_sample import HOSTILE, Stages, build_stages, write_rows

from ds2.pool import read_pool
from ds2.report import ReportNumbers


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Stages:
    """400 examples of 6 scores, 5 unrated, one text three times."""
    return build_stages(tmp_path_factory.mktemp("report") / "pool.jsonl")


@pytest.fixture(scope="session")
def numbers(stages: Stages) -> ReportNumbers:
    return stages.numbers(
        title="sample",
        truth=stages.simulated.true_scores,
        planted=stages.simulated.transition,
        settings={"seed": 0, "select": {"size": 40}},
    )


@pytest.fixture(scope="session")
def hostile(stages: Stages, tmp_path_factory: pytest.TempPathFactory) -> ReportNumbers:
    """The same pool with hostile ids, sources, texts, rater, title, settings and warnings."""
    n = 400
    bad = [HOSTILE[row % len(HOSTILE)] for row in range(n)]
    path = tmp_path_factory.mktemp("hostile") / "pool.jsonl"
    write_rows(
        path,
        [f"{text} {row}" for row, text in enumerate(bad)],
        stages.simulated.scores,
        response=bad,
        id=[f"{row} {text}" for row, text in enumerate(bad)],
        source=bad,
    )
    pool = read_pool(path)
    ratings = replace(stages.ratings, rater=HOSTILE[0], warnings=(HOSTILE[2], HOSTILE[4]))
    reasons = tuple(bad[: len(stages.selection.rows)])
    selection = replace(stages.selection, reasons=reasons, dropped={HOSTILE[5]: 3})
    changed = replace(stages, pool=pool, ratings=ratings, selection=selection)
    return changed.numbers(
        title=HOSTILE[2],
        settings={text: text for text in HOSTILE},
        versions={HOSTILE[3]: HOSTILE[4]},
        groups=np.arange(n) // 2 * 2,
    )
