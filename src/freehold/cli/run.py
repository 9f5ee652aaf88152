"""`freehold run`: one answer, or a chat."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from freehold.cli.chat import chat
from freehold.cli.conversation import Conversation
from freehold.cli.loading import loaded
from freehold.cli.options import (
    BackendOption,
    CacheTypeOption,
    ContextOption,
    DraftModelOption,
    DtypeOption,
    ModelArgument,
    SpeculationOption,
)
from freehold.cli.output import print_note
from freehold.cli.showing import Display, show_end
from freehold.cli.verbs import WrongUsage
from freehold.engine.types import FinishReason
from freehold.generation import GenerationOptions

TemperatureOption = Annotated[float | None, typer.Option("--temperature", "-t", help="0 takes the likeliest token.")]


def command(
    model: ModelArgument,
    prompt: Annotated[
        list[str] | None, typer.Argument(metavar="PROMPT", help="What to answer; without it, standard input or a chat.")
    ] = None,
    *,
    system: Annotated[str | None, typer.Option("--system", "-s", help="A system message for the model.")] = None,
    temperature: TemperatureOption = None,
    max_tokens: Annotated[int | None, typer.Option(help="Most tokens of an answer.")] = None,
    seed: Annotated[int | None, typer.Option(help="Makes the random draws repeat.")] = None,
    backend: BackendOption = "native",
    dtype: DtypeOption = None,
    cache_type: CacheTypeOption = None,
    context: ContextOption = None,
    speculation: SpeculationOption = "auto",
    draft_model: DraftModelOption = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print timings after each answer.")] = False,
) -> None:
    """Answer a prompt, or chat when there is none.

    A model with a chat template answers; one without continues the text. What the options leave open is sampled as
    the model's makers recommend.
    """
    text = _prompt(prompt)
    options = _options(temperature, max_tokens, seed)
    with loaded(
        model,
        backend=backend,
        dtype=dtype,
        cache_type=cache_type,
        context=context,
        draft_model=draft_model,
        speculation=speculation,
    ) as opened:
        conversation = Conversation(opened, options, system)
        if not conversation.has_template:
            print_note(f"{opened.name} has no chat template: it continues your text")
        if text is None:
            chat(conversation, verbose)
        else:
            _answer_once(conversation, text, verbose)


def _answer_once(conversation: Conversation, text: str, verbose: bool) -> None:
    answer = conversation.reply(text, Display())
    show_end(answer, verbose)
    if answer.finish_reason is FinishReason.CANCELLED:
        raise KeyboardInterrupt


def _prompt(words: list[str] | None) -> str | None:
    """The prompt from the arguments, or from standard input; None at a terminal."""
    if words:
        return " ".join(words)
    if sys.stdin.isatty():
        return None
    try:
        text = sys.stdin.read().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise WrongUsage(f"standard input is not {error.encoding} text") from error
    if not text:
        raise WrongUsage(
            "there is no prompt: standard input is empty",
            hint='give one, as in freehold run pebble "Where is my order?"',
        )
    return text


def _options(temperature: float | None, max_tokens: int | None, seed: int | None) -> GenerationOptions:
    options: GenerationOptions = {}
    if temperature is not None:
        options["temperature"] = temperature
    if max_tokens is not None:
        options["max_tokens"] = max_tokens
    if seed is not None:
        options["seed"] = seed
    return options
