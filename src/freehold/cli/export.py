"""`freehold export`: write a model for other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from freehold.cli.options import DtypeOption, ModelArgument
from freehold.cli.progress import progress_bar


def command(
    model: ModelArgument,
    form: Annotated[
        Literal["gguf", "safetensors"],
        typer.Option("--format", help="gguf for llama.cpp, safetensors for transformers."),
    ],
    output: Annotated[Path, typer.Option("--output", help="The .gguf file, or the folder, to write.")],
    dtype: DtypeOption = None,
) -> None:
    """Write a model as a GGUF file or as a Hugging Face folder.

    Without --dtype the stored precision is kept; quantised weights become float32 in a folder, which loses nothing.
    """
    from freehold.checkpoints.base import Naming
    from freehold.exporting import export_model
    from freehold.store import resolve
    from freehold.tensors import WeightType

    with progress_bar(unit_bytes=False) as report:
        widened = export_model(
            resolve(model),
            output,
            Naming.GGUF if form == "gguf" else Naming.HUGGING_FACE,
            None if dtype is None else WeightType(dtype),
            lambda done, total: report(f"writing {output.name}", done, total),
        )
    if widened:
        print(f"{len(widened)} tensors are held in 16 bits: their rows do not fill blocks of 32", file=sys.stderr)
    print(output)
