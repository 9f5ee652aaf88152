"""Compile the kernels for 64-bit Arm and run their tests on an emulated processor.

    python scripts/emulate_arm.py [pytest arguments]

Needs Debian, root not. Into build/arm come Debian's Python for Arm, unpacked from its packages without being installed,
wheels for it, and the extension, compiled by a cross compiler. The processor has dot products; one without them is
asked only what it would choose.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "arm"
SYSTEM = WORK / "system"
WHEELS = WORK / "wheels"
PACKAGE = WORK / "package"
BUILD = WORK / "extension"
PYTHON = WORK / "python"

TOOLS = {
    "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu",
    "qemu-aarch64": "qemu-user",
    "cmake": "cmake",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
}
DEBIAN_PACKAGES = ["python3", "libpython3-dev", "libstdc++6"]
PYTHON_PACKAGES = ["numpy>=2.0", "nanobind>=3.0,<4", "pytest>=8.3", "hypothesis>=6.100"]
PLATFORMS = ["manylinux_2_28_aarch64", "manylinux_2_17_aarch64"]
WITH_DOT_PRODUCTS, WITHOUT = "neoverse-n1", "cortex-a72"


def check_tools() -> None:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        packages = " ".join(TOOLS[tool] for tool in missing)
        sys.exit(f"error: {', '.join(missing)} not found\n\nhint: on Debian: sudo apt-get install {packages}")


def unpack_system() -> None:
    """Debian's Python for Arm and what it needs, from this machine's package sources, with a state of apt's own."""
    apt = WORK / "apt"
    (apt / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (apt / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures::": "arm64",
        "APT::Sandbox::User": "",
        "Debug::NoLocking": "1",
        "Dir::Cache": str(apt),
        "Dir::State": str(apt),
        "Dir::State::status": str(apt / "status"),
    }
    configuration = apt / "apt.conf"
    configuration.write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))
    environment = os.environ | {"APT_CONFIG": str(configuration)}
    subprocess.run(["apt-get", "--quiet=2", "update"], env=environment, check=True)
    download = ["apt-get", "--quiet=2", "--yes", "--download-only", "--no-install-recommends", "install"]
    subprocess.run([*download, *DEBIAN_PACKAGES], env=environment, check=True)
    unfinished = SYSTEM.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    for package in sorted((apt / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", package, unfinished], check=True)
    unfinished.rename(SYSTEM)


def write_interpreter() -> None:
    """A command that is Arm's Python to CMake, and to tests that start another one."""
    PYTHON.write_text(
        "#!/bin/sh\n"
        f'export PYTHONPATH="{PACKAGE}:{WHEELS}"\n'
        f'exec qemu-aarch64 -L "{SYSTEM}" "{SYSTEM}/usr/bin/python3" "$@"\n'
    )
    PYTHON.chmod(0o755)
    PACKAGE.mkdir(exist_ok=True)
    (PACKAGE / "sitecustomize.py").write_text(f"import sys\n\nsys.executable = {str(PYTHON)!r}\n")


def run_emulated(arguments: list[str], processor: str) -> int:
    environment = os.environ | {"QEMU_CPU": processor}
    return subprocess.run([PYTHON, *arguments], env=environment, cwd=ROOT, check=False).returncode


def ask_interpreter(expression: str) -> str:
    ask = [str(PYTHON), "-c", f"import sysconfig; print({expression})"]
    answer = subprocess.run(ask, check=True, stdout=subprocess.PIPE, text=True)
    return answer.stdout.strip()


def install_wheels() -> None:
    version = ask_interpreter("sysconfig.get_python_version()")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    platforms = [f"--platform={platform}" for platform in PLATFORMS]
    unfinished = WHEELS.with_suffix(".unfinished")
    target = [f"--python-version={version}", f"--target={unfinished}", "--upgrade"]
    subprocess.run([*install, *platforms, *target, *PYTHON_PACKAGES], check=True)
    unfinished.rename(WHEELS)


def build() -> None:
    source = ROOT / "src" / "freehold" / "native"
    headers = ask_interpreter("sysconfig.get_path('include')")
    options = [
        "-DCMAKE_SYSTEM_NAME=Linux",
        "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
        "-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++",
        f"-DCMAKE_CXX_FLAGS=-idirafter {SYSTEM}/usr/include",  # Python's headers; the compiler has the system's
        f"-DPython_EXECUTABLE={PYTHON}",
        f"-DPython_INCLUDE_DIR={headers}",
    ]
    subprocess.run(["cmake", "-S", source, "-B", BUILD, *options], check=True)
    subprocess.run(["cmake", "--build", BUILD, "--parallel"], check=True)
    shutil.rmtree(PACKAGE / "freehold", ignore_errors=True)
    (PACKAGE / "freehold").mkdir()
    [extension] = BUILD.glob("_kernels*.so")
    for path in [*(ROOT / "src" / "freehold").iterdir(), extension]:
        (PACKAGE / "freehold" / path.name).symlink_to(path)


def main() -> int:
    check_tools()
    WORK.mkdir(parents=True, exist_ok=True)
    if not SYSTEM.exists():
        unpack_system()
    write_interpreter()
    if not WHEELS.exists():
        install_wheels()
    build()
    chosen = "from freehold import _kernels; assert _kernels.available_isas() == {}, _kernels.available_isas()"
    for processor, isas in ((WITHOUT, ["portable"]), (WITH_DOT_PRODUCTS, ["portable", "neon"])):
        if status := run_emulated(["-c", chosen.format(isas)], processor):
            return status
    tests = ["-m", "pytest", "tests/native", "-q", "-p", "no:cacheprovider", *sys.argv[1:]]
    return run_emulated(tests, WITH_DOT_PRODUCTS)


if __name__ == "__main__":
    sys.exit(main())
