"""How much memory a training takes, before it takes it.

    weights       parameters × bytes of the dtype
    adapter       16 bytes × LoRA parameters (weight, gradient, two moments, in fp32)
    activations   what the backward pass needs of each token in each trained layer
    head          logits of the learned tokens, their float copy and its gradient

The counts of activations are those of a Llama-like layer under LoRA on all its linear maps: a
frozen map keeps nothing, the adapter keeps its input after the dropout and the dropout's mask.
"""

from dataclasses import asdict, dataclass

__all__ = ["Memory", "Shape", "estimate_memory"]


@dataclass(frozen=True, slots=True)
class Shape:
    """A model in numbers.

    Attributes:
        parameters: in all, without LoRA.
        lora_parameters: of the LoRA matrices.
        layers: in all.
        trained: layers with LoRA matrices.
        hidden: width.
        intermediate: width inside the feed-forward part.
        key_value: width of the keys, and of the values.
        vocabulary: rows of the head.
    """

    parameters: int
    lora_parameters: int
    layers: int
    trained: int
    hidden: int
    intermediate: int
    key_value: int
    vocabulary: int


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of each part; `total` is their sum."""

    base: int
    weights: int
    adapter: int
    activations: int
    head: int

    @property
    def total(self) -> int:
        """All parts."""
        return sum(asdict(self).values())


def estimate_memory(
    shape: Shape,
    *,
    tokens: int,
    learned: int,
    width: int,
    base: int,
    dropout: bool = True,
    fused_dropout: bool = False,
    recompute: bool = False,
) -> Memory:
    """Return the estimate for the batch that needs most.

    Args:
        shape: of the model.
        tokens: of the batch, with padding.
        learned: of them.
        width: bytes of a number: 2 for bf16, 4 for fp32.
        base: bytes that the process, or the GPU's context, holds before.
        dropout: whether there is any before the LoRA matrices.
        fused_dropout: whether its mask takes one byte a number, as on a GPU.
        recompute: whether activations are made again in the backward pass.
    """
    inputs = 6 * shape.hidden + shape.intermediate
    mask = (1 if fused_dropout else width) * inputs if dropout else 0
    kept = 7 * shape.hidden + 4 * shape.key_value + 3 * shape.intermediate + inputs
    a_layer = tokens * (kept * width + mask)
    if recompute:
        activations = a_layer + tokens * shape.hidden * width * shape.layers
    else:
        activations = a_layer * shape.trained
    return Memory(
        base=base,
        weights=shape.parameters * width,
        adapter=16 * shape.lora_parameters,
        activations=activations,
        head=learned * shape.vocabulary * (4 + 4 + (width if width < 4 else 0)),
    )
