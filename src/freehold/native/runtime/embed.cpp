#include <algorithm>
#include <cmath>
#include <cstring>

#include "runtime/half.hpp"
#include "runtime/thread_pool.hpp"
#include "runtime/weight.hpp"

namespace freehold {
namespace {

constexpr int64_t grain = 4096;  // elements

float float_value(const PackedMatrix& matrix, int64_t at) {
    switch (matrix.format) {
        case Format::f32: return static_cast<const float*>(matrix.codes)[at];
        case Format::f16: return half_to_float(static_cast<const uint16_t*>(matrix.codes)[at]);
        default: return bfloat_to_float(static_cast<const uint16_t*>(matrix.codes)[at]);
    }
}

// What fp8 and mxfp4 codes stand for, the latter twice.
float float8_value(uint8_t code) {
    const auto magnitude = static_cast<uint16_t>((code & 0x7f) << 7);
    return half_to_float(static_cast<uint16_t>((code & 0x80) << 8 | magnitude)) * 256.0f;
}
constexpr float twice_float4[] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

float scale_value(const PackedMatrix& matrix, const void* scales, int64_t at) {
    if (matrix.format == Format::mxfp4) return std::ldexp(1.0f, static_cast<const uint8_t*>(scales)[at] - 128);
    return matrix.half_scales ? half_to_float(static_cast<const uint16_t*>(scales)[at])
                              : static_cast<const float*>(scales)[at];
}

// The code of one column of a block, less its offset.
float code_value(const PackedMatrix& matrix, int64_t block, int64_t lane, int64_t column) {
    const auto* codes = static_cast<const uint8_t*>(matrix.codes);
    const int64_t step = column / 4;
    if (matrix.format == Format::q8) {
        const uint8_t code = codes[block * q8_block_bytes + (step * panel_rows + lane) * 4 + column % 4];
        return static_cast<float>(static_cast<int8_t>(code));
    }
    const uint8_t both = codes[block * q4_block_bytes + (step % 4 * panel_rows + lane) * 4 + column % 4];
    const int nibble = step < 4 ? both & 15 : both >> 4;
    if (matrix.format == Format::mxfp4) return twice_float4[nibble];
    return static_cast<float>(nibble) - static_cast<float>(matrix.offset);
}

void float_row(const PackedMatrix& matrix, int64_t row, float* out) {
    const int64_t begin = row / panel_rows * matrix.columns * panel_rows + row % panel_rows;
    for (int64_t column = 0; column < matrix.columns; ++column)
        out[column] = float_value(matrix, begin + column * panel_rows);
}

void float8_row(const PackedMatrix& matrix, int64_t row, float* out) {
    const int64_t panel = row / panel_rows, lane = row % panel_rows;
    const auto* codes = static_cast<const uint8_t*>(matrix.codes) + panel * matrix.columns * panel_rows + lane;
    const auto* scales = static_cast<const float*>(matrix.scales) + panel * matrix.fp8_blocks() * panel_rows + lane;
    for (int64_t column = 0; column < matrix.columns; ++column)
        out[column] = float8_value(codes[column * panel_rows]) * scales[column / fp8_block_columns * panel_rows];
}

// The same two roundings as GroupedTensor.float32: a product, then a sum where there are minimums.
void quantised_row(const PackedMatrix& matrix, int64_t row, float* out) {
    const int64_t lane = row % panel_rows;
    for (int64_t column = 0; column < matrix.columns; ++column) {
        const int64_t block = row / panel_rows * matrix.blocks() + column / block_columns;
        const int64_t within = column % block_columns;
        float value = code_value(matrix, block, lane, within) *
                      scale_value(matrix, matrix.scales, block * panel_rows + lane);
        if (matrix.minimums != nullptr) value += scale_value(matrix, matrix.minimums, block * panel_rows + lane);
        out[column] = value;
    }
}

// The code of one column of a superblock, less its offset.
float superblock_code(const PackedMatrix& matrix, const uint8_t* block, int64_t lane, int64_t column) {
    const int64_t step = column / 4;
    const int64_t place = lane * 4 + column % 4;
    const uint8_t* upper = block + q4_block_bytes;
    int code = block[step % 4 * 32 + place] >> (step / 4 * 4) & 15;
    if (matrix.format == Format::q5_k) code |= (upper[place] >> step & 1) << 4;
    if (matrix.format == Format::q6_k) code |= (upper[step / 4 * 32 + place] >> (step % 4 * 2) & 3) << 4;
    return static_cast<float>(code - matrix.offset);
}

float half_at(const uint8_t* from, int64_t lane) {
    uint16_t half;
    std::memcpy(&half, from + lane * 2, sizeof half);
    return half_to_float(half);
}

void superblock_row(const PackedMatrix& matrix, int64_t row, float* out) {
    const Superblock& layout = superblock_of(matrix.format);
    const int64_t lane = row % panel_rows;
    const int64_t group_columns = superblock_columns / layout.groups;
    for (int64_t column = 0; column < matrix.columns; ++column) {
        const int64_t within = column % superblock_columns;
        const uint8_t* from = static_cast<const uint8_t*>(matrix.codes) +
                              (row / panel_rows * matrix.superblocks() + column / superblock_columns) * layout.bytes();
        const int64_t group = within / group_columns * panel_rows + lane;
        const uint8_t unit = from[layout.scales() + group];
        const uint8_t* block = from + layout.codes() + within / block_columns * layout.block_bytes();
        const float scale = half_at(from + layout.d(), lane) *
                            static_cast<float>(layout.has_minimums ? unit : static_cast<int8_t>(unit));
        out[column] = superblock_code(matrix, block, lane, within % block_columns) * scale;
        if (layout.has_minimums)
            out[column] += -half_at(from + layout.m(), lane) * static_cast<float>(from[layout.minimums() + group]);
    }
}

void embed_one(const Weight& table, int64_t row, float* out) {
    for (const Part& part : table.parts) {
        if (row < part.matrix.rows) {
            const Format format = part.matrix.format;
            const auto fill = has_superblocks(format) ? superblock_row
                              : is_quantised(format)  ? quantised_row
                              : format == Format::fp8 ? float8_row
                                                      : float_row;
            return fill(part.matrix, row, out);
        }
        row -= part.matrix.rows;
    }
}

}  // namespace

void embed(const Weight& table, const int32_t* ids, int64_t count, float* out) {
    const int64_t columns = table.inputs();
    parallel_ranges(count, std::max<int64_t>(grain / columns, 1), [&](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; ++i) embed_one(table, ids[i], out + i * columns);
    });
}

}  // namespace freehold
