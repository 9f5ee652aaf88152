"""Multi-head latent attention (DeepSeek-V2, 2024, section 2.1), with the up-projections absorbed."""

from __future__ import annotations

from freehold.models.blocks.attention import Mixer, Step
from freehold.models.blocks.leaf import ExpertsLinear, Linear, RMSNorm
from freehold.models.config import ModelConfig
from freehold.ops.base import Array, AttentionRules, CacheKind, LatentCache, LayerCache, Ops


class LatentAttention(Mixer):
    """Keys and values of all heads come from one latent vector per position, and only that vector is kept.

    A head's key is W_K c for the latent c, beside a rotated part that all heads share; its value is W_V c. Since
    q . (W_K c) = (W_K^T q) . c, the queries are brought to the latent's space instead (`key_up` holds W_K^T), and
    W_V is applied to the mixed latents (`value_up`): keys and values are never made.

    Args:
        kept: features of the latent, and of the rotated part.
        unrotated: features of a head's query and key that are not rotated.
        values: features of a head's value.
        query_rank: features of the latent that queries come from; None for queries straight from the input.
        epsilon: of the norms over the latents.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        kept: LatentCache,
        unrotated: int,
        values: int,
        query_rank: int | None,
        epsilon: float,
    ):
        self.heads, self.kept, self.unrotated, self.query_rank = config.heads, kept, unrotated, query_rank
        self.rules = AttentionRules(config.attention_scale)
        queries = {"unrotated": self.heads * unrotated, "rotated": self.heads * kept.rotated}
        latents = {"latent": kept.latent, "rotated": kept.rotated}
        if query_rank is None:
            self.query = Linear(config.hidden, queries)
        else:
            latents |= {"query": query_rank}
            self.query_norm = RMSNorm(query_rank, epsilon=epsilon)
            self.query_up = Linear(query_rank, queries)
        self.compress = Linear(config.hidden, latents, bias=config.qkv_bias)
        self.latent_norm = RMSNorm(kept.latent, epsilon=epsilon)
        self.key_up = ExpertsLinear(self.heads, unrotated, kept.latent)
        self.value_up = ExpertsLinear(self.heads, kept.latent, values)
        self.output = Linear(self.heads * values, config.hidden, bias=config.output_bias)

    def cache(self) -> CacheKind:
        return self.kept

    def __call__(self, ops: Ops, x: Array, step: Step, cache: LayerCache | None, onto: Array | None = None) -> Array:
        compressed = self.compress(ops, x)
        k = self._keys(ops, compressed, step)
        q = self._queries(ops, x, compressed, step)
        mixed = ops.latent_attention(q, k, step.batch, cache, shape=self.kept, rules=self.rules)
        values = ops.head_linear(mixed, self.value_up.weight)
        return self.output(ops, values.reshape(step.batch.tokens, -1), onto)

    def _keys(self, ops: Ops, compressed: Array, step: Step) -> Array:
        """What is kept of each position: [tokens, latent + rotated]."""
        latent, end = self.kept.latent, self.kept.latent + self.kept.rotated
        rotated = compressed[:, latent:end].reshape(step.batch.tokens, 1, self.kept.rotated)
        rotated = ops.rope(rotated, step.rotation).reshape(step.batch.tokens, self.kept.rotated)
        return ops.concatenate([self.latent_norm(ops, compressed[:, :latent]), rotated])

    def _queries(self, ops: Ops, x: Array, compressed: Array, step: Step) -> Array:
        """Queries in the space of what is kept: [tokens, heads, latent + rotated]."""
        if self.query_rank is None:
            q = self.query(ops, x)
        else:
            q = self.query_up(ops, self.query_norm(ops, compressed[:, self.kept.latent + self.kept.rotated :]))
        tokens, unrotated = step.batch.tokens, self.heads * self.unrotated
        absorbed = ops.head_linear(q[:, :unrotated].reshape(tokens, self.heads, self.unrotated), self.key_up.weight)
        rotated = ops.rope(q[:, unrotated:].reshape(tokens, self.heads, self.kept.rotated), step.rotation)
        return ops.concatenate([absorbed, rotated])
