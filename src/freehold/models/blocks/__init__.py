"""Building blocks that the families share; their differences are keyword arguments."""

from freehold.models.blocks.attention import Attention, Step
from freehold.models.blocks.block import Block
from freehold.models.blocks.leaf import Leaf, Linear, Module, RMSNorm, Source
from freehold.models.blocks.mlp import GatedMLP

__all__ = ["Attention", "Block", "GatedMLP", "Leaf", "Linear", "Module", "RMSNorm", "Source", "Step"]
