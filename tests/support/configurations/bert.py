"""BERT and XLM-RoBERTa."""

from __future__ import annotations

from typing import Any

from transformers import BertConfig, PretrainedConfig, XLMRobertaConfig

OWN: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 60,
    "intermediate_size": 106,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "max_position_embeddings": 256,
}

ENCODERS: dict[str, PretrainedConfig] = {
    "bert": BertConfig(**OWN, architectures=["BertModel"]),
    "bert-tanh-gelu": BertConfig(
        **OWN, hidden_act="gelu_pytorch_tanh", type_vocab_size=1, layer_norm_eps=1e-5, architectures=["BertModel"]
    ),
    "bert-masked": BertConfig(**OWN, architectures=["BertForMaskedLM"]),
    "xlm-roberta": XLMRobertaConfig(**OWN, type_vocab_size=1, architectures=["XLMRobertaModel"]),
    "xlm-roberta-padding": XLMRobertaConfig(**OWN, pad_token_id=5, architectures=["XLMRobertaModel"]),
}
