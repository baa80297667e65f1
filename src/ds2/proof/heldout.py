"""Log-loss of trusted answers that no model was trained on.

    loss             −1/T Σ_t log P(a_t | prompt, a_<t)     nats, over the answer's T tokens
    bits per byte    −Σ_t log₂ P(a_t | prompt, a_<t) / bytes of the answer in UTF-8

The tokens are those that training learns: the answer's and the stop token behind it, so that the
sum is the probability of this answer and no longer one. Bits per byte can be compared between
models with other tokenizers, loss per token cannot.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ds2.errors import InputError
from ds2.proof.encode import Template, load_template, prompt_ids
from ds2.proof.scorer import Scorer
from ds2.proof.tasks import EvaluationSettings, HeldOut

__all__ = ["draw", "fingerprint", "measure_held_out"]

Ids = tuple[list[int], list[int]]


def measure_held_out(
    scorer: Scorer, task: str, items: Sequence[HeldOut], settings: EvaluationSettings
) -> tuple[list[dict[str, Any]], Mapping[str, int]]:
    """Return two lines for each item, one of each metric, and how many were left out and why.

    A line is as `ds2.read_arms` takes it. It has the number of tokens as well and, where the item
    has an answer known to be worse, the same figure of that as ``rejected``. Items with one prompt
    are one cluster.

    Raises:
        InputError: no item can be measured.
    """
    template = load_template(scorer.tokenizer, settings.template)
    rows: list[tuple[HeldOut, Ids, Ids | None]] = []
    left: Counter[str] = Counter()
    for item in items:
        ids = _ids(item, item.answer, scorer, template, settings)
        if isinstance(ids, str):
            left[ids] += 1
            continue
        worse = item.rejected and _ids(item, item.rejected, scorer, template, settings)
        rows.append((item, ids, None if not worse or isinstance(worse, str) else worse))
    if not rows:
        why = max(left, key=lambda reason: left[reason], default="there is none")
        raise InputError(
            f"No item of '{task}' can be measured: {why}. Give conversations that end with an "
            "answer, or another 'train.template' or 'train.max_length'."
        )
    worse_ids = [worse for *_, worse in rows if worse is not None]
    losses = iter(scorer.losses([ids for _, ids, _ in rows] + worse_ids))
    better = [next(losses) for _ in rows]
    lines: list[dict[str, Any]] = []
    for row, ((item, ids, worse), loss) in enumerate(zip(rows, better, strict=True)):
        figures = _figures(loss, ids, item.answer)
        rejected = worse and _figures(next(losses), worse, item.rejected or "")
        for metric, value in figures.items():
            lines.append(
                {
                    **_about(task, row, item, template),
                    "metric": metric,
                    "value": value,
                    "higher_is_better": False,
                    "tokens": len(ids[1]),
                    **({"rejected": rejected[metric]} if rejected else {}),
                }
            )
    return lines, dict(left)


def draw(items: Sequence[HeldOut], limit: int | None) -> list[HeldOut]:
    """The items whose hash is smallest, in their order: the same for every model."""
    if limit is None or len(items) <= limit:
        return list(items)
    order = np.argsort(np.array([_doc(item) for item in items]), kind="stable")
    return [items[row] for row in np.sort(order[:limit])]


def fingerprint(items: Sequence[HeldOut]) -> str:
    """Change when an item does."""
    every = [[_doc(item), item.rejected] for item in items]
    return hashlib.sha256(json.dumps(every).encode()).hexdigest()


def _ids(
    item: HeldOut,
    answer: str,
    scorer: Scorer,
    template: Template,
    settings: EvaluationSettings,
) -> Ids | str:
    turns = (*item.turns, ("assistant", answer))
    found = prompt_ids(turns, template, scorer.tokenizer, max_length=settings.max_length)
    return found if isinstance(found, str) else (found[0].tolist(), found[1].tolist())


def _figures(loss: float, ids: Ids, answer: str) -> dict[str, float]:
    n_bytes = len(answer.encode("utf-8", "surrogatepass"))
    per_byte = float(loss) / math.log(2) / n_bytes
    return {"loss": float(loss) / len(ids[1]), "bits_per_byte": per_byte}


def _about(task: str, row: int, item: HeldOut, template: Template) -> dict[str, Any]:
    prompt = template.render(item.turns, prompt=True)
    return {
        "task": task,
        "filter": "none",
        "doc_id": row,
        "doc_hash": _doc(item),
        "prompt_hash": _sha(prompt),
        "target_hash": _sha(item.answer),
        "cluster": _sha(json.dumps(item.turns)),
    }


def _doc(item: HeldOut) -> str:
    return _sha(json.dumps([item.turns, item.answer]))


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
