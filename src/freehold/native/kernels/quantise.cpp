#include "kernels/codes.hpp"
#include "kernels/dots.hpp"
#include "kernels/kernels.hpp"

namespace freehold::FREEHOLD_ISA {
namespace {

constexpr int64_t vectors = block_columns / lanes;

// Below this a scale, or its inverse, would leave the normal range; such a block counts as zero.
constexpr float smallest_maximum = 0x1p-100f;

void quantise_block(const Floats (&values)[vectors], const QuantisedRows& out, int64_t block) {
    constexpr uint32_t infinity = 0x7f800000;
    const uint32_t magnitude = largest_magnitude(values);
    const float maximum = bits<float>(magnitude);
    const bool usable = maximum >= smallest_maximum && magnitude < infinity;
    const float scale = magnitude >= infinity ? __builtin_nanf("") : usable ? maximum / 127.0f : 0.0f;
    const float inverse = usable ? 127.0f / maximum : 0.0f;

    int8_t* codes = out.codes + block * block_columns;
    int32_t sums[2] = {};
    for (int64_t half = 0; half < 2; ++half) {
        Ints total{};
        for (int64_t i = half * vectors / 2; i < (half + 1) * vectors / 2; ++i) {
            const Ints rounded = usable ? round_to_integer(values[i] * inverse) : Ints{};
            store_codes(codes + i * lanes, rounded);
            total += rounded;
        }
        const int32_t pair[2] = {(total[0] + total[1]) + (total[4] + total[5]),   // columns 0, 1 of every four
                                 (total[2] + total[3]) + (total[6] + total[7])};  // columns 2, 3
        out.q6_k_starts[2 * block + half] = first_sums(-q6_k_offset * pair[0], -q6_k_offset * pair[1]);
        for (int64_t i = 0; i < 2; ++i) sums[i] += pair[i];
    }
    out.code_sums[block] = first_sums(sums[0], sums[1]);
    out.scales[block] = scale;
    out.sums[block] = scale * static_cast<float>(sums[0] + sums[1]);
}

}  // namespace

void quantise(const float* x, int64_t x_stride, int64_t columns, const QuantisedRows& out, int64_t first,
              int64_t last) {
    for (int64_t row = first; row < last; ++row) {
        const float* from = x + row * x_stride;
        for (int64_t block = 0; block < out.blocks; ++block) {
            const int64_t column = block * block_columns;
            Floats values[vectors];
            for (int64_t i = 0; i < vectors; ++i) {
                const int64_t rest = columns - (column + i * lanes);
                values[i] = rest >= lanes ? load(from + column + i * lanes)
                                          : load_some(from + column + i * lanes, rest > 0 ? rest : 0);
            }
            quantise_block(values, out, row * out.blocks + block);
        }
    }
}

void to_half(const float* x, int64_t count, uint16_t* out) {
    for (int64_t i = 0; i < count; i += lanes) {
        const int64_t rest = count - i < lanes ? count - i : lanes;
        const Halves halves = to_half(load_some(x + i, rest));
        std::memcpy(out + i, &halves, rest * sizeof(uint16_t));
    }
}

}  // namespace freehold::FREEHOLD_ISA
