// From ggml's blocks of 256 columns (Q4_K, Q5_K and Q6_K, as tensors/unpack.py describes them) to superblocks.
#include <algorithm>
#include <cstring>

#include "runtime/pack.hpp"
#include "runtime/thread_pool.hpp"

namespace freehold {
namespace {

constexpr int64_t grain = 64 << 10;  // elements

// Takes one row of 256 columns apart: integer scales and minimums of its groups, and its codes one per byte.
struct Parts {
    const uint8_t* d;
    const uint8_t* m;  // or null
    uint8_t scales[16];
    uint8_t minimums[8];
    uint8_t codes[superblock_columns];
};

// The first four are the low six bits of bytes 0..3 and 4..7. The last four have their low four bits in bytes 8..11, and
// the upper two in the top of the others.
void take_six_bit_scales(const uint8_t* packed, Parts& parts) {
    for (int i = 0; i < 4; ++i) {
        parts.scales[i] = packed[i] & 63;
        parts.minimums[i] = packed[4 + i] & 63;
        parts.scales[4 + i] = static_cast<uint8_t>((packed[8 + i] & 15) | packed[i] >> 6 << 4);
        parts.minimums[4 + i] = static_cast<uint8_t>(packed[8 + i] >> 4 | packed[4 + i] >> 6 << 4);
    }
}

// d, m, scales, [fifth bits: bit g of byte c for column c of group g,] nibbles: of 32 bytes first the low ones.
void take_four_or_five(const uint8_t* block, bool five, Parts& parts) {
    parts.d = block;
    parts.m = block + 2;
    take_six_bit_scales(block + 4, parts);
    const uint8_t* fifth = block + 16;
    const uint8_t* low = five ? fifth + 32 : fifth;
    for (int64_t group = 0; group < 8; ++group)
        for (int64_t c = 0; c < 32; ++c) {
            const int code = low[group / 2 * 32 + c] >> (group % 2 * 4) & 15;
            const int upper = five ? (fifth[c] >> group & 1) << 4 : 0;
            parts.codes[group * 32 + c] = static_cast<uint8_t>(code | upper);
        }
}

// Each half of 128 columns has 64 bytes of nibbles and 32 bytes of upper bits, for four runs of 32 columns.
void take_six(const uint8_t* block, Parts& parts) {
    const uint8_t* upper = block + 128;
    std::memcpy(parts.scales, block + 192, 16);
    parts.d = block + 208;
    parts.m = nullptr;
    for (int64_t run = 0; run < 8; ++run)
        for (int64_t c = 0; c < 32; ++c) {
            const int64_t half = run / 4, within = run % 4;
            const int code = block[half * 64 + within % 2 * 32 + c] >> (within / 2 * 4) & 15;
            const int high = upper[half * 32 + c] >> (within * 2) & 3;
            parts.codes[run * 32 + c] = static_cast<uint8_t>(code | high << 4);
        }
}

// Where a column's byte lies among those of a row's step of four columns.
int64_t place(int64_t lane, int64_t column) { return lane * 4 + column % 4; }

void put_codes(const uint8_t* codes, Format format, int64_t lane, uint8_t* block) {
    uint8_t* upper = block + q4_block_bytes;
    for (int64_t column = 0; column < block_columns; ++column) {
        const int64_t step = column / 4;
        block[step % 4 * 32 + place(lane, column)] |= static_cast<uint8_t>((codes[column] & 15) << (step / 4 * 4));
        const int rest = codes[column] >> 4;
        if (format == Format::q5_k) upper[place(lane, column)] |= static_cast<uint8_t>(rest << step);
        if (format == Format::q6_k)
            upper[step / 4 * 32 + place(lane, column)] |= static_cast<uint8_t>(rest << (step % 4 * 2));
    }
}

void put(const Parts& parts, Format format, int64_t lane, uint8_t* superblock) {
    const Superblock& layout = superblock_of(format);
    std::memcpy(superblock + layout.d() + lane * 2, parts.d, 2);
    if (layout.has_minimums) std::memcpy(superblock + layout.m() + lane * 2, parts.m, 2);
    for (int64_t group = 0; group < layout.groups; ++group) {
        superblock[layout.scales() + group * panel_rows + lane] = parts.scales[group];
        if (layout.has_minimums) superblock[layout.minimums() + group * panel_rows + lane] = parts.minimums[group];
    }
    for (int64_t block = 0; block < superblock_blocks; ++block)
        put_codes(parts.codes + block * block_columns, format, lane,
                  superblock + layout.codes() + block * layout.block_bytes());
}

}  // namespace

void pack_superblocks(const uint8_t* blocks, Format target, int64_t count, int64_t columns, int64_t first, void* out) {
    auto* to = static_cast<uint8_t*>(out) + packed_bytes(target, first, columns);
    const int64_t superblocks = columns / superblock_columns;
    const int64_t from_bytes = ggml_block_bytes(target);
    const int64_t to_bytes = superblock_of(target).bytes();
    const int64_t panels = (count + panel_rows - 1) / panel_rows;
    parallel_ranges(panels, std::max<int64_t>(grain / (panel_rows * columns), 1), [&](int64_t begin, int64_t end) {
        std::memset(to + begin * superblocks * to_bytes, 0, (end - begin) * superblocks * to_bytes);
        for (int64_t row = begin * panel_rows; row < std::min(end * panel_rows, count); ++row)
            for (int64_t superblock = 0; superblock < superblocks; ++superblock) {
                const uint8_t* block = blocks + (row * superblocks + superblock) * from_bytes;
                Parts parts;
                target == Format::q6_k ? take_six(block, parts)
                                       : take_four_or_five(block, target == Format::q5_k, parts);
                put(parts, target, row % panel_rows,
                    to + (row / panel_rows * superblocks + superblock) * to_bytes);
            }
    });
}

int64_t ggml_block_bytes(Format format) { return format == Format::q4_k ? 144 : format == Format::q5_k ? 176 : 210; }

}  // namespace freehold
