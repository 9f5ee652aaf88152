// Floats as codes of 8 bits: what quantised activations and caches share.
#pragma once

#include "kernels/simd.hpp"

namespace freehold::FREEHOLD_ISA {

// To the nearest integer, ties to even, for |x| < 2^22.
FREEHOLD_INLINE Ints round_to_integer(Floats x) {
    constexpr float magic = 0x1.8p23f;
    return bits<Ints>(x + magic) - bits<int32_t>(magic);
}

// As integers without the sign bit floats keep their order, with infinity and NaN above all others.
template <int64_t count>
FREEHOLD_INLINE uint32_t largest_magnitude(const Floats (&values)[count]) {
    Words largest{};
    for (int64_t i = 0; i < count; ++i) {
        const Words magnitude = bits<Words>(values[i]) & 0x7fffffff;
        largest = larger_of(magnitude, largest);
    }
    uint32_t result = 0;
    for (int64_t lane = 0; lane < lanes; ++lane) result = largest[lane] > result ? largest[lane] : result;
    return result;
}

FREEHOLD_INLINE void store_codes(int8_t* to, Ints values) { store_as(to, narrow(values)); }

FREEHOLD_INLINE Floats load_codes(const int8_t* from) {
    return to_floats((Ints)widen_bytes(load_as<EightBytes>(from)) << 24 >> 24);
}

}  // namespace freehold::FREEHOLD_ISA
