"""Every packed weight comes back as it was, whatever its format: the same arrays, the same products."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from freehold import _kernels
from freehold.ops.native import NativeOps
from freehold.packed.identity import packing
from freehold.packed.records import AnyArray, PackedWeight, from_record, to_record
from freehold.tensors import ASSEMBLED_TYPES, READABLE_TYPES, Tensor, TensorInfo, TensorType, WeightType

ROWS, COLUMNS = 24, 512
OPS = NativeOps()


def stored(kind: TensorType, seed: int = 0) -> Tensor:
    """Random contents of a type; bytes below 0x40 spell no NaN in any of them."""
    draw = np.random.default_rng(seed)
    info = TensorInfo("weight", (ROWS, COLUMNS), kind)
    scales = draw.random((ROWS, COLUMNS // 128), np.float32) if kind is TensorType.FP8 else None
    return Tensor(info, draw.integers(0, 0x40, ROWS * COLUMNS if scales is not None else info.bytes, np.uint8), scales)


def floats(seed: int, rows: int = ROWS) -> Tensor:
    return Tensor.from_array("weight", np.random.default_rng(seed).standard_normal((rows, COLUMNS), np.float32))


def bias(seed: int, rows: int = ROWS) -> Tensor:
    return Tensor.from_array("bias", np.random.default_rng(seed).standard_normal(rows, np.float32))


def there_and_back(weight: PackedWeight) -> PackedWeight:
    arrays: list[AnyArray] = []

    def put(array: AnyArray) -> list[Any]:
        arrays.append(array.copy())
        return [len(arrays) - 1]

    record = json.loads(json.dumps(to_record(weight, put)))
    return from_record(record, lambda place: arrays[place[0]])


def product(weight: _kernels.LinearWeight) -> npt.NDArray[np.float32]:
    x = np.random.default_rng(9).standard_normal((3, COLUMNS), np.float32)
    return OPS.linear(x, weight)


@pytest.mark.parametrize("kind", sorted(READABLE_TYPES - ASSEMBLED_TYPES | {TensorType.FP8}))
def test_every_type(kind: TensorType) -> None:
    weight = OPS.pack_linear([stored(kind)], None, None)
    back = there_and_back(weight)
    assert isinstance(back, _kernels.LinearWeight)
    assert [part.format for part in back.parts] == [part.format for part in weight.parts]
    assert product(back).tobytes() == product(weight).tobytes()


@pytest.mark.parametrize("dtype", list(WeightType))
def test_parts_of_which_some_have_a_bias(dtype: WeightType) -> None:
    weight = OPS.pack_linear([floats(1), floats(2, 13)], [None, bias(3, 13)], dtype)
    back = there_and_back(weight)
    assert isinstance(back, _kernels.LinearWeight)
    assert product(back).tobytes() == product(weight).tobytes()


def test_experts_with_biases() -> None:
    experts = [[floats(expert), floats(expert + 10)] for expert in range(3)]
    biases = [[bias(expert), bias(expert + 10)] for expert in range(3)]
    weight = OPS.pack_experts(experts, biases, WeightType.Q4)
    back = there_and_back(weight)
    assert isinstance(back, _kernels.ExpertsWeight)
    assert (back.count, back.inputs, back.outputs) == (weight.count, weight.inputs, weight.outputs)
    for ours, theirs in zip(back.experts, weight.experts, strict=True):
        assert product(ours).tobytes() == product(theirs).tobytes()


def test_a_record_that_describes_no_weight_is_refused() -> None:
    record = to_record(OPS.pack_linear([floats(1)], None, WeightType.Q8), lambda array: [0])
    wrongs: list[dict[str, Any]] = [
        {},
        {"experts": []},
        {**record, "parts": []},
        {**record, "parts": [{"format": "q8"}]},
    ]
    for wrong in wrongs:
        with pytest.raises((KeyError, TypeError, ValueError)):
            from_record(wrong, lambda place: np.zeros(3, np.uint8))
    with pytest.raises(ValueError, match="codes"):
        from_record(record, lambda place: np.zeros(3, np.uint8))


def test_another_layout_is_another_packing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = packing()
    assert packing.__wrapped__() == before

    def other(parts: Any, bias: Any, dtype: WeightType | None) -> _kernels.LinearWeight:
        return OPS.pack_linear(parts, bias, dtype or WeightType.F32)

    monkeypatch.setattr("freehold.packed.identity.pack_linear", other)
    assert packing.__wrapped__() != before
