#include "kernels/kernels.hpp"
#include "kernels/vectors.hpp"

namespace freehold::FREEHOLD_ISA {
namespace {

// The sum of value(x) over a row, in four chains of eight, so in an order that the number of columns alone decides.
template <typename Function>
FREEHOLD_INLINE float sum_over(const float* x, int64_t columns, Function value) {
    Floats sums[4] = {};
    int64_t i = 0;
    for (; i + 4 * lanes <= columns; i += 4 * lanes)
        for (int part = 0; part < 4; ++part) sums[part] = value(load(x + i + part * lanes), sums[part]);
    for (; i + lanes <= columns; i += lanes) sums[0] = value(load(x + i), sums[0]);
    if (const int64_t rest = columns - i; rest > 0) {
        const Floats with_rest = value(load_some(x + i, rest), sums[0]);
        store_some(reinterpret_cast<float*>(&sums[0]), with_rest, rest);
    }
    return sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

float mean_of(const float* x, int64_t columns) {
    const auto add = [](Floats value, Floats total) __attribute__((always_inline)) { return total + value; };
    return sum_over(x, columns, add) / static_cast<float>(columns);
}

float mean_square_around(float centre, const float* x, int64_t columns) {
    const auto add_square = [centre](Floats value, Floats total) __attribute__((always_inline)) {
        const Floats deviation = value - centre;
        return multiply_add(deviation, deviation, total);
    };
    return sum_over(x, columns, add_square) / static_cast<float>(columns);
}

// out = (x - centre) * scale * weight + bias
void write(const NormJob& job, int64_t vector, const float* x, float centre, float scale) {
    const int64_t columns = job.x.columns;
    const int64_t head = vector % job.x.heads * job.weight_stride;
    const float* weight = job.weight == nullptr ? nullptr : job.weight + head;
    const float* bias = job.bias == nullptr ? nullptr : job.bias + head;
    float* out = job.out + vector * columns;
    for (int64_t i = 0; i < columns; ++i) {
        float value = (x[i] - centre) * scale;
        if (weight != nullptr) value *= weight[i];
        if (bias != nullptr) value += bias[i];
        out[i] = value;
    }
}

}  // namespace

void rms_norm(const NormJob& job, int64_t first, int64_t last) {
    for (int64_t vector = first; vector < last; ++vector) {
        const float* x = vector_at(job.x, vector);
        const float mean_square = mean_square_around(0.0f, x, job.x.columns);
        write(job, vector, x, 0.0f, 1.0f / __builtin_sqrtf(mean_square + job.epsilon));
    }
}

void layer_norm(const NormJob& job, int64_t first, int64_t last) {
    for (int64_t vector = first; vector < last; ++vector) {
        const float* x = vector_at(job.x, vector);
        const float mean = mean_of(x, job.x.columns);
        const float variance = mean_square_around(mean, x, job.x.columns);
        write(job, vector, x, mean, 1.0f / __builtin_sqrtf(variance + job.epsilon));
    }
}

}  // namespace freehold::FREEHOLD_ISA
