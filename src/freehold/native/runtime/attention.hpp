// Attention of a ragged batch over a paged cache.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/table.hpp"

namespace freehold {

// Which rows belong to which sequence, and where each sequence's cache blocks are.
struct RaggedBatch {
    int64_t tokens;
    int64_t sequences;
    const int32_t* positions;      // [tokens]
    const int32_t* offsets;        // [sequences + 1]
    const int32_t* block_tables;   // [table_size], of which block_offsets may use fewer
    const int32_t* block_offsets;  // [sequences + 1]
    int64_t table_size;
};

// Throws std::invalid_argument unless offsets rise from 0 to `total`.
void check_offsets(const int32_t* offsets, int64_t sequences, int64_t total, const std::string& name);

// Throws std::invalid_argument unless every position of every row lies in a block of its sequence and every block in a
// cache of `blocks` blocks.
void check(const RaggedBatch& batch, int64_t block_size, int64_t blocks);

// Writes k and v of every row into the cache, then attends. The batch must have been checked.
void attention(const AttentionJob& job, const RaggedBatch& batch);

// The same for latent attention.
void latent_attention(const LatentJob& job, const RaggedBatch& batch);

}  // namespace freehold
