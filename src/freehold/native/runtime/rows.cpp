#include "runtime/rows.hpp"

#include <algorithm>
#include <cmath>

#include "runtime/isa.hpp"
#include "runtime/thread_pool.hpp"

namespace freehold {
namespace {

// Elements for which waking another thread pays.
constexpr int64_t grain = 16384;
constexpr int64_t grain_of_sines = 512;

int64_t rows_for(int64_t elements, int64_t columns) {
    return std::max<int64_t>(elements / std::max<int64_t>(columns, 1), 1);
}

}  // namespace

void rms_norm(const float* x, int64_t x_stride, const float* weight, float epsilon, int64_t rows, int64_t columns,
              float* out) {
    const Kernels& kernel = kernels();
    parallel_ranges(rows, rows_for(grain, columns), [&](int64_t first, int64_t last) {
        kernel.rms_norm(x, x_stride, weight, epsilon, columns, out, first, last);
    });
}

void rotation(const int32_t* positions, int64_t rows, const float* frequencies, int64_t count, float scale,
              float* cosines, float* sines) {
    parallel_ranges(rows, rows_for(grain_of_sines, count), [&](int64_t first, int64_t last) {
        for (int64_t row = first; row < last; ++row)
            for (int64_t i = 0; i < count; ++i) {
                const float angle = static_cast<float>(positions[row]) * frequencies[i];
                cosines[row * count + i] = std::cos(angle) * scale;
                sines[row * count + i] = std::sin(angle) * scale;
            }
    });
}

void rope(float* x, int64_t x_stride, int64_t rows, int64_t heads, int64_t head_dim, const float* cosines,
          const float* sines, int64_t pairs) {
    const Kernels& kernel = kernels();
    parallel_ranges(rows, rows_for(grain, heads * head_dim), [&](int64_t first, int64_t last) {
        kernel.rope(x, x_stride, heads, head_dim, cosines, sines, pairs, first, last);
    });
}

void add(float* x, int64_t x_stride, const float* y, int64_t y_stride, int64_t rows, int64_t columns) {
    parallel_ranges(rows, rows_for(grain, columns), [&](int64_t first, int64_t last) {
        for (int64_t row = first; row < last; ++row) {
            float* to = x + row * x_stride;
            const float* from = y + row * y_stride;
            for (int64_t i = 0; i < columns; ++i) to[i] += from[i];
        }
    });
}

void gate(float* gate_up, int64_t stride, int64_t rows, int64_t width, Activation activation) {
    const Kernels& kernel = kernels();
    parallel_ranges(rows, rows_for(grain / 4, width), [&](int64_t first, int64_t last) {
        kernel.gate(gate_up, stride, width, activation, first, last);
    });
}

}  // namespace freehold
