// Integer dot products of four columns at a time, for eight rows side by side; layout.hpp shows that they are exact.
//
// Both versions offer: tile_tokens and tile_panels, of which a kernel holds the sums at once; Quad, four activations
// repeated for every row; NibbleDot for unsigned codes of up to 5 bits; float4_codes to make such of floats of 4 bits;
// ByteCodes and ByteDot for signed codes of 8 bits.
#pragma once

#include "kernels/simd.hpp"

namespace freehold::FREEHOLD_ISA {

#if defined(__AVX2__)

constexpr int tile_tokens = 4;
constexpr int tile_panels = 2;

// Left alone, GCC computes all products of a block before it adds any of them up, and spills most of them.
FREEHOLD_INLINE void keep_order(__m256i& sums) { asm("" : "+x"(sums)); }

using Quad = __m256i;
FREEHOLD_INLINE Quad load_quad(const int8_t* from) { return _mm256_set1_epi32(load_as<int32_t>(from)); }

// Twice the floats of 4 bits, plus 12.
FREEHOLD_INLINE Bytes float4_codes(Bytes nibbles) {
    const __m256i table = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    return (Bytes)_mm256_shuffle_epi8(table, (__m256i)nibbles);
}

// Sixteen sums of 16 bits, two per row.
struct NibbleDot {
    __m256i sums;

    FREEHOLD_INLINE NibbleDot start(int32_t pairs, int16_t factor) {
        return {_mm256_mullo_epi16(_mm256_set1_epi32(pairs), _mm256_set1_epi16(factor))};
    }
    inline __attribute__((always_inline)) void add(Bytes codes, Quad quad) {
        sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16((__m256i)codes, quad));
        keep_order(sums);
    }
    inline __attribute__((always_inline)) Ints total() const {
        return (Ints)_mm256_madd_epi16(sums, _mm256_set1_epi16(1));
    }
};

// maddubs wants one unsigned side, so the weight's sign moves to the activation; -128 becomes 128 and still fits.
struct ByteCodes {
    __m256i magnitude, codes;
    FREEHOLD_INLINE ByteCodes load(const uint8_t* from) {
        const __m256i codes = (__m256i)load_as<Bytes>(from);
        return {_mm256_abs_epi8(codes), codes};
    }
};
struct ByteDot {
    __m256i sums;

    FREEHOLD_INLINE ByteDot start() { return {_mm256_setzero_si256()}; }
    inline __attribute__((always_inline)) void add(const ByteCodes& codes, Quad quad) {
        const __m256i products = _mm256_maddubs_epi16(codes.magnitude, _mm256_sign_epi8(quad, codes.codes));
        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(products, _mm256_set1_epi16(1)));
        keep_order(sums);
    }
    inline __attribute__((always_inline)) Ints total() const { return (Ints)sums; }
};

#else

constexpr int tile_tokens = 2;
constexpr int tile_panels = 1;

using Shorts = int16_t __attribute__((vector_size(32)));
using UnsignedShorts = uint16_t __attribute__((vector_size(32)));

// Bytes as the 16-bit numbers that plain instructions multiply: columns 0 and 2 of each row, and columns 1 and 3.
struct Halved {
    Shorts even, odd;

    FREEHOLD_INLINE Halved of_unsigned(Bytes bytes) {
        return {(Shorts)bytes & 0xff, (Shorts)((UnsignedShorts)bytes >> 8)};
    }
    FREEHOLD_INLINE Halved of_signed(Bytes bytes) { return {(Shorts)bytes << 8 >> 8, (Shorts)bytes >> 8}; }
    inline __attribute__((always_inline)) Shorts times(const Halved& other) const {
        return even * other.even + odd * other.odd;
    }
};

using Quad = Halved;
FREEHOLD_INLINE Quad load_quad(const int8_t* from) {
    return Halved::of_signed((Bytes)broadcast(load_as<int32_t>(from)));
}

// Both 16-bit halves of each 32 bits.
FREEHOLD_INLINE Ints sum_halves(Shorts sums) { return ((Ints)sums << 16 >> 16) + ((Ints)sums >> 16); }

// Twice the floats of 4 bits, plus 12. The magnitudes 0, 1, 2, 3, 4, 6, 8, 12 are index + max(index - 4, 0), and 2 more
// for the last.
FREEHOLD_INLINE Bytes float4_codes(Bytes nibbles) {
    const Bytes index = nibbles & 7;
    const Bytes magnitude = index + ((Bytes)(index > 4) & (index - 4)) + ((Bytes)(index == 7) & 2);
    return nibbles > 7 ? 12 - magnitude : 12 + magnitude;
}

struct NibbleDot {
    Shorts sums;

    FREEHOLD_INLINE NibbleDot start(int32_t pairs, int16_t factor) { return {(Shorts)broadcast(pairs) * factor}; }
    inline __attribute__((always_inline)) void add(Bytes codes, const Quad& quad) {
        sums += Halved::of_unsigned(codes).times(quad);
    }
    inline __attribute__((always_inline)) Ints total() const { return sum_halves(sums); }
};

struct ByteCodes {
    Halved codes;
    FREEHOLD_INLINE ByteCodes load(const uint8_t* from) { return {Halved::of_signed(load_as<Bytes>(from))}; }
};
struct ByteDot {
    Ints sums;

    FREEHOLD_INLINE ByteDot start() { return {Ints{}}; }
    inline __attribute__((always_inline)) void add(const ByteCodes& codes, const Quad& quad) {
        sums += sum_halves(codes.codes.times(quad));
    }
    inline __attribute__((always_inline)) Ints total() const { return sums; }
};

#endif

}  // namespace freehold::FREEHOLD_ISA
