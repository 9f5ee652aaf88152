"""GGUF: llama.cpp's file format, read and written."""

from freehold.checkpoints.gguf.checkpoint import GgufCheckpoint
from freehold.checkpoints.gguf.writer import write_gguf

__all__ = ["GgufCheckpoint", "write_gguf"]
