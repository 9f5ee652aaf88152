"""What the server needs of a model, and the models that it serves by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from time import time
from typing import Any, Protocol, TypeAlias

from freehold import __version__
from freehold.engine.admission import Admission, Permit
from freehold.engine.observer import EngineStats, Observer
from freehold.engine.types import GenerationRequest, Output, SamplingOptions
from freehold.errors import InvalidRequest, ModelNotFound
from freehold.text.dialects import Dialect
from freehold.text.tokenizer import Tokenizer


class Ticket(Protocol):
    """A submitted sequence; see `freehold.engine.engine.Ticket`."""

    def cancel(self) -> None: ...


class Engine(Protocol):
    """What computes; `freehold.engine.engine.Engine` is one. See there for the meaning of each method."""

    @property
    def admission(self) -> Admission: ...
    @property
    def context_length(self) -> int: ...
    def submit(self, request: GenerationRequest, sink: Callable[[Output], None], permit: Permit) -> Ticket: ...
    def stats(self) -> EngineStats: ...
    def close(self) -> None: ...


class Template(Protocol):
    """A chat template; `freehold.text.ChatTemplate` is one."""

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        variables: Mapping[str, object] | None = None,
    ) -> str: ...


class Numbers(Protocol):
    """An array, of which the server only wants to know whether it is the same as another."""

    def tobytes(self) -> bytes: ...


class Shape(Protocol):
    """The one thing about a model's shape that requests are checked against."""

    @property
    def vocabulary(self) -> int: ...


class Model(Protocol):
    """A loaded model; `freehold.api.Model` is one. See there for what raises where text or template are absent."""

    @property
    def name(self) -> str: ...
    @property
    def config(self) -> Shape: ...
    @property
    def engine(self) -> Engine: ...
    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def template(self) -> Template: ...
    @property
    def dialect(self) -> Dialect: ...
    @property
    def recommended(self) -> SamplingOptions: ...
    def logits(self, sequences: Sequence[Sequence[int]]) -> Sequence[Numbers]: ...
    def close(self) -> None: ...


Loader: TypeAlias = Callable[[Observer], Model]
"""Loads a model, which may take long, and has the observer told of its requests' times."""


@dataclass(frozen=True, slots=True)
class Served:
    """A model under the name by which requests ask for it.

    Attributes:
        engine, tokenizer: the model's.
        created: when it was loaded, in seconds since 1970.
        fingerprint: changes when the same request and seed may give another text.
    """

    name: str
    model: Model
    engine: Engine
    tokenizer: Tokenizer
    created: int
    fingerprint: str


class Catalogue:
    """The models of one server, and the further names they go by.

    Args:
        aliases: alias -> name. Checked when the models are known.
    """

    def __init__(self, aliases: Mapping[str, str]) -> None:
        self._aliases = dict(aliases)
        self._served: dict[str, Served] = {}

    def fill(self, models: Mapping[str, Model]) -> None:
        """Serve these models from now on; starts their engines and computes a little with each, so it may take a while.

        Raises:
            InvalidRequest: an alias leads nowhere, or hides a model.
            TokenizerError: a model came without tokenizer files, so that it cannot be served.
        """
        served = {
            name: Served(name, model, model.engine, model.tokenizer, int(time()), _fingerprint(name, model))
            for name, model in models.items()
        }
        for alias, name in self._aliases.items():
            if name not in served:
                raise _bad_alias(alias, f"there is no model '{name}'", served)
            if alias in served:
                raise _bad_alias(alias, "a model has that name", served)
        self._served = served

    def find(self, name: str) -> Served:
        """
        Raises:
            ModelNotFound: names the models there are.
        """
        served = self._served.get(self._aliases.get(name, name))
        if served is not None:
            return served
        names = self.names()
        near = difflib.get_close_matches(name[:128], names, n=1)
        raise ModelNotFound(
            f"The model '{name[:128]}' does not exist. Served here: {', '.join(names)}.",
            hint=f"did you mean '{near[0]}'?" if near else None,
        )

    def names(self) -> list[str]:
        """All names, models first, then aliases."""
        return [*self._served, *(alias for alias in self._aliases if alias not in self._served)]

    def models(self) -> list[Served]:
        return list(self._served.values())


def _fingerprint(name: str, model: Model) -> str:
    """Version, model, and a digest of what it computes, which depends on weights, their type, backend and kernels."""
    sample = range(min(3, model.config.vocabulary))
    digest = blake2b(digest_size=4)
    for logits in model.logits([sample]):
        digest.update(logits.tobytes())
    return f"freehold-{__version__}-{name}-{digest.hexdigest()}"


def _bad_alias(alias: str, reason: str, names: Sequence[str] | Mapping[str, Served]) -> InvalidRequest:
    return InvalidRequest(
        f"the alias '{alias}' cannot be used: {reason}",
        parameter="alias",
        hint=f"the models are {', '.join(names)}",
    )
