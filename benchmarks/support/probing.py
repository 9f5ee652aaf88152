"""This machine's limits, measured by a small program of its own: not by the kernels that are held against them."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import subprocess
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


class Probe:
    """Measures what the machine does at best on so many threads.

    Args:
        folder: keeps what is compiled.

    Attributes:
        sets: the instruction sets that it knows and the processor has.

    Raises:
        ProbeFailed: there is no compiler, or no instruction set that the probe knows.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        self._threads = threads
        self._libraries = {name: _library(folder, name, flags) for name, flags in _sets().items()}
        if not self._libraries:
            raise ProbeFailed(f"the processor has none of the instruction sets {', '.join([*_X86, *_ARM])}")
        self.sets = tuple(self._libraries)

    def bytes_read(self) -> float:
        """Per second, from memory.

        Raises:
            ProbeFailed: there is not enough memory.
        """
        # Any of them reads memory as fast as it comes; the last is the widest.
        read = _asked(self._libraries[self.sets[-1]], "bytes_read_per_second", READ_BYTES, self._threads)
        if read <= 0:
            raise ProbeFailed(f"there are no {READ_BYTES >> 20} MiB of memory to read")
        return read

    def byte_products(self, name: str) -> float:
        """Multiply-adds of bytes per second, in that instruction set."""
        return _asked(self._libraries[name], "byte_products_per_second", self._threads)

    def float_products(self, name: str) -> float:
        """Multiply-adds of float32 per second, in that instruction set."""
        return _asked(self._libraries[name], "float_products_per_second", self._threads)


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
