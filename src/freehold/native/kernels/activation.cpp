#include "kernels/kernels.hpp"
#include "kernels/mathematics.hpp"
#include "kernels/vectors.hpp"

namespace freehold::FREEHOLD_ISA {
namespace {

struct Silu {
    template <typename Vector>
    FREEHOLD_INLINE Vector of(Vector x) {
        return silu(x);
    }
};
struct Gelu {
    template <typename Vector>
    FREEHOLD_INLINE Vector of(Vector x) {
        return gelu(x);
    }
};
struct GeluTanh {
    template <typename Vector>
    FREEHOLD_INLINE Vector of(Vector x) {
        return gelu_tanh(x);
    }
};
struct Relu {
    template <typename Vector>
    FREEHOLD_INLINE Vector of(Vector x) {
        return relu(x);
    }
};
struct Sigmoid {
    template <typename Vector>
    FREEHOLD_INLINE Vector of(Vector x) {
        return sigmoid(x);
    }
};
struct Tanh {
    template <typename Vector>
    FREEHOLD_INLINE Vector of(Vector x) {
        return hyperbolic_tangent(x);
    }
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

template <typename Vector>
FREEHOLD_INLINE Vector clamped_swiglu(Vector gate, Vector up, float limit) {
    constexpr float slope = 1.702f;
    const Vector low = smaller(limit, gate);
    return low * sigmoid(slope * low) * (larger(-limit, smaller(limit, up)) + 1.0f);
}

}  // namespace

void activate(const Vectors& x, Activation activation, int64_t first, int64_t last) {
    with_activation(activation, [&](auto chosen) {
        for (int64_t vector = first; vector < last; ++vector)
            replace(vector_at(x, vector), x.columns,
                    [](auto value) __attribute__((always_inline)) { return decltype(chosen)::of(value); });
    });
}

void gate(const Vectors& x, const ConstVectors& gates, Activation activation, int64_t first, int64_t last) {
    with_activation(activation, [&](auto chosen) {
        for (int64_t vector = first; vector < last; ++vector) {
            float* to = vector_at(x, vector);
            const float* from = vector_at(gates, vector);
            if (gates.columns == x.columns) {
                combine(to, from, x.columns, [](auto value, auto by) __attribute__((always_inline)) {
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
        return rows([limit = gating.limit](auto gate, auto up) __attribute__((always_inline)) {
            return clamped_swiglu(gate, up, limit);
        });
    with_activation(gating.activation, [&](auto chosen) {
        rows([](auto gate, auto up) __attribute__((always_inline)) { return decltype(chosen)::of(gate) * up; });
    });
}

void softcap(const Vectors& x, float cap, int64_t first, int64_t last) {
    for (int64_t vector = first; vector < last; ++vector)
        replace(vector_at(x, vector), x.columns,
                [cap](auto value) __attribute__((always_inline)) { return cap * hyperbolic_tangent(value / cap); });
}

}  // namespace freehold::FREEHOLD_ISA
