"""GGUF files that are wrong in every way we could think of, and the odd ones that are not wrong."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from freehold.checkpoints import limits, open_checkpoint
from freehold.checkpoints.gguf.values import FOREIGN_TYPE_NAMES
from freehold.errors import CheckpointError, FreeholdError, UnsupportedTensorType
from tests.checkpoints.raw import EXPECTED, Gguf, array, pair, string, tensor, text

U8, U32, BOOL, STRING, ARRAY, U64 = 0, 4, 7, 8, 9, 10
HUGE = (2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
MAGIC_AND_VERSION = b"GGUF" + struct.pack("<I", 3)

# What must be rejected, with a part of the message.
HOSTILE: dict[str, tuple[Gguf | bytes, str]] = {
    "empty file": (b"", "is empty"),
    "other magic": (Gguf(magic=b"GGML"), "not a GGUF file"),
    "only magic": (b"GGUF", "the version"),
    "version 0": (Gguf(version=0), "version 0"),
    "version 1": (Gguf(version=1), "version 1"),
    "version 4": (Gguf(version=4), "version 4"),
    "big-endian": (Gguf(version=3 << 24), "big-endian"),
    "no counts": (MAGIC_AND_VERSION, "the number of tensors"),
    "no pair count": (MAGIC_AND_VERSION + bytes(8), "the number of metadata keys"),
    "pair missing": (Gguf(pair_count=3), "a metadata key"),
    "tensor missing": (Gguf(tensor_count=2), ""),
    "key empty": (Gguf(pairs=[text(b"", b"x")]), "a metadata key has 0 bytes"),
    "key of 64 KiB": (Gguf(pairs=[text(b"k" * 65536, b"x")]), "a metadata key has 65536 bytes"),
    "key not UTF-8": (Gguf(pairs=[text(b"\xff\xfe", b"x")]), "not UTF-8"),
    "key with an escape sequence": (Gguf(pairs=[text(b"\x1b[2J", b"x")]), "not printable"),
    "key twice": (Gguf(pairs=[text(b"a", b"x"), text(b"a", b"y")]), "occurs twice"),
    "unknown value type": (Gguf(pairs=[pair(b"a", 13, bytes(8))]), "unknown metadata type 13"),
    "value type 2^32 - 1": (Gguf(pairs=[pair(b"a", 2**32 - 1, bytes(8))]), "unknown metadata type 4294967295"),
    "number cut off": (Gguf(pairs=[pair(b"a", U64, bytes(3))], tensors=[], data=b"", alignment=1), "the value of 'a'"),
    "unknown array type": (Gguf(pairs=[pair(b"a", ARRAY, array(99, 1, bytes(8)))]), "unknown metadata type 99"),
    "arrays nested five deep": (
        Gguf(pairs=[pair(b"a", ARRAY, array(ARRAY, 1, b"") * 5 + array(U8, 0, b""))]),
        "nested more than 4 deep",
    ),
    "string in an array past the end": (
        Gguf(pairs=[pair(b"a", ARRAY, array(STRING, 2, string(b"x") + string(b"y", 2**31)))]),
        "extends past the end",
    ),
    "last string in an array one byte too long": (
        Gguf(pairs=[pair(b"a", ARRAY, array(STRING, 1, string(b"xy", 3)))], tensors=[], data=b"", alignment=1),
        "extends past the end",
    ),
    "alignment 0": (Gguf(pairs=[pair(b"general.alignment", U32, struct.pack("<I", 0))]), "power of two"),
    "alignment 24": (Gguf(pairs=[pair(b"general.alignment", U32, struct.pack("<I", 24))]), "power of two"),
    "alignment 2^31": (Gguf(pairs=[pair(b"general.alignment", U32, struct.pack("<I", 2**31))]), "power of two"),
    "alignment a string": (Gguf(pairs=[text(b"general.alignment", b"32")]), "power of two"),
    "alignment an array": (Gguf(pairs=[pair(b"general.alignment", ARRAY, array(U8, 0, b""))]), "power of two"),
    "alignment true": (Gguf(pairs=[pair(b"general.alignment", BOOL, b"\x01")]), "power of two"),
    "rank 0": (Gguf(tensors=[tensor(dimensions=())]), "0 dimensions"),
    "rank 5": (Gguf(tensors=[tensor(dimensions=(1, 1, 1, 1, 8))]), "5 dimensions"),
    "rank 2^32 - 1": (Gguf(tensors=[tensor(rank=2**32 - 1)]), "4294967295 dimensions"),
    "dimension 0": (Gguf(tensors=[tensor(dimensions=(4, 0))]), "impossible shape"),
    "product wraps to 0": (Gguf(tensors=[tensor(dimensions=(2**32, 2**32))]), "impossible shape"),
    "product wraps to 8": (Gguf(tensors=[tensor(dimensions=(8, 2**61 + 1))]), "impossible shape"),
    "bytes wrap": (Gguf(tensors=[tensor(dimensions=(2**60, 4))]), "impossible shape"),
    "two sizes that sum to little": (
        Gguf(tensors=[tensor(b"a", (0x7FFFFFFFFFFFFFC0,), U8), tensor(b"b", (0x7FFFFFFFFFFFFFC0,), U8)]),
        "impossible shape",
    ),
    "exabytes in a small file": (Gguf(tensors=[tensor(dimensions=(2**55,))]), "extends to byte"),
    "name empty": (Gguf(tensors=[tensor(b"")]), "a tensor's name has 0 bytes"),
    "name too long": (Gguf(tensors=[tensor(b"n" * 1025)]), "a tensor's name has 1025 bytes"),
    "name not UTF-8": (Gguf(tensors=[tensor(b"\xc3\x28")]), "not UTF-8"),
    "name with a line break": (Gguf(tensors=[tensor(b"a\nb")]), "not printable"),
    "name twice": (Gguf(tensors=[tensor(), tensor(offset=32)], data=bytes(64)), "two tensors are called 'weight'"),
    "half a block": (Gguf(tensors=[tensor(dimensions=(16, 2), kind=2)]), "not a multiple of the 32"),
    "blocks across rows": (Gguf(tensors=[tensor(dimensions=(128, 2), kind=12)], data=bytes(144)), "of the 256"),
    "offset not aligned": (Gguf(tensors=[tensor(offset=4)], data=bytes(64)), "not a multiple of 32"),
    "offset past the end": (Gguf(tensors=[tensor(offset=64)]), "does not follow"),
    "offset 2^64 - 32": (Gguf(tensors=[tensor(offset=2**64 - 32)]), "does not follow"),
    "data missing": (Gguf(data=b""), "extends to byte 32 of a data section of 0 bytes"),
    "data one byte short": (Gguf(data=bytes(31)), "extends to byte 32 of a data section of 31 bytes"),
    "overlap": (Gguf(tensors=[tensor(b"a"), tensor(b"b")]), "overlaps"),
    "overlap by a part": (
        Gguf(tensors=[tensor(b"a", (16,)), tensor(b"b", (8,), offset=32)], data=bytes(64)),
        "overlaps",
    ),
    "hole": (Gguf(tensors=[tensor(b"a"), tensor(b"b", offset=64)], data=bytes(96)), "does not follow"),
    "bytes after the last tensor": (Gguf(data=bytes(33)), "belong to no tensor"),
    "bytes in a file without tensors": (Gguf(tensors=[], data=b"x"), "belong to no tensor"),
    "too many nested arrays": (
        Gguf(pairs=[pair(b"a", ARRAY, array(ARRAY, 65537, array(U8, 0, b"") * 65537))]),
        "at most 65536",
    ),
}
for value in HUGE:
    HOSTILE |= {
        f"{value} tensors": (Gguf(tensor_count=value), "at most 16384"),
        f"{value} pairs": (Gguf(pair_count=value), "at most 16384"),
        f"key of {value} bytes": (Gguf(pairs=[string(b"key", value)]), f"a metadata key has {value} bytes"),
        f"string of {value} bytes": (Gguf(pairs=[pair(b"a", STRING, string(b"x", value))]), "extends past the end"),
        f"array of {value} numbers": (Gguf(pairs=[pair(b"a", ARRAY, array(U64, value, b""))]), "items"),
        f"array of {value} strings": (Gguf(pairs=[pair(b"a", ARRAY, array(STRING, value, b""))]), "items"),
        f"array of {value} arrays": (Gguf(pairs=[pair(b"a", ARRAY, array(ARRAY, value, b""))]), "items"),
        f"name of {value} bytes": (Gguf(tensors=[string(b"n", value)]), f"a tensor's name has {value} bytes"),
        f"dimension {value}": (Gguf(tensors=[tensor(dimensions=(value, 1))]), ""),
    }


def write(case: Gguf | bytes, folder: Path) -> Path:
    if isinstance(case, Gguf):
        return case.write(folder)
    path = folder / "model.gguf"
    path.write_bytes(case)
    return path


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_rejected(name: str, tmp_path: Path) -> None:
    case, part = HOSTILE[name]
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(write(case, tmp_path))
    assert part in caught.value.message
    assert caught.value.hint
    assert len(caught.value.message) < 1000


@pytest.mark.parametrize(
    ("pairs", "part"),
    [
        (pair(b"a", BOOL, b"\x02"), "a boolean is 2"),
        (pair(b"a", ARRAY, array(BOOL, 2, b"\x01\x07")), "a boolean is 7"),
        (text(b"a", b"\xff"), "utf-8"),
        (pair(b"a", ARRAY, array(STRING, 1, string(b"\xe2\x82"))), "utf-8"),
    ],
)
def test_damaged_values_are_rejected_when_they_are_asked_for(pairs: bytes, part: str, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(Gguf(pairs=[pairs]).write(tmp_path))
    assert "a" in checkpoint.config
    with pytest.raises(CheckpointError, match=part):
        checkpoint.config["a"]


def test_a_text_of_many_megabytes_is_not_decoded(tmp_path: Path) -> None:
    path = Gguf(pairs=[text(b"a", b"x" * limits.MAX_TEXT_BYTES)]).write(tmp_path)
    with pytest.raises(CheckpointError, match="at most 12582912 are read"):
        open_checkpoint(path).config["a"]


@pytest.mark.parametrize("number", [*FOREIGN_TYPE_NAMES, 999, 2**32 - 1])
def test_unknown_tensor_types_are_named(number: int, tmp_path: Path) -> None:
    path = Gguf(tensors=[tensor(b"blk.0.ffn_up.weight", (256, 2), number)]).write(tmp_path)
    expected = FOREIGN_TYPE_NAMES.get(number, f"type number {number}")
    with pytest.raises(UnsupportedTensorType, match=f"'blk.0.ffn_up.weight' is stored as {expected},"):
        open_checkpoint(path)


def test_integer_tensors_are_listed_but_not_read(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(Gguf(tensors=[tensor(b"ids", (8,), 26)]).write(tmp_path))
    assert checkpoint.tensors["ids"].type == "I32"
    with pytest.raises(UnsupportedTensorType, match="'ids' is stored as I32"):
        checkpoint.read("ids")


def aligned_pair(alignment: int) -> bytes:
    return pair(b"general.alignment", U32, struct.pack("<I", alignment))


# What looks odd and must load all the same.
ODD: dict[str, Gguf] = {
    "plain": Gguf(),
    "version 2": Gguf(version=2),
    "no metadata": Gguf(pairs=[]),
    "empty string": Gguf(pairs=[text(b"a", b"")]),
    "empty arrays": Gguf(pairs=[pair(b"a%d" % kind, ARRAY, array(kind, 0, b"")) for kind in range(13)]),
    "nested arrays": Gguf(pairs=[pair(b"a", ARRAY, array(ARRAY, 2, array(U8, 1, b"\x07") * 2))]),
    "alignment 8": Gguf(pairs=[aligned_pair(8)], alignment=8),
    "alignment 1": Gguf(pairs=[aligned_pair(1)], alignment=1),
    "alignment 4096": Gguf(pairs=[aligned_pair(4096)], alignment=4096),
    "last padding written": Gguf(pairs=[aligned_pair(64)], alignment=64, data=bytes(range(32)) + bytes(32)),
    "directory in another order": Gguf(
        tensors=[tensor(b"other", (1,), offset=32), tensor()], data=bytes(range(32)) + bytes(4)
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_files_load(name: str, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(ODD[name].write(tmp_path))
    found = checkpoint.read("weight")
    np.testing.assert_array_equal(found.float32(), EXPECTED)
    assert found.data.ctypes.data % 4 == 0
    dict(checkpoint.config)


def test_truncation_at_every_byte(tmp_path: Path) -> None:
    whole = Gguf(
        pairs=[
            text(b"general.architecture", b"llama"),
            pair(b"llama.block_count", U32, struct.pack("<I", 1)),
            pair(b"tokenizer.ggml.tokens", ARRAY, array(STRING, 3, string(b"a") + string(b"") + string(b"bcd"))),
            pair(b"tokenizer.ggml.scores", ARRAY, array(6, 3, bytes(12))),
        ],
        tensors=[tensor(b"a", (32, 2), 8), tensor(b"b", (4, 2), 0, 96)],
        data=bytes(96 + 32),
    ).build()
    path = tmp_path / "model.gguf"
    path.write_bytes(whole)
    assert len(open_checkpoint(path).tensors) == 2
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            open_checkpoint(path)


def make_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [make_folder, os.mkfifo], ids=["folder", "pipe"])
def test_only_regular_files_are_opened(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    make(path)
    with pytest.raises(CheckpointError):
        open_checkpoint(path)


def test_a_device_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.symlink_to("/dev/zero")
    with pytest.raises(CheckpointError, match="not a regular file"):
        open_checkpoint(path)


def test_a_file_that_shrinks_after_opening_is_noticed(tmp_path: Path) -> None:
    path = Gguf().write(tmp_path)
    checkpoint = open_checkpoint(path)
    os.truncate(path, 100)
    with pytest.raises(CheckpointError, match="when it was opened"):
        checkpoint.read("weight")


def test_absent_names_are_typed_errors(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(Gguf().write(tmp_path))
    with pytest.raises(FreeholdError, match="no tensor 'other'"):
        checkpoint.read("other")
    with pytest.raises(KeyError):
        checkpoint.config["other"]
    assert checkpoint.config.get("other") is None
