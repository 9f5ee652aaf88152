"""Whatever Python passes, the kernels stay inside their arrays: they refuse, naming what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from freehold import _kernels
from freehold.tensors import TensorType
from tests.native import reference

REFUSED = (ValueError, TypeError)
NUMBERS = [-1, 0, 2**31, 2**62, 2**63]

Array = npt.NDArray[Any]


def floats(*shape: int) -> npt.NDArray[np.float32]:
    return np.zeros(shape, np.float32)


def ints(*values: int) -> npt.NDArray[np.int32]:
    return np.array(values, np.int32)


def identity(rows: int = 16, columns: int = 32) -> _kernels.LinearWeight:
    return reference.pack(reference.random_tensor(0, TensorType.F32, rows, columns))


def wrong_types(array: Array) -> list[Array]:
    """The same numbers as no kernel takes them."""
    swapped = array.astype(array.dtype.newbyteorder())
    unaligned = np.frombuffer(b"\0" + array.tobytes(), array.dtype, offset=1).reshape(array.shape)
    return [array.astype(np.float64), array.astype(np.int64), array.astype(bool), swapped, unaligned]


def wrong_layouts(array: Array) -> list[Array]:
    """Other dimensions, and elements apart from each other or in reverse."""
    apart = np.repeat(array, 2, axis=-1)[..., ::2]
    return [array[None], array.reshape(-1)[0], apart, array[..., ::-1]]


def attention_arguments() -> dict[str, Any]:
    """Two sequences of 3 and 2 rows over a cache of 4 blocks of 8."""
    return {
        "q": floats(5, 4, 8),
        "k": floats(5, 2, 8),
        "v": floats(5, 2, 8),
        "positions": ints(0, 1, 2, 8, 9),
        "offsets": ints(0, 3, 5),
        "block_tables": ints(1, 3, 0),
        "block_offsets": ints(0, 1, 3),
        "keys": floats(4, 2, 1, 8, 8),
        "values": floats(4, 2, 8, 8),
        "key_scales": None,
        "value_scales": None,
        "scale": 1.0,
        "window": 0,
        "chunk": 0,
        "softcap": 0.0,
        "causal": True,
        "sinks": floats(4),
        "slopes": floats(4),
        "out": floats(5, 32),
    }


def latent_arguments() -> dict[str, Any]:
    """The same two sequences over keys of 10 features, 6 of which are values."""
    plain = attention_arguments()
    shared = {name: plain[name] for name in ("positions", "offsets", "block_tables", "block_offsets", "scale")}
    return shared | {
        "q": floats(5, 4, 10),
        "k": floats(5, 10),
        "keys": floats(4, 8, 10),
        "scales": None,
        "latent": 6,
        "out": floats(5, 24),
    }


def coded_attention_arguments() -> dict[str, Any]:
    """The same over codes of 8 bits, with heads of 40 features."""
    return attention_arguments() | {
        "q": floats(5, 4, 40),
        "k": floats(5, 2, 40),
        "v": floats(5, 2, 40),
        "keys": np.zeros((4, 2, 1, 40, 8), np.int8),
        "values": np.zeros((4, 2, 8, 40), np.int8),
        "key_scales": np.zeros((4, 2, 1, 2, 8), np.uint16),
        "value_scales": np.zeros((4, 2, 2, 8), np.uint16),
        "out": floats(5, 160),
    }


def coded_latent_arguments() -> dict[str, Any]:
    """Likewise, with keys of 40 features."""
    return latent_arguments() | {
        "q": floats(5, 4, 40),
        "k": floats(5, 40),
        "keys": np.zeros((4, 8, 40), np.int8),
        "scales": np.zeros((4, 8, 2), np.uint16),
    }


def experts(count: int, rows: int = 16, columns: int = 32) -> _kernels.ExpertsWeight:
    return _kernels.ExpertsWeight([identity(rows, columns)] * count)


def experts_arguments() -> dict[str, Any]:
    """Four experts, of 8 hidden features, for three rows."""
    return {
        "x": floats(3, 32),
        "router_logits": floats(3, 4),
        "gate_up": experts(4),
        "down": experts(4, 32, 8),
        "selection_bias": floats(4),
        "top_k": 2,
        "scoring": "softmax",
        "normalise": True,
        "scale": 1.0,
        "groups": 4,
        "groups_kept": 2,
        "weigh_inputs": False,
        "activation": "silu",
        "limit": None,
        "out": floats(3, 32),
    }


CALLS: dict[str, tuple[Callable[..., object], Callable[[], dict[str, Any]]]] = {
    "linear": (_kernels.linear, lambda: {"x": floats(3, 32), "weight": identity(), "out": floats(3, 16)}),
    "embed": (_kernels.embed, lambda: {"table": identity(), "token_ids": ints(3, 0), "out": floats(2, 32)}),
    "rms_norm": (
        _kernels.rms_norm,
        lambda: {"x": floats(3, 32), "weight": floats(32), "epsilon": 1e-5, "out": floats(3, 32)},
    ),
    "rotation": (
        _kernels.rotation,
        lambda: {
            "positions": ints(1, 2),
            "frequencies": floats(4),
            "scale": 1.0,
            "cosines": floats(2, 4),
            "sines": floats(2, 4),
        },
    ),
    "rope": (_kernels.rope, lambda: {"x": floats(3, 2, 8), "cosines": floats(3, 4), "sines": floats(3, 4)}),
    "add": (_kernels.add, lambda: {"x": floats(3, 32), "y": floats(3, 32)}),
    "layer_norm": (
        _kernels.layer_norm,
        lambda: {
            "x": floats(3, 4, 8),
            "weight": floats(4, 8),
            "bias": floats(4, 8),
            "epsilon": 1e-5,
            "out": floats(3, 4, 8),
        },
    ),
    "activate": (_kernels.activate, lambda: {"x": floats(3, 2, 8), "activation": "gelu"}),
    "gate": (_kernels.gate, lambda: {"x": floats(3, 2, 8), "gates": floats(3, 2, 8), "activation": "silu"}),
    "gated_mlp": (
        _kernels.gated_mlp,
        lambda: {
            "x": floats(3, 32),
            "gate_up": identity(16, 32),
            "down": identity(16, 8),
            "activation": "silu",
            "limit": None,
            "out": floats(3, 16),
        },
    ),
    "softcap": (_kernels.softcap, lambda: {"x": floats(3, 2, 8), "cap": 1.0}),
    "scale": (_kernels.scale, lambda: {"x": floats(3, 2, 8), "factor": 2.0}),
    "scale_rows": (_kernels.scale_rows, lambda: {"x": floats(3, 2, 8), "factors": floats(3)}),
    "select_rows": (
        _kernels.select_rows,
        lambda: {"x": floats(3, 32), "rows": ints(2, 0), "out": floats(2, 32)},
    ),
    "attention": (_kernels.attention, attention_arguments),
    "attention over codes": (_kernels.attention, coded_attention_arguments),
    "latent_attention": (_kernels.latent_attention, latent_arguments),
    "latent_attention over codes": (_kernels.latent_attention, coded_latent_arguments),
    "experts": (_kernels.experts, experts_arguments),
    "head_linear": (
        _kernels.head_linear,
        lambda: {"x": floats(3, 2, 32), "weight": experts(2), "out": floats(3, 2, 16)},
    ),
    "pack_codes": (
        _kernels.pack_codes,
        lambda: {"codes": np.zeros((8, 32), np.uint8), "target": "q4", "first": 0, "out": np.zeros(128, np.uint8)},
    ),
    "pack_floats": (
        _kernels.pack_floats,
        lambda: {
            "values": np.zeros(1024, np.uint8),
            "source": "f32",
            "target": "f32",
            "count": 8,
            "columns": 32,
            "first": 0,
            "out": np.zeros(1024, np.uint8),
        },
    ),
    "Matrix": (
        _kernels.Matrix,
        lambda: {
            "format": "q4",
            "rows": 8,
            "columns": 32,
            "codes": np.zeros(128, np.uint8),
            "scales": np.zeros(8, np.float16),
            "minimums": np.zeros(8, np.float16),
            "offset": 0,
        },
    ),
}


# Sizes that no other argument says: heads, a width, a block's size, room to spare.
FREE_AXES = {
    ("rope", "x"): {1, 2},
    ("select_rows", "x"): {0},
    ("activate", "x"): {0, 1, 2},
    ("softcap", "x"): {0, 1, 2},
    ("scale", "x"): {0, 1, 2},
    ("scale_rows", "x"): {1, 2},
    ("attention", "values"): {2},
    ("attention", "block_tables"): {0},
    ("attention over codes", "values"): {2},
    ("attention over codes", "block_tables"): {0},
    ("latent_attention", "keys"): {0, 1},
    ("latent_attention", "block_tables"): {0},
    ("latent_attention over codes", "keys"): {0, 1},
    ("latent_attention over codes", "block_tables"): {0},
    ("pack_codes", "codes"): {0, 1},
    ("pack_codes", "out"): {0},
    ("pack_floats", "out"): {0},
}


@pytest.mark.parametrize("name", CALLS)
def test_the_plain_call_is_taken(name: str) -> None:
    call, arguments = CALLS[name]
    call(**arguments())


@pytest.mark.parametrize("name", CALLS)
def test_arrays_of_another_type_or_layout_are_refused(name: str) -> None:
    call, arguments = CALLS[name]
    for argument, value in arguments().items():
        if not isinstance(value, np.ndarray):
            continue
        for wrong in [*wrong_types(value), *wrong_layouts(value)]:
            same = wrong.dtype == value.dtype and wrong.shape == value.shape and wrong.strides == value.strides
            if same and wrong.flags.aligned:
                continue  # one element has no order, one byte no alignment
            with pytest.raises(REFUSED):
                call(**arguments() | {argument: wrong})


@pytest.mark.parametrize("name", CALLS)
def test_arrays_of_another_size_are_refused(name: str) -> None:
    call, arguments = CALLS[name]
    for argument, value in arguments().items():
        if not isinstance(value, np.ndarray):
            continue
        for axis in set(range(value.ndim)) - FREE_AXES.get((name, argument), set()):
            longer = np.concatenate([value, np.take(value, [0], axis)], axis)
            shorter = np.ascontiguousarray(np.delete(value, 0, axis))
            for wrong in (longer, shorter):
                with pytest.raises(REFUSED):
                    call(**arguments() | {argument: wrong})


@pytest.mark.parametrize("name", CALLS)
def test_arrays_that_cannot_be_written_are_refused_as_results(name: str) -> None:
    call, arguments = CALLS[name]
    for argument in ("out", "cosines", "sines", "keys", "values"):
        value = arguments().get(argument)
        untouched = (name == "rope" and argument != "x") or (name == "pack_floats" and argument == "values")
        if untouched or not isinstance(value, np.ndarray):
            continue
        value.flags.writeable = False
        with pytest.raises(REFUSED):
            call(**arguments() | {argument: value})


@pytest.mark.parametrize("name", CALLS)
def test_whole_numbers_out_of_range_are_refused(name: str) -> None:
    call, arguments = CALLS[name]
    kinds = ("attention", "attention over codes")
    fine = {(kind, argument, number) for kind in kinds for argument in ("window", "chunk") for number in (0, 2**31)}
    fine |= {(kind, argument, 0) for kind in CALLS for argument in ("first", "offset")}
    for argument, value in arguments().items():
        if not isinstance(value, int) or isinstance(value, bool):
            continue
        for number in NUMBERS:
            if (name, argument, number) not in fine:
                with pytest.raises(REFUSED):
                    call(**arguments() | {argument: number})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positions": ints(0, 1, 3, 8, 9)}, "row 2 is at position 3 after position 1"),
        ({"positions": ints(-1, 0, 1, 8, 9)}, "row 0 is at position -1, but the blocks of sequence 0 hold 8"),
        ({"positions": ints(0, 1, 2, 16, 17)}, "row 3 is at position 16, but the blocks of sequence 1 hold 16"),
        ({"positions": ints(0, 1, 2, 2**31 - 1, -(2**31))}, "row 3 is at position 2147483647"),
        ({"offsets": ints(0, 3, 4)}, "offsets end at 4, but there are 5"),
        ({"offsets": ints(1, 3, 5)}, "offsets begin at 1"),
        ({"offsets": ints(0, 6, 5)}, "offsets fall from 6 to 5"),
        ({"offsets": ints(0, -(2**31), 5)}, "offsets fall from 0 to -2147483648"),
        ({"offsets": ints()}, "offsets has 0 entries"),
        ({"block_tables": ints(1, 4, 0)}, r"block_tables\[1\] is 4, but the cache has 4 blocks"),
        ({"block_tables": ints(1, 3, -1)}, r"block_tables\[2\] is -1"),
        ({"block_tables": ints(2**31 - 1, 3, 0)}, r"block_tables\[0\] is 2147483647"),
        ({"block_offsets": ints(0, 1, 4)}, "block_offsets end at 4, but there are 3"),
        ({"block_tables": ints(1, 3)}, "block_offsets end at 3, but there are 2"),
        ({"block_offsets": ints(0, 4, 3)}, "block_offsets fall from 4 to 3"),
        ({"q": floats(5, 3, 8), "out": floats(5, 24)}, "q has 3 heads, which is not a multiple of k's 2"),
        ({"k": floats(5, 0, 8), "v": floats(5, 0, 8)}, "q has 4 heads, which is not a multiple of k's 0"),
        ({"k": floats(5, 2, 9)}, r"v.shape\[2\] is 8, must be 9"),
        ({"keys": np.zeros((4, 2, 1, 8, 8), np.float16)}, "values is of type float32, must be float16"),
        ({"keys": np.zeros((4, 2, 1, 8, 8), np.float64)}, "keys is of type float64, must be float32, float16 or int8"),
        ({"key_scales": np.zeros((4, 2, 1, 1, 8), np.uint16)}, "key_scales are given, but only codes of int8 have"),
        ({"values": floats(4, 2, 0, 8)}, r"values.shape\[2\] is 0, must be from 1"),
        ({"window": -1}, "window is -1"),
        ({"chunk": -1}, "chunk is -1"),
        ({"softcap": -1.0}, "softcap is -1.0*, must be finite and at least 0"),
        ({"softcap": np.inf}, "softcap is inf"),
        ({"softcap": np.nan}, "softcap is .*nan"),
        ({"sinks": floats(3)}, r"sinks.shape\[0\] is 3, must be 4"),
        ({"slopes": floats(5)}, r"slopes.shape\[0\] is 5, must be 4"),
        ({"q": floats(5, 0, 8), "out": floats(5, 0)}, r"q.shape\[1\] is 0, must be from 1"),
    ],
)
def test_batches_that_do_not_fit_their_cache_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _kernels.attention(**attention_arguments() | changes)
    if changes.keys() <= {"positions", "offsets", "block_tables", "block_offsets"}:
        with pytest.raises(ValueError, match=message):
            _kernels.latent_attention(**latent_arguments() | changes)


def test_codes_without_scales_are_refused() -> None:
    for argument in ("key_scales", "value_scales"):
        with pytest.raises(ValueError, match=f"{argument} are missing for codes of int8"):
            _kernels.attention(**coded_attention_arguments() | {argument: None})
    with pytest.raises(ValueError, match="scales are missing for codes of int8"):
        _kernels.latent_attention(**coded_latent_arguments() | {"scales": None})


def test_token_ids_outside_the_vocabulary_are_refused() -> None:
    for bad in (-1, 16, 2**31 - 1, -(2**31)):
        with pytest.raises(ValueError, match=rf"token_ids\[1\] is {bad}, but the vocabulary has 16 tokens"):
            _kernels.embed(identity(), ints(3, bad), floats(2, 32))


def test_rows_that_overlap_are_refused() -> None:
    base = floats(64)
    overlapping = np.lib.stride_tricks.as_strided(base, (3, 32), (4, 4))
    backwards = floats(3, 32)[::-1]
    for x in (overlapping, backwards, np.broadcast_to(floats(32), (3, 32))):
        with pytest.raises(ValueError, match=r"x has rows -?[0-9]+ elements apart, must be at least 32"):
            _kernels.linear(x, identity(), floats(3, 16))


def test_what_makes_no_weight_is_refused() -> None:
    codes, scales = np.zeros(128, np.uint8), np.zeros(8, np.float16)
    plain: dict[str, Any] = {"format": "q4", "rows": 8, "columns": 32, "codes": codes, "scales": scales}
    cases: list[tuple[dict[str, Any], str]] = [
        ({"format": "q5"}, "format is 'q5', must be f32, f16, bf16, q4, q8, mxfp4, fp8, q4_k, q5_k or q6_k"),
        ({"scales": None}, "needs scales"),
        ({"offset": 16}, "offset is 16, must be from 0 to 15"),
        ({"rows": 2**31 - 1, "columns": 2**31 - 1}, "elements are more than"),
        ({"minimums": np.zeros(8, np.float32)}, "minimums is of type float32, must be float16"),
        ({"format": "mxfp4"}, "scales is of type float16, must be uint8"),
        ({"format": "mxfp4", "scales": np.zeros(7, np.uint8)}, r"scales.shape\[0\] is 7, must be 8"),
        ({"format": "mxfp4", "minimums": scales}, "has neither minimums nor an offset of its own"),
        ({"format": "fp8"}, r"codes.shape\[0\] is 128, must be 256"),
        ({"format": "fp8", "codes": np.zeros(256, np.uint8)}, "scales is of type float16, must be float32"),
        ({"format": "fp8", "columns": 129, "codes": np.zeros(1032, np.uint8)}, r"scales.shape\[0\] is 8, must be 16"),
        ({"format": "fp8", "offset": 1, "codes": np.zeros(256, np.uint8)}, "has neither minimums nor an offset"),
        ({"format": "f32", "codes": np.zeros(1024, np.uint8)}, "has neither scales nor minimums"),
    ]
    for changes, message in cases:
        with pytest.raises(ValueError, match=message):
            _kernels.Matrix(**plain | changes)
    eight = {"format": "q8", "codes": np.zeros(256, np.uint8)}
    with pytest.raises(ValueError, match="offset is 1, must be from 0 to 0"):
        _kernels.Matrix(**plain | eight | {"offset": 1})

    matrix = _kernels.Matrix(**plain)
    with pytest.raises(ValueError, match="at least one part"):
        _kernels.LinearWeight([])
    with pytest.raises(ValueError, match="there are 2 biases for 1 parts"):
        _kernels.LinearWeight([matrix], [None, None])
    with pytest.raises(ValueError, match=r"bias.shape\[0\] is 7, must be 8"):
        _kernels.LinearWeight([matrix], [floats(7)])
    other = _kernels.Matrix("f32", 8, 33, np.zeros(8 * 33 * 4, np.uint8))
    with pytest.raises(ValueError, match="part 1 has 33 columns, but part 0 has 32"):
        _kernels.LinearWeight([matrix, other])


def test_what_cannot_be_packed_is_refused() -> None:
    out = np.zeros(256, np.uint8)
    with pytest.raises(ValueError, match="a code of four bits is over 15"):
        _kernels.pack_codes(np.full((8, 32), 16, np.uint8), "q4", 0, out)
    with pytest.raises(ValueError, match="an fp8 code is NaN"):
        _kernels.pack_codes(np.full((8, 32), 255, np.uint8), "fp8", 0, out)
    with pytest.raises(ValueError, match="first is 4, must be a multiple of 8"):
        _kernels.pack_codes(np.zeros((8, 32), np.uint8), "q4", 4, out)
    with pytest.raises(ValueError, match="out has 256 bytes, must have at least 384"):
        _kernels.pack_codes(np.zeros((8, 32), np.uint8), "q4", 16, out)
    with pytest.raises(ValueError, match="cannot pack codes to f32"):
        _kernels.pack_codes(np.zeros((1, 1), np.uint8), "f32", 0, out)
    with pytest.raises(ValueError, match="cannot pack floats from f32 to q4"):
        _kernels.pack_floats(np.zeros(4, np.uint8), "f32", "q4", 1, 1, 0, out)
    for size in (-1, 2**62):
        with pytest.raises(ValueError, match="bytes is"):
            _kernels.empty(size)
    for rows, columns in ((0, 1), (1, 0), (-1, 1), (2**31, 1), (2**31 - 1, 2**31 - 1)):
        with pytest.raises(ValueError, match=r"must be from 1|more than"):
            _kernels.packed_bytes("f32", rows, columns)


def test_products_of_a_gated_mlp_that_do_not_fit_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="gate_up has 14 outputs, but down needs twice its 6 inputs"):
        _kernels.gated_mlp(floats(1, 32), identity(14, 32), identity(16, 6), "silu", None, floats(1, 16))
