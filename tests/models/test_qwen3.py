"""Qwen 3's files as they are released, dense and with experts, and what of them is refused."""

from __future__ import annotations

import pytest

from freehold.errors import ConfigError
from freehold.models.config import YarnScaling
from freehold.models.families.qwen3_moe import Qwen3MoeConfig
from tests.support.described import gguf_words, released, reread, tiny, translate

DENSE, EXPERTS = "Qwen--Qwen3-8B_config.json", "Qwen--Qwen3-30B-A3B_config.json"


def test_a_released_dense_configuration() -> None:
    config = translate(released(DENSE))
    assert (config.head_dim, config.heads, config.kv_heads) == (128, 32, 8)
    assert set(config.windows) == {None}
    assert not config.qkv_bias


def test_a_released_configuration_with_experts() -> None:
    config = translate(released(EXPERTS))
    assert isinstance(config, Qwen3MoeConfig)
    assert config.experts is not None
    assert (config.experts.count, config.experts.intermediate) == (128, 768)
    assert (config.experts.routing.top_k, config.experts.routing.normalise) == (8, True)
    assert config.dense_layers == ()


def test_dense_layers_are_those_listed_and_those_between() -> None:
    values = released(EXPERTS) | {"num_hidden_layers": 6, "decoder_sparse_step": 3, "mlp_only_layers": [2]}
    config = translate(values)
    assert isinstance(config, Qwen3MoeConfig)
    assert config.dense_layers == (0, 1, 2, 3, 4)


def test_windows_begin_where_the_configuration_says() -> None:
    assert tiny("qwen3-window").windows == (None, 7)
    assert tiny("qwen3-window-first").windows == (9, None)
    off = released(DENSE) | {"use_sliding_window": False, "sliding_window": 4096, "max_window_layers": 0}
    assert set(translate(off).windows) == {None}


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        (DENSE, "layer_types", ["full_attention"]),
        (DENSE, "layer_types", ["chunked_attention"] * 36),
        (DENSE, "head_dim", 0),
        (DENSE, "attention_bias", "no"),
        (EXPERTS, "num_experts_per_tok", 129),
        (EXPERTS, "moe_intermediate_size", None),
        (EXPERTS, "mlp_only_layers", [48]),
        (EXPERTS, "mlp_only_layers", [-1]),
        (EXPERTS, "mlp_only_layers", [True]),
        (EXPERTS, "mlp_only_layers", 3),
        (EXPERTS, "decoder_sparse_step", 0),
        (EXPERTS, "norm_topk_prob", 1),
        (EXPERTS, "qkv_bias", True),
        (EXPERTS, "use_qk_norm", False),
        (EXPERTS, "shared_expert_intermediate_size", 512),
    ],
)
def test_values_that_cannot_be_honoured_are_refused(name: str, key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"`{key}`"):
        translate(released(name) | {key: value})


def test_windows_without_their_switch_are_refused() -> None:
    types = ["full_attention"] * 35 + ["sliding_attention"]
    with pytest.raises(ConfigError, match="`use_sliding_window` is False"):
        translate(released(DENSE) | {"layer_types": types, "sliding_window": 4096})


def test_a_window_from_some_layer_on_is_refused_where_its_meaning_has_changed() -> None:
    windowed = {"use_sliding_window": True, "sliding_window": 4096}
    with pytest.raises(ConfigError, match="`max_window_layers` is 24"):
        translate(released(EXPERTS) | windowed | {"max_window_layers": 24})
    assert set(translate(released(EXPERTS) | windowed | {"max_window_layers": 0}).windows) == {4096}


def test_experts_are_counted_under_either_name() -> None:
    values = released(EXPERTS)
    assert translate({**values, "num_experts": None, "num_local_experts": 128}) == translate(values)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("qwen3-window", "full attention in every layer"),
        ("qwen3-moe-window", "full attention in every layer"),
        ("qwen3-biases", "no bias behind the attention"),
        ("qwen3-moe-unnormalised", "add up to 1"),
        ("qwen3-moe-dense-between", "experts in every layer"),
        ("qwen3-yarn-ramp", "`beta_fast` and `beta_slow`"),
    ],
)
def test_what_llama_cpp_would_compute_differently_is_not_written(name: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        gguf_words(tiny(name))


def test_a_factor_of_yarn_comes_on_top_of_the_published_one_in_gguf() -> None:
    config = tiny("qwen3-yarn-factor")
    words = gguf_words(config)
    assert words["qwen3.rope.scaling.attn_factor"] == pytest.approx(0.9 / 1.13863, rel=1e-5)
    found = reread(words, config).rope
    assert found is not None
    assert isinstance(found.scaling, YarnScaling)
    assert found.scaling.attention_factor == pytest.approx(0.9)


def test_ramps_in_gguf_are_read() -> None:
    config = tiny("qwen3-yarn")
    words = gguf_words(config, rope__scaling__yarn_beta_fast=8.0, rope__scaling__yarn_beta_slow=0.5)
    found = reread(words, config).rope
    assert found is not None
    assert found.scaling == YarnScaling(4.0, 64, beta_fast=8.0, beta_slow=0.5)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("attention.sliding_window", 8),
        ("rope.scaling.yarn_ext_factor", 0.5),
        ("expert_used_count", 8),
        ("expert_weights_scale", 2.5),
        ("expert_gating_func", 2),
        ("expert_count", 0),
    ],
)
def test_values_in_gguf_that_cannot_be_honoured_are_refused(key: str, value: object) -> None:
    config = tiny("qwen3-moe-yarn")
    words = gguf_words(config) | {f"qwen3moe.{key}": value}
    with pytest.raises(ConfigError, match=f"`qwen3moe.{key}`"):
        reread(words, config)


def test_a_gguf_file_without_the_experts_width_shares_the_whole_among_the_chosen() -> None:
    config = tiny("qwen3-moe")
    found = reread(gguf_words(config, expert_feed_forward_length=None, feed_forward_length=126), config)
    assert found.experts == config.experts
