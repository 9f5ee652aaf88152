// Brings weights into the layouts of kernels/layout.hpp.
#pragma once

#include <cstdint>

#include "kernels/layout.hpp"

namespace freehold {

// Bytes that the codes of a packed matrix take.
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

}  // namespace freehold
