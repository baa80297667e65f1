"""Which natural language a conversation is in, told offline by py3langid."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from ds2.errors import MissingDependencyError

__all__ = ["identify_languages"]

#: Characters of a conversation that are looked at; enough to tell, and bounded.
LOOK_AT = 4000
CLASSIFY = 1000
#: UTF-8 bytes of letters below which a text is too short to tell.
MIN_LETTER_BYTES = 30
#: py3langid's normalised probability below which its answer is not used.
MIN_PROBABILITY = 0.5
#: py3langid's class for numbers, markup and identifiers.
NO_LANGUAGE = "zxx"

_ROLES = re.compile(r"^(?:system|user|assistant|tool|function|human|gpt): ?", re.M | re.I)
_NOT_PROSE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|<[^<>\n]{1,200}>", re.S)


def identify_languages(texts: Sequence[str]) -> list[str | None]:
    """Return the ISO 639 code of each text, None where it has too little prose to tell.

    Role names, fenced and quoted code, addresses and markup are left out first.
    """
    return [_identify(text) for text in texts]


def _identify(text: str) -> str | None:
    prose = _NOT_PROSE.sub(" ", _ROLES.sub("", text[:LOOK_AT]))[:CLASSIFY]
    letters = "".join(filter(str.isalpha, prose))
    if len(letters.encode()) < MIN_LETTER_BYTES:
        return None
    language, probability = _identifier().classify(prose)
    return language if probability >= MIN_PROBABILITY and language != NO_LANGUAGE else None


@cache
def _identifier() -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise MissingDependencyError("py3langid", "Telling a text's language") from None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
