"""BERT and XLM-RoBERTa: BERTimbau, MiniLM, BGE and many others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from freehold.checkpoints.base import Checkpoint
from freehold.models.config import ModelConfig
from freehold.models.encoder import Encoder, EncoderConfig
from freehold.models.fields import Fields
from freehold.models.translate import ACTIVATIONS, decoder_from_gguf, decoder_from_hugging_face
from freehold.models.weights import Names, Stored, WeightMap

MODULES: tuple[Names, ...] = (
    ("embedding", "embeddings.word_embeddings", "token_embd"),
    ("positions", "embeddings.position_embeddings", "position_embd"),
    ("types", "embeddings.token_type_embeddings", "token_types"),
    ("norm", "embeddings.LayerNorm", "token_embd_norm"),
    ("blocks.{i}.attention.qkv.q", "encoder.layer.{i}.attention.self.query", "blk.{i}.attn_q"),
    ("blocks.{i}.attention.qkv.k", "encoder.layer.{i}.attention.self.key", "blk.{i}.attn_k"),
    ("blocks.{i}.attention.qkv.v", "encoder.layer.{i}.attention.self.value", "blk.{i}.attn_v"),
    ("blocks.{i}.attention.output", "encoder.layer.{i}.attention.output.dense", "blk.{i}.attn_output"),
    ("blocks.{i}.attention_norm", "encoder.layer.{i}.attention.output.LayerNorm", "blk.{i}.attn_output_norm"),
    ("blocks.{i}.mlp.up", "encoder.layer.{i}.intermediate.dense", "blk.{i}.ffn_up"),
    ("blocks.{i}.mlp.down", "encoder.layer.{i}.output.dense", "blk.{i}.ffn_down"),
    ("blocks.{i}.mlp_norm", "encoder.layer.{i}.output.LayerNorm", "blk.{i}.layer_output_norm"),
)
# The first releases, BERTimbau among them, call a norm's weight and bias gamma and beta.
OLDER = tuple(
    stored
    for ours, theirs, _ in MODULES
    if theirs is not None and theirs.endswith("LayerNorm")
    for stored in (
        Stored((ours,), theirs),
        Stored((ours,), f"{theirs}.gamma", kind="weight"),
        Stored((ours,), f"{theirs}.beta", kind="bias"),
    )
)


class Bert(Encoder):
    """The encoder; what the releases put on top of it (pooler, heads of training tasks) is left unread."""

    model_type = "bert"
    gguf_architecture: ClassVar[str | None] = "bert"
    architecture = "BertModel"
    weights = WeightMap(
        modules=MODULES,
        hugging_face=OLDER,
        dropped=("pooler.*", "cls.*", "lm_head.*", "embeddings.position_ids"),
        prefixes=(("bert.", ""), ("roberta.", "")),
    )
    # Whether the position table begins with rows up to the padding token's number, which nobody uses.
    skips_padding = False

    @classmethod
    def from_hugging_face(cls, fields: Fields) -> ModelConfig:
        if fields.boolean("is_decoder", False):
            raise fields.refuse("is_decoder", "false")
        fields.choice("position_embedding_type", {"absolute": None}, "absolute")
        first = fields.integer("pad_token_id", 1, least=0) + 1 if cls.skips_padding else 0
        return decoder_from_hugging_face(
            fields,
            EncoderConfig,
            cls.architecture,
            context_length=fields.integer("max_position_embeddings", least=first + 1) - first,
            norm_epsilon=fields.number("layer_norm_eps", 1e-12),
            rope=None,
            activation=fields.choice("hidden_act", ACTIVATIONS, "gelu"),
            tied_embeddings=True,
            qkv_bias=True,
            output_bias=True,
            mlp_bias=True,
            first_position=first,
            token_types=fields.integer("type_vocab_size", 2),
        )

    @classmethod
    def to_hugging_face(cls, config: ModelConfig) -> Mapping[str, Any]:
        assert isinstance(config, EncoderConfig)
        words = {
            "layer_norm_eps": config.norm_epsilon,
            "type_vocab_size": config.token_types,
            "max_position_embeddings": config.context_length + config.first_position,
            "position_embedding_type": "absolute",
        }
        return words | ({"pad_token_id": config.first_position - 1} if cls.skips_padding else {})

    @classmethod
    def from_gguf(cls, fields: Fields, checkpoint: Checkpoint) -> ModelConfig:
        if fields.boolean("attention.causal", False):
            raise fields.refuse("attention.causal", "false")
        types = checkpoint.tensors.get("token_types.weight")
        return decoder_from_gguf(
            fields,
            checkpoint,
            EncoderConfig,
            cls.architecture,
            norm_epsilon=fields.number("attention.layer_norm_epsilon"),
            rope=None,
            activation="gelu",
            tied_embeddings=True,
            qkv_bias=True,
            output_bias=True,
            mlp_bias=True,
            first_position=0,
            token_types=2 if types is None else types.shape[0],
        )

    @classmethod
    def to_gguf(cls, config: ModelConfig) -> Mapping[str, Any]:
        assert isinstance(config, EncoderConfig)
        return {
            "tokenizer.ggml.token_type_count": config.token_types,
            "attention.layer_norm_rms_epsilon": None,
            "attention.layer_norm_epsilon": config.norm_epsilon,
            "attention.causal": False,
        }


class XlmRoberta(Bert):
    """The same with positions counted behind the padding token's number."""

    model_type = "xlm-roberta"
    gguf_architecture = None
    architecture = "XLMRobertaModel"
    skips_padding = True
