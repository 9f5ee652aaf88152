// Vectors of eight floats, the same names for every instruction set.
//
// GCC's and Clang's vector types give arithmetic and comparison everywhere; what they lack follows in simd_avx2.hpp,
// simd_neon.hpp and simd_portable.hpp, which are parts of this header.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/inline.hpp"
#include "kernels/pairs.hpp"

namespace freehold::FREEHOLD_ISA {

constexpr int64_t lanes = 8;

#if defined(__AVX2__)
using Floats = float __attribute__((vector_size(32)));
using Ints = int32_t __attribute__((vector_size(32)));
using Words = uint32_t __attribute__((vector_size(32)));
using Bytes = uint8_t __attribute__((vector_size(32)));
#else
using FourFloats = float __attribute__((vector_size(16)));
using FourInts = int32_t __attribute__((vector_size(16)));
using FourWords = uint32_t __attribute__((vector_size(16)));
using SixteenBytes = uint8_t __attribute__((vector_size(16)));
using Floats = Pair<FourFloats>;
using Ints = Pair<FourInts>;
using Words = Pair<FourWords>;
using Bytes = Pair<SixteenBytes>;
#endif
using Halves = uint16_t __attribute__((vector_size(16)));
using EightBytes = uint8_t __attribute__((vector_size(8)));
using EightCodes = int8_t __attribute__((vector_size(8)));

FREEHOLD_INLINE Floats broadcast(float x) { return Floats{x, x, x, x, x, x, x, x}; }
FREEHOLD_INLINE Ints broadcast(int32_t x) { return Ints{x, x, x, x, x, x, x, x}; }

template <typename Vector>
FREEHOLD_INLINE Vector load_as(const void* from) {
    Vector value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

template <typename Vector>
FREEHOLD_INLINE void store_as(void* to, Vector value) {
    std::memcpy(to, &value, sizeof value);
}

FREEHOLD_INLINE Floats load(const float* from) { return load_as<Floats>(from); }
FREEHOLD_INLINE void store(float* to, Floats value) { store_as(to, value); }

// The first `count` of eight, zeros behind them; and the reverse. For the ends of rows.
FREEHOLD_INLINE Floats load_some(const float* from, int64_t count) {
    float values[lanes] = {};
    std::memcpy(values, from, count * sizeof(float));
    return load(values);
}
FREEHOLD_INLINE void store_some(float* to, Floats value, int64_t count) {
    std::memcpy(to, &value, count * sizeof(float));
}

template <typename To, typename From>
FREEHOLD_INLINE To bits(From value) {
    static_assert(sizeof(To) == sizeof(From));
    To result;
    std::memcpy(&result, &value, sizeof result);
    return result;
}

// Lane by lane a where the mask is set, else b.
template <typename Mask, typename Vector>
FREEHOLD_INLINE Vector select(Mask mask, Vector a, Vector b) {
    return mask ? a : b;
}

// The larger of each lane, b where they do not compare. GCC finds the instruction in this form, not in that of select.
template <typename Vector>
FREEHOLD_INLINE Vector larger_of(Vector a, Vector b) {
    return a > b ? a : b;
}

FREEHOLD_INLINE float sum(Floats v) {
    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

}  // namespace freehold::FREEHOLD_ISA

#if defined(__AVX2__)
#include "kernels/simd_avx2.hpp"
#elif defined(__ARM_NEON)
#include "kernels/simd_neon.hpp"
#else
#include "kernels/simd_portable.hpp"
#endif

namespace freehold::FREEHOLD_ISA {

FREEHOLD_INLINE float bfloat_to_float(uint16_t x) { return bits<float>(static_cast<uint32_t>(x) << 16); }
FREEHOLD_INLINE Floats load_bfloat(const uint16_t* from) { return bits<Floats>(widen(load_as<Halves>(from)) << 16); }

}  // namespace freehold::FREEHOLD_ISA
