"""What our pages share: one template engine that escapes, our own styles and scripts, and data.

A page is one file. Its policy allows nothing but the one script that it names by hash; data stands
in it as JSON in which nothing can end a script element.
"""

import base64
import functools
import hashlib
import json
from importlib import resources
from typing import Any

from ds2.report import words
from ds2.report.sheets import written
from ds2.report.text import visible

__all__ = ["json_for_script", "render_page", "script_values"]


def render_page(template: str, *, styles: tuple[str, ...], **values: object) -> str:
    """Return a page as text. The template escapes every value by itself."""
    from markupsafe import Markup

    style = Markup("".join(map(_packaged, styles)))  # noqa: S704 (our own files)
    return str(_environment().get_template(template).render(style=style, **values))


def script_values(script: str, data: object) -> dict[str, object]:
    """Return what a template needs for its script: the script, its digest, and its data."""
    from markupsafe import Markup

    text = _packaged(script)
    return {
        "script": Markup(text),  # noqa: S704 (our own file)
        "digest": base64.b64encode(hashlib.sha256(text.encode()).digest()).decode(),
        "data": Markup(json_for_script(data)),  # noqa: S704 (escaped for a script)
    }


def json_for_script(value: object) -> str:
    """Return JSON in plain ASCII in which nothing can end a script element or begin a comment."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@functools.cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_packaged),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(words, name) for name in words.__all__ if name.islower()}
    environment.filters["visible"] = visible
    environment.globals |= {
        "written": written,
        "MISSING": words.MISSING,
        "NOT_ENOUGH": words.NOT_ENOUGH,
    }
    return environment


def _packaged(name: str) -> str:
    return resources.files("ds2.report").joinpath(name).read_text(encoding="utf-8")
