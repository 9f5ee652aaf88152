"""How much a model file may ask of us before it is refused.

A file's header is the only part that is parsed; tensors are mapped into memory and never copied to be checked. These
limits keep parsing under a second and 64 MiB of memory for any header, and stand well above released models.
"""

from __future__ import annotations

MIB = 1024 * 1024

MAX_RANK = 8
MAX_NAME_BYTES = 1_024

# Keeps every product of dimensions inside what NumPy can index.
MAX_ELEMENTS = 2**60

# Of a safetensors or a GGUF file. Real ones have dozens.
MAX_METADATA_KEYS = 16_384

# --- JSON ---------------------------------------------------------------------------------------------------------

# config.json: released ones stay under 100 kB, with label lists. Python needs up to 25 bytes for each byte of JSON.
MAX_CONFIG_BYTES = 1 * MIB

# A name, or a member of an index that is not the weight map.
MAX_STRING_BYTES = 65_536
MAX_MEMBER_BYTES = 65_536

# --- safetensors --------------------------------------------------------------------------------------------------

# Mixture-of-experts models with a tensor per expert reach some 45,000, in over a hundred files.
MAX_TENSORS_PER_FILE = 32_768
MAX_TENSORS = 65_536
MAX_SHARDS = 2_048

# The format allows headers of 100 MB. An entry takes some 130 bytes, so these hold more tensors than allowed above.
MAX_HEADER_BYTES = 16 * MIB
MAX_ENTRY_BYTES = 1_024
MAX_INDEX_BYTES = 16 * MIB

# --- GGUF ---------------------------------------------------------------------------------------------------------

# A vocabulary of 262,144 pieces with 515,000 merges takes 17 MB. Experts are stacked, so tensors are a few thousand.
MAX_GGUF_HEADER_BYTES = 48 * MIB
MAX_GGUF_TENSORS = 16_384
MAX_GGUF_FILES = 1_024
MAX_KEY_BYTES = 65_535
MAX_ARRAY_STRINGS = 2**20
MAX_ARRAY_NUMBERS = 2**20
MAX_TEXT_BYTES = 12 * MIB
MAX_NESTED_ARRAYS = 65_536
MAX_ARRAY_DEPTH = 4
MAX_ALIGNMENT = 65_536
