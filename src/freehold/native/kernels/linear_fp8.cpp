#include "kernels/kernels.hpp"
#include "kernels/tiles.hpp"

namespace freehold::FREEHOLD_ISA {
namespace {

// What load_float8 leaves to be done: its results have exponents 8 too small.
constexpr float mend = 256.0f;

struct Float8Kernel {
    static constexpr int tokens = 4;
    static constexpr int panels = 2;
    static constexpr int panels_for_one = 8;

    template <int Tokens, int Panels>
    static void tile(const LinearJob& job, int64_t token, int64_t panel) {
        const int64_t columns = job.matrix->columns;
        const int64_t blocks = job.matrix->fp8_blocks();
        const auto* weights = static_cast<const uint8_t*>(job.matrix->codes) + panel * columns * panel_rows;
        const auto* scales = static_cast<const float*>(job.matrix->scales) + panel * blocks * panel_rows;
        const float* x = job.x + token * job.x_stride;

        Floats chains[Tokens][Panels] = {};
        for (int64_t block = 0; block < blocks; ++block) {
            const int64_t begin = block * fp8_block_columns;
            const int64_t end = begin + fp8_block_columns < columns ? begin + fp8_block_columns : columns;
            Floats parts[Tokens][Panels] = {};
            for (int64_t column = begin; column < end; ++column) {
                Floats weight[Panels];
                for (int p = 0; p < Panels; ++p)
                    weight[p] = load_float8(weights + (p * columns + column) * panel_rows);
                for (int t = 0; t < Tokens; ++t) {
                    const Floats value = broadcast(x[t * job.x_stride + column]);
                    for (int p = 0; p < Panels; ++p) parts[t][p] = multiply_add(weight[p], value, parts[t][p]);
                }
            }
            for (int p = 0; p < Panels; ++p) {
                const Floats scale = load(scales + (p * blocks + block) * panel_rows);
                for (int t = 0; t < Tokens; ++t)
                    chains[t][p] = multiply_add(parts[t][p] * mend, scale, chains[t][p]);
            }
        }
        for (int t = 0; t < Tokens; ++t)
            for (int p = 0; p < Panels; ++p) store_outputs(job, token + t, panel + p, chains[t][p]);
    }
};

}  // namespace

void linear_fp8(const LinearJob& job, int64_t first_token, int64_t last_token, int64_t first_panel,
                int64_t last_panel) {
    run_tiles<Float8Kernel>(job, first_token, last_token, first_panel, last_panel);
}

}  // namespace freehold::FREEHOLD_ISA
