"""Leaves of a model: the only places that hold weights.

A model is a tree of `Module`s whose attribute names give every weight its name: `blocks.0.attention.qkv`. Adapters
replace leaves, so no family knows about them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from enum import Enum, auto

import numpy as np
import numpy.typing as npt

from freehold.ops.base import Array, ExpertsWeight, LinearWeight, Ops
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


class PackedLeaf(Leaf):
    """A leaf whose weight is packed, which takes time, so that it may be kept as it is then.

    Attributes:
        weight: the packed weight, all that the leaf holds.
    """

    weight: LinearWeight | ExpertsWeight


class Precision(Enum):
    """What becomes of a matrix where a type is asked for."""

    AS_ASKED = auto()
    EIGHT_BITS_AT_LEAST = auto()  # for what the whole vocabulary reads
    AS_STORED = auto()  # for small matrices whose results are compared with each other, such as routers


def held_as(precision: Precision, dtype: WeightType | None) -> WeightType | None:
    """The type to hold a matrix in."""
    if precision is Precision.AS_STORED:
        return None
    eight = precision is Precision.EIGHT_BITS_AT_LEAST and dtype is WeightType.Q4
    return WeightType.Q8 if eight else dtype


class Linear(PackedLeaf):
    """Projections that read the same input, stacked into one product.

    Args:
        inputs: features in.
        parts: output features of each projection, by its name; the name "" stands for a single one.
        bias: whether the projections have biases; or the names of those that have.
        precision: what becomes of it where a type is asked for.
    """

    weight: LinearWeight

    def __init__(
        self,
        inputs: int,
        parts: Mapping[str, int] | int,
        *,
        bias: bool | Collection[str] = False,
        precision: Precision = Precision.AS_ASKED,
    ):
        self.inputs = inputs
        self.parts = {"": parts} if isinstance(parts, int) else dict(parts)
        self.biased = frozenset(self.parts if bias is True else bias or ())
        self.precision = precision

    def __call__(self, ops: Ops, x: Array, onto: Array | None = None) -> Array:
        """[tokens, inputs] -> [tokens, outputs]; `onto` as in `Ops.linear`."""
        return ops.linear(x, self.weight, onto)

    def parameters(self) -> Mapping[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        for part, outputs in self.parts.items():
            shapes[_join(part, "weight")] = (outputs, self.inputs)
            if part in self.biased:
                shapes[_join(part, "bias")] = (outputs,)
        return shapes

    def held_as(self, dtype: WeightType | None) -> WeightType | None:
        return held_as(self.precision, dtype)

    def load(self, ops: Ops, source: Source, dtype: WeightType | None) -> None:
        weights = [source(_join(part, "weight")) for part in self.parts]
        biases = [source(_join(part, "bias")) if part in self.biased else None for part in self.parts]
        self.weight = ops.pack_linear(weights, biases if self.biased else None, self.held_as(dtype))


class ExpertsLinear(PackedLeaf):
    """The same projections once for each expert (or head): `gate.3.weight` is the gate of expert 3.

    Args:
        count: experts.
        inputs: features in.
        parts: output features of each projection, by its name; the name "" stands for a single one.
        bias: whether each projection has a bias.
    """

    weight: ExpertsWeight

    def __init__(self, count: int, inputs: int, parts: Mapping[str, int] | int, *, bias: bool = False):
        self.count = count
        self.inputs = inputs
        self.parts = {"": parts} if isinstance(parts, int) else dict(parts)
        self.bias = bias

    def parameters(self) -> Mapping[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        for part, outputs in self.parts.items():
            for expert in range(self.count):
                name = _join(part, str(expert))
                shapes[f"{name}.weight"] = (outputs, self.inputs)
                if self.bias:
                    shapes[f"{name}.bias"] = (outputs,)
        return shapes

    def load(self, ops: Ops, source: Source, dtype: WeightType | None) -> None:
        def of(expert: int, kind: str) -> list[Tensor]:
            return [source(f"{_join(part, str(expert))}.{kind}") for part in self.parts]

        experts = range(self.count)
        biases = [of(expert, "bias") for expert in experts] if self.bias else None
        self.weight = ops.pack_experts([of(expert, "weight") for expert in experts], biases, self.held_as(dtype))


class Vector(Leaf):
    """A small weight that is not multiplied as a matrix.

    Args:
        shape: its shape.
        kind: what it is called below this leaf, "weight" or "bias".
    """

    weight: Array

    def __init__(self, *shape: int, kind: str = "weight"):
        self.shape = shape
        self.kind = kind

    def parameters(self) -> Mapping[str, tuple[int, ...]]:
        return {self.kind: self.shape}

    def held_as(self, dtype: WeightType | None) -> WeightType | None:
        return held_as(Precision.AS_STORED, dtype)

    def load(self, ops: Ops, source: Source, dtype: WeightType | None) -> None:
        self.weight = ops.vector(source(self.kind))


class Constant(Leaf):
    """Numbers that follow from the configuration, so that no checkpoint holds them."""

    weight: Array

    def __init__(self, values: npt.NDArray[np.float32]):
        self.values = values

    def parameters(self) -> Mapping[str, tuple[int, ...]]:
        return {}

    def load(self, ops: Ops, source: Source, dtype: WeightType | None) -> None:
        self.weight = ops.vector(Tensor.from_array("constant", self.values))


class Norm(Leaf, ABC):
    """Normalises the last dimension."""

    @abstractmethod
    def __call__(self, ops: Ops, x: Array) -> Array: ...


class RMSNorm(Norm):
    """Root-mean-square normalisation.

    Args:
        shape: [features], or [heads, features] for a weight of each head.
        epsilon: added to the mean square.
    """

    weight: Array

    def __init__(self, *shape: int, epsilon: float):
        self.shape = shape
        self.epsilon = epsilon

    def __call__(self, ops: Ops, x: Array) -> Array:
        return ops.rms_norm(x, self.weight, self.epsilon)

    def parameters(self) -> Mapping[str, tuple[int, ...]]:
        return {"weight": self.shape}

    def load(self, ops: Ops, source: Source, dtype: WeightType | None) -> None:
        self.weight = ops.vector(source("weight"))


class LayerNorm(Norm):
    """Normalisation to mean 0 and variance 1.

    Args:
        shape: [features], or [heads, features] for a weight of each head.
        epsilon: added to the variance.
        bias: whether something is added at last.
    """

    weight: Array
    bias: Array | None = None

    def __init__(self, *shape: int, epsilon: float, bias: bool = True):
        self.shape = shape
        self.epsilon = epsilon
        self.biased = bias

    def __call__(self, ops: Ops, x: Array) -> Array:
        return ops.layer_norm(x, self.weight, self.bias, self.epsilon)

    def parameters(self) -> Mapping[str, tuple[int, ...]]:
        return {"weight": self.shape, "bias": self.shape} if self.biased else {"weight": self.shape}

    def load(self, ops: Ops, source: Source, dtype: WeightType | None) -> None:
        self.weight = ops.vector(source("weight"))
        if self.biased:
            self.bias = ops.vector(source("bias"))


def _join(part: str, name: str) -> str:
    return f"{part}.{name}" if part else name
