"""On the native backend a sequence's tokens and log-probabilities are the same bytes whatever happens beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Unpack

import numpy as np
import numpy.typing as npt
import pytest

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
from freehold.models import Decoder
from tests.engine.fakes import Collector, run
from tests.engine.tiny_models import MODELS, as_bytes, make_model, make_requests


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    return make_model(request.param, tmp_path_factory.mktemp("models") / "tiny")


def _engine(model: Decoder, sampler: Sampler | None = None, **options: Unpack[EngineKeywords]) -> Engine:
    defaults: EngineKeywords = {"cache_tokens": 4096}
    return Engine(model, sampler=sampler or NativeSampler(), options=EngineOptions(**(defaults | options)))


def _together(model: Decoder, **options: Unpack[EngineKeywords]) -> list[bytes]:
    """All sixteen at once."""
    engine = _engine(model, **options)
    results = [as_bytes(result.tokens) for result in run(engine, make_requests())]
    engine.close()
    return results


@pytest.fixture(scope="module")
def alone(model: Decoder) -> list[bytes]:
    """One after the other, token by token, with nothing in the cache to begin from."""
    engine = _engine(model, prefix_cache=False, speculation="off")
    results = [as_bytes(result.tokens) for request in make_requests() for result in run(engine, [request])]
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
    run(engine, make_requests())
    again = run(engine, make_requests())
    assert engine.stats().cached_tokens > 500
    assert [as_bytes(result.tokens) for result in again] == alone
    engine.close()


@pytest.mark.parametrize("block_size", [16, 48])
def test_from_the_middle_of_a_block(model: Decoder, block_size: int) -> None:
    """What requests share ends anywhere in a block; all of it is used where a model keeps nothing but positions."""
    shared, options = tuple(range(1, 64)), SamplingOptions(temperature=0.0, logprobs=2)
    requests = [
        GenerationRequest(prompt=(*shared[:length], 100 + length, 7), sampling=options, stop=StopOptions(max_tokens=2))
        for length in range(40, 64)
    ]
    engine, plain = _engine(model, block_size=block_size), _engine(model, block_size=block_size, prefix_cache=False)
    run(engine, [replace(requests[0], prompt=shared)])
    found = [result for request in requests for result in run(engine, [request])]
    assert [as_bytes(result.tokens) for result in found] == [as_bytes(one.tokens) for one in run(plain, requests)]
    if not model.state_bytes_per_sequence():
        usages = [result.last.usage for result in found]
        assert [usage.cached_tokens for usage in usages if usage is not None] == list(range(40, 64))
    engine.close()
    plain.close()


@pytest.mark.parametrize("prefix_cache", [True, False])
def test_after_preemption(model: Decoder, alone: list[bytes], prefix_cache: bool) -> None:
    demand = sum(len(request.prompt) + (request.stop.max_tokens or 0) for request in make_requests())
    engine = _engine(model, cache_tokens=demand // 4, block_size=4, prefix_cache=prefix_cache)
    results = run(engine, make_requests())
    assert engine.stats().preemptions > 0
    assert [as_bytes(result.tokens) for result in results] == alone
    engine.close()


@pytest.mark.parametrize("model", [name for name in MODELS if name.startswith("linear")], indirect=True)
def test_with_few_slots_for_states(model: Decoder, alone: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sequences at a time, whose snapshots give way to each other's."""
    monkeypatch.setattr(engine_module, "choose_state_slots", lambda **limits: 5)
    engine = _engine(model, block_size=4)
    assert [as_bytes(result.tokens) for result in run(engine, make_requests())] == alone
    again = [result for request in make_requests() for _ in range(2) for result in run(engine, [request])]
    assert [as_bytes(result.tokens) for result in again[::2]] == alone
    assert [as_bytes(result.tokens) for result in again[1::2]] == alone
    assert engine.stats().cached_tokens > 500
    engine.close()


def test_beside_requests_that_are_cancelled(model: Decoder, alone: list[bytes]) -> None:
    engine = _engine(model)
    results = [Collector() for _ in make_requests()]
    for request, result in zip(make_requests(), results, strict=True):
        dropped = engine.stream(request)
        engine.submit(request, result)
        dropped.close()
    assert all(result.ended.wait(30) for result in results)
    assert [as_bytes(result.tokens) for result in results] == alone
    engine.close()


def test_the_comparison_can_fail(model: Decoder, alone: list[bytes]) -> None:
    """With a sampler whose result depends on its neighbours in the last bit, the same test does fail."""

    sampler = NativeSampler()

    def leaky(logits: npt.NDArray[np.float32], rows: Sequence[SamplingRow]) -> list[TokenOutput]:
        return sampler(logits * np.float32(1 + len(rows) * 2**-23), rows)

    engine = _engine(model, sampler=leaky)
    assert [as_bytes(result.tokens) for result in run(engine, make_requests())] != alone
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
    needles, others = [], make_requests()
    for _ in range(100):
        needles.append(Collector())
        engine.submit(needle, needles[-1])
        neighbour = engine.stream(others[random.integers(16)])
        if random.random() < 0.5:
            next(neighbour)
        neighbour.close()
    assert all(result.ended.wait(60) for result in needles)
    assert len({as_bytes(result.tokens) for result in needles}) == 1
    engine.close()
