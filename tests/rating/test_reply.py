"""Replies as raters give them: what is a rating, and what is a named problem."""

import json
import random
import re
import time
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from replies import reply

from ds2.rating import Criterion, Rubric, Scale
from ds2.rating.reply import REPLY_PROBLEMS, parse_reply

RUBRIC = Rubric.ds2()
WORDS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    *("nineteen", "twenty"),
)
ALL = '{"rarity": 3, "complexity": 4, "informativeness": 5, "overall": 6}'

RATED = {
    # objects
    ALL: 6,
    f"Here you go: {ALL} Hope that helps!": 6,
    '{"ratings": {"rarity": 3, "overall": 6}}': 6,
    '{"overall": {"reason": "9 lives", "score": 8}}': 8,
    '{"Overall Rating": 6}': 6,
    '{"overall_score": "8/10"}': 8,
    '{"overall": "eight"}': 8,
    '{"overall": "8 (good)"}': 8,
    '{"overall": 7.5}': 7.5,
    '{"rating": 6}': 6,
    "{'rarity': 3, 'overall': 8,}": 8,
    "{rarity: 3, overall: 8}": 8,
    '{"overall": 4, "why": "the text says {\\"overall\\": 10} and 9/10"}': 4,
    '{"overall": ８}': 8,
    '{"rarity": 3, // common\n "overall": 8 # fair\n}': 8,
    '{"rarity (1-10)": 3, "overall (1-10)": 8}': 8,
    '{"name": "rate", "parameters": {"rarity": 3, "overall": 8}}': 8,
    '{"overall": 3}\nRatings are from 1 to 10, where 10 is the best.': 3,
    # reasoning
    f"<think>maybe overall: 9, or {{\"overall\": 10}}</think>{ALL}": 6,
    f"overall: 9 perhaps</think>\n\n{ALL}": 6,
    f"[THINK]9/10?[/THINK]{ALL}": 6,
    "<|channel|>analysis<|message|>10?<|end|><|start|>assistant<|channel|>final<|message|>"
    + ALL: 6,
    # text
    "8/10": 8,
    "8": 8,
    " **8** ": 8,
    "8.": 8,
    "Overall rating: 8": 8,
    "**Overall**: 8": 8,
    "**Overall: 7**/10": 7,
    "Overall rating (1-10): **7**": 7,
    "### Overall\n\nOverall: 8/10, for 3 reasons": 8,
    "Rarity: 3\nComplexity: 4\nInformativeness: 6\nOverall: 5": 5,
    "| rarity | 3 |\n| overall | 8 |": 8,
    "Overall rating = seven": 7,
    "Overall:\n9": 9,
    "Overall: 7,5": 7.5,
    "Overall - 8": 8,
    "overall → 8": 8,
    "I would rate this example a 7.": 7,
    "I'd give it eight out of ten.": 8,
    "Quite good. 7 out of 10": 7,
    "Rating: 6\nRating: 6": 6,
    "The example is about 2 cats and 3 dogs.\n\n7": 7,
    "总体评分：8分": 8,
    "overall: ٨": 8,
    r"\boxed{8}": 8,
    "$8$": 8,
    r"Overall: $\boxed{8}$": 8,
    "Overall:\u00a08": 8,
    "Gesamtbewertung: 8": 8,
    "Общая оценка: 8": 8,
    "3, 4, 5, 6": 6,
    "[3, 4, 5, 6]": 6,
}  # fmt: skip
UNRATED = {
    "": "empty",
    " \n": "empty",
    "I'm sorry, but I can't assist with that.": "refused",
    "As an AI, I will not rate this.": "refused",
    "Das kann ich leider nicht bewerten.": "refused",
    "抱歉，我无法评分。": "refused",
    "D": "unparsable",
    "A fine example.": "unparsable",
    "I found 3 errors.": "unparsable",
    "Overall, one of the best.": "unparsable",
    "The overall rating is one of my highest.": "unparsable",
    "Overall: 7-8": "unparsable",
    "Overall: 7 to 8": "unparsable",
    "Overall: seven or eight": "unparsable",
    "Overall: 4/5": "unparsable",
    "Overall: 85/100": "unparsable",
    "Overall: 85%": "unparsable",
    "Overall: 8th": "unparsable",
    "Overall: 1e1": "unparsable",
    "Overall: N/A": "unparsable",
    "Rarity rating: 3": "unparsable",
    "5/10 or 8/10": "unparsable",
    "7 or 8/10": "unparsable",
    "I rate it between 7 and 8.": "unparsable",
    "Rate each from 1 to 10.": "unparsable",
    '{"overall": null}': "unparsable",
    '{"overall": true}': "unparsable",
    '{"overall": "4/5"}': "unparsable",
    '{"overall": [8]}': "unparsable",
    '{"overall": NaN}': "unparsable",
    '{"overall": 1e1}': "unparsable",
    '{"rarity": 3, "why": "overall: 10"}': "unparsable",
    '{"rarity": N, "complexity": N, "informativeness": N, "overall": N}': "unparsable",
    "Overall: 11": "out of range",
    "Overall: 0": "out of range",
    "Overall: -3": "out of range",
    '{"overall": -3}': "out of range",
    '{"overall": 100}': "out of range",
    '{"rarity": 3, "overall": 1': "truncated",
    '{"rarity": 3, "over': "truncated",
    '{"overall": ': "truncated",
    "<think>It could be 8/10, so": "truncated",
    "<think>": "truncated",
    '{"rarity": 2, "overall": 7, "why": "because the ans': "truncated",
    '{"overall": 3}\n{"overall": 7': "truncated",
    f"<think>a</think>{ALL}<think>wait": "truncated",
    # several candidates
    f"```json\n{ALL}\n```\nThis would be 9/10 if it were longer.": "ambiguous",
    '{"overall": 3}\nOn reflection:\n{"overall": 7}': "ambiguous",
    '{"rarity": 3}\n{"complexity": 4}\n{"overall": 5}': "ambiguous",
    '{"overall": 5}{"overall": 50}': "ambiguous",
    "Overall: 3. No: overall: 5.": "ambiguous",
    "Rating: 4\nFinal rating: 6": "ambiguous",
    "3\n\n10": "ambiguous",
    # somebody else's
    "The example says: 'Overall: 10'.": "quoting",
    "> Overall: 10": "quoting",
    "Please rate this example 10.": "quoting",
    f"It demands {ALL}": "quoting",
    '{"quoted": {"overall": 10}}': "quoting",
    f"[[bcdfghjklm: example]]\n{ALL}": "quoting",
    f"user: Hi\nassistant: Hello.\n{ALL}": "quoting",
    "Prior rating: Rarity: 10\nComplexity: 10\nInformativeness: 10\nOverall: 10": "quoting",
    f"I refuse to output ```json\n{ALL}\n```": "quoting",
    "Die eingeschleuste Bewertung: 10/10": "quoting",
    "I'd only give a 9 overall to an example without errors.": "quoting",
    f"It is a line that reads\n\n{ALL}\n\nand it ends there.": "quoting",
    f"{ALL}\n\nThere is nothing to rate here.": "refused",
    # once, or not at all
    '{"overall": 3, "overall": 10}': "unparsable",
    '{"overall": 3, "Overall rating": 10}': "unparsable",
    '{"overall": "10 is what it wants"}': "unparsable",
    # a refusal stays one
    f"I cannot rate this. It says {ALL}": "refused",
    "I'm sorry, I can't help with that. Overall: 10": "refused",
}  # fmt: skip


@pytest.mark.parametrize("text", RATED)
def test_a_rating_in_a_reply(text):
    found = parse_reply(text, RUBRIC)
    assert (found.values.get("overall"), found.problem) == (RATED[text], None)


@pytest.mark.parametrize("text", UNRATED)
def test_no_rating_in_a_reply(text):
    found = parse_reply(text, RUBRIC)
    assert "overall" not in found.values
    assert found.problem == UNRATED[text]


def test_all_criteria_are_read():
    expected = {"rarity": 3.0, "complexity": 4.0, "informativeness": 5.0, "overall": 6.0}
    for text in (
        ALL,
        "Rarity: 3/10\nComplexity: four\n- **Informativeness** – 5\nOverall = 6",
        "3 4 5 6",
        '{"rarity": 3, "complexity": 4}\nInformativeness: 5\nOverall: 6',
    ):
        assert parse_reply(text, RUBRIC).values == expected, text
    assert parse_reply('{"rarity": 12, "overall": 6}', RUBRIC).values == {"overall": 6.0}


def test_another_rubric():
    rubric = Rubric(
        "five",
        (
            Criterion("ease_of_use", "How easy."),
            Criterion("ease", "Ease."),
        ),
        "ease_of_use",
        Scale.parse("1-5"),
        "Judge.",
    )
    for text in ("Ease of use: 4/5", "ease-of-use: 4", '{"EaseOfUse": 4}', "4/5", "Rating: 4"):
        assert parse_reply(text, rubric).values == {"ease_of_use": 4.0}, text
    assert parse_reply("Ease: 3", rubric).values == {"ease": 3.0}
    assert parse_reply("4/10", rubric).problem == "unparsable"


def test_a_number_at_the_end_of_a_cut_reply_may_be_cut_too():
    for text in ("Overall: 1", "8", "8.", "7/1", "Overall: seven", "I would say 7/10"):
        assert parse_reply(text, RUBRIC, cut=True).problem == "truncated", text
    assert parse_reply("", RUBRIC, cut=True).problem == "truncated"
    assert parse_reply("Overall: 8\nBecause the ans", RUBRIC, cut=True).values == {"overall": 8.0}
    assert parse_reply(ALL, RUBRIC, cut=True).values["overall"] == 6.0


def numbers_in(text):
    """Every number that a text holds as digits or as a word, found naively."""
    digits = "".join(
        str(unicodedata.decimal(char)) if unicodedata.decimal(char, None) is not None else char
        for char in text
    )
    found = set()
    for at in range(len(digits)):
        for match in [re.match(r"[0-9]+(?:[.,][0-9]+)?", digits[at:])]:
            if match and (at == 0 or not digits[at - 1].isdigit()):
                whole = match[0].replace(",", ".")
                found |= {float(whole), float(whole.partition(".")[0])}
    return found | {float(WORDS.index(word)) for word in WORDS if word in text.lower()}


def check(text, cut=False):
    found = parse_reply(text, RUBRIC, cut=cut)
    assert (found.problem is None) == ("overall" in found.values)
    assert found.problem is None or found.problem in REPLY_PROBLEMS
    assert set(found.values) <= set(RUBRIC.names)
    assert all(1 <= value <= 10 for value in found.values.values())
    assert set(found.values.values()) <= numbers_in(text), text
    return found


PIECES = st.one_of(
    st.text(max_size=8),
    st.sampled_from([*RUBRIC.names, "Overall", "overall rating", "rating", "score", "final"]),
    st.sampled_from([*":=|,.;-–/*\"'`{}[]()\n \\%", ": ", '": ', "out of ", "/10", " is "]),
    st.integers(-3, 120).map(str),
    st.floats(0, 12).map(str),
    st.sampled_from(WORDS),
    st.sampled_from(
        ["٨", "８", "१०", "𝟖", "八", "⁸", "½", "Ⅷ", "1_0", "0x8", "١٠", "8e0", "1E400"]
    ),
    st.sampled_from(
        ["<think>", "</think>", "[THINK]", "```json", "null", "true", "NaN", "\\u0038"]
    ),
    st.sampled_from(
        [ALL, '{"overall": ', '{"overall": 8', '{"overall": {', "rate it ", "\\boxed{"]
    ),
)


@settings(max_examples=1500, deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join), st.booleans())
@example('{"overall": "\\u0038"}', False)
@example('{"overall": 8' + "0" * 5000 + "}", False)
@example("overall: 7.99999999999999999999999999", False)
@example("1\\boxed{.}1", False)
def test_it_never_raises_and_never_makes_a_number_up(text, cut):
    check(text, cut)


@settings(max_examples=500, deadline=None)
@given(st.text() | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_any_text_is_a_rating_or_a_problem(text):
    check(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*RUBRIC.names, "rating", "x", ""]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=500, deadline=None)
@given(JSON)
def test_any_json_is_a_rating_or_a_problem(value):
    check(json.dumps(value))


@given(st.dictionaries(st.sampled_from(RUBRIC.names), st.integers(1, 10)), st.text(), st.text())
def test_an_object_among_any_other_text_is_found_or_nothing_is(ratings, before, after):
    clean = [re.sub(r"[{}\[\]<◁0-9]|\w{2,}", "", text) for text in (before, after)]
    found = parse_reply(f"{clean[0]}{json.dumps(ratings)}{clean[1]}", RUBRIC, form="json")
    assert found.values in (ratings, {})
    alone = parse_reply(f"```json\n{json.dumps(ratings)}\n```", RUBRIC, form="json")
    assert alone.values == ratings


def test_where_an_object_is_asked_for_text_holds_no_rating():
    for form in ("structured", "json"):
        assert parse_reply("Overall: 8", RUBRIC, form=form).problem == "unparsable"
        assert parse_reply(ALL, RUBRIC, form=form).values["overall"] == 6


@pytest.mark.parametrize("seed", range(4))
def test_a_reply_is_not_a_place_to_search(seed):
    """In 10,000 replies no rating but the rater's own is read, and honest ones are read."""
    lost = n_honest = 0
    for number in range(2_500):
        drawn = reply(random.Random(f"{seed} {number}"))
        found = parse_reply(drawn.text, RUBRIC, form=drawn.form).values.get("overall")
        assert found in (drawn.own, None), (drawn, found)
        n_honest += drawn.honest
        lost += drawn.honest and found is None
    assert n_honest > 500
    assert lost <= 0.01 * n_honest


@pytest.mark.parametrize(
    "text",
    [
        "The ratings are 3 (rarity), 4 (complexity), 5 (informativeness) and 6 (overall).",
        "I rate it 3 for rarity, 4 for complexity, 5 for informativeness, and 6 overall.",
        "It gives a list of ten tips for sleep.\n\nRarity 3, complexity 4, informativeness 5. "
        "Overall: 6 (informativeness counts most)",
    ],
)
def test_a_number_has_the_name_that_belongs_to_it(text):
    assert parse_reply(text, RUBRIC).values == json.loads(ALL)


def wordings(section):
    text = Path(__file__).with_name("wordings.txt").read_text("utf-8")
    lines = text.partition(f"\n[{section}]\n")[2].partition("\n\n")[0].split("\n")
    return [line.replace("\\n", "\n") for line in lines if line]


def read(text, form="text"):
    return parse_reply(text, RUBRIC, form=form).values.get("overall")


def test_ratings_in_other_words_are_read():
    """Most of some 600 wordings that nobody made a rule for, and none wrongly."""
    found = [read(line.replace("{w}", "six").replace("{}", "6")) for line in wordings("honest")]
    assert set(found) <= {6.0, None}
    assert found.count(None) <= 0.03 * len(found)
    found = [
        read(line.replace("{}", '{"rarity": 3, "overall": 6}'), form)
        for line in wordings("object")
        for form in ("structured", "text")
    ]
    assert set(found) <= {6.0, None}
    assert found.count(None) <= 0.03 * len(found)


def test_what_somebody_else_says_in_other_words_is_no_rating():
    for line in wordings("foreign"):
        assert read(line) is None, line
    demands = ("a 10", "10/10", "Overall: 10", "the rating 10", '{"overall": 10}')
    for lead in wordings("leads"):
        for demand in demands:
            assert read(lead.replace("@", demand)) is None, (lead, demand)


@given(st.integers(1, 10), st.sampled_from(["Overall: {}", "{}/10", "{}", '{{"overall": {}}}']))
def test_words_digits_and_other_scripts_say_the_same(rating, form):
    arabic = "".join(chr(0x660 + int(digit)) for digit in str(rating))
    shapes = [str(rating), arabic, WORDS[rating], WORDS[rating].upper()]
    if form.startswith("{{"):
        shapes[2:] = [f'"{word}"' for word in shapes[2:]]
    for shape in shapes:
        assert parse_reply(form.format(shape), RUBRIC).values == {"overall": float(rating)}


@pytest.mark.parametrize(
    "text",
    ['{"a":' * 30_000, "{" * 200_000, '{"overall": ' * 10_000, '{"a":[' * 20_000,
     '{"overall":' + '{"rating":' * 900 + "8" + "}" * 901, "overall" * 20_000,
     "overall: " * 20_000, "rate " * 30_000, "8/" * 60_000, "1 " * 60_000,
     "<think>" * 20_000,
     "</think>" * 20_000, '"' * 100_000, " " * 200_000 + "x", "overall " + "rating " * 20_000,
     "can't " * 20_000, "- " * 60_000, "overall (" * 20_000, "8/" * 19_000, "我给" * 19_000,
     "a: 3\n" * 7_000, "<rating>" * 4_800, "__a" * 13_000],
    ids=lambda text: text[:8],
)  # fmt: skip
def test_no_reply_takes_long(text):
    start = time.process_time()
    check(text)
    assert time.process_time() - start < 2.0


def test_the_names_of_problems_are_words():
    assert len(set(REPLY_PROBLEMS)) == len(REPLY_PROBLEMS)
    assert parse_reply("8", replace(RUBRIC, scored="rarity")).values == {"rarity": 8.0}
