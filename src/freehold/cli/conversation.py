"""A conversation with a model: what was said, and one answer at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freehold.engine.types import FinishReason, Output, Usage
from freehold.engine.validation import Limits, validate_request
from freehold.errors import FreeholdError, InvalidRequest
from freehold.generation import GenerationOptions, to_request

if TYPE_CHECKING:
    from freehold.api import Model
    from freehold.text import Prompt
    from freehold.text.dialects import Event


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        text: all of it, without what the model thought before.
        finish_reason: why it ended; CANCELLED after Ctrl-C.
        usage: token counts; None where it was cancelled.
        first_token: seconds until the first token.
        seconds: until the last one.
    """

    text: str
    finish_reason: FinishReason
    usage: Usage | None
    first_token: float
    seconds: float

    def timings(self) -> str:
        """Time to the first token and rates, for a person."""
        parts = [f"first token {self.first_token * 1000:.0f} ms"]
        if self.usage is not None:
            computed = self.usage.prompt_tokens - self.usage.cached_tokens
            parts.append(f"prompt {self.usage.prompt_tokens} tokens ({_rate(computed, self.first_token)})")
            decoding = self.seconds - self.first_token
            parts.append(
                f"answer {self.usage.completion_tokens} tokens ({_rate(self.usage.completion_tokens - 1, decoding)})"
            )
        return ", ".join(parts)


class Conversation:
    """What was said so far, under options that may change in between.

    Attributes:
        options: as for `Model.generate`.
        system: the system message, or None.
        has_template: whether the model can chat. One that cannot continues each text by itself, without history.
    """

    def __init__(self, model: Model, options: GenerationOptions, system: str | None) -> None:
        self.model = model
        self.options = options
        self.has_template = model.text is not None and model.text.template is not None
        self.system: str | None = None
        self._messages: list[dict[str, str]] = []
        self.set_system(system)
        self.check(options)

    def set_system(self, system: str | None) -> None:
        """
        Raises:
            InvalidRequest: the model has no chat template, so it knows no system message.
        """
        if system is not None and not self.has_template:
            raise InvalidRequest(
                f"{self.model.name} has no chat template, so it cannot take a system message",
                parameter="system",
                hint="put the instruction into the prompt",
            )
        self.system = system

    def check(self, options: GenerationOptions) -> None:
        """
        Raises:
            InvalidRequest: an option is out of range.
        """
        limits = Limits(self.model.config.vocabulary, self.model.engine.context_length, self.model.text is not None)
        validate_request(to_request([0], options, self.model.recommended), limits)

    @property
    def turns(self) -> int:
        """Messages said so far, by both sides."""
        return len(self._messages)

    def clear(self) -> None:
        """Forget what was said."""
        self._messages.clear()

    def reply(self, text: str, write: Callable[[Event], None]) -> Answer:
        """Answer a message; Ctrl-C ends the answer, which is kept as far as it got.

        Args:
            write: called with reasoning and pieces of the answer as they become certain.

        Raises:
            FreeholdError: there is no answer; the conversation is as it was before.
        """
        messages = [*self._messages, {"role": "user", "content": text}]
        answer = self._answer(self._prompt(text, messages), write)
        if answer.text or answer.finish_reason is not FinishReason.CANCELLED:
            self._messages = [*messages, {"role": "assistant", "content": answer.text}]
        return answer

    def _prompt(self, text: str, messages: list[dict[str, str]]) -> Prompt:
        from freehold.text import Prompt, conversation_prompt  # not for `--help`
        from freehold.text.dialects import DIALECTS

        tokenizer = self.model.tokenizer
        if not self.has_template:
            return Prompt(tokenizer.encode(text), {}, DIALECTS["plain"])
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        return conversation_prompt(tokenizer, self.model.dialect, self.model.template.render, [*system, *messages])

    def _answer(self, prompt: Prompt, write: Callable[[Event], None]) -> Answer:
        from freehold.text.dialects import Content  # not for `--help`

        started = time.perf_counter()
        first_token: float | None = None
        pieces: list[str] = []
        parser = prompt.parser()

        def say(events: list[Event]) -> None:
            for event in events:
                write(event)
            pieces.extend(event.text for event in events if isinstance(event, Content))

        last: Output | None = None
        request = to_request(prompt.ids, self.options, self.model.recommended, shown=prompt.shown_ids)
        with self.model.engine.stream(request) as outputs:
            try:
                for last in outputs:
                    if first_token is None:
                        first_token = time.perf_counter() - started
                    say(parser.push(last.text))
            except KeyboardInterrupt:
                last = None
        say(parser.finish())
        seconds = time.perf_counter() - started
        if last is not None and last.finish_reason is FinishReason.FAILED:
            raise FreeholdError(last.error or "the request failed")
        return Answer(
            "".join(pieces),
            FinishReason.CANCELLED if last is None or last.finish_reason is None else last.finish_reason,
            None if last is None else last.usage,
            seconds if first_token is None else first_token,
            seconds,
        )


def _rate(tokens: int, seconds: float) -> str:
    return f"{tokens / seconds:.0f}/s" if tokens > 0 and seconds > 0 else "-"
