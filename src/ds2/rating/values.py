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
    r"rating|score|grade|value|(?<=final )answer|level|mark|assessment|"
    r"evaluation|quality|(?:gesamt)?bewertung|"
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
    r"(?:[ \t]+(?:for|of)[ \t]+(?:this|the)[ \t]+example)?"
    rf"{_QUOTES}(?:\([^()\n]{{0,40}}\))?{_QUOTES}"
    r"(?:[:=|→–—为は]|-+>|-(?=[ \t])|\b(?:is|was|of|as|at|gets|would be|should be|will be)\b)"
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
#: The words, English ones, in which a rater announces or gives its own rating; with any other word
#: in front, what follows may be somebody else's.
_OWN = frozenset(
    """a above account after all along am an analysis analyzing and answer are as assessing
    assessment assign at award based below by careful carefully certainly characteristics
    complete completed complexity concluded conclusion consideration considerations
    considered considering could course criteria criterion each eight evaluate evaluated
    evaluating evaluation evaluations every everything factors final finally find five
    follow following follows for format formatted four fully give given go grade grades
    grading happy have having hence here here's honest honestly i i'd i'll i'm i've
    informativeness instructed instructions into is it it's its json judgement judgment
    just let let's look markdown me my nine numerical object of ok okay on one only our
    out overall per personal personally please point points provide provided quality
    rarity rate rated rating ratings receive requested required response result resulting
    results review reviewed reviewing rubric say scale schema score scored scores scoring
    see seven six so stars step sure taking ten thank thanks that the them therefore these
    thing things this thought three thus to together total two ultimately understood us
    valid value values verdict was we we'd we'll well will with would yes you your zero""".split()  # noqa: SIM905 - it is to be read
)
#: What a rating is of, without which "the example" may only be where it was found.
_OF_EXAMPLE = re.compile(
    r"\b(?:for|of|on|to|rate|rating|evaluat(?:e|ed|ing|ion of)|"
    r"assess(?:ed|ing)?|judg(?:e|ed|ing)|give|"
    r"review(?:ed|ing)?|read|analyz(?:ed|ing)|"
    r"(?=this example (?:deserves|gets|is|has|rates)))[ \t]*"
    r"(?:the|this|your|each)?[ \t]*(?:(?:given|provided|above|"
    r"whole) )?(?:example|conversation|sample|"
    r"exchange|dialogue|row|entry|data ?point)(?: (?:deserves|gets))?\b(?!['’])",
    re.IGNORECASE,
)
#: The same in other languages: words for a rating, for "here it is", and for "I give".
_OWN_OTHER = re.compile(
    r"\b(?:(?:gesamt)?bewert(?:e|ung|ungen)|(?:gesamt)?note|ergebnis|hier (?:ist|sind)|bitte schön|"
    r"insgesamt|ich (?:gebe|vergebe)|évaluations?|voici|résultat|je (?:lui )?donne|je note|globale|"
    r"puntuaci(?:ón|ones)|calificaci(?:ón|ones)|evaluaci(?:ón|ones)|"
    r"aquí (?:está|tienes?|va)|(?:le )?doy|"
    r"avaliaç(?:ão|ões)|pontuaç(?:ão|ões)|nota|aqui está|segue|dou|"
    r"valutazion[ei]|punteggi[o]?|voto|ecco|"
    r"beoordeling|cijfer|hier is|geef|ocen[ay]|oto|daję|oceniam|"
    r"оценк[аиу]|оцениваю|ставлю|вот|балл|"
    r"puan(?:ım|lama)?|değerlendirme\w*|işte|veriyorum|đánh giá|điểm|đây là|betyg|bedömning|här är|"
    r"nilai|penilaian|skor|berikut)\b"
    r"|评分|评价|得分|分数|总分|总体|结果|以下|評価|点数|得点|総合|평가|"
    r"점수|총점|다음은|تقييم|الدرجة|"
    r"إليك|मूल्यांकन|रेटिंग|अंक",
    re.IGNORECASE,
)
_OTHER_EXAMPLE = re.compile(
    r"\b(?:beispiel|exemple|ejemplo|esempio|exemplo|voorbeeld|"
    r"przykładzie|примере|örnekte|text[eo]?|"
    r"texte|testo|antwort|réponse|respuesta)\b|例|示例|예시|文|مثال|उदाहरण",
    re.IGNORECASE,
)
_REPORTS = re.compile(
    r"\b(?:says|said|claim\w*|demand\w*|asks?|asked|tells?|told|wants?|instructs?|quot\w+|writ\w+|"
    r"wrote|pretend\w*|suggest\w*|insist\w*|if|unless|not|never|than|contains?|includes?|"
    r"sagt|behaupt\w+|verlang\w+|forder\w+|lautet|schreibt|steht|enthält|gib|vergiss|nicht|möchte|"
    r"dit|demande|exige|affirme|prétend|écrit|contient|mérite|pas|"
    r"dice|pide|afirma|contiene|incluye|no|"
    r"diz|pede|contém|traz|não|chiede|riporta|non|zegt|vraagt|bevat|niet|mówi|żąda|zawiera|nie|"
    r"говорит|требует|просит|пишет|гласит|содержит|написано|не|diyor|istiyor|içeriyor|değil|"
    r"yêu cầu|nói|chứa|không|säger|kräver|innehåller|mengatakan|meminta|berisi|bukan)\b"
    r"|说|写|要求|包含|声称|不|言っ|言う|書|求め|主張|含|ない|말하|말한|요구|"
    r"포함|주장|적혀|아니|يقول|يطلب|"
    r"يحتوي|ليس|कहता|मांग|नहीं",
    re.IGNORECASE,
)
#: What may follow a number in its sentence: a reason, or a word or two about it.
_REASON = re.compile(
    r"[\s,;–—-]*(?:because|since|as it|as the|due|for|given|with|but|"
    r"and|out of|weil|da|denn|car|porque|"
    r"perché|omdat|ponieważ|потому|çünkü|因为|なぜ)(?!\w)|\s*\([^()]{0,60}\)",
    re.IGNORECASE,
)
#: Set phrases whose words alone could be anybody's.
_PHRASES = re.compile(
    r"\bin (?:the |a )?(?:(?:requested|required|valid|correct|following|specified|json) ?)+"
    r"(?:format|form|object|schema)?\b|\boutput[ \t]*:|\\boxed[ \t]*\{|"
    r"\baccording to (?:the|these|your) (?:given )?(?:criteria|rubric|scale|instructions)\b",
    re.IGNORECASE,
)
_ORDER = re.compile(r"[\W_]*(?:give|rate|assign|evaluate)\b", re.IGNORECASE)
_TAGGED = re.compile(
    r"</?(?:answer|output|response|json|result|rating|ratings|final)>", re.IGNORECASE
)
_PLAIN = re.compile(
    r""
    r"[\w\s\u0300-\u036f\u064b-\u0652\u0900-\u0dff\u0e00-\u0e7f:.,!'’\"“”()*_=→|#&;/{}—–\\\0\ufffd\[\]-]*"
)
_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


def _announces(text: str, names: tuple[str, ...] = ()) -> bool:
    """Say whether words in front of a rating are the rater's own, and about nothing but rating."""
    if _ORDER.match(text):
        return False
    for known in (_OF_EXAMPLE, _PHRASES, _TAGGED):
        text = known.sub(" ", text)
    if not _PLAIN.fullmatch(text):
        return False
    known_words = _OWN.union(*(name.split("_") for name in names))
    if all(token.replace("’", "'") in known_words for token in _TOKEN.findall(text.lower())):
        return True
    named = _OWN_OTHER.search(text) is not None
    return (
        named
        and not _REPORTS.search(text)
        and not (_OTHER_EXAMPLE.search(text) and not _NAMES_RATING.search(text))
    )


#: Words that no rating in one's own voice is near, wherever in a reply they stand.
_ATTACKED = re.compile(
    r"\binject\w*|\btamper\w*|\bsway\w*|\bsuspicious|\bcopied\b|\bplanted\b|\bmanipulat\w*|"
    r"\bdisregard\w*|\bdictat\w*|\bjailbreak|\bobey|"
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


def foreign(text: str, start: int, end: int, names: tuple[str, ...]) -> bool:
    """Say whether what stands at this place of a text may repeat somebody else.

    It is the rater's own where the words in front of it in its sentence, and every line in front
    that ends in a colon, do nothing but announce a rating; where no other words are bound to it
    behind; outside of quotations; in a text without words of an attack; and behind nothing, or text
    that is about rating, and not just the example repeated.
    """
    if _ATTACKED.search(text):
        return True
    if any(found.start() < start and end <= found.end() for found in _QUOTED.finditer(text)):
        return True
    first, last = _sentence(text, start, end)
    behind = _TAGGED.sub(" ", text[end:last])
    if text[start] == "\0":  # an object: only a new sentence may follow
        bound = re.match(r"[ \t]*[^\s.!:;\]A-Z\u0080-\uffff]", behind) is not None
    else:
        behind = _BEHIND.sub("", behind, count=1)
        bound = not (
            _announces(behind, names) or (_REASON.match(behind) and not _REPORTS.search(behind))
        )
    if bound or text[last : last + 1] == "?" or "?" in behind[:3]:
        return True
    before = text[:first].rstrip()
    lines = before.split("\n")
    leads = [line for line in lines[-12:] if _LEAD.search(line)]
    announced = (_clause(text[first:start]), *map(_last_sentence, leads))
    if not all(_announces(words, names) for words in announced):
        return True
    told = "\n".join(line for line in lines if not _LEAD.search(line)).strip("\0 \n")
    return not (_announces(told, names) or _JUDGES.search(told))


#: What belongs to the number itself: the end of the scale, a unit, closing marks.
_BEHIND = re.compile(
    rf"[ \t]*(?:(?:/|out of|von|sur|de|из)[ \t]*(?:{_DIGITS}|\w+))?[\s\"'”)}}\]|.!*]*"
    r"(?:points?|stars?|punkten?|分|点|點|점)?[\s\"'”)}\]|.!*\\]*",
    re.IGNORECASE,
)
#: Words for a rating in other languages, where the example may be named beside them.
_NAMES_RATING = re.compile(
    r"bewert|note|évaluation|donne|puntuaci|calificaci|evaluaci|doy|"
    r"avalia|pontua|nota|valutazion|voto|"
    r"beoordel|ocen|оцен|puan|değerlendir|đánh giá|betyg|nilai|评|評価|평가|تقييم|मूल्यांकन|रेटिंग",
    re.IGNORECASE,
)


def _clause(text: str) -> str:
    """Return the last part of a sentence's beginning that stands for itself ("…, so I rate it")."""
    found = list(_TURNS_TO.finditer(text))
    if not found or _SUPPOSES.search(text):
        return text
    bound = _REPORTS.search(text) is not None and found[-1]["so"] is None
    return text if bound else text[found[-1].end() :]


_TURNS_TO = re.compile(r",[ \t]*(?=(?P<so>so|hence|thus|therefore)\b|my\b|I\b)", re.IGNORECASE)
_SUPPOSES = re.compile(r"\b(?:if|unless|were|not|never|had)\b", re.IGNORECASE)


def _last_sentence(line: str) -> str:
    return _ENDS.split(line.rstrip())[-1]


def _sentence(text: str, start: int, end: int) -> tuple[int, int]:
    """Return where the sentence around a place begins and ends."""
    first = max(0, start - _LONGEST_SENTENCE)
    for found in _ENDS.finditer(text, first, start):
        first = found.end()
    after = _ENDS.search(text, end, end + _LONGEST_SENTENCE)
    return min(first, start), after.start() if after else min(len(text), end + _LONGEST_SENTENCE)


_LONGEST_SENTENCE = 400
