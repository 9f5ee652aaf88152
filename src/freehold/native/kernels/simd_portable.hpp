// What simd.hpp lacks, with nothing but what every compiler offers.
#pragma once

namespace freehold::FREEHOLD_ISA {

// None has the sign bit.
FREEHOLD_INLINE uint32_t largest_lane(Words x) {
    const FourWords four = x.low > x.high ? x.low : x.high;
    const uint32_t first = four[0] > four[1] ? four[0] : four[1];
    const uint32_t second = four[2] > four[3] ? four[2] : four[3];
    return first > second ? first : second;
}
// Of lanes 0, 1, 4 and 5 of a, and of the others; the same of b.
FREEHOLD_INLINE void store_pair_sums(int32_t* to, Ints a, Ints b) {
    const FourInts first = a.low + a.high, second = b.low + b.high;
    store_as(to, FourInts{first[0] + first[1], first[2] + first[3], second[0] + second[1], second[2] + second[3]});
}
FREEHOLD_INLINE Words widen(Halves x) {
    constexpr Halves zeros{};
    return {(FourWords)__builtin_shufflevector(x, zeros, 0, 8, 1, 9, 2, 10, 3, 11),
            (FourWords)__builtin_shufflevector(x, zeros, 4, 12, 5, 13, 6, 14, 7, 15)};
}
FREEHOLD_INLINE Words widen_bytes(EightBytes x) { return widen(__builtin_convertvector(x, Halves)); }
// The low half of each lane.
FREEHOLD_INLINE Halves narrow(Words x) {
    return __builtin_shufflevector((Halves)x.low, (Halves)x.high, 0, 2, 4, 6, 8, 10, 12, 14);
}
FREEHOLD_INLINE EightCodes narrow(Ints x) { return __builtin_convertvector(narrow((Words)x), EightCodes); }
FREEHOLD_INLINE Floats multiply_add(Floats a, Floats b, Floats c) { return a * b + c; }
FREEHOLD_INLINE Floats to_floats(Ints x) {
    return {__builtin_convertvector(x.low, FourFloats), __builtin_convertvector(x.high, FourFloats)};
}

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
    const Words overflow = select(magnitude > 0x7f800000, (Words)broadcast(0x7e00), (Words)broadcast(0x7c00));
    const Words finite = select(magnitude < 0x38800000, small, normal);
    return narrow(sign | select(magnitude >= 0x477ff000, overflow, finite));
}

// The first four lanes of both in turn, and the last four.
FREEHOLD_INLINE Floats interleave(FourFloats a, FourFloats b) {
    return {__builtin_shufflevector(a, b, 0, 4, 1, 5), __builtin_shufflevector(a, b, 2, 6, 3, 7)};
}
FREEHOLD_INLINE Floats interleave_low(Floats a, Floats b) { return interleave(a.low, b.low); }
FREEHOLD_INLINE Floats interleave_high(Floats a, Floats b) { return interleave(a.high, b.high); }

}  // namespace freehold::FREEHOLD_ISA
