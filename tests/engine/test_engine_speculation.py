"""The engine over fakes, with drafts."""

from __future__ import annotations

from collections.abc import Sequence as Listing
from typing import Any

import numpy as np
import pytest

from freehold.engine import engine as engine_module
from freehold.engine.drafts import Draft, Room
from freehold.engine.observer import Observer
from freehold.engine.row_costs import RowCosts
from freehold.engine.sequence import Sequence
from freehold.engine.speculation import Speculation
from freehold.engine.types import FinishReason, Usage
from freehold.ops.batch import Batch
from tests.engine.fakes import FakeModel, FakeOps, fake_engine, request, run
from tests.engine.simulation import fitting

POISON = 49


def _draft_always(monkeypatch: pytest.MonkeyPatch, *tokens: int) -> None:
    """Let every sequence have this draft in every step, as far as it can be drawn."""

    class Always(Speculation):
        def drafts(self, sequences: Listing[Sequence], room: Room) -> list[Draft]:
            return [fitting(one, tokens[: one.limit - len(one.tokens) - 1], room) for one in sequences]

    monkeypatch.setattr(engine_module, "Speculation", Always)


class Repeating(FakeModel):
    """Its likeliest token is always 7, so that drafts of sevens come true."""

    def _logits(self, history: tuple[int, ...]) -> Any:
        logits = np.zeros(self.config.vocabulary, np.float32)
        logits[7] = 50.0
        if POISON in history:
            logits[:] = np.nan
        return logits


def test_tokens_after_the_end_of_the_text_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Token 7 is "h": the stop string is complete with the sixth of eight tokens that one step draws."""
    _draft_always(monkeypatch, *[7] * 7)
    engine = fake_engine(Repeating())
    (result,) = run(engine, [request([1, 2], 40, stop=["h" * 6], temperature=0)])
    assert (result.text, result.last.finish_reason) == ("", FinishReason.STOP)
    assert result.last.usage == Usage(prompt_tokens=2, cached_tokens=0, completion_tokens=6)
    assert engine.stats().generated_tokens == 6
    (again,) = run(engine, [request([1, 2], 4, temperature=0)])
    assert again.last.finish_reason is FinishReason.LENGTH
    assert engine.stats().blocks_used == 0
    engine.close()


def test_the_first_step_of_so_many_rows_says_nothing_of_what_others_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    noted = list[int]()

    class Noting(RowCosts):
        def note(self, rows: int, seconds: float) -> None:
            noted.append(rows)

    monkeypatch.setattr(engine_module, "RowCosts", Noting)
    engine = fake_engine(Repeating())
    run(engine, [request([1, 2], 4, temperature=0)])
    assert noted == [1] * 2  # of three steps after the prompt's
    _draft_always(monkeypatch, 7, 7)
    engine.close()
    engine = fake_engine(Repeating())
    noted.clear()
    run(engine, [request([1, 2], 10, temperature=0)])
    assert noted == [3, 3]  # of three steps of three tokens each
    engine.close()


def test_the_limit_is_reached_and_not_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    _draft_always(monkeypatch, *[7] * 7)
    for most in range(1, 12):
        engine = fake_engine(Repeating())
        (result,) = run(engine, [request([1, 2], most, temperature=0)])
        assert (result.text, result.last.finish_reason) == ("h" * most, FinishReason.LENGTH)
        assert engine.stats().generated_tokens == most
        engine.close()


def test_outputs_come_token_by_token_with_their_times(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(Observer):
        first = following = 0

        def first_token(self, since_submit: float) -> None:
            self.first += 1

        def next_token(self, since_previous: float) -> None:
            self.following += 1

    _draft_always(monkeypatch, 7, 7, 7)
    observer, model = Counting(), Repeating()
    engine = fake_engine(model, observer=observer)
    (result,) = run(engine, [request([1, 2], 9, temperature=0)])
    assert [output.text for output in result.outputs] == ["h"] * 9
    assert (observer.first, observer.following) == (1, 8)
    assert [batch.tokens for batch in model.batches] == [2, 4, 4]
    assert (engine.stats().drafted_tokens, engine.stats().accepted_tokens) == (6, 6)
    engine.close()


@pytest.mark.parametrize("others", [0, 3])
def test_a_draft_that_cannot_be_computed_costs_no_request(monkeypatch: pytest.MonkeyPatch, others: int) -> None:
    """The logits after a rejected token are not numbers; nobody would ever have asked for them."""
    _draft_always(monkeypatch, 7, POISON)
    engine = fake_engine(Repeating())
    results = run(engine, [request([1, 2, number], 9, temperature=0) for number in range(1 + others)])
    assert [result.last.finish_reason for result in results] == [FinishReason.LENGTH] * (1 + others)
    assert [result.text for result in results] == ["h" * 9] * (1 + others)
    assert engine.stats().blocks_used == 0
    engine.close()


def test_a_request_that_cannot_be_computed_fails_with_its_draft_or_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(batch: Batch) -> None:
        if batch.positions[0] > 0:
            raise RuntimeError("no more")

    _draft_always(monkeypatch, 7)
    engine = fake_engine(Repeating(before_forward=broken))
    (result,) = run(engine, [request([1, 2], 9, temperature=0)])
    assert (result.text, result.last.finish_reason) == ("h", FinishReason.FAILED)
    assert engine.stats().blocks_used == 0
    engine.close()


class OtherOps(FakeOps):
    name = "torch"


@pytest.mark.parametrize("model", [Repeating(state_bytes=8), Repeating(ops=OtherOps())])
def test_no_drafts_where_they_could_change_a_result(monkeypatch: pytest.MonkeyPatch, model: FakeModel) -> None:
    """A model with states could not take a token back; other backends may round several rows otherwise than one."""
    _draft_always(monkeypatch, 7)
    engine = fake_engine(model)
    run(engine, [request([1, 2], 9, temperature=0)])
    assert engine.stats().drafted_tokens == 0
    engine.close()


def test_off_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    _draft_always(monkeypatch, 7)
    engine = fake_engine(Repeating(), speculation="off")
    run(engine, [request([1, 2], 9, temperature=0)])
    assert engine.stats().drafted_tokens == 0
    engine.close()
