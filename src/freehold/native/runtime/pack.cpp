#include "runtime/pack.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>

#include "runtime/half.hpp"
#include "runtime/isa.hpp"
#include "runtime/thread_pool.hpp"

namespace freehold {
namespace {

constexpr int64_t grain = 64 << 10;  // elements

int64_t element_bytes(Format format) {
    return format == Format::f32 ? 4 : format == Format::fp8 ? 1 : 2;
}

int64_t divide_up(int64_t value, int64_t by) { return (value + by - 1) / by; }

template <typename T>
T load_element(const std::byte* from) {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

float widen(const std::byte* from, Format format) {
    switch (format) {
        case Format::f32: return load_element<float>(from);
        case Format::f16: return half_to_float(load_element<uint16_t>(from));
        default: return bfloat_to_float(load_element<uint16_t>(from));
    }
}

// One column of a panel, eight values, in the target format. Returns false if float16 cannot hold a finite one.
bool store_column(const float* values, Format target, std::byte* out) {
    if (target == Format::f32) {
        std::memcpy(out, values, panel_rows * sizeof(float));
        return true;
    }
    uint16_t halves[panel_rows];
    bool fits = true;
    if (target == Format::f16) {
        kernels().to_half(values, panel_rows, halves);
        for (int64_t lane = 0; lane < panel_rows; ++lane)
            fits &= (halves[lane] & 0x7fff) != 0x7c00 || std::isinf(values[lane]);
    } else {
        for (int64_t lane = 0; lane < panel_rows; ++lane) halves[lane] = float_to_bfloat(values[lane]);
    }
    std::memcpy(out, halves, sizeof halves);
    return fits;
}

// A panel of up to eight rows whose type stays as it is.
template <typename T>
void interleave(const std::byte* rows, int64_t count, int64_t columns, std::byte* out) {
    for (int64_t column = 0; column < columns; ++column) {
        T values[panel_rows] = {};
        for (int64_t lane = 0; lane < count; ++lane)
            values[lane] = load_element<T>(rows + (lane * columns + column) * static_cast<int64_t>(sizeof(T)));
        std::memcpy(out + column * static_cast<int64_t>(sizeof values), values, sizeof values);
    }
}

bool convert(const std::byte* rows, Format source, Format target, int64_t count, int64_t columns, std::byte* out) {
    bool fits = true;
    for (int64_t column = 0; column < columns; ++column) {
        float values[panel_rows] = {};
        for (int64_t lane = 0; lane < count; ++lane)
            values[lane] = widen(rows + (lane * columns + column) * element_bytes(source), source);
        fits &= store_column(values, target, out + column * panel_rows * element_bytes(target));
    }
    return fits;
}

// The 32 codes of one row in one block; `available` of them exist.
void pack_q4(const uint8_t* codes, int64_t available, int64_t lane, uint8_t* block) {
    uint8_t all[block_columns] = {};
    std::memcpy(all, codes, available);
    for (int64_t i = 0; i < block_columns / 2; ++i)
        block[(i / 4 * panel_rows + lane) * 4 + i % 4] = static_cast<uint8_t>(all[i] | all[i + 16] << 4);
}

void pack_q8(const uint8_t* codes, int64_t available, int64_t lane, uint8_t* block) {
    uint8_t all[block_columns] = {};
    std::memcpy(all, codes, available);
    for (int64_t i = 0; i < block_columns; ++i) block[(i / 4 * panel_rows + lane) * 4 + i % 4] = all[i];
}

bool all_nibbles(const uint8_t* codes, int64_t count) {
    uint8_t used = 0;
    for (int64_t i = 0; i < count; ++i) used |= codes[i];
    return used <= 15;
}

bool all_numbers(const uint8_t* codes, int64_t count) {
    bool fine = true;
    for (int64_t i = 0; i < count; ++i) fine &= (codes[i] & 0x7f) != 0x7f;
    return fine;
}

template <typename Pack>
bool for_each_panel(int64_t count, int64_t columns, Pack pack) {
    std::atomic<bool> fits{true};
    parallel_ranges(divide_up(count, panel_rows), divide_up(grain, panel_rows * columns),
                    [&](int64_t first, int64_t last) {
                        for (int64_t panel = first; panel < last; ++panel)
                            if (!pack(panel, std::min(panel_rows, count - panel * panel_rows))) fits = false;
                    });
    return fits;
}

}  // namespace

int64_t packed_bytes(Format format, int64_t rows, int64_t columns) {
    const int64_t panels = divide_up(rows, panel_rows);
    if (has_superblocks(format)) return panels * divide_up(columns, superblock_columns) * superblock_of(format).bytes();
    if (!is_quantised(format)) return panels * panel_rows * columns * element_bytes(format);
    return panels * divide_up(columns, block_columns) * (has_nibbles(format) ? q4_block_bytes : q8_block_bytes);
}

bool pack_floats(const void* values, Format source, Format target, int64_t count, int64_t columns, int64_t first,
                 void* out) {
    const auto* from = static_cast<const std::byte*>(values);
    auto* to = static_cast<std::byte*>(out) + packed_bytes(target, first, columns);
    return for_each_panel(count, columns, [&](int64_t panel, int64_t rows) {
        const std::byte* begin = from + panel * panel_rows * columns * element_bytes(source);
        std::byte* packed = to + packed_bytes(target, panel * panel_rows, columns);
        if (source != target) return convert(begin, source, target, rows, columns, packed);
        if (source == Format::f32)
            interleave<uint32_t>(begin, rows, columns, packed);
        else
            interleave<uint16_t>(begin, rows, columns, packed);
        return true;
    });
}

bool pack_codes(const uint8_t* codes, Format target, int64_t count, int64_t columns, int64_t first, void* out) {
    auto* to = static_cast<uint8_t*>(out) + packed_bytes(target, first, columns);
    const int64_t block_bytes = has_nibbles(target) ? q4_block_bytes : q8_block_bytes;
    const auto pack = has_nibbles(target) ? pack_q4 : pack_q8;
    const int64_t blocks = divide_up(columns, block_columns);
    return for_each_panel(count, columns, [&](int64_t panel, int64_t rows) {
        uint8_t* packed = to + panel * blocks * block_bytes;
        std::memset(packed, 0, blocks * block_bytes);
        const uint8_t* begin = codes + panel * panel_rows * columns;
        for (int64_t lane = 0; lane < rows; ++lane)
            for (int64_t block = 0; block < blocks; ++block) {
                const int64_t column = block * block_columns;
                pack(begin + lane * columns + column, std::min(block_columns, columns - column), lane,
                     packed + block * block_bytes);
            }
        return !has_nibbles(target) || all_nibbles(begin, rows * columns);
    });
}

bool pack_float8(const uint8_t* codes, int64_t count, int64_t columns, int64_t first, void* out) {
    auto* to = static_cast<std::byte*>(out) + packed_bytes(Format::fp8, first, columns);
    return for_each_panel(count, columns, [&](int64_t panel, int64_t rows) {
        const int64_t at = panel * panel_rows * columns;
        interleave<uint8_t>(reinterpret_cast<const std::byte*>(codes + at), rows, columns, to + at);
        return all_numbers(codes + at, rows * columns);
    });
}

}  // namespace freehold
