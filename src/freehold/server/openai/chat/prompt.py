"""From chat messages to token ids."""

from __future__ import annotations

from collections.abc import Sequence

from freehold.errors import InvalidRequest, TemplateError
from freehold.server.openai.chat.messages import Message
from freehold.server.served import Served, Template
from freehold.text import encode_conversation


def encode(served: Served, messages: Sequence[Message]) -> list[int]:
    """The conversation as the model's chat template puts it, ready for the assistant's answer.

    Raises:
        TemplateError: the template rejects the messages.
        InvalidRequest: the model has no template, or a message has a name that the template has no place for.
    """
    try:
        template = served.model.template
    except TemplateError:
        raise InvalidRequest(
            f"The model '{served.name}' has no chat template.",
            parameter="model",
            code="no_chat_template",
            hint="use /v1/completions with a plain prompt",
        ) from None
    _check_names(template, messages)
    return encode_conversation(served.tokenizer, template.render, [message.json() for message in messages])


def _check_names(template: Template, messages: Sequence[Message]) -> None:
    named = next((number for number, message in enumerate(messages) if message.name is not None), None)
    if named is None:
        return
    with_names = template.render([message.json() for message in messages])
    if with_names == template.render([message.json(with_name=False) for message in messages]):
        raise InvalidRequest(
            f"Unsupported field 'messages[{named}].name': this model's chat template has no place for names.",
            parameter=f"messages[{named}].name",
            code="unsupported_parameter",
        )
