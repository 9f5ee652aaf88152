// Walks the vectors of an array, eight elements at a time.
#pragma once

#include "kernels/simd.hpp"
#include "kernels/table.hpp"

namespace freehold::FREEHOLD_ISA {

template <typename T>
FREEHOLD_INLINE T* vector_at(const VectorsOf<T>& vectors, int64_t index) {
    return vectors.data + index / vectors.heads * vectors.row_stride + index % vectors.heads * vectors.head_stride;
}

// to[i] = function(to[i], from[i]) for i in [0, count).
template <typename Function>
FREEHOLD_INLINE void combine(float* to, const float* from, int64_t count, Function function) {
    int64_t i = 0;
    for (; i + lanes <= count; i += lanes) store(to + i, function(load(to + i), load(from + i)));
    if (const int64_t rest = count - i; rest > 0)
        store_some(to + i, function(load_some(to + i, rest), load_some(from + i, rest)), rest);
}

// to[i] = function(to[i]) for i in [0, count).
template <typename Function>
FREEHOLD_INLINE void replace(float* to, int64_t count, Function function) {
    int64_t i = 0;
    for (; i + lanes <= count; i += lanes) store(to + i, function(load(to + i)));
    if (const int64_t rest = count - i; rest > 0) store_some(to + i, function(load_some(to + i, rest)), rest);
}

}  // namespace freehold::FREEHOLD_ISA
