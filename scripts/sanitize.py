"""Run the kernel tests under AddressSanitizer and UndefinedBehaviorSanitizer.

    python scripts/sanitize.py [pytest arguments]

Builds the extension once more, into build/sanitize, and needs g++ with its sanitizer libraries.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "sanitize"
INSIDE = "FREEHOLD_SANITIZED"


def build() -> None:
    source = ROOT / "src" / "freehold" / "native"
    options = ["-DFREEHOLD_SANITIZE=ON", f"-DPython_EXECUTABLE={sys.executable}"]
    subprocess.run(["cmake", "-S", source, "-B", BUILD, *options], check=True)
    subprocess.run(["cmake", "--build", BUILD, "--parallel"], check=True)


def libraries() -> str:
    """The sanitizers' run-time libraries, which have to be there before the interpreter."""
    names = ["libasan.so", "libubsan.so", "libstdc++.so"]
    found = [subprocess.run(["g++", f"-print-file-name={name}"], check=True, capture_output=True) for name in names]
    return " ".join(result.stdout.decode().strip() for result in found)


def run_again_with_sanitizers() -> int:
    environment = os.environ | {
        INSIDE: "1",
        "LD_PRELOAD": libraries(),
        "ASAN_OPTIONS": "detect_leaks=0,abort_on_error=1",  # the interpreter itself leaks at exit
        "UBSAN_OPTIONS": "print_stacktrace=1,halt_on_error=1",
        "PYTHONMALLOC": "malloc",
    }
    return subprocess.run([sys.executable, __file__, *sys.argv[1:]], env=environment, check=False).returncode


def run_tests() -> int:
    import pytest

    import freehold

    [extension] = BUILD.glob("_kernels*.so")
    spec = importlib.util.spec_from_file_location("freehold._kernels", extension)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules["freehold._kernels"] = module
    freehold._kernels = module
    return pytest.main([str(ROOT / "tests" / "native"), "-q", "-p", "no:cacheprovider", *sys.argv[1:]])


if __name__ == "__main__":
    if INSIDE in os.environ:
        sys.exit(run_tests())
    build()
    sys.exit(run_again_with_sanitizers())
