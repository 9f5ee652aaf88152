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
//     scales           [panel][block][group in block][8 rows]   one group of 32, or two of 16; float16 or float32
//                                                               (mxfp4: one byte; fp8: float32, blocks of 128 columns)
//     minimums         [panel][block][8 rows]                   optional, of the scales' type
//
// A quantised weight stands for scale * (code - offset) + minimum. q4 codes are 0..15 with an offset of 0..15; q8 codes
// are -128..127 with offset 0. Scales are kept as float16 where every one of them is exactly representable.
//
// mxfp4 codes are floats of four bits, and a scale e stands for 2^(e - 127) (Open Compute Project, Microscaling
// Formats, 2023). Twice such a float is an integer from -12 to 12; a kernel looks it up with 12 added, so that the format
// is one of unsigned codes with offset 12 and scale 2^(e - 128). fp8 codes are floats E4M3; they multiply floats.
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
// A block with a NaN or an infinity gets s = NaN, so that it shows in every output it takes part in.
//
// Order. Each output is one chain: block by block, fma(integer, scale * s, chain), then fma(minimum, s * S, chain); for
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

enum class Format : uint8_t { f32, f16, bf16, q4, q8, mxfp4, fp8 };

// Whether activations are quantised to be multiplied with it.
constexpr bool is_quantised(Format format) {
    return format == Format::q4 || format == Format::q8 || format == Format::mxfp4;
}
constexpr bool has_nibbles(Format format) { return format == Format::q4 || format == Format::mxfp4; }

// A packed weight; the memory belongs to someone else.
struct PackedMatrix {
    Format format;
    bool half_scales;  // scales and minimums are float16, else float32
    int group;         // columns that share a scale: 32 or 16, for fp8 128
    int offset;
    int64_t rows;
    int64_t columns;
    const void* codes;
    const void* scales;
    const void* minimums;  // or null

    int64_t panels() const { return (rows + panel_rows - 1) / panel_rows; }
    int64_t blocks() const { return (columns + block_columns - 1) / block_columns; }
    int64_t fp8_blocks() const { return (columns + fp8_block_columns - 1) / fp8_block_columns; }
};

// Activations of several tokens, quantised. Every array is [tokens][blocks] but codes, which is [tokens][blocks][32].
struct QuantisedRows {
    int64_t blocks;
    int8_t* codes;
    float* scales;   // s
    float* sums;     // s * S
    int32_t* pairs;  // two int16 that add up to S, parted as the instruction set wants them (sum_of_column in dots.hpp)
};

}  // namespace freehold
