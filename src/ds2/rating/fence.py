"""The fence around an example: lines that carry a mark, and texts that cannot imitate them.

Whoever wrote the example does not know the run's nonce, and so not the mark that is derived from
it. Even a text that holds the mark cannot close the fence: `neutralise` takes every look-alike of
the mark out, and breaks what a server or a model might take for the control tokens of a chat or for
the head of a turn. Everything else stays as it was written.
"""

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

__all__ = ["fence_line", "fence_mark", "neutralise", "repeats_prompt"]

_LETTERS = "bcdfghjklmnpqrstvwxz"
_LENGTH = 10


def fence_mark(nonce: str) -> str:
    """Return the mark of a run: ten consonants from the hash of its nonce (43 bits)."""
    digest = hashlib.sha256(b"ds2 fence\0" + nonce.encode("utf-8", "surrogatepass")).digest()
    number = int.from_bytes(digest, "big")
    return "".join(_LETTERS[number // 20**place % 20] for place in range(_LENGTH))


def fence_line(mark: str, says: str) -> str:
    """Return a line that only ds2 can have written."""
    return f"[[{mark}: {says}]]"


_FENCE = re.compile(rf"\[\[[{_LETTERS}]{{{_LENGTH}}}[ \t]*:")
#: Somebody who asks, as the head of a turn in other layouts.
_ASKS = re.compile(
    r"^[ \t]*(?:user|human|system|(?:q|question|input|prompt)[ \t]*:.*)[ \t]*$", re.MULTILINE
)
_ANSWERS = ("assistant", "ai", "bot", "rater", "judge", "grader", "response", "output")


def repeats_prompt(reply: str) -> bool:
    """Say whether a reply holds a line of a fence, whatever its mark, or the head of a turn.

    Its first line may be the head of an answer ("Assistant:"), which some raters begin with.
    """
    folded = _fold(reply)
    if _FENCE.search(folded) or _ASKS.search(folded):
        return True
    return any(
        found.start() > 0 or not found[0].strip(" \t#*_[](){}\"'`-:").startswith(_ANSWERS)
        for found in _TURN.finditer(folded)
    )


def neutralise(text: str, mark: str) -> str:
    r"""Return ``text`` with nothing in it that looks like the fence or like control tokens.

    Look-alikes are found after folding: compatibility forms, case, accents, invisible characters,
    and letters and brackets of other scripts that look the same. A space goes behind the first
    character of a control token, "> " before a line that begins like a turn, and "[mark]" in the
    place of the fence's mark. Line ends become ``\n``; control characters become U+FFFD; the
    invisible tag characters (U+E0000 to U+E007F) are dropped.
    """
    text = _quote_turns(_clean(text))
    while spans := [
        (found.start(), found.end(), found[1] is not None)
        for found in re.finditer(f"({mark})|{_CONTROL}", _fold(text))
    ]:
        text = _break_up(text, spans)
    return text


def _quote_turns(text: str) -> str:
    heads = [found.start() for found in _TURN.finditer(_fold(text))]
    if not heads:
        return text
    sources = _sources(text)
    cuts = [0, *(sources[head] for head in heads), len(text)]
    return "> ".join(text[start:stop] for start, stop in pairwise(cuts))


def _break_up(text: str, spans: list[tuple[int, int, bool]]) -> str:
    """Change what the spans of the folded text come from: start, end, and if it is the mark."""
    sources = _sources(text)
    pieces: list[str] = []
    done = 0
    for start, end, is_mark in spans:
        first, last = sources[start], sources[end - 1]
        if first < done:  # one character that folds into two spans
            continue
        plain = _FOLD[ord(text[first])]
        if is_mark:
            pieces += [text[done:first], "[mark]"]
        elif len(plain) == 1:
            pieces += [text[done : first + 1], " "]
        else:
            pieces += [text[done:first], plain[0], " ", plain[1:]]
        done = last + 1 if is_mark else first + 1
    return "".join(pieces) + text[done:]


def _sources(text: str) -> Sequence[int]:
    """Return for each character of the folded text which one of ``text`` it comes from."""
    if text.isascii():
        return range(len(text))
    return [at for at, char in enumerate(text) for _ in _FOLD[ord(char)]]


_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_UNFIT = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff]")
_TAGS = re.compile("[\U000e0000-\U000e007f]")


def _clean(text: str) -> str:
    text = _LINE_ENDS.sub("\n", text)
    return _TAGS.sub("", _UNFIT.sub("\ufffd", text))


def _fold(text: str) -> str:
    return text.lower() if text.isascii() else text.translate(_FOLD)


class _Folding(dict[int, str]):
    """What a character looks like, as plain lower-case characters; filled as characters come."""

    def __missing__(self, code: int) -> str:
        folded = "".join(
            _LOOKS_LIKE.get(part, part)
            for char in unicodedata.normalize("NFKD", _LOOKS_LIKE.get(chr(code), chr(code)))
            if unicodedata.category(char) not in {"Mn", "Me", "Cf"}
            for part in char.casefold()
        )
        self[code] = folded
        return folded


def _pairs(plain: str, others: str) -> dict[str, str]:
    return {
        other: char for char, group in zip(plain, others.split(), strict=True) for other in group
    }


#: Characters that compatibility forms do not unite with the plain one that they look like; letters
#: that nobody sees (the fillers of Hangul, the empty Braille cell) look like nothing.
_LOOKS_LIKE = {
    **dict.fromkeys("\u115f\u1160\u3164\uffa0\u2800", ""),
    **_pairs("<>[]|/:#_", "‹«〈⟨《˂ᐸ≺❮❬⟪ ›»〉⟩》˃ᐳ≻❯❭⟫ 【〔⟦〖 】〕⟧〗 ¦∣ǀ│┃❘丨׀ ⁄∕╱ ꞉׃∶ː ♯ ▁"),
    **_pairs(
        "abcdefghijklmnopqrstuvwxyz",
        "аαɑ вβьƅ сϲ ԁɗ еєε ғƒ ɡԍ нһհ іιıɩ јϳ кκ ӏⅼ м пηո оοօ рρ ԛգ гɼ ѕꜱ тτ υսц νѵ ԝωա хχ уγү ᴢ",
    ),
}
_FOLD = _Folding()

_ROLES = _fold(
    "system|developer|user|human|assistant|ai|bot|chatbot|rater|judge|grader|admin|administrator|"
    "système|utilisateur|assistente|asistente|sistema|usuario|usuário|utente|benutzer|nutzer|"
    "assistent|система|пользователь|ассистент|помощник|系统|系統|用户|用戶|助手|システム|ユーザー|"
    "アシスタント|시스템|사용자|어시스턴트|النظام|المستخدم|(?:ال)?مساعد|प्रणाली|उपयोगकर्ता|सहायक|sistem|"
    "kullanıcı|asistan|hệ thống|người dùng|trợ lý"
)
_HEADINGS = f"{_ROLES}|instructions?|input|response|output"
#: A line that begins like the head of a turn: "System:", "**User** (note):", "### Response".
_TURN = re.compile(
    rf"^[ \t]*(?:(?:[^\w\s>]|_){{1,4}}[ \t]*|[0-9]{{1,2}}[.)][ \t]*)?(?:{_ROLES})"
    r"(?:[ \t]+(?:prompt|message|note|notice|override|update|turn|instruction)|提示|消息|指令)?"
    r"[\])}*_\"'`”’»]*[ \t]*(?:\([^()\n]{0,40}\)[ \t]*)?:"
    rf"|^[ \t]*#+[ \t]*(?:{_HEADINGS})[ \t]*(?::[ \t]*)?(?:#+[ \t]*)?$",
    re.MULTILINE,
)
#: The control tokens of the chat templates of models that were current in CONTROL_DATE: one list,
#: in which a new template's tokens are added, with the date. Shapes come first, then names.
CONTROL_DATE = "2026-11"
_TAG_NAMES = (
    r"s|bos|eos|eop|eoh|eoa|pad|unk|sep|cls|mask|img|eot|eod|sop|endof\w{4,10}|think|thinking|thoughts?|"
    r"reasoning|answer|tools?|toolcalls?|functions?|parameter|(?:function|parameter)=[^<>\n]{0,60}|"
    r"invoke|sys|system|system-reminder|developer|user|human|assistant|model|bot|turn|channel|example|"
    r"instructions?|image|audio|video|steps|escape|filename|ctrl\d+|unused\d+|0x[0-9a-f]{2}|"
    r"(?:seed|minimax|antml|longcat|hy|kimi|co)[:_]\w{1,40}|[^\W_]*_\w*"
)
#: Shapes of control tokens, and lines like those of the fence.
_CONTROL = (
    r"<\|[^<>|\n]{1,64}\|>|<\|[\w/]{1,40}>|</?\w{1,40}\|>|<</?sys>>|</?co:|"
    r"</?\|\w{1,20}\|[^<>|\n]{1,60}>|"
    rf"</?(?:{_TAG_NAMES})>|"
    r"<\[/?[\w -]{1,64}\]>|\[\|[^\[\]|\n]{1,40}\|\]|◁/?\w{1,20}▷|"
    r"\]~!?b[\[\]]|\[e~\[|/no_?think|(?<![\w/])/think\b|"
    r"\[/?(?:inst|sys|system|system_prompt|available_tools|tool_calls|tool_results|tool_content|"
    r"think|args|call_id|gmask|smask|bos|eos|sop|eop|unk|pad|sep|cls|mask|img|img_end|img_break|"
    r"model_settings|prefix|suffix|middle|audio|begin_audio|transcribe|control_\d{1,4})\]|"
    r"\[\[[^\[\]\n]{0,40}:[ \t]*(?:example|end|system|user|assistant|tool|other|[\d,]+ \w+ left)"
    r"[^\[\]\n]{0,30}\]\]"
)
