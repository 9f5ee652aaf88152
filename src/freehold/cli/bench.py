"""`freehold bench`: how fast a model runs on this machine."""

from __future__ import annotations

import json as json_format
import os
import resource
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from freehold.cli.loading import loaded
from freehold.cli.measuring import Clock, Workload, measure
from freehold.cli.options import (
    BackendOption,
    CacheTypeOption,
    ContextOption,
    DtypeOption,
    JsonOption,
    ModelArgument,
    SpeculationOption,
)
from freehold.cli.output import human_bytes
from freehold.cli.progress import progress_bar
from freehold.cli.verbs import WrongUsage

if TYPE_CHECKING:
    from freehold.api import Model

PROMPT, GENERATE = 512, 128
_KIB = 1024


def command(
    model: ModelArgument,
    *,
    prompt: Annotated[
        int | None, typer.Option(min=1, help=f"Prompt tokens; otherwise {PROMPT}, or half of a smaller context.")
    ] = None,
    generate: Annotated[
        int | None, typer.Option(min=2, help=f"Tokens to generate; otherwise {GENERATE}, or a quarter of the context.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Sequences at the same time.")] = 1,
    repeats: Annotated[int, typer.Option(min=1, help="Measurements, whose medians are printed.")] = 3,
    backend: BackendOption = "native",
    dtype: DtypeOption = None,
    cache_type: CacheTypeOption = None,
    context: ContextOption = None,
    speculation: SpeculationOption = "off",
    json: JsonOption = False,
) -> None:
    """Measure prefill and decoding speed and the time to the first token.

    Prompts are random tokens, sampling is greedy, the end of the text is ignored, and the prefix cache is off. So is
    speculation unless asked for: what a model makes of random tokens mostly repeats itself, which is then faster than
    texts are. One short run warms up and is not counted.
    """
    clock = Clock()
    started = time.perf_counter()
    with loaded(
        model,
        backend=backend,
        dtype=dtype,
        cache_type=cache_type,
        context=context,
        observer=clock,
        prefix_cache=False,
        speculation=speculation,
        max_sequences=concurrency,
    ) as opened:
        load_seconds = time.perf_counter() - started
        workload = Workload(*_lengths(opened, prompt, generate), concurrency, repeats)
        with progress_bar(unit_bytes=False) as report:
            found = measure(opened, clock, workload, report)
    subject = {
        "model": model,
        "backend": backend,
        "dtype": dtype,
        "cache_type": cache_type,
        "speculation": speculation,
        "load_seconds": load_seconds,
    }
    if json:
        _print_json(subject | asdict(workload) | asdict(found) | _machine())
        return
    print(
        f"{model}, {backend}: {workload.prompt} prompt and {workload.generate} generated tokens, {concurrency} at once"
    )
    print(f"load         {load_seconds:.2f} s")
    print(f"first token  {found.first_token_seconds * 1000:.0f} ms")
    print(f"prefill      {found.prefill_tokens_per_second:.0f} tokens/s")
    print(f"decode       {found.decode_tokens_per_second:.1f} tokens/s")
    print(f"peak memory  {human_bytes(_machine()['peak_memory_bytes'])}")


def _machine() -> dict[str, int]:
    """Processors that this process may use, and the most memory that it has used."""
    return {
        "processors": len(os.sched_getaffinity(0)),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB,
    }


def _print_json(results: Mapping[str, object]) -> None:
    """One line, so that it can be taken from the end of a log. Four digits are more than a measurement holds."""
    rounded = {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in results.items()}
    print(json_format.dumps(rounded))


def _lengths(model: Model, prompt: int | None, generate: int | None) -> tuple[int, int]:
    context = model.engine.context_length
    prompt = min(PROMPT, context // 2) if prompt is None else prompt
    generate = max(2, min(GENERATE, context // 4)) if generate is None else generate
    if prompt + generate > context:
        raise WrongUsage(
            f"--prompt {prompt} and --generate {generate} are {prompt + generate} tokens; the context has {context}"
        )
    return prompt, generate
