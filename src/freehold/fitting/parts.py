"""What a model is made of: its matrices and vectors, how often there are such, and how many of them a token passes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import prod

from freehold.models.blocks import ExpertsLinear, Leaf, Linear, MixtureOfExperts, Module
from freehold.models.decoder import Decoder
from freehold.models.network import Network
from freehold.ops.native.sizes import held_bytes
from freehold.tensors import TensorInfo, WeightType

# How a parameter, by our name for it, is stored.
Stored = Callable[[str], TensorInfo]

_FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Part:
    """Parameters that are alike.

    Attributes:
        parameter: our name for the first of them.
        shape: of each.
        leaf: what holds them.
        count: how many there are: one, or one for each expert.
        chosen: how many of them a token passes; None for all.
        looked_up: a token reads a single row of it.
    """

    parameter: str
    shape: tuple[int, ...]
    leaf: Leaf
    count: int = 1
    chosen: int | None = None
    looked_up: bool = False

    @property
    def parameters(self) -> int:
        """Numbers in all of them."""
        return self.count * prod(self.shape)

    def bytes(self, stored: Stored, dtype: WeightType | None) -> int:
        """Memory that all of them take on the native backend where `dtype` is asked for; None keeps what is stored."""
        if not isinstance(self.leaf, Linear | ExpertsLinear):
            return self.parameters * _FLOAT_BYTES
        return self.count * held_bytes(stored(self.parameter), self.leaf.held_as(dtype))

    def expected(self, tokens: int) -> float:
        """How many of them are read for so many tokens together, where each token's experts are as likely as any."""
        if self.chosen is None:
            return self.count
        return self.count * (1 - (1 - self.chosen / self.count) ** tokens)


def parts_of(model: Network) -> list[Part]:
    """All parameters of a model; experts of one layer that have the same place count as one part."""
    routed = {
        id(leaf): node.routing.top_k
        for node in _nodes(model)
        if isinstance(node, MixtureOfExperts)
        for leaf in (node.gate_up, node.down)
    }
    embedding = model.embedding if isinstance(model, Decoder) and not model.config.tied_embeddings else None
    parts = []
    for path, leaf in model.leaves():
        count = leaf.count if isinstance(leaf, ExpertsLinear) else 1
        for name, shape in _different(leaf).items():
            parts.append(Part(f"{path}.{name}", shape, leaf, count, routed.get(id(leaf)), leaf is embedding))
    return parts


def parameters(parts: Iterable[Part]) -> int:
    """Numbers that were trained."""
    return sum(part.parameters for part in parts)


def active_parameters(parts: Iterable[Part], *, counts_embedding: bool = True) -> int:
    """Numbers that a token is computed with: all but those of the experts that it is not routed to.

    Attention, shared experts, router and head count in full, and so does the embedding, although a token reads one row
    of it: so Mistral AI, Meta and Alibaba count (12.9 of Mixtral's 46.7 billion, 3.3 of Qwen3-30B-A3B's 30.5).

    Args:
        counts_embedding: False leaves the embedding out where the head is another matrix, as OpenAI counts (3.6 of
            GPT-OSS's 20.9 billion).
    """
    total = 0
    for part in parts:
        if part.looked_up and not counts_embedding:
            continue
        total += part.parameters if part.chosen is None else part.parameters // part.count * part.chosen
    return total


def weight_bytes(parts: Iterable[Part], stored: Stored, dtype: WeightType | None) -> int:
    """Memory that the weights take on the native backend.

    Raises:
        UnsupportedTensorType: one is stored in a type that we do not compute with.
    """
    return sum(part.bytes(stored, dtype) for part in parts)


def _different(leaf: Leaf) -> dict[str, tuple[int, ...]]:
    """Shapes by name; of experts only the first one's."""
    if not isinstance(leaf, ExpertsLinear):
        return dict(leaf.parameters())
    one = ExpertsLinear(1, leaf.inputs, leaf.parts, bias=leaf.bias)
    return dict(one.parameters())


def _nodes(node: Module) -> Iterator[Module]:
    """A node and all below it."""
    yield node
    for child in vars(node).values():
        for item in child if isinstance(child, list) else [child]:
            if isinstance(item, Module):
                yield from _nodes(item)
