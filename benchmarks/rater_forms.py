"""Reply forms on the local model: tokens and time for each example, and good against bad answers.

Claims: the form "expected" writes one token where "structured" writes dozens, and puts most of the
probability on its choices; the small model that ships as a package proves the machinery and is no
judge of quality. The AUC is the probability that a good answer of `answers.py` is rated above a bad
one (ties count half); its standard error on 40 against 40 is about 0.065 at chance.

    python benchmarks/rater_forms.py [--model FILE.gguf] [--quick]
"""

import argparse
from statistics import mean

import _local
from _common import json_line, table
from answers import pairs

CRITERIA = _local.RUBRIC.names


def auc(good: list[float], bad: list[float]) -> float:
    """Probability that a good answer is rated above a bad one."""
    wins = [(g > b) + 0.5 * (g == b) for g in good for b in bad]
    return mean(wins) if wins else float("nan")


def judged(name: str, rated: _local.Rated, criteria: tuple[str, ...]) -> dict:
    """A row of the table: the mean over criteria as the rating."""
    values = [
        mean(found[c] for c in criteria) if set(criteria) <= set(found) else None
        for found in rated.ratings
    ]
    good = [value for value in values[0::2] if value is not None]
    bad = [value for value in values[1::2] if value is not None]
    return {
        "form": name,
        "requests": len(rated.ratings) * (len(criteria) if rated.covered else 1),
        "rated": len(good) + len(bad),
        "auc": auc(good, bad),
        "good": mean(good) if good else float("nan"),
        "bad": mean(bad) if bad else float("nan"),
        "distinct": len(set(good + bad)),
        "covered": mean(rated.covered) if rated.covered else "-",
        "input": rated.per("n_input"),
        "cached": rated.per("n_cached"),
        "output": rated.per("n_output"),
        "per_minute": 60 * len(rated.ratings) / rated.seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--quick", action="store_true", help="8 pairs in place of 40")
    options = parser.parse_args()
    talks = [talk for pair in pairs()[: 8 if options.quick else None] for talk in pair]
    objects = {
        form: _local.ask(talks, form, model=options.model)
        for form in ("structured", "json", "text")
    }
    structured = objects["structured"]
    one = _local.ask(talks, "expected", model=options.model)
    every = _local.ask(talks, "expected", model=options.model, criteria=CRITERIA)
    rows = [
        judged("structured, overall", structured, ("overall",)),
        judged("structured, mean of criteria", structured, CRITERIA),
        judged("json, overall", objects["json"], ("overall",)),
        judged("text, overall", objects["text"], ("overall",)),
        judged("expected, overall", one, ("overall",)),
        judged("expected, mean of criteria", every, CRITERIA),
    ]
    table(rows)
    json_line("rater_forms", pairs=len(talks) // 2, forms=rows)


if __name__ == "__main__":
    main()
