"""How each family writes its reasoning and its calls of functions, and how to read that.

    parser = dialect.parser(shown=..., tools=...)
    for piece in pieces:
        events = parser.push(piece)
    events = parser.finish()

A call is handed out when it is complete and its arguments are JSON, never before: nothing that was handed out can turn
out to be wrong. A text that began like a call and is none comes back as content, without its markers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from freehold.text.dialects.deepseek import DEEPSEEK_V3, DEEPSEEK_V31
from freehold.text.dialects.dialect import Dialect, plain
from freehold.text.dialects.events import Content, Event, Reasoning, ToolCallArguments, ToolCallStarted
from freehold.text.dialects.harmony import HARMONY
from freehold.text.dialects.hermes import HERMES
from freehold.text.dialects.llama import LLAMA
from freehold.text.dialects.mistral import MISTRAL, MISTRAL_LIST
from freehold.text.dialects.qwen_xml import QWEN_XML
from freehold.text.dialects.reading import Parser

__all__ = [
    "DIALECTS",
    "Content",
    "Dialect",
    "Event",
    "Parser",
    "Reasoning",
    "ToolCallArguments",
    "ToolCallStarted",
    "dialect_of",
]

PLAIN = Dialect("plain", plain)

DIALECTS: Mapping[str, Dialect] = {
    dialect.name: dialect
    for dialect in (PLAIN, LLAMA, MISTRAL_LIST, MISTRAL, HERMES, QWEN_XML, DEEPSEEK_V3, DEEPSEEK_V31, HARMONY)
}

# What a template writes that no other dialect's does, the most particular first. All markers of a row have to be there.
_SIGNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("harmony", ("<|channel|>", "<|message|>")),
    ("deepseek_v3", ("<｜tool▁sep｜>", "```json")),
    ("deepseek_v3.1", ("<｜tool▁sep｜>",)),
    ("mistral", ("[TOOL_CALLS]", "[ARGS]")),
    ("mistral_list", ("[TOOL_CALLS]",)),
    ("qwen_xml", ("<function=", "<parameter=")),
    ("hermes", ("<tool_call>",)),
    ("llama", ("<|start_header_id|>", '"parameters": ')),
    ("llama", ("<|header_start|>", '"parameters": ')),
    ("hermes", ("</think>",)),  # thinks, and calls nothing
)


def dialect_of(template: str, vocabulary: Collection[str] = ()) -> str:
    """The name of the dialect that a model was taught, judged by the markers in its chat template.

    Args:
        template: the source of its template, or of all it has.
        vocabulary: the names of its control tokens, which tell of reasoning that the template leaves to the model.
    """
    for name, signs in _SIGNS:
        if all(sign in template for sign in signs):
            return name
    if "[THINK]" in vocabulary and "[INST]" in template:
        return "mistral"
    return "plain"
