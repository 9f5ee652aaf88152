"""Building blocks that the families share; their differences are keyword arguments."""

from freehold.models.blocks.attention import Attention, Mixer, Step
from freehold.models.blocks.block import Block, FeedForward, Layer, ParallelBlock
from freehold.models.blocks.experts import MixtureOfExperts
from freehold.models.blocks.latent import LatentAttention
from freehold.models.blocks.leaf import (
    Constant,
    ExpertsLinear,
    LayerNorm,
    Leaf,
    Linear,
    Module,
    Norm,
    Precision,
    RMSNorm,
    Source,
    Vector,
)
from freehold.models.blocks.mlp import MLP, GatedMLP

__all__ = [
    "MLP",
    "Attention",
    "Block",
    "Constant",
    "ExpertsLinear",
    "FeedForward",
    "GatedMLP",
    "LatentAttention",
    "Layer",
    "LayerNorm",
    "Leaf",
    "Linear",
    "Mixer",
    "MixtureOfExperts",
    "Module",
    "Norm",
    "ParallelBlock",
    "Precision",
    "RMSNorm",
    "Source",
    "Step",
    "Vector",
]
