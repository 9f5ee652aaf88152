// Mixtures of experts, and weights of which each head has its own.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/table.hpp"
#include "runtime/routing.hpp"
#include "runtime/weight.hpp"

namespace freehold {

struct ExpertsJob {
    const std::vector<Weight>* gate_up;  // [2 * width, features] of each expert
    const std::vector<Weight>* down;     // [outputs, width] of each expert
    const float* x;                      // [rows][features], rows x_stride apart
    int64_t x_stride;
    RouterLogits logits;
    Routing routing;
    bool weigh_inputs;  // instead of the outputs
    Gating gating;
    float* out;  // [rows][outputs]
};

// out = for each row the sum of its experts' outputs, in ascending order of the experts.
void mix_experts(const ExpertsJob& job);

// out [rows][heads][outputs] = x [rows][heads][inputs], each head times its own weight.
void head_linear(const std::vector<Weight>& heads, const ConstVectors& x, float* out);

}  // namespace freehold
