"""A decoder-only language model: embedding, layers, norm, head."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from freehold.checkpoints.base import Checkpoint
from freehold.models.blocks import Attention, Block, GatedMLP, Linear, Module, RMSNorm, Step
from freehold.models.config import ModelConfig
from freehold.models.fields import Fields
from freehold.models.rope import rope_frequencies
from freehold.models.weights import WeightMap
from freehold.ops.base import Array, LayerCache, Ops
from freehold.ops.batch import Batch


class Decoder(Module, ABC):
    """What every family is, and by default a Llama-shaped one. A family overrides `block` and the translations.

    Attributes:
        model_type: Hugging Face's short name for the family.
        gguf_architecture: GGUF's name for it.
        weights: the family's weight map.
        config: shape of this model.
        ops: the operations it runs on.
    """

    model_type: ClassVar[str]
    gguf_architecture: ClassVar[str]
    weights: ClassVar[WeightMap]

    def __init__(self, config: ModelConfig, ops: Ops):
        self.config = config
        self.ops = ops
        self.frequencies, self.rotation_scale = rope_frequencies(config.rope)
        self.embedding = Linear(config.hidden, config.vocabulary, sensitive=True)
        self.blocks = [self.block(config, layer) for layer in range(config.layers)]
        self.norm = RMSNorm(config.hidden, config.norm_epsilon)
        if not config.tied_embeddings:
            self.head = Linear(config.hidden, config.vocabulary, sensitive=True)

    @classmethod
    @abstractmethod
    def from_hugging_face(cls, fields: Fields) -> ModelConfig:
        """Our configuration from config.json."""

    @classmethod
    @abstractmethod
    def to_hugging_face(cls, config: ModelConfig) -> dict[str, Any]:
        """What config.json says of this family beyond the keys that all share; the inverse of `from_hugging_face`."""

    @classmethod
    @abstractmethod
    def from_gguf(cls, fields: Fields, checkpoint: Checkpoint) -> ModelConfig:
        """Our configuration from GGUF metadata."""

    def block(self, config: ModelConfig, layer: int) -> Block:
        """The layer of that number."""
        return Block(config, attention=Attention(config, window=config.windows[layer]), mlp=GatedMLP(config))

    def forward(self, batch: Batch, caches: Sequence[LayerCache] | None) -> Array:
        """Logits of the wanted rows.

        Args:
            batch: the step; see `Batch`.
            caches: one per layer, from `create_cache`; None to attend within the batch only.

        Returns:
            [len(batch.logit_rows), vocabulary], in the backend's array type.
        """
        ops = self.ops
        step = Step(batch, ops.rotation(batch.positions, self.frequencies, self.rotation_scale))
        x = ops.embed(self.embedding.weight, batch.token_ids)
        for layer, block in enumerate(self.blocks):
            x = block(ops, x, step, None if caches is None else caches[layer])
        x = self.norm(ops, ops.select_rows(x, batch.logit_rows))
        head = self.embedding if self.config.tied_embeddings else self.head
        return head(ops, x)

    def create_cache(self, blocks: int, block_size: int) -> list[LayerCache]:
        """One cache per layer, each with room for blocks * block_size positions of all sequences together."""
        return self.ops.create_cache([block.attention.cache() for block in self.blocks], blocks, block_size)

    def cache_bytes_per_token(self) -> int:
        """Bytes that one position takes in the caches of all layers."""
        return self.ops.cache_bytes([block.attention.cache() for block in self.blocks])
