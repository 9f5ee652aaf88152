"""`freehold fit`: whether a model fits this machine, before it is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from freehold.catalogue import families
from freehold.cli.options import CacheTypeOption, DtypeOption, JsonOption
from freehold.cli.output import human_bytes, human_count, print_json, print_note, print_table
from freehold.errors import UnsupportedArchitecture

if TYPE_CHECKING:
    from freehold.fitting import Bandwidth, Estimate, Fit

RELEASED = "as released"
ALL_HEADER = ["NAME", "PARAMETERS", "ACTIVE", "FITS", "AS", "MEMORY", "TOKENS/S", "LICENCE"]
ALL_OPTIONAL = ["ACTIVE", "LICENCE", "PARAMETERS"]
HEADER = ["AS", "WEIGHTS", "CACHE", "STATE", "WORKSPACE", "MEMORY", "FITS", "TOKENS/S"]
OPTIONAL = ["STATE", "WORKSPACE", "CACHE"]
SubjectArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL",
        help="As for freehold run, or a name on the hub, or a folder with a config.json; without it, the catalogue.",
    ),
]


def command(
    model: SubjectArgument = None,
    *,
    context: Annotated[
        int | None, typer.Option("--context", min=2, help="Tokens of each user's conversation; otherwise up to 8192.")
    ] = None,
    users: Annotated[int, typer.Option("--users", min=1, help="Conversations at the same time.")] = 1,
    dtype: DtypeOption = None,
    cache_type: CacheTypeOption = None,
    measure: Annotated[bool, typer.Option("--measure", help="Measure the memory's bandwidth again.")] = False,
    json: JsonOption = False,
) -> None:
    """Say whether a model fits this machine and how fast it will be, from its configuration alone.

    Memory is counted as the loader packs weights and as the engine keeps keys and values. Speed is what this machine's
    measured memory bandwidth allows: every token reads the active weights and its own cache.
    """
    from freehold.fitting import Resources, bandwidth, find_subject, fit
    from freehold.fitting.estimating import DEFAULT_TYPES
    from freehold.ops.memory import available_bytes
    from freehold.tensors import WeightType

    measured = bandwidth(again=measure)
    resources = Resources(available_bytes(), measured.bytes_per_second)
    types = DEFAULT_TYPES if dtype is None else (WeightType(dtype),)
    estimated = partial(fit, resources=resources, users=users, types=types, cache_type=cache_type)
    if model is not None:
        found = estimated(find_subject(model), context=context)
        print_json(_as_json(found, measured)) if json else _print_one(found, measured)
        return
    fits, left_out = _catalogue(estimated, context)
    if json:
        print_json([_as_json(one, measured) for one in fits])
        return
    print_table(ALL_HEADER, [_summary(one) for one in fits], optional=ALL_OPTIONAL)
    print(f"\n{_conditions(context, users, cache_type, resources.available_bytes, measured)}")
    if left_out:
        print_note(f"left out, as not supported or described by the hub alone: {', '.join(left_out)}")


def _catalogue(estimated: Callable[..., Fit], context: int | None) -> tuple[list[Fit], list[str]]:
    """Every model of the catalogue, and the names of those that it does not describe well enough, or we cannot run.

    What fits comes first, the largest at the top; then the rest, the smallest at the top. A model whose context is
    shorter than the one that was asked for is estimated at its own.
    """
    from freehold.fitting import is_described, subject_of

    fits, left_out = [], []
    for entry in (entry for family in families() for entry in family.entries):
        try:
            subject = subject_of(entry) if is_described(entry) else None
        except UnsupportedArchitecture:
            subject = None
        if subject is None:
            left_out.append(entry.name)
            continue
        own = subject.model.config.context_length
        fits.append(estimated(subject, context=None if context is None else min(context, own)))
    fits.sort(key=lambda one: (one.best is None, one.parameters if one.best is None else -one.parameters))
    return fits, left_out


def _summary(found: Fit) -> list[str]:
    best = found.best
    shown = found.smallest if best is None else best
    return [
        found.name,
        human_count(found.parameters),
        human_count(found.active_parameters),
        _yes_or_no(best is not None),
        _label(shown),
        human_bytes(shown.memory_bytes),
        _speed(shown.tokens_per_second),
        found.licence or "not stated",
    ]


def _print_one(found: Fit, measured: Bandwidth) -> None:
    active = found.active_parameters
    share = f", {human_count(active)} active" if active != found.parameters else ""
    print(f"{found.name}: {found.architecture}, {human_count(found.parameters)} parameters{share}")
    print(f"licence: {found.licence or 'not stated'}\n")
    print_table(HEADER, [_row(one) for one in found.estimates], optional=OPTIONAL)
    print(f"\n{_conditions(found.context, found.users, found.cache_type, found.available_bytes, measured)}")


def _row(one: Estimate) -> list[str]:
    sizes = (one.weight_bytes, one.cache_bytes, one.state_bytes, one.workspace_bytes, one.memory_bytes)
    return [_label(one), *map(human_bytes, sizes), _yes_or_no(one.fits), _speed(one.tokens_per_second)]


def _conditions(context: int | None, users: int, cache_type: str | None, available: int, measured: Bandwidth) -> str:
    tokens = "up to 8192 tokens" if context is None else f"{context} tokens"
    kept = "" if cache_type is None else f" kept in {cache_type}"
    return (
        f"for {users} {'user' if users == 1 else 'users'} with {tokens} of context each{kept}, tokens/s for each of "
        f"them; {human_bytes(available)} of memory available, read at {human_bytes(measured.bytes_per_second)}/s "
        f"(measured {measured.measured})"
    )


def _label(one: Estimate) -> str:
    return RELEASED if one.dtype is None else one.dtype.value


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"


def _speed(tokens_per_second: float | None) -> str:
    if tokens_per_second is None:
        return "-"
    return f"{tokens_per_second:.3g}" if tokens_per_second < 100 else f"{tokens_per_second:.0f}"


def _as_json(found: Fit, measured: Bandwidth) -> dict[str, Any]:
    """The numbers of one estimate at the top, and those of all in `estimates`."""
    first = found.natural
    rows = [asdict(one) | {"memory_bytes": one.memory_bytes} for one in found.estimates]
    numbers = {name: value for name, value in asdict(found).items() if name != "estimates"}
    best = found.best
    return {
        **numbers,
        **asdict(first),
        "memory_bytes": first.memory_bytes,
        "best": None if best is None else _label(best),
        "bandwidth": asdict(measured),
        "estimates": rows,
    }
