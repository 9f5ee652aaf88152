"""The rules of attention against each other, and those that are refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from freehold.ops.batch import Batch
from freehold.ops.native import NativeOps
from tests.native.sequences import Case, Sequence, attend, dirty_cache, random_sequence, whole

PLAIN = Case(6, 2, 24)
TOKENS = 50


def sequence(seed: int, tokens: int = TOKENS) -> Sequence:
    return random_sequence(seed, tokens, PLAIN)


@pytest.mark.parametrize("case", [replace(PLAIN, chunk=16), replace(PLAIN, chunk=16, sinks=True, slopes=True)], ids=str)
def test_a_chunk_is_a_sequence_of_its_own(isa: str, case: Case) -> None:
    ops = NativeOps()
    alone = replace(case, chunk=None)
    parts = [whole(ops, alone, sequence(1).rows(at, at + 16)) for at in range(0, TOKENS, 16)]
    np.testing.assert_array_equal(whole(ops, case, sequence(1)), np.concatenate(parts))


@pytest.mark.parametrize("limits", [{"window": TOKENS}, {"chunk": TOKENS}, {"window": 2**40, "chunk": 2**40}], ids=str)
def test_limits_beyond_the_sequence_change_no_bit(isa: str, limits: dict[str, Any]) -> None:
    ops = NativeOps()
    limited = whole(ops, replace(PLAIN, **limits), sequence(2))
    np.testing.assert_array_equal(limited, whole(ops, PLAIN, sequence(2)))


def test_sinks_of_no_weight_and_flat_slopes_change_no_bit(isa: str) -> None:
    ops = NativeOps()
    rows = sequence(3)
    batch = Batch.whole([[0] * TOKENS])
    nothing, flat = np.full(6, -np.inf, np.float32), np.zeros(6, np.float32)
    result = ops.attention(rows.q, rows.k, rows.v, batch, None, rules=PLAIN.rules, sinks=nothing, slopes=flat)
    np.testing.assert_array_equal(result, whole(ops, PLAIN, rows))


def test_a_sink_may_take_all_the_weight(isa: str) -> None:
    rows = sequence(4)
    sinks = np.array([0, 1e4, 0, 0, 0, 3e38], np.float32)
    result = NativeOps().attention(
        rows.q, rows.k, rows.v, Batch.whole([[0] * TOKENS]), None, rules=PLAIN.rules, sinks=sinks
    )
    heads = np.abs(result.reshape(TOKENS, 6, 24)).max(axis=(0, 2))
    np.testing.assert_array_equal(heads == 0, sinks > 0)


@pytest.mark.parametrize(
    "case",
    [replace(PLAIN, causal=False), replace(PLAIN, causal=False, softcap=2.0, sinks=True, slopes=True)],
    ids=str,
)
def test_seeing_both_ways_stays_within_the_sequence(isa: str, case: Case) -> None:
    ops = NativeOps()
    sequences = [sequence(10 + tokens, tokens) for tokens in (1, 33, 17, 16, 50)]
    alone = [whole(ops, case, one) for one in sequences]
    np.testing.assert_array_equal(whole(ops, case, *sequences), np.concatenate(alone))
    # The last row sees everything either way, and the others no longer what they saw.
    causal = whole(ops, replace(case, causal=True), sequences[-1])
    np.testing.assert_array_equal(alone[-1][-1], causal[-1])
    assert (np.abs(alone[-1][:-1] - causal[:-1]).max(axis=1) > 1e-3).all()


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"window": 0}, "window is 0, must be at least 1"),
        ({"window": -3}, "window is -3, must be at least 1"),
        ({"chunk": 0}, "chunk is 0, must be at least 1"),
        ({"softcap": 0.0}, "softcap is 0.0, must be finite and above 0"),
        ({"softcap": -30.0}, "softcap is -30.0, must be finite and above 0"),
        ({"softcap": np.inf}, "softcap is inf, must be finite and above 0"),
        ({"softcap": np.nan}, "softcap is nan, must be finite and above 0"),
        ({"causal": False, "window": 4}, "window is 4 and chunk None, but only causal attention has either"),
        ({"causal": False, "chunk": 4}, "window is None and chunk 4, but only causal attention has either"),
    ],
)
def test_rules_that_make_no_sense_are_refused(rules: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        whole(NativeOps(), replace(PLAIN, **rules), sequence(5))


def test_seeing_both_ways_with_a_cache_is_refused() -> None:
    ops = NativeOps()
    case = replace(PLAIN, causal=False)
    with pytest.raises(ValueError, match="not causal sees whole sequences, so it cannot have a cache"):
        attend(ops, case, [(sequence(6), 0, [0, 1, 2, 3])], dirty_cache(ops, case, 16))


@pytest.mark.parametrize("name", ["sinks", "slopes"])
def test_one_number_for_each_head_is_wanted(name: str) -> None:
    rows = sequence(7)
    batch = Batch.whole([[0] * TOKENS])
    for wrong, message in (
        (np.zeros(2, np.float32), rf"{name}.shape\[0\] is 2, must be 6"),
        (np.zeros((6, 1), np.float32), f"{name} has 2 dimensions, must have 1"),
        (np.zeros(6), f"{name} is of type float64, must be float32"),
    ):
        given: dict[str, Any] = {name: wrong}
        with pytest.raises(ValueError, match=message):
            NativeOps().attention(rows.q, rows.k, rows.v, batch, None, rules=PLAIN.rules, **given)
