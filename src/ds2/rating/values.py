"""Numbers that a text says are ratings, and whether the rater says them himself.

A sentence becomes a row of kinds, a letter for each word, number and sign; `words.toml` has the
words and `_KINDS` the letters. A number can be a rating where the end of the scale stands behind it
("8/10"), where a word of rating is in its part of the sentence, or where no unknown word is. It is
the rater's own where that part speaks in the first person with a verb of rating, or is made of
words of rating alone; where nothing in it says that somebody else speaks, wants or once gave it, or
that it is not so; and where the same holds for what leads to the sentence. Ranges ("7-8"), counts
("7 steps"), percentages and other scales ("4/5") are no ratings.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache

from ds2.rating.rubric import packaged

__all__ = ["Reader", "Said", "listed", "plain", "whole_value"]

_WORD = (
    "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|"
    "fifteen|sixteen|seventeen|eighteen|nineteen|twenty"
)
_WORDS = {word: number for number, word in enumerate(_WORD.split("|"))}
_DIGITS = r"[0-9]{1,6}(?:[.,][0-9]{1,6})?"
#: Scripts that write words without spaces, or join to them what belongs to them.
_JOINING = r"\u0600-\u06ff\u0900-\u0dff\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_JOINED = re.compile(f"[{_JOINING}]")

# -- one text as plain characters -----------------------------------------------------------------

#: Marks of emphasis and of formulas, and the full-width signs of Chinese and Japanese.
_SIGNS = str.maketrans("*`：／，（）｜＝【】［］｛｝’？！", "  :/,()|=[:[]{}'?!")
#: Marks of Markdown, HTML and TeX around what is said; ``<rating>8</rating>`` says "rating: 8".
_MARKUP = re.compile(
    r"^[ \t]*(?:`{3,}|~{3,})[ \t]*\w*[ \t]*(?:\n|\Z)|(?<!\w)_{1,2}(?=\w)|(?<=[\w:])_{1,2}(?!\w)|"
    r"</?(?:b|i|u|p|em|br|li|ul|div|span|code|strong|h[1-6])[ \t]*/?>|"
    r"(?<!\\)\\(?:[()\[\]]|(?:text|math)(?:bf|rm)?[ \t]*\{(?P<text>[^{}\n]*)\}|"
    r"boxed[ \t]*\{(?P<boxed>[^{}\n]*)\})|"
    r"<(?P<tag>[a-z]\w{2,30})>(?P<said>[^<>{}]{1,40})</(?P=tag)>|"
    r"</?(?:answer|output|response|json|result|ratings?|final)>|(?<!~)~~[^~\n]+~~",
    re.IGNORECASE | re.MULTILINE,
)
_ENVELOPE = re.compile(r"answer|output|response|json|result|final", re.IGNORECASE)
_STARS = re.compile(r"([★⭐🌟●]\ufe0f?(?:[ \t]?[★⭐🌟●]\ufe0f?)*)[ \t]?([☆○✩]*)")


def _unmarked(found: re.Match[str]) -> str:
    if found["tag"]:
        label = "" if _ENVELOPE.fullmatch(found["tag"]) else f"{found['tag']}: "
        return f"{label}{found['said'].strip()}\n"
    inner = found["text"] or found["boxed"]
    return f" {inner} " if inner else "" if "\n" in found[0] else " "


def plain(text: str, high: float) -> str:
    """Return text with ASCII digits, signs and spaces, without emphasis and invisible characters.

    Line ends stay what they are. A row of stars that is as long as the scale is a number.
    """
    for _ in range(2 if "\\" in text else 1):
        text = _MARKUP.sub(_unmarked, text)
    text = re.sub(r"([0-9])[*]{2}[ \t]+(?=[A-Z])", r"\1. ", text).translate(_SIGNS)
    text = text if text.count("$") % 2 else text.replace("$", " ")
    if text.isascii():
        return text
    text = _STARS.sub(lambda found: _counted(found, high), text)
    return "".join(map(_plain_char, text))


def _counted(found: re.Match[str], high: float) -> str:
    full, empty = len(re.sub(r"[\s\ufe0f]", "", found[1])), len(found[2])
    whole = full + empty == high or (high <= 5 and full <= high and not empty and full > 1)
    return f"{full}/{high:g} " if whole else " "


@cache
def _plain_char(char: str) -> str:
    kind = unicodedata.category(char)
    if kind == "Nd":
        return str(unicodedata.decimal(char))
    dropped = kind in ("Cf", "Me") or char in "\ufe0e\ufe0f"
    return " " if kind in ("Zs", "So") or char in "•≈" else "" if dropped else char


# -- numbers that stand for themselves ------------------------------------------------------------

_OF = r"(?:/|out of|von(?: den)?|van(?: de)?|sur|sobre|su|av|de|of|из|من)"
_WHOLE_VALUE = re.compile(
    rf"\s*(?P<sign>[-−])?(?:(?P<digits>{_DIGITS})|(?P<word>{_WORD}))"
    rf"(?:[ \t]*{_OF}[ \t]*(?P<of>{_DIGITS}|{_WORD}))?"
    r"(?:[ \t]*(?:points?|stars?))?\s*(?:[(:,–—-](?P<note>[^()0-9]{0,200})\)?)?[.!]?\s*",
    re.IGNORECASE,
)
_TABLE = re.compile(r"(?:[\w\s:=|,;]|-(?![0-9]))*")
_LIST = re.compile(
    r"[\s(\[]*[0-9]{1,6}(?:(?:[\s,;|]+[0-9]{1,6})+|(?:[ ]?/[ ]?[0-9]{1,6}){2,})[\s)\].]*"
)


def whole_value(text: str, high: float) -> float | None:
    """Return the number that a text is, such as a JSON value: "8", "8/10", "8 (good)"."""
    found = _WHOLE_VALUE.fullmatch(text)
    if not found or (
        found["note"] and any(_kind(word) in "odia" for word in found["note"].lower().split())
    ):
        return None
    return _number(found, high)


def listed(text: str, names: tuple[str, ...]) -> list[float] | None:
    """Return the numbers of a text that is nothing but one for each name, in their order.

    The names may stand beside them or above.
    """
    words, numbers = re.findall(r"[^\W\d]+", text.lower()), re.findall("[0-9]+", text)
    if not (_LIST.fullmatch(text) or (tuple(words) == names and _TABLE.fullmatch(text))):
        return None
    return [float(number) for number in numbers] if len(numbers) == len(names) > 1 else None


def _number(found: re.Match[str], high: float) -> float | None:
    """Return the number of a match, None where it is on another scale."""
    if found["of"] and _plain_number(found["of"]) != high:
        return None
    value = _plain_number(found["digits"] or found["word"])
    return -value if found["sign"] else value


def _plain_number(text: str) -> float:
    word = _WORDS.get(text.lower())
    return float(text.replace(",", ".")) if word is None else float(word)


# -- words ----------------------------------------------------------------------------------------

#: The kinds of words, in words.toml. Where languages differ about a word, the first kind counts.
_KINDS = {
    "attack": "a", "others": "o", "if": "i", "unsure": "d", "says": "M", "me": "m", "my": "p",
    "verb": "v", "noun": "n", "whole": "w", "example": "e", "this": "t", "so": "s",
    "because": "b", "degree": "q", "glue": "g", "remark": "r",
}  # fmt: skip
_PLACES = {name: place for place, name in enumerate(_KINDS)}
#: The kinds of what is no word; unknown words are "x", numbers "#", and "@" with their scale.
_SIGN_KINDS = {"colon": ":", "comma": ",", "open": "(", "block": "{", "range": "~", "inside": "o"}


@dataclass(frozen=True, slots=True)
class _Lexicon:
    words: dict[str, str]
    stems: dict[str, str]
    phrases: dict[str, str]
    others: dict[str, frozenset[str]]


@cache
def _lexicon() -> _Lexicon:
    tables = packaged("words.toml")
    found = _Lexicon({}, {}, {}, {})
    for name, languages in sorted(tables.items(), key=lambda each: _PLACES.get(each[0], -1)):
        text = " ".join(languages.values())
        phrases = re.findall(r"\[([^\]]*)\]", text)
        words = [*phrases, *re.sub(r"\[[^\]]*\]", " ", text).split()]
        if name not in _KINDS:
            found.others[name] = frozenset(words)
            continue
        for word in words:
            apart = word in phrases or _JOINED.match(word)
            home = found.stems if word.endswith("*") else found.phrases if apart else found.words
            home.setdefault(word.rstrip("*"), _KINDS[name])
    return found


@cache
def _kind(word: str) -> str:
    """Return the kind of a word, "x" where it is unknown."""
    known = _lexicon()
    if kind := known.words.get(word) or known.phrases.get(word):
        return kind
    if word.endswith("n't"):
        return "d"
    for end in range(len(word), 2, -1):
        if kind := known.stems.get(word[:end]):
            return kind
    return "o" if word.endswith("'s") and _kind(word[:-2]) in "tenr" else "x"


# -- sentences ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int
    name: str = ""
    value: float = 0.0
    bound: bool = False
    "Nothing but space is in front of it, so that it belongs to the token before."


@dataclass(frozen=True, slots=True)
class _Sentence:
    start: int
    text: str
    tokens: tuple[_Token, ...]
    kinds: str

    @property
    def leads(self) -> bool:
        """It ends in a colon, or in a word that says that something follows."""
        return self.text.rstrip(" \t\n\"')]").endswith(":") or self.says("lead", -1)

    @property
    def open(self) -> bool:
        """It goes on in the next line: no end, no heading, no empty line behind."""
        ended = self.text.rstrip(" \t\n\"')]").endswith((".", "!", "?", "。", ";"))
        return not ended and "\n\n" not in self.text and not self.text.lstrip().startswith("#")

    def says(self, name: str, index: int = 0) -> bool:
        """Say whether a token is among the words of words.toml under this name."""
        return self.tokens[index].text in _lexicon().others[name]


@dataclass(frozen=True, slots=True)
class Said:
    """A number that a text says is a rating, or an object of it.

    Attributes:
        name: the criterion; empty for an object.
        value: the number.
        start: where in the text it begins.
        own: the rater says it himself.
    """

    name: str
    value: float
    start: int
    own: bool


_ENDS = re.compile(
    r"(?<=[.!?;])(?<!e\.g\.)(?<!i\.e\.)(?<!\bn[or]\.)[\s\"')\]]+|[。；।؛]\s*|\n+", re.IGNORECASE
)
_ITEM = re.compile(
    r"^[ \t]*(?:[-+•>#|]+[ \t]+)*(?:\(?(?:[0-9]{1,2}|[a-h])\)|[0-9]{1,2}\.)[ \t]+(?=\S)",
    re.MULTILINE,
)
_QUOTED = re.compile(
    r"\"[^\"]*\"|“[^”]*”|«[^»]*»|„[^“”]*[“”]|「[^」]*」|『[^』]*』|‘[^’]*’|《[^》]*》"
    r"|(?<![\w'])'[^'\n]*'(?!\w)|^[ \t]*>.*$",
    re.MULTILINE,
)
_TO = r"(?:[-–—~]|\.\.\.?|to|bis|à|до|至|到|から|에서|or|and|und|et|y|e|и|或|和|か|と|과|와|이나)"
_ANY = rf"(?:{_DIGITS}|(?:{_WORD})\b)"
_RANGE = re.compile(
    rf"(?<![\w.,/-]){_ANY}(?:[ \t]*/[ \t]*{_DIGITS}|[点점分]|ish)?[ \t]*{_TO}[ \t]*(?:an?[ \t]+)?"
    rf"{_ANY}(?![.,]?[0-9])(?:ish)?",
    re.IGNORECASE,
)
#: Where a rating stands that is not the rater's: "in the answer".
_INSIDE = (
    r"\b(?:from|in|inside|within|by|out of)[ \t]+(?:the|its|this|that)[ \t]+(?:\w+[ \t]+)?"
    r"(?:example|answer|text|reply|response|conversation|row|data|dialog(?:ue)?|sample|story|"
    r"review|dataset|metadata)\b"
)


class Reader:
    """Reads what texts say of one rubric's criteria, on its scale."""

    def __init__(self, names: tuple[str, ...], scored: str, low: float, high: float) -> None:
        self._scored, self._low, self._high = scored, low, high
        self._names = {name.replace("_", ""): name for name in names}
        label = _either(names).replace("_", r"[ _\t-]*")
        top, bottom = (_either(_written(end)) for end in (high, low))
        self._scale = re.compile(
            rf"\b(?:from |between |von |de |от )?(?:{bottom})[^\n0-9.]{{0,20}}?(?:{_TO}|a)[ \t]*"
            rf"(?:{top})\b(?![.,]?[0-9])(?:[ -](?:scale|point)\b)?"
            rf"|(?<![0-9\w])(?<![0-9] )\b(?:out of|of) (?:{top})\b(?=[,:])"
            rf"|(?<![0-9]){high:g} ?(?:üzerinden|点満点(?:中|で)?|점 만점에?|分制)"
            rf"|满分 ?{high:g} ?分?"
            rf"|,? ?(?:where|with) (?:an? )?(?:{bottom}|{top}) (?:is|being|means)\b[^.\n0-9]*"
            rf"|[(\[][^()\[\]\n0-9]{{0,20}}\b{high:g}[)\]]",
            re.IGNORECASE,
        )
        phrases = _lexicon().phrases
        spaced = _either(each for each in phrases if not _JOINED.match(each))
        joined = _either(each for each in phrases if _JOINED.match(each))
        unit = rf"(?:[ \t]*(?:{_either(_lexicon().others['unit'])})(?![^\W{_JOINING}]))*"
        self._token = re.compile(
            rf"(?<![^\W{_JOINING}])(?<![./#§€$£<≥≤+−–—-])(?<!(?<![-=])>)(?<![0-9][:,])"
            rf"(?P<sign>[-−](?=[0-9]))?(?:(?P<digits>{_DIGITS})|(?P<word>\b(?:{_WORD})\b"
            r"(?=[ \t]*(?:$|[.,;:!?)\]}\"'|/\n]|out of\b|points?\b|stars?\b))))"
            rf"{unit}(?:[ \t]*{_OF}[ \t]*(?P<of>{_ANY}))?{unit}"
            rf"(?![^\W{_JOINING}]|[.,/:-]?[0-9]|-[^\W\d]|[ \t]?(?:[%°+€$£]|=(?!>)))"
            rf"|(?<![^\W_])(?P<name>{label})(?![^\W\d_])|(?P<inside>{_INSIDE})"
            rf"|(?P<phrase>(?<!\w)(?:{spaced})(?!\w)|{joined})"
            rf"|(?P<letters>(?:(?![{_JOINING}])[^\W\d_])+(?:['-][^\W\d_]+)*)"
            r"|(?P<colon>=>|[:=|→–—]+|-+>?(?![0-9]))|(?P<comma>[,،、])|(?P<open>[(\[])"
            r"|(?P<block>\0+)|(?P<range>\x01+)|(?P<x>[^\W_]|[?<>≥≤§№])",
            re.IGNORECASE,
        )

    def read(self, text: str) -> Iterator[Said]:
        """Yield the objects, which are NUL in the text, and the numbers that can be ratings."""
        masked = self._scale.sub(lambda found: " " * len(found[0]), text)
        masked = _RANGE.sub(lambda found: "\x01" * len(found[0]), masked)
        masked = _ITEM.sub(lambda found: " " * len(found[0]), masked)
        told, start = _Told(text), 0
        for end in [*(mark.end() for mark in _ENDS.finditer(masked)), len(masked)]:
            if tokens := _without_counts(list(self._tokens(masked, start, end))):
                kinds = "".join(token.kind for token in tokens)
                told.sentences.append(_Sentence(start, masked[start:end], tokens, kinds))
            start = end
        heading = ""
        for at, sentence in enumerate(told.sentences):
            names = [token.name for token in sentence.tokens if token.name]
            if names and not sentence.kinds.strip("Lln:("):
                heading = names[-1]
            for index, token in enumerate(sentence.tokens):
                if token.kind == "{":
                    yield Said("", 0.0, token.start, told.own(at, index))
                elif token.kind in "#@" and self._rates(told, sentence, index, heading):
                    name = _criterion(sentence, index) or heading or self._scored
                    yield Said(name, token.value, token.start, told.own(at, index))

    def _tokens(self, text: str, start: int, end: int) -> Iterator[_Token]:
        last = start
        for found in self._token.finditer(text, start, end):
            said, name, number = found[0].lower().replace("\u0307", ""), "", None
            if found["digits"] or found["word"]:
                number = _number(found, self._high)
                kind = "x" if number is None else "@" if found["of"] else "#"
            elif found["name"]:
                name = self._names[re.sub(r"[\W_]", "", said)]
                kind = "L" if name == self._scored else "l"
            elif found["phrase"] or found["letters"]:
                kind = _kind(said)
            else:
                kind = _SIGN_KINDS.get(found.lastgroup or "", "x")
            bound = not text[last : found.start()].strip(" \t")
            yield _Token(kind, said, found.start(), found.end(), name, number or 0.0, bound)
            last = found.end()

    def _rates(self, told: "_Told", sentence: _Sentence, index: int, heading: str) -> bool:
        """Say whether a number can be a rating, whoever says it."""
        kinds, token = sentence.kinds, sentence.tokens[index]
        _, local = _parts(kinds, index)
        label = set("nwL") & set(local)
        if not (label or token.kind == "@" or self._low <= token.value <= self._high):
            return False
        if re.fullmatch("[teg]*[xr][teg]*:|[xteg]*x[xteg]*:", local):
            return False  # "Clarity: 8/10" is of something else
        if token.kind == "@":
            return True
        again = "#" in kinds[:index]
        if not local:
            outer = sentence in (told.sentences[0], told.sentences[-1])
            return bool(heading) or outer or again
        return bool(label or set("ml") & set(local)) or "x" not in local or again


def _either(words: Iterable[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


def _written(number: float) -> list[str]:
    return [f"{number:g}", *(word for word, value in _WORDS.items() if value == number)]


def _without_counts(tokens: list[_Token]) -> tuple[_Token, ...]:
    """Return tokens in which numbers that count or name something are unknown words."""
    none = _Token("", "", 0, 0)
    for at, token in enumerate(tokens):
        if token.kind not in ("#", "@"):
            continue
        before = tokens[at - 1] if at and token.bound else none
        behind = tokens[at + 1] if tokens[at + 1 :] and tokens[at + 1].bound else none
        article = at > 1 and tokens[at - 2].text in _lexicon().others["article"]
        speaks = behind.kind in ("M", "v") or any(each.kind in "mMv" for each in tokens[:at])
        if before.kind == "r":
            named = not (article or speaks)
        else:
            copula = before.text.endswith("'s") or before.text == ""
            named = before.kind in ("x", "t", "e") and not (speaks or copula)
            named |= before.kind == "x" and token.kind == "#" and not copula
        named |= before.text == "the" and token.kind == "#"
        named |= token.text == "one" and not (
            before.kind in ("", ":") or before.text in _lexicon().others["article"]
        )
        if named or behind.kind in tuple("xnrtelq"):
            tokens[at] = replace(token, kind="x")
    return tuple(tokens)


# -- whose it is ----------------------------------------------------------------------------------

#: Behind it a sentence begins anew: "…, so", "…, I".
_ANEW = re.compile(r"s|[,:(](?=g?[mMpw])|(?<=,)")
#: Who speaks, and the verb of rating, with nothing unknown in between.
_SPEAKER = re.compile("(?:[^mxr]*[,:])?[^mxr,:]*m[^xr]*$")
_SPEAKS = re.compile("(?:.*[,:])?[^mxrodi]*(?:m[^xrodi]*[vn]|vm)")
#: A number that has a name in front.
_RATED = re.compile("[Llnw][^xr#@{]*[#@{]|^x+:[#@]")
#: A rating of something that is not this one: "a 9 to an example that …".
_ANOTHER = re.compile(r"\bto (?:an?|any) (?:\w+ )?(?:example|answer|response|reply)s?\b")
#: The beginning of a sentence about what stands in front of it.
_BACK = re.compile(r"\s*(?:this|that|the above|the \w+ above)(?!\w)|\s*[(—–]", re.IGNORECASE)


class _Told:
    """A text's sentences, and who says what stands in them."""

    def __init__(self, text: str) -> None:
        self.sentences: list[_Sentence] = []
        self._text = text
        self._quotes = [found.span() for found in _QUOTED.finditer(text)]

    def own(self, at: int, index: int) -> bool:
        """Say whether the rater says a number or an object himself."""
        if any("a" in each.kinds for each in self.sentences):  # words of an attack
            return False
        behind = self.sentences[at + 1] if self.sentences[at + 1 :] else None
        if behind and _BACK.match(behind.text) and "o" in behind.kinds:
            return False
        return self._begins(at, index) and self._goes_on(at, index) and self._led(at)

    def _begins(self, at: int, index: int) -> bool:
        """Say whether the beginning of the sentence, up to here, is the rater's own."""
        sentence = self.sentences[at]
        token, kinds = sentence.tokens[index], sentence.kinds
        if "~" in kinds or sentence.text.rstrip(" \n\"')]").endswith("?"):
            return False
        if any(start < token.start and token.end <= end for start, end in self._quotes):
            return False
        part, local = _parts(kinds, index)
        if set("oi") & set(part) or "d" in local or (index and _orders(sentence)):
            return False
        led = part.rpartition(":")[0]
        remark = token.kind == "@" and set("rq") & set(led)
        return bool(remark or _leads(led)) and _knows(sentence, index, part, local)

    def _goes_on(self, at: int, index: int) -> bool:
        """Say whether what follows in the sentence leaves the rating what it is."""
        sentence = self.sentences[at]
        rest = sentence.kinds[index + 1 :]
        if not rest or rest[0] in "bs":
            return True
        if _ANOTHER.search(sentence.text, sentence.tokens[index].end - sentence.start):
            return False
        token, behind = sentence.tokens[index : index + 2]
        mark = rest[0] in ":,("
        if token.kind == "{":
            follows = self._text[behind.start]
            foreign = set("oi") & set(rest[:6]) and (behind.bound or rest[0] in "(:")
            return not foreign and (not behind.bound or follows in "(–—" or follows.isupper())
        if behind.bound and not mark:
            clause = re.split("[,:(]", rest)[0]
            if sentence.says("place", index + 1):
                return not set("odi") & set(clause[:6]) and clause[1:2] != "x"
            return not set("odix") & set(clause[: 4 if sentence.text.isascii() else 12])
        anew = re.match(r"\W*[A-Z]", self._text[token.end :]) and sentence.kinds[:index].endswith(
            ":"
        )
        return bool(anew) or not set("oi") & set(rest[:6])

    def _led(self, at: int) -> bool:
        """Say whether what stands in front of the sentence is the rater's own."""
        near = True  # nothing but other ratings in between
        for before in range(at - 1, -1, -1):
            sentence = self.sentences[before]
            rated = _RATED.search(sentence.kinds)
            if sentence.leads and set("oi") & set(_parts(sentence.kinds, None)[0]):
                return False
            if near and rated:
                if rated[0][0] != "x" and not self._begins(before, rated.end() - 1):
                    return False
            elif near and (sentence.leads or sentence.open):
                orders = _orders(sentence) and not sentence.leads
                if orders or not _leads(sentence.kinds):
                    return False
            near = near and rated is not None and "\n\n" not in sentence.text
        return True


def _orders(sentence: _Sentence) -> bool:
    """Say whether a sentence begins with an order or a question."""
    return sentence.says("order") and sentence.kinds[1:2] not in (":", ",")


def _knows(sentence: _Sentence, index: int, part: str, local: str) -> bool:
    """Say whether the words in front of a number or an object are those of somebody who rates."""
    kinds = sentence.kinds
    if sentence.says("place") and re.match(".[pg]?[xr][,:]", kinds):  # "For style, I …"
        return False
    for at in range(index - len(part), index - 1):  # "I give its style …"
        if kinds[at + 1] in "xr" and sentence.says("aspect", at):
            return False
    behind = kinds[index + 1 : index + 3].lstrip("g")[:1]
    speaks = "M" in part + behind or _SPEAKS.match(part)
    if speaks or (behind == "v" and _SPEAKER.match(part)):
        return True
    if "m" in local and not sentence.says("at", index - 1):
        return False
    label = re.sub("[g:]|p[vn]?:", "", local) if kinds[index] == "#" and local[-1:] == ":" else ""
    if label and not set("nwLlMs") & set(label):
        return False
    remark = re.search("[,:(][swgq]?[gq]?$", part) and set("rq") & set(local)
    unknown = set("xr") & set(local)
    return not unknown or bool(kinds[index] in "@{" and remark and not set("nw") & set(local))


def _leads(kinds: str) -> bool:
    """Say whether words may lead to a rating of the rater's own."""
    kinds = re.sub("^b[^oi]*,", "", kinds)
    if set("oid") & set(kinds):
        return False
    if not set("xe") & set(kinds) or "M" in kinds or _SPEAKS.search(kinds):
        return True
    if "r" in kinds and not kinds.endswith(":"):
        return True
    named = set("nwpLls") & set(kinds) and "m" not in kinds
    return bool(named) and not re.search("x[nte]|^g?[te]+g*x", kinds)


def _parts(kinds: str, index: int | None) -> tuple[str, str]:
    """Return the kinds in front of a number: since the sentence began anew, since the last one."""
    before = kinds[:index]
    for found in reversed(list(_ANEW.finditer(before))):
        first = before[: found.start()]
        if not found[0] and not first.startswith("b"):
            continue
        if found[0] == "s" or (_leads(first) if found[0] == ":" else not set("oi") & set(first)):
            before = before[found.end() :]
            break
    return before, re.split("[#@{]", before)[-1].lstrip(",:(")


def _criterion(sentence: _Sentence, index: int) -> str:
    """Return the criterion that a sentence names for a number, "" where it names none."""
    kinds = sentence.kinds
    first = max((at for at in range(index) if kinds[at] in "#@"), default=-1) + 1
    names = [token.name for token in sentence.tokens[first:index] if token.name]
    local, rest = _parts(kinds, index)[1], kinds[index + 1 :]
    behind = next((token for token in sentence.tokens[index + 1 :] if token.name), None)
    closed = behind and sentence.text[behind.end - sentence.start :].startswith((")", "]"))
    if behind and closed and local[-1:] != ":" and re.match(r"\(g*[Ll]", rest):  # "8 (rarity)"
        return behind.name
    last = re.search("[Ll][^,(]*$", local)
    if last and not (behind and last[0].endswith("g") and rest[:1] in ("l", "L")):
        return names[-1]
    if behind and re.match("g*[Ll]", rest):  # "8 for rarity", "rarity and 6 overall"
        return behind.name
    if re.search("[Ll]", local):
        return names[-1]
    return names[0] if len(names) == 1 else ""
