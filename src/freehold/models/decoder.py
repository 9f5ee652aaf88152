"""A decoder-only language model: embedding, layers, norm, head."""

from __future__ import annotations

from collections.abc import Sequence

from freehold.models.blocks import (
    Attention,
    Block,
    GatedMLP,
    Layer,
    Linear,
    Norm,
    Precision,
    RMSNorm,
    Step,
)
from freehold.models.config import ModelConfig
from freehold.models.network import Network
from freehold.models.rope import rope_frequencies
from freehold.ops.base import Array, AttentionRules, LayerCache, Ops, Rotation
from freehold.ops.batch import Batch, Int32Array


class Decoder(Network):
    """What every language model is, and by default a Llama-shaped one. A family overrides `block`, and `norm_over`."""

    def __init__(self, config: ModelConfig, ops: Ops):
        self.config = config
        self.ops = ops
        self.frequencies = None if config.rope is None else rope_frequencies(config.rope)
        precision = Precision.EIGHT_BITS_AT_LEAST
        self.embedding = Linear(config.hidden, config.vocabulary, precision=precision)
        self.blocks = [self.block(config, layer) for layer in range(config.layers)]
        self.norm = self.norm_over(config, config.hidden)
        if not config.tied_embeddings:
            self.head = Linear(config.hidden, config.vocabulary, precision=precision)

    def block(self, config: ModelConfig, layer: int) -> Layer:
        """The layer of that number."""
        rules = AttentionRules(config.attention_scale, window=config.windows[layer])
        attention = Attention(config, rules=rules)
        return Block(attention=attention, mlp=GatedMLP(config), norm=lambda: self.norm_over(config, config.hidden))

    def norm_over(self, config: ModelConfig, features: int) -> Norm:
        """The kind of norm that the family uses."""
        return RMSNorm(features, epsilon=config.norm_epsilon)

    def forward(self, batch: Batch, caches: Sequence[LayerCache] | None) -> Array:
        """Logits of the wanted rows.

        Args:
            batch: the step; see `Batch`.
            caches: one per layer, from `create_cache`; None to attend within the batch only.

        Returns:
            [len(batch.logit_rows), vocabulary], in the backend's array type.
        """
        ops, config = self.ops, self.config
        step = Step(batch, self._rotation(batch.positions))
        x = ops.embed(self.embedding.weight, batch.token_ids)
        if config.embedding_scale != 1.0:
            x = ops.scale(x, config.embedding_scale)
        for layer, block in enumerate(self.blocks):
            x = block(ops, x, step, None if caches is None else caches[layer])
        x = self.norm(ops, ops.select_rows(x, batch.logit_rows))
        head = self.embedding if config.tied_embeddings else self.head
        logits = head(ops, x)
        return logits if config.logit_softcap is None else ops.softcap(logits, config.logit_softcap)

    def _rotation(self, positions: Int32Array) -> Rotation | None:
        if self.frequencies is None:
            return None
        frequencies, scale = self.frequencies
        return self.ops.rotation(positions, frequencies, scale)

    def create_cache(self, blocks: int, block_size: int, states: int = 0) -> list[LayerCache]:
        """One cache per layer, for all sequences together.

        Args:
            blocks, block_size: room for blocks * block_size positions.
            states: slots for what some layers keep per sequence.
        """
        return self.ops.create_cache([block.attention.cache() for block in self.blocks], blocks, block_size, states)

    def cache_bytes_per_token(self) -> int:
        """Bytes that one position takes in the caches of all layers."""
        return self.ops.cache_bytes([block.attention.cache() for block in self.blocks])

    def state_bytes_per_sequence(self) -> int:
        """Bytes that one sequence takes in the caches of all layers, however long it is; 0 for most families."""
        return self.ops.state_bytes([block.attention.cache() for block in self.blocks])
