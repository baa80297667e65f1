"""How likely a local language model finds each answer: perplexity and IFD, for `select`.

    perplexity         exp(−1/T Σ_t log P(a_t | prompt, a_<t))    over the T tokens of the answer
    alone              the same without the prompt
    difficulty (IFD)   perplexity / alone

Below 1 the prompt helps to predict the answer; the nearer to 1 the less it does, and above 1 the
two do not fit. A ratio of perplexities as in Superfiltering (arXiv 2402.00530). The first paper
(2308.12032) divides the mean losses, which crosses 1 at the same place and may order rows a little
differently; it also trains the model on a part of the pool first, where here any is taken as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from ds2.arrays import Values
from ds2.checks import check_int
from ds2.pool import Example, Pool, conversation_text
from ds2.proof.scorer import Scorer, load_scorer

__all__ = ["Likelihoods", "measure_likelihoods"]

#: Examples that are put in the order of their length before they are cut into batches.
WINDOW = 512


@dataclass(frozen=True, slots=True, eq=False)
class Likelihoods:
    """One perplexity and one difficulty per example, in pool order.

    Attributes:
        perplexity: (n,) of the answer given the prompt; NaN where there is none.
        difficulty: (n,) that, divided by the perplexity of the answer alone.
        problems: the rows without, by the reason: "no answer" (no turn of the assistant, or an
            empty one), "no prompt" (nothing before it), "template" (the model's chat template
            refuses the turns), "not finite".
        model: what was asked.
    """

    perplexity: Values
    difficulty: Values
    problems: Mapping[str, np.ndarray]
    model: str


def measure_likelihoods(
    pool: Pool,
    model: str,
    *,
    max_tokens: int = 2048,
    batch_tokens: int = 4096,
    device: str | None = None,
    revision: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Likelihoods:
    """Measure how likely a causal language model finds each example's answer.

    The answer is the last turn of the assistant, the prompt all before it, in the model's chat
    template where it has one and otherwise as ``role: content`` lines. Without the prompt the
    answer follows the model's token for the start (or else the end) of a text. An example beyond
    ``max_tokens`` loses the middle of its prompt, down to half of them, then the end of its answer,
    alike with and without the prompt.

    Args:
        pool: the examples.
        model: a name on the hub, or a folder, that transformers can load.
        max_tokens: of prompt and answer together.
        batch_tokens: tokens, with padding, in one forward pass; more are faster and need memory.
        device: "cpu", "cuda", "mps"; None takes the fastest one there is.
        revision: a commit of the model on the hub.
        progress: called with the examples done and their total.

    Returns:
        `Likelihoods`. In other batches a value may differ by the rounding of float sums.

    Raises:
        MissingDependencyError: torch or transformers is not installed.
        InputError: the model cannot be loaded, or has no token to start from.
    """
    check_int("max_tokens", max_tokens, low=8)
    check_int("batch_tokens", batch_tokens, low=1)
    scorer = load_scorer(model, device=device, revision=revision, purpose="measure_likelihoods")
    values = np.full((2, len(pool)), np.nan)
    problems: dict[str, list[int]] = {}
    rows = enumerate(pool)
    done = 0
    while window := list(islice(rows, WINDOW)):
        texts: list[tuple[list[int], list[int]]] = []
        places: list[int] = []
        for row, example in window:
            ids = tokens_of(scorer, example, max_tokens)
            if isinstance(ids, str):
                problems.setdefault(ids, []).append(row)
            else:
                texts += [ids, (scorer.start, ids[1])]
                places += [row, row + len(pool)]
        lengths = np.array([len(answer) for _, answer in texts])
        values.flat[places] = scorer.losses(texts, batch_tokens=batch_tokens) / lengths
        done += len(window)
        if progress is not None:
            progress(done, len(pool))
    with np.errstate(over="ignore", invalid="ignore"):
        perplexity, alone = np.exp(values)
        difficulty = np.exp(values[0] - values[1])
    broken = ~np.isfinite(perplexity + alone + difficulty)
    perplexity[broken] = difficulty[broken] = np.nan
    named = {row for rows_of in problems.values() for row in rows_of}
    unnamed = [row for row in np.flatnonzero(broken).tolist() if row not in named]
    problems |= {"not finite": unnamed} if unnamed else {}
    return Likelihoods(
        perplexity=perplexity,
        difficulty=difficulty,
        problems={why: np.array(rows_of) for why, rows_of in problems.items()},
        model=model if revision is None else f"{model}@{revision}",
    )


def tokens_of(
    scorer: Scorer, example: Example, max_tokens: int
) -> tuple[list[int], list[int]] | str:
    """The tokens of prompt and answer, cut to ``max_tokens``, or the problem."""
    turns = example.turns
    last = max((i for i, turn in enumerate(turns) if turn[0] == "assistant"), default=None)
    if last is None or not turns[last][1].strip():
        return "no answer"
    if last == 0:
        return "no prompt"
    prompt = _prompt(scorer, turns[:last])
    if prompt is None:
        return "template"
    answer = scorer.tokenizer(turns[last][1], add_special_tokens=False)["input_ids"]
    room = max(max_tokens - len(answer), max_tokens // 2)
    if len(prompt) > room:
        prompt = prompt[: room // 2] + prompt[len(prompt) - (room - room // 2) :]
    return prompt, answer[: max_tokens - len(prompt)]


def _prompt(scorer: Scorer, turns: Sequence[tuple[str, str]]) -> list[int] | None:
    """The tokens up to where the answer begins; None where the template refuses the turns."""
    tokenizer = scorer.tokenizer
    if getattr(tokenizer, "chat_template", None):
        from jinja2 import TemplateError

        messages = [{"role": role, "content": content} for role, content in turns]
        try:
            text = tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=False
            )
        except TemplateError:
            return None
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])
    text = f"{conversation_text(turns)}\nassistant: "
    return [*scorer.start, *tokenizer(text, add_special_tokens=False)["input_ids"]]
