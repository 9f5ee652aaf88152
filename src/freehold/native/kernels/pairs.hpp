// A vector of eight lanes as two of the processor's, where that has none of 256 bits.
//
// The compilers' own vectors may be of any width, but GCC keeps those that are wider than a register in memory. A pair
// has what the kernels do with vectors: arithmetic, comparison, lanes, and casts that keep the bits.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/inline.hpp"

namespace freehold::FREEHOLD_ISA {

template <typename Half>
struct Pair {
    using Lane = std::remove_cvref_t<decltype(Half{}[0])>;
    static constexpr int64_t half_lanes = sizeof(Half) / sizeof(Lane);

    Half low, high;

    inline __attribute__((always_inline)) Lane operator[](int64_t lane) const {
        return lane < half_lanes ? low[lane] : high[lane - half_lanes];
    }
    template <typename Other>
    inline __attribute__((always_inline)) explicit operator Pair<Other>() const {
        return {(Other)low, (Other)high};
    }
};

template <typename Half>
FREEHOLD_INLINE Pair<Half> pair_of(Half low, Half high) {
    return {low, high};
}

// Between two pairs, and between a pair and a number for each of its lanes.
#define FREEHOLD_PAIR_OPERATOR(op)                                                \
    template <typename Half>                                                      \
    FREEHOLD_INLINE auto operator op(Pair<Half> a, Pair<Half> b) {                \
        return pair_of(a.low op b.low, a.high op b.high);                         \
    }                                                                             \
    template <typename Half>                                                      \
    FREEHOLD_INLINE auto operator op(Pair<Half> a, typename Pair<Half>::Lane b) { \
        return pair_of(a.low op b, a.high op b);                                  \
    }                                                                             \
    template <typename Half>                                                      \
    FREEHOLD_INLINE auto operator op(typename Pair<Half>::Lane a, Pair<Half> b) { \
        return pair_of(a op b.low, a op b.high);                                  \
    }

FREEHOLD_PAIR_OPERATOR(+)
FREEHOLD_PAIR_OPERATOR(-)
FREEHOLD_PAIR_OPERATOR(*)
FREEHOLD_PAIR_OPERATOR(/)
FREEHOLD_PAIR_OPERATOR(&)
FREEHOLD_PAIR_OPERATOR(|)
FREEHOLD_PAIR_OPERATOR(^)
FREEHOLD_PAIR_OPERATOR(<<)
FREEHOLD_PAIR_OPERATOR(>>)
FREEHOLD_PAIR_OPERATOR(<)
FREEHOLD_PAIR_OPERATOR(>)
FREEHOLD_PAIR_OPERATOR(>=)
FREEHOLD_PAIR_OPERATOR(==)

#undef FREEHOLD_PAIR_OPERATOR

template <typename Half>
FREEHOLD_INLINE Pair<Half> operator-(Pair<Half> a) {
    return {-a.low, -a.high};
}
template <typename Half>
FREEHOLD_INLINE Pair<Half> operator~(Pair<Half> a) {
    return {~a.low, ~a.high};
}
template <typename Half>
FREEHOLD_INLINE Pair<Half>& operator+=(Pair<Half>& a, Pair<Half> b) {
    return a = a + b;
}
template <typename Half>
FREEHOLD_INLINE Pair<Half>& operator*=(Pair<Half>& a, Pair<Half> b) {
    return a = a * b;
}
template <typename Half>
FREEHOLD_INLINE Pair<Half>& operator|=(Pair<Half>& a, Pair<Half> b) {
    return a = a | b;
}

template <typename Half>
FREEHOLD_INLINE Pair<Half> larger_of(Pair<Half> a, Pair<Half> b) {
    return {a.low > b.low ? a.low : b.low, a.high > b.high ? a.high : b.high};
}
// A bit for each of eight lanes of a comparison's result, that of the first lane the lowest.
template <typename Half>
FREEHOLD_INLINE uint32_t lane_bits(Pair<Half> compared) {
    constexpr Half low{1, 2, 4, 8}, high{16, 32, 64, 128};
    const Half set = (compared.low & low) | (compared.high & high);
    return (set[0] | set[1]) | (set[2] | set[3]);
}
template <typename Mask, typename Half>
FREEHOLD_INLINE Pair<Half> select(Pair<Mask> mask, Pair<Half> a, Pair<Half> b) {
    return {mask.low ? a.low : b.low, mask.high ? a.high : b.high};
}

}  // namespace freehold::FREEHOLD_ISA
