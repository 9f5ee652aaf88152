"""Leaves of a model: the only places that hold weights.

A model is a tree of `Module`s whose attribute names give every weight its name: `blocks.0.attention.qkv`. Adapters
replace leaves, so no family knows about them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping

from freehold.ops.base import Array, LinearWeight, Ops
from freehold.tensors import Tensor, WeightType

# Gives the stored tensor of a parameter's full name.
Source = Callable[[str], Tensor]


class Module:
    """A node of the tree. Its children are its attributes that are modules, or lists of modules."""

    def leaves(self, path: str = "") -> Iterator[tuple[str, Leaf]]:
        """Every leaf below this node with its full name, in the order of the attributes."""
        for name, child in vars(self).items():
            if isinstance(child, Module):
                yield from child.leaves(f"{path}{name}.")
            elif isinstance(child, list):
                for index, item in enumerate(child):
                    if isinstance(item, Module):
                        yield from item.leaves(f"{path}{name}.{index}.")


class Leaf(Module, ABC):
    """Holds one packed weight, made of one or more parameters of a checkpoint."""

    def leaves(self, path: str = "") -> Iterator[tuple[str, Leaf]]:
        yield path.removesuffix("."), self

    @abstractmethod
    def parameters(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of every parameter, by its name below this leaf."""

    def held_as(self, dtype: WeightType | None) -> WeightType | None:
        """What the leaf's matrices are held in where `dtype` is asked for."""
        return dtype

    @abstractmethod
    def load(self, ops: Ops, source: Source, dtype: WeightType | None) -> None:
        """Pack the parameters that `source` gives for the names in `parameters()`."""


class Linear(Leaf):
    """Projections that read the same input, stacked into one product.

    Args:
        inputs: features in.
        parts: output features of each projection, by its name; the name "" stands for a single one.
        bias: whether each projection has a bias.
        sensitive: hold at 8 bits where 4 are asked for, since the whole vocabulary reads it.
    """

    weight: LinearWeight

    def __init__(self, inputs: int, parts: Mapping[str, int] | int, *, bias: bool = False, sensitive: bool = False):
        self.inputs = inputs
        self.parts = {"": parts} if isinstance(parts, int) else dict(parts)
        self.bias = bias
        self.sensitive = sensitive

    def __call__(self, ops: Ops, x: Array) -> Array:
        return ops.linear(x, self.weight)

    def parameters(self) -> Mapping[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        for part, outputs in self.parts.items():
            shapes[_join(part, "weight")] = (outputs, self.inputs)
            if self.bias:
                shapes[_join(part, "bias")] = (outputs,)
        return shapes

    def held_as(self, dtype: WeightType | None) -> WeightType | None:
        return WeightType.Q8 if self.sensitive and dtype is WeightType.Q4 else dtype

    def load(self, ops: Ops, source: Source, dtype: WeightType | None) -> None:
        weights = [source(_join(part, "weight")) for part in self.parts]
        biases = [source(_join(part, "bias")) for part in self.parts] if self.bias else None
        self.weight = ops.pack_linear(weights, biases, self.held_as(dtype))


class RMSNorm(Leaf):
    """Root-mean-square normalisation over the features."""

    weight: Array

    def __init__(self, features: int, epsilon: float):
        self.features = features
        self.epsilon = epsilon

    def __call__(self, ops: Ops, x: Array) -> Array:
        return ops.rms_norm(x, self.weight, self.epsilon)

    def parameters(self) -> Mapping[str, tuple[int, ...]]:
        return {"weight": (self.features,)}

    def load(self, ops: Ops, source: Source, dtype: WeightType | None) -> None:
        self.weight = ops.vector(source("weight"))


def _join(part: str, name: str) -> str:
    return f"{part}.{name}" if part else name
