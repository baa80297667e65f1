"""Numbers that a text says are ratings, and whether the rater says them himself.

A sentence becomes a row of kinds, one for each word, number and sign (`words.toml` has the words). A
number can be a rating where the end of the scale stands behind it ("8/10"), where a word of rating
is in its part of the sentence, or where no unknown word is. It is the rater's own where that part is
in the first person, or made of words of rating alone, and where nothing in it says that somebody
else speaks, wants or once gave it, or that it is not so; what leads to the sentence must be the
rater's own too. Ranges ("7-8"), counts ("7 steps"), percentages and other scales ("4/5") are none.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from itertools import pairwise

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
_SIGNS = str.maketrans("*`：／，（）｜＝【】［］’？！", "  :/,()|=[:[]'?!")
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
    return found["text"] or found["boxed"] or ("" if "\n" in found[0] else " ")


def plain(text: str, high: float) -> str:
    """Return text with ASCII digits, signs and spaces, without emphasis and invisible characters.

    Line ends stay what they are. A row of stars that is as long as the scale is a number.
    """
    for _ in range(2 if "\\" in text else 1):
        text = _MARKUP.sub(_unmarked, text)
    text = text.translate(_SIGNS)
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
_LIST = re.compile(r"[\s(\[]*[0-9]{1,6}(?:(?:[\s,;|]+[0-9]{1,6})+|(?:[ ]?/[ ]?[0-9]{1,6}){2,})[\s)\].]*")


def whole_value(text: str, high: float) -> float | None:
    """Return the number that a text is, such as a JSON value: "8", "8/10", "8 (good)"."""
    found = _WHOLE_VALUE.fullmatch(text)
    if not found or (found["note"] and any(_kind(word) in "odia" for word in found["note"].lower().split())):
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
    "attack": "a", "others": "o", "if": "i", "unsure": "d", "says": "M", "me": "m", "my": "p", "verb": "v", "noun": "n",
    "whole": "w", "this": "t", "so": "s", "because": "b", "degree": "q", "glue": "g", "remark": "r",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Lexicon:
    words: dict[str, str]
    stems: dict[str, str]
    phrases: dict[str, str]
    units: str
    orders: frozenset[str]


@cache
def _lexicon() -> _Lexicon:
    tables = tomllib.loads(files("ds2.rating").joinpath("words.toml").read_text("utf-8"))
    units = re.findall(r"\S+", " ".join(tables.pop("unit").values()))
    orders = frozenset(" ".join(tables.pop("order").values()).split())
    found = _Lexicon({}, {}, {}, "|".join(sorted(units, key=len, reverse=True)), orders)
    for name, kind in _KINDS.items():
        for text in tables[name].values():
            phrases = re.findall(r"\[([^\]]*)\]", text)
            for word in [*phrases, *re.sub(r"\[[^\]]*\]", " ", text).split()]:
                joined = word in phrases or _JOINED.match(word)
                home = found.stems if word.endswith("*") else found.phrases if joined else found.words
                home.setdefault(word.rstrip("*"), kind)
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
    return "o" if word.endswith("'s") and _kind(word[:-2]) in "tnr" else "x"


# -- sentences ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int
    name: str = ""
    value: float = 0.0


@dataclass(frozen=True, slots=True)
class _Sentence:
    start: int
    end: int
    text: str
    tokens: tuple[_Token, ...]
    kinds: str


@dataclass(frozen=True, slots=True)
class Said:
    """A number that a text says is a rating: of which criterion, and whether it is the rater's own."""

    name: str
    value: float
    own: bool


_ENDS = re.compile(r"(?<=[.!?;])(?<!e\.g\.)(?<!i\.e\.)(?<!\bno\.)(?<!\bnr\.)[\s\"')\]]+|[。！？；।؛]\s*|\n+", re.IGNORECASE)
_ITEM = re.compile(r"^[ \t]*(?:[-+•>#|]+[ \t]+)*(?:\(?[0-9]{1,2}\)|[0-9]{1,2}\.)[ \t]+(?=\S)", re.MULTILINE)
_QUOTED = re.compile(
    r"\"[^\"]*\"|“[^”]*”|«[^»]*»|„[^“”]*[“”]|「[^」]*」|『[^』]*』|‘[^’]*’|《[^》]*》"
    r"|(?<![\w'])'[^'\n]*'(?!\w)|^[ \t]*>.*$",
    re.MULTILINE,
)
_TO = r"(?:[-–—~]|\.\.\.?|to|bis|à|до|至|到|から|에서|or|and|und|et|y|e|и|或|和|か|と|과|와|이나)"
_ANY = rf"(?:{_DIGITS}|(?:{_WORD})\b)"
_RANGE = re.compile(
    rf"(?<![\w.,/-]){_ANY}(?:[ \t]*/[ \t]*{_DIGITS}|[点점分])?[ \t]*{_TO}[ \t]*{_ANY}(?![.,]?[0-9])(?:ish)?",
    re.IGNORECASE,
)
#: What is asked of a rating in another place than where it would be the rater's: "in the answer".
_INSIDE = re.compile(
    r"\b(?:from|in|inside|within|by)[ \t]+(?:the|its|this|that)[ \t]+(?:\w+[ \t]+)?(?:example|answer|text|reply|"
    r"response|conversation|row|data|dialog(?:ue)?|sample|story|review|dataset|metadata)\b",
    re.IGNORECASE,
)


class Reader:
    """Reads what texts say of one rubric's criteria, on its scale."""

    def __init__(self, names: tuple[str, ...], scored: str, low: float, high: float) -> None:
        self._scored, self._low, self._high = scored, low, high
        self._names = {name.replace("_", ""): name for name in names}
        known = _lexicon()
        spaced = "|".join(re.escape(each) for each in _longest(known.phrases) if not _JOINED.match(each))
        close = "|".join(re.escape(each) for each in _longest(known.phrases) if _JOINED.match(each))
        label = "|".join(re.escape(name).replace("_", r"[ _\t-]*") for name in _longest(names))
        top = f"{high:g}" + "".join(f"|{word}" for word, value in _WORDS.items() if value == high)
        ends = f"{low:g}" + "".join(f"|{word}" for word, value in _WORDS.items() if value == low)
        self._scale = re.compile(
            rf"\b(?:from |between |von |de |от |от )?(?:{ends})[^\n0-9.]{{0,20}}?(?:{_TO}|a)[ \t]*(?:{top})\b(?![.,]?[0-9])"
            rf"(?:[ -](?:scale|point)\b)?|(?<![0-9\w])(?<![0-9] )\b(?:out of|of) (?:{top})\b(?=[,:])"
            rf"|\b{high:g} ?(?:üzerinden|点満点(?:中|で)?|점 만점에|分制)|[(\[][^()\[\]\n0-9]{{0,20}}\b{high:g}[)\]]",
            re.IGNORECASE,
        )
        units = rf"(?:[ \t]*(?:{known.units})(?![^\W{_JOINING}]))*"
        self._token = re.compile(
            rf"(?<![^\W{_JOINING}])(?<![./#§€$£<≥≤+−–—-])(?<!(?<![-=])>)(?<![0-9][:,])(?P<sign>[-−](?=[0-9]))?"
            rf"(?:(?P<digits>{_DIGITS})|(?P<word>\b(?:{_WORD})\b(?=[ \t]*(?:$|[.,;:!?)\]}}\"'|/\n]|out of\b|points?\b|stars?\b))))"
            rf"{units}(?:[ \t]*{_OF}[ \t]*(?P<of>{_DIGITS}|(?:{_WORD})\b))?{units}"
            rf"(?![^\W{_JOINING}]|[.,/:-]?[0-9]|-[^\W\d]|[ \t]?[%°+=€$£])"
            rf"|(?<![^\W_])(?P<name>{label})(?![^\W\d_])|(?P<inside>{_INSIDE.pattern})|(?P<phrase>(?<!\w)(?:{spaced})(?!\w)|{close})"
            rf"|(?P<letters>(?:(?![{_JOINING}])[^\W\d_])+(?:['-][^\W\d_]+)*)"
            r"|(?P<colon>=>|[:=|→–—]+|-+>?(?![0-9]))|(?P<comma>[,،、])|(?P<open>[(\[])|(?P<block>\0+)|(?P<range>\x01+)|(?P<x>[^\W_]|[?<>≥≤§№])",
            re.IGNORECASE,
        )

    def read(self, text: str) -> "Told":
        """Return what a text says."""
        masked = _RANGE.sub(lambda found: "\x01" * len(found[0]), self._scale.sub(_blank, text))
        masked = _ITEM.sub(_blank, masked)
        sentences, start = [], 0
        for end in [*(mark.end() for mark in _ENDS.finditer(masked)), len(masked)]:
            if masked[start:end].strip():
                tokens = self._without_counts(masked, list(self._tokens(masked, start, end)))
                kinds = "".join(token.kind for token in tokens)
                sentences.append(_Sentence(start, end, masked[start:end], tokens, kinds))
            start = end
        return Told(text, sentences, self._scored, self._low, self._high)

    def _tokens(self, text: str, start: int, end: int) -> Iterator[_Token]:
        for found in self._token.finditer(text, start, end):
            what, said, name, value = found.lastgroup or "", found[0].lower().replace("\u0307", ""), "", 0.0
            if found["digits"] or found["word"]:
                number = _number(found, self._high)
                kind = "x" if number is None else "@" if found["of"] else "#"
                value = number or 0.0
            elif what == "name":
                name = self._names[re.sub(r"[\W_]", "", said)]
                kind = "L" if name == self._scored else "l"
            elif what in ("phrase", "letters"):
                kind = _kind(said)
            else:
                kind = {"colon": ":", "comma": ",", "open": "(", "block": "{", "range": "~", "inside": "o"}.get(what, said if said == "?" else "x")
            yield _Token(kind, said, found.start(), found.end(), name, value)


    def _without_counts(self, text: str, tokens: list[_Token]) -> tuple[_Token, ...]:
        """Return the tokens with numbers that count or name something as unknown words."""
        kinds = "".join(token.kind for token in tokens)
        for at, token in enumerate(tokens):
            if token.kind not in "#@":
                continue
            before = tokens[at - 1] if at and _touch(text, tokens[at - 1], token) else None
            behind = tokens[at + 1] if at + 1 < len(tokens) and _touch(text, token, tokens[at + 1]) else None
            article = at > 1 and tokens[at - 2].text in _ARTICLES
            me = bool(set("mM") & set(kinds[:at])) or (behind is not None and behind.kind in "Mv")
            named = before is not None and (
                (before.kind in "xt" and not me) or (before.kind == "r" and not (article or me))
                or (before.text == "the" and token.kind == "#")
            )
            one = token.text == "one" and kinds[at - 1 : at] not in ("", ":") and not article
            counted = behind is not None and (behind.kind in "xnrtlq" or behind.text in ("of", "sure"))
            if named or one or counted:
                tokens[at] = replace(token, kind="x")
        return tuple(tokens)


def _touch(text: str, one: _Token, other: _Token) -> bool:
    return not text[one.end : other.start].strip(" \t")


def _longest(words: "tuple[str, ...] | dict[str, str]") -> list[str]:
    return sorted(words, key=len, reverse=True)


def _blank(found: re.Match[str]) -> str:
    return " " * len(found[0])


# -- whose it is ----------------------------------------------------------------------------------

#: Behind it a sentence begins anew: "…, so", "…, I".
_ANEW = re.compile(r"s|[,:(](?=g?[mMpw])|(?<=,)")
#: In front of an unknown word: what is rated is a part of the example ("its style").
_ASPECT = ("the", "its", "their", "my", "for", "der", "die", "das")
#: Who speaks, and the verb of rating, with nothing unknown in between.
_SPEAKER = re.compile("(?:[^mxr]*[,:])?[wgbt]*m[^xr]*$")
_SPEAKS = re.compile("(?:.*[,:])?[wgbtq,]*m[^xrodi]*[vn]")
_ARTICLES = ("a", "an", "ein", "eine", "einen", "un", "une", "una", "um", "uma", "een", "en")
#: Behind a number they begin why, whose or on what scale it is.
_PLACES = ("for", "from", "on", "in", "to", "with", "at", "für", "von", "pour", "para", "per", "voor")
#: A number that has a name in front.
_RATED = re.compile("[Llnw][^xr#@{]*[#@{]|^x+:[#@]")
#: The beginning of a sentence about an example, whatever it says.
_ABOUT = re.compile(r"\W*(?:the|this) (?:user|prompt|instruction|request|assistant|model|task|response|answer|reply|question|code|conversation|"
    r"example|explanation|text|essay|poem|story|summary|translation|solution|topic)\b", re.IGNORECASE)


class Told:
    """A text's sentences, its numbers, and who says them."""

    def __init__(self, text: str, sentences: list[_Sentence], scored: str, low: float, high: float) -> None:
        self._text, self._sentences, self._scored = text, sentences, scored
        self._low, self._high = low, high
        self._quotes = [found.span() for found in _QUOTED.finditer(text)]
        self._attacked = any("a" in each.kinds for each in sentences)

    def said(self) -> Iterator[Said]:
        """Yield the numbers that can be ratings, first to last."""
        heading = ""
        for at, sentence in enumerate(self._sentences):
            names = [token.name for token in sentence.tokens if token.name]
            if names and not re.sub("[Lln:(]", "", sentence.kinds):
                heading = names[-1]
            for index, token in enumerate(sentence.tokens):
                if token.kind in "#@" and self._loose(at, index, heading):
                    name = _criterion(sentence, index) or heading or self._scored
                    yield Said(name, token.value, self._own(at, index))

    def owns(self, start: int) -> bool:
        """Say whether what stands in place of an object is the rater's own."""
        for at, sentence in enumerate(self._sentences):
            for index, token in enumerate(sentence.tokens):
                if token.kind == "{" and token.start <= start < token.end:
                    return self._own(at, index)
        return False

    def _loose(self, at: int, index: int, heading: str) -> bool:
        """Say whether a number may be a rating: no count, no name's number, and near a word of it."""
        sentence = self._sentences[at]
        kinds, tokens = sentence.kinds, sentence.tokens
        _, local = _parts(kinds, index)
        if tokens[index].value > 100 * self._high:
            return False
        if kinds[index] == "#" and not self._low <= tokens[index].value <= self._high and not set("nwL") & set(local):
            return False
        if kinds[index] == "@":
            return not re.fullmatch("[tg]*[xrq][tg]*:|[xtg]*:", local)
        if not local:
            lines = self._text.strip()
            outer = self._text.find(lines[:1]) == sentence.start or sentence.end >= len(self._text.rstrip())
            return bool(heading) or outer or "#" in kinds[:index]
        return bool(set("nwmLl") & set(local)) or "x" not in local or "#" in kinds[:index]

    def _own(self, at: int, index: int) -> bool:
        return (
            self._begins(at, index)
            and self._goes_on(self._sentences[at], index)
            and self._led(at)
        )

    def _begins(self, at: int, index: int) -> bool:
        """Say whether the rater says a number, or an object, as far as its sentence tells."""
        sentence = self._sentences[at]
        token, kinds = sentence.tokens[index], sentence.kinds
        behind = self._sentences[at + 1] if at + 1 < len(self._sentences) else None
        if behind and behind.tokens and behind.tokens[0].text in ("this", "that") and "o" in behind.kinds:
            return False
        if self._attacked or "~" in kinds or sentence.text.rstrip(" \n\"')]").endswith("?"):
            return False
        if any(start < token.start and token.end <= end for start, end in self._quotes):
            return False
        part, local = _parts(kinds, index)
        led = part.rpartition(":")[0]
        if set("oi") & set(part) or "d" in local or (index and _orders(sentence)) or not _leads(led):
            return False
        return _knows(sentence, index, part, local)

    def _goes_on(self, sentence: _Sentence, index: int) -> bool:
        """Say whether what follows in the sentence leaves the rating what it is."""
        tokens, rest = sentence.tokens, sentence.kinds[index + 1 :]
        if not rest or rest[0] in "bs":
            return True
        bound = _touch(self._text, tokens[index], tokens[index + 1])
        if tokens[index].kind == "{":
            follows = self._text[tokens[index + 1].start]
            if set("oi") & set(rest[:6]) and (bound or rest[0] in "(:"):
                return False
            return not bound or follows in "(–—" or follows.isupper()
        if bound and rest[0] not in ":,(":
            clause = re.split("[,:(]", rest)[0]
            near = clause[: 4 if sentence.text.isascii() else 12]
            if tokens[index + 1].text in _PLACES:
                return not set("odi") & set(clause[:6]) and clause[1:2] != "x"
            return not set("odix") & set(near)
        new = re.match(r"\W*[A-Z]", self._text[tokens[index].end : sentence.end])
        return bool(new and sentence.kinds[:index].endswith(":")) or not set("oi") & set(rest[:6])

    def _led(self, at: int) -> bool:
        """Say whether what stands in front of a sentence may lead to a rating of the rater's own."""
        near = True
        for before in range(at - 1, -1, -1):
            sentence = self._sentences[before]
            said = sentence.text.rstrip(" \t\n\"')]")
            colon = said.endswith(":")
            rated = _RATED.search(sentence.kinds)
            if near and rated and rated[0][0] != "x" and not self._begins(before, rated.end() - 1):
                return False
            if colon and set("oi") & set(_parts(sentence.kinds, len(sentence.kinds))[0]):
                return False
            if near and not rated:
                open_ = colon or not (said.endswith((".", "!", "?", "。", "！", "？", ";", "；")) or sentence.text.endswith("\n\n") or sentence.text.lstrip().startswith("#"))
                if open_:
                    if not _leads(sentence.kinds) or (_orders(sentence) and not colon):
                        return False
                near = False
            near = near and not sentence.text.endswith("\n\n")
        earlier = [
            each
            for each in self._sentences[:at]
            if not (each.text.rstrip().endswith(":") or _RATED.search(each.kinds))
        ]
        line = self._text.rfind("\n", 0, self._sentences[at].start) + 1
        unknown = any("x" in each.kinds and len(each.kinds) > 2 for each in earlier)
        if any(each.start >= line for each in earlier):
            return True
        return not unknown or any(
            set("rqnmLl") & set(each.kinds) or _ABOUT.match(each.text) for each in earlier
        )


def _orders(sentence: _Sentence) -> bool:
    """Say whether a sentence begins with an order or a question."""
    return sentence.tokens[0].text in _lexicon().orders and sentence.kinds[1:2] not in (":", ",")


def _knows(sentence: _Sentence, index: int, part: str, local: str) -> bool:
    """Say whether the words in front of a number or an object are those of somebody who rates."""
    words = sentence.tokens[index - len(part) : index]
    behind = sentence.kinds[index + 1 : index + 2]
    if sentence.tokens[0].text in _PLACES and re.match(".[pg]?[xr][,:]", sentence.kinds):
        return False
    if any(one.text in _ASPECT and other.kind in "xr" for one, other in pairwise(words)):
        return False
    if "M" in part or behind == "M" or _SPEAKS.match(part) or (behind == "v" and _SPEAKER.match(part)):
        return True
    remark = re.search("[,:(][swgq]?[gq]?$", part) and set("rq") & set(local)
    return not set("xr") & set(local) or bool(
        sentence.kinds[index] in "@{" and remark and not set("nw") & set(local)
    )


def _leads(kinds: str) -> bool:
    """Say whether words may lead to a rating of the rater's own."""
    kinds = re.sub("^b[^oi]*,", "", kinds)
    return not set("oid") & set(kinds) and (
        "x" not in kinds or bool(set("rM") & set(kinds)) or bool(_SPEAKS.search(kinds))
        or ("n" in kinds and "m" not in kinds and not re.search("x[nt]|^g?t+g*x", kinds))
    )


def _parts(kinds: str, index: int) -> tuple[str, str]:
    """Return the kinds in front of a number since the sentence began anew, and since the last one."""
    before = kinds[:index]
    for found in reversed(list(_ANEW.finditer(before))):
        first = before[: found.start()]
        if found[0] == "" and not first.startswith("b"):
            continue
        if found[0] == "s" or (_leads(first) if found[0] == ":" else not set("oi") & set(first)):
            before = before[found.end() :]
            break
    return before, re.split("[#@{]", before)[-1].lstrip(",:(")


def _criterion(sentence: _Sentence, index: int) -> str:
    """Return the criterion that a sentence names for a number, "" where it names none."""
    first = max((at for at in range(index) if sentence.kinds[at] in "#@"), default=-1) + 1
    names = [token.name for token in sentence.tokens[first:index] if token.name]
    _, local = _parts(sentence.kinds, index)
    near = re.search("[Ll]", local)
    if near:
        return names[-1]
    if re.match("g?[Ll]", sentence.kinds[index + 1 :]):
        return next(token.name for token in sentence.tokens[index + 1 :] if token.name)
    return names[0] if len(names) == 1 else ""
