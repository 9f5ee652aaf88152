// What simd.hpp lacks, with AVX2.
#pragma once

#include <immintrin.h>

namespace freehold::FREEHOLD_ISA {

// A bit for each lane of a comparison's result, that of the first lane the lowest.
FREEHOLD_INLINE uint32_t lane_bits(Ints compared) { return _mm256_movemask_ps((__m256)compared); }
// None has the sign bit.
FREEHOLD_INLINE uint32_t largest_lane(Words x) {
    const __m128i four = _mm_max_epi32(_mm256_castsi256_si128((__m256i)x), _mm256_extracti128_si256((__m256i)x, 1));
    const __m128i two = _mm_max_epi32(four, _mm_unpackhi_epi64(four, four));
    return static_cast<uint32_t>(_mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 1))));
}
// Of lanes 0, 1, 4 and 5 of a, and of the others; the same of b.
FREEHOLD_INLINE void store_pair_sums(int32_t* to, Ints a, Ints b) {
    const auto folded = [](__m256i x) { return _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1)); };
    store_as(to, _mm_hadd_epi32(folded((__m256i)a), folded((__m256i)b)));
}
FREEHOLD_INLINE Words widen(Halves x) { return (Words)_mm256_cvtepu16_epi32((__m128i)x); }
FREEHOLD_INLINE Words widen_bytes(EightBytes x) { return (Words)_mm256_cvtepu8_epi32(_mm_loadu_si64(&x)); }
FREEHOLD_INLINE EightCodes narrow(Ints x) { return __builtin_convertvector(x, EightCodes); }
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

// The first four lanes of both in turn, and the last four.
FREEHOLD_INLINE Floats interleave_low(Floats a, Floats b) {
    return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}
FREEHOLD_INLINE Floats interleave_high(Floats a, Floats b) {
    return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

}  // namespace freehold::FREEHOLD_ISA
