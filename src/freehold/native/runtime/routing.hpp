// Which experts rows go to, and with what weights.
#pragma once

#include <cstdint>

#include "runtime/memory.hpp"

namespace freehold {

struct Routing {
    int64_t top_k;
    bool softmax;  // over all experts, else the sigmoid of each
    bool normalise;
    float scale;
    int64_t groups, groups_kept;
};

// top_k places for each row, in ascending order of the experts. A place without an expert has number -1 and weighs 0 or,
// in a row whose logits cannot be ranked, NaN.
struct Routes {
    int32_t* experts;  // [rows][top_k]
    float* weights;    // [rows][top_k]
};

struct RouterLogits {
    const float* data;  // [rows][experts], rows stride apart
    int64_t stride, rows, experts;
    const float* bias;  // [experts], added to the scores to choose but not to weigh; or null
};

void route(const RouterLogits& logits, const Routing& routing, const Routes& out, Scratch& scratch);

}  // namespace freehold
