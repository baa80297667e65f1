"""Chat templates: how turns become text, and the token at which an answer stops.

A template is Jinja, as models ship it, and rendered in a sandbox. A base model has none; for it
there is `TULU`, whose marks are plain text: no token is added whose embedding LoRA never trains.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from json import dumps
from pathlib import Path
from typing import Any, Protocol

from ds2.errors import InputError

__all__ = ["TULU", "Template", "TemplateRefusedError", "Tokenizer", "Turns", "load_template"]

Turns = Sequence[tuple[str, str]]
#: The day that a template is told which asks for it: what is trained or evaluated tomorrow must see
#: the same prompts. Llama's own templates take it where nobody tells them.
TODAY = datetime(2024, 7, 26)

#: As in the paper: turns after <|user|> and <|assistant|>, an answer closed by the end of text.
TULU = (
    "{%- for message in messages -%}"
    "{%- if message['role'] not in ['system', 'user', 'assistant'] -%}"
    "{{ raise_exception('a turn of role ' + message['role']) }}{%- endif -%}"
    "{{ '<|' + message['role'] + '|>\\n' + message['content'] }}"
    "{{ eos_token if message['role'] == 'assistant' else '' }}"
    "{{ '' if loop.last and message['role'] == 'assistant' and not add_generation_prompt "
    "else '\\n' }}"
    "{%- endfor -%}"
    "{{ '<|assistant|>\\n' if add_generation_prompt else '' }}"
)


class Tokenizer(Protocol):
    """What is used of a tokenizer; those of transformers have it."""

    chat_template: Any
    added_tokens_decoder: Any

    def __call__(self, text: str, *, add_special_tokens: bool) -> Any:
        """Return a mapping with ``input_ids``."""

    def decode(self, ids: Sequence[int]) -> Any:
        """Return the text of ids."""


class TemplateRefusedError(ValueError):
    """The template does not take these turns."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template, bound to a tokenizer.

    Attributes:
        name: ``chat`` (the model's own), ``tulu``, or the name of a file.
        source: its Jinja text.
        stop: the token that ends an answer.
        stop_id: its id.
        marks: what the template may name: ``eos_token``, ``bos_token`` and so on.
        special: id of each token that the tokenizer never makes of plain text.
    """

    name: str
    source: str
    stop: str
    stop_id: int
    marks: Mapping[str, str]
    special: Mapping[str, int]

    def render(self, turns: Turns, *, prompt: bool = False) -> str:
        """Return the text of the turns; with ``prompt``, up to where an answer begins.

        Raises:
            TemplateRefusedError: it does not take these turns, such as a system turn.
        """
        return _render(self.source, self.marks, turns, prompt)


def load_template(tokenizer: Tokenizer, template: str = "auto") -> Template:
    """Return the template: ``auto`` (the tokenizer's own, else tulu), ``tulu``, or a .jinja file.

    Raises:
        InputError: the file cannot be read, or an answer does not end with one special token.
    """
    special = {str(token): int(i) for i, token in tokenizer.added_tokens_decoder.items()
               if getattr(token, "special", False)}  # fmt: skip
    marks = {
        name: str(getattr(tokenizer, name, None) or "")
        for name in ("bos_token", "eos_token", "unk_token", "pad_token")
    }
    name, source = _source(tokenizer, template, marks)
    try:
        text = _render(source, marks, (("user", "Question."), ("assistant", "Answer.")), False)
    except TemplateRefusedError as error:
        raise InputError(
            f"The template '{name}' does not render a question and an answer ({error}). "
            "Set 'train.template' to tulu, or to another .jinja file."
        ) from None
    tail = text.rpartition("Answer.")[2]
    stops = [mark for mark in special if mark and mark in tail]
    if "Answer." not in text or not stops:
        raise InputError(
            f"The template '{name}' ends an answer with {tail!r}, in which the tokenizer has no "
            "special token: a model trained on it would not learn to stop. Put eos_token behind "
            "the answer, or set 'train.template' to tulu."
        )
    stop = min(stops, key=lambda mark: (tail.index(mark), -len(mark)))
    return Template(name, source, stop, special[stop], marks, special)


def _source(tokenizer: Tokenizer, template: str, marks: Mapping[str, str]) -> tuple[str, str]:
    own = getattr(tokenizer, "chat_template", None)
    if template == "auto" and own:
        return "chat", str(own.get("default", next(iter(own.values()))) if isinstance(own, Mapping)
                           else own)  # fmt: skip
    if template in ("auto", "tulu"):
        if not marks["eos_token"]:
            raise InputError(
                "The tokenizer names no eos_token, and the template 'tulu' ends an answer with "
                "it. Set 'train.template' to a .jinja file that ends answers with a token it has."
            )
        begins = tokenizer("a", add_special_tokens=True)["input_ids"][:1]
        bare = tokenizer(marks["bos_token"], add_special_tokens=False)["input_ids"][:1]
        return "tulu", "{{ bos_token }}" * int(begins == bare and bool(marks["bos_token"])) + TULU
    path = Path(template)
    try:
        return path.name, path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"'train.template' is '{template}', which cannot be read "
            f"({getattr(error, 'strerror', None) or 'not UTF-8'}). "
            "Give auto, tulu, or the path of a .jinja file."
        ) from None


def _render(source: str, marks: Mapping[str, str], turns: Turns, prompt: bool) -> str:
    import jinja2

    messages = [{"role": role, "content": content} for role, content in turns]
    try:
        return str(
            _compiled(source).render(messages=messages, add_generation_prompt=prompt, **marks)
        )
    except (jinja2.TemplateError, TypeError, KeyError, ValueError) as error:
        raise TemplateRefusedError(f"the template refuses it: {error}") from None


@functools.lru_cache(maxsize=8)
def _compiled(source: str) -> Any:
    """Compile a template as transformers does; what it may do ends at its text."""
    import jinja2
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """``{% generation %}`` marks what is learned; here the stop token says so."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, **how: dumps(
        value, **{"ensure_ascii": False} | how
    )
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = TODAY.strftime
    return environment.from_string(source)
