// Walks the vectors of an array, as many elements at a time as the processor has lanes; functions take vectors of any
// width.
#pragma once

#include "kernels/wide.hpp"
#include "kernels/table.hpp"

namespace freehold::FREEHOLD_ISA {

template <typename T>
FREEHOLD_INLINE T* vector_at(const VectorsOf<T>& vectors, int64_t index) {
    return vectors.data + index / vectors.heads * vectors.row_stride + index % vectors.heads * vectors.head_stride;
}

// to[i] = function(to[i], from[i]) for i in [0, count).
template <typename Function>
FREEHOLD_INLINE void combine(float* to, const float* from, int64_t count, Function function) {
    constexpr int64_t wide = lanes_of<Widest>;
    int64_t i = 0;
    for (; i + wide <= count; i += wide) store_as(to + i, function(load_as<Widest>(to + i), load_as<Widest>(from + i)));
    for (; i + lanes <= count; i += lanes) store(to + i, function(load(to + i), load(from + i)));
    if (const int64_t rest = count - i; rest > 0)
        store_some(to + i, function(load_some(to + i, rest), load_some(from + i, rest)), rest);
}

// to[i] = function(to[i]) for i in [0, count).
template <typename Function>
FREEHOLD_INLINE void replace(float* to, int64_t count, Function function) {
    constexpr int64_t wide = lanes_of<Widest>;
    int64_t i = 0;
    for (; i + wide <= count; i += wide) store_as(to + i, function(load_as<Widest>(to + i)));
    for (; i + lanes <= count; i += lanes) store(to + i, function(load(to + i)));
    if (const int64_t rest = count - i; rest > 0) store_some(to + i, function(load_some(to + i, rest)), rest);
}

}  // namespace freehold::FREEHOLD_ISA
