// Vectors of sixteen floats where the processor has such. Each element is computed as one of Floats is, so a kernel that
// is written over `Widest` gives the same with either.
#pragma once

#include <type_traits>

#include "kernels/simd.hpp"

namespace freehold::FREEHOLD_ISA {

#if defined(__AVX512F__)

using Wide = float __attribute__((vector_size(64)));
using WideInts = int32_t __attribute__((vector_size(64)));
using WideWords = uint32_t __attribute__((vector_size(64)));
using Widest = Wide;

FREEHOLD_INLINE Wide multiply_add(Wide a, Wide b, Wide c) { return _mm512_fmadd_ps(a, b, c); }
FREEHOLD_INLINE void store(float* to, Wide value) { store_as(to, value); }

FREEHOLD_INLINE Wide wide_of_halves(__m256i x) { return _mm512_cvtph_ps(x); }
FREEHOLD_INLINE Wide wide_of_bfloats(__m256i x) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}
FREEHOLD_INLINE Wide wide_of_codes(__m128i x) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(x)); }

FREEHOLD_INLINE Floats first_half(Wide x) { return _mm512_castps512_ps256(x); }
FREEHOLD_INLINE Floats second_half(Wide x) { return _mm512_extractf32x8_ps(x, 1); }
FREEHOLD_INLINE Ints first_half(WideInts x) { return (Ints)_mm512_castsi512_si256((__m512i)x); }
FREEHOLD_INLINE Ints second_half(WideInts x) { return (Ints)_mm512_extracti64x4_epi64((__m512i)x, 1); }

// Eight from one place and eight from another.
FREEHOLD_INLINE Wide load_two(const float* first, const float* second) {
    return _mm512_insertf32x8(_mm512_castps256_ps512(load(first)), load(second), 1);
}
FREEHOLD_INLINE __m256i load_two(const uint16_t* first, const uint16_t* second) {
    return _mm256_inserti128_si256(_mm256_castsi128_si256(load_as<__m128i>(first)), load_as<__m128i>(second), 1);
}
FREEHOLD_INLINE __m128i load_two(const int8_t* first, const int8_t* second) {
    return _mm_unpacklo_epi64(_mm_loadu_si64(first), _mm_loadu_si64(second));
}

#else

using Widest = Floats;

#endif

template <typename Vector>
constexpr int64_t lanes_of = sizeof(Vector) / sizeof(float);
template <typename Vector>
constexpr bool is_wide = lanes_of<Vector> > lanes;

template <typename Vector>
FREEHOLD_INLINE Vector repeated(float x) {
#if defined(__AVX512F__)
    if constexpr (is_wide<Vector>) return _mm512_set1_ps(x);
    else
#endif
        return broadcast(x);
}

// Integers of as many lanes.
#if defined(__AVX512F__)
template <typename Vector>
using WordsOf = std::conditional_t<is_wide<Vector>, WideWords, Words>;
template <typename Vector>
using IntsOf = std::conditional_t<is_wide<Vector>, WideInts, Ints>;
#else
template <typename Vector>
using WordsOf = Words;
template <typename Vector>
using IntsOf = Ints;
#endif

}  // namespace freehold::FREEHOLD_ISA
