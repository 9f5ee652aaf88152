#include "kernels/mathematics.hpp"
#include "kernels/kernels.hpp"

namespace freehold::FREEHOLD_ISA {
namespace {

template <typename Function>
void gate_rows(float* rows, int64_t stride, int64_t width, int64_t first, int64_t last, Function activate) {
    for (int64_t row = first; row < last; ++row) {
        float* gate = rows + row * stride;
        const float* up = gate + width;
        int64_t i = 0;
        for (; i + lanes <= width; i += lanes) store(gate + i, activate(load(gate + i)) * load(up + i));
        if (const int64_t rest = width - i; rest > 0)
            store_some(gate + i, activate(load_some(gate + i, rest)) * load_some(up + i, rest), rest);
    }
}

}  // namespace

void gate(float* gate_up, int64_t stride, int64_t width, Activation activation, int64_t first, int64_t last) {
    if (activation == Activation::silu)
        gate_rows(gate_up, stride, width, first, last, [](Floats x) __attribute__((always_inline)) { return silu(x); });
    else
        gate_rows(gate_up, stride, width, first, last,
                  [](Floats x) __attribute__((always_inline)) { return gelu_tanh(x); });
}

}  // namespace freehold::FREEHOLD_ISA
