"""DeepSeek V3: what is accepted, what is dropped on purpose, what is refused, and the GGUF files of others."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from freehold.checkpoints.base import MemoryCheckpoint, Naming
from freehold.errors import ConfigError, UnsupportedArchitecture, WeightMapError
from freehold.models import family_of, load_model
from freehold.models.config import YarnScaling
from freehold.models.describe import to_gguf
from freehold.models.export import export
from freehold.models.families.deepseek_v3 import DeepseekV3Config
from freehold.models.loading import outline
from freehold.ops.batch import Batch
from freehold.ops.torch import TorchOps
from freehold.tensors import Tensor
from tests.support.assets import asset
from tests.support.tiny import CONFIGURATIONS, checkpoint_of, reference

SEQUENCES = [[5, 6, 7, 8, 9, 10, 11, 12], [1]]
TINY = CONFIGURATIONS["deepseek-v3"].to_dict()


def translate(values: dict[str, Any]) -> DeepseekV3Config:
    config = family_of(MemoryCheckpoint(values, {}))[1]
    assert isinstance(config, DeepseekV3Config)
    return config


def logits(checkpoint: MemoryCheckpoint) -> np.ndarray:
    model = load_model(checkpoint, TorchOps())
    return model.ops.to_numpy(model.forward(Batch.whole(SEQUENCES), None))


def source(name: str = "deepseek-v3") -> MemoryCheckpoint:
    return checkpoint_of(reference(CONFIGURATIONS[name]))


def as_gguf(checkpoint: MemoryCheckpoint) -> MemoryCheckpoint:
    exported = export(checkpoint, Naming.GGUF, None, "tiny")
    contents = {lazy.info.name: Tensor(lazy.info, lazy.data()) for lazy in exported.tensors}
    return MemoryCheckpoint(exported.config, contents, Naming.GGUF)


def gguf_metadata(**differences: object) -> dict[str, Any]:
    metadata = to_gguf(translate(TINY), "tiny") | {f"deepseek2.{key}": value for key, value in differences.items()}
    return {key: value for key, value in metadata.items() if value is not None}


def test_released_configurations_are_translated_as_the_released_code_computes() -> None:
    released = json.loads(asset("configs/deepseek-ai--DeepSeek-R1_config.json").read_text())
    config = translate(released)
    assert config.query_scale == pytest.approx((0.1 * math.log(40) + 1) ** 2 / math.sqrt(192))
    assert config.rope is not None
    assert isinstance(config.rope.scaling, YarnScaling)
    assert config.rope.scaling.attention_factor == 1.0
    assert config.rope.dimensions == 64


@pytest.mark.parametrize("model", ["DeepSeek-V2-Lite", "DeepSeek-V3.2", "DeepSeek-V4-Flash", "DeepSeek-V4-Pro"])
def test_its_relatives_are_other_architectures(model: str) -> None:
    values = json.loads(asset(f"configs/deepseek-ai--{model}_config.json").read_text())
    with pytest.raises(UnsupportedArchitecture) as caught:
        translate(values)
    assert values["architectures"][0] in caught.value.message
    assert caught.value.hint == "the nearest one is DeepseekV3ForCausalLM"


def test_the_released_code_is_known_and_stays_unread() -> None:
    code = {"AutoModelForCausalLM": "modeling_deepseek.DeepseekV3ForCausalLM"}
    assert translate(TINY | {"auto_map": code}) == translate(TINY)
    with pytest.raises(ConfigError, match="auto_map"):
        translate(TINY | {"auto_map": {**code, "AutoModel": "modeling_other.DeepseekV3Model"}})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("scoring_func", "softmax"),
        ("topk_method", "greedy"),
        ("topk_method", "group_limited_greedy"),
        ("num_key_value_heads", 1),
        ("num_attention_heads", 10**6),
        ("n_routed_experts", 10**7),
        ("n_routed_experts", None),
        ("n_group", 5),
        ("n_group", 12),
        ("topk_group", 5),
        ("num_experts_per_tok", 7),
        ("num_experts_per_tok", 0),
        ("n_shared_experts", 0),
        ("q_lora_rank", -1),
        ("kv_lora_rank", None),
        ("qk_rope_head_dim", 9),
        ("moe_layer_freq", 0),
        ("first_k_dense_replace", -1),
        ("routed_scaling_factor", 0.0),
        ("rope_interleave", "yes"),
    ],
)
def test_values_that_cannot_be_honoured_are_refused(key: str, value: object) -> None:
    values = TINY | {key: value}
    if key == "num_attention_heads":
        values["num_key_value_heads"] = value
    with pytest.raises(ConfigError) as caught:
        translate(values)
    told_as = {"qk_rope_head_dim": "rotated", "num_attention_heads": "heads", "n_routed_experts": "experts"}
    assert key in caught.value.message or told_as.get(key, key) in caught.value.message


@pytest.mark.parametrize(("step", "expected"), [(1, [False, True, True, True]), (2, [False, False, True, False])])
def test_which_layers_have_experts(step: int, expected: list[bool]) -> None:
    model = outline(MemoryCheckpoint(TINY | {"num_hidden_layers": 4, "moe_layer_freq": step}, {}))
    names = [path for path, _ in model.leaves()]
    assert [f"blocks.{layer}.mlp.router" in names for layer in range(4)] == expected


def test_the_cache_keeps_only_the_latent_and_the_rotated_key() -> None:
    model = load_model(source(), TorchOps())
    assert model.cache_bytes_per_token() == 3 * (26 + 10) * 4


def test_layers_beyond_the_last_are_dropped_on_purpose() -> None:
    original = source()
    extra = Tensor.from_array("model.layers.3.eh_proj.weight", np.zeros((60, 120), np.float32))
    assert np.array_equal(
        logits(replace(original, contents={**original.contents, extra.info.name: extra})), logits(original)
    )
    misplaced = extra.renamed("model.layers.2.eh_proj.weight")
    with pytest.raises(WeightMapError, match="unexpected"):
        logits(replace(original, contents={**original.contents, misplaced.info.name: misplaced}))


@pytest.mark.parametrize("name", ["deepseek-v3", "deepseek-v3-plain-queries"])
def test_gguf_files_from_before_the_absorption_are_read(name: str) -> None:
    original = as_gguf(source(name))
    config = translate(CONFIGURATIONS[name].to_dict())
    contents = dict(original.contents)
    for layer in range(config.layers):
        keys = contents.pop(f"blk.{layer}.attn_k_b.weight").float32()  # [heads, latent, unrotated]
        values = contents.pop(f"blk.{layer}.attn_v_b.weight").float32()  # [heads, value, latent]
        both = np.concatenate([keys.transpose(0, 2, 1), values], axis=1).reshape(-1, config.latent)
        fused = Tensor.from_array(f"blk.{layer}.attn_kv_b.weight", both)
        contents[fused.info.name] = fused
    metadata = {key: value for key, value in original.config.items() if not key.endswith("_mla")} | {
        "deepseek2.attention.head_count_kv": config.heads,
        "deepseek2.attention.key_length": config.head_dim,
        "deepseek2.attention.value_length": config.value_dim,
    }
    older = MemoryCheckpoint(metadata, contents, Naming.GGUF)
    assert np.array_equal(logits(older), logits(original))


def test_gguf_files_with_merged_gates_and_ups_are_read() -> None:
    original = as_gguf(source())
    contents = dict(original.contents)
    for layer in (1, 2):
        parts = [contents.pop(f"blk.{layer}.ffn_{part}_exps.weight").float32() for part in ("gate", "up")]
        merged = Tensor.from_array(f"blk.{layer}.ffn_gate_up_exps.weight", np.concatenate(parts, axis=1))
        contents[merged.info.name] = merged
    assert np.array_equal(logits(replace(original, contents=contents)), logits(original))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("expert_gating_func", 1),
        ("expert_gating_func", None),
        ("nextn_predict_layers", 1),
        ("rope.scaling.yarn_log_multiplier", None),
        ("rope.scaling.attn_factor", 0.9),
        ("attention.key_length_mla", 10),
        ("attention.kv_lora_rank", 0),
        ("expert_count", 0),
    ],
)
def test_gguf_values_that_cannot_be_honoured_are_refused(key: str, value: object) -> None:
    table = Tensor.from_array("token_embd.weight", np.zeros((97, 60), np.float32))
    checkpoint = MemoryCheckpoint(gguf_metadata(**{key: value}), {table.info.name: table}, Naming.GGUF)
    with pytest.raises(ConfigError, match=f"deepseek2.{key}"):
        family_of(checkpoint)


@pytest.mark.parametrize("name", ["deepseek-v3-biases", "deepseek-v3-yarn-growths", "deepseek-v3-yarn-plain"])
def test_what_llama_cpp_would_compute_in_another_way_is_not_written(name: str) -> None:
    with pytest.raises(ConfigError, match="`deepseek2` has"):
        to_gguf(translate(CONFIGURATIONS[name].to_dict()), name)


def test_every_second_layer_with_experts_cannot_be_said_in_gguf() -> None:
    with pytest.raises(ConfigError, match="experts in every layer"):
        to_gguf(translate(TINY | {"moe_layer_freq": 2}), "tiny")


def test_another_epsilon_of_the_latents_cannot_be_said_in_a_folder() -> None:
    original = as_gguf(source())
    metadata = {**original.config, "deepseek2.attention.layer_norm_rms_epsilon": 1e-5}
    with pytest.raises(ConfigError, match="epsilon"):
        export(replace(original, config=metadata), Naming.HUGGING_FACE, None, "tiny")
