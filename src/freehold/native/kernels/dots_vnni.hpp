// What dots_four.hpp lacks, with vpdpbusd, which multiplies unsigned bytes by signed ones: codes of 8 bits get 128 added,
// and 128 * S is taken off beforehand.
#pragma once

#include "kernels/panels.hpp"

namespace freehold::FREEHOLD_ISA {

constexpr uint8_t byte_offset = 128;

// Twice the floats of 4 bits, plus 12.
FREEHOLD_INLINE __m128i float4_table() {
    return _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0);
}
FREEHOLD_INLINE Bytes float4_codes(Bytes nibbles) {
    return (Bytes)_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(float4_table()), (__m256i)nibbles);
}

#if defined(__AVX512VNNI__)

constexpr int tile_tokens = 6;
constexpr int tile_panels = 4;

FREEHOLD_INLINE Ints multiply_bytes(Ints sums, Bytes codes, Ints quad) {
    return (Ints)_mm256_dpbusd_epi32((__m256i)sums, (__m256i)codes, (__m256i)quad);
}
FREEHOLD_INLINE WideInts multiply_bytes(WideInts sums, WideBytes codes, WideInts quad) {
    return (WideInts)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)codes, (__m512i)quad);
}
FREEHOLD_INLINE WideBytes float4_codes(WideBytes nibbles) {
    return (WideBytes)_mm512_shuffle_epi8(_mm512_broadcast_i32x4(float4_table()), (__m512i)nibbles);
}

#else

constexpr int tile_tokens = 4;
constexpr int tile_panels = 2;

FREEHOLD_INLINE Ints multiply_bytes(Ints sums, Bytes codes, Ints quad) {
    return (Ints)_mm256_dpbusd_avx_epi32((__m256i)sums, (__m256i)codes, (__m256i)quad);
}

#endif

template <int Panels>
using Quad = typename Rows<Panels>::Ints;
template <int Panels>
FREEHOLD_INLINE Quad<Panels> load_quad(const int8_t* from) {
    return Rows<Panels>::broadcast(load_as<int32_t>(from));
}

}  // namespace freehold::FREEHOLD_ISA
