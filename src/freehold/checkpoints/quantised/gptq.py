"""GPTQ: `x.qweight` [inputs / 8, outputs], `x.qzeros` [groups, outputs / 8], `x.scales` [groups, outputs], `x.g_idx`.

A word holds eight neighbouring codes of 4 bits, or four of 8, the first in its lowest bits: inputs in `qweight`,
outputs in `qzeros`. `g_idx` [inputs] names the group of each input. The first version of the format stores zero points
less one. Layout of AutoGPTQ's and GPTQModel's checkpoints (Frantar et al. 2023 for the method).

Symmetric weights have zero points in the middle, which makes them Q4_0 or Q8_0 to the bit. With `desc_act` groups were
filled in order of importance, so that neighbouring inputs are in different groups. Our layouts have no place for that;
such a layer is held in float32, which is exact, but takes eight times the memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from freehold.checkpoints.huggingface import HuggingFaceCheckpoint
from freehold.checkpoints.quantised import integers
from freehold.checkpoints.quantised.assembly import BELONG_TOGETHER, Assembly, Found, check_shape, piece, words
from freehold.checkpoints.quantised.integers import GROUP, Bytes, Contents, Int64Array, Module
from freehold.checkpoints.quantised.settings import Settings
from freehold.errors import CheckpointError
from freehold.tensors import Tensor, TensorInfo, TensorType, mxfp4

WORD_BITS = 32
# Of the two versions of the format, what has to be added to a stored zero point.
ZERO_OFFSETS = {"gptq": 1, "gptq_v2": 0}

HONOURED = ("quant_method", "bits", "group_size", "sym", "desc_act", "checkpoint_format", "pack_dtype")
WITHOUT_MEANING = (
    "act_group_aware",
    "backend",
    "batch_size",
    "block_name_to_quantize",
    "cache_block_outputs",
    "damp_percent",
    "dataset",
    "disable_exllama",
    "exllama_config",
    "lm_head",
    "max_input_length",
    "meta",
    "model_file_base_name",
    "model_name_or_path",
    "model_seqlen",
    "module_name_preceding_first_block",
    "modules_in_block_to_quantize",
    "mse",
    "offload_to_disk",
    "pad_token_id",
    "quantizer",
    "static_groups",
    "tokenizer",
    "true_sequential",
    "use_cuda_fp16",
    "use_exllama",
    "v2",
)


@dataclass(frozen=True, slots=True)
class Format:
    """What config.json says of all layers.

    Attributes:
        bits: of a code.
        group_size: inputs that share a scale; None for all.
        symmetric: zero points are in the middle.
        in_order: neighbouring inputs are in one group.
        zero_offset: what is added to stored zero points.
    """

    bits: int
    group_size: int | None
    symmetric: bool
    in_order: bool
    zero_offset: int

    @property
    def codes_per_word(self) -> int:
        return WORD_BITS // self.bits


def find(stored: HuggingFaceCheckpoint, settings: Settings) -> Found:
    """The layers of a checkpoint that are stored as GPTQ leaves them.

    Raises:
        ConfigError: a setting is not supported.
        CheckpointError: the pieces of a layer do not fit.
    """
    settings.check_keys(HONOURED, WITHOUT_MEANING)
    settings.choice("pack_dtype", ("int32",), "int32")
    way = Format(
        bits=settings.choice("bits", (4, 8)),
        group_size=settings.group_size(),
        symmetric=settings.choice("sym", (True, False), True),
        in_order=not settings.choice("desc_act", (True, False), False),
        zero_offset=ZERO_OFFSETS[settings.choice("checkpoint_format", tuple(ZERO_OFFSETS), "gptq")],
    )
    found = Found([])
    for name in integers.names_of_modules(stored):
        found.assemblies.append(_assembly(stored, _module(stored, name, way), way))
        if _has_empty_bias(stored, name):
            found.dropped.add(f"{name}.bias")
    return found


def _module(stored: HuggingFaceCheckpoint, name: str, way: Format) -> Module:
    packed, zeros, scales = integers.module_pieces(stored, name)
    inputs, outputs = packed.shape[0] * way.codes_per_word, packed.shape[1]
    size = integers.size_of_groups(packed, inputs, way.group_size)
    module = Module(name, packed, zeros, scales, inputs, outputs, size)
    check_shape(scales, (module.groups, outputs), of=packed)
    check_shape(zeros, (module.groups, -(-outputs // way.codes_per_word)), of=packed)
    return module


def _assembly(stored: HuggingFaceCheckpoint, module: Module, way: Format) -> Assembly:
    order = _order(stored, module, way.in_order)
    kind = _kind(way, module.scales.type) if order is None else TensorType.F32
    info = TensorInfo(module.weight, (module.outputs, module.inputs), kind)

    def codes(first: int, last: int) -> Bytes:
        packed = np.ascontiguousarray(words(stored, module.words)[:, first:last].T)
        return _unpacked(packed, way.bits) if kind is TensorType.F32 else _blocks(packed, way.bits)

    def load() -> Tensor:
        packed_zeros = np.ascontiguousarray(words(stored, module.zeros))
        zeros = _unpacked(packed_zeros, way.bits)[:, : module.outputs].astype(np.int16) + np.int16(way.zero_offset)
        groups = module.group_of_blocks if order is None else order
        return integers.load(stored, module, info, Contents(codes, zeros, groups))

    names = [module.words.name, module.zeros.name, module.scales.name]
    index = f"{module.name}.g_idx"
    return Assembly(info, (*names, *([index] if index in stored.tensors else [])), load)


def _order(stored: HuggingFaceCheckpoint, module: Module, in_order: bool) -> Int64Array | None:
    """The group of each input; None where neighbours share one, 32 at a time."""
    name = f"{module.name}.g_idx"
    if name not in stored.tensors:
        if in_order:
            return None
        raise CheckpointError(
            f"{stored.path.name} has {module.words.name!r}, but no {name!r}, although config.json says `desc_act`",
            hint=BELONG_TOGETHER,
        )
    info = piece(stored, name, module.words.name, TensorType.I32)
    check_shape(info, (module.inputs,), of=module.words)
    order = words(stored, info).view("<i4").astype(np.int64)
    if not 0 <= order.min() <= order.max() < module.groups:
        raise CheckpointError(
            f"tensor {name!r} has groups from {order.min()} to {order.max()}; expected 0 to {module.groups - 1}",
            hint="the model's files are damaged; download them again",
        )
    if np.array_equal(order, np.arange(module.inputs) // module.group_size):
        return None
    if in_order:
        raise CheckpointError(
            f"tensor {name!r} mixes groups, although config.json says that `desc_act` is false", hint=BELONG_TOGETHER
        )
    return order


def _kind(way: Format, scales: TensorType) -> TensorType:
    if way.symmetric and scales is TensorType.F16:
        return TensorType.Q4_0 if way.bits == 4 else TensorType.Q8_0
    return TensorType.UINT4 if way.bits == 4 else TensorType.UINT8


def _blocks(packed: npt.NDArray[np.uint32], bits: int) -> Bytes:
    """Words [rows, n] -> bytes as blocks of 32 codes hold them."""
    if bits == 8:
        return packed.view(np.uint8).reshape(-1, GROUP)
    return mxfp4.halves_from_pairs(packed.view(np.uint8).reshape(-1, GROUP // 2))


def _unpacked(packed: npt.NDArray[np.uint32], bits: int) -> Bytes:
    """Words [rows, n] -> codes [rows, 8 n], or [rows, 4 n] for 8 bits."""
    as_bytes = packed.view(np.uint8)
    if bits == 8:
        return as_bytes
    codes = np.empty((len(packed), 2 * as_bytes.shape[1]), np.uint8)
    np.bitwise_and(as_bytes, np.uint8(15), out=codes[:, ::2])
    np.right_shift(as_bytes, np.uint8(4), out=codes[:, 1::2])
    return codes


def _has_empty_bias(stored: HuggingFaceCheckpoint, name: str) -> bool:
    """Whether a layer has a bias of zeros, which AutoGPTQ writes where the model has none."""
    info = stored.tensors.get(f"{name}.bias")
    return info is not None and not stored.read(info.name).float32().any()
