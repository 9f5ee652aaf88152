// The dot products of dots.hpp with nothing but what every compiler offers.
#pragma once

#include "kernels/dots_sixteen.hpp"
#include "kernels/panels.hpp"

namespace freehold::FREEHOLD_ISA {

constexpr int tile_tokens = 2;
constexpr int tile_panels = 1;

using EightShorts = int16_t __attribute__((vector_size(16)));
using Shorts = Pair<EightShorts>;
using UnsignedShorts = Pair<Halves>;

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
template <int>
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
    return select(nibbles > 7, 12 - magnitude, 12 + magnitude);
}

// An integer for each row.
template <int>
struct RowScales {
    Ints values;

    FREEHOLD_INLINE RowScales load(const uint8_t* from, int64_t) {
        return {(Ints)widen_bytes(load_as<EightBytes>(from)) << 24 >> 24};
    }
};

template <int>
struct NibbleDot {
    Shorts sums;

    FREEHOLD_INLINE NibbleDot start(int32_t sums) { return {(Shorts)broadcast(sums)}; }
    inline __attribute__((always_inline)) void add(Bytes codes, const Quad& quad) {
        sums += Halved::of_unsigned(codes).times(quad);
    }
    inline __attribute__((always_inline)) Ints total() const { return sum_halves(sums); }
    inline __attribute__((always_inline)) Ints total(RowScales<1> scales) const { return total() * scales.values; }
};

template <int>
struct ByteCodes {
    Halved codes;
    FREEHOLD_INLINE ByteCodes load(const uint8_t* from, int64_t) { return {Halved::of_signed(load_as<Bytes>(from))}; }
};

template <int>
struct ByteDot {
    Ints sums;

    FREEHOLD_INLINE ByteDot start(int32_t) { return {Ints{}}; }
    inline __attribute__((always_inline)) void add(const ByteCodes<1>& codes, const Quad& quad) {
        sums += sum_halves(codes.codes.times(quad));
    }
    inline __attribute__((always_inline)) Ints total() const { return sums; }
};

}  // namespace freehold::FREEHOLD_ISA
