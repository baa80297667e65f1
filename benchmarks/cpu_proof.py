"""The proof on a laptop: do the selections of Alpaca train a better model than random rows?

SmolLM2-135M, LoRA on its top eight layers, one pass over 8,000 answer tokens in equal updates; then
the log-loss per answer token on 600 answers that language experts wrote (CoachLM), whose rows are
in no arm. Each draw is another sixth of Alpaca, in which every arm is selected anew.

    real     random · same-length (random, with the selection's lengths) · top-raw (GPT-4o-mini's
             score) · mean (of three raters) · selection (ds2: auto curation, long tail) · length
    planted  39 % of a draw's rows have another row's answer, three raters are right half of the
             time: oracle (clean rows) · mixed (random) · corrupt · planted-selection (ds2)
    mild     revised · unrevised: the experts' answers and those they replaced, of like length

A measure must tell oracle from corrupt before it says anything. Every training and evaluation that
is done is kept in the folder, so the benchmark goes on where it was stopped; several processes may
share one folder. Weights and sums are float32; products of matrices are taken in bfloat16 where the
processor can (the same for every arm; a third faster). Two cores take about two hours.

    python benchmarks/cpu_proof.py OUT --model FOLDER [--draws 6] [--tokens 8000] [--report]
"""

import argparse
import gzip
import json
import os
import shutil
import sys
import warnings
from contextlib import suppress
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from _common import alpaca_rows, alpaca_vectors, data_file, json_line, table

import ds2
from ds2.proof.encode import encode
from ds2.proof.models import load_model, load_tokenizer
from ds2.proof.templates import load_template
from ds2.proof.train import train
from ds2.proof.train_plan import Training

RATERS = ("score_gpt_4o_mini", "score_llama_3_1_8b", "score_mistral_7b_v0_3")
REAL = ("random", "selection", "same-length", "top-raw", "mean", "length")
PLANTED = ("oracle", "corrupt", "mixed", "planted-selection")
MILD = ("revised", "unrevised")
#: What matters most first, so that what is there when somebody stops it says something.
STAGES = (
    ("oracle", "corrupt", "random", "selection"),
    ("revised", "unrevised", "top-raw", "same-length"),
    ("mixed", "planted-selection", "mean", "length"),
)
PAIRS = [
    ("oracle", "corrupt"), ("oracle", "mixed"), ("planted-selection", "mixed"),
    ("revised", "unrevised"), ("selection", "random"), ("selection", "same-length"),
    ("top-raw", "random"), ("mean", "random"), ("length", "random"), ("selection", "top-raw"),
]  # fmt: skip
ITEMS, SWAPPED, RIGHT = 600, 0.39, 0.5
#: A held-out text's answer has at most so many tokens, so that the evaluation stays affordable.
LONGEST = 128
TOP = 8
#: The smallest difference that would matter, in nats a token.
SMALLEST = 0.01


def conversation(instruction: str, given: str, answer: str) -> list[tuple[str, str]]:
    asked = f"{instruction}\n\n{given}" if given else instruction
    return [("user", asked), ("assistant", answer)]


class Texts:
    """Token ids of conversations, counted once."""

    def __init__(self, model: str) -> None:
        self.tokenizer = load_tokenizer(model)
        self.template = load_template(self.tokenizer, "auto")

    def encode(self, turns: list[tuple[str, str]]):
        """Return ids and mask, or why there are none."""
        return encode(turns, self.template, self.tokenizer, max_length=512, too_long="cut")

    def prefix(self, rows: list[list[tuple[str, str]]], tokens: int) -> list:
        """First conversations with so many answer tokens, to within half a row."""
        taken, have = [], 0
        for turns in rows:
            found = self.encode(turns)
            if isinstance(found, str):
                continue
            if have + found.n_learned / 2 > tokens:
                break
            taken.append(turns)
            have += found.n_learned
        if have < 0.9 * tokens:
            sys.exit(f"only {have:,} of {tokens:,} answer tokens")
        return taken


@cache
def trusted() -> list[dict]:
    with gzip.open(data_file("coachlm_revised.jsonl.gz"), "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@cache
def alpaca() -> list[dict]:
    return alpaca_rows()


def held_out(texts: Texts) -> tuple[list[dict], list]:
    """The experts' texts that are evaluated on, and their ids."""
    rows = trusted()
    chosen, ids = [], []
    for i in np.random.default_rng(2026).permutation(len(rows)):
        row = rows[i]
        found = texts.encode(conversation(row["instruction"], row["input"], row["response"]))
        if isinstance(found, str) or not 8 <= found.n_learned <= LONGEST or len(found) > 256:
            continue
        chosen.append(row)
        ids.append(found)
        if len(ids) == ITEMS:
            break
    return chosen, ids


def arm_rows(  # noqa: PLR0917
    arm: str, draw: int, draws: int, texts: Texts, tokens: int, out: list[dict]
) -> list:
    """The conversations of an arm in a draw, in their order, at least as many as are needed."""
    rng = np.random.default_rng([draw, 7])
    if arm in MILD:
        names = {str(row) for row in out}
        like = [
            row for row in trusted()
            if str(row) not in names and row["response"] != row["raw_response"]
            and 0.8 < len(row["response"]) / max(len(row["raw_response"]), 1) < 1.25
        ]  # fmt: skip
        order = [like[i] for i in rng.permutation(len(like))]
        if arm == "revised":
            rows = [conversation(r["instruction"], r["input"], r["response"]) for r in order]
        else:
            rows = [
                conversation(r["raw_instruction"], r["raw_input"], r["raw_response"]) for r in order
            ]
        return texts.prefix(rows, tokens)
    rows = alpaca()
    gone = {row["alpaca_row"] for row in trusted()}
    asked = {row["instruction"].strip().lower() for row in out}
    free = [
        i for i, row in enumerate(rows)
        if i not in gone and row["output"].strip()
        and row["instruction"].strip().lower() not in asked
    ]  # fmt: skip
    order = np.random.default_rng(1).permutation(free)
    part = np.sort(order[draw::draws])
    mine = [conversation(*(rows[i][key] for key in ("instruction", "input", "output")))
            for i in part]  # fmt: skip
    vectors = alpaca_vectors()[part].astype(np.float32)
    if arm in PLANTED:
        return texts.prefix(planted(arm, mine, vectors, rng), tokens)
    scores = np.array([[rows[i][name] for name in RATERS] for i in part], dtype=float)
    order = ordered(arm, scores, vectors, mine, rng, texts, tokens)
    return texts.prefix([mine[i] for i in order], tokens)


def ordered(  # noqa: PLR0917
    arm: str, scores: np.ndarray, vectors: np.ndarray, mine: list, rng, texts, tokens
):
    """Rows of a real arm, first to last."""
    lengths = np.array([len(turns[-1][1]) for turns in mine], dtype=float)
    shuffled = rng.permutation(len(mine))
    if arm == "random":
        return shuffled
    if arm == "length":
        return np.argsort(-lengths, kind="stable")
    if arm == "top-raw":
        return shuffled[np.argsort(-scores[shuffled, 0], kind="stable")]
    if arm == "mean":
        z = (scores - scores.mean(axis=0)) / scores.std(axis=0)
        return shuffled[np.argsort(-z.mean(axis=1)[shuffled], kind="stable")]
    chosen = selected(scores, vectors)
    if arm == "selection":
        return chosen
    taken = texts.prefix([mine[i] for i in chosen], tokens)
    ends = np.unique(np.quantile(lengths[chosen[: len(taken)]], np.linspace(0, 1, 21)[1:-1]))
    theirs = np.searchsorted(ends, lengths)
    wanted = np.searchsorted(ends, lengths[chosen[: len(taken)]])
    order = [rng.choice(np.flatnonzero(theirs == c), 4, replace=False) for c in wanted]
    found = list(dict.fromkeys(np.stack(order, axis=1).T.reshape(-1).tolist()))
    first = list(dict.fromkeys(int(four[0]) for four in order))
    return np.array(first + [i for i in found if i not in set(first)])


def selected(scores: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Ranking by ds2 with its defaults."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ds2.Ds2Warning)
        neighbors = ds2.find_neighbors(vectors)
        noise = ds2.estimate_transition(scores, neighbors, n_scores=6, n_bootstrap=0)
        curation = ds2.curate(scores, neighbors, noise)
        tail = ds2.long_tail_scores(neighbors)
        return ds2.select(curation.scores, tail, size=1000, method="ds2", seed=0).rows


def planted(arm: str, mine: list, vectors: np.ndarray, rng: np.random.Generator) -> list:
    """Rows of an arm of the planted pool."""
    n = len(mine)
    bad = rng.random(n) < SWAPPED
    here = rng.permutation(np.flatnonzero(bad))
    rows = list(mine)
    for i, j in zip(here, np.roll(here, 1), strict=True):
        rows[i] = [mine[i][0], mine[j][1]]
    shuffled = rng.permutation(n)
    if arm == "oracle":
        shuffled = shuffled[~bad[shuffled]]
    elif arm == "corrupt":
        shuffled = shuffled[bad[shuffled]]
    elif arm == "planted-selection":
        quality = np.where(bad, rng.integers(0, 2, n), rng.integers(3, 6, n))
        right = rng.random((n, 3)) < RIGHT
        other = (quality[:, None] + rng.integers(1, 6, (n, 3))) % 6
        shuffled = selected(np.where(right, quality[:, None], other).astype(float), vectors)
        print(f"  planted-selection: {bad[shuffled[:250]].mean():.3f} swapped of the first 250")
    return [rows[i] for i in shuffled]


class Evaluator:
    """Log-loss of the held-out answers; the layers below those that are trained run once."""

    def __init__(self, model: str, ids: list) -> None:
        import torch

        self.torch, self.ids, self.model = torch, ids, model
        self.order = np.argsort([-len(row) for row in ids], kind="stable")
        whole = load_model(model, "float32").eval()
        at = whole.config.num_hidden_layers - TOP
        self.batches = [self.order[i : i + 8] for i in range(0, len(ids), 8)]
        self.states = []
        with torch.inference_mode():
            for batch in self.batches:
                width = max(len(ids[i]) for i in batch)
                padded = torch.zeros((len(batch), width), dtype=torch.long)
                for line, i in enumerate(batch):
                    padded[line, : len(ids[i])] = torch.from_numpy(ids[i].ids.astype(np.int64))
                below = whole.model(padded, output_hidden_states=True, use_cache=False)
                self.states.append(below.hidden_states[at].clone())

    def losses(self, adapter: Path | None) -> np.ndarray:
        """(n,) nats a token of each item."""
        from peft import PeftModel

        torch = self.torch
        model = load_model(self.model, "float32")
        if adapter is not None:
            model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
        model.eval()
        model.model.layers = torch.nn.ModuleList(list(model.model.layers)[-TOP:])
        for i, layer in enumerate(model.model.layers):
            layer.self_attn.layer_idx = i
        model.config.num_hidden_layers = TOP
        found = np.empty(len(self.ids))
        with torch.inference_mode():
            for batch, states in zip(self.batches, self.states, strict=True):
                hidden = model.model(inputs_embeds=states, use_cache=False).last_hidden_state
                for line, i in enumerate(batch):
                    row = self.ids[i]
                    at = np.flatnonzero(row.learned)
                    logits = model.lm_head(hidden[line, torch.from_numpy(at - 1)])
                    wanted = torch.from_numpy(row.ids[at].astype(np.int64))
                    found[i] = float(torch.nn.functional.cross_entropy(logits, wanted))
        return found


def pair_sd(a: np.ndarray, b: np.ndarray) -> float:
    """Over items, of the difference between one run of each arm; mean over draws."""
    n = min(len(a), len(b))
    return float((a[:n] - b[:n]).std(axis=1).mean())


def report(out: Path, draws: int) -> None:
    values: dict[str, np.ndarray] = {}
    for arm in (*REAL, *PLANTED, *MILD):
        files = [out / f"{arm}-s{draw}.npy" for draw in range(draws)]
        runs = [np.load(path) for path in files if path.exists()]
        if len(runs) >= 2:
            values[arm] = np.stack(runs)
    base = np.load(out / "base.npy").mean()
    table(
        {"arm": arm, "draws": len(runs), "loss": runs.mean(), "less untrained": runs.mean() - base,
         "sd of a run": runs.mean(axis=1).std(ddof=1)}
        for arm, runs in values.items()
    )  # fmt: skip
    pairs = [(a, b) for a, b in PAIRS if a in values and b in values]
    held = {arm: {"held out": runs} for arm, runs in values.items()}
    found = ds2.compare_arms(held, pairs=pairs, higher_is_better=False, smallest=SMALLEST)
    print(f"\nuntrained {base:.4f}; differences in nats a token, lower is better")
    rows = [
        {
            "A − B": f"{one.a} − {one.b}",
            "item sd, one run": pair_sd(values[one.a], values[one.b]),
            "value": one.overall.value, "low": one.overall.low, "high": one.overall.high,
            "items": one.overall.noise.items**0.5, "runs": one.overall.noise.runs**0.5,
            "detectable": one.detectable, "p (Holm)": one.p_holm, "verdict": one.verdict,
        }
        for one in found
    ]  # fmt: skip
    table(rows)
    json_line("cpu_proof", untrained=base, arms={a: v.mean() for a, v in values.items()},
              comparisons=rows)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", help="the folder of SmolLM2-135M-Instruct")
    parser.add_argument("--draws", type=int, default=6)
    parser.add_argument("--tokens", type=int, default=8000)
    parser.add_argument("--report", action="store_true", help="only print what is there")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    if not asked.report:
        work(asked)
    report(asked.out, asked.draws)


def work(asked: argparse.Namespace) -> None:
    import torch

    torch.set_float32_matmul_precision("medium")
    texts = Texts(asked.model)
    out, ids = held_out(texts)
    evaluator = Evaluator(asked.model, ids)
    if not (asked.out / "base.npy").exists():
        save(asked.out / "base.npy", evaluator.losses(None))
    for stage in STAGES:
        for draw, arm in product(range(asked.draws), stage):
            name = f"{arm}-s{draw}"
            claim = asked.out / f"{name}.claim"
            if (asked.out / f"{name}.npy").exists() or not claimed(claim):
                continue
            rows = arm_rows(arm, draw, asked.draws, texts, asked.tokens, out)
            training = Training(
                model=asked.model, lora_rank=16, lora_alpha=16, lora_dropout=0.0,
                lora_layers=f"last:{TOP}", learning_rate=8e-4, epochs=1, batch_tokens=320,
                device_tokens=2048, max_length=512, too_long="cut", dtype="fp32", processes=1,
                seed=draw,
            )  # fmt: skip
            folder = asked.out / "runs" / name
            done = train(rows, training, folder)
            save(asked.out / f"{name}.npy", evaluator.losses(folder / "adapter"))
            shutil.rmtree(folder)
            figures = done.figures
            print(f"{name}: {len(rows)} rows, {figures['answer_tokens']:,} answer tokens, "
                  f"{figures['update']} updates, {figures['seconds']:.0f} s, loss "
                  f"{np.load(asked.out / f'{name}.npy').mean():.4f}", flush=True)  # fmt: skip


def claimed(path: Path) -> bool:
    """Take an arm for this process; a claim of a process that is gone counts for nothing."""
    if path.exists():
        with suppress(ValueError, ProcessLookupError):
            holder = int(path.read_text())
            os.kill(holder, 0)
            return holder == os.getpid()
        path.unlink(missing_ok=True)
    try:
        with path.open("x") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        return False
    return True


def save(path: Path, values: np.ndarray) -> None:
    temporary = path.with_suffix(".tmp.npy")
    np.save(temporary, values)
    temporary.replace(path)


if __name__ == "__main__":
    main()
