"""The Python that has the peer: one that is named, or an environment that is built once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# The release that figures are compared with; its server is there for server_load.py.
REQUIREMENT = "llama-cpp-python[server]==0.3.36"
_CHECK = "import llama_cpp; print(llama_cpp.__version__)"
_HAS_SERVER = "import llama_cpp.server.app"


class PeerMissing(Exception):
    """There is no llama-cpp-python, and none can be built."""


def llama_python(named: Path | None, folder: Path) -> Path:
    """A Python that has `llama-cpp-python`.

    Args:
        named: one that should have it; None builds it from PyPI for this machine's processor, in `folder`, where an
            earlier call has not done so. That takes about ten minutes.

    Raises:
        PeerMissing: the named one does not have it, or it cannot be built.
    """
    python = named or _built(folder)
    if not has_peer(python):
        if named is not None:
            raise PeerMissing(f"{named} cannot import llama_cpp; install llama-cpp-python there, or leave it unnamed")
        _build(python)
    return python


def known_python(named: Path | None, folder: Path) -> Path | None:
    """As `llama_python`, but None where none is named and none was built before."""
    is_there = named is not None or has_peer(_built(folder))
    return llama_python(named, folder) if is_there else None


def _built(folder: Path) -> Path:
    return folder / "llama.cpp" / "bin" / "python"


def version(python: Path) -> str:
    """The version of its llama-cpp-python."""
    return subprocess.run([python, "-c", _CHECK], check=True, capture_output=True, text=True).stdout.strip()


def has_peer(python: Path) -> bool:
    """Whether a Python can import llama-cpp-python."""
    return python.exists() and _runs(python, _CHECK)


def has_server(python: Path) -> bool:
    """Whether its llama-cpp-python has what its server needs."""
    return _runs(python, _HAS_SERVER)


def _runs(python: Path, code: str) -> bool:
    return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0


def _build(python: Path) -> None:
    environment = python.parent.parent
    print(f"building {REQUIREMENT} for this processor in {environment}; this takes about ten minutes", flush=True)
    commands = [
        [sys.executable, "-m", "venv", "--clear", str(environment)],
        [str(python), "-m", "pip", "install", "--quiet", "--no-binary=llama-cpp-python", REQUIREMENT],
    ]
    native = {"CMAKE_ARGS": "-DGGML_NATIVE=ON -DCMAKE_BUILD_TYPE=Release"}
    for command in commands:
        if subprocess.run(command, env=os.environ | native, check=False).returncode != 0:
            raise PeerMissing(f"building llama-cpp-python failed at: {' '.join(command)}")
