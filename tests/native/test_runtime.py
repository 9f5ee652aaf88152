"""Instruction sets, threads, and the stub that describes the extension."""

from __future__ import annotations

import ast
import os
import platform
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import freehold
from freehold import _kernels
from freehold.ops.native import NativeOps
from freehold.tensors import TensorType, WeightType
from tests.native import reference

SHOW = "from freehold import _kernels as k; print(k.isa(), k.threads())"


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("FREEHOLD_")}
    return subprocess.run(
        [sys.executable, "-c", code], env=plain | environment, capture_output=True, text=True, check=False, timeout=60
    )


# Prints how many pages the system hands out for arrays like those of a step, one step after the other.
COUNT_FAULTS = """
import resource
import numpy as np
from freehold.ops.native import NativeOps
{before}
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def step(): held = [np.ones(3 << 20, np.uint8) for _ in range(6)]
for _ in range(5): step()
begun = faults()
for _ in range(20): step()
print(faults() - begun)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such setting")
@pytest.mark.skipif("FREEHOLD_SANITIZED" in os.environ, reason="sanitizers bring an allocator of their own")
def test_memory_that_a_step_has_freed_is_kept_for_the_next() -> None:
    given_back, kept = (int(run_python(COUNT_FAULTS.format(before=before)).stdout) for before in ("", "NativeOps()"))
    assert kept < 500 < given_back


def test_the_environment_chooses_isa_and_threads() -> None:
    result = run_python(SHOW, FREEHOLD_ISA="portable", FREEHOLD_THREADS="3")
    assert result.stdout.split() == ["portable", "3"], result.stderr


def test_by_default_the_best_isa_and_no_more_threads_than_processors() -> None:
    isa, threads = run_python(SHOW, FREEHOLD_ISA="", FREEHOLD_THREADS="").stdout.split()
    assert isa == _kernels.available_isas()[-1]
    assert 1 <= int(threads) <= len(os.sched_getaffinity(0))


def test_one_processor_allowed_is_one_thread() -> None:
    result = run_python("import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); " + SHOW)
    assert result.stdout.split()[1] == "1", result.stderr


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("FREEHOLD_ISA", "sse9", "FREEHOLD_ISA is 'sse9', but this build and this processor offer: portable"),
        ("FREEHOLD_THREADS", "0", "FREEHOLD_THREADS is 0, must be from 1 to 1024"),
        ("FREEHOLD_THREADS", "-1", "FREEHOLD_THREADS is -1, must be from 1 to 1024"),
        ("FREEHOLD_THREADS", "9223372036854775808", "must be from 1 to 1024"),
        ("FREEHOLD_THREADS", "two", "FREEHOLD_THREADS is 'two', must be a whole number"),
        ("FREEHOLD_THREADS", "2.5", "FREEHOLD_THREADS is '2.5', must be a whole number"),
    ],
)
def test_a_bad_environment_is_named(name: str, value: str, message: str) -> None:
    code = """
from freehold.errors import BackendUnavailable
from freehold.ops import create_ops
try:
    create_ops("native", exact=True)
except BackendUnavailable as error:
    print(error.message, error.hint)
"""
    result = run_python(code, **{name: value})
    assert message in result.stdout, result.stderr
    assert "leave it unset" in result.stdout


def test_a_bad_isa_or_count_changes_nothing() -> None:
    isa, threads = _kernels.isa(), _kernels.threads()
    with pytest.raises(ValueError, match="isa is 'avx99', but this build and this processor offer: portable"):
        _kernels.use_isa("avx99")
    for count in (0, -1, 1025, 2**31, 2**62):
        with pytest.raises(ValueError, match=rf"threads is {count}, must be from 1 to 1024"):
            _kernels.set_threads(count)
    with pytest.raises(TypeError):
        _kernels.set_threads(2**63)
    assert (_kernels.isa(), _kernels.threads()) == (isa, threads)


def test_a_forked_child_computes() -> None:
    code = """
import os, warnings
import numpy as np
from freehold import _kernels
from freehold.ops.native import NativeOps
from freehold.tensors import Tensor
warnings.simplefilter("ignore")  # Python warns of any fork beside threads
_kernels.set_threads(3)
ops = NativeOps()
rng = np.random.default_rng(0)
weight = ops.pack_linear([Tensor.from_array("w", rng.standard_normal((900, 64), dtype=np.float32))], None, None)
x = rng.standard_normal((8, 64), dtype=np.float32)
before = ops.linear(x, weight)
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(ops.linear(x, weight), before) else 3)
assert os.waitpid(child, 0)[1] == 0
assert np.array_equal(ops.linear(x, weight), before)
print("both")
"""
    result = run_python(code)
    assert result.stdout == "both\n", result.stderr


def test_many_python_threads_may_compute_at_once(isa: str) -> None:
    _kernels.set_threads(3)
    ops = NativeOps()
    weight = reference.pack(reference.random_tensor(1, TensorType.F32, 300, 96), WeightType.Q8)
    x = reference.random_values(2, 6, 96)
    expected = ops.linear(x, weight)
    results: list[reference.Float32Array] = []

    def work() -> None:
        results.extend(ops.linear(x, weight) for _ in range(50))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for count in (1, 4, 2, 5):  # and the pool may be replaced meanwhile
        _kernels.set_threads(count)
    for worker in workers:
        worker.join()
    assert len(results) == 200
    assert all(np.array_equal(result, expected) for result in results)


def test_the_stub_names_what_the_extension_has() -> None:
    [package] = [Path(path) for path in freehold.__path__ if (Path(path) / "_kernels.pyi").exists()]
    stub = ast.parse((package / "_kernels.pyi").read_text())
    declared = {node.name for node in stub.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    assert declared == {name for name in dir(_kernels) if not name.startswith("_")}
    for node in stub.body:
        if isinstance(node, ast.ClassDef):
            members = {member.name for member in node.body if isinstance(member, ast.FunctionDef)} - {"__init__"}
            assert members == {name for name in dir(getattr(_kernels, node.name)) if not name.startswith("_")}
