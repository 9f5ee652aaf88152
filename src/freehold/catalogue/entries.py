"""What the catalogue knows about a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

COMMERCIAL_USE = {"yes": "commercial use", "conditions": "commercial use under conditions", "no": "no commercial use"}


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence, in plain words.

    Attributes:
        id: its SPDX identifier, or LicenseRef-... where SPDX has none.
        url: where its text is; None where that is in the model's repository only.
        commercial: "yes", "conditions" or "no"; None where we could not establish it.
        monthly_users: with more monthly active users than this, the licensor has to be asked.
        attribution: what passing the model on, or building with it, has to show.
        acceptable_use: where the policy on what the model may be used for is; None where there is none.
        obligations: what else it asks for, as clauses.
    """

    id: str
    name: str
    url: str | None = None
    commercial: str | None = None
    monthly_users: int | None = None
    attribution: str | None = None
    acceptable_use: str | None = None
    obligations: tuple[str, ...] = ()

    def summary(self) -> str:
        """The obligations in one line."""
        parts = [COMMERCIAL_USE[self.commercial]] if self.commercial is not None else []
        if self.monthly_users is not None:
            parts.append(f"ask the licensor above {self.monthly_users // 10**6} million monthly users")
        if self.attribution is not None:
            parts.append(self.attribution)
        if self.acceptable_use is not None:
            parts.append("an acceptable-use policy applies")
        return "; ".join([*parts, *self.obligations]) or "read it before use"


@dataclass(frozen=True, slots=True)
class Release:
    """A model in another form than its own repository's.

    Attributes:
        format: "GGUF", "FP8", "GPTQ" or "AWQ"; "base" for the model before it was tuned.
        tag: what follows the model's tag in a short name, such as "fp8" or "q4_k_m".
        hub: owner/name of the repository.
        variant: the quantisation to pick in a GGUF repository; None elsewhere.
        files: pattern of the GGUF files' names, with {type} for the quantisation; None elsewhere.
    """

    format: str
    tag: str
    hub: str
    variant: str | None = None
    files: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A model. What could not be established is None, or empty.

    Attributes:
        family: the first part of its short name.
        tag: the second part.
        hub: owner/name of its repository.
        architecture: as `architectures` in its config.json has it.
        parameters: numbers in the released weights of the language model.
        active: those that a token is computed with, where that is fewer: without the routed experts that are not chosen
            (and without the embedding where the family's makers count so).
        context: positions that the released configuration allows.
        licences: all of them apply.
        languages: ISO 639 codes, as the makers list them.
        stored: type of the released weights, such as "BF16".
        configuration: the part of its config.json that settles shapes and cache; None where it is not known.
    """

    family: str
    tag: str
    hub: str
    architecture: str
    licences: tuple[Licence, ...]
    parameters: int | None = None
    active: int | None = None
    context: int | None = None
    languages: tuple[str, ...] = ()
    stored: str | None = None
    released: date | None = None
    releases: tuple[Release, ...] = ()
    configuration: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """The short name, family:tag."""
        return f"{self.family}:{self.tag}"

    @property
    def licence(self) -> str:
        """The licences as one SPDX expression."""
        return " AND ".join(licence.id for licence in self.licences)

    def obligations(self) -> str:
        """What the licences ask for, in one line."""
        return "; ".join(f"{licence.id}: {licence.summary()}" for licence in self.licences)


@dataclass(frozen=True, slots=True)
class Family:
    """Models of one name.

    Attributes:
        default: tag of the model that the name alone means.
        active_counts_embedding: whether its makers count the embedding among active parameters.
    """

    name: str
    title: str
    maker: str
    default: str
    entries: tuple[Entry, ...]
    active_counts_embedding: bool = True
