// What dots_four.hpp lacks, with sdot, which multiplies signed bytes by signed ones.
#pragma once

#include "kernels/panels.hpp"

namespace freehold::FREEHOLD_ISA {

constexpr int tile_tokens = 4;
constexpr int tile_panels = 2;
constexpr uint8_t byte_offset = 0;

template <int>
using Quad = int8x16_t;
template <int>
FREEHOLD_INLINE int8x16_t load_quad(const int8_t* from) {
    return vreinterpretq_s8_s32(vdupq_n_s32(load_as<int32_t>(from)));
}

FREEHOLD_INLINE Ints multiply_bytes(Ints sums, Bytes codes, int8x16_t quad) {
    return {(FourInts)vdotq_s32((int32x4_t)sums.low, (int8x16_t)codes.low, quad),
            (FourInts)vdotq_s32((int32x4_t)sums.high, (int8x16_t)codes.high, quad)};
}

// Twice the floats of 4 bits, plus 12.
FREEHOLD_INLINE Bytes float4_codes(Bytes nibbles) {
    const uint8x16_t table = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
    return {(SixteenBytes)vqtbl1q_u8(table, (uint8x16_t)nibbles.low),
            (SixteenBytes)vqtbl1q_u8(table, (uint8x16_t)nibbles.high)};
}

}  // namespace freehold::FREEHOLD_ISA
