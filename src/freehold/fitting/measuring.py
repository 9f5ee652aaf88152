"""How fast this machine reads weights: measured once, with the kernel that decoding spends its time in."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from freehold import _kernels
from freehold.checkpoints import atomic_file
from freehold.store import Home

FILE = "bandwidth.json"
ROWS, COLUMNS = 32768, 4096  # 143 MB at 8 bits, more than processors cache
GROUP = 32
REPEATS = 9


@dataclass(frozen=True, slots=True)
class Machine:
    """What a measurement holds for.

    Attributes:
        processor: its name; empty where the system does not tell.
        isa: instruction set that the kernels use.
        threads: how many they use.
    """

    processor: str
    isa: str
    threads: int


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """A measurement: bytes of packed weights that a decoding step reads in a second, and the day it was made."""

    bytes_per_second: float
    measured: str
    machine: Machine


def bandwidth(home: Home | None = None, *, again: bool = False) -> Bandwidth:
    """This machine's read bandwidth, from the home folder if it was measured on this machine before.

    Args:
        again: measure it in any case.

    Raises:
        CheckpointError: the measurement cannot be written to the home folder.
    """
    path = (home or Home.from_environment()).path / FILE
    machine = this_machine()
    known = None if again else _read(path)
    if known is not None and known.machine == machine:
        return known
    found = Bandwidth(measure(), datetime.now(UTC).date().isoformat(), machine)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as file:
        file.write(json.dumps(asdict(found), indent=2).encode() + b"\n")
    return found


def measure() -> float:
    """Bytes per second at which one row is multiplied by a large matrix of 8-bit weights: the best of some runs.

    Whatever else the machine does can only make a run slower.
    """
    codes = _kernels.empty(_kernels.packed_bytes("q8", ROWS, COLUMNS))
    codes.fill(1)  # pages that nobody wrote to are all the same page, which stays in the processor's cache
    scales = np.full(ROWS * COLUMNS // GROUP, 0.01, np.float16)
    weight = _kernels.LinearWeight([_kernels.Matrix("q8", ROWS, COLUMNS, codes, scales)])
    x, out = np.ones((1, COLUMNS), np.float32), np.empty((1, ROWS), np.float32)
    _kernels.linear(x, weight, out)
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        _kernels.linear(x, weight, out)
        seconds.append(time.perf_counter() - started)
    return (codes.nbytes + scales.nbytes) / min(seconds)


def this_machine() -> Machine:
    """The machine that this process runs on, as far as a measurement depends on it."""
    return Machine(_processor(), _kernels.isa(), _kernels.threads())


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _read(path: Path) -> Bandwidth | None:
    """An earlier measurement; None where there is none, or none that this version understands: it is made again."""
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
        machine = Machine(**content["machine"])
        found = Bandwidth(float(content["bytes_per_second"]), str(content["measured"]), machine)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return found if found.bytes_per_second > 0 else None
