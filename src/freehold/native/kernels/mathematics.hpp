// exp and what is made of it, on eight floats. Every element goes through the same steps wherever it lies in a row.
#pragma once

#include "kernels/simd.hpp"

namespace freehold::FREEHOLD_ISA {

// exp(x) within 2 units in the last place; 0 below -87.3, where results would be subnormal; NaN stays NaN.
//
// x = n ln 2 + r with |r| <= ln 2 / 2, and exp(r) by its Taylor series up to r^7: the rest is below 0.35^8 / 8! = 6e-9.
FREEHOLD_INLINE Floats exponential(Floats x) {
    constexpr float log2_of_e = 1.44269504088896341f;
    constexpr float ln2_high = 0.693359375f;  // few bits, so that n * ln2_high is exact
    constexpr float ln2_low = -2.12194440054690583e-4f;
    constexpr float round_to_integer = 0x1.8p23f;  // adding it leaves the nearest integer in the low bits

    const Floats bounded = larger(-88.0f, smaller(88.7f, x));
    const Floats shifted = multiply_add(bounded, broadcast(log2_of_e), broadcast(round_to_integer));
    const Floats n = shifted - round_to_integer;
    Floats r = multiply_add(n, broadcast(-ln2_high), bounded);
    r = multiply_add(n, broadcast(-ln2_low), r);

    Floats series = broadcast(1.0f / 5040);
    constexpr float coefficients[] = {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 1.0f / 2, 1.0f, 1.0f};
    for (const float coefficient : coefficients)
        series = multiply_add(series, r, broadcast(coefficient));

    const Words exponent = (bits<Words>(shifted) - bits<uint32_t>(round_to_integer) + 127) << 23;
    const Floats result = series * bits<Floats>(exponent);
    return select(x < -87.3f, Floats{}, result);
}

FREEHOLD_INLINE Floats sigmoid(Floats x) { return 1.0f / (1.0f + exponential(-x)); }

// tanh(x) within 2 units in the last place; NaN stays NaN.
//
// Below 0.625, where 1 - 2 / (exp(2 |x|) + 1) would cancel, x + x^3 P(x^2) with P fitted at Chebyshev's points: the rest
// is below 2e-8 of the result.
FREEHOLD_INLINE Floats hyperbolic_tangent(Floats x) {
    const Floats square = x * x;
    Floats series = broadcast(-0.0061049480f);
    constexpr float coefficients[] = {0.021003641f, -0.053852499f, 0.13332783f, -0.33333328f};
    for (const float coefficient : coefficients)
        series = multiply_add(series, square, broadcast(coefficient));
    const Floats small = multiply_add(series * square, x, x);

    const Floats magnitude = select(x < 0.0f, -x, x);
    const Floats large = 1.0f - 2.0f / (exponential(2.0f * magnitude) + 1.0f);
    const Floats signed_large = select(x < 0.0f, -large, large);
    return select(magnitude < 0.625f, small, signed_large);
}

// x * sigmoid(x) (Hendrycks and Gimpel 2016).
FREEHOLD_INLINE Floats silu(Floats x) { return x * sigmoid(x); }

// x / 2 * (1 + tanh(u)) with u = sqrt(2 / pi) * (x + 0.044715 x^3), which is x * sigmoid(2 u).
FREEHOLD_INLINE Floats gelu_tanh(Floats x) {
    constexpr float twice_root = 1.59576912160573071f;  // 2 * sqrt(2 / pi)
    const Floats cubic = x * (1.0f + 0.044715f * x * x);
    return x * sigmoid(twice_root * cubic);
}

// The normal distribution function (1 + erf(x / sqrt 2)) / 2, for negative x too within a few units in the last place.
//
// With a = |x| the lower tail is exp(-a^2 / 2) * P(w) / (1 + a), w = (a - 4) / (a + 4), a minimax fit of relative error
// 2e-9 up to where the exponential vanishes. a^2 does not fit a float: a = head + rest with a head of 12 bits, whose
// square is exact, and exp(-(a^2 - head^2) / 2) by its Taylor series, of an argument below 0.05.
FREEHOLD_INLINE Floats normal_distribution(Floats x) {
    const Floats a = smaller(20.0f, bits<Floats>(bits<Words>(x) & 0x7fffffffu));
    const Floats head = bits<Floats>(bits<Words>(a) & 0xfffff000u);
    const Floats rest = -0.5f * (a - head) * (a + head);
    Floats correction = broadcast(1.0f / 6);
    constexpr float powers[] = {1.0f / 2, 1.0f, 1.0f};
    for (const float coefficient : powers)
        correction = multiply_add(correction, rest, broadcast(coefficient));

    const Floats w = (a - 4.0f) / (a + 4.0f);
    Floats fit = broadcast(-7.0654889e-05f);
    constexpr float coefficients[] = {-5.79490261e-05f, 0.000694707036f, -0.000304424524f, -0.00500550494f,
                                      0.0179400817f,    -0.0321970843f,  0.0286000166f,    0.0139995869f,
                                      -0.0967034698f,   0.4720532f};
    for (const float coefficient : coefficients) fit = multiply_add(fit, w, broadcast(coefficient));

    const Floats tail = exponential(-0.5f * head * head) * correction * (fit / (1.0f + a));
    return select(x > 0.0f, 1.0f - tail, tail);
}

// x times the normal distribution function (Hendrycks and Gimpel 2016).
FREEHOLD_INLINE Floats gelu(Floats x) { return x * normal_distribution(x); }

// NaN stays.
FREEHOLD_INLINE Floats relu(Floats x) { return select(x < 0.0f, Floats{}, x); }

}  // namespace freehold::FREEHOLD_ISA
