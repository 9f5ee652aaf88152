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

// work(first, last) over the vectors of an array.
template <typename T, typename Work>
void over_vectors(const VectorsOf<T>& vectors, int64_t elements, const Work& work) {
    parallel_ranges(vectors.rows * vectors.heads, rows_for(elements, vectors.columns), work);
}

}  // namespace

void rms_norm(const NormJob& job) {
    const auto run = kernels().rms_norm;
    over_vectors(job.x, grain, [&](int64_t first, int64_t last) { run(job, first, last); });
}

void layer_norm(const NormJob& job) {
    const auto run = kernels().layer_norm;
    over_vectors(job.x, grain, [&](int64_t first, int64_t last) { run(job, first, last); });
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

void copy(const ConstVectors& from, const Vectors& to) {
    over_vectors(from, grain, [&](int64_t first, int64_t last) {
        for (int64_t vector = first; vector < last; ++vector) {
            const int64_t row = vector / from.heads;
            const int64_t head = vector % from.heads;
            std::copy_n(from.data + row * from.row_stride + head * from.head_stride, from.columns,
                        to.data + row * to.row_stride + head * to.head_stride);
        }
    });
}

void activate(const Vectors& x, Activation activation) {
    const auto run = kernels().activate;
    over_vectors(x, grain / 4, [&](int64_t first, int64_t last) { run(x, activation, first, last); });
}

void gate(const Vectors& x, const ConstVectors& gates, Activation activation) {
    const auto run = kernels().gate;
    over_vectors(x, grain / 4, [&](int64_t first, int64_t last) { run(x, gates, activation, first, last); });
}

void softcap(const Vectors& x, float cap) {
    const auto run = kernels().softcap;
    over_vectors(x, grain / 4, [&](int64_t first, int64_t last) { run(x, cap, first, last); });
}

namespace {

template <typename Factor>
void scale_by(const Vectors& x, const Factor& factor_of) {
    over_vectors(x, grain, [&](int64_t first, int64_t last) {
        for (int64_t vector = first; vector < last; ++vector) {
            const int64_t row = vector / x.heads;
            const float factor = factor_of(row);
            float* to = x.data + row * x.row_stride + vector % x.heads * x.head_stride;
            for (int64_t i = 0; i < x.columns; ++i) to[i] *= factor;
        }
    });
}

}  // namespace

void scale(const Vectors& x, float factor) {
    scale_by(x, [&](int64_t) { return factor; });
}

void scale_rows(const Vectors& x, const float* factors) {
    scale_by(x, [&](int64_t row) { return factors[row]; });
}

}  // namespace freehold
