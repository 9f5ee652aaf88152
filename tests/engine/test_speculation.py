"""How many tokens are drafted, given what guesses are worth and what rows cost."""

from __future__ import annotations

from math import inf

import pytest

from freehold.engine.lookup_drafter import LookupDrafter
from freehold.engine.row_costs import LIFETIME, MOST_ROWS, TRUSTED, PassCosts, RowCosts
from freehold.engine.sequence import Sequence
from freehold.engine.speculation import Speculation
from tests.engine.simulation import make_sequence

LOOP = list(range(40, 60))


def _costs(of_sixteen: float) -> RowCosts:
    """Measured: from 1 for one row up to what sixteen take, in a straight line."""
    costs = RowCosts()
    for rows in range(1, MOST_ROWS + 1):
        costs.note(rows, 1 + (of_sixteen - 1) * (rows - 1) / (MOST_ROWS - 1))
    return costs


def _drafts(costs: RowCosts, *sequences: Sequence) -> list[tuple[int, ...]]:
    """What prompt lookup drafts, with room for everything."""
    drafts = Speculation(costs, [LookupDrafter()]).drafts(sequences, lambda sequence, count: count)
    return [draft.tokens for draft in drafts]


def _repeating(number: int = 0, output: int = 1000) -> Sequence:
    """A sequence that has generated the same twenty tokens again and again, so that guesses have come true."""
    sequence = make_sequence(number, [*LOOP, *LOOP[:3]], output)
    sequence.lookup.read(sequence.tokens)
    sequence.tokens += [*LOOP[3:], *LOOP[:5]]
    return sequence


def test_costs_are_in_steps_of_the_plain_kind() -> None:
    costs = RowCosts()
    assert costs.relative(4, 1) == inf  # until a plain step was measured
    costs.note(1, 0.5)
    assert 1 < costs.relative(2, 1) < costs.relative(4, 1) < 4
    costs.note(4, 1.0)
    assert costs.relative(4, 1) == 2


def test_what_is_not_measured_is_reckoned_from_what_is() -> None:
    costs = RowCosts()
    costs.note(1, 1.0)
    alone = costs.relative(4, 1)
    costs.note(3, 1.25)
    assert 1.25 < costs.relative(4, 1) < 1.5 < alone
    assert costs.relative(2, 1) == 1.25  # fewer rows never take longer


def test_a_step_that_something_else_held_up_counts_little() -> None:
    costs = RowCosts()
    for seconds in (1, 1, 1, 50, 1, 1, 1, 1):
        costs.note(1, seconds)
    costs.note(2, 2)
    assert 1.0 < costs.relative(2, 1) < 2.0


def test_fewer_rows_never_cost_more_and_more_are_never_free() -> None:
    costs = RowCosts()
    costs.note(1, 3.0)
    costs.note(4, 1.0)
    costs.note(8, 2.0)
    assert costs.relative(8, 1) == 2
    assert 1 < costs.relative(4, 1) < 1.2


def test_old_costs_are_measured_again() -> None:
    costs = RowCosts()
    costs.note(1, 1.0)
    costs.note(2, 100.0)
    assert costs.relative(2, 1) == 100
    for _ in range(LIFETIME - 1):
        costs.note(1, 1.0)
    assert costs.relative(2, 1) == 100
    costs.note(1, 1.0)
    assert costs.relative(2, 1) < 2


def test_costs_of_crowds_are_not_kept() -> None:
    costs = RowCosts()
    costs.note(MOST_ROWS + 1, 1.0)
    assert costs.relative(MOST_ROWS + 2, MOST_ROWS + 1) == inf


def test_a_pass_is_not_expensive_because_it_once_took_long() -> None:
    costs = PassCosts()
    assert costs.seconds(1, 0.25) == 0.25
    for seconds in (5.0, *[0.4] * (TRUSTED - 1)):
        assert costs.seconds(1, 0.25) == 0.25
        costs.note(1, seconds)
    assert costs.seconds(1, 0.25) == 0.4
    assert costs.seconds(2, 0.25) == 0.25
    costs.note(2, 0.1)
    assert costs.seconds(2, 0.25) == 0.1


def test_what_passes_cost_is_measured_again() -> None:
    costs = PassCosts()
    for _ in range(TRUSTED):
        costs.note(1, 2.0)
    for _ in range(LIFETIME - 1):
        costs.age()
    assert costs.seconds(1, 0.25) == 2.0
    costs.age()
    assert costs.seconds(1, 0.25) == 0.25


def test_what_repeats_itself_is_drafted_as_far_as_rows_are_cheap() -> None:
    sequence = _repeating()
    in_fours = RowCosts()
    for rows in range(1, MOST_ROWS + 1):
        in_fours.note(rows, 1.5 if rows <= 4 else 20.0)
    following = tuple(LOOP[5:] + LOOP)
    assert _drafts(_costs(1.5), sequence) == [following[: MOST_ROWS - 1]]
    assert _drafts(in_fours, sequence) == [following[:3]]
    assert _drafts(_costs(40.0), sequence) == [()]


def test_what_never_came_true_is_not_drafted_though_it_was_seen_before() -> None:
    sequence = make_sequence(0, [1, 2, 3], 1000)
    costs, drafted = _costs(5.0), 0
    for others in range(1, 30):
        drafted += len(_drafts(costs, sequence)[0])
        sequence.tokens += [*range(others * 100, others * 101), 1, 2, 3]
    assert drafted <= 1


def test_nothing_is_drafted_before_a_plain_step_was_measured() -> None:
    assert _drafts(RowCosts(), _repeating()) == [()]


@pytest.mark.parametrize("count", [MOST_ROWS, MOST_ROWS + 3])
def test_nothing_is_drafted_in_a_crowd(count: int) -> None:
    drafts = _drafts(_costs(1.0), *(_repeating(number) for number in range(count)))
    assert drafts == [()] * count


def test_the_likeliest_guesses_of_all_sequences_are_taken() -> None:
    plain = make_sequence(2, list(range(30)), 100)
    drafts = _drafts(_costs(1.5), _repeating(0), plain, _repeating(1))
    assert drafts[1] == ()
    assert len(drafts[0]) + len(drafts[2]) == MOST_ROWS - 3
    assert abs(len(drafts[0]) - len(drafts[2])) <= 1


@pytest.mark.parametrize("left", [1, 2, 5])
def test_no_token_beyond_the_limit_is_drafted(left: int) -> None:
    sequence = _repeating()
    sequence.limit = len(sequence.tokens) + left
    (draft,) = _drafts(_costs(1.0), sequence)
    assert len(draft) == left - 1
