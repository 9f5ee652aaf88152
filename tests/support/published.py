"""A decoder written from the published descriptions, for families that transformers does not have.

Rotation: Su et al. 2021. Linear biases: Press et al. 2022. Gated MLP: Shazeer 2020. RMSNorm: Zhang and Sennrich 2019.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel


class PublishedConfig(PretrainedConfig):  # type: ignore[no-untyped-call]
    """Its attributes are the keys of the family's config.json.

    `published` is how this reference is built: "packed" projections or separate ones, "alibi" or rotation, and whether
    the head is "normalised".
    """

    def __init__(self, published: tuple[str, ...] = (), **values: Any):
        super().__init__(**values)
        self.published = list(published)


class Attention(nn.Module):
    def __init__(self, config: Any):
        super().__init__()
        self.heads, self.features = config.num_attention_heads, list(config.published)
        hidden = config.hidden_size
        if "packed" in self.features:
            self.W_pack = nn.Linear(hidden, 3 * hidden, bias=False)
        else:
            self.q_proj, self.k_proj, self.v_proj = (nn.Linear(hidden, hidden, bias=False) for _ in range(3))
        self.o_proj = nn.Linear(hidden, hidden, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        length, hidden = x.shape
        packed = self.W_pack(x) if "packed" in self.features else torch.cat([f(x) for f in self._separate()], -1)
        q, k, v = packed.view(length, 3, self.heads, hidden // self.heads).permute(1, 2, 0, 3)
        if "alibi" not in self.features:
            q, k = rotated(q), rotated(k)
        scores = q @ k.transpose(1, 2) / math.sqrt(hidden // self.heads)
        if "alibi" in self.features:
            distance = torch.arange(length)[None, :] - torch.arange(length)[:, None]
            scores = scores + torch.tensor(published_slopes(self.heads))[:, None, None] * distance
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        mixed = scores.masked_fill(future, -torch.inf).softmax(-1) @ v
        mixed = mixed.transpose(0, 1).reshape(length, hidden)
        result: torch.Tensor = self.o_proj(mixed)
        return result

    def _separate(self) -> tuple[nn.Linear, ...]:
        return self.q_proj, self.k_proj, self.v_proj


def rotated(x: torch.Tensor) -> torch.Tensor:
    """[heads, length, features], feature i turned with i + features / 2 by position / 10000^(2 i / features)."""
    half = x.shape[-1] // 2
    angles = torch.arange(x.shape[1])[:, None] / 10000 ** (torch.arange(half)[None, :] / half)
    number = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([number.real, number.imag], -1)


def published_slopes(heads: int) -> list[float]:
    """As the paper's authors give them: for other numbers than powers of two, every other one of twice as many."""
    if math.log2(heads).is_integer():
        start = 2 ** (-(2 ** -(math.log2(heads) - 3)))
        return [start * start**index for index in range(heads)]
    below = 2 ** math.floor(math.log2(heads))
    return published_slopes(below) + published_slopes(2 * below)[0::2][: heads - below]


class MLP(nn.Module):
    def __init__(self, config: Any):
        super().__init__()
        hidden, width = config.hidden_size, config.intermediate_size
        self.gate_proj, self.up_proj = nn.Linear(hidden, width, bias=False), nn.Linear(hidden, width, bias=False)
        self.down_proj = nn.Linear(width, hidden, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))
        return result


class Layer(nn.Module):
    def __init__(self, config: Any):
        super().__init__()
        self.self_attn, self.mlp = Attention(config), MLP(config)
        self.input_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.self_attn(self.input_layernorm(x))
        result: torch.Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return result


class PublishedDecoder(PreTrainedModel):  # type: ignore[no-untyped-call]
    """Of one sequence; its parameters have the names of the released checkpoints."""

    config_class = PublishedConfig

    def __init__(self, config: PublishedConfig):
        super().__init__(config)
        sizes: Any = config
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(sizes.vocab_size, sizes.hidden_size)
        self.model.layers = nn.ModuleList([Layer(config) for _ in range(sizes.num_hidden_layers)])
        self.model.norm = nn.RMSNorm(sizes.hidden_size, eps=sizes.rms_norm_eps)
        self.lm_head = nn.Linear(sizes.hidden_size, sizes.vocab_size, bias=False)
        finish: Any = self.post_init  # transformers leaves it without types
        finish()

    def forward(self, input_ids: torch.Tensor) -> SimpleNamespace:
        x = self.model.embed_tokens(input_ids[0])
        for layer in self.model.layers:
            x = layer(x)
        head = self.lm_head.weight
        if "normalised" in self.config.published:
            head = functional.normalize(head)
        return SimpleNamespace(logits=(self.model.norm(x) @ head.T)[None])
