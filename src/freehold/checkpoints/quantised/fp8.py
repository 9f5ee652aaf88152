"""FP8 as DeepSeek V3 and Qwen 3 are released: `x` of E4M3, and `x_scale_inv` with a scale for each block of x.

A value is its float times the scale of its block (DeepSeek-V3, 2024, section 3.3), so "inverse" is meant from the side
of whoever quantised. Without `weight_block_size` one scale belongs to the whole tensor, or to each row; some call
it `x_scale`. Static scales of activations are dropped: we multiply activations as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from freehold.checkpoints.huggingface import HuggingFaceCheckpoint
from freehold.checkpoints.quantised.assembly import Assembly, Found, check_shape, piece, scale_values
from freehold.checkpoints.quantised.settings import Settings
from freehold.errors import CheckpointError
from freehold.tensors import FP8_GROUP, Float32Array, Tensor, TensorInfo, TensorType

SCALE_TYPES = (TensorType.F32, TensorType.BF16, TensorType.F16, TensorType.F8_E8M0)
SUFFIXES = ("_scale_inv", "_scale")
# Beside `x.weight`, for activations and for keys and values in the cache.
DROPPED = (".input_scale", ".activation_scale", ".output_scale", ".k_scale", ".v_scale")

HONOURED = ("quant_method", "fmt", "weight_block_size")
WITHOUT_MEANING = (
    "activation_scheme",
    "dequantize",
    "ignored_layers",
    "kv_cache_scheme",
    "modules_to_not_convert",
    "scale_fmt",
    "use_kernels",
)


def find(stored: HuggingFaceCheckpoint, settings: Settings) -> Found:
    """The E4M3 tensors of a checkpoint with the scales beside them.

    Raises:
        ConfigError: a setting is not supported.
        CheckpointError: weights and scales do not fit.
    """
    settings.check_keys(HONOURED, WITHOUT_MEANING)
    settings.choice("fmt", ("e4m3",), "e4m3")
    return find_float8(stored, _block_rows(settings))


def find_float8(stored: HuggingFaceCheckpoint, block_rows: int | None) -> Found:
    """As `find`.

    Args:
        block_rows: rows that share a scale, with 128 columns; None where a scale belongs to the tensor or to a row.
    """
    weights = [info for info in stored.tensors.values() if info.type is TensorType.F8_E4M3]
    modules = {info.name.rpartition(".")[0] for info in weights}
    dropped = {
        name
        for name in stored.tensors
        for suffix in DROPPED
        if name.endswith(suffix) and name.removesuffix(suffix) in modules
    }
    return Found([_assembly(stored, info, block_rows) for info in weights], dropped)


def _block_rows(settings: Settings) -> int | None:
    size = settings.values.get("weight_block_size")
    if size is None:
        return None
    whole = isinstance(size, Sequence) and len(size) == 2 and all(type(one) is int and one > 0 for one in size)
    if not whole or size[1] != FP8_GROUP:
        raise settings.refuse("weight_block_size", f"two numbers, of which the second is {FP8_GROUP}")
    return int(size[0])


def _assembly(stored: HuggingFaceCheckpoint, weight: TensorInfo, block_rows: int | None) -> Assembly:
    name = weight.name
    if len(weight.shape) < 2 or not weight.elements:
        raise CheckpointError(f"tensor {name!r} of shape {list(weight.shape)} is no matrix", hint="check the model")
    present = [name + suffix for suffix in SUFFIXES if name + suffix in stored.tensors]
    scale = piece(stored, present[0] if present else name + SUFFIXES[0], name, *SCALE_TYPES)
    *leading, rows, columns = weight.shape
    groups = -(-columns // FP8_GROUP)
    if block_rows is None:
        check_shape(scale, (), (1,), (rows,), (rows, 1), (*leading, 1, 1), (*leading, rows, 1), of=weight)
    else:
        check_shape(scale, (*leading, -(-rows // block_rows), groups), of=weight)
    info = TensorInfo(name, weight.shape, TensorType.FP8)

    def load() -> Tensor:
        values = scale_values(stored, scale)
        each_row = _for_each_row(values, rows, block_rows and min(block_rows, rows))
        every = np.broadcast_to(each_row, (*leading, rows, each_row.shape[-1])).reshape(-1, each_row.shape[-1])
        return Tensor(info, stored.raw(name), np.ascontiguousarray(np.broadcast_to(every, (len(every), groups))))

    return Assembly(info, (name, scale.name), load)


def _for_each_row(values: Float32Array, rows: int, block_rows: int | None) -> Float32Array:
    """Scales [..., rows, groups], or [..., rows, 1] or [..., 1, 1] to be repeated."""
    if block_rows is not None:
        return np.repeat(values, block_rows, axis=-2)[..., :rows, :]
    if values.ndim < 2:
        return values.reshape(-1, 1)
    return values
