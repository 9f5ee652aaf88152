// What the dot products of dots.hpp share that add up in 16 bits: the sums of columns 0, 1 and of columns 2, 3 of every
// step lie side by side, each modulo 2^16.
#pragma once

#include <cstdint>

#include "kernels/inline.hpp"

namespace freehold::FREEHOLD_ISA {

constexpr int sums_of_five_bits = 2;
constexpr uint8_t byte_offset = 0;

FREEHOLD_INLINE int32_t first_sums(int32_t first, int32_t second) {
    return static_cast<int32_t>(static_cast<uint16_t>(first) | static_cast<uint32_t>(second) << 16);
}
FREEHOLD_INLINE int32_t scaled_sums(int32_t sums, int32_t factor) {
    return first_sums(static_cast<int16_t>(sums) * factor, (sums >> 16) * factor);
}

}  // namespace freehold::FREEHOLD_ISA
