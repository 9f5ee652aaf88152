"""Our own description of a model. Foreign configurations are translated into it once; the rest reads only this."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.ops.base import Routing


@dataclass(frozen=True, slots=True)
class LinearScaling:
    """Positions divided by `factor` (Chen et al. 2023)."""

    factor: float


@dataclass(frozen=True, slots=True)
class Llama3Scaling:
    """Llama 3.1's scaling: long wavelengths slowed by `factor`, short ones kept, a ramp between.

    Attributes:
        factor: how much the slow frequencies are divided by.
        low_frequency_factor: wavelengths above original_context / this are divided.
        high_frequency_factor: wavelengths below original_context / this are kept.
        original_context: positions the model was first trained on.
    """

    factor: float
    low_frequency_factor: float
    high_frequency_factor: float
    original_context: int


@dataclass(frozen=True, slots=True)
class YarnScaling:
    """YaRN (Peng et al. 2023).

    Attributes:
        factor: extension of the context.
        original_context: positions the model was first trained on.
        beta_fast, beta_slow: rotations at which interpolation begins and is complete.
        attention_factor: multiplies cosines and sines; None takes 0.1 ln(factor) + 1.
        truncate: whether the ramp begins and ends at whole dimensions.
    """

    factor: float
    original_context: int
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None
    truncate: bool = True


@dataclass(frozen=True, slots=True)
class FrequencyFactors:
    """Each frequency divided by its own factor, as GGUF files store a scaling of any kind."""

    factors: tuple[float, ...]


RopeScaling = LinearScaling | Llama3Scaling | YarnScaling | FrequencyFactors


@dataclass(frozen=True, slots=True)
class RopeConfig:
    """Rotary position embedding.

    Attributes:
        theta: base of the geometric sequence of frequencies.
        dimensions: features of a head that are rotated, its first ones.
        scaling: how the frequencies are changed for long contexts.
    """

    theta: float
    dimensions: int
    scaling: RopeScaling | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertsConfig:
    """A mixture of experts.

    Attributes:
        count: experts in a layer.
        intermediate: width of each expert's gated MLP.
        routing: how a token's experts are chosen and weighed.
        shared: width of the gated MLP that every token passes through besides; 0 for none.
    """

    count: int
    intermediate: int
    routing: Routing
    shared: int = 0


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A decoder-only transformer. A family that needs more numbers derives from this one.

    Attributes:
        architecture: the registry's name for the family, such as LlamaForCausalLM.
        vocabulary: rows of the embedding.
        hidden: width of the residual stream.
        intermediate: width of the (gated) MLP.
        layers, heads, kv_heads, head_dim: shape of the attention.
        context_length: most positions the model was made for.
        norm_epsilon: added to the mean square (or variance) before its root.
        rope: rotary embedding; None for positions given in another way.
        activation: of the MLP, one that `Ops.gated_mlp` knows.
        windows: per layer the attention window in positions, None for full attention.
        qkv_bias, output_bias, mlp_bias: whether those projections have biases.
        tied_embeddings: whether the output head is the embedding.
        query_scale: multiplies the scores; None for 1 / sqrt(head_dim).
        embedding_scale: multiplies the embedding.
        logit_softcap: bounds the logits, see `Ops.softcap`.
        experts: the mixture of experts, in layers that have one.
    """

    architecture: str
    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    context_length: int
    norm_epsilon: float
    rope: RopeConfig | None
    activation: str
    windows: tuple[int | None, ...]
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    tied_embeddings: bool = False
    query_scale: float | None = None
    embedding_scale: float = 1.0
    logit_softcap: float | None = None
    experts: ExpertsConfig | None = None

    @property
    def attention_scale(self) -> float:
        """Multiplies the scores: 1 / sqrt(head_dim) unless the model says otherwise."""
        return float(self.head_dim**-0.5) if self.query_scale is None else self.query_scale
