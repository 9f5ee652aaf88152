"""On the native backend a draft model changes no byte, be it perfect, a relative of the model or a stranger."""

from __future__ import annotations

from typing import Unpack

import pytest

from freehold.engine.engine import Engine
from freehold.engine.model_drafter import DraftModel
from freehold.engine.native_sampler import NativeSampler
from freehold.engine.types import EngineKeywords, EngineOptions, GenerationRequest, StopOptions
from freehold.models import Decoder
from tests.engine.draft_models import make_drafts_free
from tests.engine.fakes import ALPHABET, Collector, Letters, run
from tests.engine.tiny_models import as_bytes, make_model, make_requests


@pytest.fixture(autouse=True)
def _free(monkeypatch: pytest.MonkeyPatch) -> None:
    make_drafts_free(monkeypatch)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    return make_model("llama-q8", tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def relative(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    """The same weights with four bits each."""
    return make_model("llama-q4", tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    return make_model("latent-q8", tmp_path_factory.mktemp("models") / "tiny")


def _requests() -> list[GenerationRequest]:
    """Those of the tiny models, without their repetition, and stop strings in some."""
    return [
        GenerationRequest(
            prompt=one.prompt,
            sampling=one.sampling,
            stop=StopOptions(max_tokens=25 + number, strings=("er",) if number % 3 == 0 else ()),
        )
        for number, one in enumerate(make_requests())
    ]


def _engine(model: Decoder, draft: Decoder | None, **options: Unpack[EngineKeywords]) -> Engine:
    defaults: EngineKeywords = {"cache_tokens": 4096, "speculation": "off" if draft is None else "auto"}
    return Engine(
        model,
        sampler=NativeSampler(),
        options=EngineOptions(**(defaults | options)),
        detokeniser=lambda request: Letters(ALPHABET),
        draft=None if draft is None else DraftModel(draft, NativeSampler()),
    )


def _seen(result: Collector) -> tuple[object, ...]:
    usage = result.last.usage
    assert usage is not None
    return as_bytes(result.tokens), result.text, result.last.finish_reason, usage.completion_tokens


@pytest.fixture(scope="module")
def plain(model: Decoder) -> list[tuple[object, ...]]:
    """One after the other, without speculation."""
    engine = _engine(model, None, prefix_cache=False)
    results = [_seen(result) for request in _requests() for result in run(engine, [request])]
    engine.close()
    return results


WAYS: list[EngineKeywords] = [
    {"max_sequences": 1},
    {"max_sequences": 8},
    {"prefill_chunk": 16, "block_size": 4, "prefix_cache": False},
    {"cache_tokens": 512, "block_size": 4},
]


@pytest.mark.parametrize("options", WAYS)
@pytest.mark.parametrize("draft", ["model", "relative", "stranger"])
def test_nothing_changes(
    model: Decoder,
    plain: list[tuple[object, ...]],
    draft: str,
    options: EngineKeywords,
    request: pytest.FixtureRequest,
) -> None:
    engine = _engine(model, request.getfixturevalue(draft), **options)
    assert [_seen(result) for result in run(engine, _requests())] == plain
    assert [_seen(result) for result in run(engine, _requests())] == plain  # from the prefix cache, where there is one
    stats = engine.stats()
    assert stats.drafted["model"] > 10
    if draft == "model":
        assert stats.accepted["model"] == stats.drafted["model"]
    assert (stats.preemptions > 0) is (options.get("cache_tokens") == 512)
    assert stats.blocks_used == 0
    engine.close()
