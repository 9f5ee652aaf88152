// Operations on each row by itself, spread over the threads.
#pragma once

#include <cstdint>

#include "kernels/table.hpp"

namespace freehold {

void rms_norm(const float* x, int64_t x_stride, const float* weight, float epsilon, int64_t rows, int64_t columns,
              float* out);

// cosines, sines [rows][count] = scale * cos and sin of float32(position) * frequency.
void rotation(const int32_t* positions, int64_t rows, const float* frequencies, int64_t count, float scale,
              float* cosines, float* sines);

void rope(float* x, int64_t x_stride, int64_t rows, int64_t heads, int64_t head_dim, const float* cosines,
          const float* sines, int64_t pairs);

// x += y, both [rows][columns].
void add(float* x, int64_t x_stride, const float* y, int64_t y_stride, int64_t rows, int64_t columns);

void gate(float* gate_up, int64_t stride, int64_t rows, int64_t width, Activation activation);

}  // namespace freehold
