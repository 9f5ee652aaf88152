"""From parts to memory and speed."""

from __future__ import annotations

from typing import Any

import pytest

from freehold.catalogue import find
from freehold.errors import InvalidRequest
from freehold.fitting import Estimate, Fit, Resources, fit, subject_of
from freehold.tensors import WeightType
from tests.fitting.models import LLAMA, MISTRAL, MIXTRAL, subject

PLENTY = Resources(2**40, 1e9)


def fitted(config: dict[str, Any], resources: Resources = PLENTY, **options: Any) -> Fit:
    return fit(subject(config), resources, **options)


def test_context_is_the_models_own_or_8192_or_as_asked() -> None:
    assert fitted(LLAMA).context == 256
    assert fitted({**LLAMA, "max_position_embeddings": 100_000}).context == 8192
    assert fitted(LLAMA, context=64).context == 64
    with pytest.raises(InvalidRequest, match="context is 257; the model's is 256"):
        fitted(LLAMA, context=257)


def speed(one: Estimate) -> float:
    assert one.tokens_per_second is not None
    return one.tokens_per_second


def test_users_and_context_multiply_the_cache_and_nothing_else() -> None:
    one, four, short = fitted(LLAMA), fitted(LLAMA, users=4), fitted(LLAMA, context=100)
    for alone, together, shorter in zip(one.estimates, four.estimates, short.estimates, strict=True):
        assert together.cache_bytes == 4 * alone.cache_bytes
        assert together.weight_bytes == alone.weight_bytes
        assert shorter.cache_bytes == 112 * alone.cache_bytes_per_token  # whole blocks of sixteen
        assert speed(shorter) > speed(alone) > speed(together)
        # The weights are read once for all of them.
        assert 4 * speed(together) > speed(alone)


def test_types_are_in_order_and_narrower_ones_take_less_and_are_faster() -> None:
    released, f32, f16, q8, q4 = fitted(LLAMA).estimates
    assert (released.dtype, f32.dtype, q4.dtype) == (None, WeightType.F32, WeightType.Q4)
    assert released.weight_bytes == f32.weight_bytes > f16.weight_bytes > q8.weight_bytes > q4.weight_bytes
    assert speed(f32) < speed(f16) < speed(q8) < speed(q4)
    assert released.cache_bytes_per_token == f32.cache_bytes_per_token == 2 * f16.cache_bytes_per_token


def test_speed_is_bandwidth_over_bytes_read() -> None:
    (only,) = fitted(LLAMA, types=(WeightType.F32,)).estimates
    embedding = -(-LLAMA["vocab_size"] // 8) * 8 * LLAMA["hidden_size"] * 4
    read = only.weight_bytes - embedding + 256 * only.cache_bytes_per_token
    assert speed(only) == pytest.approx(1e9 / read)


def test_windows_bound_what_is_read_but_not_what_is_kept() -> None:
    full, windowed = fitted({**MISTRAL, "sliding_window": None}), fitted(MISTRAL)
    for one, other in zip(full.estimates, windowed.estimates, strict=True):
        assert one.cache_bytes == other.cache_bytes
        assert speed(one) < speed(other)


def test_mixture_is_as_fast_as_its_active_part() -> None:
    few = fitted(MIXTRAL).estimates[-1]
    all_of_them = fitted({**MIXTRAL, "num_experts_per_tok": 8}).estimates[-1]
    assert few.weight_bytes == all_of_them.weight_bytes
    assert speed(few) > 2 * speed(all_of_them)


def test_an_encoder_writes_no_tokens() -> None:
    encoder = {"architectures": ["BertModel"], "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64}
    encoder |= {"num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 256}
    assert {one.tokens_per_second for one in fitted(encoder).estimates} == {None}


def test_fits_up_to_the_last_byte() -> None:
    needed = fitted(LLAMA).estimates[-1].memory_bytes
    for available, fits in ((needed, True), (needed - 1, False)):
        assert fitted(LLAMA, Resources(available, 1e9)).estimates[-1].fits is fits


def test_best_is_the_widest_that_fits_but_no_wider_than_released() -> None:
    everything = fitted(LLAMA)
    assert everything.best is not None
    assert everything.best.dtype is None
    for dtype in (WeightType.F16, WeightType.Q8, WeightType.Q4):
        needed = next(one.memory_bytes for one in everything.estimates if one.dtype is dtype)
        best = fitted(LLAMA, Resources(needed, 1e9)).best
        assert best is not None
        assert best.dtype is dtype
    nothing = fitted(LLAMA, Resources(1000, 1e9))
    assert nothing.best is None
    assert nothing.smallest.dtype is WeightType.Q4
    assert nothing.natural.dtype is None


def test_states_grow_with_users_and_not_with_the_context() -> None:
    target = find("qwen3.5:9b")
    assert target is not None
    found = subject_of(target.entry)
    one, four, short = (
        fit(found, PLENTY, users=users, context=context) for users, context in ((1, 4096), (4, 4096), (1, 64))
    )
    state = one.estimates[0].state_bytes
    # Two slots, each with 24 layers of 32 heads of 128 x 128, and the last three inputs of a convolution, in float32.
    assert state == 2 * 24 * 4 * (32 * 128 * 128 + 3 * (2 * 16 * 128 + 32 * 128))
    assert four.estimates[0].state_bytes == 4 * state
    assert short.estimates[0].state_bytes == state
