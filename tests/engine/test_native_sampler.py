"""What the engine asks of the native sampler, and what it gets; the drawing itself is tested with the kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from freehold.engine.native_sampler import NativeSampler
from freehold.engine.sampler import SamplingRow
from freehold.engine.types import SamplingOptions, TokenOutput
from freehold.errors import FreeholdError

LOGITS = np.random.default_rng(0).standard_normal((8, 40)).astype(np.float32)


def _row(tokens: tuple[int, ...] = (1, 2, 3), prompt_length: int = 2, **options: Any) -> SamplingRow:
    return SamplingRow(SamplingOptions(**({"seed": 5} | options)), tokens, prompt_length)


def _one(row: SamplingRow, logits: int = 0) -> TokenOutput:
    return NativeSampler()(LOGITS[logits : logits + 1], [row])[0]


def test_each_row_is_drawn_as_if_alone() -> None:
    rows = [
        _row(temperature=0.0),
        _row(temperature=0.0, logprobs=3),
        _row(logprobs=0, seed=-1),
        _row((4, 5, 6, 6), 1, repetition_penalty=1.5, presence_penalty=0.5, frequency_penalty=0.5, seed=2**64 - 1),
        _row(temperature=2.0, top_k=5),
        _row(top_p=0.5, logit_bias={3: 2.0, 7: -100.0}),
        _row(min_p=0.2, logprobs=40),
        _row(tuple(range(30)), 30, logit_bias={0: 1.0}),
    ]
    alone = [_one(row, index) for index, row in enumerate(rows)]
    assert NativeSampler()(LOGITS, rows) == alone


def test_rows_may_come_and_go_between_steps() -> None:
    sampler = NativeSampler()
    rows = [_row(top_k=number + 1, seed=number, repetition_penalty=1 + number % 2) for number in range(8)]
    for chosen in ([0, 1, 2, 3], [0, 1, 2, 3], [0, 2, 3], [0, 3, 2], [4, 5], [4, 6], [7]):
        expected = [_one(rows[index], index) for index in chosen]
        assert sampler(LOGITS[chosen], [rows[index] for index in chosen]) == expected


def test_logprobs_are_reported_as_asked() -> None:
    scores = LOGITS[0].astype(np.float64)
    expected = scores - np.log(np.exp(scores).sum())
    order = np.argsort(-scores)
    assert _one(_row(temperature=0.0)).logprob is None
    found = _one(_row(temperature=0.0, logprobs=3))
    assert found.token_id == order[0]
    assert found.logprob == pytest.approx(expected[order[0]], rel=1e-5)
    assert [token for token, _ in found.top] == order[:3].tolist()
    assert [value for _, value in found.top] == pytest.approx(expected[order[:3]].tolist(), rel=1e-5)


def test_the_seed_and_the_number_of_tokens_key_the_draw() -> None:
    flat = np.zeros((1, 40), np.float32)

    def draw(seed: int, generated: int, prompt: int = 2) -> int:
        row = SamplingRow(SamplingOptions(seed=seed), (0,) * (prompt + generated), prompt)
        return NativeSampler()(flat, [row])[0].token_id

    assert draw(1, 0) == draw(1, 0, prompt=9)
    assert len({draw(1, generated) for generated in range(20)}) > 5
    assert len({draw(seed, 0) for seed in range(20)}) > 5


def test_bias_and_penalties_reach_the_logits() -> None:
    best = int(np.argmax(LOGITS[0]))
    assert _one(_row(temperature=0.0, logit_bias={17: 100.0})).token_id == 17
    assert _one(_row((best,), 0, temperature=0.0, presence_penalty=50.0)).token_id != best
    assert _one(_row((best,), 1, temperature=0.0, presence_penalty=50.0)).token_id == best
    assert _one(_row((best,), 1, temperature=0.0, repetition_penalty=50.0)).token_id != best


def test_what_cannot_be_drawn_from_is_an_error() -> None:
    with pytest.raises(FreeholdError, match="not finite"):
        NativeSampler()(np.full((1, 4), np.nan, np.float32), [_row()])
