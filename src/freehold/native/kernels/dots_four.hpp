// The dot products of dots.hpp with an instruction that multiplies four bytes by four and adds all products to a sum of
// 32 bits. Nothing can overflow, so that codes of 8 bits need no other way than those of 4.
#pragma once

#if defined(__ARM_FEATURE_DOTPROD)
#include "kernels/dots_neon.hpp"
#else
#include "kernels/dots_vnni.hpp"
#endif

namespace freehold::FREEHOLD_ISA {

constexpr int sums_of_five_bits = 1;

FREEHOLD_INLINE int32_t first_sums(int32_t first, int32_t second) { return first + second; }
FREEHOLD_INLINE int32_t scaled_sums(int32_t sums, int32_t factor) { return sums * factor; }

// An integer for each row.
template <int Panels>
struct RowScales {
    using Ints = typename Rows<Panels>::Ints;
    Ints values;

    FREEHOLD_INLINE RowScales load(const uint8_t* from, int64_t apart) {
        return {(Ints)Rows<Panels>::load_words(from, apart) << 24 >> 24};
    }
};

template <int Panels>
struct NibbleDot {
    using Ints = typename Rows<Panels>::Ints;
    Ints sums;

    FREEHOLD_INLINE NibbleDot start(int32_t sums) { return {Rows<Panels>::broadcast(sums)}; }
    inline __attribute__((always_inline)) void add(typename Rows<Panels>::Bytes codes, Quad<Panels> quad) {
        sums = multiply_bytes(sums, codes, quad);
    }
    inline __attribute__((always_inline)) Ints total() const { return sums; }
    inline __attribute__((always_inline)) Ints total(RowScales<Panels> scales) const { return sums * scales.values; }
};

// As the instruction wants them, which is `byte_offset` more than they are.
template <int Panels>
struct ByteCodes {
    typename Rows<Panels>::Bytes codes;

    FREEHOLD_INLINE ByteCodes load(const uint8_t* from, int64_t apart) {
        return {Rows<Panels>::load_bytes(from, apart) ^ byte_offset};
    }
};

template <int Panels>
struct ByteDot {
    using Ints = typename Rows<Panels>::Ints;
    Ints sums;

    FREEHOLD_INLINE ByteDot start(int32_t sums) { return {Rows<Panels>::broadcast(sums)}; }
    inline __attribute__((always_inline)) void add(const ByteCodes<Panels>& weight, Quad<Panels> quad) {
        sums = multiply_bytes(sums, weight.codes, quad);
    }
    inline __attribute__((always_inline)) Ints total() const { return sums; }
};

}  // namespace freehold::FREEHOLD_ISA
