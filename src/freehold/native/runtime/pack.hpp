// Brings weights into the layouts of kernels/layout.hpp.
#pragma once

#include <cstdint>

#include "kernels/layout.hpp"

namespace freehold {

// Bytes that the codes of a packed matrix take; with superblocks, those are all that it takes.
int64_t packed_bytes(Format format, int64_t rows, int64_t columns);

// Packs `count` rows of raw little-endian floats of type `source` as `target` from row `first` on, which must begin a
// panel; rows that fill up the last panel become zero. `values` need not be aligned.
// Returns false if a finite value left float16's range.
bool pack_floats(const void* values, Format source, Format target, int64_t count, int64_t columns, int64_t first,
                 void* out);

// Packs codes [count][columns], one per byte, as q4, mxfp4 or q8. Returns false if one of four bits is over 15.
bool pack_codes(const uint8_t* codes, Format target, int64_t count, int64_t columns, int64_t first, void* out);

// Packs codes [count][columns] as fp8. Returns false if one is NaN.
bool pack_float8(const uint8_t* codes, int64_t count, int64_t columns, int64_t first, void* out);

// Bytes that 256 columns of one row take in files.
int64_t ggml_block_bytes(Format format);

// Packs rows of ggml's blocks of the same name, [count][columns / 256], as q4_k, q5_k or q6_k.
void pack_superblocks(const uint8_t* blocks, Format target, int64_t count, int64_t columns, int64_t first, void* out);

}  // namespace freehold
