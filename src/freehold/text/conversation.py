"""From a conversation to token ids. What people write stays text: only the template itself makes control tokens.

A chat template gives one string, in which a control token that somebody typed looks like one that the template put
there. So the names of control tokens are taken out of messages and tools before rendering, a mark in the place of each,
and encoded as plain text when the rendered string is cut at the marks again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from freehold.text.tokenizer import Tokenizer

# Characters of the private use area around the number of what was taken out. An opening mark that somebody typed is
# taken out like a control token, so that it cannot be taken for one of ours.
_OPEN, _CLOSE = "\ue000", "\ue001"
_MARK = re.compile(f"{_OPEN}([0-9]+){_CLOSE}")

Render = Callable[..., str]
"""Messages, and the tools as `tools` where there are any, to text; such as `ChatTemplate.render`."""


def encode_conversation(
    tokenizer: Tokenizer,
    render: Render,
    messages: Sequence[Mapping[str, Any]],
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    opening: str = "",
) -> list[int]:
    """The token ids of a rendered conversation.

    Args:
        tokenizer: the model's.
        render: see there.
        messages: the conversation; every text in it but the roles is taken as plain text.
        tools: the functions that the model may call; every text in them is plain text as well.
        opening: what the answer begins with, control tokens included.

    Raises:
        TemplateError: the template rejects the messages.
        InvalidRequest, TokenizerError: a text cannot be encoded.
    """
    taken: list[str] = []

    def take(found: re.Match[str]) -> str:
        taken.append(found[0])
        return f"{_OPEN}{len(taken) - 1}{_CLOSE}"

    controls = _any_of((*tokenizer.special_tokens, _OPEN))

    def without(value: Any) -> Any:
        return _replaced(value, lambda content: controls.sub(take, content))

    plain = [{**without(message), "role": message["role"]} for message in messages]
    text = render(plain) if tools is None else render(plain, tools=without(tools))
    text += opening
    ids: list[int] = []
    for index, part in enumerate(_MARK.split(text)):
        is_taken = index % 2 == 1
        ids += tokenizer.encode(taken[int(part)] if is_taken else part, add_special=False, parse_special=not is_taken)
    return ids


@lru_cache(maxsize=8)
def _any_of(names: tuple[str, ...]) -> re.Pattern[str]:
    """Matches the longest of the names; kept, since a vocabulary may have a thousand control tokens."""
    return re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))))


def _replaced(value: Any, replace: Callable[[str], str]) -> Any:
    """The same JSON-like value with every text in it replaced, keys included."""
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, Mapping):
        return {replace(key): _replaced(item, replace) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(item, replace) for item in value]
    return value
