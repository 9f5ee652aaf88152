// A linear weight: packed matrices stacked along their rows, and products with it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/layout.hpp"
#include "kernels/table.hpp"

namespace freehold {

struct Part {
    PackedMatrix matrix;
    std::vector<float> bias;  // padded to whole panels, or empty
};

struct Weight {
    std::vector<Part> parts;  // at least one, all with the same columns

    int64_t inputs() const { return parts.front().matrix.columns; }
    int64_t outputs() const;
    int64_t panels() const;
    // Whether a part wants its activations quantised, or as floats.
    bool takes_quantised() const;
    bool takes_floats() const;
};

// out [tokens][outputs] = x [tokens][inputs], rows x_stride apart, times the weight's transpose, plus its bias; or that is
// added to what out holds.
void linear(const Weight& weight, const float* x, int64_t x_stride, int64_t tokens, float* out, bool adds = false);

// A product whose activations are as the weight wants them. The job has no matrix and no bias, the weight has.
struct Product {
    const Weight* weight;
    int64_t tokens;
    LinearJob job;
};

// All of them in one loop over the threads. No output may belong to two.
void multiply(std::span<const Product> products);

// out [count][inputs] = rows of the weight, dequantised. The ids must be rows of it.
void embed(const Weight& table, const int32_t* ids, int64_t count, float* out);

}  // namespace freehold
