"""MXFP4 as GPT-OSS is released: `x_blocks` [..., rows, groups, 16] and `x_scales` [..., rows, groups], both bytes.

A byte holds two neighbouring columns, the first in its low half (see `tensors/mxfp4.py`). The tensor keeps the name
`x_blocks`, since that says which way round the matrix lies: [..., rows, columns], outputs by inputs.
"""

from __future__ import annotations

from freehold.checkpoints.huggingface import HuggingFaceCheckpoint
from freehold.checkpoints.quantised.assembly import Assembly, Found, check_shape, piece
from freehold.checkpoints.quantised.settings import Settings
from freehold.errors import CheckpointError
from freehold.tensors import Tensor, TensorInfo, TensorType

BLOCKS, SCALES = "_blocks", "_scales"
GROUP_BYTES = 16

WITHOUT_MEANING = ("modules_to_not_convert", "dequantize", "use_kernels")


def find(stored: HuggingFaceCheckpoint, settings: Settings) -> Found:
    """The blocks of a checkpoint with the scales beside them.

    Raises:
        ConfigError: a setting is not supported.
        CheckpointError: blocks and scales do not fit.
    """
    settings.check_keys(("quant_method",), WITHOUT_MEANING)
    return Found([_assembly(stored, name) for name in stored.tensors if name.endswith(BLOCKS)])


def _assembly(stored: HuggingFaceCheckpoint, name: str) -> Assembly:
    blocks = piece(stored, name, name, TensorType.U8)
    scales = piece(stored, name.removesuffix(BLOCKS) + SCALES, name, TensorType.U8)
    if len(blocks.shape) < 3 or blocks.shape[-1] != GROUP_BYTES:
        raise CheckpointError(
            f"tensor {name!r} has shape {list(blocks.shape)}; expected [..., rows, groups, {GROUP_BYTES}]",
            hint="MXFP4 has groups of 32, two to a byte",
        )
    check_shape(scales, blocks.shape[:-1], of=blocks)
    *leading, groups, _ = blocks.shape
    info = TensorInfo(name, (*leading, groups * 32), TensorType.MXFP4_APART)

    def load() -> Tensor:
        return Tensor(info, stored.raw(name), stored.raw(scales.name).reshape(-1, groups))

    return Assembly(info, (name, scales.name), load)
