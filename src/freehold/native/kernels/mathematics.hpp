// exp and what is made of it, on eight floats or sixteen. Every element goes through the same steps wherever it lies in a
// row.
#pragma once

#include "kernels/wide.hpp"

namespace freehold::FREEHOLD_ISA {

// NaN in y stays.
template <typename Vector>
FREEHOLD_INLINE Vector smaller(float bound, Vector y) {
    return select(bound < y, repeated<Vector>(bound), y);
}
template <typename Vector>
FREEHOLD_INLINE Vector larger(float bound, Vector y) {
    return select(bound > y, repeated<Vector>(bound), y);
}

// exp(x) within 2 units in the last place; 0 below -87.3, where results would be subnormal; NaN stays NaN.
//
// x = n ln 2 + r with |r| <= ln 2 / 2, and exp(r) by its Taylor series up to r^7: the rest is below 0.35^8 / 8! = 6e-9.
template <typename Vector>
FREEHOLD_INLINE Vector exponential(Vector x) {
    constexpr float log2_of_e = 1.44269504088896341f;
    constexpr float ln2_high = 0.693359375f;  // few bits, so that n * ln2_high is exact
    constexpr float ln2_low = -2.12194440054690583e-4f;
    constexpr float round_to_integer = 0x1.8p23f;  // adding it leaves the nearest integer in the low bits

    const Vector bounded = larger(-88.0f, smaller(88.7f, x));
    const Vector shifted = multiply_add(bounded, repeated<Vector>(log2_of_e), repeated<Vector>(round_to_integer));
    const Vector n = shifted - round_to_integer;
    Vector r = multiply_add(n, repeated<Vector>(-ln2_high), bounded);
    r = multiply_add(n, repeated<Vector>(-ln2_low), r);

    Vector series = repeated<Vector>(1.0f / 5040);
    constexpr float coefficients[] = {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 1.0f / 2, 1.0f, 1.0f};
    for (const float coefficient : coefficients)
        series = multiply_add(series, r, repeated<Vector>(coefficient));

    const WordsOf<Vector> exponent = (bits<WordsOf<Vector>>(shifted) - bits<uint32_t>(round_to_integer) + 127) << 23;
    const Vector result = series * bits<Vector>(exponent);
    return select(x < -87.3f, Vector{}, result);
}

template <typename Vector>
FREEHOLD_INLINE Vector sigmoid(Vector x) { return 1.0f / (1.0f + exponential(-x)); }

// tanh(x) within 2 units in the last place; NaN stays NaN.
//
// Below 0.625, where 1 - 2 / (exp(2 |x|) + 1) would cancel, x + x^3 P(x^2) with P fitted at Chebyshev's points: the rest
// is below 2e-8 of the result.
template <typename Vector>
FREEHOLD_INLINE Vector hyperbolic_tangent(Vector x) {
    const Vector square = x * x;
    Vector series = repeated<Vector>(-0.0061049480f);
    constexpr float coefficients[] = {0.021003641f, -0.053852499f, 0.13332783f, -0.33333328f};
    for (const float coefficient : coefficients)
        series = multiply_add(series, square, repeated<Vector>(coefficient));
    const Vector small = multiply_add(series * square, x, x);

    const Vector magnitude = select(x < 0.0f, -x, x);
    const Vector large = 1.0f - 2.0f / (exponential(2.0f * magnitude) + 1.0f);
    const Vector signed_large = select(x < 0.0f, -large, large);
    return select(magnitude < 0.625f, small, signed_large);
}

// x * sigmoid(x) (Hendrycks and Gimpel 2016).
template <typename Vector>
FREEHOLD_INLINE Vector silu(Vector x) { return x * sigmoid(x); }

// x / 2 * (1 + tanh(u)) with u = sqrt(2 / pi) * (x + 0.044715 x^3), which is x * sigmoid(2 u).
template <typename Vector>
FREEHOLD_INLINE Vector gelu_tanh(Vector x) {
    constexpr float twice_root = 1.59576912160573071f;  // 2 * sqrt(2 / pi)
    const Vector cubic = x * (1.0f + 0.044715f * x * x);
    return x * sigmoid(twice_root * cubic);
}

// The normal distribution function (1 + erf(x / sqrt 2)) / 2, for negative x too within a few units in the last place.
//
// With a = |x| the lower tail is exp(-a^2 / 2) * P(w) / (1 + a), w = (a - 4) / (a + 4), a minimax fit of relative error
// 2e-9 up to where the exponential vanishes. a^2 does not fit a float: a = head + rest with a head of 12 bits, whose
// square is exact, and exp(-(a^2 - head^2) / 2) by its Taylor series, of an argument below 0.05.
template <typename Vector>
FREEHOLD_INLINE Vector normal_distribution(Vector x) {
    const Vector a = smaller(20.0f, bits<Vector>(bits<WordsOf<Vector>>(x) & 0x7fffffffu));
    const Vector head = bits<Vector>(bits<WordsOf<Vector>>(a) & 0xfffff000u);
    const Vector rest = -0.5f * (a - head) * (a + head);
    Vector correction = repeated<Vector>(1.0f / 6);
    constexpr float powers[] = {1.0f / 2, 1.0f, 1.0f};
    for (const float coefficient : powers)
        correction = multiply_add(correction, rest, repeated<Vector>(coefficient));

    const Vector w = (a - 4.0f) / (a + 4.0f);
    Vector fit = repeated<Vector>(-7.0654889e-05f);
    constexpr float coefficients[] = {-5.79490261e-05f, 0.000694707036f, -0.000304424524f, -0.00500550494f,
                                      0.0179400817f,    -0.0321970843f,  0.0286000166f,    0.0139995869f,
                                      -0.0967034698f,   0.4720532f};
    for (const float coefficient : coefficients) fit = multiply_add(fit, w, repeated<Vector>(coefficient));

    const Vector tail = exponential(-0.5f * head * head) * correction * (fit / (1.0f + a));
    return select(x > 0.0f, 1.0f - tail, tail);
}

// x times the normal distribution function (Hendrycks and Gimpel 2016).
template <typename Vector>
FREEHOLD_INLINE Vector gelu(Vector x) { return x * normal_distribution(x); }

// NaN stays.
template <typename Vector>
FREEHOLD_INLINE Vector relu(Vector x) { return select(x < 0.0f, Vector{}, x); }

}  // namespace freehold::FREEHOLD_ISA
