"""One layer of a decoder: a mixer and an MLP around a residual stream."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

from freehold.models.blocks.attention import Mixer, Step
from freehold.models.blocks.leaf import Module, Norm
from freehold.ops.base import Array, LayerCache, Ops


class FeedForward(Module):
    """What a layer does to each row by itself: an MLP of any kind."""

    @abstractmethod
    def __call__(self, ops: Ops, x: Array, onto: Array | None = None) -> Array:
        """[tokens, hidden] -> [tokens, hidden]. Leaves x as it is, unless that is `onto`.

        Args:
            onto: [tokens, hidden], what the result is added to. May be overwritten, and may be x.
        """


class Layer(Module):
    """A layer of a decoder, whatever its wiring.

    Attributes:
        attention: its mixer.
    """

    attention: Mixer

    @abstractmethod
    def __call__(self, ops: Ops, x: Array, step: Step, cache: LayerCache | None) -> Array:
        """[tokens, hidden] -> [tokens, hidden]. May overwrite x."""


class Block(Layer):
    """x + attention(norm(x)), then x + mlp(norm(x)).

    Args:
        norm: makes a norm over the residual stream.
        post_norms: whether what attention and MLP give is normalised too, before it is added.
    """

    def __init__(self, *, attention: Mixer, mlp: FeedForward, norm: Callable[[], Norm], post_norms: bool = False):
        self.attention_norm = norm()
        self.attention = attention
        self.attention_post_norm = norm() if post_norms else None
        self.mlp_norm = norm()
        self.mlp = mlp
        self.mlp_post_norm = norm() if post_norms else None

    def __call__(self, ops: Ops, x: Array, step: Step, cache: LayerCache | None) -> Array:
        seen = self.attention_norm(ops, x)
        if self.attention_post_norm is None:
            x = self.attention(ops, seen, step, cache, onto=x)
        else:
            x = ops.add(x, self.attention_post_norm(ops, self.attention(ops, seen, step, cache)))
        seen = self.mlp_norm(ops, x)
        if self.mlp_post_norm is None:
            return self.mlp(ops, seen, onto=x)
        return ops.add(x, self.mlp_post_norm(ops, self.mlp(ops, seen)))


class ParallelBlock(Layer):
    """x + attention(norm(x)) + mlp(norm(x)), both from the same x (Wang and Komatsuzaki 2021).

    Args:
        norm: makes a norm over the residual stream.
        shared_norm: whether both read the same normalised x; else each has a norm of its own.
    """

    def __init__(self, *, attention: Mixer, mlp: FeedForward, norm: Callable[[], Norm], shared_norm: bool):
        self.norm = norm() if shared_norm else None
        self.side_attention_norm = None if shared_norm else norm()
        self.attention = attention
        self.side_mlp_norm = None if shared_norm else norm()
        self.mlp = mlp

    def __call__(self, ops: Ops, x: Array, step: Step, cache: LayerCache | None) -> Array:
        shared = None if self.norm is None else self.norm(ops, x)
        seen = shared if self.side_attention_norm is None else self.side_attention_norm(ops, x)
        fed = shared if self.side_mlp_norm is None else self.side_mlp_norm(ops, x)
        return self.mlp(ops, fed, onto=self.attention(ops, seen, step, cache, onto=x))
