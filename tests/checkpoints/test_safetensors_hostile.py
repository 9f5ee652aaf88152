"""Safetensors files, indices and folders that are wrong in every way we could think of."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from freehold.checkpoints import limits, open_checkpoint
from freehold.errors import CheckpointError, UnsupportedTensorType
from freehold.tensors import READABLE_TYPES
from tests.checkpoints.raw import EXPECTED, Folder, entry, index, safetensors

HUGE = {
    "2^31": 2**31,
    "2^32 - 1": 2**32 - 1,
    "2^63 - 1": 2**63 - 1,
    "2^63": 2**63,
    "2^64 - 1": 2**64 - 1,
    "2^64": 2**64,
    "10^500": 10**500,
}
ENTRY = json.dumps(entry())


def named(name: str, description: Any = None) -> bytes:
    return safetensors({name: entry() if description is None else description})


# The content of model.safetensors, with a part of the message.
HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty file": (b"", "is empty"),
    "seven bytes": (bytes(7), "too few"),
    "header of zero bytes": (safetensors(b""), "opening brace"),
    "header past the end": (safetensors({"weight": entry()}, b"", 10_000), "the header claims 10000 bytes"),
    "header of 17 MB": (safetensors({}, bytes(17_000_000), 16_900_000), "at most 16777216"),
    "header of 2^63 bytes": (safetensors({}, b"", 2**63), "claims 9223372036854775808"),
    "header of 2^64 - 1 bytes": (safetensors({}, b"", 2**64 - 1), "claims 18446744073709551615"),
    "white space first": (safetensors(b" {}"), "opening brace"),
    "a list": (safetensors(b"[]"), "opening brace"),
    "not closed": (safetensors(b"{"), "expected a key"),
    "two objects": (safetensors(b"{}{}"), "after the end"),
    "tensor not closed": (safetensors(b'{"weight":' + ENTRY.encode()), "expected a comma"),
    "comma at the end": (safetensors(b'{"weight":' + ENTRY.encode() + b",}"), "expected a key"),
    "key without quotes": (safetensors(b"{weight:" + ENTRY.encode() + b"}"), "expected a key"),
    "key with a raw line break": (safetensors(b'{"a\nb":' + ENTRY.encode() + b"}"), "expected a key"),
    "key not UTF-8": (safetensors(b'{"a\xff":' + ENTRY.encode() + b"}"), "not a valid string"),
    "key with a bad escape": (safetensors(b'{"a\\x":' + ENTRY.encode() + b"}"), "not a valid string"),
    "key with half a surrogate": (safetensors(b'{"a\\ud800":' + ENTRY.encode() + b"}"), "not a tensor's name"),
    "key with an escape sequence": (safetensors({"\x1b[2J": entry()}), "not a tensor's name"),
    "key empty": (named(""), "not a tensor's name"),
    "key too long": (named("n" * 1025), "not a tensor's name"),
    "key of megabytes": (named("n" * 2_000_000), "at most 65536"),
    "key twice": (safetensors(f'{{"w":{ENTRY},"w":{ENTRY}}}'.encode()), "'w' occurs twice"),
    "key twice, once escaped": (safetensors(f'{{"w":{ENTRY},"\\u0077":{ENTRY}}}'.encode()), "'w' occurs twice"),
    "key twice in a tensor": (safetensors(b'{"w":{"dtype":"F32","dtype":"F16"}}'), "'dtype' occurs twice"),
    "metadata twice": (safetensors(b'{"__metadata__":{},"__metadata__":{}}', b""), "'__metadata__' occurs twice"),
    "metadata key twice": (safetensors(b'{"__metadata__":{"a":"","a":""}}', b""), "'a' occurs twice"),
    "metadata a list": (safetensors(b'{"__metadata__":[]}', b""), "expected an object"),
    "metadata a number": (safetensors(b'{"__metadata__":{"a":1}}', b""), "expected a string"),
    "metadata nested": (safetensors(b'{"__metadata__":{"a":{}}}', b""), "expected a string"),
    "nested without end": (safetensors(b'{"w":' + b"[" * 100_000), "nested too deeply"),
    "entry a list": (named("w", []), "not described"),
    "entry null": (safetensors(b'{"w":null}'), "not described"),
    "entry too long": (named("w", entry(list(range(5000)))), "not a JSON value of at most 1024 bytes"),
    "entry with more": (named("w", entry(extra=1)), "not described"),
    "entry with less": (named("w", {"dtype": "F32", "shape": [8]}), "not described"),
    "dtype unknown": (named("w", entry(dtype="Q4_K")), "unknown dtype 'Q4_K'"),
    "dtype a number": (named("w", entry(dtype=32)), "unknown dtype 32"),
    "dtype a list": (named("w", entry(dtype=["F32"])), "unknown dtype"),
    "dtype null": (named("w", entry(dtype=None)), "unknown dtype None"),
    "shape a number": (named("w", entry(8)), "not a shape"),
    "shape null": (named("w", entry(None)), "not a shape"),
    "shape negative": (named("w", entry([-2, -4])), "not a shape"),
    "shape fractional": (named("w", entry([2.0, 4.0])), "not a shape"),
    "shape true": (named("w", entry([True, 8])), "not a shape"),
    "shape of strings": (named("w", entry(["2", "4"])), "not a shape"),
    "shape NaN": (safetensors(b'{"w":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}'), "not a shape"),
    "rank 9": (named("w", entry([1] * 8 + [8])), "not a shape"),
    "product wraps to 8": (named("w", entry([8, 2**61 + 1])), "too large"),
    "product wraps to 0": (named("w", entry([2**32, 2**32], 0, 0)), "too large"),
    "zero times too much": (named("w", entry([0, 2**40, 2**40], 0, 0)), "too large"),
    "one offset": (named("w", {"dtype": "F32", "shape": [8], "data_offsets": [0]}), "two offsets"),
    "three offsets": (named("w", {"dtype": "F32", "shape": [8], "data_offsets": [0, 32, 32]}), "two offsets"),
    "offsets negative": (named("w", entry(start=-32, stop=0)), "two offsets"),
    "offsets fractional": (named("w", entry(stop=32.0)), "two offsets"),
    "offsets swapped": (named("w", entry(start=32, stop=0)), "since 32 are needed"),
    "too few bytes": (named("w", entry(stop=31)), "since 32 are needed"),
    "too many bytes": (named("w", entry(stop=33)), "since 32 are needed"),
    "half a byte": (named("w", entry([3], 0, 1, "F4")), "cannot lie in bytes 0 to 1"),
    "past the end": (named("w", entry([9], 0, 36)), "extends to byte 36 of a data section of 32 bytes"),
    "exabytes in a small file": (named("w", entry([2**55], 0, 2**57)), "extends to byte"),
    "hole at the start": (named("w", entry([7], 4, 32)), "does not follow"),
    "hole in the middle": (safetensors({"a": entry([4], 0, 16), "b": entry([3], 20, 32)}), "does not follow"),
    "overlap": (safetensors({"a": entry([5], 0, 20), "b": entry([4], 16, 32)}), "overlaps"),
    "two names for one place": (safetensors({"a": entry(), "b": entry()}), "overlaps"),
    "bytes after the last tensor": (safetensors({"w": entry()}, bytes(33)), "belong to no tensor"),
    "bytes without any tensor": (safetensors({}, b"x"), "belong to no tensor"),
    "too many tensors": (
        safetensors({f"{number}": entry([0], 0, 0) for number in range(limits.MAX_TENSORS_PER_FILE + 2)}, b""),
        "more than 32769 members",
    ),
    "too much metadata": (
        safetensors({"__metadata__": {f"{number}": "" for number in range(limits.MAX_METADATA_KEYS + 1)}}, b""),
        "more than 16384 members",
    ),
}
for label, value in HUGE.items():
    HOSTILE |= {
        f"dimension {label}": (named("w", entry([value])), "tensor 'w'"),
        f"offsets from {label}": (named("w", entry(start=value, stop=value + 32)), ""),
        f"offsets to {label}": (named("w", entry(stop=value)), "tensor 'w'"),
    }


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_rejected(name: str, tmp_path: Path) -> None:
    content, part = HOSTILE[name]
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(Folder({"model.safetensors": content}).write(tmp_path))
    assert part in caught.value.message
    assert caught.value.hint
    assert len(caught.value.message) < 1000


ODD: dict[str, bytes] = {
    "plain": named("weight"),
    "padded header": safetensors(json.dumps({"weight": entry()}).encode() + b"  \n\t "),
    "white space everywhere": safetensors(json.dumps({"weight": entry()}, indent=4).encode()),
    "unaligned data": safetensors(json.dumps({"weight": entry()}).encode() + b" "),
    "metadata": safetensors({"__metadata__": {"format": "pt", "quote": '"\\\n}'}, "weight": entry()}),
    "keys in another order": safetensors(
        {"weight": {"data_offsets": [0, 32], "shape": [2, 4], "dtype": "F32"}, "__metadata__": {}}
    ),
    "escaped name": safetensors(f'{{"\\u0077eight":{ENTRY}}}'.encode()),
    "order of offsets": safetensors({"b": entry([1], 32, 36), "weight": entry()}, bytes(range(36))),
    "empty tensors": safetensors({"a": entry([0, 5], 0, 0), "weight": entry(), "c": entry([0], 32, 32)}),
    "scalar": safetensors({"weight": entry(), "a": entry([], 32, 36)}, bytes(range(36))),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_files_load(name: str, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(Folder({"model.safetensors": ODD[name]}).write(tmp_path))
    found = checkpoint.read("weight")
    np.testing.assert_array_equal(found.float32(), EXPECTED)
    assert found.data.ctypes.data % 4 == 0
    for other in checkpoint.tensors:
        assert checkpoint.read(other).float32().shape == checkpoint.tensors[other].shape


@pytest.mark.parametrize(
    ("dtype", "shape", "size"),
    [
        ("BOOL", [8], 8), ("I8", [8], 8), ("U8", [8], 8), ("I16", [8], 16), ("U16", [8], 16), ("I32", [8], 32),
        ("U32", [8], 32), ("I64", [8], 64), ("U64", [8], 64), ("C64", [8], 64), ("F8_E4M3", [8], 8),
        ("F8_E5M2", [8], 8), ("F8_E8M0", [8], 8), ("F8_E4M3FNUZ", [8], 8), ("F8_E5M2FNUZ", [8], 8),
        ("F6_E2M3", [8], 6), ("F6_E3M2", [8], 6), ("F4", [8], 4),
    ],
)  # fmt: skip
def test_other_types_are_listed_but_not_read(dtype: str, shape: list[int], size: int, tmp_path: Path) -> None:
    content = safetensors({"ids": entry(shape, 0, size, dtype)}, bytes(size))
    checkpoint = open_checkpoint(Folder({"model.safetensors": content}).write(tmp_path))
    assert checkpoint.tensors["ids"].type == dtype
    assert checkpoint.tensors["ids"].type not in READABLE_TYPES
    with pytest.raises(UnsupportedTensorType, match=f"'ids' is stored as {dtype}"):
        checkpoint.read("ids")


def test_truncation_at_every_byte(tmp_path: Path) -> None:
    whole = safetensors(
        {
            "__metadata__": {"format": "pt"},
            "a": entry([4], 0, 16),
            "b": entry([2, 4], 16, 32, "F16"),
            "c": entry([], 32, 36),
        },
        bytes(range(36)),
    )
    folder = Folder({"model.safetensors": whole}).write(tmp_path)
    assert len(open_checkpoint(folder).tensors) == 3
    for length in range(len(whole)):
        (folder / "model.safetensors").write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            open_checkpoint(folder)


ONE = safetensors({"a": entry()})
OTHER = safetensors({"b": entry()})
PARTS = {"1.safetensors": ONE, "2.safetensors": OTHER}
RIGHT = {"a": "1.safetensors", "b": "2.safetensors"}
INDEX = "model.safetensors.index.json"

# The content of the index, with a part of the message.
HOSTILE_INDICES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "not JSON": (b"nonsense", "expected an object"),
    "a list": (b"[]", "expected an object"),
    "not closed": (index(RIGHT)[:-1], "expected a comma"),
    "no weight_map": (b'{"metadata": {}}', "no weight_map"),
    "weight_map empty": (index({}), "no weight_map"),
    "weight_map a list": (b'{"weight_map": []}', "expected an object"),
    "weight_map twice": (b'{"weight_map": {}, "weight_map": {}}', "occurs twice"),
    "tensor twice": (b'{"weight_map": {"a": "1.safetensors", "a": "2.safetensors"}}', "'a' occurs twice"),
    "file a number": (index({"a": 1}), "expected a string"),
    "file absent": (index({**RIGHT, "b": "3.safetensors"}), "3.safetensors, which is absent"),
    "file above": (index({**RIGHT, "b": "../2.safetensors"}), "expected plain names"),
    "file below": (index({**RIGHT, "b": "x/2.safetensors"}), "expected plain names"),
    "file absolute": (index({**RIGHT, "b": "/etc/2.safetensors"}), "expected plain names"),
    "file on a drive": (index({**RIGHT, "b": "c:2.safetensors"}), "expected plain names"),
    "file with a backslash": (index({**RIGHT, "b": "..\\2.safetensors"}), "expected plain names"),
    "file with NUL": (index({**RIGHT, "b": "2\0.safetensors"}), "expected plain names"),
    "file with half a surrogate": (index({**RIGHT, "b": "\ud800.safetensors"}), "expected plain names"),
    "file a pickle": (index({**RIGHT, "b": "pytorch_model.bin"}), "expected plain names"),
    "file name too long": (index({**RIGHT, "b": "x" * 300 + ".safetensors"}), "which is absent"),
    "tensor in no file": (index({**RIGHT, "c": "1.safetensors"}), "no file holds: 'c'"),
    "tensors in no file": (
        index({**RIGHT, **{f"t{number}": "1.safetensors" for number in range(9)}}),
        "'t0', 't1', 't2', 't3', 't4' and 4 more",
    ),
    "tensor not named": (index({"a": "1.safetensors", "c": "2.safetensors"}), "no file holds: 'c'"),
    "tensor elsewhere": (index({"a": "2.safetensors", "b": "1.safetensors"}), "places tensor 'a' in 2.safetensors"),
    "metadata nested without end": (b'{"metadata":' + b"[" * 60_000, "nested too deeply"),
    "too many files": (index({f"{n}": f"{n}.safetensors" for n in range(3000)}), "more than 2048 files"),
    "too many tensors": (index({f"{n}": "1.safetensors" for n in range(100_000)}), "more than 65536 members"),
    "too large": (b'{"weight_map": {}' + b" " * limits.MAX_INDEX_BYTES + b"}", "at most 16777216"),
}


@pytest.mark.parametrize("name", HOSTILE_INDICES)
def test_hostile_indices_are_rejected(name: str, tmp_path: Path) -> None:
    content, part = HOSTILE_INDICES[name]
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(Folder({**PARTS, INDEX: content}).write(tmp_path))
    assert part in caught.value.message
    assert caught.value.hint


def test_a_tensor_that_the_index_does_not_name(tmp_path: Path) -> None:
    both = safetensors({"b": entry(), "extra": entry([1], 32, 36)}, bytes(36))
    folder = Folder({**PARTS, "2.safetensors": both, INDEX: index(RIGHT)}).write(tmp_path)
    with pytest.raises(CheckpointError, match="does not name: 'extra'"):
        open_checkpoint(folder)


def test_a_tensor_in_two_files(tmp_path: Path) -> None:
    both = safetensors({"b": entry(), "a": entry([1], 32, 36)}, bytes(36))
    folder = Folder({**PARTS, "2.safetensors": both, INDEX: index(RIGHT)}).write(tmp_path)
    with pytest.raises(CheckpointError, match=r"'a' is in both 1\.safetensors and 2\.safetensors"):
        open_checkpoint(folder)


HOSTILE_CONFIGS: dict[str, tuple[bytes | None, str]] = {
    "absent": (None, "has no config.json"),
    "empty": (b"", "not valid JSON"),
    "cut": (b'{"model_type": "lla', "not valid JSON"),
    "a list": (b"[]", "a JSON list"),
    "a string": (b'"x"', "a JSON str"),
    "null": (b"null", "a JSON NoneType"),
    "not UTF-8": (b'{"a": "\xff"}', "not valid JSON"),
    "nested without end": (b'{"a":' * 100_000, "nested too deeply"),
    "a number of 5,000 digits": (b'{"a":' + b"9" * 5000 + b"}", "not valid JSON"),
    "a key twice": (b'{"a": 1, "a": 2}', "'a' occurs twice"),
    "a key twice among many": (
        b"{" + b",".join(b'"%d":0' % number for number in range(90_000)) + b',"a":1,"a":2}',
        "'a' occurs twice",
    ),
    "too large": (b'{"a": "' + b"x" * limits.MAX_CONFIG_BYTES + b'"}', "at most 1048576"),
}


@pytest.mark.parametrize("name", HOSTILE_CONFIGS)
def test_hostile_configurations_are_rejected(name: str, tmp_path: Path) -> None:
    content, part = HOSTILE_CONFIGS[name]
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(Folder(config=content).write(tmp_path))
    assert part in caught.value.message
    assert caught.value.hint


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    folder = Folder({}).write(tmp_path)
    os.mkfifo(folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="not a regular file"):
        open_checkpoint(folder)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("/dev/zero")
    with pytest.raises(CheckpointError, match="not a regular file"):
        open_checkpoint(folder)


def test_a_file_that_shrinks_after_opening_is_noticed(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(Folder().write(tmp_path))
    os.truncate(tmp_path / "model.safetensors", 16)
    with pytest.raises(CheckpointError, match="when it was opened"):
        checkpoint.read("weight")


def test_the_header_length_is_unsigned(tmp_path: Path) -> None:
    content = struct.pack("<q", -1) + b"{}"
    with pytest.raises(CheckpointError, match="18446744073709551615"):
        open_checkpoint(Folder({"model.safetensors": content}).write(tmp_path))
