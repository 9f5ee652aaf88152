// The dot products of dots.hpp with AVX2.
#pragma once

#include "kernels/dots_sixteen.hpp"
#include "kernels/panels.hpp"

namespace freehold::FREEHOLD_ISA {

constexpr int tile_tokens = 4;
constexpr int tile_panels = 2;

// Left alone, GCC computes all products of a block before it adds any of them up, and spills most of them.
FREEHOLD_INLINE void keep_order(__m256i& sums) { asm("" : "+x"(sums)); }

using Quad = __m256i;
template <int>
FREEHOLD_INLINE Quad load_quad(const int8_t* from) { return _mm256_set1_epi32(load_as<int32_t>(from)); }

// Twice the floats of 4 bits, plus 12.
FREEHOLD_INLINE Bytes float4_codes(Bytes nibbles) {
    const __m256i table = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    return (Bytes)_mm256_shuffle_epi8(table, (__m256i)nibbles);
}

// An integer for each row, twice in 16 bits.
template <int>
struct RowScales {
    __m256i twice;

    FREEHOLD_INLINE RowScales load(const uint8_t* from, int64_t) {
        const __m256i bytes = _mm256_set1_epi64x(load_as<int64_t>(from));
        const __m256i upper = _mm256_setr_epi8(-1, 0, -1, 0, -1, 1, -1, 1, -1, 2, -1, 2, -1, 3, -1, 3,
                                               -1, 4, -1, 4, -1, 5, -1, 5, -1, 6, -1, 6, -1, 7, -1, 7);
        return {_mm256_srai_epi16(_mm256_shuffle_epi8(bytes, upper), 8)};
    }
};

// Sixteen sums of 16 bits, two per row.
template <int>
struct NibbleDot {
    __m256i sums;

    FREEHOLD_INLINE NibbleDot start(int32_t sums) { return {_mm256_set1_epi32(sums)}; }
    inline __attribute__((always_inline)) void add(Bytes codes, Quad quad) {
        sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16((__m256i)codes, quad));
        keep_order(sums);
    }
    inline __attribute__((always_inline)) Ints total() const {
        return (Ints)_mm256_madd_epi16(sums, _mm256_set1_epi16(1));
    }
    inline __attribute__((always_inline)) Ints total(RowScales<1> scales) const {
        return (Ints)_mm256_madd_epi16(sums, scales.twice);
    }
};

// maddubs wants one unsigned side, so the weight's sign moves to the activation; -128 becomes 128 and still fits.
template <int>
struct ByteCodes {
    __m256i magnitude, codes;
    FREEHOLD_INLINE ByteCodes load(const uint8_t* from, int64_t) {
        const __m256i codes = (__m256i)load_as<Bytes>(from);
        return {_mm256_abs_epi8(codes), codes};
    }
};

template <int>
struct ByteDot {
    __m256i sums;

    FREEHOLD_INLINE ByteDot start(int32_t) { return {_mm256_setzero_si256()}; }
    inline __attribute__((always_inline)) void add(const ByteCodes<1>& codes, Quad quad) {
        const __m256i products = _mm256_maddubs_epi16(codes.magnitude, _mm256_sign_epi8(quad, codes.codes));
        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(products, _mm256_set1_epi16(1)));
        keep_order(sums);
    }
    inline __attribute__((always_inline)) Ints total() const { return (Ints)sums; }
};

}  // namespace freehold::FREEHOLD_ISA
