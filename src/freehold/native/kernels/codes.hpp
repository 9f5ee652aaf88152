// Floats as codes of 8 bits: what quantised activations and caches share.
#pragma once

#include "kernels/wide.hpp"

namespace freehold::FREEHOLD_ISA {

// To the nearest integer, ties to even, for |x| < 2^22.
template <typename Vector>
FREEHOLD_INLINE IntsOf<Vector> round_to_integer(Vector x) {
    constexpr float magic = 0x1.8p23f;
    return bits<IntsOf<Vector>>(x + magic) - bits<int32_t>(magic);
}

// As integers without the sign bit floats keep their order, with infinity and NaN above all others.
template <typename Vector, int64_t count>
FREEHOLD_INLINE uint32_t largest_magnitude(const Vector (&values)[count]) {
    WordsOf<Vector> largest{};
    for (int64_t i = 0; i < count; ++i) largest = larger_of(bits<WordsOf<Vector>>(values[i]) & 0x7fffffff, largest);
#if defined(__AVX512F__)
    if constexpr (is_wide<Vector>)
        return largest_lane((Words)larger_of(first_half((WideInts)largest), second_half((WideInts)largest)));
    else
#endif
        return largest_lane(largest);
}

FREEHOLD_INLINE void store_codes(int8_t* to, Ints values) { store_as(to, narrow(values)); }
#if defined(__AVX512F__)
FREEHOLD_INLINE void store_codes(int8_t* to, WideInts values) { store_as(to, _mm512_cvtepi32_epi8((__m512i)values)); }
#endif

FREEHOLD_INLINE Floats load_codes(const int8_t* from) {
    return to_floats((Ints)widen_bytes(load_as<EightBytes>(from)) << 24 >> 24);
}

}  // namespace freehold::FREEHOLD_ISA
