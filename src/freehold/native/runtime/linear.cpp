#include <algorithm>

#include "runtime/isa.hpp"
#include "runtime/memory.hpp"
#include "runtime/thread_pool.hpp"
#include "runtime/weight.hpp"

namespace freehold {
namespace {

// Activations that pass over a panel again and again should stay in the second-level cache.
constexpr int64_t activation_bytes = 256 << 10;
constexpr int64_t least_tokens = 16;
constexpr int64_t least_panels = 4;  // as many as the one-token kernels of quantised weights keep in flight
constexpr int64_t chunks_per_thread = 8;
constexpr int64_t quantise_grain = 8192;  // elements

int64_t divide_up(int64_t value, int64_t by) { return (value + by - 1) / by; }
int64_t round_up(int64_t value, int64_t multiple) { return divide_up(value, multiple) * multiple; }

QuantisedRows quantise(const float* x, int64_t x_stride, int64_t tokens, int64_t columns, Scratch& scratch) {
    const int64_t blocks = divide_up(columns, block_columns);
    const int64_t cells = tokens * blocks;
    auto* memory = scratch.reserve<float>(cells * (3 + block_columns / 4));
    const QuantisedRows rows{
        .blocks = blocks,
        .codes = reinterpret_cast<int8_t*>(memory + 3 * cells),
        .scales = memory,
        .sums = memory + cells,
        .pairs = reinterpret_cast<int32_t*>(memory + 2 * cells),
    };
    const Kernels& kernel = kernels();
    parallel_ranges(tokens, divide_up(quantise_grain, columns), [&](int64_t first, int64_t last) {
        kernel.quantise(x, x_stride, columns, rows, first, last);
    });
    return rows;
}

// Panels [first, last), counted through all parts.
void multiply_panels(const Weight& weight, LinearJob job, int64_t first_token, int64_t last_token, int64_t first,
                     int64_t last) {
    const Kernels& kernel = kernels();
    for (const Part& part : weight.parts) {
        const int64_t panels = part.matrix.panels();
        if (first < panels && last > 0) {
            job.matrix = &part.matrix;
            job.bias = part.bias.empty() ? nullptr : part.bias.data();
            kernel.linear(job, first_token, last_token, std::max<int64_t>(first, 0), std::min(last, panels));
        }
        first -= panels;
        last -= panels;
        job.out += part.matrix.rows;
    }
}

}  // namespace

void linear(const Weight& weight, const float* x, int64_t x_stride, int64_t tokens, float* out) {
    thread_local Scratch scratch;
    if (tokens == 0) return;
    LinearJob job{
        .matrix = nullptr,
        .bias = nullptr,
        .x = x,
        .x_stride = x_stride,
        .quantised = {},
        .out = out,
        .out_stride = weight.outputs(),
    };
    int64_t panels = 0;
    bool quantised = false;
    for (const Part& part : weight.parts) {
        panels += part.matrix.panels();
        quantised |= is_quantised(part.matrix.format);
    }
    const int64_t columns = weight.inputs();
    if (quantised) job.quantised = quantise(x, x_stride, tokens, columns, scratch);

    const int64_t bytes_per_token = columns * static_cast<int64_t>(quantised ? sizeof(int8_t) : sizeof(float));
    const int64_t tokens_together = std::max(round_up(activation_bytes / bytes_per_token, 4), least_tokens);
    const int64_t token_chunks = divide_up(tokens, tokens_together);
    const int64_t panels_together = round_up(divide_up(panels, threads() * chunks_per_thread), least_panels);
    const int64_t panel_chunks = divide_up(panels, panels_together);
    parallel_for(token_chunks * panel_chunks, most_threads, [&](int64_t piece, int) {
        const int64_t token = piece / panel_chunks * tokens_together;
        const int64_t panel = piece % panel_chunks * panels_together;
        multiply_panels(weight, job, token, std::min(token + tokens_together, tokens), panel,
                        std::min(panel + panels_together, panels));
    });
}

}  // namespace freehold
