"""Load on a server: arrivals, and what the figures make of the answers."""

from __future__ import annotations

from contextlib import closing

import pytest

from benchmarks.support.load import Answer, Arrival, arrivals, load, summary
from benchmarks.support.servers import free_port
from tests.server.fake_engine import FakeModel
from tests.server.live import running


def test_arrivals_are_the_same_for_every_server_and_their_gaps_average_to_the_rate() -> None:
    wanted = arrivals(2000, rate=4.0, words=3)
    assert wanted == arrivals(2000, rate=4.0, words=3)
    assert [one.at for one in wanted] == sorted(one.at for one in wanted)
    assert wanted[-1].at / len(wanted) == pytest.approx(1 / 4.0, rel=0.1)
    others = arrivals(2000, rate=4.0, words=3, seed=1)
    assert len({one.prompt.split(":")[0] for one in [*wanted, *others]}) == len(wanted) + len(others)


def test_figures_are_those_of_the_answers() -> None:
    answers = [
        Answer(sent=0.0, pieces=[1.0, 2.0, 4.0], tokens=3),
        Answer(sent=1.0, pieces=[5.0, 6.0], tokens=7),
        Answer(sent=2.0, error="status 429"),
    ]
    found = summary(answers)
    assert found["answered"] == 2
    assert found["failed"] == 1
    assert found["tokens_per_second"] == pytest.approx(10 / 6)
    assert (found["first_token_p50"], found["first_token_p99"]) == (1.0, 4.0)
    assert (found["inter_token_p50"], found["inter_token_p99"]) == (1.0, 2.0)


def test_a_load_that_nobody_answered_says_why() -> None:
    with pytest.raises(ValueError, match="status 429"):
        summary([Answer(sent=0.0, error="status 429")])


def test_a_real_server_answers_every_request() -> None:
    with closing(FakeModel()) as model, running({"fake": model}) as live:
        answers = load(live.port, "fake", [Arrival(0.0, "one"), Arrival(0.01, "two")], tokens=5)
    assert [one.error for one in answers] == [None, None]
    assert [one.tokens for one in answers] == [5, 5]
    assert all(one.sent < piece for one in answers for piece in one.pieces)


def test_refusals_and_closed_ports_are_failures() -> None:
    with closing(FakeModel()) as model, running({"fake": model}) as live:
        (refused,) = load(live.port, "no such model", [Arrival(0.0, "one")], tokens=5)
    assert refused.error is not None
    assert refused.error.startswith("status 404")
    (closed,) = load(free_port(), "fake", [Arrival(0.0, "one")], tokens=5)
    assert closed.error is not None
    assert "refused" in closed.error
