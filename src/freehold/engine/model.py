"""The little that the engine needs to know of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from freehold.ops.base import Array, Forward, LayerCache
from freehold.ops.batch import Batch


class ModelLimits(Protocol):
    """What requests are checked against: the number of token ids, and the positions the model was made for."""

    @property
    def vocabulary(self) -> int: ...
    @property
    def context_length(self) -> int: ...


class Backend(Protocol):
    """What the engine asks of the operations; see `freehold.ops.base.Ops`."""

    @property
    def name(self) -> str: ...
    def available_bytes(self) -> int: ...
    def copy_block(self, cache: LayerCache, source: int, target: int) -> None: ...
    def graphed(self, forward: Forward) -> Forward: ...
    def to_numpy(self, x: Array) -> npt.NDArray[np.float32]: ...


class LanguageModel(Protocol):
    """A model as the engine sees it; `freehold.models.Decoder` is one. See there for the meaning of each method."""

    @property
    def config(self) -> ModelLimits: ...
    @property
    def ops(self) -> Backend: ...
    def forward(self, batch: Batch, caches: Sequence[LayerCache] | None) -> Array: ...
    def create_cache(self, blocks: int, block_size: int, states: int = 0) -> list[LayerCache]: ...
    def cache_bytes_per_token(self) -> int: ...
    def state_bytes_per_sequence(self) -> int: ...
