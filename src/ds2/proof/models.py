"""Models from transformers, with LoRA matrices from PEFT."""

import hashlib
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ds2.errors import InputError, MissingDependencyError
from ds2.proof.memory import Shape
from ds2.proof.train_plan import Training

__all__ = [
    "check_marks",
    "empty_model",
    "fingerprint",
    "load_model",
    "load_tokenizer",
    "shape_of",
    "with_lora",
]

#: An embedding that is shorter than this share of the usual length was never trained.
_TRAINED = 0.01
#: What a model consists of, in its folder.
_PARTS = (".safetensors", ".bin", ".gguf", ".json", ".jinja", ".model", ".txt")
#: Bytes from which on a file is read in so many pieces of so many bytes: all of it takes seconds.
_LARGE, _PIECES, _PIECE = 1 << 30, 1024, 4096


def fingerprint(model: str | Path) -> str:
    """Return what changes when a model does, wherever it lies and whenever it was copied there.

    Of a folder it is a hash of settings, tokenizer and weights, of a name on the hub the name.
    """
    folder, held = Path(model), hashlib.sha256()
    if not folder.is_dir():
        return str(model)
    for path in sorted(folder.iterdir()):
        if path.suffix not in _PARTS or not path.is_file():
            continue
        size = path.stat().st_size
        held.update(f"{path.name} {size} ".encode())
        with path.open("rb") as file:
            if size <= _LARGE:
                held.update(hashlib.file_digest(file, "sha256").digest())
                continue
            for at in np.linspace(0, size - _PIECE, _PIECES).astype(np.int64).tolist():
                file.seek(at)
                held.update(file.read(_PIECE))
    return held.hexdigest()


def load_tokenizer(model: str) -> Any:
    """Return a model's tokenizer.

    Raises:
        MissingDependencyError: transformers is not installed.
        InputError: it cannot be loaded.
    """
    return _loaded(model, lambda library: library.AutoTokenizer.from_pretrained(model))


def load_model(model: str, dtype: str) -> Any:
    """Return a causal model with weights of a dtype: ``float32`` or ``bfloat16``.

    Raises:
        MissingDependencyError: torch or transformers is not installed.
        InputError: it cannot be loaded.
    """

    def load(library: Any) -> Any:
        if not library.is_torch_available():
            raise MissingDependencyError("torch", "Training", "train")
        library.utils.logging.disable_progress_bar()
        return library.AutoModelForCausalLM.from_pretrained(model, dtype=dtype)

    return _loaded(model, load)


def _loaded(model: str, load: Callable[[Any], Any]) -> Any:
    """What ``load`` takes from the library transformers; every failure is one sentence."""
    try:
        import transformers
    except ImportError:
        raise MissingDependencyError("transformers", "Training", "train") from None
    try:
        return load(transformers)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise _unloadable(model, error) from error


def _unloadable(model: str, error: Exception) -> InputError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    folder = Path(model)
    gguf = folder.suffix == ".gguf" or (folder.is_dir() and any(folder.glob("*.gguf")))
    more = "A GGUF file cannot be trained: save its model as a folder of transformers. " * gguf
    return InputError(
        f"The model '{model}' could not be loaded: {lines[0]} {more}"
        "Set 'train.model' to a folder, or to a name that this machine can download."
    )


def with_lora(model: Any, training: Training) -> Any:
    """Return the model with LoRA matrices on every linear map of the layers that are trained.

    Raises:
        MissingDependencyError: peft is not installed.
        InputError: the model has not so many layers.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise MissingDependencyError("peft", "Training", "train") from None
    where: dict[str, Any] = {"target_modules": "all-linear"}
    if training.lora_layers != "all":
        n, layers = int(training.lora_layers.partition(":")[2]), model.config.num_hidden_layers
        if n > layers:
            raise InputError(
                f"'train.lora_layers' is '{training.lora_layers}', and the model has {layers} "
                'layers. Give at most so many, or "all".'
            )
        # PEFT takes layers only together with the names of the maps inside them
        inside = re.compile(r"(?:^|\.)(\w+)\.(\d+)\.(?:.*\.)?(\w+)$")
        found = [
            match.groups()
            for name, module in model.named_modules()
            if type(module).__name__ in ("Linear", "Conv1D") and (match := inside.search(name))
        ]
        where = {
            "target_modules": sorted({name for _, _, name in found}),
            "layers_to_transform": list(range(layers - n, layers)),
            "layers_pattern": next(pattern for pattern, _, _ in found),
        }
    config = LoraConfig(
        r=training.lora_rank,
        lora_alpha=training.lora_alpha,
        lora_dropout=training.lora_dropout,
        task_type="CAUSAL_LM",
        **where,
    )
    with warnings.catch_warnings():  # it asks the model by a name that transformers gives up
        warnings.simplefilter("ignore", FutureWarning)
        return get_peft_model(model, config)


def check_marks(model: Any, special: dict[str, int]) -> None:
    """Refuse special tokens whose embeddings were never trained: LoRA does not train them either.

    Args:
        model: as loaded.
        special: id of each special token that the conversations hold.

    Raises:
        InputError: there is one, as where the template of a chat model meets its base model.
    """
    lengths = np.asarray(
        model.get_input_embeddings().weight.detach().float().norm(dim=1).cpu().tolist()
    )
    usual = float(np.median(lengths))
    for mark, i in special.items():
        if lengths[i] < _TRAINED * usual:
            raise InputError(
                f"The template marks turns with {mark}, whose embedding in this model was never "
                "trained, and LoRA does not train it: such a model does not learn to stop. Set "
                "'train.template' to tulu."
            )


def shape_of(model: Any) -> Shape:
    """Return the numbers that the memory of a training follows from; the model has LoRA."""
    config = model.config
    hidden = config.hidden_size
    heads = config.num_attention_heads
    groups = getattr(config, "num_key_value_heads", None) or heads
    sizes = {name: value.numel() for name, value in model.named_parameters()}
    lora = {name: n for name, n in sizes.items() if ".lora_" in name}
    layers = {match.group(1) for name in lora if (match := re.search(r"\.(\d+)\.", name))}
    return Shape(
        parameters=sum(sizes.values()) - sum(lora.values()),
        lora_parameters=sum(lora.values()),
        rank=model.peft_config["default"].r,
        layers=config.num_hidden_layers,
        trained=len(layers),
        hidden=hidden,
        intermediate=getattr(config, "intermediate_size", None) or 4 * hidden,
        key_value=groups * (getattr(config, "head_dim", None) or hidden // heads),
        vocabulary=config.vocab_size,
    )


def empty_model(model: str, training: Training) -> Any:
    """Return a model with LoRA of which only config.json need be there; its weights say nothing.

    Raises:
        MissingDependencyError: transformers or peft is not installed.
        InputError: it cannot be loaded.
    """

    def build(library: Any) -> Any:
        return library.AutoModelForCausalLM.from_config(library.AutoConfig.from_pretrained(model))

    return with_lora(_loaded(model, build), training)
