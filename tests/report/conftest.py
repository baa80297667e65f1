"""One simulated pool for all tests of the pages."""

from dataclasses import replace

import pytest
from compare_sample import comparison, judge, judged
from proof_sample import proof
from report_sample import HOSTILE, Stages, build_stages, write_rows

from ds2.pool import read_pool
from ds2.rating import Note
from ds2.report import Page, compare_report, proof_report


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Stages:
    """400 examples of 6 scores, 5 unrated, one text three times."""
    return build_stages(tmp_path_factory.mktemp("report") / "pool.jsonl")


@pytest.fixture(scope="session")
def report(stages: Stages) -> Page:
    return stages.page(
        title="sample",
        truth=stages.simulated.true_scores,
        planted=stages.simulated.transition,
        settings={"seed": 0, "select": {"size": 40}},
        losses=proof()["losses"],
    )


@pytest.fixture(scope="session")
def hostile_stages(stages: Stages, tmp_path_factory: pytest.TempPathFactory) -> Stages:
    """The same pool with hostile ids, sources, texts, rater, reasons and warnings."""
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
    ratings = replace(
        stages.ratings,
        rater=HOSTILE[0],
        notes=tuple(Note("said", {"text": HOSTILE[n]}) for n in (2, 4)),
    )
    reasons = tuple(bad[: len(stages.selection.rows)])
    selection = replace(stages.selection, reasons=reasons, dropped={HOSTILE[5]: 3})
    return replace(stages, pool=read_pool(path), ratings=ratings, selection=selection)


@pytest.fixture(scope="session")
def pages(stages: Stages, report: Page) -> dict[str, Page]:
    """A page of every kind."""
    judges = (
        judge("gold", "gold", ds2=judged(0.5), length=judged(0.2)),
        judge("rater", "a rater", ds2=judged(0.5), length=judged(0.01)),
    )
    return {
        "report": report,
        "comparison": compare_report(comparison(stages.pool, *judges)),
        "proof": proof_report(proof()),
    }


@pytest.fixture(scope="session")
def hostile(hostile_stages: Stages) -> dict[str, Page]:
    """Pages of every kind, of hostile texts."""
    document = proof(tasks=tuple(HOSTILE[:4]), arms=tuple(HOSTILE[4:7]))
    document |= {"title": HOSTILE[2], "notes": list(HOSTILE), "struck": [HOSTILE[8]]}
    document["plan"] |= {"model": HOSTILE[1], "settings": {HOSTILE[2]: HOSTILE[3]}}
    judges = judge("rater", HOSTILE[0], ds2=judged(0.5))
    return {
        "report": hostile_stages.page(
            title=HOSTILE[2],
            settings={text: text for text in HOSTILE},
        ),
        "comparison": compare_report(comparison(hostile_stages.pool, judges, texts=HOSTILE)),
        "proof": proof_report(document),
    }
