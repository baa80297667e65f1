"""Rubrics: the one of ds2, those from TOML, and what changes their hash."""

import json
from dataclasses import replace
from importlib.resources import files

import pytest

from ds2.errors import InputError
from ds2.rating import Criterion, Rubric, Scale
from ds2.rating.rubric import FORMS

SMALL = """
scored = "clarity"
scale = "1-5"
[criteria]
clarity = "How easy to read."
use = "How useful."
"""


def written(tmp_path, text, name="mine.toml"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_rubric_of_the_paper():
    rubric = Rubric.ds2()
    assert rubric.names == ("rarity", "complexity", "informativeness", "overall")
    assert rubric.scored == "overall"
    assert rubric.scale == Scale.ds2()
    assert list(rubric.levels) == list(range(1, 11))
    assert rubric.form == "auto"


def test_its_file_is_one_to_copy(tmp_path):
    text = files("ds2.rating").joinpath("ds2.toml").read_text("utf-8")
    assert Rubric.load(written(tmp_path, text)) == Rubric.ds2()


def test_what_a_file_may_leave_out(tmp_path):
    rubric = Rubric.load(written(tmp_path, SMALL))
    assert rubric.name == "mine"
    assert rubric.criteria == (
        Criterion("clarity", "How easy to read."),
        Criterion("use", "How useful."),
    )
    assert rubric.scale == Scale.parse("1-5")
    assert rubric.instructions == Rubric.ds2().instructions


def test_bins_come_from_the_file(tmp_path):
    text = SMALL.replace('scale = "1-5"', 'scale = "0-100"\nbins = [20, 60.5]\nform = "json"')
    rubric = Rubric.load(written(tmp_path, text))
    assert rubric.scale == Scale(0.0, 100.0, (20.0, 60.5))
    assert rubric.form == "json"


FAULTS = [
    ('scored = "clarity"', "scored = ", "is not valid TOML"),
    ('scored = "clarity"', 'scored = "clearness"', "'scored' must be one of clarity, use"),
    ('scored = "clarity"\n', "", "there is no 'scored'. Name the criterion"),
    ('scored = "clarity"', "scored = 3", "'scored' must be text in quotes. Got 3"),
    ('scale = "1-5"', 'scale = "1-5.5"\nbins = [2]', "'scale' of a rubric must have whole numbers"),
    ('scale = "1-5"', 'scale = "high"', "'scale' must be a range"),
    ('scale = "1-5"', 'scale = "1-100"', "needs bins"),
    ('scale = "1-5"', 'scale = "0-2000"\nbins = [2]', "at most 1001"),
    ('scale = "1-5"', 'bins = ["a"]', "'bins' must be a list of numbers"),
    ('scale = "1-5"', "bins = [9, 2]", "ascending"),
    ('scale = "1-5"', 'form = "xml"', "'form' must be one of auto, structured, json"),
    ('scale = "1-5"', 'instructions = " "', "'instructions' is empty"),
    ('scale = "1-5"', 'scales = "1-5"', "'key' must be one of name.*Did you mean 'scale'"),
    ('clarity = "How easy to read."', 'clarity = ""', "'criteria.clarity' is empty"),
    ('clarity = "How easy to read."', "clarity = 3", "'criteria.clarity' must be text"),
    ('use = "How useful."', 'Use = "x"', "must be lower-case letters.*Got 'Use'"),
    ('use = "How useful."', 'clar_ity = "x"', "has 'clar_ity' twice"),
    ("[criteria]", "[criterion]", "'key' must be one of.*Did you mean 'criteria'"),
    ('[criteria]\nclarity = "How easy to read."\nuse = "How useful."', "", "no 'criteria'. Write"),
    ('[criteria]\nclarity = "How easy to read."\nuse = "How useful."', "[criteria]", "1 to 20"),
    ('[criteria]\nclarity = "How easy to read."\nuse = "How useful."', "criteria = 1", "a section"),
]


@pytest.mark.parametrize(("old", "new", "sentence"), FAULTS)
def test_every_fault_names_the_file_and_the_key(tmp_path, old, new, sentence):
    assert old in SMALL
    path = written(tmp_path, SMALL.replace(old, new))
    with pytest.raises(InputError, match=sentence) as raised:
        Rubric.load(path)
    assert str(raised.value).startswith(str(path))


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match=r"no\.toml cannot be read: No such file"):
        Rubric.load(tmp_path / "no.toml")
    path = tmp_path / "latin.toml"
    path.write_bytes('name = "é"'.encode("latin-1"))
    with pytest.raises(InputError, match=r"latin\.toml is not UTF-8 text"):
        Rubric.load(path)


def test_the_hash_is_of_what_a_rater_sees():
    rubric = Rubric.ds2()
    assert len(rubric.hash) == 64
    same = [
        replace(rubric, name="other"),
        replace(rubric, scored="rarity"),
        replace(rubric, scale=Scale.parse("1-10", [5])),
        *(replace(rubric, form=form) for form in FORMS),
    ]
    assert {other.hash for other in same} == {rubric.hash}
    other = [
        replace(rubric, instructions="Judge."),
        replace(rubric, criteria=rubric.criteria[::-1]),
        replace(rubric, criteria=(*rubric.criteria[:3], Criterion("overall", "All in all."))),
        replace(rubric, scale=Scale.parse("0-10", [5])),
    ]
    assert len({rubric.hash, *(changed.hash for changed in other)}) == 5


def test_the_schema_takes_one_whole_number_per_criterion():
    schema = Rubric.ds2().json_schema()
    assert schema["required"] == list(Rubric.ds2().names) == list(schema["properties"])
    assert schema["additionalProperties"] is False
    assert schema["properties"]["overall"] == {"type": "integer", "enum": list(range(1, 11))}
    json.dumps(schema)
    wide = replace(Rubric.ds2(), scale=Scale.parse("0-100", [50]))
    assert wide.json_schema()["properties"]["overall"] == {
        "type": "integer",
        "minimum": 0,
        "maximum": 100,
    }
