"""A second start: the same logits, from weights that were packed before; and what happens where they are of no use."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import freehold
from freehold.checkpoints.mapped import MappedFile
from freehold.errors import StoreError
from freehold.ops.native import weights
from freehold.packed import folder as packed_folder
from freehold.packed import writing
from freehold.packed.identity import packing
from tests.support.tiny_folder import write_tiny_model

IDS = [list(range(20, 60)), [7]]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny")


def logits(path: Path, **options: Any) -> npt.NDArray[np.float32]:
    with freehold.load(path, **options) as loaded:
        return np.concatenate(loaded.logits(IDS))


def files(packed: Path) -> list[str]:
    return sorted(path.name for path in packed.iterdir()) if packed.exists() else []


@pytest.fixture
def packs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the tensors that are packed, as they are."""
    packing()  # packs samples once in a process
    seen: list[str] = []
    pack = weights._pack

    def noted(tensor: Any, dtype: Any) -> Any:
        seen.append(tensor.info.name)
        return pack(tensor, dtype)

    monkeypatch.setattr(weights, "_pack", noted)
    return seen


@pytest.mark.parametrize("dtype", [None, "f32", "f16", "q8", "q4"])
def test_the_second_start_packs_nothing_and_computes_the_same(
    model: Path, packed: Path, packs: list[str], dtype: str | None
) -> None:
    first = logits(model, dtype=dtype)
    assert packs
    packs.clear()
    second = logits(model, dtype=dtype)
    assert not packs
    assert first.tobytes() == second.tobytes()
    assert len(files(packed)) == 1


def test_kept_weights_are_those_that_are_packed_without_keeping(
    model: Path, packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = logits(model, dtype="q4")
    monkeypatch.setenv(packed_folder.LIMIT_VARIABLE, "0")
    assert logits(model, dtype="q4").tobytes() == kept.tobytes()


def test_each_type_is_kept_by_itself(model: Path, packed: Path) -> None:
    assert logits(model, dtype="q4").tobytes() != logits(model, dtype="q8").tobytes()
    assert len(files(packed)) == 2


def test_a_changed_checkpoint_is_packed_again(model: Path, packed: Path, tmp_path: Path, packs: list[str]) -> None:
    first = logits(model)
    other = write_tiny_model(tmp_path / "other", seed=1)
    os.replace(other / "model.safetensors", model / "model.safetensors")
    packs.clear()
    assert logits(model).tobytes() != first.tobytes()
    assert packs


def test_a_changed_configuration_is_packed_again(model: Path, packed: Path, packs: list[str]) -> None:
    logits(model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"rope_theta": 5000.0}))
    packs.clear()
    logits(model)
    assert packs


def damage_first_bytes(data: bytearray) -> None:
    data[:8] = b"notapack"


def damage_index(data: bytearray) -> None:
    data[-5] ^= 1


def damage_arrays(data: bytearray) -> None:
    data[64 : len(data) // 2] = bytes(len(data) // 2 - 64)  # blocks that never reached the disk


def truncate(data: bytearray) -> None:
    del data[len(data) // 2 :]


def empty(data: bytearray) -> None:
    data.clear()


def lengthen(data: bytearray) -> None:
    data += b"more"


@pytest.mark.parametrize("damage", [damage_first_bytes, damage_index, damage_arrays, truncate, empty, lengthen])
def test_damage_is_noticed_and_mended(
    model: Path, packed: Path, packs: list[str], caplog: pytest.LogCaptureFixture, damage: Any
) -> None:
    first = logits(model)
    (path,) = packed.iterdir()
    data = bytearray(path.read_bytes())
    damage(data)
    path.write_bytes(data)
    packs.clear()
    with caplog.at_level(logging.WARNING):
        assert logits(model).tobytes() == first.tobytes()
    assert packs
    assert "damaged" in caplog.text
    packs.clear()
    assert logits(model).tobytes() == first.tobytes()
    assert not packs


def test_weights_that_the_file_lacks_are_packed_and_the_file_goes(
    model: Path, packed: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = logits(model)
    take = writing.PackedWriter.weight
    (path,) = packed.iterdir()
    path.unlink()
    monkeypatch.setattr(
        writing.PackedWriter,
        "weight",
        lambda self, name, parameters, pack: take(self, name, {"strange": (1,)}, pack),
    )
    logits(model)
    with caplog.at_level(logging.WARNING):
        assert logits(model).tobytes() == first.tobytes()
    assert "made of other parameters" in caplog.text
    assert not files(packed)


def test_a_folder_that_cannot_be_made(
    model: Path, packed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "home").write_text("a file where the home folder should be")
    with caplog.at_level(logging.WARNING):
        logits(model)
    assert "packed weights are not kept" in caplog.text


def test_a_disk_that_becomes_full(
    model: Path, packed: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = logits(model)
    (path,) = packed.iterdir()
    path.unlink()
    put, calls = writing.PackedWriter._put, [0]

    def fails(self: writing.PackedWriter, array: Any) -> Any:
        calls[0] += 1
        if calls[0] > 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return put(self, array)

    monkeypatch.setattr(writing.PackedWriter, "_put", fails)
    with caplog.at_level(logging.WARNING):
        assert logits(model).tobytes() == first.tobytes()
    assert caplog.text.count("the next start will pack again") == 1
    assert os.strerror(errno.ENOSPC) in caplog.text
    assert not files(packed)


def test_no_room_on_the_disk(
    model: Path, packed: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_folder, "FREE_BYTES", 1 << 62)
    with caplog.at_level(logging.WARNING):
        logits(model)
    assert "free" in caplog.text
    assert not files(packed)


def test_a_failing_load_leaves_nothing(model: Path, packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        freehold.load(model, progress=fails)
    assert not files(packed)


def test_nothing_is_written_for_torch(model: Path, packed: Path) -> None:
    logits(model, backend="torch")
    assert not files(packed)


def test_nothing_is_written_for_small_models(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEHOLD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(packed_folder.LIMIT_VARIABLE, "1")
    logits(model)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("value", ["much", "-1", "nan", "inf"])
def test_a_limit_that_is_none(model: Path, packed: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(packed_folder.LIMIT_VARIABLE, value)
    with pytest.raises(StoreError, match=value):
        freehold.load(model)


def test_two_processes_at_once(model: Path, packed: Path) -> None:
    code = (
        "import sys, hashlib, freehold, numpy as np\n"
        "from pathlib import Path\n"
        "from freehold.packed import opening\n"
        "opening.SMALLEST_BYTES = 0\n"
        "model = freehold.load(Path(sys.argv[1]))\n"
        "print(hashlib.sha256(model.logits([[1, 2, 3]])[0].tobytes()).hexdigest())\n"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(model)], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    answers = {process.communicate()[0] for process in started}
    assert [process.returncode for process in started] == [0, 0]
    assert len(answers) == 1
    assert len(files(packed)) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="resident pages are counted in /proc")
def test_pages_of_the_checkpoint_are_given_back(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(1 << 20))
    file = MappedFile(path)
    assert file.view(0, file.size, 1).sum() == 0
    assert resident_kilobytes(path) >= 1024
    file.release()
    assert resident_kilobytes(path) == 0
    assert file.view(0, file.size, 1).sum() == 0


def resident_kilobytes(path: Path) -> int:
    """What of a mapped file counts as this process's memory."""
    lines = Path("/proc/self/smaps").read_text().split("\n")
    start = next(index for index, line in enumerate(lines) if line.endswith(str(path)))
    return next(int(line.split()[1]) for line in lines[start:] if line.startswith("Rss:"))
