"""What a checkpoint is to the rest of the program: named tensors and the configuration that came with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from freehold.checkpoints.mapped import MappedFile
from freehold.tensors import Tensor, TensorInfo


class Naming(StrEnum):
    """Whose names the tensors and the configuration keys carry."""

    HUGGING_FACE = "huggingface"
    GGUF = "gguf"


class Checkpoint(Protocol):
    """Named tensors, memory-mapped, and the configuration beside them.

    Attributes:
        path: the folder or file it was opened from.
        naming: whose names `tensors` and `config` use.
        config: the parsed config.json, or the GGUF metadata.
        tensors: every tensor in the checkpoint, by name.
        files: those that hold the tensors; none where they are in memory.
    """

    @property
    def path(self) -> Path: ...
    @property
    def naming(self) -> Naming: ...
    @property
    def config(self) -> Mapping[str, Any]: ...
    @property
    def tensors(self) -> Mapping[str, TensorInfo]: ...
    @property
    def files(self) -> Sequence[MappedFile]: ...

    def read(self, name: str) -> Tensor:
        """The tensor of that name; its bytes stay in the file until they are used.

        Raises:
            CheckpointError: the file changed underneath us or the name is absent.
            UnsupportedTensorType: the tensor is listed, but stored in a type that we do not read.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class MemoryCheckpoint:
    """A checkpoint that lives in memory: random initial weights, a training run's result, or a test's model."""

    config: Mapping[str, Any]
    contents: Mapping[str, Tensor]
    naming: Naming = Naming.HUGGING_FACE
    path: Path = field(default=Path("memory"))

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        return {name: tensor.info for name, tensor in self.contents.items()}

    @property
    def files(self) -> Sequence[MappedFile]:
        return ()

    def read(self, name: str) -> Tensor:
        return self.contents[name]


@dataclass(frozen=True, slots=True, eq=False)
class LazyTensor:
    """A tensor to be written, whose bytes are made when its turn comes, so that only one is in memory at a time.

    Attributes:
        info: what will be written.
        load: makes the info.bytes raw bytes, uint8.
    """

    info: TensorInfo
    load: Callable[[], npt.NDArray[np.uint8]]

    @staticmethod
    def of(tensor: Tensor) -> LazyTensor:
        """A tensor whose bytes are already there."""
        return LazyTensor(tensor.info, lambda: tensor.data)

    def data(self) -> npt.NDArray[np.uint8]:
        """The bytes, checked to be as many as announced."""
        data = self.load()
        if data.dtype != np.uint8 or data.size != self.info.bytes:
            raise ValueError(
                f"tensor {self.info.name!r} gave {data.size} values of {data.dtype}; expected {self.info.bytes} uint8"
            )
        return data
