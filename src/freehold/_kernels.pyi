# ruff: noqa: A002 (the names are the extension's)
"""Types of the extension module; src/freehold/native/bindings is what they describe.

Every function checks sizes, types, strides and ids of what it is given, and raises ValueError with both values.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Format = Literal["f32", "f16", "bf16", "q4", "q8", "mxfp4", "fp8", "q4_k", "q5_k", "q6_k"]
Float32Array = npt.NDArray[np.float32]
Int32Array = npt.NDArray[np.int32]
Int64Array = npt.NDArray[np.int64]

class Matrix:
    """A packed weight [rows, columns] over buffers in the layout of kernels/layout.hpp."""

    def __init__(
        self,
        format: Format,
        rows: int,
        columns: int,
        codes: npt.NDArray[np.uint8],
        scales: npt.NDArray[Any] | None = None,
        minimums: npt.NDArray[Any] | None = None,
        offset: int = 0,
    ) -> None: ...
    @property
    def format(self) -> Format: ...
    @property
    def rows(self) -> int: ...
    @property
    def columns(self) -> int: ...
    @property
    def half_scales(self) -> bool: ...
    @property
    def codes(self) -> npt.NDArray[np.uint8]: ...
    @property
    def scales(self) -> npt.NDArray[Any] | None: ...
    @property
    def minimums(self) -> npt.NDArray[Any] | None: ...
    @property
    def offset(self) -> int: ...
    @property
    def bytes(self) -> int: ...

class LinearWeight:
    """Matrices stacked along their rows, with an optional bias each."""

    def __init__(self, parts: Sequence[Matrix], bias: Sequence[Float32Array | None] | None = None) -> None: ...
    @property
    def inputs(self) -> int: ...
    @property
    def outputs(self) -> int: ...
    @property
    def parts(self) -> list[Matrix]: ...
    @property
    def biases(self) -> list[Float32Array | None]: ...

class ExpertsWeight:
    """One weight for each expert, or head; all of one shape."""

    def __init__(self, experts: Sequence[LinearWeight]) -> None: ...
    @property
    def count(self) -> int: ...
    @property
    def inputs(self) -> int: ...
    @property
    def outputs(self) -> int: ...
    @property
    def parts(self) -> list[list[Matrix]]: ...
    @property
    def experts(self) -> list[LinearWeight]: ...

class Arena:
    """Memory for activations, in pieces that are handed out again when no array lies in them any more."""

    def __init__(self) -> None: ...
    def empty(self, shape: Sequence[int]) -> Float32Array: ...
    def borrowed(self, array: Float32Array) -> Float32Array:
        """The same numbers, in memory that may be handed out again meanwhile."""

class Graph:
    """Calls of this module's functions, to be made again with the same arrays."""

    def __init__(self, arena: Arena) -> None: ...
    def begin(self) -> None:
        """Capture the calls that this thread makes, besides making them."""

    def end(self) -> None: ...
    def replay(self) -> None: ...
    @property
    def calls(self) -> int: ...

def isa() -> str: ...
def available_isas() -> list[str]: ...
def use_isa(name: str) -> None: ...
def threads() -> int: ...
def keep_freed_memory() -> None: ...
def set_threads(count: int) -> None: ...
def empty(bytes: int) -> npt.NDArray[np.uint8]: ...
def packed_bytes(format: Format, rows: int, columns: int) -> int: ...
def pack_floats(
    values: npt.NDArray[np.uint8],
    source: Format,
    target: Format,
    count: int,
    columns: int,
    first: int,
    out: npt.NDArray[np.uint8],
) -> None: ...
def pack_codes(
    codes: npt.NDArray[np.uint8] | npt.NDArray[np.int8], target: Format, first: int, out: npt.NDArray[np.uint8]
) -> None: ...
def pack_superblocks(
    blocks: npt.NDArray[np.uint8],
    target: Format,
    count: int,
    columns: int,
    first: int,
    out: npt.NDArray[np.uint8],
) -> None: ...
def linear(x: Float32Array, weight: LinearWeight, out: Float32Array, adds: bool = False) -> None: ...
def gated_mlp(
    x: Float32Array,
    gate_up: LinearWeight,
    down: LinearWeight,
    activation: str,
    limit: float | None,
    out: Float32Array,
    adds: bool = False,
) -> None: ...
def embed(table: LinearWeight, token_ids: Int32Array, out: Float32Array) -> None: ...
def rms_norm(x: Float32Array, weight: Float32Array | None, epsilon: float, out: Float32Array) -> None: ...
def layer_norm(
    x: Float32Array, weight: Float32Array | None, bias: Float32Array | None, epsilon: float, out: Float32Array
) -> None: ...
def rotation(
    positions: Int32Array, frequencies: Float32Array, scale: float, cosines: Float32Array, sines: Float32Array
) -> None: ...
def rope(x: Float32Array, cosines: Float32Array, sines: Float32Array) -> None: ...
def add(x: Float32Array, y: Float32Array) -> None: ...
def copy(x: Float32Array, out: Float32Array) -> None: ...
def select_rows(x: Float32Array, rows: Int32Array, out: Float32Array) -> None: ...
def activate(x: Float32Array, activation: str) -> None: ...
def gate(x: Float32Array, gates: Float32Array, activation: str) -> None: ...
def softcap(x: Float32Array, cap: float) -> None: ...
def scale(x: Float32Array, factor: float) -> None: ...
def scale_rows(x: Float32Array, factors: Float32Array) -> None: ...
def experts(
    x: Float32Array,
    router_logits: Float32Array,
    gate_up: ExpertsWeight,
    down: ExpertsWeight,
    *,
    selection_bias: Float32Array | None,
    top_k: int,
    scoring: str,
    normalise: bool,
    scale: float,
    groups: int,
    groups_kept: int,
    weigh_inputs: bool,
    activation: str,
    limit: float | None,
    out: Float32Array,
) -> None: ...
def head_linear(x: Float32Array, weight: ExpertsWeight, out: Float32Array) -> None: ...
def attention(
    q: Float32Array,
    k: Float32Array,
    v: Float32Array,
    positions: Int32Array,
    offsets: Int32Array,
    block_tables: Int32Array,
    block_offsets: Int32Array,
    keys: npt.NDArray[Any],
    values: npt.NDArray[Any],
    key_scales: npt.NDArray[np.uint16] | None,
    value_scales: npt.NDArray[np.uint16] | None,
    scale: float,
    window: int,
    chunk: int,
    softcap: float,
    causal: bool,
    sinks: Float32Array | None,
    slopes: Float32Array | None,
    out: Float32Array,
) -> None: ...
def latent_attention(
    q: Float32Array,
    k: Float32Array,
    positions: Int32Array,
    offsets: Int32Array,
    block_tables: Int32Array,
    block_offsets: Int32Array,
    keys: npt.NDArray[Any],
    scales: npt.NDArray[np.uint16] | None,
    latent: int,
    scale: float,
    out: Float32Array,
) -> None: ...
def delta_rule(
    qkv: Float32Array,
    decay: Float32Array,
    beta: Float32Array,
    offsets: Int32Array,
    state_reads: Int32Array,
    state_writes: Int32Array,
    inputs: Float32Array | None,
    matrices: Float32Array | None,
    convolution: Float32Array,
    rates: Float32Array,
    decay_offsets: Float32Array,
    key_heads: int,
    key_dim: int,
    tiled: bool,
    out: Float32Array,
) -> None: ...
def uniform(seed: int, position: int) -> float: ...
def sample(
    *,
    logits: Float32Array,
    temperature: Float32Array,
    top_k: Int32Array,
    top_p: Float32Array,
    min_p: Float32Array,
    repetition_penalty: Float32Array,
    presence_penalty: Float32Array,
    frequency_penalty: Float32Array,
    seed: npt.NDArray[np.uint64],
    position: npt.NDArray[np.uint64],
    history: Int32Array,
    history_offsets: Int64Array,
    output_starts: Int64Array,
    bias_ids: Int32Array,
    bias_values: Float32Array,
    bias_offsets: Int64Array,
    masks: npt.NDArray[np.uint32],
    mask_rows: Int32Array,
    top_logprobs: Int32Array,
    token_ids: Int32Array,
    logprobs: Float32Array,
    status: npt.NDArray[np.uint8],
    top_ids: Int32Array,
    top_values: Float32Array,
) -> None: ...
