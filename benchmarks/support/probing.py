"""This machine's limits, measured by a small program of its own: not by the kernels that are held against them."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("probe.cpp")
READ_BYTES = 512 << 20  # more than processors cache
REPEATS = 9

_X86 = {
    "avx2": (["avx2", "fma"], ["-mavx2", "-mfma"]),
    "avx_vnni": (["avx2", "fma", "avx_vnni"], ["-mavx2", "-mfma", "-mavxvnni"]),
    "avx512": (["avx512f", "avx512bw"], ["-mavx512f", "-mavx512bw"]),
    "avx512_vnni": (["avx512f", "avx512bw", "avx512_vnni"], ["-mavx512f", "-mavx512bw", "-mavx512vnni"]),
}
_ARM = {"dotprod": (["asimddp"], ["-march=armv8.2-a+dotprod"])}


class ProbeFailed(Exception):
    """The machine's limits cannot be measured."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the machine does at best on so many threads.

    Attributes:
        bytes_read: per second, from memory.
        byte_products: by instruction set, multiply-adds of bytes per second.
        float_products: by instruction set, multiply-adds of float32 per second.
    """

    bytes_read: float
    byte_products: Mapping[str, float]
    float_products: Mapping[str, float]

    @property
    def most_byte_products(self) -> float:
        return max(self.byte_products.values())

    @property
    def most_float_products(self) -> float:
        return max(self.float_products.values())


def measure_limits(folder: Path, threads: int) -> Limits:
    """Measure them; what is compiled for it is kept in the folder.

    Raises:
        ProbeFailed: there is no compiler, no instruction set that the probe knows, or not enough memory.
    """
    probes = {name: _library(folder, name, flags) for name, flags in _sets().items()}
    if not probes:
        raise ProbeFailed(f"the processor has none of the instruction sets {', '.join([*_X86, *_ARM])}")
    # Any of them reads memory as fast as it comes; the last is the widest.
    read = max(_asked(list(probes.values())[-1], "bytes_read_per_second", READ_BYTES, threads) for _ in range(2))
    if read <= 0:
        raise ProbeFailed(f"there are no {READ_BYTES >> 20} MiB of memory to read")
    return Limits(
        read,
        {name: _asked(probe, "byte_products_per_second", threads) for name, probe in probes.items()},
        {name: _asked(probe, "float_products_per_second", threads) for name, probe in probes.items()},
    )


def _asked(probe: ctypes.CDLL, name: str, *arguments: int) -> float:
    function = getattr(probe, name)
    function.restype = ctypes.c_double
    function.argtypes = [ctypes.c_size_t] * (len(arguments) - 1) + [ctypes.c_int, ctypes.c_int]
    return float(function(*arguments, REPEATS))


def _sets() -> dict[str, list[str]]:
    """Compiler flags of the instruction sets that this processor has."""
    known = _X86 if platform.machine().lower() in ("x86_64", "amd64") else _ARM
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    features = {word for line in lines if line.startswith(("flags", "Features")) for word in line.split()}
    return {name: flags for name, (needed, flags) in known.items() if features.issuperset(needed)}


def _library(folder: Path, name: str, flags: list[str]) -> ctypes.CDLL:
    version = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    path = folder / f"probe-{name}-{version}.so"
    if not path.exists():
        unfinished = path.with_suffix(f".{os.getpid()}")
        command = [os.environ.get("CXX", "c++"), "-O3", "-std=c++20", "-shared", "-fPIC", "-pthread", *flags]
        try:
            subprocess.run([*command, str(SOURCE), "-o", str(unfinished)], check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", None) or error
            raise ProbeFailed(f"compiling {SOURCE.name} failed (CXX names another compiler): {said}") from error
        unfinished.replace(path)
    return ctypes.CDLL(str(path))
