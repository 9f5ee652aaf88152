// What keys and values are stored in: one type per kind of cache, for templates.
#pragma once

#include "kernels/simd.hpp"

namespace freehold::FREEHOLD_ISA {

struct FloatCache {
    using Element = float;
    FREEHOLD_INLINE Floats load(const Element* from) { return FREEHOLD_ISA::load(from); }
    FREEHOLD_INLINE void store(Element* to, Floats value) { FREEHOLD_ISA::store(to, value); }
};
struct HalfCache {
    using Element = uint16_t;
    FREEHOLD_INLINE Floats load(const Element* from) { return load_half(from); }
    FREEHOLD_INLINE void store(Element* to, Floats value) { store_as(to, to_half(value)); }
};

FREEHOLD_INLINE int64_t round_up(int64_t value, int64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

}  // namespace freehold::FREEHOLD_ISA
