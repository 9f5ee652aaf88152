"""How much a model file may ask of us before it is refused.

A file's header is the only part that is parsed; tensors are mapped into memory and never copied to be checked. These
limits keep parsing under a second and 64 MiB of memory for any header, and stand well above released models.
"""

from __future__ import annotations

MIB = 1024 * 1024

# Mixture-of-experts checkpoints with a tensor per expert reach some 50,000 in one file, 150,000 in a folder.
MAX_TENSORS_PER_FILE = 65_536
MAX_TENSORS = 262_144
MAX_SHARDS = 2_048

MAX_RANK = 8
MAX_NAME_BYTES = 1_024

# Keeps every product of dimensions inside what NumPy can index.
MAX_ELEMENTS = 2**60

# config.json: released ones stay under 100 kB, with label lists. Python needs up to 25 bytes for each byte of JSON.
MAX_CONFIG_BYTES = 1 * MIB

# The safetensors format allows 100 MB. An entry takes some 130 bytes, so this holds twice the tensors allowed above.
MAX_HEADER_BYTES = 16 * MIB
MAX_ENTRY_BYTES = 4_096
MAX_INDEX_BYTES = 24 * MIB
MAX_METADATA_BYTES = 65_536

# Of a safetensors or a GGUF file. Real ones have dozens.
MAX_METADATA_KEYS = 65_536

# GGUF metadata: a vocabulary of 262,144 pieces with 515,000 merges takes 17 MB.
MAX_GGUF_HEADER_BYTES = 48 * MIB
MAX_KEY_BYTES = 65_535
MAX_ARRAY_STRINGS = 2**21
MAX_NESTED_ARRAYS = 65_536
MAX_ARRAY_DEPTH = 4
MAX_ALIGNMENT = 65_536
MAX_SPLIT_FILES = 1_024
