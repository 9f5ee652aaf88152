#include "kernels/kernels.hpp"
#include "kernels/tiles.hpp"

namespace freehold::FREEHOLD_ISA {
namespace {

// What load_float8 leaves to be done: its results have exponents 8 too small.
constexpr float mend = 256.0f;

struct Float8Kernel {
    static constexpr int tokens = float_tile_tokens;
    static constexpr int panels = float_tile_panels;
    static constexpr int panels_for_one = 8;

    template <int Tokens, int Panels, bool Fetch>
    static void tile(const LinearJob& job, int64_t token, int64_t panel) {
        constexpr int in_vector = panels_in_vector(Panels);
        constexpr int vectors = Panels / in_vector;
        using Rows = FREEHOLD_ISA::Rows<in_vector>;
        const int64_t columns = job.matrix->columns;
        const int64_t blocks = job.matrix->fp8_blocks();
        const auto* weights = static_cast<const uint8_t*>(job.matrix->codes) + panel * columns * panel_rows;
        const auto* scales = static_cast<const float*>(job.matrix->scales) + panel * blocks * panel_rows;
        const float* x = job.x + token * job.x_stride;

        typename Rows::Floats chains[Tokens][vectors] = {};
        for (int64_t block = 0; block < blocks; ++block) {
            const int64_t begin = block * fp8_block_columns;
            const int64_t end = begin + fp8_block_columns < columns ? begin + fp8_block_columns : columns;
            typename Rows::Floats parts[Tokens][vectors] = {};
            for (int64_t column = begin; column < end; ++column) {
                if (Fetch && column % columns_in_line<uint8_t> == 0) prefetch_columns<Panels>(weights, column, columns);
                typename Rows::Floats weight[vectors];
                for (int v = 0; v < vectors; ++v)
                    weight[v] = Rows::load_float8(weights + (v * in_vector * columns + column) * panel_rows,
                                                  columns * panel_rows);
                for (int t = 0; t < Tokens; ++t) {
                    const auto value = Rows::broadcast(x[t * job.x_stride + column]);
                    for (int v = 0; v < vectors; ++v) parts[t][v] = multiply_add(weight[v], value, parts[t][v]);
                }
            }
            for (int v = 0; v < vectors; ++v) {
                const auto scale = Rows::load(scales + (v * in_vector * blocks + block) * panel_rows,
                                              blocks * panel_rows * sizeof(float));
                for (int t = 0; t < Tokens; ++t) chains[t][v] = multiply_add(parts[t][v] * mend, scale, chains[t][v]);
            }
        }
        for (int t = 0; t < Tokens; ++t)
            for (int v = 0; v < vectors; ++v) store_outputs(job, token + t, panel + v * in_vector, chains[t][v]);
    }
};

}  // namespace

void linear_fp8(const LinearJob& job, int64_t first_token, int64_t last_token, int64_t first_panel,
                int64_t last_panel) {
    run_tiles<Float8Kernel>(job, first_token, last_token, first_panel, last_panel);
}

}  // namespace freehold::FREEHOLD_ISA
