"""Text to tokens and back, and conversations to text.

`load_text` and `text_from_gguf` find a model's tokenizer and chat template. Importing this package does not import
Jinja; using a template does.
"""

from __future__ import annotations

from freehold.text.conversation import encode_conversation
from freehold.text.detokeniser import Detokeniser
from freehold.text.loading import Text, load_text, text_from_gguf
from freehold.text.prompting import MustCall, Prompt, conversation_prompt
from freehold.text.template import ChatTemplate
from freehold.text.tokenizer import Tokenizer

__all__ = [
    "ChatTemplate",
    "Detokeniser",
    "MustCall",
    "Prompt",
    "Text",
    "Tokenizer",
    "conversation_prompt",
    "encode_conversation",
    "load_text",
    "text_from_gguf",
]
