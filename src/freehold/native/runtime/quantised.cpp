#include "runtime/quantised.hpp"

#include <algorithm>

#include "runtime/isa.hpp"
#include "runtime/thread_pool.hpp"

namespace freehold {
namespace {

constexpr int64_t grain = 8192;  // elements

template <typename T>
void copy_cells(const T* from, int64_t from_row, T* to, int64_t to_row, int64_t cells) {
    std::copy_n(from + from_row * cells, cells, to + to_row * cells);
}

}  // namespace

QuantisedRows reserve_quantised(int64_t rows, int64_t columns, Scratch& scratch) {
    const int64_t blocks = (columns + block_columns - 1) / block_columns;
    const int64_t cells = rows * blocks;
    auto* memory = scratch.reserve<float>(cells * (5 + block_columns / 4));
    return {
        .blocks = blocks,
        .codes = reinterpret_cast<int8_t*>(memory + 5 * cells),
        .scales = memory,
        .sums = memory + cells,
        .code_sums = reinterpret_cast<int32_t*>(memory + 2 * cells),
        .q6_k_starts = reinterpret_cast<int32_t*>(memory + 3 * cells),
    };
}

QuantisedRows rows_from(const QuantisedRows& rows, int64_t first) {
    const int64_t cells = first * rows.blocks;
    return {
        .blocks = rows.blocks,
        .codes = rows.codes + cells * block_columns,
        .scales = rows.scales + cells,
        .sums = rows.sums + cells,
        .code_sums = rows.code_sums + cells,
        .q6_k_starts = rows.q6_k_starts + 2 * cells,
    };
}

void copy_row(const QuantisedRows& from, int64_t from_row, const QuantisedRows& to, int64_t to_row) {
    copy_cells(from.codes, from_row, to.codes, to_row, from.blocks * block_columns);
    copy_cells(from.scales, from_row, to.scales, to_row, from.blocks);
    copy_cells(from.sums, from_row, to.sums, to_row, from.blocks);
    copy_cells(from.code_sums, from_row, to.code_sums, to_row, from.blocks);
    copy_cells(from.q6_k_starts, from_row, to.q6_k_starts, to_row, 2 * from.blocks);
}

void quantise(const float* x, int64_t x_stride, int64_t rows, int64_t columns, const QuantisedRows& to) {
    const auto run = kernels().quantise;
    parallel_ranges(rows, std::max<int64_t>(grain / columns, 1),
                    [&](int64_t first, int64_t last) { run(x, x_stride, columns, to, first, last); });
}

}  // namespace freehold
