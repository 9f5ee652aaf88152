"""`freehold embed`: texts to vectors."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from freehold.cli.loading import loaded
from freehold.cli.options import BackendOption, DtypeOption, ModelArgument
from freehold.cli.verbs import WrongUsage


def command(
    model: ModelArgument,
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT]...", help="The texts; without any, lines of standard input.")
    ] = None,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", help="Write the vectors as a NumPy file [texts, features] instead.")
    ] = None,
    truncate: Annotated[bool, typer.Option("--truncate", help="Cut texts that are too long.")] = False,
    normalise: Annotated[
        bool | None,
        typer.Option(
            "--normalise/--no-normalise", help="Bring vectors to length 1; otherwise as the model's makers say."
        ),
    ] = None,
    backend: BackendOption = "native",
    dtype: DtypeOption = None,
) -> None:
    """Turn texts into vectors with an encoder, such as bge or all-minilm.

    Each text gives a line of JSON with the text and its vector. How a text's tokens become one vector is what the
    model's files say: their mean or the first one, normalised or not.
    """
    if not texts and sys.stdin.isatty():
        raise WrongUsage("there is no text to embed", hint="give texts behind the model's name, or pipe lines in")
    wanted = texts or [line.rstrip("\r\n") for line in sys.stdin]
    with loaded(model, backend=backend, dtype=dtype, context=None) as encoder:
        vectors = encoder.embed(wanted, truncate=truncate, normalise=normalise)
    if output is None:
        for text, vector in zip(wanted, vectors, strict=True):
            print(json.dumps({"text": text, "embedding": [float(value) for value in vector]}, ensure_ascii=False))
        return
    import numpy as np

    from freehold.checkpoints.atomic import atomic_file

    with atomic_file(output) as file:
        np.save(file, vectors, allow_pickle=False)
    print(output)
