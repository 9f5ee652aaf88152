#include "kernels/kernels.hpp"
#include "kernels/tiles.hpp"

namespace freehold::FREEHOLD_ISA {
namespace {

struct Float32 {
    using Element = float;
    FREEHOLD_INLINE Floats load(const Element* from) { return FREEHOLD_ISA::load(from); }
};
struct Float16 {
    using Element = uint16_t;
    FREEHOLD_INLINE Floats load(const Element* from) { return load_half(from); }
};
struct BFloat16 {
    using Element = uint16_t;
    FREEHOLD_INLINE Floats load(const Element* from) { return load_bfloat(from); }
};

template <typename Weight>
struct FloatKernel {
    static constexpr int tokens = 4;
    static constexpr int panels = 2;
    static constexpr int panels_for_one = 8;

    template <int Tokens, int Panels>
    static void tile(const LinearJob& job, int64_t token, int64_t panel) {
        const int64_t columns = job.matrix->columns;
        const auto* weights =
            static_cast<const typename Weight::Element*>(job.matrix->codes) + panel * columns * panel_rows;
        const float* x = job.x + token * job.x_stride;

        Floats chains[Tokens][Panels] = {};
        for (int64_t column = 0; column < columns; ++column) {
            Floats weight[Panels];
            for (int p = 0; p < Panels; ++p) weight[p] = Weight::load(weights + (p * columns + column) * panel_rows);
            for (int t = 0; t < Tokens; ++t) {
                const Floats value = broadcast(x[t * job.x_stride + column]);
                for (int p = 0; p < Panels; ++p) chains[t][p] = multiply_add(weight[p], value, chains[t][p]);
            }
        }
        for (int t = 0; t < Tokens; ++t)
            for (int p = 0; p < Panels; ++p) store_outputs(job, token + t, panel + p, chains[t][p]);
    }
};

}  // namespace

void linear_float(const LinearJob& job, int64_t first_token, int64_t last_token, int64_t first_panel,
                  int64_t last_panel) {
    const auto run = [&](auto weight) {
        run_tiles<FloatKernel<decltype(weight)>>(job, first_token, last_token, first_panel, last_panel);
    };
    switch (job.matrix->format) {
        case Format::f32: return run(Float32{});
        case Format::f16: return run(Float16{});
        default: return run(BFloat16{});
    }
}

}  // namespace freehold::FREEHOLD_ISA
