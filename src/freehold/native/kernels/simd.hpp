// Vectors of eight floats, the same names for every instruction set.
//
// GCC's and Clang's vector types give arithmetic, comparison and selection everywhere; what they lack follows below in
// two versions. All functions are forced inline: a function that the linker could share between instruction sets must
// not exist.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define FREEHOLD_INLINE static inline __attribute__((always_inline))

namespace freehold::FREEHOLD_ISA {

constexpr int64_t lanes = 8;

using Floats = float __attribute__((vector_size(32)));
using Ints = int32_t __attribute__((vector_size(32)));
using Words = uint32_t __attribute__((vector_size(32)));
using Halves = uint16_t __attribute__((vector_size(16)));
using Bytes = uint8_t __attribute__((vector_size(32)));
using EightBytes = uint8_t __attribute__((vector_size(8)));

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

// NaN in y stays.
FREEHOLD_INLINE Floats smaller(float bound, Floats y) { return broadcast(bound) < y ? broadcast(bound) : y; }
FREEHOLD_INLINE Floats larger(float bound, Floats y) { return broadcast(bound) > y ? broadcast(bound) : y; }

FREEHOLD_INLINE float sum(Floats v) {
    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}

#if defined(__AVX2__)

// A bit for each lane of a comparison's result, that of the first lane the lowest.
FREEHOLD_INLINE uint32_t lane_bits(Ints compared) { return _mm256_movemask_ps((__m256)compared); }
FREEHOLD_INLINE Words widen(Halves x) { return (Words)_mm256_cvtepu16_epi32((__m128i)x); }
FREEHOLD_INLINE Words widen_bytes(EightBytes x) { return (Words)_mm256_cvtepu8_epi32(_mm_loadu_si64(&x)); }
FREEHOLD_INLINE Floats multiply_add(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
FREEHOLD_INLINE Floats to_floats(Ints x) { return _mm256_cvtepi32_ps((__m256i)x); }
FREEHOLD_INLINE Floats load_half(const uint16_t* from) { return _mm256_cvtph_ps((__m128i)load_as<Halves>(from)); }
// E4M3, times 2^-8: a float16 has one more bit of exponent, and a bias larger by 8. The shift repeats the sign where
// that bit goes.
FREEHOLD_INLINE Floats load_float8(const uint8_t* from) {
    const __m128i upper = _mm_unpacklo_epi8(_mm_setzero_si128(), _mm_loadu_si64(from));
    return _mm256_cvtph_ps(_mm_and_si128(_mm_srai_epi16(upper, 1), _mm_set1_epi16(static_cast<int16_t>(0xbfff))));
}
FREEHOLD_INLINE Halves to_half(Floats x) {
    return (Halves)_mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

#else

FREEHOLD_INLINE uint32_t lane_bits(Ints compared) {
    constexpr Ints bit{1, 2, 4, 8, 16, 32, 64, 128};
    const Ints set = compared & bit;
    return ((set[0] | set[4]) | (set[2] | set[6])) | ((set[1] | set[5]) | (set[3] | set[7]));
}
FREEHOLD_INLINE Words widen(Halves x) {
    constexpr Halves zeros{};
    const Halves halves[2] = {__builtin_shufflevector(x, zeros, 0, 8, 1, 9, 2, 10, 3, 11),
                              __builtin_shufflevector(x, zeros, 4, 12, 5, 13, 6, 14, 7, 15)};
    return load_as<Words>(halves);
}
FREEHOLD_INLINE Words widen_bytes(EightBytes x) { return widen(__builtin_convertvector(x, Halves)); }
FREEHOLD_INLINE Floats multiply_add(Floats a, Floats b, Floats c) { return a * b + c; }
FREEHOLD_INLINE Floats to_floats(Ints x) { return __builtin_convertvector(x, Floats); }

// Moves exponent and fraction into place; multiplying by 2^112 mends the exponent, for subnormal numbers too.
FREEHOLD_INLINE Floats load_half(const uint16_t* from) {
    const Ints half = (Ints)widen(load_as<Halves>(from));
    const Ints magnitude = half & 0x7fff;
    const Ints shifted = bits<Ints>(bits<Floats>(magnitude << 13) * 0x1p112f);
    const Ints special = (magnitude > 0x7bff) & 0x7f800000;  // infinity and NaN keep the highest exponent
    return bits<Floats>(shifted | special | (half & 0x8000) << 16);
}

// E4M3, times 2^-8, as load_half does it.
FREEHOLD_INLINE Floats load_float8(const uint8_t* from) {
    const Words code = widen_bytes(load_as<EightBytes>(from));
    const Words magnitude = bits<Words>(bits<Floats>((code & 0x7f) << 20) * 0x1p112f);
    return bits<Floats>(magnitude | (code & 0x80) << 24);
}

// To nearest, ties to even. Below 2^-14, where float16 has fixed steps of 2^-24, adding 0.5 leaves the rounding to the
// adder: the last bit of a float32 in [0.5, 1) is 2^-24.
FREEHOLD_INLINE Halves to_half(Floats x) {
    const Words word = bits<Words>(x);
    const Words sign = word >> 16 & 0x8000;
    const Words magnitude = word & 0x7fffffff;
    const Words small = bits<Words>(bits<Floats>(magnitude) + 0.5f) - 0x3f000000u;
    const Words odd = magnitude >> 13 & 1;
    const Words normal = (magnitude - 0x38000000u + 0xfff + odd) >> 13;
    const Words overflow = magnitude > 0x7f800000 ? Words{} + 0x7e00u : Words{} + 0x7c00u;
    const Words finite = magnitude < 0x38800000 ? small : normal;
    return __builtin_convertvector(sign | (magnitude >= 0x477ff000 ? overflow : finite), Halves);
}

#endif

FREEHOLD_INLINE Floats load_bfloat(const uint16_t* from) { return bits<Floats>(widen(load_as<Halves>(from)) << 16); }

}  // namespace freehold::FREEHOLD_ISA
