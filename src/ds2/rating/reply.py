"""From a reply to ratings, or to a named problem.

The parser sees the reply and the scale and nothing else, and a reply is not a place to search: a
rater may repeat what the example demands. Reasoning is skipped. Asked for an object, one object
gives the ratings, which stands alone or among words that are the rater's own; asked for text, that
object or one number does. Every other number that could be a rating must be the same, else there
is none: "ambiguous". A reply that repeats the prompt, or whose only candidate is somebody else's,
is "quoting". Nothing is guessed, and what may be cut off is none. Asked for one token, its
log-probabilities give the expected rating.
"""

import json
import math
import re
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import islice

from ds2.errors import InputError
from ds2.rating.fence import repeats_prompt
from ds2.rating.rater import REFUSAL, Answer
from ds2.rating.rubric import Rubric
from ds2.rating.store import REPLIED, Row
from ds2.rating.values import Reader, listed, plain, whole_value

__all__ = [
    "REPLY_PROBLEMS",
    "Expected",
    "Reading",
    "expected_rating",
    "level_tokens",
    "parse_reply",
    "read_answer",
    "read_row",
]

#: Endpoints return at most this many log-probabilities of a token.
MOST_LEVELS = 20
#: What tokenizers write for the space in front of a word.
_SPACES = " \t\n\r\u2581\u0120\u010a"


@dataclass(frozen=True, slots=True)
class Expected:
    """A rating as a distribution over the levels.

    Attributes:
        value: E[rating] = Σ r · P(r), P over the levels only.
        spread: the standard deviation of that distribution, in rating units.
        covered: what the levels' tokens had of the probability before P was made to sum to 1.
    """

    value: float
    spread: float
    covered: float


def level_tokens(rubric: Rubric) -> tuple[str, ...]:
    """Return one symbol per level, lowest level first, each a single token for usual tokenizers.

    Digits where every level is one digit. Otherwise ("10" often is two tokens) letters, A for the
    highest level, as in school grades.

    Raises:
        InputError: the scale has more levels than an endpoint gives log-probabilities.
    """
    levels = rubric.levels
    if len(levels) > MOST_LEVELS:
        raise InputError(
            f"The reply form 'expected' needs a scale of at most {MOST_LEVELS} levels. The rubric "
            f"'{rubric.name}' has {len(levels)}: choose another form, or a shorter scale."
        )
    if levels[0] >= 0 and levels[-1] <= 9:
        return tuple(str(level) for level in levels)
    return tuple(reversed(string.ascii_uppercase[: len(levels)]))


def expected_rating(
    top_logprobs: Mapping[str, float], rubric: Rubric, *, min_covered: float = 0.5
) -> Expected | None:
    """Return E[rating] from a token's top log-probabilities; None: they hardly cover the levels.

        P(r) = p(r) / Σ_s p(s),   E = Σ_r r·P(r),   spread² = Σ_r (r − E)²·P(r)

    p(r) sums over the spellings of the level's token (with and without the space in front). A
    level that is not among the top tokens has p = 0. Some servers report log-probabilities from
    before the grammar's mask, so the sum over the levels may be below 1: it is returned as
    ``covered``, and below ``min_covered`` there is no rating.

    Args:
        top_logprobs: token → natural log-probability.
        rubric: what was asked; its levels have the symbols of `level_tokens`.
        min_covered: the least probability that the levels must have together.
    """
    mass = dict.fromkeys(level_tokens(rubric), 0.0)
    for token, logprob in top_logprobs.items():
        symbol = token.strip(_SPACES)
        if symbol in mass and logprob <= 0.5:  # also leaves out NaN
            mass[symbol] += math.exp(min(logprob, 0.0))
    covered = math.fsum(mass.values())
    if covered <= 0.0 or covered < min_covered:
        return None
    shares = [(r, p / covered) for r, p in zip(rubric.levels, mass.values(), strict=True)]
    value = math.fsum(share * r for r, share in shares)
    variance = math.fsum(share * (r - value) ** 2 for r, share in shares)
    value = min(max(value, rubric.scale.low), rubric.scale.high)
    return Expected(value, math.sqrt(variance), min(covered, 1.0))


#: Why a reply holds no rating. "truncated": it was cut, or ended before the rating came.
REPLY_PROBLEMS = (
    "empty",
    "refused",
    "unparsable",
    "out of range",
    "truncated",
    "ambiguous",
    "quoting",
)

#: A reply that is longer (its reasoning aside) is no rating.
_LONGEST = 40_000
_MOST_OBJECTS = 1_000
#: A reply with more numbers that could be ratings is a list of something else.
_MOST_CANDIDATES = 64
_DEPTH = 4

_WORDS = r"think|thinking|thoughts?|reasoning|analysis|scratchpad|seed:think"
_REASONING = re.compile(
    rf"(?P<open><(?:{_WORDS})\s*>|\[THINK\]|◁think▷|<\|begin_of_thought\|>|"
    r"<\|channel\|>\s*(?:analysis|commentary)\b[^<]*<\|message\|>)"
    rf"|</(?:{_WORDS})\s*>|\[/THINK\]|◁/think▷|<\|end_of_thought\|>|"
    r"<\|channel\|>\s*final\b[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>",
    re.IGNORECASE,
)
#: What some servers leave around a reply: the head of its turn, and tokens that end it.
_HEAD = re.compile(
    r"(?:<\|[^<>|]{1,30}\|>\s*+)*+(?:assistant|model)?+(?:<\|[^<>|]{1,30}\|>|\s*+:|[^\S\n]*+\n|(?=\s*+[{`\[]))",
    re.IGNORECASE,
)
_END = re.compile(r"(?:</s>|<[|｜][^<>|｜]{1,30}[|｜]>|</?(?:eos|end_of_turn|end_of_text)>)\Z")
_LONGEST_END = 40
#: A reply that is in quotation marks or brackets from its beginning to its end.
_WHOLE = re.compile(r"[\"'“][^\"'“”]*[\"'”]|\"\{.*\}\"|\([^()]*\)|\{\s*\{.*\}\s*\}", re.DOTALL)
#: Quotes of an object that are written as those of a text.
_ODD_QUOTES = re.compile(r"\{\s*(\\\"|[“”])")
_UNFINISHED = re.compile(r"[\w./-]+\Z")
#: A refusal in the rater's own voice: no number of such a reply is a rating.
_REFUSES = re.compile(
    r"\b(?:I|we)(?:['’]m| am| are)? (?:(?:really|simply|unfortunately|therefore|also) )?"
    r"(?:can(?:no|['’])t|cannot|can not|could not|(?:not able|unable) to|won['’]t|will not|"
    r"(?:must )?(?:refuse|decline)(?: to)?|not comfortable|must not)\b.{0,40}?\b(?:assist|help|"
    r"rat(?:e|ing)|evaluate|assess|judge|provide|comply|engage|fulfill|score|respond|continue|process)"
    r"|\bI(?:['’]m| am) (?:so |very )?sorry\b|\bI apologi[sz]e\b|\bas an ai\b|\bunable to rate\b"
    r"|\bI (?:must )?(?:decline|refuse)[.!]|\bI must (?:decline|refuse)\b"
    r"|\bno rating\b|\bnothing to rate\b"
    r"|\b(?:paste|send|share|provide) (?:me )?(?:the|your) (?:example|conversation|text)\b"
    r"|\b(?:kann|darf|möchte|werde)\b.{0,40}\bnicht\b.{0,20}\b(?:bewerten|beurteilen|helfen)"
    r"|\btut mir leid\b|\bje (?:ne|n['’]) ?(?:peux|suis)\b|\bdésolée?\b|\blo siento\b|"
    r"\bno puedo\b|\bnão posso\b|\bdesculpe\b|\bmi dispiace\b|\bnon posso\b|\bя не могу\b|"
    r"\bизвините\b|抱歉|对不起|我(?:無法|无法|不能)|申し訳|評価できません|できません|죄송|آسف|"
    r"لا أستطيع|üzgünüm|xin lỗi|maaf",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one reply says.

    Attributes:
        values: criterion → rating, on the scale; only those that were found.
        problem: why the scored criterion has none, of a reply one of `REPLY_PROBLEMS` or
            "uncovered"; None where it has one.
        spread: the standard deviation that the rater itself states, where it does.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    problem: str | None = None
    spread: float | None = None


def parse_reply(text: str, rubric: Rubric, *, form: str = "text", cut: bool = False) -> Reading:
    """Read the ratings in a reply; never raises, and never returns a number that is not in it.

    Args:
        text: the reply, and nothing of the prompt.
        rubric: what was asked.
        form: the reply form that was asked for: where it is an object, text holds no rating.
        cut: the endpoint said that the reply ended at the token limit.
    """
    if _FLAT.fullmatch(text) and (usual := _usual(text, rubric)):
        return Reading(usual, None)
    if not text.strip():
        return Reading({}, "truncated" if cut else "empty")
    answer, closed = _without_reasoning(text)
    answer = answer.strip()
    if len(answer) > _LONGEST or not closed:
        return Reading({}, "truncated" if not closed else "unparsable")
    answer = plain(_bare(answer), rubric.scale.high).strip()
    if repeats_prompt(answer):
        return Reading({}, "quoting")
    found, problem = _read(_UNFINISHED.sub("", answer) if cut else answer, rubric, form)
    low, high = rubric.scale.low, rubric.scale.high
    values = {name: value for name, value in found.items() if low <= value <= high}
    if rubric.scored in found:
        return Reading(values, None if rubric.scored in values else "out of range")
    return Reading(values, "truncated" if cut and problem == "unparsable" else problem)


#: What nearly every reply is: one flat object of numbers.
_FLAT = re.compile(r"\{(?:\s*\"[a-z_]{1,40}\"\s*:\s*[0-9]{1,4}\s*(?:,|(?=\})))+\s*\}")
_PAIR = re.compile(r"\"([a-z_]+)\"\s*:\s*([0-9]+)")


def _usual(text: str, rubric: Rubric) -> dict[str, float] | None:
    """Return the ratings of a flat object with each criterion once; None where it has others."""
    pairs = _PAIR.findall(text)
    found = {name: float(value) for name, value in pairs}
    low, high = rubric.scale.low, rubric.scale.high
    if len(pairs) != len(found) or found.keys() != set(rubric.names):
        return None
    return found if all(low <= value <= high for value in found.values()) else None


def _bare(answer: str) -> str:
    """Return a reply without the head of its turn and the tokens that end it."""
    head = _HEAD.match(answer)
    answer = answer[head.end() if head else 0 :].strip()
    while end := _END.search(answer, max(0, len(answer) - _LONGEST_END)):
        answer = answer[: end.start()].rstrip()
    whole = _WHOLE.fullmatch(answer)
    answer = answer[1:-1].strip() if whole else answer
    odd = _ODD_QUOTES.match(answer)
    return re.sub(r"\\\"|[“”]", '"', answer) if odd else answer


def _without_reasoning(text: str) -> tuple[str, bool]:
    """Return the text outside of reasoning, and whether the last reasoning was closed.

    An end without a beginning means that all before it was reasoning: some chat templates put the
    beginning into the prompt.
    """
    kept: list[str] = []
    start, inside, seen = 0, False, False
    for mark in _REASONING.finditer(text):
        opens = mark["open"] is not None
        if not inside and (opens or seen):
            kept.append(text[start : mark.start()])
        inside, seen, start = opens, True, mark.end()
    if not inside:
        kept.append(text[start:])
    return "\n".join(kept), not inside


def _read(answer: str, rubric: Rubric, form: str) -> tuple[dict[str, float], str]:
    """Return every rating found, also those outside the scale; else why there is none."""
    scored = rubric.scored
    if form == "text" and (numbers := listed(answer, rubric.names)):
        return dict(zip(rubric.names, numbers, strict=True)), ""
    blocks = list(_objects(answer, rubric))
    if len(blocks) == 1 and blocks[0][:2] == (0, len(answer)):  # alone: nothing else to look at
        _, _, alone, deeper = blocks[0]
        return alone, "quoting" if deeper else "unparsable"
    prose = answer  # with something in the objects' place that is neither a word nor a space
    for start, end, *_ in blocks:
        prose = prose[:start] + "\0" * (end - start) + prose[end:]
    objects = [(start, end, found) for start, end, found, _ in blocks if found]
    if prose.strip() and _REFUSES.search(prose):
        return {}, "refused"
    if _OPEN_OBJECT.search(prose):
        return {}, "truncated"
    told = list(islice(_reader(rubric).read(prose), _MOST_CANDIDATES + 1))
    said = [one for one in told if one.name]
    every = {found[scored] for _, _, found in objects if scored in found}
    every |= {one.value for one in said if one.name == scored}
    inner = {value for *_, values in blocks for value in values}
    many = len(told) > _MOST_CANDIDATES
    if many or len(every) > 1 or any(found != objects[0][2] for _, _, found in objects):
        return {}, "ambiguous"
    mine = {one.start for one in told if one.own}
    own = [pair for start, _, found in objects[:1] if start in mine for pair in found.items()]
    if form == "text":
        own += [(one.name, one.value) for one in said if one.own]
    values = {name: {value for other, value in own if other == name} for name, _ in own}
    found = {name: given.pop() for name, given in values.items() if len(given) == 1}
    quoting = every or inner if objects or inner or form == "text" else ()
    return found, "quoting" if quoting else "unparsable"


@lru_cache(maxsize=16)
def _reader(rubric: Rubric) -> Reader:
    return Reader(rubric.names, rubric.scored, rubric.scale.low, rubric.scale.high)


class _Number(str):
    """A number of an object, as it was written."""

    __slots__ = ()


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return an object; a key that is there twice, with different values, has none."""
    found: dict[str, object] = {}
    for key, value in pairs:
        found[key] = value if found.get(key, value) == value else None
    return found


_DECODER = json.JSONDecoder(
    strict=False,
    parse_int=_Number,
    parse_float=_Number,
    parse_constant=_Number,
    object_pairs_hook=_pairs,
)
#: What is an object but for its quotes or a comma, as Python and careless raters write it.
_LOOSE = re.compile(r"\{[^{}]*\}")
_LOOSE_PAIR = re.compile(
    r"[\"']?(\w[\w \t-]{0,60}?)[\"']?[ \t]*:[ \t]*([^,\n{}]{1,40}?)[ \t]*(?=[,\n}])"
)
#: What a rater notes beside a number: "// fair".
_COMMENT = re.compile(r"(?<=[\d\s,\"'])(?://|#)[^\n]*|/\*[^{}]*?\*/")
#: The beginning of an object that has no end.
_OPEN_OBJECT = re.compile(r"\{\s*(?:[\"'“]|\w+[\"'”]?\s*:|\Z)")

#: start, end, criterion → rating, and what is rated deeper inside, under names of somebody else.
_Block = tuple[int, int, dict[str, float], list[float]]


def _objects(text: str, rubric: Rubric) -> Iterator[_Block]:
    """Yield the complete objects that are in no other, first to last."""
    done = 0
    for start in [found.start() for found in re.finditer(r"\{", text)][:_MOST_OBJECTS]:
        if start < done:
            continue
        try:
            value, done = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            loose = _LOOSE.match(text, start)
            pairs = _LOOSE_PAIR.findall(_COMMENT.sub("", loose[0])) if loose else []
            if loose is None or not pairs:
                continue
            value = _pairs([(key, _Number(said.strip("\"' "))) for key, said in pairs])
            done = loose.end()
        found = _of_object(value, text[start:done], rubric)
        inner = [] if rubric.scored in found else list(_inner(value, rubric, 0))
        yield start, done, found, inner


#: Under these keys an object may hold the ratings one level deeper.
_HOLDERS = re.compile(
    r"(?:my|final|the|json)?(?:ratings?|scores?|grades?|evaluations?|assessments?|results?|criteria|"
    r"verdict|judge?ments?)|parameters|arguments"
)
#: The same where there is nothing else.
_WRAPPERS = re.compile(r"response|output|answer|reply|json|data|values?|final")


def _of_object(value: Mapping[str, object], source: str, rubric: Rubric) -> dict[str, float]:
    """Return the ratings in an object: by a criterion's name, else the scored one's by "rating".

    A text that is written with escapes, and so is not in the ``source``, holds no rating.
    """
    found: dict[str, float] = {}
    for _ in range(_DEPTH):
        for name in rubric.names:
            if (rating := _rating(value, source, name, rubric.scale.high)) is not None:
                found[name] = rating
        if rubric.scored not in found:
            rating = _rating(value, source, "", rubric.scale.high)
            if rating is not None:
                found[rubric.scored] = rating
        deeper = [
            inner
            for key, held in value.items()
            for inner in (held if isinstance(held, list) and len(held) == 1 else [held])
            if isinstance(inner, dict)
            and (
                _HOLDERS.fullmatch(_plain_key(key))
                or (len(value) == 1 and _WRAPPERS.fullmatch(_plain_key(key)))
            )
        ]
        named = any(_plain_key(key) in _spellings(rubric.scored) for key in value)
        if found or named or len(deeper) != 1:
            return found
        value = deeper[0]
    return found


def _inner(value: object, rubric: Rubric, depth: int) -> Iterator[float]:
    """Yield what a value says of the scored criterion, at any depth."""
    if isinstance(value, dict) and depth < _DEPTH:
        rating = _rating(value, json.dumps(value), rubric.scored, rubric.scale.high)
        if rating is not None:
            yield rating
        for inner in value.values():
            yield from _inner(inner, rubric, depth + 1)


_NOUNS = ("rating", "score", "grade", "value", "note", "nota", "finalrating", "finalscore")


@cache
def _spellings(name: str) -> frozenset[str]:
    wanted = name.replace("_", "")
    found = {wanted, *(wanted + noun for noun in _NOUNS), *(noun + wanted for noun in _NOUNS)}
    return frozenset(found - {""})


@lru_cache(maxsize=1024)
def _plain_key(key: str) -> str:
    return re.sub(r"\s*\([^()]*\)|[\W_]+", "", key).lower()


def _rating(value: Mapping[str, object], source: str, name: str, high: float) -> float | None:
    """Return the number under a criterion's key, however the key is written; once, or none."""
    spellings, found = _spellings(name), set[float | None]()
    for key, inner in value.items():
        if _plain_key(key) not in spellings:
            continue
        if isinstance(inner, dict) and name:
            found.add(_rating(inner, source, "", high))
        elif isinstance(inner, str):
            written = isinstance(inner, _Number) or f'"{inner}"' in source
            found.add(whole_value(inner, high) if written else None)
        else:
            found.add(None)
    return found.pop() if len(found) == 1 else None


def read_answer(answer: Answer, *, rubric: Rubric, form: str) -> Reading:
    """Read a reply of the given form."""
    if answer.finish_reason == REFUSAL:
        return Reading(problem="refused")
    if form != "expected":
        cut = answer.finish_reason == "length"
        reply = parse_reply(answer.text, rubric, form=form, cut=cut)
        filtered = reply.problem is not None and answer.finish_reason == "content_filter"
        return Reading(reply.values, "refused" if filtered else reply.problem)
    expected = expected_rating(answer.top_logprobs or {}, rubric)
    if expected is None:
        return Reading(problem="uncovered")
    return Reading({rubric.scored: expected.value}, None, expected.spread)


def read_row(row: Row, *, rubric: Rubric, form: str) -> Reading:
    """Read a row of the store with the parser as it is today."""
    if row.state != REPLIED:
        return Reading(problem=row.problem or "server error")
    logprobs = json.loads(row.logprobs) if row.logprobs else None
    answer = Answer(row.reply or "", row.finish_reason, top_logprobs=logprobs)
    return read_answer(answer, rubric=rubric, form=form)
