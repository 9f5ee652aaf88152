"""From the parts of a model to memory and speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from freehold.engine.memory import SLOTS_PER_SEQUENCE
from freehold.engine.types import EngineOptions
from freehold.errors import InvalidRequest
from freehold.fitting.needs import Cache, weights_read, workspace_bytes
from freehold.fitting.parts import active_parameters, parameters, weight_bytes
from freehold.fitting.subject import Subject
from freehold.models import Decoder
from freehold.ops.base import CacheType
from freehold.tensors import WeightType

DEFAULT_CONTEXT = 8192
DEFAULT_TYPES: tuple[WeightType | None, ...] = (None, WeightType.F32, WeightType.F16, WeightType.Q8, WeightType.Q4)


@dataclass(frozen=True, slots=True)
class Resources:
    """What there is.

    Attributes:
        available_bytes: memory that the model may take.
        bytes_per_second: at which weights are read.
    """

    available_bytes: int
    bytes_per_second: float


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked for: so many users at the same time, each at the end of a context of so many positions.

    Attributes:
        cache_type: what keys and values are held in; None for what goes with the weights.
    """

    context: int
    users: int
    cache_type: CacheType | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a model needs where its weights are held in one type, and how fast it is then.

    Attributes:
        dtype: the type; None as released.
        weight_bytes, cache_bytes: memory for the weights, and for keys and values of all users at the full context.
        state_bytes: memory for what some layers keep per user, however long the context; 0 for most families.
        workspace_bytes: memory for the largest step: a piece of a prompt, and logits of all users.
        fits: whether all of it is available.
        tokens_per_second: for each user, where reading weights and cache from memory is what takes the time; None for
            an encoder, which writes no tokens.
    """

    dtype: WeightType | None
    weight_bytes: int
    cache_bytes: int
    state_bytes: int
    workspace_bytes: int
    cache_bytes_per_token: int
    fits: bool
    tokens_per_second: float | None

    @property
    def memory_bytes(self) -> int:
        """All of it together."""
        return self.weight_bytes + self.cache_bytes + self.state_bytes + self.workspace_bytes


@dataclass(frozen=True, slots=True)
class Fit:
    """A model on this machine.

    Attributes:
        parameters, active_parameters: all, and those that a token is computed with, see `active_parameters`.
        context_length: the model's own.
        context, users, cache_type: what the estimates are for.
        licence: as an identifier, or None.
        available_bytes: memory that is free now.
        estimates: one for each way to hold the weights; without "as released" where config.json does not tell how.
    """

    name: str
    architecture: str
    parameters: int
    active_parameters: int
    context_length: int
    context: int
    users: int
    cache_type: CacheType | None
    licence: str | None
    available_bytes: int
    estimates: tuple[Estimate, ...]

    @property
    def best(self) -> Estimate | None:
        """The widest weights that fit, but no wider than they were released; None where nothing fits."""
        released = next((one.weight_bytes for one in self.estimates if one.dtype in (None, WeightType.F16)), None)
        fitting = [one for one in self.estimates if one.fits]
        sensible = [one for one in fitting if released is None or one.weight_bytes <= released] or fitting
        return max(sensible, key=lambda one: one.weight_bytes) if sensible else None

    @property
    def natural(self) -> Estimate:
        """As released; where that is not known as float16; where nobody asked for these as the first that was."""
        for dtype in (None, WeightType.F16):
            for one in self.estimates:
                if one.dtype is dtype:
                    return one
        return self.estimates[0]

    @property
    def smallest(self) -> Estimate:
        """The one that needs least."""
        return min(self.estimates, key=lambda one: one.memory_bytes)


def fit(
    subject: Subject,
    resources: Resources,
    *,
    context: int | None = None,
    users: int = 1,
    types: Sequence[WeightType | None] = DEFAULT_TYPES,
    cache_type: CacheType | None = None,
) -> Fit:
    """Estimate a model in each of the types.

    Args:
        context: positions of each user; None for 8192, or for the model's own where that is less.
        users: sequences at the same time.
        cache_type: what keys and values are held in; None for what goes with the weights.

    Raises:
        InvalidRequest: the context is longer than the model's.
    """
    config = subject.model.config
    if context is not None and context > config.context_length:
        raise InvalidRequest(f"context is {context}; the model's is {config.context_length}", parameter="context")
    own = min(config.context_length, DEFAULT_CONTEXT) if context is None else context
    demand = Demand(own, users, cache_type)
    known = [one for one in types if one is not None or subject.is_known]
    return Fit(
        name=subject.name,
        architecture=config.architecture,
        parameters=parameters(subject.parts),
        active_parameters=active_parameters(subject.parts, counts_embedding=subject.counts_embedding),
        context_length=config.context_length,
        context=demand.context,
        users=users,
        cache_type=cache_type,
        licence=subject.licence,
        available_bytes=resources.available_bytes,
        estimates=tuple(estimate(subject, one, demand, resources) for one in known),
    )


def estimate(subject: Subject, dtype: WeightType | None, demand: Demand, resources: Resources) -> Estimate:
    """Estimate a model whose weights are held in one type."""
    cache = Cache.of(subject, dtype, demand.cache_type)
    block = EngineOptions().block_size
    positions = -(-demand.context // block) * block
    kept = cache.bytes_read(demand.context) + 2 * cache.state_bytes
    read = weights_read(subject, dtype, demand.users) + demand.users * kept
    found = Estimate(
        dtype=dtype,
        weight_bytes=weight_bytes(subject.parts, subject.stored, dtype),
        cache_bytes=demand.users * positions * cache.bytes_per_token,
        state_bytes=demand.users * SLOTS_PER_SEQUENCE * cache.state_bytes,
        workspace_bytes=workspace_bytes(subject, demand.users),
        cache_bytes_per_token=cache.bytes_per_token,
        fits=False,
        tokens_per_second=resources.bytes_per_second / read if isinstance(subject.model, Decoder) else None,
    )
    return replace(found, fits=found.memory_bytes <= resources.available_bytes)
