from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from freehold.engine.stopping import Continuation
from freehold.engine.types import FinishReason, Output, StopOptions, TokenOutput
from tests.engine.fakes import Letters

END = 99


def _continue(
    pieces: Sequence[str],
    *,
    stop: Sequence[str] = (),
    token_ids: Sequence[int] = (),
    ignore_eos: bool = False,
    most: int = 100,
    end: bool = False,
) -> list[Output]:
    """Push token n with the text pieces[n] for each piece, then perhaps the end token; outputs up to the last."""
    continuation = Continuation(
        StopOptions(strings=tuple(stop), token_ids=tuple(token_ids), ignore_eos=ignore_eos),
        [END],
        most,
        Letters([*pieces, *[""] * (100 - len(pieces))]),
    )
    outputs: list[Output] = []
    for token in [*range(len(pieces)), *([END] if end else [])]:
        outputs.append(continuation.push(TokenOutput(token)))
        if outputs[-1].finish_reason is not None:
            break
    return outputs


def _text(outputs: Sequence[Output]) -> str:
    return "".join(output.text for output in outputs)


def _tokens(outputs: Sequence[Output]) -> list[int]:
    return [token.token_id for output in outputs for token in output.tokens]


def test_the_end_token_ends_and_is_not_shown() -> None:
    outputs = _continue(["Hel", "lo"], end=True)
    assert (_text(outputs), _tokens(outputs)) == ("Hello", [0, 1])
    assert outputs[-1].finish_reason is FinishReason.STOP


def test_the_requests_own_end_tokens_count_too_and_alone_if_it_says_so() -> None:
    assert _text(_continue(["a", "b", "c"], token_ids=[1])) == "a"
    outputs = _continue(["a", "b"], ignore_eos=True, end=True, most=3)
    assert outputs[-1].finish_reason is FinishReason.LENGTH
    assert _tokens(outputs) == [0, 1, END]


def test_the_last_token_of_the_limit_is_shown() -> None:
    outputs = _continue(["a", "b", "c"], most=2)
    assert (_text(outputs), _tokens(outputs)) == ("ab", [0, 1])
    assert outputs[-1].finish_reason is FinishReason.LENGTH


def test_a_stop_string_that_ends_with_the_limit_is_a_stop() -> None:
    outputs = _continue(["a", "b"], stop=["b"], most=2)
    assert (_text(outputs), outputs[-1].finish_reason) == ("a", FinishReason.STOP)


def test_a_stop_string_inside_one_token() -> None:
    outputs = _continue(["or", "ganisation"], stop=["gani"])
    assert _text(outputs) == "or"
    assert _tokens(outputs) == [0]


def test_a_stop_string_that_ends_in_the_middle_of_a_token_keeps_the_token_with_text_before_it() -> None:
    outputs = _continue(["a ", "group", " of peo", "ple"], stop=["up of peo"])
    assert _text(outputs) == "a gro"
    assert _tokens(outputs) == [0, 1]


def test_text_that_may_become_a_stop_string_is_held_back_with_its_tokens() -> None:
    outputs = _continue(["x", "y", "z", "!"], stop=["yzt"])
    assert [(output.text, len(output.tokens)) for output in outputs] == [("x", 1), ("", 0), ("", 0), ("yz!", 3)]


def test_held_back_text_is_shown_at_the_end() -> None:
    assert _text(_continue(["x", "y"], stop=["yz"], end=True)) == "xy"
    assert _text(_continue(["x", "y"], stop=["yz"], most=2)) == "xy"


def test_tokens_of_one_character_come_together_with_it() -> None:
    outputs = _continue(["a", "", "", "é", "b"])
    assert [_tokens([output]) for output in outputs] == [[0], [], [], [1, 2, 3], [4]]
    outputs = _continue(["a", "", "", "é", "b"], stop=["é"])
    assert _tokens(outputs) == [0]


def test_half_a_character_at_the_end_is_finished_by_the_detokeniser() -> None:
    class Half(Letters):
        def finish(self) -> str:
            return "\ufffd"

    continuation = Continuation(StopOptions(), [END], 100, Half(["a", ""]))
    outputs = [continuation.push(TokenOutput(token)) for token in (0, 1, END)]
    assert (_text(outputs), _tokens(outputs)) == ("a\ufffd", [0, 1])


def test_without_text_tokens_come_at_once() -> None:
    continuation = Continuation(StopOptions(), [END], 2, None)
    assert _tokens([continuation.push(TokenOutput(5))]) == [5]
    last = continuation.push(TokenOutput(6))
    assert (last.finish_reason, _tokens([last])) == (FinishReason.LENGTH, [6])


@given(
    st.lists(st.text("abé", max_size=3), min_size=1, max_size=20),
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
    st.booleans(),
)
def test_the_stream_is_the_whole_text_before_the_earliest_stop(pieces: list[str], stops: list[str], end: bool) -> None:
    outputs = _continue(pieces, stop=stops, most=100 if end else len(pieces), end=end)
    whole = "".join(pieces)
    cut = min((whole.find(stop) for stop in stops if stop in whole), default=None)
    assert _text(outputs) == whole[:cut]
    expected = FinishReason.STOP if cut is not None or end else FinishReason.LENGTH
    assert outputs[-1].finish_reason is expected
    assert all(output.finish_reason is None for output in outputs[:-1])
    shown = _tokens(outputs)
    assert shown == list(range(len(shown)))
    if cut is None:
        assert len(shown) == len(pieces)
    else:
        assert len("".join(pieces[: len(shown)])) >= cut
        assert all(len("".join(pieces[:token])) < cut for token in shown)
