"""Sentences of functions name their arguments; a person with a recipe knows its keys.

``'size' asks for 900 rows`` of the stage select becomes ``'select.size' asks for 900 rows``.
"""

import re
from collections import Counter

from ds2.runs.recipe_faults import keys_of_sections
from ds2.runs.stages import Stage

__all__ = ["in_recipe_words"]

#: Stages whose functions see numbers alone: what they put in quotes is an argument or a choice.
_ARRAYS = ("neighbors", "noise", "curate", "select")


def in_recipe_words(sentence: str, stage: Stage) -> str:
    """Return ``sentence`` with the names of arguments replaced by the recipe's keys for them.

    Replaced are names in quotes (only where nothing that a user wrote can be in quotes), names
    before an equals sign, and names with an underscore, which no plain sentence holds by chance.
    """
    section, sections = stage.settings[0], keys_of_sections()
    if section not in sections:
        return sentence
    own = {name: f"{section}.{name}" for name in sections[section]}
    owners = Counter(name for names in sections.values() for name in names)
    others = {
        name: f"{other}.{name}"
        for other, names in sections.items()
        for name in names
        if owners[name] == 1 and "*" not in other
    }
    long = {name: key for name, key in (others | own).items() if "_" in name}
    if stage.name in _ARRAYS:
        sentence = _replace(r"(?<=')({})(?=')", own, sentence)
    sentence = _replace(r"(?<![\w.'\"/-])({})(?= ?=)", own, sentence)
    return _replace(r"(?<![\w.'\"/-])({})(?![\w'\"/-]|\.\w)", long, sentence)


def _replace(pattern: str, keys: dict[str, str], sentence: str) -> str:
    names = "|".join(sorted(keys, key=len, reverse=True))
    return re.sub(pattern.format(names), lambda found: keys[found[1]], sentence)
