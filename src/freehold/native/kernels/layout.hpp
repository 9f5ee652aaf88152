// How weights and activations lie in memory, and the arithmetic that is done on them. Explained here once.
//
// A weight W [rows, columns] multiplies activations x [tokens, columns]:
//
//     out[t][r] = sum over c of W[r][c] * x[t][c] + bias[r]
//
// Panels and blocks. Eight rows of W make a panel and 32 columns a block. Within a block the eight rows are interleaved
// so that each 32-bit lane of a 256-bit vector belongs to one row: results for eight rows come out side by side,
// without any horizontal sum. Rows are padded to whole panels and columns to whole blocks, with zeros.
//
//     f32, f16, bf16   [panel][column][8 rows]                  columns are not padded
//     q8               [panel][block][step 0..7][8 rows][4]     signed bytes; a step is 4 columns, 32 bytes
//     q4               [panel][block][step 0..3][8 rows][4]     low halves of the bytes are step s, high halves s + 4
//     mxfp4            as q4
//     fp8              [panel][column][8 rows]                  columns are not padded
//     scales           [panel][block][8 rows]                   float16 or float32
//                                                               (mxfp4: one byte; fp8: float32, blocks of 128 columns)
//     minimums         [panel][block][8 rows]                   optional, of the scales' type
//     q4_k, q5_k, q6_k [panel][superblock]                      see below; they have no scales beside them
//
// A quantised weight stands for scale * (code - offset) + minimum. q4 codes are 0..15 with an offset of 0..15; q8 codes
// are -128..127 with offset 0. Scales are kept as float16 where every one of them is exactly representable.
//
// mxfp4 codes are floats of four bits, and a scale e stands for 2^(e - 127) (Open Compute Project, Microscaling
// Formats, 2023). Twice such a float is an integer from -12 to 12; a kernel looks it up with 12 added, so that the format
// is one of unsigned codes with offset 12 and scale 2^(e - 128). fp8 codes are floats E4M3; they multiply floats.
//
// Superblocks. q4_k, q5_k and q6_k share one float16 d (and q4_k and q5_k one float16 m) between 256 columns, whose
// groups of 32 (of 16 in q6_k) have scales and minimums that are small integers. What belongs to the 256 columns of a
// panel lies together:
//
//     d                [8 rows]                                 float16
//     m                [8 rows]                                 float16; not in q6_k
//     scales           [group][8 rows]                          unsigned bytes below 64; in q6_k signed bytes
//     minimums         [group][8 rows]                          unsigned bytes below 64; not in q6_k
//     codes            [block 0..7]                             the low four bits as in q4, then the others:
//                      [8 rows][4]                              q5_k: bit s of a byte is the fifth of step s
//                      [half of the block][8 rows][4]           q6_k: bits 2 s of a byte are the upper two of step s
//
// They stand for d * scale * code - m * minimum, where q6_k codes have an offset of 32. Float32 holds d * scale and
// m * minimum exactly, and so the values are those of ggml.
//
// Activations. For quantised weights each block of 32 activations is quantised on the fly to a * s with s = amax / 127
// and a = round(x / s) in -127..127 (nearest, ties to even). With S = sum of a over the block,
//
//     sum of W * x  =  scale * s * (sum of code * a  -  offset * S)  +  minimum * s * S
//
// The sum in brackets is an exact integer. For q4 it is accumulated in 16 bits over the whole block: at most
// 15 * 127 * 2 products * 8 steps = 30480 < 32768, and the same bound holds with the offset taken off, so starting from
// -offset * S costs nothing. For mxfp4, whose codes are at most 12 from the offset, the bound is 24384 on every way from
// there. For q8 two products make up to 128 * 127 * 2 = 32512, so every step is widened to 32 bits.
// Instructions that add up in 32 bits by themselves (dots_four.hpp) give the same integers with nothing to watch.
//
// Blocks of q4_k are added up as those of q4, but those of q5_k and q6_k over half a block, four steps, in 16 bits: at
// most 31 * 127 * 2 * 4 = 31496 for q5_k, and for q6_k, whose codes are at most 32 from the offset,
// 32 * 127 * 2 * 4 = 32512. On the way there the latter may leave 16 bits and come back, since adding wraps around; two
// products together, at most 63 * 127 * 2 = 16002, do not. For q6_k the halves are the groups, and since scales are
// integers, so is the sum over a block of scale * (code - offset) * a: at most 128 * 32512 * 4 = 16646144 < 2^24, which
// float32 holds. It enters the chain with d * s.
// A block with a NaN or an infinity gets s = NaN, so that it shows in every output it takes part in.
//
// Order. Each output is one chain: block by block, fma(integer, scale * s, chain), then fma(minimum, s * S, chain), where
// superblocks have d * scale (q6_k: d) for the scale and -m * minimum for the minimum; for
// the float formats column by column, fma(w, x, chain). fp8 has a chain like that for each 128 columns, beginning at
// zero, which then joins the output's: fma(256 * part, scale, chain), where 256 mends the exponents as decoded.
// Kernels for one token and for many, for one panel and for several, run the very same chain, which is why a result
// never depends on what is computed beside it.
#pragma once

#include <cstdint>

namespace freehold {

inline constexpr int64_t panel_rows = 8;
inline constexpr int64_t block_columns = 32;
inline constexpr int64_t q4_block_bytes = panel_rows * block_columns / 2;
inline constexpr int64_t q8_block_bytes = panel_rows * block_columns;

// Columns of fp8 that share a scale.
inline constexpr int64_t fp8_block_columns = 128;
inline constexpr int mxfp4_offset = 12;

// Columns and blocks of a superblock.
inline constexpr int64_t superblock_columns = 256;
inline constexpr int64_t superblock_blocks = superblock_columns / block_columns;
inline constexpr int q6_k_offset = 32;

enum class Format : uint8_t { f32, f16, bf16, q4, q8, mxfp4, fp8, q4_k, q5_k, q6_k };

constexpr bool has_superblocks(Format format) {
    return format == Format::q4_k || format == Format::q5_k || format == Format::q6_k;
}
// Whether activations are quantised to be multiplied with it.
constexpr bool is_quantised(Format format) {
    return format == Format::q4 || format == Format::q8 || format == Format::mxfp4 || has_superblocks(format);
}
constexpr bool has_nibbles(Format format) { return format == Format::q4 || format == Format::mxfp4; }

// Where the parts of a superblock lie, in bytes from its beginning.
struct Superblock {
    int64_t groups;      // of the 256 columns
    int64_t plane;       // bytes of a block's codes beside the low four bits
    bool has_minimums;

    constexpr int64_t block_bytes() const { return q4_block_bytes + plane; }
    constexpr int64_t d() const { return 0; }
    constexpr int64_t m() const { return panel_rows * 2; }
    constexpr int64_t scales() const { return panel_rows * (has_minimums ? 4 : 2); }
    constexpr int64_t minimums() const { return scales() + groups * panel_rows; }
    constexpr int64_t codes() const { return minimums() + (has_minimums ? groups * panel_rows : 0); }
    constexpr int64_t bytes() const { return codes() + superblock_blocks * block_bytes(); }
};
inline constexpr Superblock q4_k_superblock{.groups = 8, .plane = 0, .has_minimums = true};
inline constexpr Superblock q5_k_superblock{.groups = 8, .plane = 32, .has_minimums = true};
inline constexpr Superblock q6_k_superblock{.groups = 16, .plane = 64, .has_minimums = false};

constexpr const Superblock& superblock_of(Format format) {
    return format == Format::q4_k ? q4_k_superblock : format == Format::q5_k ? q5_k_superblock : q6_k_superblock;
}

// A packed weight; the memory belongs to someone else.
struct PackedMatrix {
    Format format;
    bool half_scales;  // scales and minimums are float16, else float32
    int offset;
    int64_t rows;
    int64_t columns;
    const void* codes;
    const void* scales;
    const void* minimums;  // or null

    int64_t panels() const { return (rows + panel_rows - 1) / panel_rows; }
    int64_t blocks() const { return (columns + block_columns - 1) / block_columns; }
    int64_t superblocks() const { return columns / superblock_columns; }
    int64_t fp8_blocks() const { return (columns + fp8_block_columns - 1) / fp8_block_columns; }
};

// Activations of several tokens, quantised. Every array is [tokens][blocks] but codes, which is [tokens][blocks][32].
struct QuantisedRows {
    int64_t blocks;
    int8_t* codes;
    float* scales;   // s
    float* sums;     // s * S
    int32_t* code_sums;    // S, as first_sums in dots.hpp has it
    int32_t* q6_k_starts;  // [tokens][blocks][2], for each half of a block -q6_k_offset * S, likewise
};

}  // namespace freehold
