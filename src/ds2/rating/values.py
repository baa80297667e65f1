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
    r"(?![^\W分点點점で。]|[.,/:]?[0-9]|[ \t]?[%°]"
    rf"|[ \t]*(?:[-–—~/]|to\b|or\b|and\b)[ \t]*(?:[0-9]|(?:{_WORD})\b))"
)
#: What must follow a word: the end of a phrase ("one of the best" is no rating).
_AFTER_WORD = r"(?=[ \t]*(?:$|[.,;:!?)\]}\"'|/\n]|out of\b))"
#: A number, and the upper end of the scale when it is said.
_VALUE = (
    rf"(?:(?P<sign>[-−])?(?P<digits>{_DIGITS})|(?P<word>{_WORD})\b{_AFTER_WORD})"
    rf"(?:[ \t]*(?:/|out of|von|sur|de|из|من)[ \t]*(?P<of>{_DIGITS}|(?:{_WORD})\b))?{_AFTER}"
)
_BREAK = r"(?<![\w.,/:−–—-])"
_NOUNS = (
    r"rating|score|grade|value|(?<=final )answer|level|mark|assessment|verdict|"
    r"evaluation|quality|(?:gesamt|end)?(?:bewertung|wertung|note|punktzahl|punkte|urteil|"
    r"eindruck)|"
    r"évaluation|puntuación|puntaje|totaalscore|điểm số|puanım|총평|総評|評価点|"
    r"calificación|evaluación|avaliação|pontuação|nota|"
    r"valutazione|voto|punteggio|beoordeling|cijfer|ocena|оценка|балл|puan|değerlendirme|"
    r"(?:ال)?تقييمي?|(?:ال)?درجة|रेटिंग|अंक|मूल्यांकन|đánh giá|điểm|"
    r"betyg|nilai|skor|penilaian|评分|评价|打分|总评|"
    r"分数|得分|总分|評価|点数|得点|評点|スコア|点|النتيجة|점수|평가|총점|평점"
)
_WHOLE = (
    r"final|overall|total|general|globale?|générale?|geral|complessiv[ao]|generale|totale|"
    r"algemene|"
    r"finale?|ogólna|końcowa|общая|итоговая|genel|toplam|chung|tổng(?: thể)?|keseluruhan|akhir|"
    r"العام|النهائي|الإجمالي|الكلي|समग्र|कुल|전체|종합|최종|総合(?:的な)?|全体(?:的な)?|总体|"
    r"整体|综合|最终|最終|总|общий|"
    r"samlat|totalt"
)
_NOUN = rf"(?:{_NOUNS})"
_MY = r"my|the|a|meine?|die|ma|mi|minha|moja|моя|mijn|تقييمي|我的|私の|この例の|제"
#: What stands for a rating as a whole without a noun, at the beginning of a line.
_SUM = r"gesamt|insgesamt|fazit|总体|整体|综合|総合|全体|итого|totale?|종합|전체|(?:my|the) verdict"
_QUOTES = r"[\"'“”\\ \t]*"
#: Between a label and its number.
_IS = (
    r"(?:[ \t]+(?:for|of)[ \t]+(?:this|the)[ \t]+example)?"
    rf"{_QUOTES}(?:[(\[][^()\[\]\n]{{0,40}}[)\]])?{_QUOTES}"
    r"(?:[:=|→–—为是は은는هو]+|[-=]+>|-(?=[ \t])|\.{2,3}|\b(?:is|was|of|as|at|gets|would be|"
    r"should be|"
    r"will be|ist|lautet|beträgt|est|es|é|è|là)\b)"
    r"[\"'“”\\ \t(\[{]*(?:\n[ \t]*)?(?:an?[ \t]+)?(?:\\boxed[ \t]*\{[ \t]*)?"
)
_ANY = rf"(?:{_DIGITS}|\b(?:{_WORD})\b)(?:[ \t]*(?:/|out of)[ \t]*{_DIGITS})?"
_RANGE = re.compile(
    rf"(?<![\w.,/]){_ANY}[ \t]*(?:[-–—~]|to\b|or\b|and\b)[ \t]*{_ANY}", re.IGNORECASE
)
_SCALED = re.compile(_BREAK + _VALUE, re.IGNORECASE)
_GENERIC = re.compile(
    rf"(?:(?:(?:^|"
    rf"(?<=[.!?;:\n{{,。！]))[\"'#>| \t\[-]*(?:(?:{_MY})[ \t]?)?(?:(?:{_WHOLE})[ \t]?)?|"
    rf"\b(?:final|overall|total|my|the|a|of)[ \t]+){_NOUN}(?:[ \t]?(?:{_WHOLE}))?|"
    rf"^[\"'#>| \t\[-]*(?:{_SUM})){_IS}{_VALUE}",
    re.IGNORECASE | re.MULTILINE,
)
_BOXED = re.compile(rf"\\boxed[ \t]*\{{[ \t]*{_VALUE}", re.IGNORECASE)
_VERB = re.compile(
    r"\b(?P<verb>rated?|giv(?:e|en|ing)|scor(?:e|ed|ing)|assign(?:ed|ing)?|award|say|think|"
    r"believe|deserves|earns|merits|gets|"
    r"(?:it|this|that|das)(?:['’]s|[ \t]+(?:is|would be|ist))[ \t]+(?:an?|eine))\b"
    rf"[^.\n0-9]{{0,60}}?{_BREAK}{_VALUE}"
    r"(?=[ \t]*(?:$|[.,;!)\n–—-]|points?\b|stars?\b|"
    r"(?:on|for|from|because|since|as|but|and|is)\b))",
    re.IGNORECASE | re.MULTILINE,
)
#: The same in languages whose verb says who it is.
_MINE = re.compile(
    r"(?:\b(?:ich (?:gebe|vergebe|bewerte|würde)|(?:bewerte|gebe|vergebe) ich|"
    r"je (?:lui )?(?:donne|note)|"
    r"j['’](?:attribue|évalue)|doy|do|dou|assegno|ставлю|tôi chấm)\b|أعطي|أقيّم|저는|私は|"
    rf"我[^。\n0-9]{{0,5}}?(?:给|打|会))[^.。\n0-9]{{0,40}}?{_VALUE}(?=[ \t]*(?:$|[.。,;!)\n]|"
    rf"分|点|점|Punkte|điểm|bewerten|geben))",
    re.IGNORECASE,
)
#: The rater himself rates: what stands in front of the verb. An order has nothing there.
_MYSELF = re.compile(
    r"\b(?:I|we)(?:['’](?:d|ll|ve|m)|[ \t]+(?:would|will|can|have|am|do|should|must))?"
    r"(?:[ \t]+(?:therefore|thus|hence|so|also|overall|honestly|personally|only|simply|just|"
    r"ultimately|finally))?[ \t]+\Z",
    re.IGNORECASE,
)
_ALONE = re.compile(
    rf"[\s#=→>\"'“”(\[-]*(?:(?:hence|thus|so|therefore)[:,]?[ \t]*)?{_VALUE}"
    r"(?:[ \t]*(?:points?|stars?|punkte|分|点|點|점|です))*[\s\"'“”)\].,!。]*",
    re.IGNORECASE,
)
_WHOLE_VALUE = re.compile(rf"\s*{_VALUE}\s*(?:\([^()]{{0,200}}\)|[.!]|points?)?\s*", re.IGNORECASE)
_TABLE = re.compile(r"(?:[\w\s:=|,;]|-(?![0-9]))*")
_TRANSLATED = re.compile(
    r"\W*[^\W\d_][^\n:=0-9]{0,30}[:=][ \t]*([0-9]{1,2})(?:[ \t]*/[ \t]*10|[ \t]*[分点점])?\W*"
)
_TOTAL = re.compile(
    rf"\W*(?:(?:{_MY})[ \t])?(?:{_WHOLE})?[ \t]*(?:{_SUM}|{_NOUN})[ \t]*(?:{_WHOLE})?[:=]",
    re.IGNORECASE,
)
_LIST = re.compile(r"[\s(\[]*[0-9]{1,6}(?:(?:[\s,;|]+[0-9]{1,6})+|(?:/[0-9]{1,6}){2,})[\s)\].]*")
#: A reply that is a number with a word in front of it, or that begins with one and a reason.
_NAMED = re.compile(rf"\W*(?:the )?(?:answer|result)(?: is)?[: \t]+{_VALUE}\W*", re.IGNORECASE)
_BEGINS = re.compile(
    rf"[\s\"'“”(\[]*{_VALUE}[ \t]*(?=[–—(]|-[ \t]|because\b|since\b)", re.IGNORECASE
)
#: Marks of emphasis and of formulas, and the full-width signs of Chinese and Japanese.
_SIGNS = str.maketrans("*`$：／，（）｜＝【】", "   :/,()|=[:")
#: Marks of Markdown, HTML and TeX around what is said; ``<rating>8</rating>`` says "rating: 8".
_MARKUP = re.compile(
    r"^[ \t]*(?:`{3,}|~{3,})[ \t]*\w*[ \t]*(?:\n|\Z)|(?<!\w)_{1,2}(?=\w)|(?<=[\w:])_{1,2}(?!\w)|"
    r"</?(?:b|i|u|p|em|br|li|ul|div|span|code|strong|h[1-6])[ \t]*/?>|"
    r"(?<!\\)\\(?:[()\[\]]|text(?:bf)?[ \t]*\{(?P<text>[^{}\n]*)\})|"
    r"<(?P<tag>[a-z]\w{2,30})>(?P<said>[^<>{}\n]{1,40})</(?P=tag)>",
    re.IGNORECASE | re.MULTILINE,
)


def _unmarked(found: re.Match[str]) -> str:
    if found["tag"]:
        label = "" if _TAGGED.fullmatch(f"<{found['tag']}>") else f"{found['tag']}: "
        return f"{label}{found['said']}\n"
    return found["text"] or ("" if "\n" in found[0] else " ")


def plain(text: str) -> str:
    """Return text with ASCII digits, signs and spaces, without emphasis and invisible characters.

    Line ends stay what they are.
    """
    text = _MARKUP.sub(_unmarked, text).translate(_SIGNS)
    return text if text.isascii() else "".join(map(_plain_char, text))


@cache
def _plain_char(char: str) -> str:
    kind = unicodedata.category(char)
    if kind == "Nd":
        return str(unicodedata.decimal(char))
    dropped = kind == "Cf" or char in "\ufe0e\ufe0f"
    return " " if kind in ("Zs", "So") or char == "•" else "" if dropped else char


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
    for pattern in (_GENERIC, _BOXED, _SCALED, _VERB, _MINE):
        for found in pattern.finditer(text):
            start, end = _sentence(text, found.start(), found.end())
            if pattern is _SCALED and not found["of"]:
                continue
            if any(name in text[start:end].lower().replace(" ", "_") for name in names):
                continue
            orders = pattern is _VERB and not re.search(" |s$", found["verb"])
            order = orders and not _MYSELF.search(text, start, found.start())
            yield from _said([found], high, order=order)
    short = _NAMED.fullmatch(text) or _BEGINS.match(text)
    yield from _said([short] if short else [], high)
    yield from _alone(text, high)


def listed(text: str, names: tuple[str, ...]) -> list[float] | None:
    """Return the numbers of a text that is nothing but one for each name, in their order.

    The names may stand beside them or above; in another language they may, if the last says so.
    """
    n, lines = len(names), [line for line in text.split("\n") if line.strip()]
    words, numbers = re.findall(r"[^\W\d]+", text.lower()), re.findall("[0-9]+", text)
    translated = [found[1] for line in lines if (found := _TRANSLATED.fullmatch(line))]
    if len(translated) == n == len(lines) and _TOTAL.match(lines[-1]):
        numbers = translated
    elif not (_LIST.fullmatch(text) or (tuple(words) == names and _TABLE.fullmatch(text))):
        return None
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
    r"|\btut mir leid\b|\bje (?:ne|n['’]) ?(?:peux|suis)\b|\bdésolée?\b|\blo siento\b|"
    r"\bno puedo\b"
    r"|\bnão posso\b|\bdesculpe\b|\bmi dispiace\b|\bnon posso\b|\bя не могу\b|\bизвините\b"
    r"|抱歉|对不起|我(?:無法|无法|不能)|申し訳|評価できません"
    r"|죄송|آسف|لا أستطيع|üzgünüm|xin lỗi|maaf",
    re.IGNORECASE | re.DOTALL,
)
#: The words in which a rater announces or gives its own rating; with any other word in front, what
#: follows may be somebody else's. Languages without spaces between words follow as parts of words.
_OWN = frozenset(
    """a absolutely account adalah after akhir algemene all along alright als am an analysis
    analyzing and answer ao appropriate aqui aquí are as assegno assessing assessment assign at
    auf ausgabe avaliação avaliações award barème based basierend bedömning bekommt believe
    below benim beoordeling beoordelingen berikut beträgt betyg bewerte bewerten bewertet
    bewertung bewertungen bien bitte by c'est calificaciones calificación careful carefully ce
    certainly ces cet cette characteristics chung chấm cijfer claro com complessiva complessivo
    complete completed complexity con concluded conclusion cons consideration considerations
    considered considering course criteria criterion criterios critères critérios của
    d'évaluation daję dans das de decent dem den der des değerlendirme değerlendirmem
    değerlendirmesi die dies diese dit do done donne dou doy du dưới each ecco een eight ein
    eindruck eine einen einer eingeschätzt einschätzung el em endnote ergebnis ergibt erhält es
    escala est esta estas este esto está et evaluaciones evaluación evaluate evaluated
    evaluating evaluation evaluations every everything excellent factors fair fazit final
    finale finally find five folgende follow following follows for formatted four from fully
    für gebe geben geef genel general generale geral gerne gesamt gesamtbewertung
    gesamteindruck gesamtnote gesamtpunktzahl gesamturteil gesamtwertung give giving giá global
    globale go good grade grades grading great générale habe happy hasil hasilnya have having
    hence here here's het hier high honest honestly här i i'd i'll i'm i've ich ik il im
    informativeness insgesamt instructed instructions into is ist it it's işte j'attribue
    j'évalue javascript je json json-ausgabe judgement judgment just keseluruhan klar końcowa
    kriterien kết l'objet l'évaluation la lauten lautet le les let let's look los low lui là ma
    mark markdown mediocre mein meine meiner mes mi mia mijn min minha mio mis mit mitt
    moderate modest moja moje mon my na nach natürlich nilai nilainya nine nota notas note
    notes numerical o object objekt objeto ocena oceniam oceny of ogólna ok okay on one only os
    oto our out output overall penilaian per personal personally please point points pontuação
    por pros provide provided prüfung puan puanlama puanı puanım punkte punkten punktzahl
    puntaje punteggi punteggio puntuaciones puntuación quality quả rarity rate rated rating
    ratings receive reply representation requested required response result resulting results
    review reviewed reviewing rubric résultat say saya scale schön score scored scores scoring
    secondo see segue segundo según selon seven sich sind six skala skor so solid sonucu sonuç
    sous stars step strengths strong su sum summary sur sure sûr số taking ten thank thanks
    that that's the them therefore these thing things think this thought three thus thể tiene
    tienes to together toplam totaal totaalscore total two tôi tổng ultimately un una und
    understood une urteil us va valid value values valutazione valutazioni van verdict verdient
    vergebe veriyorum voici voilà von voto we we'd we'll weak weaknesses well wertung wie will
    with worth would würde y yes zero zijn är é évaluation évaluations điểm đánh đây балл
    баллов бы в вот из итого итоговая конечно мои мой моя на общая общий оцениваю оценил оценка
    оценки оценку по поставил примеру результат ставлю этому я""".split()  # noqa: SIM905 - it is to be read
)
_OWN_PARTS = re.compile(
    "以下|如下|这是|当然|考虑|我认为|可以|总[的体]?来说|[,，]|答|こちら|承知しました|つけます|"
    "評価点|評価します|최|"
    "요청하신|같습니다|저는|주겠습니다|총평|다음과|을|를|التقييمات|بالتأكيد|للمثال|لهذا المثال|"
    "أقيّم|الكلية|النهائية|"
    "以下|如下|这个?(?:例子|示例|对话|样本)|该(?:例子|示例|对话|样本)|最終|総評|评分|评价|评估|"
    "得分|分数|打分|"
    "总[分体评]?|整体|综合|最终|结果|好的?|根据|按照|标准|格式|对象|满分|"
    "示します|ます|です|ください|とおり|通り|この例|評価|結果|点数|得点|評点|スコア|総合?|全体|"
    "的|私|次|はい|形式|"
    "다음|아래|평가|결과|점수|총점|평점|종합|전체|최종|입니다|예시|이|은|는|제|저의|대한|형식|의|"
    "هذا المثال|هذا|هذه|هو|هي|التقييم|تقييمي|تقييم|الدرجة|درجة|النتيجة|إليك|فيما|يلي|العام|"
    "الإجمالي|الكلي|النهائي|أعطيه|أعطي|بصيغة|التالي|من|"
    "मेरा|मेरी|मूल्यांकन|यह|है|रेटिंग|अंक|समग्र|कुल|यहाँ|"
    "[是为我的给打出将会对分点點점がはのにをでな]"
)
#: What a rating is of, without which "the example" may only be where it was found.
_OF_EXAMPLE = re.compile(
    r"\b(?:for|of|on|to|rated?|rating|assign|award|evaluat(?:e|ed|ing|ion of)|"
    r"assess(?:ed|ing)?|judg(?:e|ed|ing)|given?|"
    r"review(?:ed|ing)?|read|analyz(?:ed|ing)|"
    r"(?=th(?:is|e) example (?:deserves|earns|merits|gets|is|has|rates)))[ \t]*"
    r"(?:the|this|your|each)?[ \t]*(?:(?:given|provided|above|"
    r"whole) )?(?:example|conversation|sample|"
    r"exchange|dialogue|row|entry|data ?point)(?: (?:deserves|earns|merits|gets))?\b(?!['’])|"
    r"\b(?:this|it) (?:deserves|earns|merits|gets)\b|"
    r"\b(?:das|dieses|dem|diesem|des) beispiels?\b|\bà (?:cet|l['’])[ \t]*exemple\b|"
    r"\ba este ejemplo\b|\ba este exemplo\b",
    re.IGNORECASE,
)
_REPORTS = re.compile(
    r"\b(?:says|said|claim\w*|demand\w*|asks?|asked|tells?|told|wants?|instructs?|quot\w+|"
    r"writ\w+|"
    r"wrote|pretend\w*|suggest\w*|insist\w*|request\w*|requires?|propos\w+|hop(?:es|ed|ing)|"
    r"begs?|"
    r"orders?|ordered|stat(?:es|ed)|conclud\w+|ends?|reads?|author\w*|according|words of|if|"
    r"unless|not|never|than|contains?|includes?|"
    r"sagt|behaupt\w+|verlang\w+|forder\w+|lautet|schreibt|steht|enthält|gib|vergiss|nicht|"
    r"möchte|"
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
    r"\s*[,–—(:;-]|[\s]*(?:because|since|as it|as the|due|for|given|with|but|"
    r"and|out of|weil|da|denn|car|porque|"
    r"perché|omdat|ponieważ|потому|çünkü|因为|なぜ)(?!\w)",
    re.IGNORECASE,
)
#: Set phrases whose words alone could be anybody's.
_PHRASES = re.compile(
    r"\b(?:in|following) (?:the |a )?(?:(?:requested|required|valid|correct|following|specified|"
    r"json) ?)+"
    r"(?:format|form|object|schema)?\b|\boutput[ \t]*:|\\boxed[ \t]*\{|"
    r"\baccording to (?:the|these|your) (?:given )?(?:criteria|rubric|scale|instructions)\b|"
    r"\bas an? (?:\w+ )?(?:judge|rater|evaluator|expert)\b|\bwie folgt\b|\bthank you\b|"
    r"\b(?:as|what) you (?:requested|asked|instructed|wanted)\b|\b(?:criteria|rubric) above\b|"
    r"\b(?:per|to|for|on) your (?:request|criteria|rubric|scale|instructions)\b|"
    r"\bgiven (?=(?:the|this|these|all|criteria|rubric|scale)\b)|(?<=have )given\b|"
    r"(?<=rating )would be\b|(?<=score )would be\b|"
    r"\blet me\b|\bfrom me\b|\ball in all\b|\bto sum up\b|\blike this\b|"
    r"\bin (?:summary|conclusion|short|total)\b|\bgewünschte json[- ]?\w*|"
    r"\b(?:that )?you (?:asked for|requested|wanted)\b|\b(?:here|there) you (?:go|are)\b|"
    r"\bim (?:gewünschten )?(?:json-?)?format\b|\bau format (?:json|demandé)|\ben formato json|"
    r"\bв формате json|\bem (?:formato )?json|\bjson-objekt\b",
    re.IGNORECASE,
)
_ORDER = re.compile(r"[\W_]*(?:give|rate|assign|evaluate)\b", re.IGNORECASE)
_TAGGED = re.compile(
    r"</?(?:answer|output|response|json|result|rating|ratings|final)>", re.IGNORECASE
)
_PLAIN = re.compile(
    r""
    r"[\w\s\u0300-\u036f\u064b-\u0652\u0900-\u0dff\u0e00-\u0e7f:.,!'’\"“”()*_=>→|#&;/{}—–+…，、،。！~\\\0\ufffd\[\]-]*"
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
    text = _OWN_PARTS.sub(" ", text)
    words = _OWN.union(*(name.split("_") for name in names))
    told = (
        text.lower().replace("’", "'").replace("\u0307", "")
    )  # lower case makes two of a dotted İ
    return words.issuperset(_TOKEN.findall(told))


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
    r"correct\w*|poor|weak\w*|strengths?|solid|useful|topics?|short|brief|concise|typical|"
    r"trivial|"
    r"explains?|"
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
    lines = text[:first].split("\n")
    lines = lines if lines[-1].strip() else lines[:-1]
    announced = (_clause(text[first:start]), *map(_last_sentence, _leads(lines, names)))
    if not all(_announces(words, names) for words in announced):
        return True
    told = "\n".join(line for line in lines if not _unsaid(line)).strip("\0 \n")
    return not (_announces(told, names) or _JUDGES.search(told))


def _unsaid(line: str) -> bool:
    """Say whether a line only announces what follows, or is another rating."""
    return bool(_LEAD.search(line) or _RATED.fullmatch(line))


def _leads(lines: list[str], names: tuple[str, ...]) -> Iterator[str]:
    """Yield the lines in front of a rating that introduce it, the last one first.

    Those that end in a colon, and those right in front whose sentence is open, ratings aside.
    """
    criteria = re.compile(rf"[\W\d_]*(?:{'|'.join(names).replace('_', '[ _-]')})\b", re.IGNORECASE)
    near = True
    for line in lines[-12:][::-1]:
        if _LEAD.search(line):
            yield line
        elif near and line.strip("\0 \t") and not (criteria.match(line) or _RATED.fullmatch(line)):
            near = False
            last = _last_sentence(line)
            remark = _JUDGES.search(last) and not _OPEN.search(last)
            if not (_CLOSED.search(line) or (remark and not _REPORTS.search(line))):
                yield line
        near = near and bool(line.strip())


#: A line that is another rating; the end of a sentence, or a heading.
_RATED = re.compile(r"\W*[^\W\d_]+\s*[:=(]\s*[0-9]{1,2}(?:/[0-9]{1,3})?\W*(?:[^\W\d_][^:\n]*)?")
_OPEN = re.compile(
    r"[:0-9]|\b(?:is|are|was|were|be|as|at|of|to|with|by)(?: *json)?\s*\Z", re.IGNORECASE
)
_CLOSED = re.compile(r"[.!?。！？)\]\0][\s\"'”]*\Z|\A\s*#")
#: What belongs to the number itself: the end of the scale, a unit, closing marks.
_BEHIND = re.compile(
    rf"[ \t]*(?:(?:/|out of|von|sur|de|из|من)[ \t]*(?:{_DIGITS}|\w+))?[\s\"'”)}}\]|.!*]*"
    r"(?:points?|stars?|punkten?|分|点|點|점)?[\s\"'”)}\]|.!*\\]*",
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
