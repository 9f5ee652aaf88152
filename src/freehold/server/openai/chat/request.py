"""The request model of /v1/chat/completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from freehold.errors import InvalidRequest
from freehold.server.openai import fields
from freehold.server.openai.chat.messages import Message, parse_messages
from freehold.server.openai.chat.tools import ToolChoice, must_call, parse_tool_choice, parse_tools
from freehold.server.openai.sampling import LARGEST_TOKENS, GenerationFields

MAX_TOP_LOGPROBS = 20


def _metadata(value: object) -> object:
    if not isinstance(value, dict) or len(value) > 16:
        raise PydanticCustomError("metadata_type", "an object of at most 16 strings")
    if not all(isinstance(text, str) and len(key) <= 64 and len(text) <= 512 for key, text in value.items()):
        raise PydanticCustomError("metadata_value", "keys of at most 64 and strings of at most 512 characters")
    return value


class ChatRequest(GenerationFields):
    """OpenAI's CreateChatCompletionRequest: what of it we honour, and labels. `fields.CHAT` has the others."""

    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] = ()
    tool_choice: ToolChoice = ToolChoice("auto")
    parallel_tool_calls: bool = True
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    max_completion_tokens: int | None = Field(None, ge=1, le=LARGEST_TOKENS)
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=MAX_TOP_LOGPROBS)

    metadata: Annotated[dict[str, str] | None, BeforeValidator(_metadata)] = None
    """Comes back with the response; nothing is stored."""

    service_tier: Literal["auto", "default"] | None = None
    """Where it is set, the response says which tier served it; there is one, "default"."""

    safety_identifier: str = Field("", max_length=64)
    """A label for the end user: by definition without effect on the output."""

    prompt_cache_key: str = ""
    """A hint for routing to a cache: by definition without effect on the output. One process has one cache."""

    @property
    def offered_tools(self) -> tuple[dict[str, Any], ...]:
        """The functions that the model gets to see."""
        return () if self.tool_choice.kind == "none" else self.tools

    @property
    def one_call(self) -> bool:
        """Whether the answer ends with its first call."""
        return not self.parallel_tool_calls or self.tool_choice.kind == "named"

    @property
    def token_limit(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def engine_logprobs(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None


_READ = {"messages": parse_messages, "tools": parse_tools, "tool_choice": parse_tool_choice}
"""Fields that say more about what is wrong with them than Pydantic would."""


def parse(body: Mapping[str, object]) -> ChatRequest:
    """
    Raises:
        InvalidRequest: names the field at fault.
    """
    ours = {name: read(body[name]) for name, read in _READ.items() if body.get(name) is not None}
    request = fields.parse({**body, **ours}, ChatRequest, fields.CHAT)
    request.check_stream_options()
    must_call(request.tool_choice, request.tools)
    if request.top_logprobs is not None and not request.logprobs:
        raise InvalidRequest(
            "'top_logprobs' is only allowed together with 'logprobs': true.",
            parameter="top_logprobs",
            code="invalid_value",
        )
    limits = (request.max_tokens, request.max_completion_tokens)
    if None not in limits and limits[0] != limits[1]:
        raise InvalidRequest(
            f"'max_tokens' is {limits[0]} but 'max_completion_tokens' is {limits[1]}; set one of them.",
            parameter="max_tokens",
            code="invalid_value",
        )
    return request
