// What lies between the products of a gated MLP, and the whole of one.
#pragma once

#include <cstdint>

#include "kernels/table.hpp"
#include "runtime/memory.hpp"
#include "runtime/quantised.hpp"
#include "runtime/weight.hpp"

namespace freehold {

// Rows of activations as a weight may want them: floats, or quantised, or both.
struct Inputs {
    const float* floats = nullptr;
    int64_t stride = 0;
    QuantisedRows quantised{};

    // Makes the rows from `first` on those of the job.
    void set(LinearJob& job, int64_t first) const;
};

// hidden [rows][2 * width]: the first half of each row becomes activation(first half) * second half, and is quantised
// where the second product wants that.
Inputs activate_hidden(float* hidden, int64_t rows, int64_t width, const Gating& gating, bool quantised,
                       Scratch& scratch);

struct GatedMlpJob {
    const Weight* gate_up;  // [2 * width, features], gate's rows first
    const Weight* down;     // [outputs, width]
    const float* x;         // [rows][features], rows x_stride apart
    int64_t x_stride, rows;
    Gating gating;
    float* out;  // [rows][outputs]
    bool adds;   // to what out holds, instead of replacing it
};

// out = down(activation(gate(x)) * up(x)), or that is added to it. x is read before out is written, so they may be one.
void gated_mlp(const GatedMlpJob& job);

}  // namespace freehold
