#include "kernels/kernels.hpp"
#include "kernels/tiles.hpp"

namespace freehold::FREEHOLD_ISA {
namespace {

struct Float32 {
    using Element = float;
    template <int Panels>
    FREEHOLD_INLINE auto load(const Element* from, int64_t apart) {
        return Rows<Panels>::load(from, apart);
    }
};
struct Float16 {
    using Element = uint16_t;
    template <int Panels>
    FREEHOLD_INLINE auto load(const Element* from, int64_t apart) {
        return Rows<Panels>::load_half(from, apart);
    }
};
struct BFloat16 {
    using Element = uint16_t;
    template <int Panels>
    FREEHOLD_INLINE auto load(const Element* from, int64_t apart) {
        return Rows<Panels>::load_bfloat(from, apart);
    }
};

template <typename Weight>
struct FloatKernel {
    using Element = typename Weight::Element;
    static constexpr int tokens = float_tile_tokens;
    static constexpr int panels = float_tile_panels;
    // One token's panels are read side by side, so that chains of multiply-adds hide each other's latency. The processor
    // looks far enough ahead in each of them for one token's float32; it needs help where it gets twice as many weights
    // from a line, or has more to do between two lines.
    static constexpr bool is_half = sizeof(Element) == 2;
    static constexpr int panels_for_one = is_half ? 4 : 8;

    template <int Tokens, int Panels, bool Fetch>
    static void tile(const LinearJob& job, int64_t token, int64_t panel) {
        constexpr int in_vector = panels_in_vector(Panels);
        constexpr int vectors = Panels / in_vector;
        using Rows = FREEHOLD_ISA::Rows<in_vector>;
        const int64_t columns = job.matrix->columns;
        const auto* weights = static_cast<const Element*>(job.matrix->codes) + panel * columns * panel_rows;
        const int64_t apart = columns * panel_rows * sizeof(Element);
        const float* x = job.x + token * job.x_stride;

        typename Rows::Floats chains[Tokens][vectors] = {};
        const auto add = [&](int64_t column) __attribute__((always_inline)) {
            typename Rows::Floats weight[vectors];
            for (int v = 0; v < vectors; ++v)
                weight[v] = Weight::template load<in_vector>(weights + (v * in_vector * columns + column) * panel_rows,
                                                             apart);
            for (int t = 0; t < Tokens; ++t) {
                const auto value = Rows::broadcast(x[t * job.x_stride + column]);
                for (int v = 0; v < vectors; ++v) chains[t][v] = multiply_add(weight[v], value, chains[t][v]);
            }
        };
        int64_t column = 0;
        if constexpr (Fetch && (is_half || Tokens > 1)) {
            for (; column + columns_in_line<Element> <= columns; column += columns_in_line<Element>) {
                prefetch_columns<Panels>(weights, column, columns);
                for (int64_t i = 0; i < columns_in_line<Element>; ++i) add(column + i);
            }
        }
        for (; column < columns; ++column) add(column);
        for (int t = 0; t < Tokens; ++t)
            for (int v = 0; v < vectors; ++v) store_outputs(job, token + t, panel + v * in_vector, chains[t][v]);
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
