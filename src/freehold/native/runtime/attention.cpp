#include "runtime/attention.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "runtime/isa.hpp"
#include "runtime/memory.hpp"
#include "runtime/thread_pool.hpp"

namespace freehold {
namespace {

constexpr int64_t rows_together = 16;
constexpr int64_t heads_together = 4;  // that share what a kernel loads

using std::to_string;

[[noreturn]] void refuse(const std::string& message) { throw std::invalid_argument(message); }

void check_rising(const int32_t* offsets, int64_t sequences, const std::string& name) {
    if (offsets[0] != 0) refuse(name + " begin at " + to_string(offsets[0]) + ", must begin at 0");
    for (int64_t i = 0; i < sequences; ++i)
        if (offsets[i + 1] < offsets[i])
            refuse(name + " fall from " + to_string(offsets[i]) + " to " + to_string(offsets[i + 1]) + " at sequence " +
                   to_string(i));
}

void check_positions(const RaggedBatch& batch, int64_t sequence, int64_t block_size) {
    const int64_t first = batch.offsets[sequence];
    const int64_t last = batch.offsets[sequence + 1];
    const int64_t room = (batch.block_offsets[sequence + 1] - batch.block_offsets[sequence]) * block_size;
    for (int64_t row = first; row < last; ++row) {
        const int64_t position = batch.positions[row];
        if (position < 0 || position >= room)
            refuse("row " + to_string(row) + " is at position " + to_string(position) +
                   ", but the blocks of sequence " + to_string(sequence) + " hold " + to_string(room) + " positions");
        if (row > first && position != int64_t{batch.positions[row - 1]} + 1)
            refuse("row " + to_string(row) + " is at position " + to_string(position) + " after position " +
                   to_string(batch.positions[row - 1]) + " of the same sequence");
    }
}

std::vector<AttentionRange> ranges_of(const RaggedBatch& batch, int64_t rows) {
    std::vector<AttentionRange> ranges;
    for (int64_t sequence = 0; sequence < batch.sequences; ++sequence) {
        const int64_t end = batch.offsets[sequence + 1];
        AttentionRange range{};
        range.blocks = batch.block_tables + batch.block_offsets[sequence];
        for (range.first = batch.offsets[sequence]; range.first < end; range.first = range.last) {
            range.positions = batch.positions[end - 1] + int64_t{1};
            range.last = std::min(range.first + rows, end);
            ranges.push_back(range);
        }
    }
    return ranges;
}

// The size of the parts that make so many, of `group` heads, when only the last may be no multiple of heads_together.
int64_t part_of(int64_t group, int64_t parts) {
    const int64_t heads = (group + parts - 1) / parts;
    return std::min(group, (heads + heads_together - 1) / heads_together * heads_together);
}

}  // namespace

void check_offsets(const int32_t* offsets, int64_t sequences, int64_t total, const std::string& name) {
    check_rising(offsets, sequences, name);
    if (offsets[sequences] != total)
        refuse(name + " end at " + to_string(offsets[sequences]) + ", but there are " + to_string(total));
}

void check(const RaggedBatch& batch, int64_t block_size, int64_t blocks) {
    check_offsets(batch.offsets, batch.sequences, batch.tokens, "offsets");
    check_rising(batch.block_offsets, batch.sequences, "block_offsets");
    const int64_t used = batch.block_offsets[batch.sequences];
    if (used > batch.table_size)
        refuse("block_offsets end at " + to_string(used) + ", but there are " + to_string(batch.table_size));
    for (int64_t i = 0; i < used; ++i)
        if (batch.block_tables[i] < 0 || batch.block_tables[i] >= blocks)
            refuse("block_tables[" + to_string(i) + "] is " + to_string(batch.block_tables[i]) +
                   ", but the cache has " + to_string(blocks) + " blocks");
    for (int64_t sequence = 0; sequence < batch.sequences; ++sequence) check_positions(batch, sequence, block_size);
}

void attention(const AttentionJob& job, const RaggedBatch& batch) {
    thread_local Scratch memory;
    if (batch.tokens == 0) return;
    const Kernels& kernel = kernels();
    const std::vector<AttentionRange> ranges = ranges_of(batch, rows_together);
    const int64_t most_positions = *std::max_element(batch.positions, batch.positions + batch.tokens) + int64_t{1};
    const int64_t scratch_size = kernel.attention_scratch(job, most_positions);
    const int workers = threads();
    auto* scratch = memory.reserve<float>(scratch_size * workers);

    const int64_t pieces = static_cast<int64_t>(ranges.size()) * job.kv_heads;
    const auto piece_of = [&](int64_t piece) {
        AttentionRange range = ranges[piece / job.kv_heads];
        range.kv_head = piece % job.kv_heads;
        return range;
    };
    // Many heads may share few KV heads: where these are too few to go round, parts of their heads do.
    const int64_t group = job.heads / job.kv_heads;
    const int64_t part = part_of(group, (workers + pieces - 1) / pieces);
    const int64_t parts = (group + part - 1) / part;
    // What nobody else reads is written just before it is read.
    const bool apart = parts == 1 && static_cast<int64_t>(ranges.size()) <= batch.sequences;
    if (!apart)
        parallel_ranges(pieces, 8, [&](int64_t first, int64_t last) {
            for (int64_t piece = first; piece < last; ++piece) kernel.write_cache(job, piece_of(piece));
        });
    parallel_for(pieces * parts, workers, [&](int64_t index, int worker) {
        AttentionRange range = piece_of(index / parts);
        if (apart) kernel.write_cache(job, range);
        range.first_head = range.kv_head * group + index % parts * part;
        range.last_head = std::min(range.first_head + part, (range.kv_head + 1) * group);
        kernel.attend(job, range, scratch + worker * scratch_size);
    });
}

void latent_attention(const LatentJob& job, const RaggedBatch& batch) {
    thread_local Scratch memory;
    if (batch.tokens == 0) return;
    const Kernels& kernel = kernels();
    const int64_t rows = std::max(int64_t{1}, latent_queries / job.heads);
    const std::vector<AttentionRange> ranges = ranges_of(batch, rows);
    const auto pieces = static_cast<int64_t>(ranges.size());
    const int64_t scratch_size = kernel.latent_scratch(job);
    const int workers = threads();
    auto* scratch = memory.reserve<float>(scratch_size * workers);

    parallel_ranges(pieces, 8, [&](int64_t first, int64_t last) {
        for (int64_t piece = first; piece < last; ++piece) kernel.write_latent(job, ranges[piece]);
    });
    const int64_t part = std::min(latent_queries, part_of(job.heads, (workers + pieces - 1) / pieces));
    const int64_t parts = (job.heads + part - 1) / part;
    parallel_for(pieces * parts, workers, [&](int64_t index, int worker) {
        AttentionRange range = ranges[index / parts];
        range.first_head = index % parts * part;
        range.last_head = std::min(range.first_head + part, job.heads);
        kernel.attend_latent(job, range, scratch + worker * scratch_size);
    });
}

}  // namespace freehold
