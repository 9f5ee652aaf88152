"""Frequencies of the rotary embedding, with the scalings that released models use."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from freehold.models.config import FrequencyFactors, LinearScaling, Llama3Scaling, RopeConfig, YarnScaling

Float32Array = npt.NDArray[np.float32]


def rope_frequencies(rope: RopeConfig) -> tuple[Float32Array, float]:
    """Angles per position, and what cosines and sines are multiplied by.

    Computed in float32, step by step as the models were trained.

    Returns:
        [rope.dimensions / 2] float32 and the multiplier.
    """
    exponents = np.arange(0, rope.dimensions, 2, dtype=np.float32) / np.float32(rope.dimensions)
    frequencies = np.float32(1.0) / np.power(np.float32(rope.theta), exponents)
    match rope.scaling:
        case None:
            return frequencies, 1.0
        case LinearScaling(factor):
            return frequencies / np.float32(factor), 1.0
        case Llama3Scaling():
            return _llama3(frequencies, rope.scaling), 1.0
        case YarnScaling():
            return _yarn(frequencies, rope, rope.scaling)
        case FrequencyFactors(factors):
            return frequencies / np.asarray(factors, np.float32), 1.0


def _llama3(frequencies: Float32Array, scaling: Llama3Scaling) -> Float32Array:
    """Meta's llama-models, `apply_scaling`: keep, divide, or blend by wavelength."""
    wavelengths = 2 * math.pi / frequencies
    low, high = scaling.low_frequency_factor, scaling.high_frequency_factor
    rotations = scaling.original_context / wavelengths
    # Llama 4 Scout has both the same: there is no ramp between what is divided and what is kept.
    ramp = (rotations - low) / (high - low) if high > low else rotations >= high
    smooth = np.clip(ramp, 0.0, 1.0).astype(np.float32)
    blended: Float32Array = (1 - smooth) * frequencies / np.float32(scaling.factor) + smooth * frequencies
    return blended


def _yarn(frequencies: Float32Array, rope: RopeConfig, scaling: YarnScaling) -> tuple[Float32Array, float]:
    """Peng et al. 2023, section 3.2: interpolate the slow dimensions, keep the fast ones, ramp between."""

    def dimension_with(rotations: float) -> float:
        return (
            rope.dimensions
            * math.log(scaling.original_context / (rotations * 2 * math.pi))
            / (2 * math.log(rope.theta))
        )

    low, high = dimension_with(scaling.beta_fast), dimension_with(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, rope.dimensions - 1)
    span = max(high - low, 0.001)  # a ramp of no width would divide by zero
    ramp = np.clip((np.arange(rope.dimensions // 2, dtype=np.float32) - low) / np.float32(span), 0, 1)
    interpolated: Float32Array = frequencies / np.float32(scaling.factor) * ramp + frequencies * (1 - ramp)
    multiplier = scaling.attention_factor
    if multiplier is None:
        multiplier = yarn_attention_factor(scaling.factor)
    return interpolated.astype(np.float32), multiplier


def yarn_attention_factor(factor: float) -> float:
    """What cosines and sines are multiplied by where a model says nothing else: 0.1 ln(factor) + 1."""
    return 0.1 * math.log(factor) + 1.0 if factor > 1 else 1.0
