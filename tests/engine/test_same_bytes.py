"""On the native backend a sequence's tokens and log-probabilities are the same bytes whatever happens beside it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import Unpack

import numpy as np
import numpy.typing as npt
import pytest

from freehold.checkpoints import open_checkpoint
from freehold.checkpoints.base import Checkpoint
from freehold.engine import engine as engine_module
from freehold.engine import pace
from freehold.engine.engine import Engine
from freehold.engine.native_sampler import NativeSampler
from freehold.engine.sampler import Sampler, SamplingRow
from freehold.engine.types import (
    EngineKeywords,
    EngineOptions,
    GenerationRequest,
    SamplingOptions,
    StopOptions,
    TokenOutput,
)
from freehold.models import Decoder, load_model
from freehold.ops import create_ops
from freehold.tensors import WeightType
from tests.engine.fakes import Collector, run
from tests.support.random_weights import random_checkpoint
from tests.support.tiny_folder import write_tiny_model

SHARED = tuple(range(100, 140))
# Two layers of linear attention for each of full attention, and experts.
LINEAR = {
    "architectures": ["Qwen3_5MoeForCausalLM"],
    "vocab_size": 261,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "full_attention_interval": 3,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 12,
    "linear_conv_kernel_dim": 4,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "shared_expert_intermediate_size": 16,
    "max_position_embeddings": 256,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
}
# A latent for each position instead of keys and values, and experts in groups.
LATENT = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "vocab_size": 261,
    "hidden_size": 32,
    "intermediate_size": 48,
    "moe_intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "q_lora_rank": 20,
    "kv_lora_rank": 24,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 12,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "n_group": 4,
    "topk_group": 2,
    "first_k_dense_replace": 1,
    "routed_scaling_factor": 2.5,
    "max_position_embeddings": 256,
}
# Chunks in three layers of four, a temperature in the fourth, and a single expert beside the shared one.
CHUNKS = {
    "architectures": ["Llama4ForCausalLM"],
    "vocab_size": 261,
    "hidden_size": 32,
    "intermediate_size": 24,
    "intermediate_size_mlp": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "num_local_experts": 4,
    "num_experts_per_tok": 1,
    "interleave_moe_layer_step": 2,
    "attention_chunk_size": 24,
    "floor_scale": 16,
    "max_position_embeddings": 256,
}
CONFIGURATIONS = {"linear": LINEAR, "latent": LATENT, "chunks": CHUNKS}


def _requests() -> list[GenerationRequest]:
    """Sixteen with prompts of 3 to 93 tokens, some of which begin alike, and every way to sample."""
    random = np.random.default_rng(7)
    options = [
        SamplingOptions(temperature=0.0),
        SamplingOptions(temperature=0.8, top_k=20, top_p=0.95),
        SamplingOptions(min_p=0.05, repetition_penalty=1.2),
        SamplingOptions(temperature=1.5, presence_penalty=0.5, frequency_penalty=0.2, logit_bias={5: 3.0}),
    ]
    requests = []
    for number in range(16):
        prompt = tuple(random.integers(0, 256, 3 + 6 * number).tolist())
        requests.append(
            GenerationRequest(
                prompt=SHARED + prompt[:20] if number % 3 == 0 else prompt,
                sampling=replace(options[number % 4], seed=number, logprobs=3),
                stop=StopOptions(max_tokens=9 + number),
            )
        )
    return requests


MODELS = {
    "llama-q4": WeightType.Q4,
    "llama-q8": WeightType.Q8,
    "llama-f32": WeightType.F32,
    "linear-q8": WeightType.Q8,
    "linear-f32": WeightType.F32,
    "latent-q8": WeightType.Q8,
    "chunks-q8": WeightType.Q8,
}


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    name: str = request.param
    dtype = MODELS[name]
    checkpoint: Checkpoint
    if name.startswith("llama"):
        checkpoint = open_checkpoint(write_tiny_model(tmp_path_factory.mktemp("models") / "tiny"))
    else:
        checkpoint = random_checkpoint(CONFIGURATIONS[name.partition("-")[0]])
    return load_model(checkpoint, create_ops("native", exact=dtype is WeightType.F32), dtype)


def _engine(model: Decoder, sampler: Sampler | None = None, **options: Unpack[EngineKeywords]) -> Engine:
    defaults: EngineKeywords = {"cache_tokens": 4096}
    return Engine(model, sampler=sampler or NativeSampler(), options=EngineOptions(**(defaults | options)))


def _bytes(tokens: Sequence[TokenOutput]) -> bytes:
    """Ids and log-probabilities, bit by bit."""
    parts = []
    for token in tokens:
        assert token.logprob is not None
        parts.append(struct.pack("<id", token.token_id, token.logprob))
        parts.extend(struct.pack("<id", *pair) for pair in token.top)
    return b"".join(parts)


def _together(model: Decoder, **options: Unpack[EngineKeywords]) -> list[bytes]:
    """All sixteen at once."""
    engine = _engine(model, **options)
    results = [_bytes(result.tokens) for result in run(engine, _requests())]
    engine.close()
    return results


@pytest.fixture(scope="module")
def alone(model: Decoder) -> list[bytes]:
    """One after the other, with nothing in the cache to begin from."""
    engine = _engine(model, prefix_cache=False)
    results = [_bytes(result.tokens) for request in _requests() for result in run(engine, [request])]
    engine.close()
    assert len(set(results)) == 16
    return results


def test_alone_or_among_fifteen_others(model: Decoder, alone: list[bytes]) -> None:
    assert _together(model) == alone


@pytest.mark.parametrize("chunk", [16, 64, 1000])
def test_whatever_the_prefill_chunk(
    model: Decoder, alone: list[bytes], chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "FIRST_CHUNK", chunk)
    assert _together(model, prefill_chunk=chunk) == alone


def test_without_prefix_cache(model: Decoder, alone: list[bytes]) -> None:
    assert _together(model, prefix_cache=False) == alone


@pytest.mark.parametrize("block_size", [1, 48])
def test_whatever_the_block_size(model: Decoder, alone: list[bytes], block_size: int) -> None:
    assert _together(model, block_size=block_size) == alone


def test_from_the_prefix_cache(model: Decoder, alone: list[bytes]) -> None:
    engine = _engine(model)
    run(engine, _requests())
    again = run(engine, _requests())
    assert engine.stats().cached_tokens > 500
    assert [_bytes(result.tokens) for result in again] == alone
    engine.close()


@pytest.mark.parametrize("prefix_cache", [True, False])
def test_after_preemption(model: Decoder, alone: list[bytes], prefix_cache: bool) -> None:
    demand = sum(len(request.prompt) + (request.stop.max_tokens or 0) for request in _requests())
    engine = _engine(model, cache_tokens=demand // 4, block_size=4, prefix_cache=prefix_cache)
    results = run(engine, _requests())
    assert engine.stats().preemptions > 0
    assert [_bytes(result.tokens) for result in results] == alone
    engine.close()


@pytest.mark.parametrize("model", [name for name in MODELS if name.startswith("linear")], indirect=True)
def test_with_few_slots_for_states(model: Decoder, alone: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sequences at a time, whose snapshots give way to each other's."""
    monkeypatch.setattr(engine_module, "choose_state_slots", lambda **limits: 5)
    engine = _engine(model, block_size=4)
    assert [_bytes(result.tokens) for result in run(engine, _requests())] == alone
    again = [result for request in _requests() for _ in range(2) for result in run(engine, [request])]
    assert [_bytes(result.tokens) for result in again[::2]] == alone
    assert [_bytes(result.tokens) for result in again[1::2]] == alone
    assert engine.stats().cached_tokens > 500
    engine.close()


def test_beside_requests_that_are_cancelled(model: Decoder, alone: list[bytes]) -> None:
    engine = _engine(model)
    results = [Collector() for _ in _requests()]
    for request, result in zip(_requests(), results, strict=True):
        dropped = engine.stream(request)
        engine.submit(request, result)
        dropped.close()
    assert all(result.ended.wait(30) for result in results)
    assert [_bytes(result.tokens) for result in results] == alone
    engine.close()


def test_the_comparison_can_fail(model: Decoder, alone: list[bytes]) -> None:
    """With a sampler whose result depends on its neighbours in the last bit, the same test does fail."""

    sampler = NativeSampler()

    def leaky(logits: npt.NDArray[np.float32], rows: Sequence[SamplingRow]) -> list[TokenOutput]:
        return sampler(logits * np.float32(1 + len(rows) * 2**-23), rows)

    engine = _engine(model, sampler=leaky)
    assert [_bytes(result.tokens) for result in run(engine, _requests())] != alone
    engine.close()


def test_one_text_of_many_under_random_load(model: Decoder) -> None:
    """A needle among neighbours of all kinds that come and go, some of them cancelled."""
    random = np.random.default_rng(3)
    needle = GenerationRequest(
        prompt=tuple(range(30)),
        sampling=SamplingOptions(temperature=0.0, logprobs=2),
        stop=StopOptions(max_tokens=8),
    )
    engine = _engine(model, max_waiting=1000, cache_tokens=1024, block_size=8)
    needles, others = [], _requests()
    for _ in range(100):
        needles.append(Collector())
        engine.submit(needle, needles[-1])
        neighbour = engine.stream(others[random.integers(16)])
        if random.random() < 0.5:
            next(neighbour)
        neighbour.close()
    assert all(result.ended.wait(60) for result in needles)
    assert len({_bytes(result.tokens) for result in needles}) == 1
    engine.close()
