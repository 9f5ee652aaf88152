#include "kernels/kernels.hpp"
#include "kernels/mathematics.hpp"
#include "kernels/vectors.hpp"

namespace freehold::FREEHOLD_ISA {
namespace {

struct Silu {
    FREEHOLD_INLINE Floats of(Floats x) { return silu(x); }
};
struct Gelu {
    FREEHOLD_INLINE Floats of(Floats x) { return gelu(x); }
};
struct GeluTanh {
    FREEHOLD_INLINE Floats of(Floats x) { return gelu_tanh(x); }
};
struct Relu {
    FREEHOLD_INLINE Floats of(Floats x) { return relu(x); }
};
struct Sigmoid {
    FREEHOLD_INLINE Floats of(Floats x) { return sigmoid(x); }
};
struct Tanh {
    FREEHOLD_INLINE Floats of(Floats x) { return hyperbolic_tangent(x); }
};

// Calls run with the type that holds the activation.
template <typename Run>
void with_activation(Activation activation, Run run) {
    switch (activation) {
        case Activation::silu: return run(Silu{});
        case Activation::gelu: return run(Gelu{});
        case Activation::gelu_tanh: return run(GeluTanh{});
        case Activation::relu: return run(Relu{});
        case Activation::sigmoid: return run(Sigmoid{});
        case Activation::tanh: return run(Tanh{});
    }
}

FREEHOLD_INLINE Floats clamped_swiglu(Floats gate, Floats up, float limit) {
    constexpr float slope = 1.702f;
    const Floats low = smaller(limit, gate);
    return low * sigmoid(slope * low) * (larger(-limit, smaller(limit, up)) + 1.0f);
}

}  // namespace

void activate(const Vectors& x, Activation activation, int64_t first, int64_t last) {
    with_activation(activation, [&](auto chosen) {
        for (int64_t vector = first; vector < last; ++vector)
            replace(vector_at(x, vector), x.columns,
                    [](Floats value) __attribute__((always_inline)) { return decltype(chosen)::of(value); });
    });
}

void gate(const Vectors& x, const ConstVectors& gates, Activation activation, int64_t first, int64_t last) {
    with_activation(activation, [&](auto chosen) {
        for (int64_t vector = first; vector < last; ++vector) {
            float* to = vector_at(x, vector);
            const float* from = vector_at(gates, vector);
            if (gates.columns == x.columns) {
                combine(to, from, x.columns, [](Floats value, Floats by) __attribute__((always_inline)) {
                    return value * decltype(chosen)::of(by);
                });
            } else {
                const float factor = decltype(chosen)::of(broadcast(*from))[0];
                for (int64_t i = 0; i < x.columns; ++i) to[i] *= factor;
            }
        }
    });
}

void gate_up(float* gate_up, int64_t stride, int64_t width, const Gating& gating, int64_t first, int64_t last) {
    const auto rows = [&](auto function) {
        for (int64_t row = first; row < last; ++row) {
            float* gate = gate_up + row * stride;
            combine(gate, gate + width, width, function);
        }
    };
    if (gating.clamped)
        return rows([limit = gating.limit](Floats gate, Floats up) __attribute__((always_inline)) {
            return clamped_swiglu(gate, up, limit);
        });
    with_activation(gating.activation, [&](auto chosen) {
        rows([](Floats gate, Floats up) __attribute__((always_inline)) { return decltype(chosen)::of(gate) * up; });
    });
}

void softcap(const Vectors& x, float cap, int64_t first, int64_t last) {
    for (int64_t vector = first; vector < last; ++vector)
        replace(vector_at(x, vector), x.columns,
                [cap](Floats value) __attribute__((always_inline)) { return cap * hyperbolic_tangent(value / cap); });
}

}  // namespace freehold::FREEHOLD_ISA
