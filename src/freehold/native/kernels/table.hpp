// The table of kernels that each instruction set fills in. Kernels compute a range of a job and know no threads.
#pragma once

#include <cstdint>

#include "kernels/layout.hpp"

namespace freehold {

// out[token][row] for one packed weight. The pointers are those of the first token; out is the matrix's first column.
struct LinearJob {
    const PackedMatrix* matrix;
    const float* bias;  // [panels * 8], or null
    const float* x;     // for the float formats
    int64_t x_stride;
    QuantisedRows quantised;  // for the quantised formats
    float* out;
    int64_t out_stride;
    bool adds;  // to what out holds, instead of replacing it
};

enum class Activation : uint8_t { silu, gelu, gelu_tanh, relu, sigmoid, tanh };

// What a gated MLP does between its two products.
struct Gating {
    Activation activation;
    bool clamped;  // instead of the activation: with gate <= limit and |up| <= limit, gate * sigmoid(1.702 gate) * (up + 1)
    float limit;
};

// [rows][heads][columns]: vectors of floats that follow each other at any distance.
template <typename T>
struct VectorsOf {
    T* data;
    int64_t rows, heads, columns;
    int64_t row_stride, head_stride;
};
using Vectors = VectorsOf<float>;
using ConstVectors = VectorsOf<const float>;

struct NormJob {
    ConstVectors x;
    const float* weight;  // [columns], or null
    const float* bias;    // likewise
    int64_t weight_stride;  // columns where each head has its own weight and bias, else 0
    float epsilon;
    float* out;  // contiguous
};

// What caches hold. Codes of 8 bits have a scale, a bfloat16, for each `cache_group` features of a vector.
enum class CacheType : uint8_t { f32, f16, q8 };
inline constexpr int64_t cache_group = 32;

// Paged attention. Layouts of the cache, for head_dim d padded to whole vectors in the values, and of the scales of codes:
//     keys          [blocks][kv_heads][block_size / 8, rounded up][head_dim][8 positions]
//     values        [blocks][kv_heads][block_size][head_dim rounded up to 8]
//     key_scales    [blocks][kv_heads][block_size / 8, rounded up][head_dim / 32, rounded up][8 positions]
//     value_scales  [blocks][kv_heads][head_dim / 32, rounded up][block_size rounded up to 8]
struct AttentionJob {
    const float* q;  // [tokens][heads][head_dim], rows q_stride apart
    const float* k;  // [tokens][kv_heads][head_dim]
    const float* v;
    float* out;      // [tokens][heads][head_dim], contiguous
    int64_t q_stride, k_stride, v_stride;
    int64_t heads, kv_heads, head_dim;
    const int32_t* positions;  // [tokens]
    void* keys;
    void* values;
    uint16_t* key_scales;  // of codes, else null
    uint16_t* value_scales;
    CacheType cache_type;
    int64_t block_size;
    float scale;
    int64_t window;       // 0 for none
    int64_t chunk;        // 0 for none
    float softcap;        // 0 for none
    bool causal;          // else every row sees its whole sequence
    const float* sinks;   // [heads], or null
    const float* slopes;  // [heads], or null
};

// Rows [first, last) and heads [first_head, last_head) of one sequence, which has so many positions by now and whose
// cache blocks are `blocks`. The heads all read `kv_head`.
struct AttentionRange {
    const int32_t* blocks;
    int64_t positions;
    int64_t first, last;
    int64_t kv_head;
    int64_t first_head, last_head;
};

// Paged causal attention whose keys all heads share, the first `latent` features of a key being its value. The cache is
// [blocks][block_size][features], its scales [blocks][block_size][features / 32, rounded up].
struct LatentJob {
    const float* q;  // [tokens][heads][features], rows q_stride apart
    const float* k;  // [tokens][features], rows k_stride apart
    float* out;      // [tokens][heads][latent], contiguous
    int64_t q_stride, k_stride;
    int64_t heads, features, latent;
    const int32_t* positions;  // [tokens]
    void* keys;
    uint16_t* scales;  // of codes, else null
    CacheType cache_type;
    int64_t block_size;
    float scale;
};

// Rows times heads that one range of latent attention may have.
inline constexpr int64_t latent_queries = 64;

// Linear attention with a gated delta rule. Value head h reads key head h % key_heads where they are tiled, else
// h / (value_heads / key_heads).
struct DeltaJob {
    const float* qkv;  // [tokens][channels], rows qkv_stride apart: queries, keys and values of all heads
    int64_t qkv_stride;
    int64_t key_heads, value_heads, key_dim, value_dim;
    bool tiled;
    int64_t width, channels;
    const float* taps;             // [width][channels], the last of them for the row itself
    const int64_t* begins;         // [tokens], the first row of each row's sequence
    const float* const* befores;   // [tokens], the width - 1 rows before that, [width - 1][channels]; null for zeros
    float* mixed;                  // [tokens][channels], qkv after its convolution, queries and keys of fixed length
    const float* factors;          // [tokens][value_heads], what the states are multiplied by
    const float* strengths;        // [tokens][value_heads], how much they learn
    float* out;                    // [tokens][value_heads][value_dim]
};

// Some values of one head over all rows of one sequence, [first, last).
struct DeltaRange {
    int64_t first, last;
    int64_t head;
    int64_t first_value, last_value;  // at most delta_lanes
    const float* from;                // the head's state, [key_dim][value_dim]; null for zeros
    float* to;                        // takes the state after the last row, unless null
};

// Values of a head that go through the rows together. For each of them the kernel needs key_dim floats of scratch.
inline constexpr int64_t delta_lanes = 32;

struct LogitStatistics {
    float maximum;
    bool finite;  // no NaN and no +infinity, and at least one value above -infinity
};

struct Kernels {
    const char* name;

    // Tokens [first, last) of x, from float32.
    void (*quantise)(const float* x, int64_t x_stride, int64_t columns, const QuantisedRows& out, int64_t first,
                     int64_t last);
    // Tokens [first_token, last_token) times panels [first_panel, last_panel).
    void (*linear)(const LinearJob& job, int64_t first_token, int64_t last_token, int64_t first_panel,
                   int64_t last_panel);

    // Vectors [first, last), counted through all rows and heads; so below.
    void (*rms_norm)(const NormJob& job, int64_t first, int64_t last);
    void (*layer_norm)(const NormJob& job, int64_t first, int64_t last);
    // x [tokens][heads][head_dim] in place; cosines and sines [tokens][pairs].
    void (*rope)(float* x, int64_t x_stride, int64_t heads, int64_t head_dim, const float* cosines, const float* sines,
                 int64_t pairs, int64_t first, int64_t last);
    // x = activation(x).
    void (*activate)(const Vectors& x, Activation activation, int64_t first, int64_t last);
    // x *= activation(gates), where gates have as many columns as x, or one for all.
    void (*gate)(const Vectors& x, const ConstVectors& gates, Activation activation, int64_t first, int64_t last);
    // gate_up [tokens][2 * width]: the first half of each row becomes activation(first half) * second half.
    void (*gate_up)(float* gate_up, int64_t stride, int64_t width, const Gating& gating, int64_t first, int64_t last);
    // x = cap * tanh(x / cap).
    void (*softcap)(const Vectors& x, float cap, int64_t first, int64_t last);

    void (*write_cache)(const AttentionJob& job, const AttentionRange& range);
    // Floats of scratch that attend needs when no row is past `positions`.
    int64_t (*attention_scratch)(const AttentionJob& job, int64_t positions);
    void (*attend)(const AttentionJob& job, const AttentionRange& range, float* scratch);

    // The same for latent attention, whose ranges say nothing of positions and KV heads.
    void (*write_latent)(const LatentJob& job, const AttentionRange& range);
    int64_t (*latent_scratch)(const LatentJob& job);
    void (*attend_latent)(const LatentJob& job, const AttentionRange& range, float* scratch);

    // Heads [first, last), counted through all rows and their queries, keys and values: fills `mixed`.
    void (*delta_inputs)(const DeltaJob& job, int64_t first, int64_t last);
    void (*delta_rule)(const DeltaJob& job, const DeltaRange& range, float* scratch);

    LogitStatistics (*logit_statistics)(const float* logits, int64_t count);
    // Writes the indices in [begin, end) of values that are at least `bound`, and returns how many those are.
    int64_t (*at_least)(const float* values, int64_t begin, int64_t end, float bound, int32_t* found);
    // out = exp((x - maximum) * factor) where out is not null; returns the sum.
    double (*exponentials)(const float* x, int64_t count, float maximum, float factor, float* out);

    void (*to_half)(const float* x, int64_t count, uint16_t* out);
};

}  // namespace freehold
