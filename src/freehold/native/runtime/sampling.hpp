// Choosing the next token of each row.
#pragma once

#include <cstdint>

namespace freehold {

// Every array has an entry per row unless its shape is given. freehold/ops/sampling.py says what the options mean.
struct SamplingJob {
    int64_t rows;
    int64_t vocabulary;
    const float* logits;  // rows logits_stride apart
    int64_t logits_stride;
    const float* temperature;
    const int32_t* top_k;
    const float* top_p;
    const float* min_p;
    const float* repetition_penalty;
    const float* presence_penalty;
    const float* frequency_penalty;
    const uint64_t* seed;
    const uint64_t* position;
    const int32_t* history;         // [history_offsets[rows]]
    const int64_t* history_offsets; // [rows + 1]
    const int64_t* output_starts;   // where in a row's history the output begins
    const int32_t* bias_ids;        // [bias_offsets[rows]]
    const float* bias_values;
    const int64_t* bias_offsets;    // [rows + 1]
    const uint32_t* masks;          // [masks][mask_words], a set bit allows a token
    int64_t mask_words;
    const int32_t* mask_rows;       // which mask a row has; -1 for none
    const int32_t* top_logprobs;    // -1 reports nothing, not even the token that was drawn
    int64_t top_width;

    int32_t* token_ids;
    float* logprobs;
    uint8_t* status;
    int32_t* top_ids;   // [rows][top_width]
    float* top_values;  // [rows][top_width]
};

enum class RowStatus : uint8_t { ok = 0, not_finite = 1, nothing_allowed = 2 };

void sample(const SamplingJob& job);

}  // namespace freehold
