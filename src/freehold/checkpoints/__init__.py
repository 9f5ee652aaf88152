"""Model files: safetensors folders and GGUF, memory-mapped, checked before anything is believed."""

from freehold.checkpoints.atomic import atomic_file, atomic_folder
from freehold.checkpoints.base import Checkpoint, LazyTensor, MemoryCheckpoint, Naming
from freehold.checkpoints.gguf import GgufCheckpoint, write_gguf
from freehold.checkpoints.huggingface import HuggingFaceCheckpoint
from freehold.checkpoints.opening import open_checkpoint
from freehold.checkpoints.safetensors import SafetensorsFile, write_safetensors
from freehold.checkpoints.saving import save_folder

__all__ = [
    "Checkpoint",
    "GgufCheckpoint",
    "HuggingFaceCheckpoint",
    "LazyTensor",
    "MemoryCheckpoint",
    "Naming",
    "SafetensorsFile",
    "atomic_file",
    "atomic_folder",
    "open_checkpoint",
    "save_folder",
    "write_gguf",
    "write_safetensors",
]
