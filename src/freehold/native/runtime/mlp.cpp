#include "runtime/mlp.hpp"

#include <algorithm>

#include "runtime/isa.hpp"
#include "runtime/thread_pool.hpp"

namespace freehold {
namespace {

constexpr int64_t grain = 2048;  // elements that pass through an activation and are quantised

}  // namespace

void Inputs::set(LinearJob& job, int64_t first) const {
    if (floats != nullptr) job.x = floats + first * stride;
    job.x_stride = stride;
    if (quantised.codes != nullptr) job.quantised = rows_from(quantised, first);
}

Inputs activate_hidden(float* hidden, int64_t rows, int64_t width, const Gating& gating, bool quantised,
                       Scratch& scratch) {
    const Kernels& kernel = kernels();
    Inputs inputs{.floats = hidden, .stride = 2 * width};
    if (quantised) inputs.quantised = reserve_quantised(rows, width, scratch);
    parallel_ranges(rows, std::max<int64_t>(grain / width, 1), [&](int64_t first, int64_t last) {
        for (int64_t row = first; row < last; ++row) {
            kernel.gate_up(hidden, 2 * width, width, gating, row, row + 1);
            if (quantised) kernel.quantise(hidden, 2 * width, width, inputs.quantised, row, row + 1);
        }
    });
    return inputs;
}

void gated_mlp(const GatedMlpJob& job) {
    thread_local Scratch hidden_memory, quantised_memory;
    if (job.rows == 0) return;
    const int64_t width = job.down->inputs();
    auto* hidden = hidden_memory.reserve<float>(job.rows * 2 * width);
    linear(*job.gate_up, job.x, job.x_stride, job.rows, hidden);
    const Inputs inputs =
        activate_hidden(hidden, job.rows, width, job.gating, job.down->takes_quantised(), quantised_memory);
    Product product{.weight = job.down, .tokens = job.rows, .job = {}};
    inputs.set(product.job, 0);
    product.job.out = job.out;
    product.job.out_stride = job.down->outputs();
    product.job.adds = job.adds;
    multiply({&product, 1});
}

}  // namespace freehold
