"""AWQ: `x.qweight` [inputs, outputs / 8], `x.qzeros` [groups, outputs / 8], `x.scales` [groups, outputs].

A word holds eight neighbouring outputs, which from its lowest bits on are numbers 0, 2, 4, 6, 1, 3, 5 and 7. Layout of
AutoAWQ's checkpoints of version "gemm" (Lin et al. 2024 for the method).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from freehold.checkpoints.huggingface import HuggingFaceCheckpoint
from freehold.checkpoints.quantised import integers
from freehold.checkpoints.quantised.assembly import Assembly, Found, check_shape, words
from freehold.checkpoints.quantised.integers import GROUP, Bytes, Contents, Module
from freehold.checkpoints.quantised.settings import Settings
from freehold.tensors import Tensor, TensorInfo, TensorType

CODES_PER_WORD = 8
ORDER = (0, 2, 4, 6, 1, 3, 5, 7)

HONOURED = ("quant_method", "bits", "group_size", "version", "zero_point")
WITHOUT_MEANING = (
    "backend",
    "do_fuse",
    "exllama_config",
    "fuse_max_seq_len",
    "modules_to_fuse",
    "modules_to_not_convert",
)


def find(stored: HuggingFaceCheckpoint, settings: Settings) -> Found:
    """The layers of a checkpoint that are stored as AWQ leaves them.

    Raises:
        ConfigError: a setting is not supported.
        CheckpointError: the pieces of a layer do not fit.
    """
    settings.check_keys(HONOURED, WITHOUT_MEANING)
    settings.choice("bits", (4,))
    settings.choice("version", ("gemm", "GEMM"), "gemm")
    settings.choice("zero_point", (True,), True)
    group_size = settings.group_size()
    modules = [_module(stored, name, group_size) for name in integers.names_of_modules(stored)]
    return Found([_assembly(stored, module) for module in modules])


def _module(stored: HuggingFaceCheckpoint, name: str, group_size: int | None) -> Module:
    packed, zeros, scales = integers.module_pieces(stored, name)
    inputs, columns = packed.shape
    size = integers.size_of_groups(packed, inputs, group_size)
    module = Module(name, packed, zeros, scales, inputs, columns * CODES_PER_WORD, size)
    check_shape(scales, (module.groups, module.outputs), of=packed)
    check_shape(zeros, (module.groups, columns), of=packed)
    return module


def _assembly(stored: HuggingFaceCheckpoint, module: Module) -> Assembly:
    info = TensorInfo(module.weight, (module.outputs, module.inputs), TensorType.UINT4)

    def codes(first: int, last: int) -> Bytes:
        start, stop = first // CODES_PER_WORD, -(-last // CODES_PER_WORD)
        some = _unpacked(words(stored, module.words)[:, start:stop])[first - start * CODES_PER_WORD :][: last - first]
        blocks = some.reshape(-1, GROUP)
        return blocks[:, :16] | blocks[:, 16:] << np.uint8(4)

    def load() -> Tensor:
        zeros = _unpacked(words(stored, module.zeros)).T.astype(np.int16)
        return integers.load(stored, module, info, Contents(codes, zeros, module.group_of_blocks))

    return Assembly(info, (module.words.name, module.zeros.name, module.scales.name), load)


def _unpacked(packed: npt.NDArray[np.uint32]) -> Bytes:
    """Words [inputs, n] -> codes [8 n, inputs]."""
    as_bytes = np.ascontiguousarray(packed.T).view(np.uint8).reshape(packed.shape[1], len(packed), 4)
    codes = np.empty((packed.shape[1], CODES_PER_WORD, len(packed)), np.uint8)
    for index in range(4):
        np.bitwise_and(as_bytes[:, :, index], np.uint8(15), out=codes[:, ORDER[2 * index]])
        np.right_shift(as_bytes[:, :, index], np.uint8(4), out=codes[:, ORDER[2 * index + 1]])
    return codes.reshape(-1, len(packed))
