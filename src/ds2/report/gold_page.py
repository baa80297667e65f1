"""One HTML file in which a person scores examples with the keyboard, and nothing leaves it.

The examples stand in it as JSON that only becomes text nodes. The page asks for nothing, runs the
one script that its policy names by hash, keeps what was done in the browser's own storage, and
hands the scores out as a JSONL file that `ds2.rating.gold.read_gold` reads.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from ds2.errors import InputError
from ds2.pool import Message
from ds2.rating import Scale
from ds2.report.words import visible
from ds2.report.write import packaged, render

__all__ = ["GoldItem", "gold_choices", "render_gold_page"]

_MOST = 10
#: Levels in words, from the worst to the best.
_LEVELS = ("no use", "poor", "weak", "ordinary", "good", "very good", "the best")


@dataclass(frozen=True, slots=True)
class GoldItem:
    """One example to score."""

    id: str  #: the example's id
    messages: tuple[Message, ...]  #: its turns
    stratum: int  #: code of the stratum it was drawn from
    stratum_rows: int  #: how many examples of the pool that stratum holds


def gold_choices(scale: Scale) -> tuple[tuple[float, str], ...]:
    """Return what a person chooses from on a scale: (score on the scale, words), lowest first.

    Every whole number of a scale that has at most ten of them; otherwise the middle of each of
    its bins.

    Raises:
        InputError: the scale has more than ten of both.
    """
    whole = float(scale.low).is_integer() and float(scale.high).is_integer()
    if whole and scale.high - scale.low < _MOST:
        return tuple((float(n), f"{n}") for n in range(int(scale.low), int(scale.high) + 1))
    ends = (scale.low, *scale.cuts, scale.high)
    if scale.n_scores > _MOST:
        raise InputError(
            f"The page has ten keys, and the scale has {scale.n_scores} scores. Fill in the CSV or "
            "JSONL sheet in place of the page."
        )
    pairs = pairwise(ends)
    return tuple(((low + high) / 2, f"{low:g} to {high:g}") for low, high in pairs)


def render_gold_page(
    items: Sequence[GoldItem],
    *,
    choices: Sequence[tuple[float, str]],
    title: str = "Gold scores",
    question: str = "How good is this example for training?",
    guide: Sequence[tuple[str, str]] = (),
) -> str:
    """Return the page as the text of one self-contained HTML file.

    Raters' scores are no argument of this function, so the page cannot show them.

    Args:
        items: the examples, in the order in which they are to be scored.
        choices: 2 to 10 pairs of a score and its words, lowest first (`gold_choices`).
        title: what the page is called.
        question: what the person is asked about each example.
        guide: how to judge: headings and what stands under them, as in the rubric of the raters.
    """
    values = [float(value) for value, _ in choices]
    data = {
        "title": visible(title),
        "choices": [
            {"value": value, "key": key, "words": visible(words), "label": label}
            for (value, words), key, label in zip(
                choices, _keys(values), level_words(len(values)), strict=True
            )
        ],
        "items": [
            {
                "id": item.id,
                "turns": [[visible(turn.role), visible(turn.content)] for turn in item.messages],
                "stratum": int(item.stratum),
                "stratum_rows": int(item.stratum_rows),
            }
            for item in items
        ],
    }
    data["store"] = f"ds2-gold-{hashlib.sha256(_json(data).encode()).hexdigest()[:24]}"
    script = packaged("gold_page.js")
    return render(
        "gold_page.html.j2",
        style="gold_page.css",
        title=visible(title),
        question=visible(question),
        guide=[(visible(head), visible(text)) for head, text in guide],
        script=Markup(script),  # noqa: S704 (our own file)
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=Markup(_json(data)),  # noqa: S704 (escaped for a script)
    )


def level_words(n: int) -> list[str]:
    """Return what each of n levels means, lowest first; "" where one means the same as below."""
    places = [round(i * (len(_LEVELS) - 1) / max(n - 1, 1)) for i in range(n)]
    return [
        "" if at and places[at - 1] == place else _LEVELS[place] for at, place in enumerate(places)
    ]


def _json(value: object) -> str:
    """Return JSON in plain ASCII in which nothing can end a script element or begin a comment."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _keys(values: list[float]) -> list[str]:
    """Return the digit for each choice: itself where every choice is one, else 1, 2, … 9, 0."""
    if all(value.is_integer() and 0 <= value <= 9 for value in values):
        return [str(int(value)) for value in values]
    return [str((place + 1) % 10) for place in range(len(values))]
