// What keys and values are stored in: one type per kind of cache, for templates.
//
// Features are stored in groups of `cache_group`, the last of them shorter where it must be. A kind that is `scaled`
// keeps a bfloat16 for each group, which its elements are to be multiplied by.
#pragma once

#include "kernels/codes.hpp"
#include "kernels/table.hpp"

namespace freehold::FREEHOLD_ISA {

FREEHOLD_INLINE int64_t round_up(int64_t value, int64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

constexpr int64_t group_vectors = cache_group / lanes;

struct FloatCache {
    using Element = float;
    static constexpr bool scaled = false;
    FREEHOLD_INLINE Floats load(const Element* from) { return FREEHOLD_ISA::load(from); }
#if defined(__AVX512F__)
    FREEHOLD_INLINE Wide load_wide(const Element* from) { return load_as<Wide>(from); }
    FREEHOLD_INLINE Wide load_two(const Element* first, const Element* second) {
        return FREEHOLD_ISA::load_two(first, second);
    }
#endif
    FREEHOLD_INLINE void store(const Floats (&values)[group_vectors], Element* to) {
        for (int64_t i = 0; i < group_vectors; ++i) FREEHOLD_ISA::store(to + i * lanes, values[i]);
    }
};

struct HalfCache {
    using Element = uint16_t;
    static constexpr bool scaled = false;
    FREEHOLD_INLINE Floats load(const Element* from) { return load_half(from); }
#if defined(__AVX512F__)
    FREEHOLD_INLINE Wide load_wide(const Element* from) { return wide_of_halves(load_as<__m256i>(from)); }
    FREEHOLD_INLINE Wide load_two(const Element* first, const Element* second) {
        return wide_of_halves(FREEHOLD_ISA::load_two(first, second));
    }
#endif
    FREEHOLD_INLINE void store(const Floats (&values)[group_vectors], Element* to) {
        for (int64_t i = 0; i < group_vectors; ++i) store_as(to + i * lanes, to_half(values[i]));
    }
};

// The smallest bfloat16 that is not below x; x is not negative.
FREEHOLD_INLINE uint16_t bfloat_above(float x) {
    constexpr uint32_t infinity = 0x7f800000;
    const uint32_t word = bits<uint32_t>(x);
    return word > infinity ? 0x7fc0 : static_cast<uint16_t>((word + 0xffff) >> 16);
}

// Codes from -127 to 127. Rounding the scale up lets none exceed that, and bfloat16 has the range of the features. A
// group that is not finite has a scale that is not, so that nothing made of it is.
struct CodeCache {
    using Element = int8_t;
    static constexpr bool scaled = true;
    FREEHOLD_INLINE Floats load(const Element* from) { return load_codes(from); }
#if defined(__AVX512F__)
    FREEHOLD_INLINE Wide load_wide(const Element* from) { return wide_of_codes(load_as<__m128i>(from)); }
    FREEHOLD_INLINE Wide load_two(const Element* first, const Element* second) {
        return wide_of_codes(FREEHOLD_ISA::load_two(first, second));
    }
#endif
    FREEHOLD_INLINE void store(const Floats (&values)[group_vectors], Element* to, uint16_t* scale) {
        *scale = bfloat_above(bits<float>(largest_magnitude(values)) / 127.0f);
        const float step = bfloat_to_float(*scale);
        const bool usable = step > 0 && step < __builtin_inff();
        for (int64_t i = 0; i < group_vectors; ++i)
            store_codes(to + i * lanes, usable ? round_to_integer(values[i] / step) : Ints{});
    }
};

// A vector from one place, or of eight elements there and eight `apart` from them.
template <typename Cache, typename Vector>
FREEHOLD_INLINE Vector load_elements(const typename Cache::Element* from) {
    if constexpr (is_wide<Vector>) return Cache::load_wide(from);
    else return Cache::load(from);
}
template <typename Cache, typename Vector>
FREEHOLD_INLINE Vector load_elements(const typename Cache::Element* from, [[maybe_unused]] int64_t apart) {
    if constexpr (is_wide<Vector>) return Cache::load_two(from, from + apart);
    else return Cache::load(from);
}
template <typename Vector>
FREEHOLD_INLINE Vector load_scales(const uint16_t* from, [[maybe_unused]] int64_t apart) {
#if defined(__AVX512F__)
    if constexpr (is_wide<Vector>) return wide_of_bfloats(load_two(from, from + apart));
    else
#endif
        return load_bfloat(from);
}

// Stores `features` floats group by group: `place(first, count, elements)` takes those of a group, zeros behind them, and
// `scale_of(group)` says where the scale goes.
template <typename Cache, typename Place, typename ScaleOf>
FREEHOLD_INLINE void store_features(const float* from, int64_t features, Place place, ScaleOf scale_of) {
    for (int64_t first = 0; first < features; first += cache_group) {
        const int64_t count = features - first < cache_group ? features - first : cache_group;
        Floats values[group_vectors] = {};
        std::memcpy(values, from + first, count * sizeof(float));
        typename Cache::Element elements[cache_group];
        if constexpr (Cache::scaled)
            Cache::store(values, elements, scale_of(first / cache_group));
        else
            Cache::store(values, elements);
        place(first, count, elements);
    }
}

// Calls function<kind>() with the kind of cache that holds elements of a type.
template <typename Function>
FREEHOLD_INLINE void with_cache(CacheType type, Function function) {
    switch (type) {
        case CacheType::f32: function.template operator()<FloatCache>(); break;
        case CacheType::f16: function.template operator()<HalfCache>(); break;
        case CacheType::q8: function.template operator()<CodeCache>(); break;
    }
}

}  // namespace freehold::FREEHOLD_ISA
