"""Options that several verbs share. Their values are listed here, not imported: `--help` must not load NumPy."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

BackendName = Literal["native", "torch"]
DtypeName = Literal["q4", "q8", "f16", "f32"]
CacheTypeName = Literal["q8", "f16", "f32"]
SpeculationName = Literal["auto", "off"]

ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A name (pebble, qwen2.5:7b, org/name, org/name:Q4_K_M), a folder, or a .gguf file."
    ),
]
BackendOption = Annotated[
    BackendName, typer.Option("--backend", help="native: our kernels on the processor; torch: PyTorch, if installed.")
]
DtypeOption = Annotated[
    DtypeName | None, typer.Option("--dtype", help="Hold the weights in this type; otherwise as they are stored.")
]
CacheTypeOption = Annotated[
    CacheTypeName | None,
    typer.Option(
        "--cache-type",
        help="Hold keys and values in this type (q8: half of f16); otherwise in 16 bits, or 32 where weights are.",
    ),
]
ContextOption = Annotated[
    int | None, typer.Option("--context", min=2, help="Most tokens of prompt and answer; otherwise the model's own.")
]
SpeculationOption = Annotated[
    SpeculationName,
    typer.Option(
        "--speculation",
        help="auto: compute several tokens at once where the text so far suggests them; the results are the same.",
    ),
]
DraftModelOption = Annotated[
    str | None,
    typer.Option(
        "--draft-model",
        metavar="MODEL",
        help="A smaller model with the same vocabulary, which guesses tokens for this one to verify: faster where it "
        "guesses well; the results are the same.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
