"""Turns a llama2.c checkpoint and its vocabulary into a Hugging Face folder.

The file formats are those of llama2.c's `run.c`: a header of seven int32, then the float32 tensors in order.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Header:
    """The seven numbers a llama2.c file starts with."""

    dim: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int
    context: int

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads

    def config(self) -> dict[str, object]:
        """The equivalent config.json."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_act": "silu",
            "hidden_size": self.dim,
            "intermediate_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": self.context,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10000.0,
            "tie_word_embeddings": True,
            "bos_token_id": 1,
            "eos_token_id": 2,
        }

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Tensors in the file's order; the two RoPE tables behind them are left out."""
        keys = self.kv_heads * self.head_dim
        return {
            "embed": (self.vocabulary, self.dim),
            "attention_norm": (self.layers, self.dim),
            "wq": (self.layers, self.dim, self.dim),
            "wk": (self.layers, keys, self.dim),
            "wv": (self.layers, keys, self.dim),
            "wo": (self.layers, self.dim, self.dim),
            "ffn_norm": (self.layers, self.dim),
            "w1": (self.layers, self.hidden, self.dim),
            "w2": (self.layers, self.dim, self.hidden),
            "w3": (self.layers, self.hidden, self.dim),
            "norm": (self.dim,),
        }


LAYER_NAMES = {
    "attention_norm": "input_layernorm",
    "wq": "self_attn.q_proj",
    "wk": "self_attn.k_proj",
    "wv": "self_attn.v_proj",
    "wo": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "w1": "mlp.gate_proj",
    "w2": "mlp.down_proj",
    "w3": "mlp.up_proj",
}


def write_folder(checkpoint: Path, vocabulary: Path, folder: Path) -> Path:
    """Write config.json, model.safetensors and tokenizer.model. Returns the folder.

    Args:
        vocabulary: a llama2.c `tokenizer.bin`, or a SentencePiece `.model`, which is copied.
    """
    data = checkpoint.read_bytes()
    header = Header(*struct.unpack("<7i", data[:28]))
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors(header, np.frombuffer(data, "<f4", offset=28)), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(header.config()))
    model = vocabulary.read_bytes() if vocabulary.suffix == ".model" else sentencepiece_model(vocabulary.read_bytes())
    (folder / "tokenizer.model").write_bytes(model)
    return folder


def tensors(header: Header, values: Float32Array) -> dict[str, Float32Array]:
    """The file's tensors under Hugging Face's names."""
    shapes = header.shapes()
    ends = list(accumulate(int(np.prod(shape)) for shape in shapes.values()))
    pieces = np.split(values[: ends[-1]], ends[:-1])
    parts = {name: piece.reshape(shape) for (name, shape), piece in zip(shapes.items(), pieces, strict=True)}
    result = {"model.embed_tokens.weight": parts["embed"], "model.norm.weight": parts["norm"]}
    for name, foreign in LAYER_NAMES.items():
        for layer, tensor in enumerate(parts[name]):
            ours = _halves_from_pairs(tensor, header.head_dim) if name in ("wq", "wk") else tensor
            result[f"model.layers.{layer}.{foreign}.weight"] = np.ascontiguousarray(ours)
    return result


def _halves_from_pairs(tensor: Float32Array, head_dim: int) -> Float32Array:
    """llama2.c rotates neighbours (0, 1); Hugging Face rotates i with i + head_dim / 2."""
    rows, columns = tensor.shape
    return tensor.reshape(rows // head_dim, head_dim // 2, 2, columns).transpose(0, 2, 1, 3).reshape(rows, columns)


def sentencepiece_model(data: bytes) -> bytes:
    """A llama2.c vocabulary (score, length, bytes; 3 special and 256 byte tokens first) as a SentencePiece model."""
    pieces = []
    position = 4
    while position < len(data):
        score, length = struct.unpack_from("<fi", data, position)
        pieces.append((data[position + 8 : position + 8 + length], score))
        position += 8 + length
    special = {0: (b"<unk>", 2), 1: (b"<s>", 3), 2: (b"</s>", 3)}
    output = b""
    for index, (piece, score) in enumerate(pieces):
        text, kind = special.get(index, (piece.replace(b" ", "\u2581".encode()), 6 if index < 259 else 1))
        entry = _field(1, text) + b"\x15" + struct.pack("<f", score) + _number(3, kind)
        output += _field(1, entry)
    trainer = _number(3, 2) + _number(35, 1)  # BPE, with byte fallback
    normaliser = _number(3, 1) + _number(4, 0) + _number(5, 1)  # a space in front, none removed, spaces escaped
    return output + _field(2, trainer) + _field(3, normaliser)


def _varint(value: int) -> bytes:
    output = b""
    while value >= 128:
        output += bytes([value % 128 + 128])
        value //= 128
    return output + bytes([value])


def _field(number: int, payload: bytes) -> bytes:
    return _varint(number * 8 + 2) + _varint(len(payload)) + payload


def _number(number: int, value: int) -> bytes:
    return _varint(number * 8) + _varint(value)
