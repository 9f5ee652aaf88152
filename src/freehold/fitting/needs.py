"""What a model keeps and touches besides its weights: caches, working memory, and what a token reads of it all."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.engine.types import EngineOptions
from freehold.fitting.subject import Subject
from freehold.models.blocks import Attention, ExpertsLinear, Linear, Mixer
from freehold.models.decoder import Decoder
from freehold.ops import create_ops
from freehold.ops.base import CacheType
from freehold.tensors import WeightType

_FLOAT_BYTES = 4


def workspace_bytes(subject: Subject, users: int) -> int:
    """Memory for the arrays of the largest step, in float32.

    They are the residual stream, what is added to it, inputs and outputs of the widest product (of all experts of a
    token together), and logits of all users twice, for the sampler.
    """
    rows = EngineOptions().prefill_chunk + users
    config = subject.model.config
    products = [
        (part.chosen or 1) * (part.leaf.inputs + sum(part.leaf.parts.values()))
        for part in subject.parts
        if isinstance(part.leaf, Linear | ExpertsLinear) and part.shape[0] != config.vocabulary
    ]
    return _FLOAT_BYTES * (rows * (2 * config.hidden + max(products)) + 2 * users * config.vocabulary)


def weights_read(subject: Subject, dtype: WeightType | None, users: int) -> float:
    """Bytes of weights that one step reads which gives every user a token."""
    return sum(
        part.bytes(subject.stored, dtype) * part.expected(users) / part.count
        for part in subject.parts
        if not part.looked_up
    )


@dataclass(frozen=True)
class Cache:
    """What the layers of a model keep on the native backend.

    Attributes:
        layers: of each layer the bytes per position, and the positions that it looks back at; None for all.
        state_bytes: per sequence.
    """

    layers: tuple[tuple[int, int | None], ...]
    state_bytes: int

    @classmethod
    def of(cls, subject: Subject, dtype: WeightType | None, cache_type: CacheType | None = None) -> Cache:
        """The cache of a model whose weights are held in a type; that of an encoder is empty.

        Args:
            cache_type: what keys and values are held in; None for what goes with the weights.
        """
        if not isinstance(subject.model, Decoder):
            return cls((), 0)
        exact = subject.exact if dtype is None else dtype is WeightType.F32
        ops = create_ops("native", exact=exact, cache_type=cache_type)
        kinds = [block.attention.cache() for block in subject.model.blocks]
        per_layer = [ops.cache_bytes([kind]) for kind in kinds]
        reaches = [_reach(block.attention) for block in subject.model.blocks]
        return cls(tuple(zip(per_layer, reaches, strict=True)), ops.state_bytes(kinds))

    @property
    def bytes_per_token(self) -> int:
        """Bytes that one position takes in all layers."""
        return sum(size for size, _ in self.layers)

    def bytes_read(self, context: int) -> int:
        """Bytes that one token at the end of the context reads."""
        return sum(size * min(context, reach or context) for size, reach in self.layers)


def _reach(mixer: Mixer) -> int | None:
    """Most positions that a token looks at; None for all."""
    if not isinstance(mixer, Attention):
        return None
    return min((most for most in (mixer.rules.window, mixer.rules.chunk) if most is not None), default=None)
