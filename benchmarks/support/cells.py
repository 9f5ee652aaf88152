"""What is measured of one model file, side by side, and what comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.support.figures import median_of, ratio
from benchmarks.support.files import FileType
from benchmarks.support.shapes import EXPERTS_1B, SHAPES
from benchmarks.support.sides import Side

# Steps of a decoding round, by the number of sequences.
STEPS = {1: 16, 4: 8, 16: 6}
WARM_UP = 32
# Room for the tokens that decoding adds.
SLACK = max(STEPS.values())


@dataclass(frozen=True, slots=True)
class Cell:
    """One thing to measure.

    Attributes:
        kind: "prefill" of one prompt, "decode" of every sequence's next tokens, or "generate": one sequence decoded
            through our engine, and with llama.cpp's greedy sampler.
        context: tokens of the prompt, or that each sequence holds before it is decoded.
        sequences: decoded together.
    """

    kind: str
    context: int
    sequences: int = 1

    @property
    def name(self) -> str:
        together = f" x {self.sequences}" if self.sequences > 1 else ""
        return f"{self.kind} {self.context}{together}"

    @property
    def tokens(self) -> int:
        """Tokens that one round processes."""
        return self.context if self.kind == "prefill" else STEPS[self.sequences] * self.sequences


@dataclass(frozen=True, slots=True)
class Effort:
    """How long a cell is measured: until both its rounds and its seconds are used up, or its most rounds are done.

    Attributes:
        pause: seconds before each measurement, in which the threads of the other side, which wait for more work in busy
            loops, go to sleep.
    """

    least_rounds: int
    most_rounds: int
    seconds: float
    pause: float = 0.03


@dataclass(slots=True)
class Measured:
    """Seconds of every round on both sides."""

    cell: Cell
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        return ratio(self.theirs, self.ours)


def measure(cells: Sequence[Cell], sides: tuple[Side, Side], effort: Effort) -> Iterator[Measured]:
    """Measure cells in rounds, our side and the other in turn: A B A B. Both have loaded the model.

    Contexts that cells share are opened and filled once, so cells should be sorted by sequences and context.
    """
    opened: tuple[int, int] | None = None
    filled: tuple[int, int] | None = None
    for cell in cells:
        positions = max(one.context for one in cells if one.sequences == cell.sequences) + SLACK
        if opened != (cell.sequences, positions):
            opened, filled = (cell.sequences, positions), None
            _both(sides, do="open", sequences=cell.sequences, positions=positions)
            _both(sides, do="prefill", tokens=min(WARM_UP, cell.context))
        if cell.kind == "decode" and filled != (cell.sequences, cell.context):
            filled = (cell.sequences, cell.context)
            _both(sides, do="fill", tokens=cell.context)
            _both(sides, do="decode", steps=1)
        if cell.kind != "decode":
            filled = None
        yield _rounds(cell, sides, effort)


def _rounds(cell: Cell, sides: tuple[Side, Side], effort: Effort) -> Measured:
    measured = Measured(cell)
    began = time.perf_counter()
    while True:
        for side, seconds in zip(sides, (measured.ours, measured.theirs), strict=True):
            time.sleep(effort.pause)
            seconds.append(_seconds(cell, side))
        rounds, spent = len(measured.ours), time.perf_counter() - began
        is_enough = rounds >= effort.least_rounds and spent >= effort.seconds
        if is_enough or rounds >= effort.most_rounds:
            return measured


def _seconds(cell: Cell, side: Side) -> float:
    ask: dict[str, Callable[[], dict[str, float]]] = {
        "prefill": lambda: side.ask(do="prefill", tokens=cell.context),
        "decode": lambda: side.ask(do="decode", steps=STEPS[cell.sequences]),
        "generate": lambda: side.ask(do="generate", prompt=cell.context, steps=STEPS[1]),
    }
    return ask[cell.kind]()["seconds"]


def _both(sides: tuple[Side, Side], **wanted: object) -> None:
    for side in sides:
        side.ask(**wanted)


@dataclass(frozen=True)
class Result:
    """One cell of one file."""

    shape: str
    kind: FileType
    measured: Measured

    @property
    def name(self) -> str:
        return f"{self.shape} {self.kind} {self.measured.cell.name}"


def summary(results: Sequence[Result], kinds: Sequence[FileType]) -> dict[str, float | None]:
    """Medians over the dense sizes, all lengths of prompts and contexts."""
    dense = [one for one in results if SHAPES[one.shape] is not EXPERTS_1B and one.kind in kinds]

    def of(kind: str, sequences: int) -> float | None:
        chosen = [one.measured for one in dense if one.measured.cell.kind == kind]
        return median_of(one.ratio for one in chosen if one.cell.sequences == sequences)

    return {"prefill": of("prefill", 1), "decode": of("decode", 1), "batch16": of("decode", 16)}


def speed_rows(results: Sequence[Result], peer: str) -> list[list[object]]:
    """The table of speeds, in tokens per second."""
    rows: list[list[object]] = [["model", "type", "measured", "ours t/s", f"{peer} t/s", "ratio", "rounds"]]
    for one in results:
        cell, measured = one.measured.cell, one.measured
        ours, theirs = (cell.tokens / median(times) for times in (measured.ours, measured.theirs))
        rows.append([one.shape, str(one.kind), cell.name, ours, theirs, measured.ratio, len(measured.ours)])
    return rows
