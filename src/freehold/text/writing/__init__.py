"""Writing tokenizers and chat templates for other programs: GGUF metadata, and a Hugging Face folder's files."""

from freehold.text.writing.folder import write_text_files
from freehold.text.writing.gguf import gguf_vocabulary

__all__ = ["gguf_vocabulary", "write_text_files"]
