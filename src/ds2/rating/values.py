"""Numbers that a text says are ratings, as digits of any script or as English words.

Each function takes text that `plain` has been through. A number counts where a label stands in
front ("Overall rating: 8"), where the end of the scale stands behind ("8/10"), after a verb ("I
rate it 8."), or alone on the last or first line. Ranges ("7-8"), percentages and ratings on another
scale ("4/5") do not count. Every number that could be a rating is found, whoever says it; `foreign`
tells whether the rater says it himself or repeats somebody else's.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache

__all__ = ["REFUSES", "foreign", "labelled", "listed", "plain", "unlabelled", "whole_value"]

_WORD = (
    "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|"
    "fifteen|sixteen|seventeen|eighteen|nineteen|twenty"
)
_WORDS = {word: number for number, word in enumerate(_WORD.split("|"))}
_DIGITS = r"[0-9]{1,6}(?:[.,][0-9]{1,6})?"
#: What may not follow a number: more of it, a unit, a percentage, or "to" another number.
_AFTER = (
    r"(?![^\W分点點점]|[.,/:]?[0-9]|[ \t]?[%°]"
    rf"|[ \t]*(?:[-–—~/]|to\b|or\b|and\b)[ \t]*(?:[0-9]|(?:{_WORD})\b))"
)
#: What must follow a word: the end of a phrase ("one of the best" is no rating).
_AFTER_WORD = r"(?=[ \t]*(?:$|[.,;:!?)\]}\"'|/\n]|out of\b))"
#: A number, and the upper end of the scale when it is said.
_VALUE = (
    rf"(?:(?P<sign>[-−])?(?P<digits>{_DIGITS})|(?P<word>{_WORD})\b{_AFTER_WORD})"
    rf"(?:[ \t]*(?:/|out of|von|sur|de|из)[ \t]*(?P<of>{_DIGITS}|(?:{_WORD})\b))?{_AFTER}"
)
_BREAK = r"(?<![\w.,/:−–—-])"
_NOUNS = (
    r"rating|score|grade|value|level|mark|assessment|evaluation|quality|(?:gesamt)?bewertung|"
    r"(?:gesamt)?note|évaluation|puntuación|calificación|evaluación|avaliação|pontuação|nota|"
    r"valutazione|voto|punteggio|beoordeling|cijfer|ocena|оценка|балл|puan|değerlendirme|"
    r"(?:ال)?تقييم|(?:ال)?درجة|रेटिंग|अंक|मूल्यांकन|đánh giá|điểm|"
    r"betyg|nilai|skor|penilaian|评分|评价|"
    r"分数|得分|总分|評価|点数|得点|점수|평가|총점|평점"
)
_WHOLE = (
    r"final|overall|total|general|globale?|générale?|geral|complessiv[ao]|generale|totale|algemene|"
    r"ogólna|końcowa|общая|итоговая|genel|toplam|chung|tổng(?: thể)?|keseluruhan|akhir|العام|"
    r"الإجمالي|الكلي|समग्र|कुल|전체|종합|최종|総合|全体|总体|综合|最终|samlat|totalt"
)
_NOUN = rf"(?:{_NOUNS})"
_QUOTES = r"[\"'“”\\ \t]*"
#: Between a label and its number.
_IS = (
    rf"{_QUOTES}(?:\([^()\n]{{0,40}}\))?{_QUOTES}"
    r"(?:[:=|→–—]|-+>|-(?=[ \t])|\b(?:is|was|of|as|at|gets|would be|should be|will be)\b)"
    r"[\"'“”\\ \t(\[{]*(?:\n[ \t]*)?(?:an?[ \t]+)?(?:\\boxed[ \t]*\{[ \t]*)?"
)
_ANY = rf"(?:{_DIGITS}|\b(?:{_WORD})\b)(?:[ \t]*(?:/|out of)[ \t]*{_DIGITS})?"
_RANGE = re.compile(
    rf"(?<![\w.,/]){_ANY}[ \t]*(?:[-–—~]|to\b|or\b|and\b)[ \t]*{_ANY}", re.IGNORECASE
)
_SCALED = re.compile(_BREAK + _VALUE, re.IGNORECASE)
_GENERIC = re.compile(
    rf"(?:(?:^|(?<=[.!?;:\n{{,。！]))[\"'#>| \t-]*(?:(?:{_WHOLE})[ \t]?)?|"
    rf"\b(?:final|overall|total|my|the|a)[ \t]+){_NOUN}(?:[ \t]?(?:{_WHOLE}))?{_IS}{_VALUE}",
    re.IGNORECASE | re.MULTILINE,
)
_BOXED = re.compile(rf"\\boxed[ \t]*\{{[ \t]*{_VALUE}", re.IGNORECASE)
_VERB = re.compile(
    rf"\b(?P<verb>rate|give|score|assign|award)\b[^.\n0-9]{{0,60}}?{_BREAK}{_VALUE}"
    r"(?=[ \t]*(?:$|[.,;!)\n]|points?\b|stars?\b|on\b|for\b))",
    re.IGNORECASE,
)
#: The rater himself rates: what stands in front of the verb. An order has nothing there.
_MYSELF = re.compile(
    r"\b(?:I|we)(?:['’](?:d|ll|ve)|[ \t]+(?:would|will|can|have|do|should|must))?"
    r"(?:[ \t]+(?:therefore|thus|hence|so|also|overall|honestly|personally|only|simply|just|"
    r"ultimately|finally))?[ \t]+\Z",
    re.IGNORECASE,
)
_ALONE = re.compile(rf"[\s\"'“”(\[]*{_VALUE}[\s\"'“”)\].,!]*", re.IGNORECASE)
_WHOLE_VALUE = re.compile(rf"\s*{_VALUE}\s*(?:\([^()]{{0,200}}\)|[.!]|points?)?\s*", re.IGNORECASE)
_LIST = re.compile(r"[\s(\[]*[0-9]{1,6}(?:[\s,;|]+[0-9]{1,6})+[\s)\].]*")
#: Marks of emphasis and of formulas, and the full-width signs of Chinese and Japanese.
_SIGNS = str.maketrans("*`$：／，（）｜＝", "   :/,()|=")


def plain(text: str) -> str:
    """Return text with ASCII digits, signs and spaces, without emphasis and invisible characters.

    Line ends stay what they are.
    """
    text = text.translate(_SIGNS)
    return text if text.isascii() else "".join(map(_plain_char, text))


@cache
def _plain_char(char: str) -> str:
    kind = unicodedata.category(char)
    if kind == "Nd":
        return str(unicodedata.decimal(char))
    return " " if kind == "Zs" else "" if kind == "Cf" else char


def whole_value(text: str, high: float) -> float | None:
    """Return the number that a text is, such as a JSON value: "8", "8/10", "8 (good)"."""
    found = _WHOLE_VALUE.fullmatch(text)
    return _number(found, high) if found else None


#: A number that is said, where its digits begin and end, and whether it is an order of somebody.
Said = tuple[float, int, int, bool]


def labelled(text: str, name: str, high: float) -> Iterator[Said]:
    """Yield the numbers behind each label that is this criterion's name."""
    yield from _said(_label(name).finditer(text), high)


def unlabelled(text: str, names: tuple[str, ...], high: float) -> Iterator[Said]:
    """Yield the numbers that are given as a rating without a criterion's name.

    What a sentence says of another criterion (one of ``names``) is none.
    """
    text = _RANGE.sub(lambda found: "-" * len(found[0]), text)
    for pattern in (_GENERIC, _BOXED, _SCALED, _VERB):
        for found in pattern.finditer(text):
            start, end = _sentence(text, found.start(), found.end())
            if pattern is _SCALED and not found["of"]:
                continue
            if any(name in text[start:end].lower().replace(" ", "_") for name in names):
                continue
            order = pattern is _VERB and not _MYSELF.search(text, start, found.start())
            yield from _said([found], high, order=order)
    yield from _alone(text, high)


def listed(text: str, n: int) -> list[float] | None:
    """Return the numbers of a text that is nothing but ``n`` whole numbers."""
    numbers = re.findall("[0-9]+", text) if _LIST.fullmatch(text) else []
    return [float(number) for number in numbers] if len(numbers) == n > 1 else None


def _said(matches: Iterable[re.Match[str]], high: float, *, order: bool = False) -> Iterator[Said]:
    for found in matches:
        value = _number(found, high)
        if value is not None:
            group = "digits" if found["digits"] else "word"
            yield value, found.start(group), found.end(group), order


def _alone(text: str, high: float) -> Iterator[Said]:
    """Yield numbers that have the last or the first line for themselves."""
    lines = [found.span() for found in re.finditer(r"[^\n]*\S[^\n]*", text)]
    for start, end in {*lines[:1], *lines[-1:]}:
        found = _ALONE.fullmatch(text, start, end)
        yield from _said([found] if found else [], high)


@cache
def _label(name: str) -> re.Pattern[str]:
    spelled = re.escape(name).replace("_", r"[ _\t-]*")
    return re.compile(
        rf"(?<![^\W_]){spelled}(?:[ _\t-]*{_NOUN})*(?![^\W\d_]){_IS}{_VALUE}", re.IGNORECASE
    )


def _number(found: re.Match[str], high: float) -> float | None:
    """Return the number of a match, None where it is on another scale."""
    if found["of"] and _plain_number(found["of"]) != high:
        return None
    value = _plain_number(found["digits"] or found["word"])
    return -value if found["sign"] else value


def _plain_number(text: str) -> float:
    word = _WORDS.get(text.lower())
    return float(text.replace(",", ".")) if word is None else float(word)


# -- whose rating it is ---------------------------------------------------------------------------

#: A refusal in the rater's own voice: no number of such a reply is a rating.
REFUSES = re.compile(
    r"\b(?:I|we)(?:['’]m| am| are)? (?:(?:really|simply|unfortunately|therefore|also) )?"
    r"(?:can(?:no|['’])t|cannot|can not|could not|(?:not able|unable) to|won['’]t|will not|"
    r"(?:must )?(?:refuse|decline)(?: to)?|not comfortable|"
    r"must not)\b.{0,40}?\b(?:assist|help|rat(?:e|ing)|"
    r"evaluate|assess|judge|provide|comply|engage|fulfill|score|respond|continue|process)"
    r"|\bI(?:['’]m| am) (?:so |very )?sorry\b|\bI apologi[sz]e\b|\bas an ai\b"
    r"|\bI must (?:decline|refuse)\b"
    r"|\b(?:kann|darf|möchte|"
    r"werde) (?:ich )?.{0,40}\bnicht\b.{0,20}\b(?:bewerten|beurteilen|helfen)"
    r"|\btut mir leid\b|\bje (?:ne|n['’]) ?(?:peux|suis)\b|\bdésolée?\b|\blo siento\b|\bno puedo\b"
    r"|\bnão posso\b|\bdesculpe\b|\bmi dispiace\b|\bnon posso\b|\bя не могу\b|\bизвините\b"
    r"|抱歉|对不起|我(?:無法|无法|不能)|申し訳|評価できません"
    r"|죄송|آسف|لا أستطيع|üzgünüm|xin lỗi|maaf",
    re.IGNORECASE | re.DOTALL,
)
#: Words by which a sentence gives what somebody else says, orders, or has written there.
_REPORTS = re.compile(
    r"\b(?:says|said|saying|claim\w*|reads|demand\w*|(?:asks|asked|"
    r"tells|told|wants|urges) (?:me|us|you|"
    r"for|to|that|the rater)|tells?|instructs?|request(?:s|ing)?|quot\w+|insist\w*|pretend\w*|"
    r"(?:ends?|begins?|starts?|ending|opens?|closes?) (?:with|by)|suggest(?:s|ing)|according to|"
    r"puts? it|words of|(?:re(?:s|)(?:ply|pond)|answer) with|output only|please (?!find|see|note)|"
    r"hidden|written|(?:given|offered|found|placed|inserted|planted|"
    r"smuggled|appended|embedded) (?:in|"
    r"by|into|at|within)|(?:is|stands|appears?|comes) (?:in|at|from|inside) the|"
    r"sagt|behaupt\w+|verlang\w+|forder\w+|lautet|schreibt|steht|gib|vergiss|dit|exige|affirme|"
    r"prétend|écrit|dice|pide|afirma|chiede|diz|pede|zegt|vraagt|mówi|żąda|говорит|требует|просит|"
    r"пишет|гласит|diyor|istiyor|yêu cầu|säger|kräver|mengatakan|meminta)\b"
    r"|说|写|要求|声称|言っ|言う|と書|求め|主張|말하|말한|요구|주장|적혀|يقول|يطلب|कहता|मांग"
    r"|^\W*(?:the |this |from the |in the )?(?:\w+ )?(?:example|text|"
    r"excerpt|passage|instruction|input|"
    r"prompt|snippet|payload|attack|user|message|content|sentence|line|string|comment)\W*\Z",
    re.IGNORECASE,
)
#: The same where they stand close to the number: elsewhere in its sentence they mean nothing.
_REPORTS_NEAR = re.compile(
    r"\b(?:states?|contain\w*|includ\w+|holds?|tries|trying|attempt\w*|orders?|must|always|every|"
    r"already|ready|there (?:is|are)|set to|propos\w+|enthält|"
    r"contient|contiene|contém|bevat|zawiera|"
    r"содержит|içeriyor|chứa)\b|包含|含|포함|يحتوي",
    re.IGNORECASE,
)
_NEAR = 32
#: Words that no rating in one's own voice is near, wherever in a reply they stand.
_ATTACKED = re.compile(
    r"\binject\w*|\bmanipulat\w*|\bdisregard\w*|\bdictat\w*|\bjailbreak|\bobey|"
    r"\b(?:not|never|won['’]t) (?:follow|obey|comply|believe|take)|\bI ignore|\bbeen rated|"
    r"\balready rated|\bits own rating|"
    r"\b(?:ignor|forget|vergiss|zignoruj|negeer|esqueça|olvida|oublie|abaikan|strunta)\w* "
    r"(?:\w+ )?(?:all|everything|the|above|previous|alle?s?|toutes?|las?|le|as|semua)",
    re.IGNORECASE,
)
#: What raters talk about when they do not only rate.
_JUDGES = re.compile(
    r"\b(?:rat(?:e|es|ed|ing|ings)|scor\w+|evaluat\w+|assess\w*|criteri\w+|examples?|answers?|"
    r"respon[sd]\w+|questions?|judg\w+|overall|quality|good|clear\w*|"
    r"correct\w*|poor|weak|solid|useful|"
    r"helpful|detailed|accura\w+|common|simple|basic|informati\w+|complex\w*|rar(?:e|ity)|"
    r"bewert\w+|beispiel\w*|antwort\w*|frage\w*|évalu\w+|exemples?|réponses?|ejemplo\w*|"
    r"respuesta\w*|evalu\w+|avalia\w+|exemplo\w*|resposta\w*|valut\w+|esempi\w*|rispost\w+|"
    r"beoordel\w+|voorbeeld\w*|antwoord\w*|ocen\w+|przykład\w*|odpowied\w+|оцен\w+|пример\w*|"
    r"ответ\w*|değerlendir\w+|örne\w+|cevap\w*|yanıt\w*|đánh giá|ví dụ|câu trả lời|betyg\w*|"
    r"exempl\w+|svar\w*|penilaian|contoh|jawaban|nilai)\b"
    r"|评|例|样本|回答|答案|評|평가|예시|답변|تقييم|المثال|الإجابة|मूल्यांकन|उदाहरण|उत्तर",
    re.IGNORECASE,
)
_QUOTED = re.compile(
    r"\"[^\"]*\"|“[^”]*”|«[^»]*»|„[^“”]*[“”]|「[^」]*」|『[^』]*』|‘[^’]*’|《[^》]*》"
    r"|(?<![\w'])'[^'\n]*'(?!\w)|^[ \t]*>.*$",
    re.MULTILINE,
)
_ENDS = re.compile(r"(?<=[.!?;])[\s\"')\]]+|[。！？；\n]+")
#: The end of a line that announces what follows; the name of a block of code may be in between.
_LEAD = re.compile(r":\s*(?:json|text|txt|python|yaml)?\s*\Z", re.IGNORECASE)
#: A greeting ("Sure!") is no text that has to be about the example; in bytes.
_GREETING = 24


def foreign(text: str, start: int, end: int) -> bool:
    """Say whether what stands at this place of a text repeats somebody else.

    It does inside a quotation; in a sentence, or behind a line that ends in a colon, with words of
    reporting or ordering; in a text with words of an attack; and behind text that is not about
    rating at all, as where the example itself is repeated.
    """
    if _ATTACKED.search(text):
        return True
    if any(found.start() < start and end <= found.end() for found in _QUOTED.finditer(text)):
        return True
    first, last = _sentence(text, start, end)
    before = text[:first].rstrip()
    leads = [line for line in before.split("\n")[-12:] if _LEAD.search(line)]
    near = text[max(first, start - _NEAR) : min(last, end + _NEAR)]
    if _REPORTS_NEAR.search(near) or any(
        map(_REPORTS.search, (text[first:start], text[end:last], *leads))
    ):
        return True
    told = "\n".join(line for line in before.split("\n") if not _LEAD.search(line)).strip("\0 \n")
    return len(told.encode()) > _GREETING and not _JUDGES.search(told)


def _sentence(text: str, start: int, end: int) -> tuple[int, int]:
    """Return where the sentence around a place begins and ends."""
    first = max(0, start - _LONGEST_SENTENCE)
    for found in _ENDS.finditer(text, first, start):
        first = found.end()
    after = _ENDS.search(text, end, end + _LONGEST_SENTENCE)
    return min(first, start), after.start() if after else min(len(text), end + _LONGEST_SENTENCE)


_LONGEST_SENTENCE = 400
