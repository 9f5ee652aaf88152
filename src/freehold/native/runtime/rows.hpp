// Operations on each row by itself, spread over the threads.
#pragma once

#include <cstdint>

#include "kernels/table.hpp"

namespace freehold {

// Normalise each vector of job.x.
void rms_norm(const NormJob& job);
void layer_norm(const NormJob& job);

// cosines, sines [rows][count] = scale * cos and sin of float32(position) * frequency.
void rotation(const int32_t* positions, int64_t rows, const float* frequencies, int64_t count, float scale,
              float* cosines, float* sines);

void rope(float* x, int64_t x_stride, int64_t rows, int64_t heads, int64_t head_dim, const float* cosines,
          const float* sines, int64_t pairs);

// x += y, both [rows][columns].
void add(float* x, int64_t x_stride, const float* y, int64_t y_stride, int64_t rows, int64_t columns);

// to = from, of the same shape.
void copy(const ConstVectors& from, const Vectors& to);

// x = activation(x).
void activate(const Vectors& x, Activation activation);

// x *= activation(gates); see Kernels::gate.
void gate(const Vectors& x, const ConstVectors& gates, Activation activation);

// x = cap * tanh(x / cap).
void softcap(const Vectors& x, float cap);

// x *= factor, or each row by its own of factors [rows].
void scale(const Vectors& x, float factor);
void scale_rows(const Vectors& x, const float* factors);

}  // namespace freehold
