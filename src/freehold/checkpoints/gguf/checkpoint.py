"""A model in GGUF: one file, or the several that it was split into."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from freehold.checkpoints import limits
from freehold.checkpoints.base import Naming
from freehold.checkpoints.gguf.file import GgufFile
from freehold.checkpoints.gguf.values import SPLIT_COUNT_KEY, SPLIT_NUMBER_KEY, SPLIT_TENSORS_KEY
from freehold.checkpoints.layout import DAMAGED
from freehold.checkpoints.mapped import MappedFile
from freehold.errors import CheckpointError
from freehold.tensors import Tensor, TensorInfo

SPLIT_NAME = re.compile(r"(?P<prefix>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


class GgufCheckpoint:
    """The tensors and metadata of a GGUF file and of the further files it is split into, if any."""

    naming = Naming.GGUF

    def __init__(self, path: Path) -> None:
        """Open a file, and with the first file of a split model the others too.

        Raises:
            CheckpointError: a file is absent, truncated, damaged or hostile, or the parts do not belong together.
            UnsupportedTensorType: a tensor is stored in a type that we do not know; the message names both.
        """
        self.path = path
        first = GgufFile(path)
        self.config: Mapping[str, Any] = first.metadata
        self.tensors: dict[str, TensorInfo] = {}
        self.files: list[MappedFile] = []
        self._files: dict[str, GgufFile] = {}
        count = _split_integer(first, SPLIT_COUNT_KEY, 1, limits.MAX_GGUF_FILES)
        if count <= 1:
            self._add(first)
            return
        for number, part in enumerate(_part_paths(path, count)):
            self._add_part(first if number == 0 else GgufFile(part), number, count)
        self._check_total(first)

    def read(self, name: str) -> Tensor:
        """The tensor of that name; its bytes stay in the file until they are used.

        Raises:
            CheckpointError: the name is absent, or a file changed since it was opened.
            UnsupportedTensorType: it is stored in a type that is only listed.
        """
        file = self._files.get(name)
        if file is None:
            raise CheckpointError(f"{self.path.name} has no tensor {name!r}")
        return file.read(name)

    def _add(self, file: GgufFile) -> None:
        self.files.append(file.file)
        for name, info in file.tensors.items():
            if name in self._files:
                raise CheckpointError(
                    f"tensor {name!r} is in both {self._files[name].path.name} and {file.path.name}",
                    hint="the parts belong to different models, or one of them is damaged",
                )
            self._files[name] = file
            self.tensors[name] = info
        if len(self.tensors) > limits.MAX_TENSORS:
            raise CheckpointError(
                f"{self.path.name} and its parts hold over {limits.MAX_TENSORS} tensors", hint=DAMAGED
            )

    def _add_part(self, part: GgufFile, number: int, count: int) -> None:
        found = (
            _split_integer(part, SPLIT_NUMBER_KEY, 0, limits.MAX_GGUF_FILES),
            _split_integer(part, SPLIT_COUNT_KEY, 1, limits.MAX_GGUF_FILES),
        )
        if found != (number, count):
            raise CheckpointError(
                f"{part.path.name} says that it is part {found[0] + 1} of {found[1]}; expected {number + 1} of {count}",
                hint="the parts belong to different models; download them again",
            )
        self._add(part)

    def _check_total(self, first: GgufFile) -> None:
        total = _split_integer(first, SPLIT_TENSORS_KEY, len(self.tensors), limits.MAX_TENSORS)
        if total != len(self.tensors):
            raise CheckpointError(
                f"{self.path.name} announces {total} tensors in all its parts, which hold {len(self.tensors)}",
                hint="the parts belong to different models; download them again",
            )


def _split_integer(file: GgufFile, key: str, default: int, most: int) -> int:
    value = file.metadata.get(key, default)
    if type(value) is not int or not 0 <= value <= most:
        raise CheckpointError(
            f"{file.path.name}: {key} is {value!r:.100}; expected an integer from 0 to {most}", hint=DAMAGED
        )
    return value


def _part_paths(path: Path, count: int) -> list[Path]:
    """Paths of all parts, from the first one's name."""
    match = SPLIT_NAME.fullmatch(path.name)
    if match is None or int(match["count"]) != count:
        raise CheckpointError(
            f"{path.name} is a part of {count}, but is not named like model-00001-of-{count:05}.gguf",
            hint="give the parts the names back that they had",
        )
    if int(match["number"]) != 1:
        raise CheckpointError(
            f"{path.name} is part {int(match['number'])} of {count}",
            hint=f"open the first part, {match['prefix']}-00001-of-{count:05}.gguf",
        )
    return [path.with_name(f"{match['prefix']}-{number:05}-of-{count:05}.gguf") for number in range(1, count + 1)]
