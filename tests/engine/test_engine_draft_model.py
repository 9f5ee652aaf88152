"""The engine over fakes, with a draft model: same tokens, books in order, and what is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

import numpy as np
import numpy.typing as npt
import pytest

from freehold.engine.engine import Engine
from freehold.engine.memory import choose_cache_tokens
from freehold.engine.model_drafter import DraftModel
from freehold.engine.types import EngineKeywords, EngineOptions, GenerationRequest
from freehold.errors import InvalidRequest
from tests.engine.draft_models import make_drafts_free
from tests.engine.fakes import ALPHABET, FakeLimits, FakeModel, FakeOps, Letters, fake_sampler, request, run


@pytest.fixture(autouse=True)
def _free(monkeypatch: pytest.MonkeyPatch) -> None:
    make_drafts_free(monkeypatch)


class Hashed(FakeModel):
    """Logits are those of the history in every process alike; tokens from 50 on would be the likeliest of all."""

    def _logits(self, history: tuple[int, ...]) -> npt.NDArray[np.float32]:
        seed = int.from_bytes(hashlib.sha256(repr(history).encode()).digest()[:8])
        logits = np.full(self.config.vocabulary, 30.0, np.float32)
        logits[:50] = np.random.default_rng(seed).standard_normal(50, np.float32)[: self.config.vocabulary]
        return logits


class Other(Hashed):
    """One that thinks otherwise."""

    def _logits(self, history: tuple[int, ...]) -> npt.NDArray[np.float32]:
        return -super()._logits(history)


REQUESTS = [
    request([number, 7, *range(number)], 12 + number, seed=number, temperature=float(number % 2))
    for number in range(10)
]


def _engine(draft: FakeModel | None, model: FakeModel | None = None, **options: Unpack[EngineKeywords]) -> Engine:
    defaults: EngineKeywords = {"block_size": 4, "cache_tokens": 512, "prefill_chunk": 8}
    return Engine(
        model or Hashed(),
        sampler=fake_sampler,
        options=EngineOptions(**(defaults | options)),
        detokeniser=lambda prompt: Letters(ALPHABET),
        draft=None if draft is None else DraftModel(draft, fake_sampler),
    )


def _answers(engine: Engine, requests: Sequence[GenerationRequest] = REQUESTS) -> list[list[int]]:
    return [[token.token_id for token in result.tokens] for result in run(engine, requests)]


@pytest.fixture(scope="module")
def plain() -> list[list[int]]:
    engine = _engine(None, speculation="off")
    try:
        return _answers(engine)
    finally:
        engine.close()


@pytest.mark.parametrize(
    "options",
    [
        {"max_sequences": 1},
        {"max_sequences": 4},
        {"max_sequences": 4, "prefix_cache": False},
        {"cache_tokens": 64},
        {"cache_tokens": 64, "prefix_cache": False},
    ],
)
def test_a_perfect_draft_model_is_always_right(plain: list[list[int]], options: EngineKeywords) -> None:
    """Greedily and drawn with a seed, in company, and after pre-emption."""
    draft = Hashed()
    engine = _engine(draft, **options)
    assert _answers(engine) == plain
    assert _answers(engine) == plain  # once more, from the prefix cache
    stats = engine.stats()
    assert stats.drafted["model"] == stats.accepted["model"] > 50
    assert (stats.drafted_tokens, stats.accepted_tokens) == (stats.drafted["model"], stats.accepted["model"])
    assert (stats.preemptions > 0) is (options.get("cache_tokens") == 64)
    assert stats.blocks_used == 0
    engine.close()


def test_a_useless_draft_model_changes_nothing(plain: list[list[int]]) -> None:
    engine = _engine(Other(), cache_tokens=96)
    assert _answers(engine) == plain
    stats = engine.stats()
    assert stats.drafted["model"] > 20
    assert stats.accepted["model"] < stats.drafted["model"] / 2
    assert stats.blocks_used == 0
    engine.close()


@pytest.mark.parametrize("width", [40, 60])
def test_vocabularies_may_differ_by_padding(plain: list[list[int]], width: int) -> None:
    """It never guesses a token that the model does not have, however likely it finds it."""
    draft = Hashed(config=FakeLimits(vocabulary=width))
    engine = _engine(draft, max_sequences=2)
    assert _answers(engine) == plain
    assert engine.stats().accepted["model"] > 20
    engine.close()


def test_requests_that_are_cancelled_leave_nothing(plain: list[list[int]]) -> None:
    engine = _engine(Hashed(), max_sequences=4)
    for wanted in REQUESTS:
        stream = engine.stream(wanted)
        next(iter(stream))
        stream.close()
    assert _answers(engine) == plain
    assert engine.stats().blocks_used == 0
    engine.close()


@dataclass
class SmallOps(FakeOps):
    """Memory for few positions."""

    bytes_free: int = 4000

    def available_bytes(self) -> int:
        return self.bytes_free


def test_its_cache_counts_where_the_size_of_the_cache_is_chosen() -> None:
    def blocks(draft: FakeModel | None) -> int:
        model = Hashed(ops=SmallOps(), config=FakeLimits(context_length=1000))
        engine = _engine(draft, model, cache_tokens=None)
        engine.close()
        return engine.stats().blocks_total

    def expected(bytes_per_token: int) -> int:
        tokens = choose_cache_tokens(
            context_length=1000, max_sequences=16, block_size=4, bytes_per_token=bytes_per_token, available_bytes=4000
        )
        return tokens // 4

    assert (blocks(None), blocks(Hashed())) == (expected(4), expected(8))
    assert expected(8) < expected(4)


class OtherOps(FakeOps):
    name = "torch"


@pytest.mark.parametrize(
    ("model", "draft", "speculation", "message"),
    [
        (Hashed(state_bytes=8), Hashed(), "auto", "this model cannot have a draft model: it keeps a state"),
        (Hashed(), Hashed(state_bytes=8), "auto", "the draft model cannot draft: it keeps a state"),
        (Hashed(ops=OtherOps()), Hashed(), "auto", "the torch backend"),
        (Hashed(), Hashed(), "off", "speculation is 'off'"),
    ],
)
def test_what_cannot_be_done_is_refused(model: FakeModel, draft: FakeModel, speculation: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        _engine(draft, model, speculation="off" if speculation == "off" else "auto")
    assert caught.value.parameter == "draft_model"
    assert caught.value.hint
