"""The operations that a model is written in. `ops/native` and `ops/torch` implement them.

Activations are float32 of shape [tokens, features] (native) or the backend's compute type (torch). An operation may
overwrite an argument where its docstring says so, so callers use only what it returns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from freehold.ops.batch import Batch
from freehold.tensors import Tensor, WeightType

# What these are is the backend's business: numpy.ndarray and packed weights, or torch.Tensor and parameters.
Array: TypeAlias = Any
LinearWeight: TypeAlias = Any
ExpertsWeight: TypeAlias = Any
LayerCache: TypeAlias = Any
Rotation: TypeAlias = Any
# A model with its caches: the logits of a step's wanted rows.
Forward: TypeAlias = Callable[[Batch], Array]


# What keys and values, or latents, are held in; states of linear attention are always float32. "q8" is codes of 8 bits.
# Each run of CACHE_GROUP features of a vector, the last one shorter where it must be, has a scale: its largest
# magnitude / 127 (in float32), rounded up to bfloat16. Its codes are feature / scale, rounded to the nearest integer,
# ties to even.
CacheType: TypeAlias = Literal["q8", "f16", "f32"]
CACHE_TYPES: tuple[CacheType, ...] = get_args(CacheType)
CACHE_GROUP = 32


@dataclass(frozen=True, slots=True)
class AttentionCache:
    """What one attention layer keeps per position: a key and a value for each KV head."""

    kv_heads: int
    head_dim: int


@dataclass(frozen=True, slots=True)
class LatentCache:
    """What one layer of latent attention keeps per position: one vector that all heads share.

    Attributes:
        latent: features that are key and value at once.
        rotated: features after them that are key only.
    """

    latent: int
    rotated: int


@dataclass(frozen=True, slots=True)
class DeltaCache:
    """What one layer of linear attention keeps per sequence, however long it is; also the shape of the layer.

    Attributes:
        key_heads, value_heads: value head h shares key head h // (value_heads / key_heads) with its neighbours.
        key_dim, value_dim: features of a head. The state of a value head is a matrix [key_dim, value_dim].
        width: taps of the causal convolution, so that width - 1 earlier inputs are kept.
        tiled: value head h reads key head h % key_heads instead. That is how GGUF's weights lie; what the layer
            computes is the same, so it makes no difference to equality.
    """

    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    width: int
    tiled: bool = field(default=False, compare=False)

    @property
    def channels(self) -> int:
        """Features that pass through the convolution: queries, keys and values."""
        return 2 * self.key_heads * self.key_dim + self.value_heads * self.value_dim


@dataclass(frozen=True, slots=True, eq=False)
class DeltaWeights:
    """The small weights of a layer of linear attention.

    Attributes:
        convolution: [channels, width], the last tap is that of the row itself.
        rates: [value_heads], negative.
        offsets: [value_heads].
    """

    convolution: Array
    rates: Array
    offsets: Array


CacheKind: TypeAlias = AttentionCache | LatentCache | DeltaCache


@dataclass(frozen=True, slots=True)
class AttentionRules:
    """Who sees whom, and how scores are formed.

    Attributes:
        scale: multiplies the scores.
        window: a row sees itself and the window - 1 positions before it; None for all.
        chunk: a row at position p sees from p // chunk * chunk on; None for all.
        softcap: scores become softcap * tanh(score / softcap), after the scale and before anything is added.
        causal: whether a row sees only positions up to its own; else all of its sequence, without a cache.

    Raises:
        ValueError: rules that make no sense or contradict each other.
    """

    scale: float
    window: int | None = None
    chunk: int | None = None
    softcap: float | None = None
    causal: bool = True

    def __post_init__(self) -> None:
        for name, value in (("window", self.window), ("chunk", self.chunk)):
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}, must be at least 1")
        if self.softcap is not None and not 0 < self.softcap < math.inf:
            raise ValueError(f"softcap is {self.softcap}, must be finite and above 0")
        if not self.causal and (self.window is not None or self.chunk is not None):
            raise ValueError(f"window is {self.window} and chunk {self.chunk}, but only causal attention has either")


@dataclass(frozen=True, slots=True)
class Routing:
    """How a mixture of experts chooses.

    Scores are softmax or sigmoid of the router's logits. Experts are chosen by score plus selection bias, the earlier
    of two equal ones first. Without a bias and without groups they are chosen by the logits, which have the same order
    but do not round to the same, as sigmoids of large logits do. With groups, only the experts of the `groups_kept`
    best groups can be chosen; a group counts as much as its two best experts together (DeepSeek-V3, 2024, section
    2.1.2). The weights are the scores without the bias.

    Attributes:
        top_k: experts per token.
        scoring: "softmax" over all experts, or "sigmoid" of each.
        normalise: divide the chosen weights by their sum (a softmax over the chosen, where the scoring is softmax).
        scale: multiplies the weights at last.
        groups, groups_kept: consecutive groups of equal size; 1 and 1 for none.
        weigh_inputs: multiply an expert's input by its weight instead of its output.
    """

    top_k: int
    scoring: str = "softmax"
    normalise: bool = True
    scale: float = 1.0
    groups: int = 1
    groups_kept: int = 1
    weigh_inputs: bool = False


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

    def pack_experts(
        self,
        parts: Sequence[Sequence[Tensor]],
        bias: Sequence[Sequence[Tensor | None]] | None,
        dtype: WeightType | None,
    ) -> ExpertsWeight:
        """Prepare one weight per expert (or per head), each as `pack_linear` does; all have the same shape."""
        ...

    def vector(self, tensor: Tensor) -> Array:
        """A small weight that is not multiplied as a matrix, such as a norm's, in the tensor's shape."""
        ...

    # --- steps -------------------------------------------------------------------------------------------------

    def embed(self, table: LinearWeight, token_ids: npt.NDArray[np.int32]) -> Array:
        """Rows of the table [vocabulary, features] -> [tokens, features]."""
        ...

    def rms_norm(self, x: Array, weight: Array | None, epsilon: float) -> Array:
        """x / sqrt(mean(x^2) + epsilon) * weight over the last dimension (Zhang and Sennrich 2019).

        Args:
            x: [tokens, features], or [tokens, heads, features] to normalise each head.
            weight: [features]; [heads, features] for a weight of each head; None for none.
        """
        ...

    def layer_norm(self, x: Array, weight: Array | None, bias: Array | None, epsilon: float) -> Array:
        """(x - mean(x)) / sqrt(var(x) + epsilon) * weight + bias over the last dimension (Ba et al. 2016).

        Shapes as in `rms_norm`; the variance is the mean square of the deviations.
        """
        ...

    def linear(self, x: Array, weight: LinearWeight, onto: Array | None = None) -> Array:
        """x [tokens, inputs] times the weight's transpose, plus its bias -> [tokens, outputs].

        Args:
            onto: [tokens, outputs]; the result is onto + the product, the same as `add` of the two. May be overwritten,
                and must not share memory with x.
        """
        ...

    def rotation(
        self, positions: npt.NDArray[np.int32], frequencies: npt.NDArray[np.float32], scale: float
    ) -> Rotation:
        """Cosines and sines of positions [tokens] x frequencies [rotated / 2], each times scale; made once a step."""
        ...

    def rope(self, x: Array, rotation: Rotation) -> Array:
        """Rotate x [tokens, heads, head_dim] by position (Su et al. 2021), pairing element i with i + rotated / 2.

        The first features are rotated, the rest stay as they are. May overwrite x.
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
        rules: AttentionRules,
        sinks: Array | None = None,
        slopes: Array | None = None,
    ) -> Array:
        """Attention of each row over its own sequence.

        Writes k and v into the cache first, then reads keys and values of all earlier positions from it.

        Args:
            q: [tokens, heads, head_dim]; head h reads KV head h // (heads / kv_heads).
            k, v: [tokens, kv_heads, head_dim].
            cache: this layer's cache; None attends within the batch's own rows (training, or whole sequences).
            rules: scale, window and the like.
            sinks: [heads], one more score in each head's softmax, whose weight goes nowhere (GPT-OSS, 2025).
            slopes: [heads]; slope * (seen position - own position) is added to the scores (Press et al. 2022).

        Returns:
            [tokens, heads * head_dim].
        """
        ...

    def latent_attention(
        self, q: Array, k: Array, batch: Batch, cache: LayerCache | None, *, shape: LatentCache, rules: AttentionRules
    ) -> Array:
        """Attention whose keys are shared by all heads, and whose values are the first features of the keys.

        Writes k into the cache first, then reads all earlier positions from it (DeepSeek-V2, 2024, section 2.1).

        Args:
            q: [tokens, heads, latent + rotated].
            k: [tokens, latent + rotated].
            shape: of the cache.
            rules: only scale is used.

        Returns:
            [tokens, heads, latent].
        """
        ...

    def delta_rule(
        self,
        qkv: Array,
        decay: Array,
        beta: Array,
        batch: Batch,
        cache: LayerCache | None,
        *,
        weights: DeltaWeights,
        shape: DeltaCache,
    ) -> Array:
        """Linear attention with a gated delta rule (Yang et al. 2024), one position after another.

        A causal depthwise convolution over each sequence's qkv, then SiLU; queries and keys are divided by their length
        (sqrt(sum of squares + 1e-6)), queries also by sqrt(key_dim). For each value head, with state S [key_dim,
        value_dim], in float32:

            S = S * exp(rate * softplus(decay + offset))
            S = S + outer(k, sigmoid(beta) * (v - k S))
            out = q S

        The state begins at zero where batch.state_reads is -1, else as that slot of the cache holds it, and ends in
        slot batch.state_writes, together with the last width - 1 rows of qkv. Without a cache it begins at zero.

        Args:
            qkv: [tokens, shape.channels]: queries of all key heads, keys of all key heads, values of all value heads.
            decay, beta: [tokens, value_heads].
            weights: the layer's.
            shape: of the layer, and of its cache.

        Returns:
            [tokens, value_heads, value_dim].
        """
        ...

    def head_linear(self, x: Array, weight: ExpertsWeight) -> Array:
        """x [tokens, heads, inputs], each head times its own weight -> [tokens, heads, outputs]."""
        ...

    def gated_mlp(
        self,
        x: Array,
        gate_up: LinearWeight,
        down: LinearWeight,
        activation: str,
        limit: float | None = None,
        *,
        onto: Array | None = None,
    ) -> Array:
        """down(activation(gate(x)) * up(x)); gate_up holds gate's rows, then up's.

        Args:
            activation: one that `activate` knows; or "clamped_swiglu" (GPT-OSS, 2025): with gate = min(gate, limit) and
                up = clamp(up, -limit, limit), gate * sigmoid(1.702 * gate) * (up + 1).
            limit: of clamped_swiglu, which needs it.
            onto: [tokens, outputs], as in `linear`, but may be x.
        """
        ...

    def experts(
        self,
        x: Array,
        router_logits: Array,
        gate_up: ExpertsWeight,
        down: ExpertsWeight,
        *,
        selection_bias: Array | None,
        routing: Routing,
        activation: str,
        limit: float | None = None,
    ) -> Array:
        """For each row the weighed sum of what its chosen experts make of it, each a `gated_mlp`.

        The sum runs in the order of the experts' numbers.

        Args:
            x: [tokens, features].
            router_logits: [tokens, experts].
            selection_bias: [experts], see `Routing`.

        Returns:
            [tokens, features]; x stays as it is.
        """
        ...

    def activate(self, x: Array, activation: str) -> Array:
        """Element by element: "silu", "gelu" (with erf), "gelu_tanh" (Hendrycks and Gimpel 2016), "relu", "sigmoid",
        "tanh". May overwrite x."""
        ...

    def gate(self, x: Array, gates: Array, activation: str) -> Array:
        """x * activation(gates), with gates in x's shape or [tokens, 1]. May overwrite x."""
        ...

    def softcap(self, x: Array, cap: float) -> Array:
        """cap * tanh(x / cap). May overwrite x."""
        ...

    def scale(self, x: Array, factor: float | npt.NDArray[np.float32]) -> Array:
        """x times a number, or each row times its own [tokens]. May overwrite x."""
        ...

    def add(self, x: Array, y: Array) -> Array:
        """x + y. May overwrite x."""
        ...

    def concatenate(self, parts: Sequence[Array]) -> Array:
        """Arrays side by side along their last dimension; the others are equal."""
        ...

    def select_rows(self, x: Array, rows: npt.NDArray[np.int32]) -> Array:
        """The given rows of x, in the given order."""
        ...

    # --- cache and results -------------------------------------------------------------------------------------

    def create_cache(
        self, layers: Sequence[CacheKind], blocks: int, block_size: int, states: int = 0
    ) -> list[LayerCache]:
        """One cache per layer, to be shared by all sequences.

        Args:
            blocks, block_size: layers that keep something per position have room for blocks * block_size positions.
            states: layers that keep something per sequence have so many slots.
        """
        ...

    def copy_block(self, cache: LayerCache, source: int, target: int) -> None:
        """Have a block hold what another holds, in a layer that keeps something per position."""
        ...

    def cache_bytes(self, layers: Sequence[CacheKind]) -> int:
        """Bytes that one position takes in the caches of all layers."""
        ...

    def state_bytes(self, layers: Sequence[CacheKind]) -> int:
        """Bytes that one slot takes in the caches of all layers that keep something per sequence."""
        ...

    def available_bytes(self) -> int:
        """Bytes that are left where caches live: in this machine's memory, or in the device's."""
        ...

    def graphed(self, forward: Forward) -> Forward:
        """The same function for one thread that calls it for step after step; each call overwrites what the one before
        returned.

        A backend may capture the operations of a step as a graph, and repeat them for other steps of as many rows,
        sequences and wanted logits without asking `forward`. It does so only where these numbers alone decide what
        the operations are: once a model looks at values in Python, it is asked for every step.
        """
        ...

    def to_numpy(self, x: Array) -> npt.NDArray[np.float32]:
        """x as a float32 array in this process's memory."""
        ...
