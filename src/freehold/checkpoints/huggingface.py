"""A Hugging Face folder: config.json beside one safetensors file, or several with an index."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from freehold.checkpoints import limits
from freehold.checkpoints.base import Naming
from freehold.checkpoints.json_text import Scanner, read_object
from freehold.checkpoints.layout import DAMAGED
from freehold.checkpoints.mapped import MappedFile
from freehold.checkpoints.safetensors import SafetensorsFile
from freehold.errors import CheckpointError
from freehold.tensors import Tensor, TensorInfo

CONFIG = "config.json"
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
SUFFIX = ".safetensors"
INDEX_SUFFIX = ".safetensors.index.json"
PICKLE_SUFFIXES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}
SHARD = re.compile(r"(?P<prefix>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.safetensors")
NAMES_SHOWN = 5


class HuggingFaceCheckpoint:
    """The folder's tensors, memory-mapped, and its parsed config.json."""

    naming = Naming.HUGGING_FACE

    def __init__(self, path: Path, weights: Path | None = None) -> None:
        """Open a folder.

        Args:
            path: the folder.
            weights: the only safetensors file in it to use; None finds the weights by their usual names.

        Raises:
            CheckpointError: a file is absent, damaged or hostile, the index does not match the shards, or there are
                only pickled weights.
        """
        self.path = path
        files, index = ([weights], None) if weights is not None else _weight_files(path)
        if not os.path.exists(path / CONFIG):
            raise CheckpointError(f"{path} has no {CONFIG}", hint="it comes with the model; download or copy it too")
        self.config: Mapping[str, Any] = read_object(path / CONFIG, limits.MAX_CONFIG_BYTES)
        self._shards: dict[str, SafetensorsFile] = {}
        self.tensors: dict[str, TensorInfo] = {}
        self._files = [SafetensorsFile(file) for file in files]
        for shard in self._files:
            self._add(shard)
        if index is not None:
            self._check_index(index)

    @property
    def files(self) -> Sequence[MappedFile]:
        """The files that hold the tensors."""
        return [shard.file for shard in self._files]

    def read(self, name: str) -> Tensor:
        """The tensor of that name; its bytes stay in the file until they are used.

        Raises:
            CheckpointError: the name is absent, or a file changed since it was opened.
            UnsupportedTensorType: it is stored in a type that is only listed.
        """
        return self._shard(name).read(name)

    def raw(self, name: str) -> npt.NDArray[np.uint8]:
        """The bytes of the tensor of that name, of whatever type; they stay in the file until they are used.

        Raises:
            CheckpointError: the name is absent, or a file changed since it was opened.
        """
        return self._shard(name).raw(name)

    def _shard(self, name: str) -> SafetensorsFile:
        shard = self._shards.get(name)
        if shard is None:
            raise CheckpointError(f"{self.path} has no tensor {name!r}")
        return shard

    def _add(self, shard: SafetensorsFile) -> None:
        for name, info in shard.tensors.items():
            if name in self._shards:
                raise CheckpointError(
                    f"tensor {name!r} is in both {self._shards[name].path.name} and {shard.path.name}",
                    hint="the files belong to different models, or one of them is damaged",
                )
            self._shards[name] = shard
            self.tensors[name] = info
        if len(self.tensors) > limits.MAX_TENSORS:
            raise CheckpointError(f"{self.path} holds more than {limits.MAX_TENSORS} tensors", hint=DAMAGED)

    def _check_index(self, index: Mapping[str, str]) -> None:
        """Every tensor is where the index says, and the index names every tensor."""
        absent = [name for name, file in index.items() if name not in self._shards]
        if absent:
            raise CheckpointError(
                f"the index names tensors that no file holds: {listed(absent)}", hint="download the model again"
            )
        unnamed = [name for name in self._shards if name not in index]
        if unnamed:
            raise CheckpointError(
                f"the files hold tensors that the index does not name: {listed(unnamed)}",
                hint="the index and the files belong to different versions; download the model again",
            )
        for name, file in index.items():
            if self._shards[name].path.name != file:
                raise CheckpointError(
                    f"the index places tensor {name!r} in {file}, but it is in {self._shards[name].path.name}",
                    hint="the index and the files belong to different versions; download the model again",
                )


def _weight_files(folder: Path) -> tuple[list[Path], dict[str, str] | None]:
    """The safetensors files of a folder, and what its index maps names to, if it has one."""
    names = file_names(folder)
    if SINGLE in names:
        return [folder / SINGLE], None
    indices = [name for name in names if name.endswith(INDEX_SUFFIX)]
    if INDEX in names or len(indices) == 1:
        index = _read_index(folder / (INDEX if INDEX in names else indices[0]))
        return [folder / name for name in sorted(set(index.values()))], index
    singles = [name for name in names if name.endswith(SUFFIX)]
    if not indices and (len(singles) == 1 or _is_complete_set(singles)):
        return [folder / name for name in singles], None
    raise _no_weights(folder, names, indices + singles)


def file_names(folder: Path) -> list[str]:
    """Names of what is in a folder, sorted.

    Raises:
        CheckpointError: the folder cannot be read.
    """
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise CheckpointError(f"cannot read the folder {folder}: {error.strerror}") from error


def _read_index(path: Path) -> dict[str, str]:
    """The weight_map of an index: tensor names to the names of files in the same folder."""
    file = MappedFile(path)
    if file.size > limits.MAX_INDEX_BYTES:
        raise CheckpointError(
            f"{path.name} has {file.size} bytes; at most {limits.MAX_INDEX_BYTES} are read", hint=DAMAGED
        )
    scanner = Scanner(file.data, 0, file.size, path.name)
    weight_map: dict[str, str] | None = None
    shards: dict[str, str] = {}
    for key in scanner.members(limits.MAX_SHARDS):
        if key != "weight_map":
            scanner.value(limits.MAX_MEMBER_BYTES)
            continue
        weight_map = {}
        for name in scanner.members(limits.MAX_TENSORS):
            shard = scanner.string()
            weight_map[name] = shards.setdefault(shard, shard)  # one string for each file, not for each tensor
            if len(shards) > limits.MAX_SHARDS:
                raise scanner.error(f"more than {limits.MAX_SHARDS} files are named")
    scanner.finish()
    if not weight_map:
        raise CheckpointError(f"{path.name} has no weight_map, or an empty one", hint="download the model again")
    _check_shard_names(shards, path)
    return weight_map


def _check_shard_names(shards: Iterable[str], index: Path) -> None:
    for name in shards:
        if not name.isprintable() or not name.endswith(SUFFIX) or {"/", "\\", ":"} & set(name):
            raise CheckpointError(
                f"{index.name} names the file {name!r:.200}; expected plain names that end in {SUFFIX}",
                hint="the index is damaged or hostile; do not use this model",
            )
        if not os.path.exists(index.parent / name):  # unlike Path.exists, also false for names that are too long
            raise CheckpointError(
                f"{index.name} names the file {name}, which is absent", hint="the download is incomplete; resume it"
            )


def _is_complete_set(names: Sequence[str]) -> bool:
    """Whether files are all parts of one set, like model-00001-of-00002.safetensors."""
    matches = [SHARD.fullmatch(name) for name in names]
    return (
        len(names) > 0
        and len({match and (match["prefix"], match["count"]) for match in matches}) == 1
        and [match and int(match["number"]) for match in matches] == list(range(1, len(names) + 1))
        and all(match and int(match["count"]) == len(names) for match in matches)
    )


def _no_weights(folder: Path, names: Sequence[str], candidates: Sequence[str]) -> CheckpointError:
    if candidates:
        return CheckpointError(
            f"{folder} has neither {SINGLE} nor {INDEX}, and several other candidates: {listed(candidates)}",
            hint="give the path of one .safetensors file, or complete the set that you want",
        )
    pickled = [name for name in names if Path(name).suffix in PICKLE_SUFFIXES]
    if pickled:
        return CheckpointError(
            f"{folder} has only pickled weights: {listed(pickled)}",
            hint="a pickle can run code when it is opened, so Freehold never does; get a safetensors or GGUF version",
        )
    if not names:
        return CheckpointError(f"{folder} is empty", hint="download the model again, or check the path")
    return CheckpointError(f"{folder} has no safetensors file", hint="is it the folder of a model?")


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many there are in all."""
    shown = ", ".join(repr(name) for name in names[:NAMES_SHOWN])
    return shown if len(names) <= NAMES_SHOWN else f"{shown} and {len(names) - NAMES_SHOWN} more"
