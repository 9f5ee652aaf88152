"""Thousands of damaged files: each one opens and reads, or is refused with a typed error, and soon.

`FREEHOLD_FUZZ_MUTANTS` sets how many there are for each format, for a long run.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from freehold.checkpoints import open_checkpoint
from freehold.errors import FreeholdError
from freehold.tensors import QUANTISED_TYPES
from tests.checkpoints.raw import Gguf, array, entry, index, pair, safetensors, string, tensor, text
from tests.tensors.blocks import random_tensor

MUTANTS = int(os.environ.get("FREEHOLD_FUZZ_MUTANTS", "2000"))
SLOWEST = 1.0
SMALL = (0, 1, 2, 31, 32, 33, 127, 128, 255, 256)
INTERESTING = (*SMALL, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**61, 2**63 - 1, 2**63, 2**64 - 32, 2**64 - 1)


def gguf_seed() -> bytes:
    """A file with a value of every type and a tensor of every block format."""
    pairs = [
        text(b"general.architecture", b"llama"),
        pair(b"general.alignment", 4, struct.pack("<I", 32)),
        pair(b"flag", 7, b"\x01"),
        pair(b"epsilon", 6, struct.pack("<f", 1e-5)),
        pair(b"tokens", 9, array(8, 3, string(b"a") + string(b"") + string(b"\xc3\xa9"))),
        pair(b"scores", 9, array(6, 3, bytes(12))),
        pair(b"flags", 9, array(7, 2, b"\x00\x01")),
        pair(b"nested", 9, array(9, 2, array(5, 1, bytes(4)) + array(8, 1, string(b"x")))),
    ]
    directory, data = [], b""
    for number, kind in sorted({2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 8: "Q8_0", 12: "Q4_K", 14: "Q6_K"}.items()):
        made = random_tensor(next(each for each in QUANTISED_TYPES if each == kind), (2, 256), finite=False)
        data += bytes(-len(data) % 32)
        directory.append(tensor(f"blk.0.{kind}".encode(), (256, 2), number, len(data)))
        data += made.data.tobytes()
    data += bytes(-len(data) % 32)
    directory.append(tensor(b"norm", (4,), 0, len(data)))
    return Gguf(pairs=pairs, tensors=directory, data=data + bytes(16)).build()


def safetensors_seed() -> bytes:
    header = {
        "__metadata__": {"format": "pt", "note": 'a "quoted" \\ one'},
        "model.embed_tokens.weight": entry([4, 2], 0, 32, "F32"),
        "model.norm.weight": entry([3], 32, 38, "BF16"),
        "ids": entry([5], 38, 78, "I64"),
        "scalar": entry([], 78, 80, "F16"),
        "double": entry([1, 2], 80, 96, "F64"),
    }
    return safetensors(header, bytes(range(96)))


def config_seed() -> bytes:
    return b'{"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "rope": {"factor": 8.0}, "x": [null, true]}'


def mutants(seed: bytes, count: int) -> Iterator[bytes]:
    """Bit flips, replaced bytes, telling integers, and pieces cut, doubled or moved; one to four at once."""
    generator = np.random.default_rng(20)
    changes = (flip, replace, integer, cut, double, truncate)
    for _ in range(count):
        mutant = bytearray(seed)
        for _ in range(generator.integers(1, 5)):
            changes[generator.integers(len(changes))](mutant, generator)
        yield bytes(mutant)


def place(mutant: bytearray, generator: np.random.Generator) -> int:
    """Anywhere; half of the time near the start, where the header is."""
    limit = len(mutant) if generator.integers(2) else min(len(mutant), 600)
    return int(generator.integers(limit)) if limit else 0


def flip(mutant: bytearray, generator: np.random.Generator) -> None:
    where = place(mutant, generator)
    mutant[where : where + 1] = bytes(byte ^ 1 << int(generator.integers(8)) for byte in mutant[where : where + 1])


def replace(mutant: bytearray, generator: np.random.Generator) -> None:
    where = place(mutant, generator)
    mutant[where : where + 1] = generator.integers(0, 256, 1, np.uint8).tobytes()


def integer(mutant: bytearray, generator: np.random.Generator) -> None:
    where = place(mutant, generator)
    value = INTERESTING[generator.integers(len(INTERESTING))]
    width = (1, 4, 8)[generator.integers(3)]
    raw = str(value).encode() if generator.integers(4) == 0 else struct.pack("<Q", value)[:width]
    mutant[where : where + len(raw)] = raw


def cut(mutant: bytearray, generator: np.random.Generator) -> None:
    where = place(mutant, generator)
    del mutant[where : where + int(generator.integers(1, 17))]


def double(mutant: bytearray, generator: np.random.Generator) -> None:
    where = place(mutant, generator)
    mutant[where:where] = mutant[where : where + int(generator.integers(1, 65))]


def truncate(mutant: bytearray, generator: np.random.Generator) -> None:
    if generator.integers(4) == 0:
        del mutant[place(mutant, generator) :]


def read_everything(path: Path) -> int:
    checkpoint = open_checkpoint(path)
    for key in checkpoint.config:
        checkpoint.config[key]
    for name in checkpoint.tensors:
        assert checkpoint.read(name).float32().shape == checkpoint.tensors[name].shape
    return len(checkpoint.tensors)


def fuzz(opened: Path, changed: Path, seed: bytes, count: int) -> None:
    changed.write_bytes(seed)
    open_checkpoint(opened)
    messages = []
    for mutant in mutants(seed, count):
        changed.write_bytes(mutant)
        start = time.perf_counter()
        try:
            read_everything(opened)
        except FreeholdError as error:
            messages.append(error.message)
        assert time.perf_counter() - start < SLOWEST
    assert len(messages) > count // 10
    assert max(map(len, messages)) < 2000


def test_gguf(tmp_path: Path) -> None:
    fuzz(tmp_path / "model.gguf", tmp_path / "model.gguf", gguf_seed(), MUTANTS)


def test_safetensors(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b"{}")
    fuzz(tmp_path, tmp_path / "model.safetensors", safetensors_seed(), MUTANTS)


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        ("config.json", config_seed),
        ("model.safetensors.index.json", lambda: index({"a": "1.safetensors", "b": "2.safetensors"})),
    ],
)
def test_json(name: str, seed: Callable[[], bytes], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b"{}")
    (tmp_path / "1.safetensors").write_bytes(safetensors({"a": entry()}))
    (tmp_path / "2.safetensors").write_bytes(safetensors({"b": entry()}))
    if name == "config.json":
        (tmp_path / "2.safetensors").unlink()
    fuzz(tmp_path, tmp_path / name, seed(), MUTANTS // 2)
