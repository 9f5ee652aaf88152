"""What a checkpoint is to the rest of the program: named tensors and the configuration that came with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

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
    """

    @property
    def path(self) -> Path: ...
    @property
    def naming(self) -> Naming: ...
    @property
    def config(self) -> Mapping[str, Any]: ...
    @property
    def tensors(self) -> Mapping[str, TensorInfo]: ...

    def read(self, name: str) -> Tensor:
        """The tensor of that name; its bytes stay in the file until they are used.

        Raises:
            CheckpointError: the file changed underneath us or the name is absent.
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

    def read(self, name: str) -> Tensor:
        return self.contents[name]
