"""How likely a local language model finds each answer: perplexity and IFD, for `select`.

    perplexity         exp(−1/T Σ_t log P(a_t | prompt, a_<t))    over the T tokens of the answer
    alone              the same without the prompt
    difficulty (IFD)   perplexity / alone

Below 1 the prompt helps to predict the answer; the nearer to 1 the less it does, and above 1 the
two do not fit. A ratio of perplexities as in Superfiltering (arXiv 2402.00530). The first paper
(2308.12032) divides the mean losses, which crosses 1 at the same place and may order rows a little
differently; it also trains the model on a part of the pool first, where here any is taken as it is.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from ds2.arrays import Values
from ds2.checks import check_int
from ds2.errors import InputError, MissingDependencyError
from ds2.pool import Example, Pool
from ds2.pool.example import conversation_text

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
    scorer = _Scorer.load(model, device, revision)
    values = np.full((2, len(pool)), np.nan)
    problems: dict[str, list[int]] = {}
    rows = enumerate(pool)
    done = 0
    while window := list(islice(rows, WINDOW)):
        texts: list[tuple[int, list[int], list[int]]] = []
        for row, example in window:
            ids = scorer.tokens(example, max_tokens)
            if isinstance(ids, str):
                problems.setdefault(ids, []).append(row)
            else:
                texts += [(row, ids[0], ids[1]), (row + len(pool), scorer.start, ids[1])]
        for batch in _batches(texts, batch_tokens):
            losses = scorer.losses([text[1:] for text in batch])
            values.flat[[place for place, *_ in batch]] = losses
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


def _batches(
    texts: list[tuple[int, list[int], list[int]]], batch_tokens: int
) -> Iterator[list[tuple[int, list[int], list[int]]]]:
    """Texts of like length together, so that little is padded; the longest first."""
    batch: list[tuple[int, list[int], list[int]]] = []
    for text in sorted(texts, key=lambda text: (-len(text[1]) - len(text[2]), text[0])):
        longest = len(batch[0][1]) + len(batch[0][2]) if batch else 0
        if batch and longest * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(text)
    if batch:
        yield batch


@dataclass(frozen=True, slots=True, eq=False)
class _Scorer:
    """A causal model with its tokenizer.

    Attributes:
        start: the token that a text without a prompt follows.
    """

    model: Any
    tokenizer: Any
    start: list[int]

    @classmethod
    def load(cls, name: str, device: str | None, revision: str | None) -> "_Scorer":
        try:
            import torch
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError as error:
            package = "torch" if error.name == "torch" else "transformers"
            raise MissingDependencyError(
                package, "measure_likelihoods", "pip install 'ds2-select[likelihood]'"
            ) from None
        try:
            tokenizer = AutoTokenizer.from_pretrained(name, revision=revision)
            model: Any = AutoModelForCausalLM.from_pretrained(name, revision=revision, dtype="auto")
        except (OSError, ValueError, RuntimeError) as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise InputError(
                f"The language model '{name}' could not be loaded: {lines[0]} "
                "Give a folder, or a name that this machine can download."
            ) from error
        start = tokenizer.bos_token_id
        start = tokenizer.eos_token_id if start is None else start
        if start is None:
            raise InputError(
                f"The tokenizer of '{name}' has no token for the start or the end of a text. Give "
                "a model whose tokenizer has one."
            )
        fastest = "cuda" if torch.cuda.is_available() else "cpu"
        if fastest == "cpu" and torch.backends.mps.is_available():
            fastest = "mps"
        return cls(model.to(device or fastest).eval(), tokenizer, [int(start)])

    def tokens(self, example: Example, max_tokens: int) -> tuple[list[int], list[int]] | str:
        """The tokens of prompt and answer, cut to ``max_tokens``, or the problem."""
        turns = [(message.role, message.content) for message in example.messages]
        last = max((i for i, turn in enumerate(turns) if turn[0] == "assistant"), default=None)
        if last is None or not turns[last][1].strip():
            return "no answer"
        if last == 0:
            return "no prompt"
        prompt = self._prompt(turns[:last])
        if prompt is None:
            return "template"
        answer = self.tokenizer(turns[last][1], add_special_tokens=False)["input_ids"]
        room = max(max_tokens - len(answer), max_tokens // 2)
        if len(prompt) > room:
            prompt = prompt[: room // 2] + prompt[len(prompt) - (room - room // 2) :]
        return prompt, answer[: max_tokens - len(prompt)]

    def _prompt(self, turns: list[tuple[str, str]]) -> list[int] | None:
        """The tokens up to where the answer begins; None where the template refuses the turns."""
        if getattr(self.tokenizer, "chat_template", None):
            from jinja2 import TemplateError

            messages = [{"role": role, "content": content} for role, content in turns]
            try:
                text = self.tokenizer.apply_chat_template(
                    messages, add_generation_prompt=True, tokenize=False
                )
            except TemplateError:
                return None
            return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        ids = self.tokenizer(f"{conversation_text(turns)}\nassistant: ", add_special_tokens=False)[
            "input_ids"
        ]
        return [*self.start, *ids]

    def losses(self, texts: list[tuple[list[int], list[int]]]) -> list[float]:
        """Mean negative log-likelihood, in nats, of each answer after what precedes it."""
        import torch

        width = max(len(before) + len(answer) for before, answer in texts)
        ids = torch.full((len(texts), width), self.start[0])
        mask = torch.zeros((len(texts), width), dtype=torch.long)
        for i, (before, answer) in enumerate(texts):
            ids[i, : len(before) + len(answer)] = torch.tensor(before + answer)
            mask[i, : len(before) + len(answer)] = 1
        device = self.model.device
        losses = []
        with torch.inference_mode():
            logits = self.model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
            for i, (before, answer) in enumerate(texts):
                said = logits[i, len(before) - 1 : len(before) + len(answer) - 1].float()
                wanted = ids[i, len(before) : len(before) + len(answer)].to(device)
                losses.append(float(torch.nn.functional.cross_entropy(said, wanted)))
        return losses
