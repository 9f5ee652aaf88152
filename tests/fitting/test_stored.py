"""What config.json says about how weights are stored."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from freehold.errors import ConfigError
from freehold.fitting import find_subject, parts_of, weight_bytes
from freehold.fitting.stored import release_of
from freehold.tensors import TensorType, WeightType
from tests.fitting.models import LLAMA, MIXTRAL, subject
from tests.support.assets import asset


def types(config: dict[str, Any], model: dict[str, Any]) -> Counter[TensorType]:
    """How many matrices of each type the model then has."""
    parts = parts_of(subject(model).model)
    stored = release_of(config).stored(parts)
    return Counter(stored(part.parameter).type for part in parts if len(part.shape) == 2)


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({}, TensorType.F32),
        ({"torch_dtype": "bfloat16"}, TensorType.BF16),
        ({"dtype": "float16", "torch_dtype": "float32"}, TensorType.F16),
        ({"torch_dtype": "torch.float16"}, TensorType.F16),
        ({"text_config": {"dtype": "bfloat16"}}, TensorType.BF16),
    ],
)
def test_floats(config: dict[str, Any], kind: TensorType) -> None:
    assert types(config, LLAMA) == {kind: 3 * 7 + 2}


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, TensorType.FP8),
        ({"quant_algo": "FP8", "producer": {"name": "modelopt"}}, TensorType.FP8),
        ({"quant_method": "awq", "bits": 4}, TensorType.UINT4),
        ({"quant_method": "gptq", "bits": 4, "sym": True, "desc_act": False}, TensorType.Q4_0),
        ({"quant_method": "gptq", "bits": 4, "sym": False, "desc_act": False}, TensorType.UINT4),
        ({"quant_method": "gptq", "bits": 8, "sym": True, "desc_act": False}, TensorType.Q8_0),
    ],
)
def test_quantised_matrices_but_not_what_the_vocabulary_reads(settings: dict[str, Any], kind: TensorType) -> None:
    config = {"torch_dtype": "bfloat16", "quantization_config": settings}
    assert types(config, LLAMA) == {kind: 3 * 7, TensorType.BF16: 2}


def test_routers_stay_floats_and_mxfp4_is_for_experts() -> None:
    config = {"torch_dtype": "bfloat16", "quantization_config": {"quant_method": "fp8"}}
    # A layer has queries, keys, values, output, router, and gate, up and down of its experts.
    assert types(config, MIXTRAL) == {TensorType.FP8: 3 * 7, TensorType.BF16: 3 + 2}
    config = {"quantization_config": {"quant_method": "mxfp4"}}
    assert types(config, MIXTRAL) == {TensorType.MXFP4_APART: 3 * 3, TensorType.BF16: 3 * 5 + 2}


@pytest.mark.parametrize(
    "settings",
    [
        {"quant_method": "bitsandbytes"},
        {"quant_method": "gptq", "bits": 4, "desc_act": True},
        {"quant_method": "gptq", "bits": 3},
        {"quant_method": "awq", "bits": 8},
        {},
    ],
)
def test_what_only_the_files_settle_is_not_guessed(settings: dict[str, Any]) -> None:
    release = release_of({"torch_dtype": "float16", "quantization_config": settings})
    assert release.matrices is None


def test_unknown_float_type() -> None:
    with pytest.raises(ConfigError, match="`dtype` is 'float3'; supported: float64, float32"):
        release_of({"dtype": "float3"})


def test_gpt_oss_takes_what_its_files_take() -> None:
    """12.8 GiB are published for 20B: 4.25 bits for each of its experts' weights, 16 for the rest."""
    found = find_subject(str(asset("configs/openai--gpt-oss-20b_config.json")))
    released = weight_bytes(found.parts, found.stored, None)
    assert released / 2**30 == pytest.approx(12.8, rel=0.01)
    assert weight_bytes(found.parts, found.stored, WeightType.Q4) < released


def test_deepseek_v3_takes_what_its_files_take() -> None:
    """A byte for each of its weights, and a little more for what is not quantised and for scales."""
    found = find_subject(str(asset("configs/deepseek-ai--DeepSeek-V3_config.json")))
    assert 671e9 < weight_bytes(found.parts, found.stored, None) < 1.05 * 671e9
