"""Baichuan 1 and 2, 7B and 13B."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from freehold.checkpoints.base import Checkpoint
from freehold.errors import ConfigError
from freehold.models.alibi import alibi_slopes
from freehold.models.blocks import Attention, Block, GatedMLP, Layer
from freehold.models.config import ModelConfig
from freehold.models.decoder import Decoder
from freehold.models.fields import Fields
from freehold.models.translate import decoder_from_gguf, decoder_from_hugging_face, gguf_layer_count
from freehold.models.weights import Stored, Values, WeightMap, heads_in_pairs, with_names
from freehold.models.weights.stored import Float32Array

QKV = ("blocks.{i}.attention.qkv.q", "blocks.{i}.attention.qkv.k", "blocks.{i}.attention.qkv.v")
# No key tells these: the vocabulary says whether a model is a Baichuan 2, whose head is normalised...
VOCABULARY_OF_2 = 125696
# ...and in GGUF the number of layers, whether it is a 7B, which is rotated, or a 13B, which has ALiBi.
LAYERS_OF_7B, LAYERS_OF_13B = 32, 40


def normalised(head: Float32Array) -> Float32Array:
    """A head [vocabulary, hidden] as it is used: in Baichuan 2 each row is divided by its length."""
    if len(head) != VOCABULARY_OF_2:
        return head
    lengths = np.sqrt(np.sum(np.square(head, dtype=np.float64), axis=1, keepdims=True))
    result: Float32Array = (head / np.maximum(lengths, 1e-12)).astype(np.float32)
    return result


class Baichuan(Decoder):
    """Llama with a packed projection; ALiBi for a rotation in the 13B, a normalised head in Baichuan 2."""

    model_type = "baichuan"
    gguf_architecture = "baichuan"
    released_code = frozenset(
        f"{module}.{prefix}{name}"
        for module, names in {
            "configuration_baichuan": ("Config",),
            "modeling_baichuan": ("ForCausalLM", "Model", "ForSequenceClassification"),
        }.items()
        for name in names
        for prefix in ("Baichuan", "BaiChuan")
    )
    weights = WeightMap(
        modules=with_names(("head", None, "output")),
        hugging_face=(
            Stored(QKV, "model.layers.{i}.self_attn.W_pack"),
            Stored(("head",), "lm_head", values=Values(normalised, lambda ours: ours)),
        ),
        gguf=(
            Stored((QKV[0],), "blk.{i}.attn_q", order=heads_in_pairs),
            Stored((QKV[1],), "blk.{i}.attn_k", order=heads_in_pairs),
        ),
    )

    def block(self, config: ModelConfig, layer: int) -> Layer:
        slopes = alibi_slopes(config.heads) if config.rope is None else None
        attention = Attention(config, rotated=config.rope is not None, slopes=slopes)
        return Block(attention=attention, mlp=GatedMLP(config), norm=lambda: self.norm_over(config, config.hidden))

    @classmethod
    def from_hugging_face(cls, fields: Fields) -> ModelConfig:
        # The 13B, whose positions are ALiBi's, has only model_max_length.
        rotated = fields.has("max_position_embeddings")
        differences: dict[str, Any] = {} if rotated else {"rope": None}
        length = fields.integer("max_position_embeddings" if rotated else "model_max_length")
        return decoder_from_hugging_face(
            fields,
            ModelConfig,
            "BaichuanForCausalLM",
            context_length=length,
            **differences,
        )

    @classmethod
    def to_hugging_face(cls, config: ModelConfig) -> Mapping[str, Any]:
        key = "model_max_length" if config.rope is None else "max_position_embeddings"
        return {"max_position_embeddings": None, key: config.context_length}

    @classmethod
    def from_gguf(cls, fields: Fields, checkpoint: Checkpoint) -> ModelConfig:
        differences: dict[str, Any] = {"rope": None} if gguf_layer_count(fields) == LAYERS_OF_13B else {}
        return decoder_from_gguf(fields, checkpoint, ModelConfig, "BaichuanForCausalLM", **differences)

    @classmethod
    def to_gguf(cls, config: ModelConfig) -> Mapping[str, Any]:
        positions, layers = ("ALiBi", LAYERS_OF_13B) if config.rope is None else ("a rotation", LAYERS_OF_7B)
        if config.layers != layers:
            raise ConfigError(
                f"GGUF's `baichuan` has {positions} with {layers} layers only; this model has {config.layers}",
                hint="export to safetensors",
            )
        return {"rope.dimension_count": config.head_dim, "tensor_data_layout": "Meta AI original pth"}
