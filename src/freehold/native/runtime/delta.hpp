// Linear attention with a gated delta rule over a ragged batch.
#pragma once

#include <cstdint>

#include "kernels/table.hpp"

namespace freehold {

// What decides how fast the states fade and how much they learn.
struct DeltaControls {
    const float* decay;  // [tokens][value_heads], rows decay_stride apart
    const float* beta;   // likewise
    int64_t decay_stride, beta_stride;
    const float* rates;    // [value_heads]
    const float* offsets;  // [value_heads]
};

// Slots, and which of them each sequence reads (-1 for none) and writes.
struct DeltaStates {
    float* inputs;    // [slots][width - 1][channels]
    float* matrices;  // [slots][value_heads][key_dim][value_dim]
    int64_t slots;
    const int32_t* reads;   // [sequences]
    const int32_t* writes;  // [sequences]
};

// Throws std::invalid_argument unless every slot exists and what one sequence writes no other reads or writes.
void check(const DeltaStates& states, int64_t sequences);

// Fills in the job's scratch and runs it; `convolution` is [channels][width]. Rows of sequence s are those from
// offsets[s] up to offsets[s + 1], which must have been checked, and so must the states. Without states every sequence
// begins anew and nothing is kept.
void delta_rule(DeltaJob job, const DeltaControls& controls, const float* convolution, const int32_t* offsets,
                int64_t sequences, const DeltaStates* states);

}  // namespace freehold
