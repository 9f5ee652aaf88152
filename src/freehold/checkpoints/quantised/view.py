"""A checkpoint whose quantised tensors look like any others."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from freehold.checkpoints.base import Checkpoint, Naming
from freehold.checkpoints.huggingface import CONFIG, HuggingFaceCheckpoint
from freehold.checkpoints.mapped import MappedFile
from freehold.checkpoints.quantised.assembly import Found
from freehold.checkpoints.quantised.settings import Settings
from freehold.errors import CheckpointError
from freehold.tensors import Tensor, TensorInfo

# `quant_method` -> the module that knows how its weights lie.
METHODS: Mapping[str, str] = {
    "fp8": "fp8",
    "modelopt": "modelopt",
    "mxfp4": "mxfp4",
    "gptq": "gptq",
    "awq": "awq",
}


class QuantisedCheckpoint:
    """The tensors of a Hugging Face folder as a model asks for them.

    A weight that lies in several tensors appears under one name, in a type of ours (`tensors.ASSEMBLED_TYPES`) or in
    one of GGUF's that holds the same numbers, and its pieces do not appear. What is not quantised appears as it is.
    """

    naming = Naming.HUGGING_FACE

    def __init__(self, stored: HuggingFaceCheckpoint, found: Found) -> None:
        """Present what a method found.

        Raises:
            CheckpointError: a name is there twice.
        """
        self.path: Path = stored.path
        self.config: Mapping[str, Any] = stored.config
        self._stored = stored
        self._assemblies = {assembly.info.name: assembly for assembly in found.assemblies}
        hidden = {piece for assembly in found.assemblies for piece in assembly.pieces} | found.dropped
        self.tensors: dict[str, TensorInfo] = {
            name: info for name, info in stored.tensors.items() if name not in hidden
        }
        for name, assembly in self._assemblies.items():
            if name in self.tensors:
                raise CheckpointError(
                    f"{self.path} holds {name!r} both as it is and quantised, as {assembly.pieces[0]!r}",
                    hint="files of two versions of the model lie in one folder; download it again",
                )
            self.tensors[name] = assembly.info

    @property
    def files(self) -> Sequence[MappedFile]:
        """The files that hold the tensors, in pieces or whole."""
        return self._stored.files

    def read(self, name: str) -> Tensor:
        """The tensor of that name, put together if it lies in pieces.

        Raises:
            CheckpointError: the name is absent, a file changed since it was opened, or the pieces do not fit.
            UnsupportedTensorType: it is stored in a type that is only listed.
        """
        assembly = self._assemblies.get(name)
        return self._stored.read(name) if assembly is None else assembly.load()


def as_a_model_sees_it(stored: HuggingFaceCheckpoint) -> Checkpoint:
    """The checkpoint itself where its weights are plain, else a view of it.

    Raises:
        ConfigError: the weights are quantised in a way that we do not read; names key and value.
        CheckpointError: the pieces of a tensor do not fit together.
    """
    settings = Settings.of(stored.config, f"{stored.path.name}/{CONFIG}")
    if settings is None:
        return stored
    method = settings.values.get("quant_method")
    producer = settings.values.get("producer")
    if method is None and isinstance(producer, Mapping) and producer.get("name") == "modelopt":
        method = "modelopt"  # its older versions leave the method out
    if not isinstance(method, str) or method not in METHODS:
        raise settings.refuse("quant_method", ", ".join(METHODS))
    module = importlib.import_module(f"freehold.checkpoints.quantised.{METHODS[method]}")
    found: Found = module.find(stored, settings)
    return QuantisedCheckpoint(stored, found)
