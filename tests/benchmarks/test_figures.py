"""Ratios, percentiles, tables and distances: what the figures are made of."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.support.cells import Cell, Effort, Measured, Result, measure, summary
from benchmarks.support.figures import percentile, print_result, ratio, table
from benchmarks.support.files import FileType
from benchmarks.support.precision import compared, counted, distance, divergences
from benchmarks.support.sides import Side
from benchmarks.vs_llamacpp import plan


def test_the_ratio_pairs_the_rounds() -> None:
    # The machine was ten times slower in the second round, for both.
    assert ratio([2.0, 20.0, 3.0], [1.0, 10.0, 1.0]) == 2.0


def test_rounds_without_a_partner_are_an_error() -> None:
    with pytest.raises(ValueError, match="longer"):
        ratio([1.0], [1.0, 2.0])


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40), st.floats(0.01, 1))
def test_percentiles_are_values_that_enough_others_do_not_exceed(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < share * len(values)


def test_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="of 0 values"):
        percentile([], 0.5)


def test_tables_align() -> None:
    assert table([["name", "speed"], ["a", 1234.5], ["longer", 1.2345], ["b", None]]).split("\n") == [
        "name    speed",
        "a        1234",
        "longer   1.23",
        "b           -",
    ]


def test_the_last_line_is_json_with_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    print_result({"prefill": 1.23456, "types": {FileType.Q4_0: [1.0, None]}})
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["prefill"] == 1.235
    assert found["types"] == {"Q4_0": [1.0, None]}
    assert {"processor", "isa", "cores", "date", "load_before"} <= set(found["machine"])


def test_equal_logits_have_no_distance_and_a_shift_of_all_changes_nothing() -> None:
    logits = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
    assert distance(logits, logits + 3).divergence == pytest.approx(0, abs=1e-9)
    assert distance(logits, logits).agreement == 1.0


def test_divergence_is_that_of_the_formula() -> None:
    p, q = np.array([[0.5, 0.5], [0.9, 0.1]]), np.array([[0.75, 0.25], [0.1, 0.9]])
    expected = [sum(a * np.log(a / b) for a, b in zip(*rows, strict=True)) for rows in zip(p, q, strict=True)]
    exact, found = np.log(p).astype(np.float32), np.log(q).astype(np.float32)
    assert divergences(exact, found) == pytest.approx(expected, rel=1e-5)
    assert distance(exact, found).agreement == 0.5


def test_the_errors_of_differences_are_those_of_their_means() -> None:
    draw = np.random.default_rng(1)
    exact, ours, theirs = (draw.standard_normal((500, 9)).astype(np.float32) for _ in range(3))
    found = compared("model", FileType.Q4_0, exact, ours, theirs)
    difference = divergences(exact, ours) - divergences(exact, theirs)
    assert found.error == pytest.approx(difference.std() / 500**0.5)
    hits = [(side.argmax(axis=1) == exact.argmax(axis=1)) for side in (ours, theirs)]
    assert found.ours.agreement - found.theirs.agreement == pytest.approx(hits[0].mean() - hits[1].mean())
    assert found.agreement_error == pytest.approx(np.std(hits[0] * 1.0 - hits[1]) / 500**0.5)
    assert compared("model", FileType.Q4_0, exact, ours, ours).error == 0


def test_only_the_second_half_of_each_text_counts() -> None:
    assert counted([[1, 2, 3, 4], [5, 6, 7]]).tolist() == [False, False, True, True, False, True, True]


def result(shape: str, kind: FileType, cell: Cell, times: float) -> Result:
    return Result(shape, kind, Measured(cell, [1.0], [times]))


def test_the_summary_takes_dense_models_and_the_types_asked_for() -> None:
    one = Cell("prefill", 256)
    results = [
        result("0.5b", FileType.Q4_0, one, 2.0),
        result("1.2b", FileType.Q4_K_M, one, 3.0),
        result("moe", FileType.Q4_0, one, 50.0),
        result("1.2b", FileType.F16, one, 70.0),
        result("1.2b", FileType.Q4_0, Cell("decode", 64, 16), 4.0),
        result("1.2b", FileType.Q4_0, Cell("decode", 64, 4), 90.0),
    ]
    found = summary(results, [FileType.Q4_0, FileType.Q4_K_M])
    assert found == {"prefill": 2.5, "decode": None, "batch16": 4.0}


class Recorder(Side):
    """A side that answers at once and remembers what it was asked."""

    def __init__(self, log: list[str], name: str) -> None:
        self.log, self.name = log, name

    def ask(self, **wanted: object) -> dict[str, float]:
        self.log.append(f"{self.name} {wanted['do']}")
        return {"seconds": 1.0}


@pytest.mark.parametrize("quick", [True, False])
def test_rounds_are_interleaved_and_contexts_filled_once(quick: bool) -> None:
    log: list[str] = []
    cells = plan("1.2b", FileType.Q4_0, quick=quick)
    measured = list(measure(cells, (Recorder(log, "A"), Recorder(log, "B")), Effort(3, 3, 0, pause=0)))
    assert [one.cell for one in measured] == cells
    assert all(len(one.ours) == len(one.theirs) == 3 for one in measured)
    assert log[::2] == [line.replace("B", "A") for line in log[1::2]]
    assert log.count("A open") == 3
    assert log.count("A fill") == len({(one.sequences, one.context) for one in cells if one.kind == "decode"})
