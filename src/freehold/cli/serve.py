"""`freehold serve`: models behind OpenAI's HTTP API."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import freehold
from freehold.catalogue import find
from freehold.cli.options import (
    BackendOption,
    CacheTypeOption,
    ContextOption,
    DraftModelOption,
    DtypeOption,
    SpeculationOption,
)
from freehold.cli.output import styled
from freehold.cli.progress import progress_bar
from freehold.cli.verbs import WrongUsage
from freehold.errors import StoreError
from freehold.store import resolve
from freehold.store.models import BUNDLED
from freehold.store.names import HUB_PREFIX, ModelName

if TYPE_CHECKING:
    from freehold.api import Model
    from freehold.engine.observer import Observer

MANY = Annotated[
    list[str] | None, typer.Argument(metavar="MODEL", help="As for freehold run; without any, the bundled pebble.")
]


def command(
    models: MANY = None,
    *,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all networks.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one.")] = 8000,
    alias: Annotated[list[str] | None, typer.Option(help="NAME=MODEL: a further name for a model. Repeatable.")] = None,
    allowed_host: Annotated[list[str] | None, typer.Option(help="Further Host header to accept. Repeatable.")] = None,
    allowed_origin: Annotated[list[str] | None, typer.Option(help="Web page origin to accept. Repeatable.")] = None,
    grace: Annotated[float, typer.Option(min=0, help="Seconds that running requests get when stopping.")] = 90.0,
    max_sequences: Annotated[int, typer.Option(min=1, help="Requests computed together, per model.")] = 16,
    backend: BackendOption = "native",
    dtype: DtypeOption = None,
    cache_type: CacheTypeOption = None,
    context: ContextOption = None,
    speculation: SpeculationOption = "auto",
    draft_model: DraftModelOption = None,
) -> None:
    """Serve models over OpenAI's HTTP API until Ctrl-C or SIGTERM.

    Requests in flight then get the grace time to finish; a second signal stops at once.
    """
    names = _served_names(models or [*BUNDLED])
    aliases = dict(_alias(text) for text in alias or [])
    if draft_model is not None and len(names) > 1:
        raise WrongUsage(
            f"--draft-model drafts for one model, and {len(names)} are to be served: {', '.join(names)}",
            hint="serve one model, or leave --draft-model away",
        )
    for name in (*names.values(), *([] if draft_model is None else [draft_model])):
        resolve(name)  # a name that is not there is known before anything is loaded
    from freehold.server.run import serve
    from freehold.server.settings import ServerSettings

    def loader(name: str) -> Callable[[Observer], Model]:
        def load(observer: Observer) -> Model:
            with progress_bar(unit_bytes=False) as report:
                return freehold.load(
                    name,
                    backend=backend,
                    dtype=dtype,
                    cache_type=cache_type,
                    context_length=context,
                    draft_model=draft_model,
                    max_sequences=max_sequences,
                    speculation=speculation,
                    observer=observer,
                    progress=lambda done, total: report(f"loading {name}", done, total),
                )

        return load

    settings = ServerSettings(
        host=host,
        port=port,
        aliases=aliases,
        allowed_hosts=tuple(allowed_host or ()),
        allowed_origins=tuple(allowed_origin or ()),
        grace=grace,
    )
    serve({public: loader(name) for public, name in names.items()}, settings, on_ready=_announcer(names))


def _announcer(names: Mapping[str, str]) -> Callable[[str], None]:
    def announce(url: str) -> None:
        listed = ", ".join(styled(name, "1", sys.stderr) for name in names)
        print(f"serving {listed} at {styled(url, '1', sys.stderr)}; Ctrl-C stops", file=sys.stderr, flush=True)

    return announce


def _served_names(models: list[str]) -> dict[str, str]:
    """What requests call each model -> what it is loaded as. A path is served by the name of its file or folder."""
    served: dict[str, str] = {}
    for name in models:
        public = _public_name(name)
        if public in served:
            raise WrongUsage(f"two models would be served as {public!r}: {served[public]} and {name}")
        served[public] = name
    return served


def _public_name(name: str) -> str:
    if name in BUNDLED or find(name) is not None:
        return name
    try:
        return str(ModelName.parse(name)).removeprefix(HUB_PREFIX)
    except StoreError:
        path = Path(name).absolute()  # not a name, so it is a path
        return path.stem if path.is_file() else path.name


def _alias(text: str) -> tuple[str, str]:
    name, separator, model = text.partition("=")
    if not (name and separator and model):
        raise WrongUsage(f"--alias is {text!r}", hint="write it as NAME=MODEL, for example gpt-4o-mini=pebble")
    return name, model
