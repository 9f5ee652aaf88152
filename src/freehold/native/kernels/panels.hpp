// One panel's eight rows in a vector or, where vectors are wide enough, two panels' sixteen rows side by side.
//
// Kernels written over Rows<Panels> do the same to every row, so that the width changes no result. Where two panels are
// loaded, the second one's part lies `apart` bytes behind the first one's.
#pragma once

#include "kernels/wide.hpp"

namespace freehold::FREEHOLD_ISA {

template <int Panels>
struct Rows;

template <>
struct Rows<1> {
    using Floats = FREEHOLD_ISA::Floats;
    using Ints = FREEHOLD_ISA::Ints;
    using Words = FREEHOLD_ISA::Words;
    using Bytes = FREEHOLD_ISA::Bytes;

    FREEHOLD_INLINE Floats broadcast(float x) { return FREEHOLD_ISA::broadcast(x); }
    FREEHOLD_INLINE Ints broadcast(int32_t x) { return FREEHOLD_ISA::broadcast(x); }
    FREEHOLD_INLINE Bytes load_bytes(const uint8_t* from, int64_t) { return load_as<Bytes>(from); }
    FREEHOLD_INLINE Floats load(const float* from, int64_t) { return FREEHOLD_ISA::load(from); }
    FREEHOLD_INLINE Floats load_half(const uint16_t* from, int64_t) { return FREEHOLD_ISA::load_half(from); }
    FREEHOLD_INLINE Floats load_bfloat(const uint16_t* from, int64_t) { return FREEHOLD_ISA::load_bfloat(from); }
    FREEHOLD_INLINE Floats load_float8(const uint8_t* from, int64_t) { return FREEHOLD_ISA::load_float8(from); }
    FREEHOLD_INLINE Words load_words(const uint8_t* from, int64_t) { return widen_bytes(load_as<EightBytes>(from)); }
};

#if defined(__AVX512F__)

constexpr int most_panels_in_vector = 2;

// Of which the kernels for float formats hold the sums at once.
constexpr int float_tile_tokens = 8;
constexpr int float_tile_panels = 4;

using WideBytes = uint8_t __attribute__((vector_size(64)));

FREEHOLD_INLINE Wide to_floats(WideInts x) { return _mm512_cvtepi32_ps((__m512i)x); }

template <>
struct Rows<2> {
    using Floats = Wide;
    using Ints = WideInts;
    using Words = WideWords;
    using Bytes = WideBytes;

    FREEHOLD_INLINE Floats broadcast(float x) { return _mm512_set1_ps(x); }
    FREEHOLD_INLINE Ints broadcast(int32_t x) { return (Ints)_mm512_set1_epi32(x); }
    FREEHOLD_INLINE Bytes load_bytes(const uint8_t* from, int64_t apart) { return (Bytes)join32(from, apart); }
    FREEHOLD_INLINE Floats load(const float* from, int64_t apart) { return (Floats)join32(from, apart); }
    FREEHOLD_INLINE Floats load_half(const uint16_t* from, int64_t apart) {
        return _mm512_cvtph_ps(join16(from, apart));
    }
    FREEHOLD_INLINE Floats load_bfloat(const uint16_t* from, int64_t apart) {
        return (Floats)_mm512_slli_epi32(_mm512_cvtepu16_epi32(join16(from, apart)), 16);
    }
    // As load_float8 of eight.
    FREEHOLD_INLINE Floats load_float8(const uint8_t* from, int64_t apart) {
        const __m256i upper = _mm256_slli_epi16(_mm256_cvtepu8_epi16(join8(from, apart)), 8);
        return _mm512_cvtph_ps(
            _mm256_and_si256(_mm256_srai_epi16(upper, 1), _mm256_set1_epi16(static_cast<int16_t>(0xbfff))));
    }
    FREEHOLD_INLINE Words load_words(const uint8_t* from, int64_t apart) {
        return (Words)(Words)_mm512_cvtepu8_epi32(join8(from, apart));
    }

private:
    FREEHOLD_INLINE const char* second(const void* from, int64_t apart) {
        return static_cast<const char*>(from) + apart;
    }
    FREEHOLD_INLINE __m512i join32(const void* from, int64_t apart) {
        const __m512i first = _mm512_castsi256_si512(load_as<__m256i>(from));
        return _mm512_inserti64x4(first, load_as<__m256i>(second(from, apart)), 1);
    }
    FREEHOLD_INLINE __m256i join16(const void* from, int64_t apart) {
        const __m256i first = _mm256_castsi128_si256(load_as<__m128i>(from));
        return _mm256_inserti128_si256(first, load_as<__m128i>(second(from, apart)), 1);
    }
    FREEHOLD_INLINE __m128i join8(const void* from, int64_t apart) {
        return _mm_unpacklo_epi64(_mm_loadu_si64(from), _mm_loadu_si64(second(from, apart)));
    }
};

#else

constexpr int most_panels_in_vector = 1;
constexpr int float_tile_tokens = 4;
constexpr int float_tile_panels = 2;

#endif

// How many of so many panels share a vector.
constexpr int panels_in_vector(int panels) { return panels % most_panels_in_vector == 0 ? most_panels_in_vector : 1; }

}  // namespace freehold::FREEHOLD_ISA
