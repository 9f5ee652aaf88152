// Activations quantised for the weights that want them so; see kernels/layout.hpp.
#pragma once

#include "kernels/layout.hpp"
#include "runtime/memory.hpp"

namespace freehold {

// Room for so many rows, not yet filled in.
QuantisedRows reserve_quantised(int64_t rows, int64_t columns, Scratch& scratch);

// The same rows from `first` on.
QuantisedRows rows_from(const QuantisedRows& rows, int64_t first);

void copy_row(const QuantisedRows& from, int64_t from_row, const QuantisedRows& to, int64_t to_row);

// Quantises rows of floats, x_stride apart, spread over the threads.
void quantise(const float* x, int64_t x_stride, int64_t rows, int64_t columns, const QuantisedRows& to);

}  // namespace freehold
