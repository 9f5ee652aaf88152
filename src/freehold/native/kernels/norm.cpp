#include "kernels/simd.hpp"
#include "kernels/kernels.hpp"

namespace freehold::FREEHOLD_ISA {
namespace {

// Four chains of eight, so in an order that the number of columns alone decides.
float sum_of_squares(const float* x, int64_t columns) {
    Floats sums[4] = {};
    int64_t i = 0;
    for (; i + 4 * lanes <= columns; i += 4 * lanes)
        for (int part = 0; part < 4; ++part) {
            const Floats value = load(x + i + part * lanes);
            sums[part] = multiply_add(value, value, sums[part]);
        }
    for (; i < columns; i += lanes) {
        const Floats value = i + lanes <= columns ? load(x + i) : load_some(x + i, columns - i);
        sums[0] = multiply_add(value, value, sums[0]);
    }
    return sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

}  // namespace

void rms_norm(const float* x, int64_t x_stride, const float* weight, float epsilon, int64_t columns, float* out,
              int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
        const float* from = x + row * x_stride;
        float* to = out + row * columns;
        const float mean = sum_of_squares(from, columns) / static_cast<float>(columns);
        const float scale = 1.0f / __builtin_sqrtf(mean + epsilon);
        for (int64_t i = 0; i < columns; ++i) to[i] = from[i] * scale * weight[i];
    }
}

}  // namespace freehold::FREEHOLD_ISA
