"""The operations that a model is written in. `ops/native` and `ops/torch` implement them.

Activations are float32 of shape [tokens, features] (native) or the backend's compute type (torch). An operation may
overwrite an argument where its docstring says so, so callers use only what it returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from freehold.ops.batch import Batch
from freehold.tensors import Tensor, WeightType

# What these are is the backend's business: numpy.ndarray and packed weights, or torch.Tensor and parameters.
Array: TypeAlias = Any
LinearWeight: TypeAlias = Any
LayerCache: TypeAlias = Any
Rotation: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class AttentionCache:
    """What one attention layer keeps per position: a key and a value for each KV head."""

    kv_heads: int
    head_dim: int


class Ops(Protocol):
    """The interface. Every result row depends on its own sequence only: never on the rest of the batch.

    Attributes:
        name: "native" or "torch".
    """

    name: str

    # --- weights -----------------------------------------------------------------------------------------------

    def pack_linear(
        self, parts: Sequence[Tensor], bias: Sequence[Tensor | None] | None, dtype: WeightType | None
    ) -> LinearWeight:
        """Prepare a weight for `linear`.

        Args:
            parts: tensors [outputs_i, inputs] that are stacked along their rows, each of its own storage type.
            bias: for each part a tensor [outputs_i] or None (then zero); None for no bias at all.
            dtype: what to hold the weight in; None keeps the stored precision (never narrower).
        """
        ...

    def vector(self, tensor: Tensor) -> Array:
        """A one-dimensional weight, such as a norm's, as the backend holds it."""
        ...

    # --- steps -------------------------------------------------------------------------------------------------

    def embed(self, table: LinearWeight, token_ids: npt.NDArray[np.int32]) -> Array:
        """Rows of the table [vocabulary, features] -> [tokens, features]."""
        ...

    def rms_norm(self, x: Array, weight: Array, epsilon: float) -> Array:
        """x / sqrt(mean(x^2) + epsilon) * weight over the last dimension (Zhang and Sennrich 2019)."""
        ...

    def linear(self, x: Array, weight: LinearWeight) -> Array:
        """x [tokens, inputs] times the weight's transpose, plus its bias -> [tokens, outputs]."""
        ...

    def rotation(
        self, positions: npt.NDArray[np.int32], frequencies: npt.NDArray[np.float32], scale: float
    ) -> Rotation:
        """Cosines and sines of positions [tokens] x frequencies [rotated / 2], each times scale; made once a step."""
        ...

    def rope(self, x: Array, rotation: Rotation) -> Array:
        """Rotate x [tokens, heads, head_dim] by position (Su et al. 2021), pairing element i with i + rotated / 2.

        Features past the rotated ones stay as they are. May overwrite x.
        """
        ...

    def attention(
        self,
        q: Array,
        k: Array,
        v: Array,
        batch: Batch,
        cache: LayerCache | None,
        *,
        scale: float,
        window: int | None = None,
    ) -> Array:
        """Causal attention of each row over its own sequence.

        Writes k and v into the cache first, then reads keys and values of all earlier positions from it.

        Args:
            q: [tokens, heads, head_dim]; head h reads KV head h // (heads / kv_heads).
            k, v: [tokens, kv_heads, head_dim].
            cache: this layer's cache; None attends within the batch's own rows (training, or whole sequences).
            scale: multiplies the scores.
            window: a row sees itself and the window - 1 positions before it; None for all.

        Returns:
            [tokens, heads * head_dim].
        """
        ...

    def gated_mlp(self, x: Array, gate_up: LinearWeight, down: LinearWeight, activation: str) -> Array:
        """down(activation(gate(x)) * up(x)); gate_up holds gate's rows, then up's; "silu" or "gelu_tanh"."""
        ...

    def add(self, x: Array, y: Array) -> Array:
        """x + y. May overwrite x."""
        ...

    def select_rows(self, x: Array, rows: npt.NDArray[np.int32]) -> Array:
        """The given rows of x, in the given order."""
        ...

    # --- cache and results -------------------------------------------------------------------------------------

    def create_cache(self, layers: Sequence[AttentionCache], blocks: int, block_size: int) -> list[LayerCache]:
        """One cache per layer with room for blocks * block_size positions, to be shared by all sequences."""
        ...

    def cache_bytes(self, layers: Sequence[AttentionCache]) -> int:
        """Bytes that one position takes in the caches of all layers."""
        ...

    def available_bytes(self) -> int:
        """Bytes that are left where caches live: in this machine's memory, or in the device's."""
        ...

    def to_numpy(self, x: Array) -> npt.NDArray[np.float32]:
        """x as a float32 array in this process's memory."""
        ...
