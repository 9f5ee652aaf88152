// One float16 or bfloat16 at a time, for packing and looking up; the kernels have vectors of them.
#pragma once

#include <bit>
#include <cstdint>

namespace freehold {

inline float half_to_float(uint16_t half) {
    const uint32_t magnitude = half & 0x7fff;
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
    if (magnitude >= 0x7c00) return std::bit_cast<float>(sign | magnitude << 13 | 0x7f800000u);
    // Multiplying by 2^112 mends the exponent, for subnormal numbers too.
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude << 13) * 0x1p112f));
}

inline float bfloat_to_float(uint16_t value) { return std::bit_cast<float>(static_cast<uint32_t>(value) << 16); }

// To nearest, ties to even.
inline uint16_t float_to_bfloat(float value) {
    const uint32_t word = std::bit_cast<uint32_t>(value);
    if ((word & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>(word >> 16 | 0x40);
    return static_cast<uint16_t>((word + 0x7fff + (word >> 16 & 1)) >> 16);
}

}  // namespace freehold
